//! Whatever is done to a body, a card is delivered only when everything in it is as asked.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    tests::{ID, answer, asked, card_body, card_with, id},
    *,
};

/// An independent reading of a body: is this a live card with everything as asked?
fn is_as_asked(bytes: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return false };
    let at = |pointer: &str| body.pointer(pointer).unwrap_or(&Value::Null);
    at("/status") == "SUCCESS"
        && at("/creationRequestId") == ID
        && at("/gcClaimCode").as_str().is_some_and(|code| crate::kernel::ClaimCode::parse(code).is_some())
        && at("/cardInfo/cardStatus") == "Fulfilled"
        && at("/cardInfo/value/currencyCode") == "USD"
        && at("/cardInfo/value/amount").as_f64() == Some(25.0)
}

fn is_fulfilled(answer: WholeAnswer<'_>) -> bool {
    let outcome = create(Ok(answer), &id(), asked()).map(|seen| seen.proof);
    matches!(outcome, Outcome::Proven(CardProof::Fulfilled(_)))
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[A-Z0-9-]{0,20}".prop_map(Value::from),
        prop_oneof![Just("SUCCESS"), Just("Fulfilled"), Just("F200"), Just("USD"), Just(ID), Just("25.00")]
            .prop_map(Value::from),
        Just(json!(["Fulfilled", {"amount": 25.0, "currencyCode": "USD"}])),
        Just(json!({"amount": 25, "currencyCode": "USD"})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_body_with_changed_bytes_is_fulfilled_only_when_it_is_still_as_asked(
        edits in prop::collection::vec((0_usize..400, any::<u8>(), 0_u8..3), 1..4),
        cut in prop::option::of(0_usize..400),
    ) {
        let mut body = serde_json::to_vec(&card_body()).unwrap();
        for (at, byte, kind) in edits {
            let at = at % body.len();
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => { body.remove(at); }
            }
        }
        body.truncate(cut.unwrap_or(body.len()));
        prop_assert!(!is_fulfilled(answer(200, &body)) || is_as_asked(&body));
    }

    #[test]
    fn a_body_with_changed_fields_is_fulfilled_only_when_it_is_still_as_asked(
        pointer in prop::sample::select(vec!["/status", "/creationRequestId", "/gcClaimCode", "/gcId", "/cardInfo", "/cardInfo/cardStatus",
            "/cardInfo/value", "/cardInfo/value/amount", "/cardInfo/value/currencyCode"]),
        value in any_value(),
        status in prop_oneof![Just(200_u16), 100_u16..600],
    ) {
        let body = card_with(pointer, value);
        let fulfilled = is_fulfilled(answer(status, &body));
        prop_assert_eq!(fulfilled, status == 200 && is_as_asked(&body));
    }

    #[test]
    fn nothing_that_comes_in_makes_the_classifier_panic(
        status in any::<u16>(),
        label in prop::option::of("(application/json|[ -~]{0,20})"),
        exception in prop::option::of("[ -~]{0,30}"),
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "\\{\"(amount|status|errorCode)\":[-0-9eE.+]{1,24}\\}".prop_map(String::into_bytes)],
        number in "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,40})?([eE][-+]?[0-9]{1,12})?",
    ) {
        let any_answer = WholeAnswer { status, content_type: label.as_deref(), exception: exception.as_deref(), body: &body };
        prop_assert!(!is_fulfilled(any_answer));
        prop_assert_ne!(cancel(Ok(any_answer), &id()).class(), "proven");
        prop_assert_ne!(funds(Ok(any_answer), Currency::Usd).class(), "proven");
        let text = String::from_utf8(card_with("/cardInfo/value/amount", json!("AMOUNT"))).unwrap().replace("\"AMOUNT\"", &number);
        prop_assert!(!is_fulfilled(answer(200, text.as_bytes())) || is_as_asked(text.as_bytes()));
    }
}
