//! What CreateGiftCard refuses, in which words, and in which order.

use super::bench::{Bench, create_body};
use super::signer::Call;

async fn refusal(bench: &Bench, body: &str) -> (u16, String, String, String) {
    let seen = bench.post("CreateGiftCard", body).await;
    let json = seen.json();
    let text = |name: &str| json.get(name).and_then(|text| text.as_str()).unwrap_or_default().to_owned();
    (seen.status.unwrap_or_default(), text("errorCode"), text("errorType"), text("message"))
}

#[tokio::test]
async fn each_bad_create_is_refused_by_its_name() {
    let bench = Bench::start().await;
    let long_id = format!("Awssb{}", "0".repeat(36));
    let long_reference =
        create_body("AwssbA", "1", "USD").replace("}}", &format!("}},\"externalReference\":\"{}\"}}", "é".repeat(101)));
    let cases = [
        ("", "InvalidRequestInput", "Request body is null"),
        ("null", "InvalidRequestInput", "Request body is null"),
        ("{}", "InvalidPartnerIdInput", "Partner Id can't be null or empty"),
        (r#"{"partnerId":"Awssb"}"#, "InvalidRequestIdInput", "Request Id can't be null or empty"),
        (&create_body(&long_id, "1", "USD"), "RequestIdTooLong", "Request Id Too Long, Max allowed length is 40"),
        (
            &create_body("Other1", "1", "USD"),
            "RequestIdMustStartWithPartnerName",
            "Request Id Must Start With Partner Name",
        ),
        (
            &create_body("F9999", "1", "USD"),
            "RequestIdMustStartWithPartnerName",
            "Request Id Must Start With Partner Name",
        ),
        (r#"{"partnerId":"Awssb","creationRequestId":"AwssbA"}"#, "InvalidAmountInput", "Amount can't be null"),
        (&create_body("AwssbA", "0", "USD"), "InvalidAmountValue", "Amount must be larger than 0"),
        (&create_body("AwssbA", "-1.0", "USD"), "InvalidAmountValue", "Amount must be larger than 0"),
        (&create_body("AwssbA", "1", ""), "InvalidCurrencyCodeInput", "Currency Code can't be null or empty"),
        (&long_reference, "ExternalReferenceTooLong", "External Reference Too Long"),
        (&create_body("AwssbA", "1", "EUR"), "InvalidCurrencyInMarketplace", "Invalid Currency In Marketplace"),
        (&create_body("AwssbA", "1", "CAD"), "CurrencyCodeMismatch", "Currency Code Mismatch"),
        (&create_body("AwssbA", "1.001", "USD"), "FractionalAmountNotAllowed", "Fractional Amount Not Allowed"),
        (&create_body("AwssbA", "2000.01", "USD"), "MaxAmountExceeded", "Max Amount Exceeded"),
        (&create_body("AwssbA", "0.14", "USD"), "AmountBelowMinThreshold", "Amount Below Min Threshold"),
    ];
    for (body, error_type, message) in cases {
        let expected = (400, "F200".to_owned(), error_type.to_owned(), message.to_owned());
        assert_eq!(refusal(&bench, body).await, expected, "{body}");
    }
    assert!(bench.control.book().is_empty());
    let whole_id = format!("Awssb{}", "-_".repeat(17) + "0");
    assert_eq!(bench.create(&whole_id, "2000.000").await.status, Some(200), "the limits themselves are allowed");
    assert_eq!(bench.create("AwssbLeast", "0.15").await.status, Some(200));
}

#[tokio::test]
async fn what_the_body_reader_refuses_has_a_capital_message() {
    let bench = Bench::start().await;
    for (body, message) in [
        (create_body("AwssbA", "null", "USD"), serde_json::Value::Null),
        (create_body("AwssbA", "1e999", "USD"), serde_json::Value::Null),
        (r#""{}""#.to_owned(), "class java.lang.String is not an expected Json type".into()),
        (create_body("AwssbA", r#""1""#, "USD"), "class java.lang.String is not an expected Json type".into()),
        ("{nope".to_owned(), "The request body could not be parsed as JSON".into()),
    ] {
        let seen = bench.post("CreateGiftCard", &body).await;
        assert_eq!((seen.status, seen.json()), (Some(400), serde_json::json!({ "Message": message })), "{body}");
    }
}

#[tokio::test]
async fn a_refusal_repeats_the_value_only_once_the_input_is_complete() {
    let bench = Bench::start().await;
    let early = bench.create("AwssbA", "-1.0").await;
    let expected = "{\"agcodResponse\":{\"__type\":\"CreateGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.\
                    agcod/\",\"cardInfo\":null,\"creationRequestId\":\"AwssbA\",\"gcClaimCode\":null,\"gcExpirationDate\":\
                    null,\"gcId\":null,\"status\":\"FAILURE\"},\"errorCode\":\"F200\",\"errorType\":\"InvalidAmountValue\",\
                    \"message\":\"Amount must be larger than 0\"}\n";
    assert_eq!(early.text(), expected);
    let late = bench.create("AwssbA", "20000").await;
    assert!(late.text().contains(
        "\"cardInfo\":{\"cardNumber\":null,\"cardStatus\":null,\"expirationDate\":null,\"value\":{\"amount\":20000.0,\
         \"currencyCode\":\"USD\"}}"
    ));
}

#[tokio::test]
async fn programs_and_products_are_words_of_a_certain_length() {
    let bench = Bench::start().await;
    let create = |member: &str, word: &str| {
        create_body("AwssbA", "1", "USD").replace("}}", &format!("}},\"{member}\":\"{word}\"}}"))
    };
    for (member, longest, error_type) in [("programId", 100, "InvalidProgramId"), ("productType", 50, "BadInput")] {
        for word in ["a".repeat(longest + 1), "two words".to_owned()] {
            let (status, code, found, _message) = refusal(&bench, &create(member, &word)).await;
            assert_eq!((status, code.as_str(), found.as_str()), (400, "F300", error_type), "{member} {word}");
        }
        assert_eq!(bench.post("CreateGiftCard", &create(member, &"a".repeat(longest))).await.status, Some(200));
    }
}

#[tokio::test]
async fn fractions_of_a_yen_are_refused() {
    let bench = Bench::start().await;
    let yen = |amount: &str| Call {
        host: "agcod-v2-fe.amazon.com".to_owned(),
        region: "us-west-2".to_owned(),
        ..bench.call("CreateGiftCard", &create_body("AwssbA", amount, "JPY"))
    };
    assert_eq!(bench.send(&yen("100.5")).await.error_type(), "FractionalAmountNotAllowed");
    assert_eq!(bench.send(&yen("500001")).await.error_type(), "MaxAmountExceeded");
    assert_eq!(bench.send(&yen("100.0")).await.status, Some(200));
}

#[tokio::test]
async fn members_may_come_in_any_order_with_nulls_and_strangers_between_them() {
    let bench = Bench::start().await;
    let body = r#" {"value" : {"amount":5e0, "currencyCode":"USD"}, "programId":null, "stranger":[1],
                    "externalReference":"café-42", "partnerId":"Awssb", "creationRequestId":"Awssb"} "#;
    let seen = bench.post("CreateGiftCard", body).await;
    assert_eq!((seen.status, &seen.json()["cardInfo"]["value"]["amount"]), (Some(200), &serde_json::json!(5.0)));
}

#[tokio::test]
async fn a_body_over_the_cap_is_not_read() {
    let bench = Bench::start().await;
    let body = format!("{{\"partnerId\":\"{}\"}}", "x".repeat(64 * 1024));
    let seen = bench.post("CreateGiftCard", &body).await;
    assert_eq!(seen.status, Some(413), "{}", seen.head);
}
