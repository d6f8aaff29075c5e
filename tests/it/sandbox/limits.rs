//! The rate limit, and where the sandbox refuses to start.

use std::time::Duration;

use noshi::sandbox::{Sandbox, SandboxOptions, SandboxStartError};

use super::bench::{Bench, KEY_ID, PATIENCE, account, create_body};
use super::signer::exchange;

#[tokio::test]
async fn the_eleventh_request_in_a_second_is_throttled_and_does_nothing() {
    let bench = Bench::with(Bench::options()).await;
    for index in 0..10 {
        assert_eq!(bench.create(&format!("Awssb{index}"), "1").await.status, Some(200));
    }
    let seen = bench.create("AwssbLate", "1").await;
    assert_eq!((seen.status, seen.text()), (Some(429), "{\"message\":\"Rate exceeded\"}\n"));
    assert_eq!(seen.header("x-amzn-errortype"), Some("ThrottlingException"));
    assert_eq!(bench.control.book().len(), 10);
    bench.control.set_throttle(false);
    assert_eq!(bench.create("AwssbLate", "1").await.status, Some(200));
}

#[tokio::test]
async fn the_balance_is_shown_once_a_second() {
    let bench = Bench::with(Bench::options()).await;
    assert_eq!(bench.funds().await.status, Some(200));
    assert_eq!(bench.funds().await.status, Some(429));
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(bench.funds().await.status, Some(200));
}

#[tokio::test]
async fn a_partner_with_a_quota_of_the_day_has_another_on_the_next_day_and_others_are_left_alone() {
    let bench = Bench::with(Bench::options()).await;
    let terms = r#"{"partner_id":"Awssb","requests_per_day":2}"#;
    assert_eq!(bench.ctl("PUT", "/terms", terms).await.0, 200);
    for (id, status) in [("AwssbA", 200), ("AwssbB", 200), ("AwssbC", 429)] {
        assert_eq!(bench.create(id, "1").await.status, Some(status), "{id}");
    }
    let mut other = bench.call("GetAvailableFunds", r#"{"partnerId":"Other"}"#);
    other.key_id = "AKIDOTHER".to_owned();
    assert_eq!(bench.send(&other).await.status, Some(200));
    bench.control.advance_clock(86_400).unwrap();
    assert_eq!(bench.create("AwssbC", "1").await.status, Some(200));
}

/// On both ports. What came by then is not done.
#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_a_body_is_sent_away() {
    let options = SandboxOptions { body_time: Duration::from_millis(200), throttle: false, ..Bench::options() };
    let bench = Bench::with(options).await;
    let whole = bench.call("CreateGiftCard", &create_body("AwssbHalf", "1", "USD")).bytes();
    let half = &whole[..whole.len() - 10];
    let seen = bench.send_bytes(half).await;
    assert_eq!(seen.status, Some(408), "{}", seen.text());
    assert!(seen.text().contains("did not come within 200 ms"), "{}", seen.text());
    let control = b"PUT /clock HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
    let seen = exchange(bench.sandbox.control_addr(), control, PATIENCE).await;
    assert_eq!(seen.status, Some(408), "{}", seen.text());
    assert_eq!(bench.control.book().len(), 0);
    assert_eq!(bench.create("AwssbWhole", "1").await.status, Some(200), "and nobody else is");
}

#[tokio::test]
async fn a_request_with_a_bad_signature_uses_up_nobodys_rate() {
    let bench = Bench::with(Bench::options()).await;
    for _ in 0..15 {
        let mut call = bench.call("CreateGiftCard", "{}");
        call.secret = "SECRET".to_owned();
        assert_eq!(bench.send(&call).await.status, Some(403));
    }
    assert_eq!(bench.create("AwssbA", "1").await.status, Some(200));
}

#[tokio::test]
async fn an_address_that_others_could_reach_is_refused_unless_it_is_meant() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let gateway = SandboxOptions { listen: everywhere, ..Bench::options() };
    let control = SandboxOptions { control_listen: everywhere, ..Bench::options() };
    for options in [gateway, control] {
        let error = Sandbox::start(options.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), "the sandbox listens on loopback unless told otherwise, not on 0.0.0.0:0");
        Sandbox::start(SandboxOptions { beyond_loopback: true, ..options }).await.unwrap().stop().await;
    }
}

#[tokio::test]
async fn accounts_that_make_no_sense_are_refused() {
    let good = account("Awssb", KEY_ID, None, 1);
    let mut keyless = good.clone();
    keyless.keys.clear();
    for accounts in [
        vec![],
        vec![keyless],
        vec![good.clone(), account("Awssb", "AKID2", None, 1)],
        vec![good, account("Other", KEY_ID, None, 1)],
        vec![account("Awssb", KEY_ID, None, -1)],
        vec![account("Awssb", KEY_ID, Some("XXX"), 1)],
    ] {
        let started = Sandbox::start(SandboxOptions::on_any_port(accounts)).await;
        assert!(matches!(started, Err(SandboxStartError::Accounts(_))), "{started:?}");
    }
}

#[tokio::test]
async fn no_debug_text_holds_a_secret() {
    let options = Bench::options();
    assert!(!format!("{options:?}").contains(super::bench::SECRET));
}

#[tokio::test]
async fn a_stop_frees_both_ports_at_once() {
    let bench = Bench::start().await;
    let (listen, control_listen) = (bench.sandbox.gateway_addr(), bench.sandbox.control_addr());
    bench.create("AwssbA", "1").await;
    bench.sandbox.stop().await;
    let again = Bench::with(SandboxOptions { listen, control_listen, ..Bench::options() }).await;
    assert_eq!(again.create("AwssbA", "1").await.status, Some(200));
}
