//! The verifier against signatures that others made.

use chrono::TimeZone;
use hyper::header::{HeaderName, HeaderValue};

use super::*;

const EXAMPLE_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const EXAMPLE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

struct Vector {
    key: (&'static str, &'static str),
    path: &'static str,
    host: &'static str,
    region: &'static str,
    date: &'static str,
    signed: &'static str,
    body: &'static str,
    signature: &'static str,
}

const FORM_A: &str = "accept;content-type;host;x-amz-date;x-amz-target";
const FORM_B: &str = "accept;host;x-amz-date;x-amz-target";

/// Made with Amazon's own scratch pad, by way of a Go client's test.
const VECTOR_2: Vector = Vector {
    key: ("AKID", "SECRET"),
    path: "/CreateGiftCard",
    host: "agcod-v2-fe-gamma.amazon.com",
    region: "us-west-2",
    date: "20160708T073147Z",
    signed: FORM_B,
    body: r#"{"creationRequestId":"","partnerId":"Amazon","value":{"currencyCode":"USD","amount":null}}"#,
    signature: "a47dd06c1bcff61e8c96fee2c87c4230a4dd5f7d4ffb5b958897027a3acae54b",
};

const VECTOR_4: Vector = Vector {
    key: (EXAMPLE_KEY, EXAMPLE_SECRET),
    path: "/CancelGiftCard",
    host: "agcod-v2-eu-gamma.amazon.com",
    region: "eu-west-1",
    date: "20260105T093000Z",
    signed: FORM_A,
    body: r#"{"creationRequestId":"AwssbTSpecTest001","partnerId":"Awssb","gcId":"A2GCN9BRX5QS76"}"#,
    signature: "efaf27811fe293495256751d3f43eacc9bda965cd9b5b799e31bdcd31d1f1e72",
};

const VECTOR_5: Vector = Vector {
    key: (EXAMPLE_KEY, EXAMPLE_SECRET),
    path: "/GetAvailableFunds",
    host: "agcod-v2-fe-gamma.amazon.com",
    region: "us-west-2",
    date: "20260105T093000Z",
    signed: FORM_B,
    body: r#"{"partnerId":"Awssb"}"#,
    signature: "8f805fd12e4731da774264731e335d6c7faa4b8bb2352695a7953655cd510181",
};

const VECTOR_6: Vector = Vector {
    key: (EXAMPLE_KEY, EXAMPLE_SECRET),
    path: "/CreateGiftCard",
    host: "agcod-v2.amazon.com",
    region: "us-east-1",
    date: "20260105T093000Z",
    signed: FORM_A,
    body: r#"{"creationRequestId":"AwssbTSpecTest001","partnerId":"Awssb","value":{"currencyCode":"USD","amount":25.5},"externalReference":"café-42"}"#,
    signature: "b1a94a75bf0eaec432f50c579e6d28b1f7c42ebf67d7ca4f302dbeeffa63d60c",
};

impl Vector {
    fn headers(&self) -> HeaderMap {
        let scope = format!(
            "{}/{}/{}/AGCODService/aws4_request",
            self.key.0,
            self.date.split('T').next().unwrap(),
            self.region
        );
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={}, Signature={}", self.signed, self.signature);
        let target = format!("com.amazonaws.agcod.AGCODService.{}", self.path.trim_start_matches('/'));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("host", self.host),
            ("x-amz-date", self.date),
            ("x-amz-target", &target),
            ("authorization", &authorization),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn verify(&self, headers: &HeaderMap, body: &str) -> Result<ValidSignature, Rejection> {
        self.verify_at(headers, body, parse_date(self.date).unwrap())
    }

    fn verify_at(&self, headers: &HeaderMap, body: &str, now: DateTime<Utc>) -> Result<ValidSignature, Rejection> {
        let presented = SignedRequest { method: "POST", path: self.path, query: "", headers, body: body.as_bytes() };
        verify(&presented, |id| (id == self.key.0).then(|| self.key.1.to_owned()), now)
    }
}

#[test]
fn signatures_made_by_others_are_accepted() {
    for vector in [VECTOR_2, VECTOR_4, VECTOR_5, VECTOR_6] {
        let accepted = vector.verify(&vector.headers(), vector.body).unwrap();
        assert_eq!((accepted.key_id.as_str(), accepted.region.as_str()), (vector.key.0, vector.region));
    }
}

fn mismatches(verified: Result<ValidSignature, Rejection>) -> bool {
    matches!(verified, Err(Rejection::Mismatch { .. }))
}

#[test]
fn a_wrong_signature_is_answered_with_what_should_have_been_signed() {
    let vector = VECTOR_5;
    let mut headers = vector.headers();
    let text = headers["authorization"].to_str().unwrap().replace("510181", "510182");
    headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
    let message = vector.verify(&headers, vector.body).unwrap_err().to_string();
    let canonical = "\n\nThe Canonical String for this request should have been\n'POST\n/GetAvailableFunds\n\n\
                     accept:application/json\nhost:agcod-v2-fe-gamma.amazon.com\nx-amz-date:20260105T093000Z\n\
                     x-amz-target:com.amazonaws.agcod.AGCODService.GetAvailableFunds\n\naccept;host;x-amz-date;\
                     x-amz-target\n1ef805f9535ac852795b53cfba480d9586bd08fd0a72e958a41e683a1ed64a40'\n\n";
    let to_sign = "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20260105T093000Z\n20260105/us-west-2/\
                   AGCODService/aws4_request\n5969f13083e2ee4f85ecf84119b936f2891ef96171dc32415fe85b306edd1c13'\n";
    assert!(message.ends_with(&format!("{canonical}{to_sign}")), "{message}");
    assert!(!message.contains(vector.key.1) && !message.contains(vector.signature), "{message}");
}

#[test]
fn a_header_that_was_signed_and_lost_stands_empty_and_is_refused() {
    let vector = VECTOR_6;
    let mut headers = vector.headers();
    headers.remove("accept");
    let rejection = vector.verify(&headers, vector.body).unwrap_err();
    assert!(rejection.to_string().contains("\n\naccept:\ncontent-type:"), "{rejection}");
}

#[test]
fn a_change_of_any_signed_part_is_refused() {
    let vector = VECTOR_6;
    let changed_body = vector.body.replace("25.5", "25.6");
    assert!(mismatches(vector.verify(&vector.headers(), &changed_body)));
    for name in ["accept", "content-type", "x-amz-target"] {
        let mut headers = vector.headers();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("text/plain"));
        assert!(mismatches(vector.verify(&headers, vector.body)), "{name}");
    }
    let mut headers = vector.headers();
    headers.insert("host", HeaderValue::from_static("127.0.0.1:8080"));
    assert!(mismatches(vector.verify(&headers, vector.body)));
    let mut headers = vector.headers();
    let text = headers["authorization"].to_str().unwrap().replace("d60c", "d60d");
    headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
    assert!(mismatches(vector.verify(&headers, vector.body)));
}

