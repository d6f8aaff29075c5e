//! Each fault as the client's socket sees it, and what it did to the book.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule, Operation};
use rust_decimal::Decimal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bench::{Bench, PARTNER, create_body};
use super::signer::{Ended, Seen, exchange};

/// Whether the create that was struck has bought its card.
fn bought(bench: &Bench) -> bool {
    let real_op = bench.last().real_op;
    assert_eq!(bench.card("AwssbF").is_some(), real_op);
    assert_eq!(bench.left(), Decimal::from(if real_op { 9_975 } else { 10_000 }));
    real_op
}

async fn struck(fault: Fault) -> (Bench, Seen, bool) {
    let bench = Bench::start().await;
    let seen = bench.create_under(fault.clone()).await;
    assert_eq!(bench.last().fault, Some(fault));
    assert_eq!(bench.last().http_status, seen.status);
    let bought = bought(&bench);
    assert_eq!(bench.create("AwssbF", "25.00").await.status, Some(200), "the next call is well again");
    (bench, seen, bought)
}

#[tokio::test]
async fn drops_and_resets_say_nothing_and_do_the_work_or_not() {
    for (fault, ended, works) in [
        (Fault::DropBeforeWork, Ended::InOrder, false),
        (Fault::DropAfterWork, Ended::InOrder, true),
        (Fault::ResetBeforeWork, Ended::Reset, false),
        (Fault::ResetAfterWork, Ended::Reset, true),
    ] {
        let (_, seen, bought) = struck(fault.clone()).await;
        assert_eq!((seen.status, seen.head.as_str(), seen.ended), (None, "", ended), "{fault:?}");
        assert_eq!(bought, works, "{fault:?}");
    }
}

#[tokio::test]
async fn a_body_with_a_length_is_cut_by_a_reset_or_by_a_close() {
    for (fault, ended) in [(Fault::ResetInBody, Ended::Reset), (Fault::TruncatedBody, Ended::InOrder)] {
        let (bench, seen, bought) = struck(fault).await;
        let whole = bench.create("AwssbF", "25.00").await;
        assert_eq!((seen.status, seen.content_length()), (Some(200), whole.body.len()));
        assert_eq!(seen.body.len(), whole.body.len() / 2);
        assert!(whole.body.starts_with(&seen.body) && bought);
        assert_eq!(seen.ended, ended);
    }
}

#[tokio::test]
async fn a_chunk_is_cut() {
    let (_, seen, bought) = struck(Fault::CutChunk).await;
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (Some("chunked"), None));
    let (size, chunk) = seen.text().split_once("\r\n").unwrap();
    assert!(chunk.len() < usize::from_str_radix(size, 16).unwrap() && chunk.starts_with("{\"cardInfo\""));
    assert_eq!((seen.ended, bought), (Ended::InOrder, true));
}

#[tokio::test]
async fn an_answer_without_a_length_is_cut_and_only_its_json_shows_it() {
    let (_, seen, bought) = struck(Fault::ShortCloseDelimited).await;
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (None, None));
    assert!(
        seen.text().starts_with("{\"cardInfo\"") && serde_json::from_str::<serde_json::Value>(seen.text()).is_err()
    );
    assert_eq!((seen.status, seen.ended, bought), (Some(200), Ended::InOrder, true));
}

