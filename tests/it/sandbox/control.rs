//! The control port: everything it shows and changes, and what it refuses.

use rust_decimal::Decimal;
use serde_json::json;

use super::bench::Bench;

#[tokio::test]
async fn the_book_and_the_requests_are_shown_and_forgotten() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.50").await;
    let (status, book) = bench.ctl("GET", "/book", "").await;
    assert_eq!((status, &book[0]["amount"], &book[0]["state"]), (200, &json!("25.5"), &json!("live")));
    assert_eq!(book, serde_json::to_value(bench.control.book()).unwrap());
    let (_, requests) = bench.ctl("GET", "/requests", "").await;
    assert_eq!(requests, serde_json::to_value(bench.control.requests()).unwrap());
    assert_eq!((&requests[0]["sequence"], &requests[0]["real_op"]), (&json!(1), &json!(true)));
    assert_eq!(bench.ctl("DELETE", "/requests", "").await, (200, json!([])));
    bench.create("AwssbA", "25.50").await;
    assert_eq!(bench.last().sequence, 2, "numbers go on");
}

#[tokio::test]
async fn rules_are_set_one_or_many_shown_and_dropped() {
    let bench = Bench::start().await;
    let one = r#"{"operation":"CreateGiftCard","times":1,"fault":{"kind":"throttle"}}"#;
    let (status, _) = bench.ctl("POST", "/faults", one).await;
    assert_eq!(status, 200);
    let many =
        r#"[{"skip":1,"fault":{"kind":"html_error","status":503,"after_work":false}},{"fault":{"kind":"hang"}}]"#;
    let (_, faults) = bench.ctl("POST", "/faults", many).await;
    assert_eq!(faults.as_array().unwrap().len(), 3);
    assert_eq!(bench.create("AwssbA", "1").await.status, Some(429));
    let (_, faults) = bench.ctl("GET", "/faults", "").await;
    assert_eq!((&faults[0]["fired"], &faults[1]["passed"]), (&json!(1), &json!(0)));
    assert_eq!(bench.ctl("DELETE", "/faults", "").await, (200, json!([])));
    assert_eq!(bench.create("AwssbA", "1").await.status, Some(200));
}

#[tokio::test]
async fn the_clocks_are_moved() {
    let bench = Bench::start().await;
    let (status, clock) = bench.ctl("POST", "/clock", r#"{"advance_seconds":901}"#).await;
    assert_eq!((status, &clock["offset_seconds"], &clock["signature_skew_seconds"]), (200, &json!(901), &json!(0)));
    let both = r#"{"advance_seconds":-1,"signature_skew_seconds":400}"#;
    let (_, clock) = bench.ctl("POST", "/clock", both).await;
    assert_eq!((&clock["offset_seconds"], &clock["signature_skew_seconds"]), (&json!(900), &json!(400)));
    assert_eq!(bench.ctl("GET", "/clock", "").await.1["offset_seconds"], 900);
}

#[tokio::test]
async fn funds_and_throttle_are_set() {
    let bench = Bench::start().await;
    let (status, funds) = bench.ctl("PUT", "/funds", r#"{"partner_id":"Awssb","amount":"12.34"}"#).await;
    assert_eq!((status, &funds[0]), (200, &json!({"partner_id":"Awssb","amount":"12.34"})));
    bench.ctl("PUT", "/funds", r#"{"partner_id":"Awssb","amount":0.1}"#).await;
    assert_eq!(bench.left(), Decimal::new(1, 1));
    assert_eq!(bench.ctl("GET", "/funds", "").await.1[0]["amount"], "0.1");
    assert_eq!(bench.ctl("PUT", "/throttle", r#"{"enabled":true}"#).await, (200, json!({"enabled":true})));
    assert!(bench.control.throttle());
}

#[tokio::test]
async fn bad_input_is_told_so_and_changes_nothing() {
    let bench = Bench::start().await;
    for (method, path, body) in [
        ("POST", "/faults", "nope"),
        ("POST", "/faults", r#"{"fault":{"kind":"no_such_kind"}}"#),
        ("POST", "/faults", r#"{"operation":"IssueGiftCard","fault":{"kind":"hang"}}"#),
        ("POST", "/faults", r#"{"fault":{"kind":"hang","after_work":true}}"#),
        ("POST", "/faults", r#"{"fault":{"kind":"hang"},"skips":1}"#),
        (
            "POST",
            "/faults",
            r#"[{"fault":{"kind":"hang"}},{"fault":{"kind":"html_error","status":99,"after_work":true}}]"#,
        ),
        ("POST", "/faults", r#"{"fault":{"kind":"delay","milliseconds":99999999}}"#),
        ("POST", "/faults", r#"{"fault":{"kind":"f_code","code":"F999","error_type":"X","after_work":true}}"#),
        ("POST", "/faults", r#"{"fault":{"kind":"redirect","location":"a\nb"}}"#),
        ("POST", "/clock", "{}"),
        ("POST", "/clock", r#"{"advance_seconds":"1"}"#),
        ("POST", "/clock", r#"{"advance_seconds":9223372036854775807,"signature_skew_seconds":5}"#),
        ("PUT", "/funds", r#"{"partner_id":"Nobody","amount":"1"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","amount":"-1"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","amount":"much"}"#),
        ("PUT", "/throttle", r#"{"enabled":1}"#),
    ] {
        let (status, answer) = bench.ctl(method, path, body).await;
        assert_eq!(status, 400, "{body} {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{body}");
    }
    assert!(bench.control.faults().is_empty());
    let clock = bench.control.clock();
    assert_eq!((clock.offset_seconds, clock.signature_skew_seconds), (0, 0));
    assert_eq!((bench.left(), bench.control.throttle()), (Decimal::from(10_000), false));
    assert_eq!(bench.ctl("GET", "/nowhere", "").await.0, 404);
    assert_eq!(bench.ctl("DELETE", "/book", "").await.0, 405);
}
