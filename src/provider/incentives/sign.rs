//! The signature: AWS Signature Version 4 over the exact bytes that are sent (`PROTOCOL.md`).
//!
//! Pure: the time of signing is given. The secrets are opened here and nowhere else.

use std::{fmt, time::SystemTime};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tracing::dispatcher::{Dispatch, with_default};

use super::wire::Operation;

/// The service's name in the credential scope, exact case.
const SERVICE: &str = "AGCODService";
/// Keeps a fingerprint of a pair apart from every other hash.
const FINGERPRINT: &[u8] = b"noshi key pair fingerprint 1\0";
/// What is sent, and what is asked for in return.
const JSON: &str = "application/json";
/// The header that names the operation.
const X_AMZ_TARGET: &str = "x-amz-target";

/// An account's key pair for the Incentives API. There is no session token: Amazon issues none for this service.
#[derive(Clone)]
pub struct Credentials {
    access_key_id: SecretString,
    secret_access_key: SecretString,
}

impl Credentials {
    /// A key pair.
    #[must_use]
    pub const fn new(access_key_id: SecretString, secret_access_key: SecretString) -> Self {
        Self { access_key_id, secret_access_key }
    }

    /// Whether another pair has the same id, and whether it has the same secret.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "of two pairs of our own; neither is shown")]
    pub fn shares(&self, other: &Self) -> (bool, bool) {
        let same = |one: &SecretString, other: &SecretString| one.expose_secret() == other.expose_secret();
        (same(&self.access_key_id, &other.access_key_id), same(&self.secret_access_key, &other.secret_access_key))
    }
}

impl Credentials {
    /// Names the pair where neither part of it may stand. Of two pairs of one id and different secrets there are two.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "what is hashed has the secret's 40 random characters in it")]
    pub fn fingerprint(&self) -> PairFingerprint {
        let (id, secret) = (self.access_key_id.expose_secret(), self.secret_access_key.expose_secret());
        let hash = Sha256::new().chain_update(FINGERPRINT).chain_update(id).chain_update(b"\0").chain_update(secret);
        PairFingerprint(hash.finalize().into())
    }
}

/// A hash of a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairFingerprint([u8; 32]);

impl PairFingerprint {
    /// The fingerprint that these bytes are, if they are as many.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, as they are stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Its first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(self) -> String {
        let mut whole = HEXLOWER.encode(&self.0);
        whole.truncate(8);
        whole
    }
}

/// Prints neither part: the access key id names the account at Amazon.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([REDACTED])")
    }
}

/// The request could not be signed. The signer's own error is dropped: it may quote what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsigned;

/// What is signed, apart from the headers.
#[derive(Clone, Copy)]
pub(super) struct CredentialScope<'a> {
    pub(super) host: &'a str,
    pub(super) region: &'a str,
    pub(super) operation: Operation,
    pub(super) at: DateTime<Utc>,
}

/// The headers of a signed call, all that we set on it: the five of form A and `Authorization`.
pub(super) fn signed_headers(
    scope: CredentialScope<'_>,
    body: &[u8],
    credentials: &Credentials,
) -> Result<HeaderMap, Unsigned> {
    let target = scope.operation.target();
    let plain =
        [(ACCEPT, JSON), (CONTENT_TYPE, JSON), (HOST, scope.host), (HeaderName::from_static(X_AMZ_TARGET), &target)];
    let named: Vec<_> = plain.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let added = signature(scope, &named, body, credentials)?;

    let mut headers = HeaderMap::with_capacity(plain.len().saturating_add(added.len()));
    for (name, value) in &plain {
        headers.insert(name, HeaderValue::from_str(value).map_err(|_error| Unsigned)?);
    }
    for (name, value) in added {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_error| Unsigned)?;
        let mut value = HeaderValue::from_str(&value).map_err(|_error| Unsigned)?;
        // The signer leaves `Authorization` printable, and it holds the access key id.
        value.set_sensitive(name == AUTHORIZATION);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The headers that the signer adds to `headers`: `x-amz-date` and `authorization`. It signs every header that it is
/// given, and `x-amz-date`, so the caller's set decides between Amazon's two forms.
fn signature(
    scope: CredentialScope<'_>,
    headers: &[(&str, &str)],
    body: &[u8],
    credentials: &Credentials,
) -> Result<Vec<(String, String)>, Unsigned> {
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    // The path has nothing to encode or to normalise; it is signed as it is sent.
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;

    let identity = open(credentials).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(SERVICE)
        .time(SystemTime::from(scope.at))
        .settings(settings)
        .build()
        .map_err(|_error| Unsigned)?
        .into();
    let url = format!("https://{}{}", scope.host, scope.operation.path());
    let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body))
        .map_err(|_error| Unsigned)?;
    // The signer logs the access key id at TRACE. Silenced here, so that no filter can turn it on.
    let signed = with_default(&Dispatch::none(), || sign(request, &params));
    let (instructions, _signature) = signed.map_err(|_error| Unsigned)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The key pair in the signer's own type, which wipes itself.
