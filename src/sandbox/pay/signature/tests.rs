//! What Amazon's own libraries send is taken, and nothing else is.

use std::process::{Command, Stdio};

use chrono::TimeZone;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};

use super::*;
use crate::sandbox::pay::NewPayMerchant;

/// The key of the Node library's request below.
const NODE_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtiV40AMuJdNO3297gqi9
IkgEFvGHlmIVMaKz5TcMOkHXSsBTZHph3+olfy81065oiV/CaDf13NhpCx9tisq3
JIj5nWhBzrnEWFgiyhM5psXHGqeiwF0E2yDL5R0layCGWLgQ7WlMoxGk61PtRsma
/7Y4VYM4yIz2pDqNIRfCKurPS4kc0V2MUctVjshwh7Io4DmWk2f5T6xzA5HSYX3F
16N6XVC6bJppTv9njFYAptNHoqNKk9apvc9JS+ecAwB+L9+GXQPJHtlyvE0JE5h1
oaHjtOia5FZCAh2v/kLDjaTtLEPJt3vnFr/2sPOyIhaUeXy9r8kPZoKbljTEGrFK
ywIDAQAB
-----END PUBLIC KEY-----
";
const NODE_SIGNATURE: &str = "Q728fJ5DvfAU62O27Ro84mGQ2QNueiqX3SarTcK18j+l6tEURuK7ZukRCwPekX9YCiYz8X1nhARAP6sCY83EqOR6dCn7yWRTcLrqFGHLKE55m2t/FJko76rwoaX/9f8ohTgWRBBtVIKsZH/KmxWj2zJcZmAZ3kfk6tH7Dro1/9XoS90DaXRZbxW05v4Ht51b2ivKKRHTIhe7SHYmF08WY3sw0KzQF0BxXtpWEmN0t6LKuRLcgxW5HlVGe/WqxDkRy+0beRvS969xS2WKw1NXalnsjq0t41TH8D7MM4zYB8Ujh3qYrWn1nJggIFUfNL6kW4T+MYzW5GOCtYTXvY2PcQ==";
const BODY: &str = r#"{"chargePermissionId":"C03-0000001-0000002","chargeAmount":{"amount":"980","currencyCode":"JPY"},"captureNow":true,"canHandlePendingAuthorization":false}"#;
const KEY_ID: &str = "SANDBOX-AAAABBBBCCCCDDDDEEEEFFFF";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap()
}

