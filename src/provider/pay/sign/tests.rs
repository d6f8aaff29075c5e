//! The vectors of `PROTOCOL.md`, made with Amazon's own libraries, and openssl as the other implementation.

use std::{fs, path::Path, process::Command};

use chrono::TimeZone;
use data_encoding::HEXLOWER;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

use super::*;
use crate::provider::pay::key::tests::rsa_pem;

const KEY_ID: &str = "SANDBOX-AAAABBBBCCCCDDDDEEEEFFFF";
const BODY: &[u8] = br#"{"chargePermissionId":"C03-0000001-0000002","chargeAmount":{"amount":"980","currencyCode":"JPY"},"captureNow":true,"canHandlePendingAuthorization":false}"#;
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtiV40AMuJdNO3297gqi9
IkgEFvGHlmIVMaKz5TcMOkHXSsBTZHph3+olfy81065oiV/CaDf13NhpCx9tisq3
JIj5nWhBzrnEWFgiyhM5psXHGqeiwF0E2yDL5R0layCGWLgQ7WlMoxGk61PtRsma
/7Y4VYM4yIz2pDqNIRfCKurPS4kc0V2MUctVjshwh7Io4DmWk2f5T6xzA5HSYX3F
16N6XVC6bJppTv9njFYAptNHoqNKk9apvc9JS+ecAwB+L9+GXQPJHtlyvE0JE5h1
oaHjtOia5FZCAh2v/kLDjaTtLEPJt3vnFr/2sPOyIhaUeXy9r8kPZoKbljTEGrFK
ywIDAQAB
-----END PUBLIC KEY-----
";
const V1_SIGNATURE: &str = "Q728fJ5DvfAU62O27Ro84mGQ2QNueiqX3SarTcK18j+l6tEURuK7ZukRCwPekX9YCiYz8X1nhARAP6sCY83EqOR6dCn7yWRTcLrqFGHLKE55m2t/FJko76rwoaX/9f8ohTgWRBBtVIKsZH/KmxWj2zJcZmAZ3kfk6tH7Dro1/9XoS90DaXRZbxW05v4Ht51b2ivKKRHTIhe7SHYmF08WY3sw0KzQF0BxXtpWEmN0t6LKuRLcgxW5HlVGe/WqxDkRy+0beRvS969xS2WKw1NXalnsjq0t41TH8D7MM4zYB8Ujh3qYrWn1nJggIFUfNL6kW4T+MYzW5GOCtYTXvY2PcQ==";

fn hex(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

fn merchant() -> MerchantKey {
    MerchantKey::new(KEY_ID, &rsa_pem().into()).unwrap()
}

fn key() -> PayKey {
    PayKey::parse("0123456789abcdef0123456789abcdef").unwrap()
}

fn head<'a>(method: &'a str, path: &'a str, key: Option<&'a PayKey>) -> PayHead<'a> {
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    PayHead { method, path, region: PayRegion::Jp, key, simulation: None, at }
}

fn canonical_of(head: PayHead<'_>, body: &[u8]) -> String {
    canonical(head, &headers(head), body)
}

/// Whether openssl finds the signature over the text good, with a salt of so many bytes.
fn openssl_verifies(folder: &Path, public_key: &str, text: &str, signature: &[u8], salt: &str) -> bool {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    for (name, bytes) in [("key", public_key.as_bytes()), ("text", text.as_bytes()), ("signature", signature)] {
        fs::write(at(name), bytes).unwrap();
    }
    let done = Command::new("openssl")
        .args(["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt"])
        .args([&format!("rsa_pss_saltlen:{salt}"), "-verify", &at("key"), "-signature", &at("signature"), &at("text")])
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.starts_with("Verified OK") || said.starts_with("Verification failure"), "{said}");
    done.status.success()
}

#[test]
fn w1_to_w3_the_canonical_requests_are_those_of_amazons_libraries() {
    assert_eq!(BODY.len(), 153);
    let hash = "a58a1d413a84ec2aa07d685d3c06d991731494cc76448054d28f0859283798bc";
    assert_eq!(HEXLOWER.encode(&Sha256::digest(BODY)), hash);
    let key = key();
    for (head, body, length, hash) in [
        (
            head("POST", "/v2/charges", Some(&key)),
            BODY,
            374,
            "59cd1d16501962bdd8020cba6afac8965c30f0f6a2dcf8a74505e23e11a3f5a7",
        ),
        (
            head("GET", "/v2/chargePermissions/C03-0000001-0000002", None),
            b"".as_slice(),
            318,
            "2d593106ab4ed5d1aefe57926bd73a7b7c42dc0f9b475e4e4e3eacc8d15a6355",
        ),
        (
            head("POST", "/sandbox/v2/charges", Some(&key)),
            BODY,
            382,
            "614810a61ccbb13982de2a49c484d3f3236cc0294a31724eaf41ae0b0275e247",
        ),
    ] {
        let canonical = canonical_of(head, body);
        assert_eq!((canonical.len(), hex(&canonical).as_str()), (length, hash), "{canonical}");
    }
}

