//! Any request at all, for the gateway's verifier and its reader of bodies. For the fuzzer, and for property tests.

use chrono::{DateTime, Utc};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::fields::Fields;
use super::signature::{SignedRequest, verify};

/// The public key pair of Amazon's examples, and the second at which the corpus was signed.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SIGNED_AT: i64 = 1_767_605_400;

/// Verifies a request: a line with the path, a line each header, an empty line, the body. Says whether the signature holds.
///
/// # Panics
/// A signature holds for other bytes as well.
pub fn signature(bytes: &[u8]) -> bool {
    drop(Fields::read(bytes));
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let body = body.get(2..).unwrap_or_default();
    drop(Fields::read(body));
    let Ok(head) = str::from_utf8(head) else { return false };
    let mut lines = head.lines();
    let path = lines.next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let now = DateTime::from_timestamp(SIGNED_AT, 0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let secret_of = |id: &str| (id == KEY_ID).then(|| SECRET.to_owned());
    let holds = |path: &str, body: &[u8]| {
        verify(&SignedRequest { method: "POST", path, query: "", headers: &headers, body }, secret_of, now).is_ok()
    };
    if !holds(path, body) {
        return false;
    }
    let longer = [body, b" "].concat();
    assert!(!holds(path, &longer) && !holds(&format!("{path}x"), body), "a signature holds for other bytes as well");
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CANCEL: &[u8] = include_bytes!("../../fuzz/corpus/signature/cancel");

    #[test]
    fn the_request_that_is_changed_is_signed_well() {
        assert!(signature(CANCEL));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_signature_that_holds_holds_for_its_own_bytes_alone(at in 0..CANCEL.len(), byte in any::<u8>()) {
            let mut request = CANCEL.to_vec();
            request[at] = byte;
            signature(&request);
            let body = CANCEL.windows(2).position(|pair| pair == b"\n\n").unwrap();
            prop_assert!(at <= body + 1 || request == CANCEL || !signature(&request), "a body with another byte passes");
        }
    }
}
