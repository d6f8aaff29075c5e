//! A collector that is away, stands still, or answers nonsense disturbs nobody: every answer is as it is without one, a stop
//! is in time, and what is lost is counted.

use std::{net::TcpListener, time::Duration};

use super::receiver::{Mood, Receiver};
use crate::support::{App, Backend, Shape, on_each_backend, wait};

/// What a stop may wait for the collector besides its own time: two seconds, and a busy machine's.
const STOP_WITHIN: Duration = Duration::from_secs(12);

async fn traced(backend: Backend, endpoint: String) -> App {
    App::shaped(backend, Shape::default().with("NOSHI__TRACES__ENDPOINT", endpoint)).await
}

/// A counter on the metrics page.
async fn counted(app: &App, series: &str) -> u64 {
    let page = app.metrics().await;
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not there")).parse().unwrap()
}

fn dropped(reason: &str) -> String {
    format!("noshi_trace_spans_dropped_total{{reason=\"{reason}\"}}")
}

const EXPORTED: &str = "noshi_trace_spans_exported_total";

/// Waits until a counter has come so far.
async fn until(app: &App, series: &str, least: u64) -> u64 {
    wait::found(&format!("{series} comes to {least}"), async || {
        let count = counted(app, series).await;
        (count >= least).then_some(count)
    })
    .await
}

/// Buys, replays, reveals and cancels as always.
async fn answers_are_as_always(app: &App, key: &str) {
    let bought = app.issue(key, "5.00").await;
    assert_eq!(bought.status, 201, "{}", bought.text);
    let again = app.issue(key, "5.00").await;
    assert_eq!((again.status, again.code()), (200, bought.code()));
    assert_eq!(app.reveal(bought.id()).await.code(), bought.code());
    assert_eq!(app.cancel(bought.id()).await.status, 200);
    app.issue(key, "6.00").await.is_problem(422, "idempotency-mismatch");
}

/// Stops the service; fails when that hangs.
async fn stops_in_time(mut app: App) {
    let stopped = tokio::time::timeout(STOP_WITHIN, app.stop()).await;
    assert_eq!(stopped, Ok(true), "the stop waited for the collector");
    app.end().await;
}

on_each_backend! {
    async fn a_collector_that_is_away_changes_nothing(backend: Backend) {
        // An address where nobody listens.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let app = traced(backend, format!("http://{nobody}")).await;
        answers_are_as_always(&app, "one").await;
        until(&app, &dropped("not_sent"), 10).await;
        answers_are_as_always(&app, "two").await;
        assert_eq!(counted(&app, EXPORTED).await, 0);
        stops_in_time(app).await;
    }

    async fn a_collector_that_hangs_changes_nothing(backend: Backend) {
        let receiver = Receiver::start().await;
        receiver.be(Mood::Hangs);
        let app = traced(backend, receiver.endpoint()).await;
        answers_are_as_always(&app, "one").await;
        wait::until("the collector was asked", async || receiver.requests() > 0).await;
        answers_are_as_always(&app, "two").await;
        stops_in_time(app).await;
    }

    async fn a_collector_that_answers_nonsense_changes_nothing(backend: Backend) {
        let receiver = Receiver::start().await;
        let app = traced(backend, receiver.endpoint()).await;
        let mut lost = 0;
        for (at, status) in [400, 301, 500, 503].into_iter().enumerate() {
            receiver.be(Mood::Status(status));
            answers_are_as_always(&app, &format!("{status}")).await;
            lost = until(&app, &dropped("not_sent"), lost + 10).await;
            assert_eq!(counted(&app, EXPORTED).await, 0, "{at}: {status}");
        }
        // It says 200: it has taken them, whatever else it says.
        receiver.be(Mood::Babbles);
        answers_are_as_always(&app, "babble").await;
        until(&app, EXPORTED, 10).await;
        stops_in_time(app).await;
    }

    async fn spans_that_a_collector_refuses_are_counted_and_it_takes_them_again_when_it_can(backend: Backend) {
        let receiver = Receiver::start().await;
        receiver.be(Mood::Status(500));
        let app = traced(backend, receiver.endpoint()).await;
        answers_are_as_always(&app, "one").await;
        let lost = until(&app, &dropped("not_sent"), 10).await;
        receiver.be(Mood::Refuses(1));
        answers_are_as_always(&app, "two").await;
        receiver.until("the spans", |spans| spans.iter().any(|span| span.name.ends_with("/cancel"))).await;
        let refused = until(&app, &dropped("refused"), 1).await;
        let taken = u64::try_from(receiver.spans().len()).unwrap();
        assert_eq!(until(&app, EXPORTED, taken - refused).await, taken - refused, "what it refused is not exported");
        assert_eq!(counted(&app, &dropped("not_sent")).await, lost);
        app.end().await;
    }

    async fn a_stop_hands_over_what_is_left(backend: Backend) {
        let receiver = Receiver::start().await;
        receiver.be(Mood::Slow);
        let mut app = traced(backend, receiver.endpoint()).await;
        for at in 0..5 {
            assert_eq!(app.issue(&format!("key-{at}"), "5.00").await.status, 201);
        }
        assert!(app.stop().await);
        let spans = receiver.spans();
        for name in ["POST /v1/rewards", "reward.accept", "CreateGiftCard", "reward.settle"] {
            assert_eq!(spans.iter().filter(|span| span.name == name).count(), 5, "{name}: {spans:#?}");
        }
        app.end().await;
    }
}

/// To an https address nothing goes in the clear: the first byte is that of a TLS handshake (RFC 8446, 5.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_an_https_address_nothing_is_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let app = traced(Backend::Sqlite, format!("https://{}", listener.local_addr().unwrap())).await;
    let first = tokio::task::spawn_blocking(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        first[0]
    });
    assert_eq!(app.issue("one", "5.00").await.status, 201);
    assert_eq!(first.await.unwrap(), 0x16);
    stops_in_time(app).await;
}
