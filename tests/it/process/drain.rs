//! SIGTERM under load: nothing that was accepted is lost, and the process says that all is well.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule, Operation};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Served;
use crate::{
    reconciliation::{DAY, begin},
    seeded,
    support::{Answer, App, Backend, Shape, faults::of, on_each_backend, wait::until},
};

on_each_backend! {
    async fn sigterm_answers_every_accepted_request_and_exits_with_0(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert!(app.stop().await);
        app.control.script(FaultRule::always(Fault::Delay { milliseconds: 700 })).unwrap();
        let served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        let keys: Vec<String> = (0..40).map(|at| format!("drain-{at}")).collect();
        let asked = futures_util::future::join_all(keys.iter().map(|key| app.try_issue(key, "2.00")));
        let stopped = async {
            tokio::time::sleep(Duration::from_millis(350)).await;
            tokio::task::spawn_blocking(move || served.terminate()).await.unwrap()
        };
        let (answers, status) = tokio::join!(asked, stopped);
        assert!(status.success(), "{status}");
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("an accepted request was dropped")).collect();
        assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
        assert_eq!(app.live_cards().len(), 40);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issued'").await, 40);
        app.end().await;
    }

    /// A pool of connections that a balancer passes on lets go of those to a replica that will close them, before it does:
    /// an order that is sent into a closing connection has no answer.
    async fn while_it_drains_each_answer_ends_its_connection(backend: Backend) {
        let shape = Shape::default().with("NOSHI__SERVER__DRAIN_DELAY_SECONDS", 2);
        let mut app = App::shaped(backend, shape).await;
        assert!(app.stop().await);
        let served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        let before = app.issue("before", "2.00").await;
        assert_eq!((before.status, before.header("connection")), (201, ""), "{}", before.text);
        served.signal("TERM");
        let ready = format!("{}/readyz", served.admin);
        until("it drains", async || Answer::of(app.http.get(&ready)).await.status != 200).await;
        let draining = app.issue("draining", "2.00").await;
        assert_eq!((draining.status, draining.header("connection")), (201, "close"), "{}", draining.text);
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
        app.end().await;
    }

    /// An alarm on ERROR in the log must not ring for what is no error of ours.
    async fn neither_a_stop_nor_what_is_no_http_is_logged_as_an_error(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert!(app.stop().await);
        let mut served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
            for at in [&served.base, &served.admin] {
                let mut stream = TcpStream::connect(at.trim_start_matches("http://")).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
            }
        }
        app.control.script(of(Operation::GetGiftCardActivityPage, Fault::Delay { milliseconds: 1_000 }, 1)).unwrap();
        let begun = begin(&app, DAY, DAY).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        app.until_received("GetGiftCardActivityPage", 1).await;
        served.signal("TERM");
        until("it has ended", async || served.ended().is_some()).await;
        let errors: Vec<_> = served.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
        assert!(errors.is_empty(), "{errors:?}");
        app.until_number("SELECT COUNT(*) FROM reconciliations WHERE failure = 'interrupted'", 1).await;
        app.start().await;
        app.end().await;
    }

    /// The caller leaves as soon as the request is out, in whatever way; the money work goes on, also through a stop.
    async fn a_caller_that_hangs_up_stops_nothing(backend: Backend) {
        for leaving in [Leaving::Reset, Leaving::Fin, Leaving::HalfClose] {
            assert_eq!(lost_by_hanging_up(backend, leaving, None).await, [""; 0], "{leaving:?}");
        }
    }
}

/// How a caller leaves who does not wait for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// RST, which makes the server drop the handler.
    Reset,
    /// FIN, both ways.
    Fin,
    /// FIN of the caller's own way; it could still read.
    HalfClose,
}

/// Callers hang up once Amazon has heard of their orders, and the service is stopped at once. Says what was lost.
pub(crate) async fn lost_by_hanging_up(backend: Backend, leaving: Leaving, bug: Option<&str>) -> Vec<String> {
    const CALLERS: usize = 10;
    let mut app = App::spawn(backend).await;
    assert!(app.stop().await);
    app.control.script(FaultRule::always(Fault::Delay { milliseconds: 600 })).unwrap();
    let served = Served::start(&seeded::with(bug, app.environment()));
    app.base.clone_from(&served.base);
    let mut half_closed = Vec::new();
    for at in 0..CALLERS {
        let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap();
        stream.write_all(raw_order(&app.key, at).as_bytes()).await.unwrap();
        // Accepted is what Amazon has heard of.
        app.until_received("Create", at + 1).await;
        match leaving {
            Leaving::Reset => stream.set_zero_linger().unwrap(),
            Leaving::Fin => {}
            Leaving::HalfClose => {
                stream.shutdown().await.unwrap();
                half_closed.push(stream);
            }
        }
    }
    let status = tokio::task::spawn_blocking(move || served.terminate()).await.unwrap();
    let issued = app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'issued'").await;
    let (cards, callers) = (app.live_cards().len(), i64::try_from(CALLERS).unwrap());
    let mut lost = Vec::new();
    if !status.success() || cards != CALLERS || issued != callers {
        lost.push(format!("{status}: {cards} cards and {issued} issued of {CALLERS}"));
    }
    app.end().await;
    lost
}

fn raw_order(key: &str, at: usize) -> String {
    let body = r#"{"kind":"gift_code","value":{"amount":"4.00","currency_code":"USD"}}"#;
    format!(
        "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: gone-{at}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
