//! Every way in which a call can end (U1 to U27 of `tests/RELIABILITY.md`).

use serde_json::{Value, json};

use super::*;

pub(super) const ID: &str = "AwssbMZXW6YTBOI";
const CODE: &str = "CNRY-CANARY-CODE";
const JSON: Option<&str> = Some("application/json");
const SIGNATURE: &str =
    "The request signature we calculated does not match the signature you provided.\n\nCheck your key.";

pub(super) fn id() -> CreationRequestId {
    CreationRequestId::from_stored(ID.to_owned())
}

pub(super) fn asked() -> Money {
    Money::from_minor(2500, Currency::Usd)
}

pub(super) fn card_body() -> Value {
    json!({
        "cardInfo": {"cardNumber": null, "cardStatus": "Fulfilled", "expirationDate": null,
            "value": {"amount": 25.0, "currencyCode": "USD"}},
        "creationRequestId": ID, "gcClaimCode": CODE, "gcExpirationDate": null, "gcId": "A2GCN9BRX5QS76", "status": "SUCCESS"
    })
}

/// The body of a live card with one field replaced.
pub(super) fn card_with(pointer: &str, value: Value) -> Vec<u8> {
    let mut body = card_body();
    *body.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&body).unwrap()
}

fn refused(code: &str, error_type: &str, status: &str) -> Vec<u8> {
    let inner = json!({"__type": "CreateGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.agcod/",
        "cardInfo": null, "creationRequestId": ID, "gcClaimCode": null, "gcExpirationDate": null, "gcId": null, "status": status});
    serde_json::to_vec(&json!({"agcodResponse": inner, "errorCode": code, "errorType": error_type, "message": CODE}))
        .unwrap()
}

fn says(message: &str) -> Vec<u8> {
    serde_json::to_vec(&json!({ "message": message })).unwrap()
}

pub(super) fn answer(status: u16, body: &[u8]) -> WholeAnswer<'_> {
    WholeAnswer { status, content_type: JSON, exception: None, body }
}

/// Class and detail, as the tests compare them: an outcome does not print.
fn word(outcome: &Outcome<CardProof>) -> String {
    let detail = match outcome {
        Outcome::Proven(CardProof::Fulfilled(code)) => {
            assert_eq!(code.expose(), CODE);
            "fulfilled"
        }
        Outcome::Proven(CardProof::Refunded) => "refunded",
        Outcome::Proven(CardProof::OddStatus) => "odd",
        Outcome::Proven(CardProof::Mismatch) => "mismatch",
        Outcome::Refused(refusal) => {
            return format!("refused {} {}", refusal.family.as_str(), refusal.error_type.as_str());
        }
        Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => outcome.reason(),
    };
    format!("{} {detail}", outcome.class())
}

fn created(answer: WholeAnswer<'_>) -> String {
    let word = word(&create(Ok(answer), &id(), asked()).map(|seen| seen.proof));
    assert!(!word.contains("CANARY"), "the answer's text came through");
    word
}

#[test]
fn u1_to_u6_silence_is_doubt_unless_nothing_was_sent() {
    for (no_reply, expected) in [
        (NoReply::NotSent(NotSent::Connect), "not_sent connect"),
        (NoReply::NotSent(NotSent::Build), "not_sent build"),
        (NoReply::Unknown(UnknownReason::Timeout), "ambiguous timeout"),
        (NoReply::Unknown(UnknownReason::ConnectionLost), "ambiguous connection_lost"),
        (NoReply::Unknown(UnknownReason::TooLarge), "ambiguous too_large"),
    ] {
        assert_eq!(word(&create(Err(no_reply), &id(), asked()).map(|seen| seen.proof)), expected);
        assert_eq!(cancel(Err(no_reply), &id()).reason(), create(Err(no_reply), &id(), asked()).reason());
        assert_eq!(funds(Err(no_reply), Currency::Usd).class(), create(Err(no_reply), &id(), asked()).class());
    }
}