/// The headers of a request, in the order of their names.
fn usual() -> Vec<(&'static str, String)> {
    [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("x-amz-pay-date", "20260102T030405Z"),
        ("x-amz-pay-host", "pay-api.amazon.jp"),
        ("x-amz-pay-idempotency-key", "0123456789abcdef0123456789abcdef"),
        ("x-amz-pay-region", "jp"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

fn arrival(path: &str, headers: &[(&'static str, String)], authorization: &str) -> PayArrival {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map.append("authorization", HeaderValue::from_str(authorization).unwrap());
    let (query, body) = (String::new(), Bytes::from_static(BODY.as_bytes()));
    PayArrival { method: Method::POST, path: path.to_owned(), query, headers: map, body }
}

fn registered(public_key: &str) -> Merchants {
    let merchants = Merchants::default();
    let (merchant_id, public_key_id) = ("M".to_owned(), KEY_ID.to_owned());
    merchants.register(NewPayMerchant { merchant_id, public_key_id, public_key: public_key.to_owned() }).unwrap();
    merchants
}

#[test]
fn what_the_node_library_signed_is_taken() {
    let mut headers = usual();
    headers.insert(2, ("user-agent", "amazon-pay-api-sdk-nodejs/2.3.4 (JS/20.0.0; linux)".to_owned()));
    headers.sort();
    headers.iter_mut().filter(|(name, _)| *name == "x-amz-pay-date").for_each(|(_, value)| {
        "2026-01-02T03:04:05Z".clone_into(value);
    });
    let names: Vec<&str> = headers.iter().map(|(name, _value)| *name).collect();
    let authorization =
        format!("{ALGORITHM} PublicKeyId={KEY_ID}, SignedHeaders={}, Signature={NODE_SIGNATURE}", names.join(";"));
    let arrival = arrival("/v2/charges", &headers, &authorization);
    let signer = verify(&arrival, &registered(NODE_KEY), now()).unwrap();
    assert_eq!((signer.merchant_id.as_str(), signer.names_sandbox), ("M", true));

    let late = now() + TimeDelta::minutes(16);
    assert_eq!(verify(&arrival, &registered(NODE_KEY), late).unwrap_err().reason, "InvalidRequestSignature");
    let changed = PayArrival { body: Bytes::from(BODY.replace("980", "981")), ..arrival };
    let refused = verify(&changed, &registered(NODE_KEY), now()).unwrap_err();
    assert!(refused.message.contains("signing String [AMZN-PAY-RSASSA-PSS-V2\n"), "{}", refused.message);
}

/// A key of this test's own, and what it signs.
struct Pen {
    pair: RsaKeyPair,
    merchants: Merchants,
}

impl Pen {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key").to_str().unwrap().to_owned();
        let openssl =
            |arguments: &[&str]| Command::new("openssl").args(arguments).stderr(Stdio::null()).output().unwrap().stdout;
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &file]);
        let der = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &file]);
        let public = String::from_utf8(openssl(&["pkey", "-pubout", "-in", &file])).unwrap();
        Self { pair: RsaKeyPair::from_pkcs8(&der).unwrap(), merchants: registered(&public) }
    }

    /// `listed` is what SignedHeaders says; what is signed are `headers`, once each.
    fn sign(&self, path: &str, headers: &[(&'static str, String)], listed: &str) -> PayArrival {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names: Vec<&str> = headers.iter().map(|(name, _value)| *name).collect();
        let hash = HEXLOWER.encode(&Sha256::digest(BODY));
        let canonical = format!("POST\n{path}\n\n{lines}\n{}\n{hash}", names.join(";"));
        let to_sign = format!("{ALGORITHM}\n{}", HEXLOWER.encode(&Sha256::digest(canonical)));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), to_sign.as_bytes(), &mut signature).unwrap();
        let signature = BASE64.encode(&signature);
        let authorization = format!("{ALGORITHM} PublicKeyId={KEY_ID}, SignedHeaders={listed}, Signature={signature}");
        arrival(path, headers, &authorization)
    }

    fn verdict(&self, arrival: &PayArrival) -> String {
        verify(arrival, &self.merchants, now()).map_or_else(|refused| refused.reason, |_signer| "taken".to_owned())
    }
}