#[expect(clippy::disallowed_methods, reason = "signing is where the key pair is used")]
fn open(credentials: &Credentials) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(
        credentials.access_key_id.expose_secret(),
        credentials.secret_access_key.expose_secret(),
        None,
        None,
        "noshi",
    )
}

#[cfg(test)]
mod tests {
    use aws_sigv4::sign::v4::calculate_signature;
    use chrono::NaiveDateTime;
    use data_encoding::HEXLOWER;
    use sha2::{Digest, Sha256};

    use super::*;

    const SPEC_BODY: &str = r#"{"creationRequestId": "AwssbTSpecTest001", "partnerId": "Awssb", "value": {"currencyCode": "USD", "amount": 1.00}}"#;
    const FORM_A: &str = "accept;content-type;host;x-amz-date;x-amz-target";
    const FORM_B: &str = "accept;host;x-amz-date;x-amz-target";

    /// A vector of `PROTOCOL.md`.
    struct Vector {
        host: &'static str,
        region: &'static str,
        operation: Operation,
        date: &'static str,
        form: &'static str,
        body: &'static str,
        canonical_hash: &'static str,
        signature: &'static str,
    }

    fn at(date: &str) -> DateTime<Utc> {
        NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").unwrap().and_utc()
    }

    fn sha256_hex(bytes: &[u8]) -> String {
        HEXLOWER.encode(&Sha256::digest(bytes))
    }

    fn pair(id: &str, secret: &str) -> Credentials {
        Credentials::new(id.into(), secret.into())
    }

    fn example_pair() -> Credentials {
        pair("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    }

    impl Vector {
        fn scope(&self) -> CredentialScope<'static> {
            CredentialScope { host: self.host, region: self.region, operation: self.operation, at: at(self.date) }
        }

        fn headers(&self) -> Vec<(&'static str, String)> {
            let all = [("accept", JSON.to_owned()), ("content-type", JSON.to_owned()), ("host", self.host.to_owned())];
            let mut headers: Vec<_> = all.into_iter().filter(|(name, _)| self.form.contains(name)).collect();
            headers.push(("x-amz-target", self.operation.target()));
            headers
        }

        /// The canonical request by hand, as an independent witness of what the signer hashes.
        fn canonical(&self) -> String {
            let mut headers = self.headers();
            headers.push(("x-amz-date", self.date.to_owned()));
            headers.sort();
            let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            format!("POST\n{}\n\n{lines}\n{}\n{}", self.operation.path(), self.form, sha256_hex(self.body.as_bytes()))
        }

        fn check(&self, access_key_id: &str, credentials: &Credentials) {
            assert_eq!(sha256_hex(self.canonical().as_bytes()), self.canonical_hash);
            let headers = self.headers();
            let named: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let added = signature(self.scope(), &named, self.body.as_bytes(), credentials).unwrap();
            let day = self.date.split('T').next().unwrap();
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential={access_key_id}/{day}/{}/AGCODService/aws4_request, SignedHeaders={}, Signature={}",
                self.region, self.form, self.signature
            );
            let expected =
                [("x-amz-date".to_owned(), self.date.to_owned()), ("authorization".to_owned(), authorization)];
            assert_eq!(added, expected);
        }
    }

    #[test]
    fn vector_1_amazons_own_sample_is_reproduced_from_its_published_key() {
        // Its secret was never published, and its hashes are those of a host that is retired.
        let vector = Vector {
            host: "agcod-gamma.amazon.com",
            region: "us-east-1",
            operation: Operation::CREATE_GIFT_CARD,
            date: "20130910T222620Z",
            form: FORM_A,
            body: SPEC_BODY,
            canonical_hash: "447277eb7144a2280508b8bf047706381beb832306a5b28ee0bb69a00b9bde0d",
            signature: "66872de215ae457cd978a49be377caf7cd3b5ab2914785339c2b8242e3631a71",
        };
        let hash = sha256_hex(vector.canonical().as_bytes());
        assert_eq!(hash, vector.canonical_hash);
        let string_to_sign =
            format!("AWS4-HMAC-SHA256\n{}\n20130910/us-east-1/AGCODService/aws4_request\n{hash}", vector.date);
        let key = HEXLOWER.decode(b"48428b0d3bd97f08fbefc9d675975d7d914788ee3bc509ae27decf874f16921b").unwrap();
        assert_eq!(calculate_signature(key, string_to_sign.as_bytes()), vector.signature);
    }