#[test]
fn u7_and_u8_an_answer_that_cannot_be_read_is_a_doubt() {
    let whole = serde_json::to_vec(&card_body()).unwrap();
    let cut = whole.split_last().unwrap().1;
    let twice = [whole.clone(), whole.clone()].concat();
    let marked = [b"\xef\xbb\xbf".as_slice(), &whole].concat();
    for body in [cut, b"", b"<html>ok</html>", b"\xff\xfe{}", &twice, &marked] {
        assert_eq!(created(answer(200, body)), "ambiguous not_json");
    }
    for body in ["[]", "null", "\"SUCCESS\"", "{}", r#"{"status":null}"#, r#"["SUCCESS"]"#] {
        assert_eq!(created(answer(200, body.as_bytes())), "ambiguous wrong_shape", "{body}");
    }
    for label in
        [None, Some(""), Some("text/html"), Some("application/jsonp"), Some("application/xml; x=application/json")]
    {
        assert_eq!(
            created(WholeAnswer { content_type: label, ..answer(200, &whole) }),
            "ambiguous not_json",
            "{label:?}"
        );
    }
}

#[test]
fn u9_and_u25_a_live_card_with_everything_as_asked_is_fulfilled() {
    let mut body = serde_json::to_vec(&card_body()).unwrap();
    for label in ["application/json", "Application/JSON; charset=UTF-8", "application/x-amz-json-1.1"] {
        assert_eq!(created(WholeAnswer { content_type: Some(label), ..answer(200, &body) }), "proven fulfilled");
    }
    body.push(b'\n');
    assert_eq!(created(answer(200, &body)), "proven fulfilled");
    for amount in ["25", "25.0", "25.00", "2.5e1", "2500E-2"] {
        let text = String::from_utf8(card_with("/cardInfo/value/amount", json!("AMOUNT")))
            .unwrap()
            .replace("\"AMOUNT\"", amount);
        assert_eq!(created(answer(200, text.as_bytes())), "proven fulfilled", "{amount}");
    }
}

#[test]
fn u10_and_u11_a_card_that_is_not_live_is_never_delivered() {
    let with_status = |status: &str| card_with("/cardInfo/cardStatus", json!(status));
    assert_eq!(created(answer(200, &with_status("RefundedToPurchaser"))), "proven refunded");
    for status in ["Expired", "Created", "fulfilled", "Fulfilled ", ""] {
        assert_eq!(created(answer(200, &with_status(status))), "proven odd", "{status}");
    }
    assert_eq!(created(answer(200, &card_with("/cardInfo/cardStatus", Value::Null))), "ambiguous wrong_shape");
}

#[test]
fn u12_another_id_amount_or_currency_is_a_mismatch_whatever_the_status() {
    for (pointer, value) in [
        ("/creationRequestId", json!("AwssbOTHER")),
        ("/creationRequestId", json!("")),
        ("/cardInfo/value/amount", json!(24.99)),
        ("/cardInfo/value/amount", json!(25.001)),
        ("/cardInfo/value/amount", json!(-25)),
        ("/cardInfo/value/amount", json!(1e300)),
        ("/cardInfo/value/currencyCode", json!("EUR")),
        ("/cardInfo/value/currencyCode", json!("XXX")),
        ("/cardInfo/value/currencyCode", json!("usd")),
    ] {
        assert_eq!(created(answer(200, &card_with(pointer, value.clone()))), "proven mismatch", "{pointer} {value}");
        let mut dead = card_body();
        *dead.pointer_mut("/cardInfo/cardStatus").unwrap() = json!("RefundedToPurchaser");
        *dead.pointer_mut(pointer).unwrap() = value;
        assert_eq!(created(answer(200, &serde_json::to_vec(&dead).unwrap())), "proven mismatch", "{pointer}");
    }
}

