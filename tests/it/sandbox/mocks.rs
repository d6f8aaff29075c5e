//! Amazon's mock ids, each with its recorded answer.

use rust_decimal::Decimal;

use super::bench::{Bench, PARTNER};

const MOCKS: [(&str, &str, &str, &str); 17] = [
    ("F1000", "F100", "GeneralError", "General Error"),
    ("F2000", "F200", "InvalidRequestInput", "Request body is null"),
    ("F2001", "F200", "InvalidCardNumberInput", "Card number can't be null or empty"),
    ("F2002", "F200", "InvalidPartnerIdInput", "Partner Id can't be null or empty"),
    ("F2003", "F200", "InvalidAmountInput", "Amount can't be null"),
    ("F2004", "F200", "InvalidAmountValue", "Amount must be larger than 0"),
    ("F2005", "F200", "InvalidCurrencyCodeInput", "Currency Code can't be null or empty"),
    (
        "F2010",
        "F200",
        "CardAlreadyActivatedWithDifferentRequestId",
        "The card was already activated with a different request id",
    ),
    ("F2015", "F200", "MaxAmountExceeded", "Max Amount Exceeded"),
    ("F2016", "F200", "CurrencyCodeMismatch", "Currency Code Mismatch"),
    ("F2017", "F200", "FractionalAmountNotAllowed", "Fractional Amount Not Allowed"),
    (
        "F2047",
        "F200",
        "CancelRequestArrivedAfterTimeLimit",
        "Cancellation cannot be processed as too much time has elapsed since creation",
    ),
    ("F3003", "F300", "InsufficientFunds", "Insufficient Funds"),
    ("F3005", "F300", "GeneralError", "General Error"),
    ("F3010", "F300", "CustomerSurpassedDailyVelocityLimit", "Customer has exceeded daily velocity limit"),
    ("F4000", "F400", "SystemTemporarilyUnavailable", "System Temporarily Unavailable"),
    ("F5000", "F500", "GeneralError", "General Error"),
];

#[tokio::test]
async fn each_mock_id_answers_as_recorded_and_changes_nothing() {
    let bench = Bench::start().await;
    for (id, code, error_type, message) in MOCKS {
        let status = if code == "F400" { "RESEND" } else { "FAILURE" };
        let create = format!(
            "{{\"agcodResponse\":{{\"__type\":\"CreateGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.agcod/\",\
             \"cardInfo\":null,\"creationRequestId\":null,\"gcClaimCode\":null,\"gcExpirationDate\":null,\"gcId\":null,\
             \"status\":\"{status}\"}},\"errorCode\":\"{code}\",\"errorType\":\"{error_type}\",\"message\":\"{message}\"}}\n"
        );
        let cancel = format!(
            "{{\"agcodResponse\":{{\"__type\":\"CancelGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.agcod/\",\
             \"creationRequestId\":null,\"gcId\":null,\"status\":\"{status}\"}},\"errorCode\":\"{code}\",\
             \"errorType\":\"{error_type}\",\"message\":\"{message}\"}}\n"
        );
        let seen = bench.create(id, "500").await;
        assert_eq!((seen.status, seen.text()), (Some(400), create.as_str()));
        let seen = bench.cancel(id).await;
        assert_eq!((seen.status, seen.text()), (Some(400), cancel.as_str()));
    }
    assert_eq!((bench.control.book().len(), bench.left()), (0, Decimal::from(10_000)));
    assert!(bench.control.requests().iter().all(|noted| !noted.real_op));
}

#[tokio::test]
async fn the_mocked_card_repeats_the_value_and_is_in_no_book() {
    let bench = Bench::start().await;
    let expected = "{\"cardInfo\":{\"cardNumber\":null,\"cardStatus\":\"Fulfilled\",\"expirationDate\":null,\"value\":\
                    {\"amount\":500.0,\"currencyCode\":\"USD\"}},\"creationRequestId\":\"F0000\",\"gcClaimCode\":\
                    \"ZYXW-VUTS-RQPO\",\"gcExpirationDate\":null,\"gcId\":\"ABC123ZYX987\",\"status\":\"SUCCESS\"}\n";
    assert_eq!(bench.create("F0000", "500").await.text(), expected);
    let expected = "{\"creationRequestId\":\"F0000\",\"gcId\":\"ABC123ZYX987\",\"status\":\"SUCCESS\"}\n";
    assert_eq!(bench.cancel("F0000").await.text(), expected);
    assert_eq!((bench.control.book().len(), bench.left()), (0, Decimal::from(10_000)));
}

#[tokio::test]
async fn a_mock_id_still_needs_the_right_partner_and_signature() {
    let bench = Bench::start().await;
    let body = format!(
        r#"{{"creationRequestId":"F3003","partnerId":"{PARTNER}","value":{{"currencyCode":"USD","amount":1}}}}"#
    );
    let mut call = bench.call("CreateGiftCard", &body.replace(PARTNER, "Other"));
    assert_eq!(bench.send(&call).await.error_type(), "InvalidPartnerId");
    call.secret = "SECRET".to_owned();
    assert_eq!(bench.send(&call).await.status, Some(403));
}