fn names(headers: &[(&'static str, String)]) -> String {
    headers.iter().map(|(name, _value)| *name).collect::<Vec<_>>().join(";")
}

fn with(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut headers = usual();
    headers.retain(|(other, _value)| *other != name);
    headers.push((name, value.to_owned()));
    headers.sort();
    headers
}

#[test]
fn each_form_that_a_library_sends_is_taken() {
    let pen = Pen::new();
    for headers in [
        usual(),
        with("x-amz-pay-region", "JP"),
        with("x-amz-pay-region", "us"),
        with("x-amz-pay-date", "2026-01-02T03:04:05Z"),
        with("content-length", "153"),
        with("x-amz-pay-sdk-type", "Ruby"),
        with("x-amz-pay-simulation-code", "SoftDeclined"),
    ] {
        for path in ["/v2/charges", "/v2/charges/", "/sandbox/v2/charges"] {
            assert_eq!(pen.verdict(&pen.sign(path, &headers, &names(&headers))), "taken", "{path} {headers:?}");
        }
    }
    let twice = format!("accept;{}", names(&usual()));
    assert_eq!(pen.verdict(&pen.sign("/v2/charges", &usual(), &twice)), "taken", "a name that is listed twice");
    let mut unsigned = pen.sign("/v2/charges", &usual(), &names(&usual()));
    unsigned.headers.insert("x-amz-pay-simulation-code", HeaderValue::from_static("SoftDeclined"));
    assert_eq!(pen.verdict(&unsigned), "taken", "a simulation code that is not signed");
}

#[test]
fn anything_else_is_refused() {
    let pen = Pen::new();
    let good = || pen.sign("/v2/charges", &usual(), &names(&usual()));
    for (name, reason) in [
        ("authorization", "UnauthorizedAccess"),
        ("accept", "MissingHeader"),
        ("x-amz-pay-date", "MissingHeader"),
        ("x-amz-pay-host", "MissingHeader"),
        ("x-amz-pay-region", "MissingHeader"),
        ("x-amz-pay-idempotency-key", "InvalidRequestSignature"),
    ] {
        let mut arrival = good();
        arrival.headers.remove(name);
        assert_eq!(pen.verdict(&arrival), reason, "{name} was taken away");
    }
    for left_out in ["accept", "x-amz-pay-host", "x-amz-pay-idempotency-key"] {
        let mut signed = usual();
        signed.retain(|(name, _value)| *name != left_out);
        let mut arrival = pen.sign("/v2/charges", &signed, &names(&signed));
        arrival.headers.insert(left_out, HeaderValue::from_static("application/json"));
        assert_eq!(pen.verdict(&arrival), "InvalidRequestSignature", "{left_out} is sent and not signed");
    }
    for (headers, reason) in [
        (with("x-amz-pay-date", "20260102"), "InvalidHeaderValue"),
        (with("x-amz-pay-date", "20260102T025004Z"), "taken"),
        (with("x-amz-pay-date", "20260102T024904Z"), "InvalidRequestSignature"),
        (with("x-amz-pay-date", "20260102T031906Z"), "InvalidRequestSignature"),
        (with("x-amz-pay-region", "mars"), "InvalidHeaderValue"),
    ] {
        assert_eq!(pen.verdict(&pen.sign("/v2/charges", &headers, &names(&headers))), reason, "{headers:?}");
    }
    let mut moved = good();
    moved.path = "/v2/refunds".to_owned();
    assert_eq!(pen.verdict(&moved), "InvalidRequestSignature");
    let mut repeated = good();
    repeated.headers.append("x-amz-pay-region", HeaderValue::from_static("na"));
    assert_eq!(pen.verdict(&repeated), "InvalidHeaderValue");
    let unknown = registered(NODE_KEY);
    assert_eq!(verify(&good(), &unknown, now()).unwrap_err().reason, "InvalidRequestSignature", "another key");
    assert_eq!(verify(&good(), &Merchants::default(), now()).unwrap_err().reason, "InvalidAuthentication");
}

#[test]
fn a_salt_of_twenty_bytes_is_refused() {
    // Signed by openssl, because ring makes no such signature.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).stderr(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}");
        done.stdout
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &at("key")]);
    let merchants = registered(&String::from_utf8(openssl(&["pkey", "-pubout", "-in", &at("key")])).unwrap());
    let unsigned = arrival("/v2/charges", &usual(), "x");
    let listed: Vec<&str> = usual().iter().map(|(name, _value)| *name).collect();
    std::fs::write(at("text"), to_sign(&canonical(&unsigned, &listed).unwrap())).unwrap();
    let verdicts = ["32", "20"].map(|salt| {
        let salt = format!("rsa_pss_saltlen:{salt}");
        let pss =
            ["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", &salt, "-sign", &at("key"), &at("text")];
        let signature = BASE64.encode(&openssl(&pss));
        let listed = names(&usual());
        let authorization = format!("{ALGORITHM} PublicKeyId={KEY_ID}, SignedHeaders={listed}, Signature={signature}");
        verify(&arrival("/v2/charges", &usual(), &authorization), &merchants, now()).is_ok()
    });
    assert_eq!(verdicts, [true, false]);
}

#[test]
fn only_a_public_rsa_key_of_a_sandbox_is_registered() {
    let merchants = Merchants::default();
    let register = |merchant_id: &str, public_key_id: &str, public_key: &str| {
        let [merchant_id, public_key_id, public_key] = [merchant_id, public_key_id, public_key].map(str::to_owned);
        merchants.register(NewPayMerchant { merchant_id, public_key_id, public_key }).is_ok()
    };
    assert!(register("M", "SANDBOX-A", NODE_KEY) && register("M", "AOLDER", &NODE_KEY.replace('\n', "\r\n")));
    assert!(!register("M", "LIVE-A", NODE_KEY) && !register("", "A", NODE_KEY) && !register("M", "A,B", NODE_KEY));
    let private = NODE_KEY.replace("PUBLIC", "PRIVATE");
    assert!(
        !register("M", "A", &private) && !register("M", "A", "") && !register("M", "A", "-----BEGIN PUBLIC KEY-----")
    );
    let known: Vec<String> = merchants.all().into_iter().map(|shown| shown.public_key_id).collect();
    assert_eq!(known, ["AOLDER", "SANDBOX-A"]);
}