#[tokio::test]
async fn bodies_that_are_no_answer_come_after_the_work() {
    let (_, garbage, bought) = struck(Fault::Garbage).await;
    assert!(bought && serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
    assert_eq!((garbage.status, garbage.header("content-type")), (Some(200), Some("application/json")));
    let (_, empty, bought) = struck(Fault::EmptyBody).await;
    assert_eq!((empty.status, empty.content_length(), bought), (Some(200), 0, true));
    let (_, mislabelled, bought) = struck(Fault::WrongContentType).await;
    assert_eq!((mislabelled.header("content-type"), bought), (Some("text/html"), true));
    assert_eq!(mislabelled.json()["status"], "SUCCESS");
    let (_, oversized, bought) = struck(Fault::OversizedBody).await;
    assert!(oversized.body.len() > 64 * 1024 && bought);
    assert_eq!(oversized.json()["status"], "SUCCESS");
}

#[tokio::test]
async fn a_page_of_html_and_a_redirect_come_in_place_of_an_answer() {
    for after_work in [false, true] {
        let (_, seen, bought) = struck(Fault::HtmlError { status: 503, after_work }).await;
        assert_eq!((seen.status, seen.header("content-type"), bought), (Some(503), Some("text/html"), after_work));
        assert!(seen.text().starts_with("<html>"));
    }
    let location = "http://127.0.0.1:9/CreateGiftCard".to_owned();
    let (_, seen, bought) = struck(Fault::Redirect { location: location.clone() }).await;
    assert_eq!((seen.status, seen.header("location"), bought), (Some(307), Some(location.as_str()), false));
}

#[tokio::test]
async fn a_falsified_answer_differs_in_one_member_only() {
    for (fault, pointer, value) in [
        (Fault::WrongAmount, "/cardInfo/value/amount", serde_json::json!(26.0)),
        (Fault::WrongCurrency, "/cardInfo/value/currencyCode", "EUR".into()),
        (Fault::WrongRequestId, "/creationRequestId", "Awssb0".into()),
        (Fault::DeadCard, "/cardInfo/cardStatus", "RefundedToPurchaser".into()),
        (Fault::OddCardStatus { status: "Expired".to_owned() }, "/cardInfo/cardStatus", "Expired".into()),
        (Fault::NullClaimCode, "/gcClaimCode", serde_json::Value::Null),
        (Fault::MalformedClaimCode, "/gcClaimCode", "not-a-code".into()),
    ] {
        let (bench, seen, bought) = struck(fault.clone()).await;
        let mut expected = bench.create("AwssbF", "25.00").await.json();
        *expected.pointer_mut(pointer).unwrap() = value;
        assert_eq!((seen.status, seen.json(), bought), (Some(200), expected, true), "{fault:?}");
    }
}

#[tokio::test]
async fn refusals_are_given_before_or_after_the_work() {
    for after_work in [false, true] {
        let (_, seen, bought) = struck(Fault::Resend { after_work }).await;
        assert_eq!((seen.status, seen.json()["agcodResponse"]["status"].as_str()), (Some(400), Some("RESEND")));
        assert_eq!((seen.error_type().as_str(), bought), ("SystemTemporarilyUnavailable", after_work));
        let (code, error_type) = ("F300".to_owned(), "InsufficientFunds".to_owned());
        let (bench, seen, bought) = struck(Fault::FCode { code, error_type, after_work }).await;
        assert_eq!(
            (seen.json()["errorCode"].as_str(), seen.json()["message"].as_str(), bought),
            (Some("F300"), Some("Insufficient Funds"), after_work)
        );
        assert_eq!(bench.control.requests().first().unwrap().error_type.as_deref(), Some("InsufficientFunds"));
    }
}

#[tokio::test]
async fn the_front_end_can_be_made_to_refuse() {
    for (fault, status, words) in [
        (Fault::Throttle, 429, "Rate exceeded"),
        (Fault::SignatureExpired, 403, "Signature expired: "),
        (Fault::BadKey, 403, "The security token included in the request is invalid."),
    ] {
        let (bench, seen, bought) = struck(fault).await;
        assert_eq!((seen.status, bought), (Some(status), false));
        assert!(seen.json()["message"].as_str().unwrap().starts_with(words), "{seen:?}");
        assert!(bench.last().signature_accepted, "the record knows that the signature was right");
    }
}

/// Waits until the book has the card, for at most five seconds.
async fn until_bought(bench: &Bench) {
    let bought = async {
        while bench.card("AwssbF").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), bought).await.is_ok(), "nothing was bought");
    assert_eq!(bench.left(), Decimal::from(9_975));
}

#[tokio::test]
async fn a_delay_does_the_work_at_once_and_answers_late() {
    let bench = Bench::start().await;
    bench.control.script(FaultRule::once(Fault::Delay { milliseconds: 60_000 })).unwrap();
    let request = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD")).bytes();
    let impatient = exchange(bench.sandbox.gateway_addr(), &request, Duration::from_millis(100)).await;
    assert_eq!(impatient.ended, Ended::StillOpen);
    until_bought(&bench).await;
    bench.control.script(FaultRule::once(Fault::Delay { milliseconds: 100 })).unwrap();
    assert_eq!(bench.create("AwssbF", "25.00").await.status, Some(200));
}

#[tokio::test]
async fn a_delayed_work_is_done_even_when_the_client_has_gone() {
    let bench = Bench::start().await;
    bench.control.script(FaultRule::once(Fault::DelayWork { milliseconds: 1_000 })).unwrap();
    let request = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD")).bytes();
    let gone = exchange(bench.sandbox.gateway_addr(), &request, Duration::from_millis(50)).await;
    assert_eq!((gone.ended, bench.card("AwssbF")), (Ended::StillOpen, None));
    until_bought(&bench).await;
}

