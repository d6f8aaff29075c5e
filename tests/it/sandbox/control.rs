//! The control port: everything it shows and changes, and what it refuses.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::bench::{Bench, KEY_ID, PARTNER, PATIENCE, create_body};
use super::signer::{Call, Seen, exchange};

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
    let body = r#"{"partner_id":"Awssb","currency":"USD","amount":"12.34"}"#;
    let (status, funds) = bench.ctl("PUT", "/funds", body).await;
    let mine =
        |funds: &Value| funds.as_array().unwrap().iter().filter(|one| one["partner_id"] == PARTNER).cloned().collect();
    let shown: Vec<Value> = mine(&funds);
    let expected = [("EUR", "10000"), ("JPY", "10000"), ("USD", "12.34")]
        .map(|(currency, amount)| json!({"partner_id": PARTNER, "currency": currency, "amount": amount}));
    assert_eq!((status, shown.as_slice()), (200, expected.as_slice()), "one currency and no other");
    bench.ctl("PUT", "/funds", r#"{"partner_id":"Awssb","currency":"USD","amount":0.1}"#).await;
    assert_eq!(bench.left(), Decimal::new(1, 1));
    assert_eq!(mine(&bench.ctl("GET", "/funds", "").await.1)[2]["amount"], "0.1");
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
        ("PUT", "/funds", r#"{"partner_id":"Awssb","currency":"USD","amount":"-1"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","currency":"USD","amount":"much"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","amount":"1"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","currency":"GBP","amount":"1"}"#),
        ("PUT", "/funds", r#"{"partner_id":"Awssb","currency":"JPY","amount":"0.5"}"#),
        ("PUT", "/terms", r#"{"partner_id":"Nobody"}"#),
        ("PUT", "/terms", r#"{"partner_id":"Awssb","minimum":"2","maximum":"1"}"#),
        ("PUT", "/terms", r#"{"partner_id":"Awssb","requests_per_second":0}"#),
        ("PUT", "/terms", r#"{"partner_id":"Awssb","requests_per_day":0}"#),
        ("PUT", "/partners", r#"{"partner_id":"awssb","keys":[{"id":"A","secret":"S"}]}"#),
        ("PUT", "/partners", r#"{"partner_id":"New","keys":[]}"#),
        ("PUT", "/partners", r#"{"partner_id":"New","keys":[{"id":"AKIDOTHER","secret":"S"}]}"#),
        ("PUT", "/partners", r#"{"partner_id":"New","marketplace":"XX","keys":[{"id":"A","secret":"S"}]}"#),
        (
            "PUT",
            "/partners",
            r#"{"partner_id":"New","marketplace":"UK","currency":"EUR","keys":[{"id":"A","secret":"S"}]}"#,
        ),
        ("POST", "/keys", r#"{"partner_id":"Nobody"}"#),
        ("POST", "/keys", r#"{"partner_id":"Awssb","id":"A"}"#),
        ("POST", "/keys", r#"{"partner_id":"Awssb","id":"AKIDOTHER","secret":"S"}"#),
        ("PUT", "/keys", r#"{"id":"nobodys","active":false}"#),
        ("DELETE", "/keys", r#"{"id":"AKIDOTHER"}"#),
        ("PUT", "/throttle", r#"{"enabled":1}"#),
        ("PUT", "/terms", r#"{"partner_id":"Awssb","minimum":"-1"}"#),
        ("PUT", "/partners", r#"{"partner_id":"TooLongAnId","keys":[{"id":"A","secret":"S"}]}"#),
        ("PUT", "/partners", r#"{"partner_id":"New","keys":[{"id":"A\nB","secret":"S"}]}"#),
        ("PUT", "/latency", r#"{"profile":"near","jitter_milliseconds":5}"#),
        ("PUT", "/state", r#"[{"entry":"funds","partner_id":"Awssb","currency":"USD","amount":"-5"}]"#),
        ("PUT", "/state", r#"[{"entry":"funds","partner_id":"Awssb","currency":"JPY","amount":"0.5"}]"#),
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

/// Health checks of several kinds ask by it.
#[tokio::test]
async fn head_is_answered_as_get_is() {
    let bench = Bench::start().await;
    for path in ["/health", "/book", "/"] {
        let ask = async |method: &str| {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            exchange(bench.sandbox.control_addr(), request.as_bytes(), PATIENCE).await
        };
        let (head, get) = (ask("HEAD").await, ask("GET").await);
        let shown = |seen: &Seen| (seen.status, seen.header("content-type").map(str::to_owned));
        assert_eq!(shown(&head), shown(&get), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        let nowhere = ask("DELETE").await;
        assert_eq!(nowhere.status, Some(405), "{path}");
    }
}

/// As a key is rotated in Amazon's portal: a second one, the first switched off, then deleted.
#[tokio::test]
async fn a_key_is_rotated_while_the_gateway_serves() {
    let bench = Bench::start().await;
    let (status, made) = bench.ctl("POST", "/keys", r#"{"partner_id":"Awssb"}"#).await;
    let word = |name: &str| made[name].as_str().unwrap().to_owned();
    assert_eq!((status, word("id").len(), word("secret").len(), &made["active"]), (200, 20, 40, &json!(true)));
    let create = bench.call("CreateGiftCard", &create_body("AwssbA", "1", "USD"));
    let with_new = Call { key_id: word("id"), secret: word("secret"), ..create.clone() };
    assert_eq!(bench.send(&with_new).await.status, Some(200), "active at once");
    let old = format!(r#"{{"id":"{KEY_ID}","active":false}}"#);
    assert_eq!(bench.ctl("PUT", "/keys", &old).await.0, 200);
    let refused = bench.send(&create).await;
    assert_eq!((refused.status, refused.header("x-amzn-errortype")), (Some(403), Some("UnrecognizedClientException")));
    let again = old.replace("false", "true");
    bench.ctl("PUT", "/keys", &again).await;
    assert_eq!(bench.send(&create).await.status, Some(200), "as before");
    bench.ctl("PUT", "/keys", &old).await;
    let (status, partners) = bench.ctl("DELETE", "/keys", &format!(r#"{{"id":"{KEY_ID}"}}"#)).await;
    assert_eq!((status, &partners[0]["keys"]), (200, &json!([{"id": word("id"), "active": true}])));
    assert!(!partners.to_string().contains(&word("secret")), "the secret was shown once");
    assert_eq!(bench.ctl("PUT", "/keys", &again).await.0, 400, "for good");
}

#[tokio::test]
async fn a_partner_is_added_with_its_marketplace_and_its_contract() {
    let bench = Bench::start().await;
    let partner = r#"{"partner_id":"Brits","marketplace":"UK","funds":"50","minimum":"5","maximum":"20",
                      "keys":[{"id":"AKIDBRITS","secret":"S"}]}"#;
    assert_eq!(bench.ctl("PUT", "/partners", partner).await.0, 200);
    let create = |amount: &str| Call {
        key_id: "AKIDBRITS".to_owned(),
        secret: "S".to_owned(),
        region: "eu-west-1".to_owned(),
        host: "agcod-v2-eu-gamma.amazon.com".to_owned(),
        ..bench.call(
            "CreateGiftCard",
            &create_body(&format!("Brits{}", amount.replace('.', "p")), amount, "GBP").replace(PARTNER, "Brits"),
        )
    };
    for (amount, error_type) in [("4.99", "AmountBelowMinThreshold"), ("20.01", "MaxAmountExceeded")] {
        assert_eq!(bench.send(&create(amount)).await.error_type(), error_type);
    }
    assert_eq!(bench.send(&create("20")).await.status, Some(200));
    assert_eq!(bench.control.funds("Brits").unwrap(), Decimal::from(30));
    let wider = r#"{"partner_id":"Brits","maximum":"30"}"#;
    assert_eq!(bench.ctl("PUT", "/terms", wider).await.0, 200);
    assert_eq!(bench.send(&create("30")).await.status, Some(200));
    assert_eq!(bench.control.funds("Brits").unwrap(), Decimal::ZERO);
    assert_eq!(bench.left(), Decimal::from(10_000), "of its own funds");
}

#[tokio::test]
async fn the_page_for_people_shows_all_but_codes_and_secrets() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.50").await;
    bench.create("AwssbB", "0.01").await;
    bench.post("CreateGiftCard", "<script>").await;
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let seen = super::signer::exchange(bench.sandbox.control_addr(), request.as_bytes(), super::bench::PATIENCE).await;
    let page = seen.text();
    assert_eq!(seen.header("content-type"), Some("text/html; charset=utf-8"));
    for shown in [
        "9974.5 USD",
        "10000 JPY",
        KEY_ID,
        "AwssbA",
        "AmountBelowMinThreshold",
        "drop_after_work",
        "F4000",
        "PUT /keys",
    ] {
        assert!(page.contains(shown), "{shown} is missing in {page}");
    }
    let card = bench.card("AwssbA").unwrap();
    for hidden in [card.claim_code.as_str(), super::bench::SECRET, "<script>"] {
        assert!(!page.contains(hidden), "{hidden} is in {page}");
    }
    assert_eq!(bench.ctl("GET", "/health", "").await, (200, json!({"status": "serving"})));
    assert_eq!(bench.ctl("GET", "/openapi.json", "").await.1["openapi"], "3.1.0");
}

#[tokio::test]
async fn a_state_is_put_back_as_it_was_taken_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book.jsonl");
    let bench = Bench::with_file(&path).await;
    bench.create("AwssbA", "25.00").await;
    bench.create("AwssbB", "5.00").await;
    bench.cancel("AwssbB").await;
    let (status, state) = bench.ctl("GET", "/state", "").await;
    assert_eq!(status, 200);
    let cards = bench.control.book();
    bench.create("AwssbC", "100").await;
    bench.control.advance_clock(901).unwrap();
    for wrong in [
        json!([{"entry": "funds", "partner_id": "Nobody", "currency": "USD", "amount": "1"}]),
        json!([{"entry": "funds", "partner_id": "Awssb", "amount": "1"}]),
        json!([{"entry": "reset"}]),
        json!([{"entry": "clock", "offset_seconds": i64::MAX}]),
        json!({}),
    ] {
        assert_eq!(bench.ctl("PUT", "/state", &wrong.to_string()).await.0, 400, "{wrong}");
    }
    assert_eq!(bench.control.book().len(), 3, "nothing of a wrong state is loaded");
    assert_eq!(bench.ctl("PUT", "/state", &state.to_string()).await, (200, state.clone()));
    assert_eq!((bench.control.book(), bench.left()), (cards.clone(), Decimal::from(9_975)));
    assert_eq!(bench.control.activity().len(), 3, "two creates and a cancel");
    bench.sandbox.stop().await;
    let bench = Bench::with_file(&path).await;
    assert_eq!((bench.control.book(), bench.left()), (cards, Decimal::from(9_975)));
    assert_eq!(bench.control.clock().offset_seconds, 0);
    assert_eq!(bench.cancel("AwssbA").await.status, Some(200), "the window is open again");
}

#[tokio::test]
async fn answers_take_as_long_as_the_latency_says_and_the_work_is_done_before() {
    let bench = Bench::start().await;
    let (status, latency) = bench.ctl("PUT", "/latency", r#"{"profile":"far"}"#).await;
    assert_eq!((status, &latency["milliseconds"], &latency["jitter_milliseconds"]), (200, &json!(250), &json!(150)));
    bench.ctl("PUT", "/latency", r#"{"milliseconds":600000}"#).await;
    let call = bench.call("CreateGiftCard", &create_body("AwssbA", "1", "USD")).bytes();
    let patience = std::time::Duration::from_millis(100);
    let seen = super::signer::exchange(bench.sandbox.gateway_addr(), &call, patience).await;
    assert_eq!((seen.status, bench.card("AwssbA").is_some()), (None, true), "no answer yet, and the card is there");
    for wrong in
        [r#"{"profile":"fast"}"#, r#"{"milliseconds":600001}"#, r#"{"milliseconds":1,"slow_percent":101}"#, "{}"]
    {
        assert_eq!(bench.ctl("PUT", "/latency", wrong).await.0, 400, "{wrong}");
    }
    bench.ctl("PUT", "/latency", r#"{"profile":"none"}"#).await;
    assert_eq!(bench.create("AwssbB", "1").await.status, Some(200));
}