#[test]
fn a_success_that_leaves_something_out_is_a_doubt_and_no_mismatch() {
    for pointer in
        ["/creationRequestId", "/cardInfo", "/cardInfo/value", "/cardInfo/value/amount", "/cardInfo/value/currencyCode"]
    {
        for value in [Value::Null, json!([]), json!(true)] {
            assert_eq!(created(answer(200, &card_with(pointer, value))), "ambiguous wrong_shape", "{pointer}");
        }
    }
    assert_eq!(created(answer(200, &card_with("/cardInfo/value/amount", json!("25.00")))), "ambiguous wrong_shape");
}

#[test]
fn u13_a_live_card_without_a_usable_code_is_a_doubt() {
    for code in [
        Value::Null,
        json!(""),
        json!("lower-case-code"),
        json!("SHORT"),
        json!(7),
        json!("CNRY\u{e9}CANARY"),
        json!(["A"]),
        json!("CNRY\"CANARY"),
    ] {
        assert_eq!(created(answer(200, &card_with("/gcClaimCode", code))), "ambiguous no_claim_code");
    }
    // An escaped code would have to be copied to be read; Amazon has no reason to escape one.
    let escaped = String::from_utf8(card_with("/gcClaimCode", json!("ESCAPED")))
        .unwrap()
        .replace("ESCAPED", "\\u0043NRY-CANARY-CODE");
    assert_eq!(created(answer(200, escaped.as_bytes())), "ambiguous no_claim_code");
}

