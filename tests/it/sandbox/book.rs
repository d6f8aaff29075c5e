//! Idempotency, the cancel window, and the book over a restart.

use rust_decimal::Decimal;

use super::bench::{Bench, PARTNER, create_body};

fn dollars(amount: i64) -> Decimal {
    Decimal::from(amount)
}

#[tokio::test]
async fn a_create_answers_as_recorded_and_debits_once() {
    let bench = Bench::start().await;
    let seen = bench.create("AwssbA", "25.00").await;
    let card = bench.card("AwssbA").unwrap();
    let expected = format!(
        "{{\"cardInfo\":{{\"cardNumber\":null,\"cardStatus\":\"Fulfilled\",\"expirationDate\":null,\"value\":{{\"amount\":25.0,\
         \"currencyCode\":\"USD\"}}}},\"creationRequestId\":\"AwssbA\",\"gcClaimCode\":\"{}\",\"gcExpirationDate\":null,\
         \"gcId\":\"{}\",\"status\":\"SUCCESS\"}}\n",
        card.claim_code, card.gc_id
    );
    assert_eq!(seen.text(), expected);
    assert_eq!(bench.left(), dollars(9_975));
}

#[tokio::test]
async fn a_replay_finds_the_same_card_and_costs_nothing() {
    let bench = Bench::start().await;
    let first = bench.create("AwssbA", "1000.00").await;
    let again = bench.create("AwssbA", "1000").await;
    assert_eq!(first.text(), again.text());
    assert_eq!((bench.control.book().len(), bench.left()), (1, dollars(9_000)));
    let real_ops: Vec<bool> = bench.control.requests().iter().map(|noted| noted.real_op).collect();
    assert_eq!(real_ops, [true, false]);
}

#[tokio::test]
async fn a_replay_with_another_amount_shows_the_original_card() {
    let bench = Bench::start().await;
    let first = bench.create("AwssbA", "10").await;
    assert_eq!(bench.create("AwssbA", "15.5").await.text(), first.text());
    assert_eq!(bench.left(), dollars(9_990));
}

#[tokio::test]
async fn a_replay_over_the_limit_is_refused_although_the_card_exists() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "10").await;
    let seen = bench.create("AwssbA", "2000.01").await;
    assert_eq!((seen.status, seen.error_type().as_str()), (Some(400), "MaxAmountExceeded"));
    assert_eq!(seen.json()["agcodResponse"]["cardInfo"]["value"]["amount"], 2000.01);
}

#[tokio::test]
async fn a_cancel_gives_the_money_back_once_and_the_id_stays_spent() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.00").await;
    let card = bench.card("AwssbA").unwrap();
    let canceled = bench.cancel("AwssbA").await;
    let expected = format!("{{\"creationRequestId\":\"AwssbA\",\"gcId\":\"{}\",\"status\":\"SUCCESS\"}}\n", card.gc_id);
    assert_eq!(canceled.text(), expected);
    assert_eq!(bench.left(), dollars(10_000));
    assert_eq!(bench.cancel("AwssbA").await.text(), expected, "again is a success, and nothing happens");
    assert!(!bench.last().real_op);
    let again = bench.create("AwssbA", "25.00").await;
    assert_eq!(again.json()["cardInfo"]["cardStatus"], "RefundedToPurchaser");
    assert_eq!(again.json()["gcClaimCode"], card.claim_code);
    assert_eq!((again.status, bench.left()), (Some(200), dollars(10_000)));
}

#[tokio::test]
async fn an_unknown_id_cannot_be_canceled_and_is_not_burnt_by_the_attempt() {
    let bench = Bench::start().await;
    let seen = bench.cancel("AwssbA").await;
    let expected = "{\"agcodResponse\":{\"__type\":\"CancelGiftCardResponse:http://internal.amazon.com/coral/com.amazonaws.\
                    agcod/\",\"creationRequestId\":\"AwssbA\",\"gcId\":null,\"status\":\"FAILURE\"},\"errorCode\":\"F300\",\
                    \"errorType\":\"OperationNotPermitted\",\"message\":\"Operation Not Permitted\"}\n";
    assert_eq!((seen.status, seen.text()), (Some(400), expected));
    assert_eq!(bench.create("AwssbA", "1").await.status, Some(200));
}

#[tokio::test]
async fn a_cancel_with_another_cards_id_is_refused() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.00").await;
    let body = |gc_id: &str| format!(r#"{{"creationRequestId":"AwssbA","partnerId":"{PARTNER}","gcId":"{gc_id}"}}"#);
    let seen = bench.post("CancelGiftCard", &body("A2GCN9BRX5QS76")).await;
    assert_eq!((seen.error_type().as_str(), bench.left()), ("InvalidGCIdInput", dollars(9_975)));
    let gc_id = bench.card("AwssbA").unwrap().gc_id;
    assert_eq!(bench.post("CancelGiftCard", &body(&gc_id)).await.status, Some(200));
}