#[test]
fn v1_what_the_node_library_signed_is_verified_with_a_salt_of_32_bytes_and_no_other() {
    let key = key();
    let mut named = headers(head("POST", "/v2/charges", Some(&key)));
    named.insert(0, ("user-agent", "amazon-pay-api-sdk-nodejs/2.3.4 (JS/20.0.0; linux)".to_owned()));
    named.iter_mut().filter(|(name, _)| *name == "x-amz-pay-date").for_each(|(_, value)| {
        "2026-01-02T03:04:05Z".clone_into(value);
    });
    named.sort();
    let canonical = canonical(head("POST", "/v2/charges", Some(&key)), &named, BODY);
    assert_eq!(canonical.len(), 451);
    let to_sign = to_sign(&canonical);
    assert_eq!(to_sign, "AMZN-PAY-RSASSA-PSS-V2\n6d178e7ea7a3ade109a3e9e221ec7d44616a24e2c3cdf960af2c9da83d4028ec");
    let signature = BASE64.decode(V1_SIGNATURE.as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let verified = ["32", "20"].map(|salt| openssl_verifies(folder.path(), PUBLIC_KEY, &to_sign, &signature, salt));
    assert_eq!(verified, [true, false]);
}

/// The signature of a call, out of its `Authorization`.
fn signature_of(signed: &PaySigned) -> Vec<u8> {
    let header = signed.headers[AUTHORIZATION].to_str().unwrap();
    BASE64.decode(header.rsplit_once("Signature=").unwrap().1.as_bytes()).unwrap()
}

#[test]
fn openssl_verifies_what_we_sign_with_a_salt_of_32_bytes_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (file, pem) = (folder.path().join("private"), rsa_pem());
    fs::write(&file, &pem).unwrap();
    let public = crate::provider::pay::key::tests::openssl(&["pkey", "-pubout", "-in", file.to_str().unwrap()]);
    let public = String::from_utf8(public).unwrap();
    let merchant = MerchantKey::new(KEY_ID, &pem.into()).unwrap();
    let key = key();
    let signed = signed(head("POST", "/v2/charges", Some(&key)), BODY, &merchant).unwrap();
    let signature = signature_of(&signed);
    let verified = ["32", "20"].map(|salt| openssl_verifies(folder.path(), &public, &signed.to_sign, &signature, salt));
    assert_eq!(verified, [true, false]);
}

#[test]
fn two_signatures_of_one_call_differ_and_both_hold() {
    let (merchant, key) = (merchant(), key());
    let [one, other] = [0, 1].map(|_| signed(head("POST", "/v2/charges", Some(&key)), BODY, &merchant).unwrap());
    assert_eq!(one.to_sign, other.to_sign);
    assert_ne!(signature_of(&one), signature_of(&other));
    let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, merchant.public_key());
    for signed in [one, other] {
        public.verify(signed.to_sign.as_bytes(), &signature_of(&signed)).unwrap();
    }
}

#[test]
fn a_bit_of_the_body_the_path_or_the_date_changes_what_is_signed() {
    let (merchant, key) = (merchant(), key());
    let one = head("POST", "/v2/charges", Some(&key));
    let signed = signed(one, BODY, &merchant).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, merchant.public_key());
    let holds = |head: PayHead<'_>, body: &[u8]| {
        public.verify(to_sign(&canonical_of(head, body)).as_bytes(), &signature_of(&signed)).is_ok()
    };
    assert!(holds(one, BODY));
    let mut body = BODY.to_vec();
    body[100] ^= 1;
    assert!(!holds(one, &body));
    assert!(!holds(PayHead { path: "/v2/chargeS", ..one }, BODY));
    assert!(!holds(PayHead { at: one.at + chrono::TimeDelta::seconds(1), ..one }, BODY));
    assert!(!holds(PayHead { key: None, ..one }, BODY));
    assert!(!holds(PayHead { method: "PUT", ..one }, BODY));
}

#[test]
fn what_is_sent_is_what_is_signed_and_the_authorization_is_sensitive() {
    let (merchant, key) = (merchant(), key());
    let code = SimulationCode::parse("SoftDeclined").unwrap();
    let head = PayHead { simulation: Some(&code), ..head("POST", "/v2/charges", Some(&key)) };
    let signed = signed(head, BODY, &merchant).unwrap();
    let authorization = &signed.headers[AUTHORIZATION];
    assert!(authorization.is_sensitive());
    let text = authorization.to_str().unwrap();
    let (algorithm, rest) = text.split_once(' ').unwrap();
    assert_eq!(algorithm, "AMZN-PAY-RSASSA-PSS-V2");
    let [id, names, _signature] = rest.split(", ").collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(id, format!("PublicKeyId={KEY_ID}"));
    let mut sent: Vec<_> =
        signed.headers.keys().map(|name| name.as_str()).filter(|name| *name != "authorization").collect();
    sent.sort_unstable();
    assert_eq!(names, format!("SignedHeaders={}", sent.join(";")));
    let wanted = [
        ("x-amz-pay-date", "20260102T030405Z"),
        ("x-amz-pay-host", "pay-api.amazon.jp"),
        ("x-amz-pay-idempotency-key", "0123456789abcdef0123456789abcdef"),
        ("x-amz-pay-region", "jp"),
        ("x-amz-pay-simulation-code", "SoftDeclined"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
    ];
    assert_eq!(sent.len(), wanted.len());
    for (name, value) in wanted {
        assert_eq!(signed.headers[name], value, "{name}");
    }
}