#[test]
fn u14_to_u17_and_u27_the_error_code_decides_a_refusal() {
    for (code, error_type, expected) in [
        ("F200", "InvalidAmountValue", "refused F200 InvalidAmountValue"),
        ("F200", "CancelRequestArrivedAfterTimeLimit", "refused F200 CancelRequestArrivedAfterTimeLimit"),
        ("F300", "InsufficientFunds", "refused F300 InsufficientFunds"),
        ("F300", "OperationNotPermitted", "refused F300 OperationNotPermitted"),
        ("F300", "GeneralError", "refused F300 GeneralError"),
        ("F200", "InsufficientFunds", "refused F200 InsufficientFunds"),
        ("F300", CODE, "refused F300 Other"),
    ] {
        // 200 and 500 too: the body decides first.
        for status in [200, 400, 403, 500] {
            assert_eq!(created(answer(status, &refused(code, error_type, "FAILURE"))), expected);
        }
    }
    // What a mock id answers: every inner field null; and the flat shape of the XML errors.
    let mock = br#"{"agcodResponse":{"cardInfo":null,"creationRequestId":null,"gcClaimCode":null,"gcId":null,"status":"FAILURE"},"errorCode":"F300","errorType":"InsufficientFunds","message":"Insufficient Funds"}"#;
    assert_eq!(created(answer(400, mock)), "refused F300 InsufficientFunds");
    assert_eq!(created(answer(400, br#"{"errorCode":"F200","errorType":null}"#)), "refused F200 Other");
}

#[test]
fn a_refusal_that_contradicts_itself_refuses_nothing() {
    let shows_code = format!(r#"{{"agcodResponse":{{"gcClaimCode":"{CODE}","status":"FAILURE"}},"errorCode":"F200"}}"#);
    let other_id = r#"{"agcodResponse":{"creationRequestId":"AwssbOTHER","status":"FAILURE"},"errorCode":"F200"}"#;
    for body in [shows_code.as_bytes(), other_id.as_bytes(), &refused("F300", "InsufficientFunds", "SUCCESS")] {
        assert_eq!(created(answer(400, body)), "ambiguous wrong_shape");
    }
    let both = card_body()
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .chain([("errorCode".to_owned(), json!("F200"))])
        .collect::<Value>();
    assert_eq!(created(answer(200, &serde_json::to_vec(&both).unwrap())), "ambiguous wrong_shape");
}

#[test]
fn u18_and_u19_amazons_own_trouble_is_a_doubt() {
    for (code, status, expected) in [
        ("F400", "RESEND", "ambiguous F400"),
        ("F400", "FAILURE", "ambiguous F400"),
        ("F200", "RESEND", "ambiguous F400"),
        ("F100", "FAILURE", "ambiguous F100"),
        ("F500", "FAILURE", "ambiguous F500"),
    ] {
        for http in [200, 400, 503] {
            assert_eq!(created(answer(http, &refused(code, "GeneralError", status))), expected);
        }
    }
    for body in [b"".as_slice(), b"<html>503</html>", b"{}", br#"{"message":"internal"}"#, br#"{"Message":null}"#] {
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(created(answer(status, body)), "ambiguous server_error");
        }
    }
    assert_eq!(created(answer(200, &card_with("/status", json!("RESEND")))), "ambiguous F400");
    assert_eq!(created(answer(503, &serde_json::to_vec(&card_body()).unwrap())), "ambiguous server_error");
}

#[test]
fn u20_throttling_is_seen_in_every_shape() {
    let xml = b"<ThrottlingException><Message>Rate exceeded</Message></ThrottlingException>";
    for (status, label, exception, body) in [
        (429, None, None, b"".as_slice()),
        (429, JSON, None, &refused("F300", "InsufficientFunds", "FAILURE")),
        (400, JSON, None, br#"{"message":"Rate exceeded"}"#),
        (400, JSON, None, br#"{"Message":"Rate exceeded"}"#),
        (200, JSON, None, br#"{"message":"Rate exceeded"}"#),
        (503, JSON, None, br#"{"message":"rate exceeded "}"#),
        (400, JSON, None, br#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":null}"#),
        (400, JSON, None, br#"{"errorType":"ThrottlingException","errorCode":"F300"}"#),
        (400, JSON, None, br#"{"errorCode":"Throttled"}"#),
        (400, JSON, Some("ThrottlingException:http://internal.amazon.com/coral/"), b"{}"),
        (400, Some("application/xml"), None, xml),
        (503, None, None, xml),
    ] {
        assert_eq!(
            created(WholeAnswer { status, content_type: label, exception, body }),
            "ambiguous throttled",
            "{status}"
        );
    }
}

#[test]
fn u21_and_u22_the_front_door_is_known_by_its_sentences() {
    for (message, expected) in [
        (SIGNATURE, "turned_away signature"),
        (
            "Signature expired: 20260105T093000Z is now earlier than 20260105T094000Z (20260105T094500Z - 5 min.)",
            "turned_away clock_skew",
        ),
        ("Signature not yet current: 20260105T093000Z is still later than 20260105T092000Z", "turned_away clock_skew"),
        ("The security token included in the request is invalid.", "turned_away access_key"),
        ("The security token included in the request is expired", "turned_away access_key"),
    ] {
        for status in [400, 401, 403] {
            assert_eq!(created(answer(status, &says(message))), expected, "{message}");
        }
        // Neither a success, nor a server's trouble, nor a page is a front door.
        assert_eq!(created(answer(200, &says(message))), "ambiguous wrong_shape");
        assert_eq!(created(answer(503, &says(message))), "ambiguous server_error");
        assert_eq!(
            created(WholeAnswer { content_type: Some("text/html"), ..answer(403, &says(message)) }),
            "ambiguous unlisted"
        );
    }
    // F200 is documented as typical for a bad signature, too: the sentence says more than the family.
    let both =
        serde_json::to_vec(&json!({"errorCode": "F200", "errorType": "InvalidRequest", "message": SIGNATURE})).unwrap();
    assert_eq!(created(answer(403, &both)), "turned_away signature");
    for body in [b"<html>Forbidden</html>".as_slice(), b"", &says("Forbidden"), br#"{"message":null}"#, b"{}"] {
        assert_eq!(created(answer(403, body)), "ambiguous unlisted");
    }
}

#[test]
fn u23_a_redirect_is_a_doubt_whatever_its_body_says() {
    for status in [300, 301, 302, 303, 307, 308] {
        for body in
            [b"".to_vec(), serde_json::to_vec(&card_body()).unwrap(), refused("F200", "GeneralError", "FAILURE")]
        {
            assert_eq!(created(answer(status, &body)), "ambiguous redirect");
        }
    }
}

#[test]
fn u24_what_is_in_no_list_is_a_doubt() {
    for body in [
        b"".as_slice(),
        b"{}",
        br#"{"Message":null}"#,
        br#"{"Message":"class java.lang.String is not an expected Json type"}"#,
        br#"{"errorCode":200}"#,
    ] {
        for status in [201, 204, 400, 404, 413] {
            assert_eq!(created(answer(status, body)), "ambiguous unlisted");
        }
    }
    for code in ["F600", "F2000", "f200", ""] {
        assert_eq!(
            created(answer(400, &refused(code, "InvalidAmountValue", "FAILURE"))),
            "ambiguous unlisted",
            "{code}"
        );
    }
    assert_eq!(created(answer(400, br#"{"agcodResponse":{"status":"FAILURE"}}"#)), "ambiguous unlisted");
    assert_eq!(created(answer(200, &card_with("/status", json!("FAILURE")))), "ambiguous unlisted");
    assert_eq!(created(answer(201, &serde_json::to_vec(&card_body()).unwrap())), "ambiguous unlisted");
}

#[test]
fn a_cancel_is_proven_only_for_its_own_id() {
    let canceled = |body: &[u8]| cancel(Ok(answer(200, body)), &id());
    let with_gc_id = format!(r#"{{"creationRequestId":"{ID}","gcId":"A2GCN9BRX5QS76","status":"SUCCESS"}}"#);
    let without = format!(r#"{{"creationRequestId":"{ID}","status":"SUCCESS"}}"#);
    assert_eq!(canceled(with_gc_id.as_bytes()).class(), "proven");
    assert_eq!(canceled(without.as_bytes()).class(), "proven");
    assert_eq!(canceled(br#"{"creationRequestId":"AwssbOTHER","status":"SUCCESS"}"#).reason(), "wrong_shape");
    assert_eq!(canceled(br#"{"creationRequestId":null,"status":"SUCCESS"}"#).reason(), "wrong_shape");
    assert_eq!(canceled(&refused("F200", "CancelRequestArrivedAfterTimeLimit", "FAILURE")).reason(), "F200");
    assert_eq!(cancel(Ok(answer(400, &refused("F300", "OperationNotPermitted", "FAILURE"))), &id()).reason(), "F300");
}

#[test]
fn funds_are_read_exactly_and_in_the_accounts_currency_only() {
    let read = |body: &str| funds(Ok(answer(200, body.as_bytes())), Currency::Jpy);
    let Outcome::Proven(found) = read(
        r#"{"availableFunds":{"amount":1000.0,"currencyCode":"JPY"},"status":"SUCCESS","timestamp":"20220610T085450Z"}"#,
    ) else {
        panic!("the recorded answer is understood");
    };
    assert_eq!(found.amount, Money::from_minor(1000, Currency::Jpy));
    assert_eq!(found.as_of.unwrap().timestamp(), 1_654_851_290);
    let Outcome::Proven(owing) =
        read(r#"{"availableFunds":{"amount":-5,"currencyCode":"JPY"},"status":"SUCCESS","timestamp":"soon"}"#)
    else {
        panic!("an unknown timestamp is tolerated");
    };
    assert_eq!((owing.amount.minor(), owing.as_of), (-5, None));
    for funds in [
        r#"{"amount":1,"currencyCode":"USD"}"#,
        r#"{"amount":0.5,"currencyCode":"JPY"}"#,
        r#"{"amount":null,"currencyCode":"JPY"}"#,
        "null",
        "{}",
    ] {
        assert_eq!(
            read(&format!(r#"{{"availableFunds":{funds},"status":"SUCCESS"}}"#)).reason(),
            "wrong_shape",
            "{funds}"
        );
    }
}