#[tokio::test]
async fn a_stop_lets_go_of_a_request_that_waits_for_its_work() {
    let bench = Bench::start().await;
    bench.control.script(FaultRule::once(Fault::DelayWork { milliseconds: 60_000 })).unwrap();
    let request = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD")).bytes();
    let mut waiting = TcpStream::connect(bench.sandbox.gateway_addr()).await.unwrap();
    waiting.write_all(&request).await.unwrap();
    while bench.control.faults().first().unwrap().fired == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let control = bench.control.clone();
    tokio::time::timeout(Duration::from_secs(3), bench.sandbox.stop()).await.unwrap();
    assert_eq!(waiting.read(&mut [0; 16]).await.unwrap(), 0, "closed without an answer");
    assert!(control.book().is_empty());
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_leaves_and_does_not_stop_a_stop() {
    let bench = Bench::start().await;
    bench.control.script(FaultRule::always(Fault::Hang)).unwrap();
    let request = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD")).bytes();
    let seen = exchange(bench.sandbox.gateway_addr(), &request, Duration::from_millis(400)).await;
    assert_eq!((seen.status, seen.ended, bought(&bench)), (None, Ended::StillOpen, false));
    let mut waiting = TcpStream::connect(bench.sandbox.gateway_addr()).await.unwrap();
    waiting.write_all(&request).await.unwrap();
    while bench.control.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(Duration::from_secs(3), bench.sandbox.stop()).await.unwrap();
    assert_eq!(waiting.read(&mut [0; 16]).await.unwrap(), 0, "closed without an answer");
}

#[tokio::test]
async fn a_body_that_stops_half_way_keeps_its_connection_until_the_client_leaves() {
    let bench = Bench::start().await;
    bench.control.script(FaultRule::once(Fault::HangInBody)).unwrap();
    let request = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD")).bytes();
    let seen = exchange(bench.sandbox.gateway_addr(), &request, Duration::from_millis(400)).await;
    assert_eq!((seen.status, seen.ended, bought(&bench)), (Some(200), Ended::StillOpen, true));
    let whole = bench.create("AwssbF", "25.00").await;
    assert!(whole.body.starts_with(&seen.body) && seen.body.len() == whole.body.len() / 2);
    bench.control.script(FaultRule::once(Fault::HangInBody)).unwrap();
    let mut waiting = TcpStream::connect(bench.sandbox.gateway_addr()).await.unwrap();
    waiting.write_all(&request).await.unwrap();
    assert!(waiting.read(&mut [0; 64]).await.unwrap() > 0);
    tokio::time::timeout(Duration::from_secs(3), bench.sandbox.stop()).await.unwrap();
}

#[tokio::test]
async fn a_rule_for_one_partner_spares_the_others() {
    let bench = Bench::start().await;
    let rule = FaultRule { partner_id: Some("Other".to_owned()), ..FaultRule::always(Fault::Throttle) };
    bench.control.script(rule).unwrap();
    assert_eq!(bench.funds().await.status, Some(200));
    let rule = FaultRule { partner_id: Some(PARTNER.to_owned()), ..FaultRule::once(Fault::Throttle) };
    bench.control.script(rule).unwrap();
    assert_eq!((bench.funds().await.status, bench.funds().await.status), (Some(429), Some(200)));
}

#[tokio::test]
async fn a_rule_strikes_the_calls_it_names_after_those_it_skips() {
    let bench = Bench::start().await;
    let rule = FaultRule {
        operation: Some(Operation::CreateGiftCard),
        creation_request_id: Some("AwssbB".to_owned()),
        skip: 1,
        ..FaultRule::once(Fault::Throttle)
    };
    bench.control.script(rule).unwrap();
    let mut statuses = Vec::new();
    for id in ["AwssbA", "AwssbB", "AwssbB", "AwssbB"] {
        statuses.push(bench.create(id, "1").await.status.unwrap());
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    assert_eq!(bench.cancel("AwssbB").await.status, Some(200));
}

#[tokio::test]
async fn a_connection_is_kept_alive_between_calls_and_a_fault_ends_only_its_own() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.sandbox.gateway_addr()).await.unwrap();
    let call = bench.call("CreateGiftCard", &create_body("AwssbF", "25.00", "USD"));
    let request = String::from_utf8(call.bytes()).unwrap().replace("Connection: close\r\n", "");
    let mut chunk = [0; 4096];
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(chunk[..count].starts_with(b"HTTP/1.1 200 OK"));
    }
    bench.control.script(FaultRule::once(Fault::DropAfterWork)).unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(stream.read(&mut chunk).await.unwrap(), 0);
    assert_eq!(bench.create("AwssbF", "25.00").await.status, Some(200));
}