#[test]
fn another_host_group_than_the_signed_region_is_refused() {
    let vector = VECTOR_6;
    let mut headers = vector.headers();
    headers.insert("host", HeaderValue::from_static("agcod-v2-eu.amazon.com"));
    assert!(matches!(vector.verify(&headers, vector.body), Err(Rejection::Scope(_))));
}

#[test]
fn the_date_may_be_five_minutes_off_and_no_more() {
    let vector = VECTOR_6;
    let at = |minute, second| Utc.with_ymd_and_hms(2026, 1, 5, 9, minute, second).unwrap();
    let verify = |now| vector.verify_at(&vector.headers(), vector.body, now);
    assert!(verify(at(35, 0)).is_ok());
    assert!(verify(at(25, 0)).is_ok());
    let expired = verify(at(35, 1)).unwrap_err().to_string();
    assert_eq!(
        expired,
        "Signature expired: 20260105T093000Z is now earlier than 20260105T093001Z (20260105T093501Z - 5 min.)"
    );
    assert!(verify(at(24, 59)).unwrap_err().to_string().starts_with("Signature not yet current: "));
}

#[test]
fn an_amazon_header_that_is_not_signed_is_refused() {
    let vector = VECTOR_6;
    let mut headers = vector.headers();
    for (name, value) in [("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-security-token", "x")] {
        headers.insert(name, HeaderValue::from_static(value));
        assert!(matches!(vector.verify(&headers, vector.body), Err(Rejection::Incomplete(_))), "{name}");
        headers.remove(name);
    }
}

#[test]
fn an_unsigned_hash_of_the_body_is_taken_if_it_is_right() {
    let vector = VECTOR_6;
    let mut headers = vector.headers();
    let hash = HEXLOWER.encode(&Sha256::digest(vector.body));
    headers.insert("x-amz-content-sha256", HeaderValue::from_str(&hash).unwrap());
    assert!(vector.verify(&headers, vector.body).is_ok());
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    headers.append("x-amz-content-sha256", HeaderValue::from_static(of_nothing));
    assert!(matches!(vector.verify(&headers, vector.body), Err(Rejection::Incomplete(_))));
}

#[test]
fn a_header_that_decides_must_not_come_twice() {
    let vector = VECTOR_6;
    for name in ["authorization", "x-amz-date", "host"] {
        let mut headers = vector.headers();
        let twin = headers[name].clone();
        headers.append(HeaderName::from_static(name), twin);
        assert!(matches!(vector.verify(&headers, vector.body), Err(Rejection::Incomplete(_))), "{name}");
    }
}

#[test]
fn blanks_in_the_authorization_are_optional_and_inner_runs_are_folded() {
    let vector = VECTOR_2;
    let mut headers = vector.headers();
    let text = headers["authorization"].to_str().unwrap().replace(", ", ",");
    headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
    headers.insert("accept", HeaderValue::from_static("  application/json  "));
    assert!(vector.verify(&headers, vector.body).is_ok());
}

#[test]
fn an_authorization_that_lacks_a_part_is_incomplete() {
    let vector = VECTOR_6;
    let whole = vector.headers()["authorization"].to_str().unwrap().to_owned();
    for (cut, by) in [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
        ("Signature=", "Signed="),
        ("/aws4_request", ""),
        ("accept;content-type", "content-type;accept"),
        ("host;x-amz-date", "x-amz-date"),
    ] {
        let mut headers = vector.headers();
        headers.insert("authorization", HeaderValue::from_str(&whole.replace(cut, by)).unwrap());
        assert!(matches!(vector.verify(&headers, vector.body), Err(Rejection::Incomplete(_))), "{cut}");
    }
    let mut headers = vector.headers();
    headers.remove("authorization");
    assert_eq!(vector.verify(&headers, vector.body), Err(Rejection::Missing));
}