    #[test]
    fn vector_2_a_go_clients_create_in_the_far_east() {
        let vector = Vector {
            host: "agcod-v2-fe-gamma.amazon.com",
            region: "us-west-2",
            operation: Operation::CREATE_GIFT_CARD,
            date: "20160708T073147Z",
            form: FORM_B,
            body: r#"{"creationRequestId":"","partnerId":"Amazon","value":{"currencyCode":"USD","amount":null}}"#,
            canonical_hash: "6420800fa81dccfac29242d5b392f606f46cfbbc2a16965152feee8fa7c1b8c2",
            signature: "a47dd06c1bcff61e8c96fee2c87c4230a4dd5f7d4ffb5b958897027a3acae54b",
        };
        vector.check("AKID", &pair("AKID", "SECRET"));
    }

    #[test]
    fn vector_3_a_create_in_north_america() {
        let vector = Vector {
            host: "agcod-v2-gamma.amazon.com",
            region: "us-east-1",
            operation: Operation::CREATE_GIFT_CARD,
            date: "20130910T222620Z",
            form: FORM_A,
            body: SPEC_BODY,
            canonical_hash: "4709b2544a773facf010da97ce94fa580f080394bfa85a53daff50469e0368d1",
            signature: "49c52e78ea958e4da56eeb470c5fe9cfb88a11fbf8bc57e9b50bf493ae9f30d3",
        };
        vector.check("AKIAIOSFODNN7EXAMPLE", &example_pair());
    }

    #[test]
    fn vector_4_a_cancel_in_europe() {
        let vector = Vector {
            host: "agcod-v2-eu-gamma.amazon.com",
            region: "eu-west-1",
            operation: Operation::CANCEL_GIFT_CARD,
            date: "20260105T093000Z",
            form: FORM_A,
            body: r#"{"creationRequestId":"AwssbTSpecTest001","partnerId":"Awssb","gcId":"A2GCN9BRX5QS76"}"#,
            canonical_hash: "8494f9d58899b707730cbfd176ae4e6277165319a1cf383f093770714393b922",
            signature: "efaf27811fe293495256751d3f43eacc9bda965cd9b5b799e31bdcd31d1f1e72",
        };
        vector.check("AKIAIOSFODNN7EXAMPLE", &example_pair());
    }

    #[test]
    fn vector_5_available_funds_in_the_far_east() {
        let vector = Vector {
            host: "agcod-v2-fe-gamma.amazon.com",
            region: "us-west-2",
            operation: Operation::GET_AVAILABLE_FUNDS,
            date: "20260105T093000Z",
            form: FORM_B,
            body: r#"{"partnerId":"Awssb"}"#,
            canonical_hash: "5969f13083e2ee4f85ecf84119b936f2891ef96171dc32415fe85b306edd1c13",
            signature: "8f805fd12e4731da774264731e335d6c7faa4b8bb2352695a7953655cd510181",
        };
        vector.check("AKIAIOSFODNN7EXAMPLE", &example_pair());
    }

    #[test]
    fn vector_6_a_create_with_bytes_beyond_ascii() {
        let vector = Vector {
            host: "agcod-v2.amazon.com",
            region: "us-east-1",
            operation: Operation::CREATE_GIFT_CARD,
            date: "20260105T093000Z",
            form: FORM_A,
            body: r#"{"creationRequestId":"AwssbTSpecTest001","partnerId":"Awssb","value":{"currencyCode":"USD","amount":25.5},"externalReference":"café-42"}"#,
            canonical_hash: "97fe0739ea027c49658251e947c3d852dc6d39e5e19aa719e80dd63b968f8a63",
            signature: "b1a94a75bf0eaec432f50c579e6d28b1f7c42ebf67d7ca4f302dbeeffa63d60c",
        };
        vector.check("AKIAIOSFODNN7EXAMPLE", &example_pair());
    }

    #[test]
    fn a_call_carries_the_five_headers_and_an_authorization_that_does_not_print() {
        let scope = CredentialScope {
            host: "agcod-v2-gamma.amazon.com",
            region: "us-east-1",
            operation: Operation::CREATE_GIFT_CARD,
            at: at("20130910T222620Z"),
        };
        let headers = signed_headers(scope, SPEC_BODY.as_bytes(), &example_pair()).unwrap();
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "authorization", "content-type", "host", "x-amz-date", "x-amz-target"]);
        // The same request as vector 3.
        let authorization = &headers[AUTHORIZATION];
        assert!(authorization.is_sensitive());
        let text = authorization.to_str().unwrap();
        assert!(text.contains(&format!("SignedHeaders={FORM_A},")));
        assert!(text.ends_with("49c52e78ea958e4da56eeb470c5fe9cfb88a11fbf8bc57e9b50bf493ae9f30d3"));
        assert!(!format!("{headers:?}").contains("AKIA"));
    }

    #[test]
    fn credentials_print_neither_part() {
        assert_eq!(format!("{:?}", pair("AKIDCANARY", "SECRETCANARY")), "Credentials([REDACTED])");
    }
}
