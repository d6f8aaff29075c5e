//! Clients that send slowly, or stop, or do not read. Time-outs of the service are 1 s here.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    nothing_happened, service,
    wire::{Draft, Reply, exchange, with_key},
};
use crate::support::{App, Backend, Shape};

const HEAD: &str = "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nIdempotency-Key: slow\r\nContent-Type: application/json\r\n";

async fn connect(app: &App) -> TcpStream {
    TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap()
}

/// Sends these bytes, then `drip` ones at an interval, and tells what came until the service closed the connection, and
/// how long that took.
async fn stall(app: &App, bytes: &str, drip: &str) -> (Vec<Reply>, Duration) {
    let started = app.ambient.monotonic();
    let (mut from, mut to) = connect(app).await.into_split();
    to.write_all(&with_key(bytes.as_bytes(), &app.key)).await.unwrap();
    let mut answer = Vec::new();
    let dripping = async {
        for byte in drip.as_bytes() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let reading = async { drop(from.read_to_end(&mut answer).await) };
    let ended = tokio::time::timeout(Duration::from_secs(25), async {
        tokio::select! { () = dripping => {}, () = reading => {} }
    });
    assert!(ended.await.is_ok(), "still open: {bytes}: {}", String::from_utf8_lossy(&answer));
    (Reply::all(&answer, false), started.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_cut_off() {
    let app = service(Backend::Sqlite).await;
    let order = String::from_utf8(Draft::issue().bytes()).unwrap();
    let body = order.split("\r\n\r\n").nth(1).unwrap();
    let length = format!("{HEAD}Content-Length: {}\r\n\r\n", body.len());
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let keyless = |text: &str| text.replace("Authorization: Bearer @KEY@\r\n", "");
    let expected = length.replace("Idempotency-Key", "Expect: 100-continue\r\nIdempotency-Key");
    let long = "x".repeat(80);
    let ping = "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\n\r\n";
    // Name, bytes, what drips after them, the answer (0: closed without one), seconds at most.
    let cases: Vec<(&str, String, &str, u16, u64)> = vec![
        ("nothing at all", "".to_owned(), "", 408, 3),
        ("half a method", "PO".to_owned(), "", 408, 3),
        ("half a head", HEAD.to_owned(), "", 408, 3),
        ("a dripping head", HEAD.to_owned(), &long, 408, 3),
        ("only line ends", "\r\n".to_owned(), "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 408, 3),
        ("no body", length.to_owned(), "", 408, 4),
        ("no body after 100-continue", expected.to_owned(), "", 408, 4),
        ("half a body", format!("{length}{{\"kind\":"), "", 408, 4),
        ("a dripping body", length.to_owned(), body, 408, 4),
        ("no chunk", chunked.to_owned(), "", 408, 4),
        ("half a chunk size", format!("{chunked}4"), "", 408, 4),
        ("a dripping chunk", format!("{chunked}45\r\n"), body, 408, 4),
        ("chunks without a last one", format!("{chunked}2\r\n{{}}\r\n"), "", 408, 4),
        ("no key, and no body", keyless(&length), "", 401, 3),
        ("no key, and a dripping body", keyless(&length), &long, 401, 3),
        ("no key, and no chunk", keyless(&chunked), "", 401, 20),
        ("no key, and a dripping chunk", keyless(&format!("{chunked}fff\r\n")), &long, 401, 20),
        ("a request, then nothing", ping.to_owned(), "", 401, 3),
        ("a request, then half of one", format!("{ping}GET /"), "", 401, 3),
    ];
    let runs = cases.iter().map(|(name, bytes, drip, status, seconds)| {
        let app = &app;
        async move {
            let (replies, took) = stall(app, bytes, drip).await;
            let first = replies.first().map_or(0, |reply| reply.status);
            (first != *status || took > Duration::from_secs(*seconds))
                .then(|| format!("{name}: {first} after {took:?}, {} answers", replies.len()))
        }
    });
    let wrong: Vec<String> = futures_util::future::join_all(runs).await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    nothing_happened(&app).await;
    app.end().await;
}

/// 200 connections that stall in every way, with the usual time-outs, while honest requests are answered at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_hold_nobody_up() {
    let app = App::shaped(Backend::Sqlite, Shape::default()).await;
    let length = format!("{HEAD}Content-Length: 69\r\n\r\n{{");
    let starts = ["", "POST /v1", HEAD, &length];
    let mut held = Vec::new();
    for start in starts.iter().cycle().take(200) {
        let mut stream = connect(&app).await;
        stream.write_all(&with_key(start.as_bytes(), &app.key)).await.unwrap();
        held.push(stream);
    }
    for _ in 0..20 {
        let started = app.ambient.monotonic();
        assert_eq!(app.get("/v1/ping").await.status, 200);
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    nothing_happened(&app).await;
    let started = app.ambient.monotonic();
    assert_eq!(app.issue("honest", "10.00").await.status, 201);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(held);
    app.end().await;
}

/// `connections_max` counts connections of the whole service, and one over it waits for a place: nobody has to leave who has
/// shown a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_allowed_wait() {
    let shape = Shape::default().with("NOSHI__SERVER__CONNECTIONS_MAX", 8).with("NOSHI__SERVER__WORKERS", 2);
    let app = App::shaped(Backend::Sqlite, shape).await;
    let ping = with_key(b"GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\n\r\n", &app.key);
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&app).await;
        stream.write_all(&ping).await.unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        held.push(stream);
    }
    let mut one_more = connect(&app).await;
    one_more.write_all(&ping).await.unwrap();
    let mut buffer = [0; 1024];
    let early = tokio::time::timeout(Duration::from_millis(500), one_more.read(&mut buffer)).await;
    assert!(early.is_err(), "a ninth connection was served");
    drop(held);
    assert_ne!(one_more.read(&mut buffer).await.unwrap(), 0, "the place that became free was given away");
    drop(one_more);
    app.end().await;
}

/// The framework would panic on a header's name of more than 65,535 bytes. It never sees one: the door refuses so long a head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_the_framework_panics_on_is_refused_before_and_counted() {
    let shape = Shape::default().with("NOSHI__SERVER__CONNECTIONS_MAX", 8).with("NOSHI__SERVER__WORKERS", 2);
    let app = App::shaped(Backend::Sqlite, shape).await;
    let head = format!("GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nX-{}: a\r\n\r\n", "x".repeat(70_000));
    for _ in 0..40 {
        let answer = exchange(&app, head.as_bytes(), false).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(app.get("/v1/ping").await.status, 200);
    let counted = "noshi_connections_ended_total{port=\"api\",reason=\"head_too_large\"} 40\n";
    assert!(app.metrics().await.contains(counted));
    app.end().await;
}