#[tokio::test]
async fn a_cancel_passes_at_14_59_and_is_too_late_at_15_01() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.00").await;
    bench.create("AwssbB", "25.00").await;
    bench.control.advance_clock(14 * 60 + 59).unwrap();
    assert_eq!(bench.cancel("AwssbA").await.status, Some(200));
    assert_eq!(bench.create("AwssbB", "25.00").await.status, Some(200), "a replay does not restart the window");
    bench.control.advance_clock(2).unwrap();
    let seen = bench.cancel("AwssbB").await;
    assert_eq!((seen.status, seen.error_type().as_str()), (Some(400), "CancelRequestArrivedAfterTimeLimit"));
    assert_eq!(bench.cancel("AwssbA").await.status, Some(200), "what was canceled in time stays canceled");
}

#[tokio::test]
async fn without_funds_nothing_is_created() {
    let bench = Bench::start().await;
    bench.control.set_funds_in(PARTNER, "USD", Decimal::new(2499, 2)).unwrap();
    let seen = bench.create("AwssbA", "25").await;
    assert_eq!((seen.json()["errorCode"].as_str(), seen.error_type().as_str()), (Some("F300"), "InsufficientFunds"));
    assert_eq!((bench.control.book().len(), bench.left()), (0, Decimal::new(2499, 2)));
    bench.control.set_funds_in(PARTNER, "USD", dollars(25)).unwrap();
    assert_eq!(bench.create("AwssbA", "25").await.status, Some(200));
    assert_eq!(bench.left(), Decimal::ZERO);
}

#[tokio::test]
async fn the_balance_is_the_real_one() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "0.16").await;
    let seen = bench.funds().await;
    let stamp = seen.json()["timestamp"].as_str().unwrap().to_owned();
    let expected = format!(
        "{{\"availableFunds\":{{\"amount\":9999.84,\"currencyCode\":\"USD\"}},\"status\":\"SUCCESS\",\"timestamp\":\"{stamp}\"}}\n"
    );
    assert_eq!(seen.text(), expected);
    assert_eq!((stamp.len(), stamp.ends_with('Z')), (16, true));
}

#[tokio::test]
async fn hundred_concurrent_creates_of_one_id_buy_one_card() {
    let bench = std::sync::Arc::new(Bench::start().await);
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let bench = std::sync::Arc::clone(&bench);
        racers.spawn(async move { bench.create("AwssbA", "10").await.text().to_owned() });
    }
    let answers: std::collections::BTreeSet<String> = racers.join_all().await.into_iter().collect();
    assert_eq!((answers.len(), bench.control.book().len(), bench.left()), (1, 1, dollars(9_990)));
}

#[tokio::test]
async fn the_book_the_funds_and_the_clock_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    let bench = Bench::with_file(&path).await;
    let first = bench.create("AwssbA", "25.00").await;
    bench.create("AwssbB", "5.00").await;
    bench.cancel("AwssbB").await;
    bench.control.set_funds_in("Other", "USD", dollars(7)).unwrap();
    bench.control.advance_clock(901).unwrap();
    let (cards, control) = (bench.control.book(), bench.control.clone());
    bench.sandbox.stop().await;
    assert!(control.set_funds_in(PARTNER, "USD", dollars(1)).is_err(), "a stopped sandbox changes nothing");
    let bench = Bench::with_file(&path).await;
    assert_eq!(bench.control.book(), cards);
    assert_eq!((bench.left(), bench.control.funds_in("Other", "USD").unwrap()), (dollars(9_975), dollars(7)));
    assert_eq!(bench.create("AwssbA", "25.00").await.text(), first.text());
    assert_eq!(bench.cancel("AwssbA").await.error_type(), "CancelRequestArrivedAfterTimeLimit");
}

#[tokio::test]
async fn yen_have_ids_of_digits_an_expiry_and_a_decimal_point() {
    let bench = Bench::start().await;
    let mut call = bench.call("CreateGiftCard", &create_body("AwssbA", "1000", "JPY"));
    call.host = "agcod-v2-fe-gamma.amazon.com".to_owned();
    call.region = "us-west-2".to_owned();
    let seen = bench.send(&call).await;
    assert!(seen.text().contains("\"amount\":1000.0,\"currencyCode\":\"JPY\""), "{seen:?}");
    assert!(seen.json()["gcExpirationDate"].as_str().unwrap().contains(" 14:59:59 UTC 20"));
    assert_eq!(seen.json()["gcId"].as_str().unwrap().len(), 16);
}
