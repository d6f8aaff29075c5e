//! The front door of the API: what strangers get, who has to leave when places run out, and what nobody reads.

mod strangers;
mod tls;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bad_input::wire::{exchange, with_key},
    support::{Answer, App, Backend, Shape, wait::until},
};

const ASK: &str = "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\n\r\n";
const ASK_WITHOUT_KEY: &str = "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\n\r\n";

pub(crate) async fn connect(app: &App) -> TcpStream {
    TcpStream::connect(app.base.trim_start_matches("http://")).await.unwrap()
}

/// A connection on which a caller has shown a key.
async fn known(app: &App) -> TcpStream {
    let mut stream = connect(app).await;
    assert!(ask(app, &mut stream).await.starts_with("HTTP/1.1 200 "));
    stream
}

/// Asks who the caller is; the answer as it came, or nothing from a connection that has ended.
async fn ask(app: &App, stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    if stream.write_all(&with_key(ASK.as_bytes(), &app.key)).await.is_err() {
        return String::new();
    }
    let read = stream.read(&mut answer).await.unwrap_or_default();
    String::from_utf8(answer[..read].to_vec()).unwrap()
}

async fn ended(app: &App, reason: &str) -> u64 {
    let series = format!("noshi_connections_ended_total{{port=\"api\",reason=\"{reason}\"}} ");
    app.metrics().await.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap()
}

/// Half of the places are for strangers, and each of them may be taken; the one who came first leaves for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_hold_every_place_they_may_keep_no_caller_out() {
    let shape = Shape::default().with("NOSHI__SERVER__CONNECTIONS_MAX", 8).with("NOSHI__SERVER__WORKERS", 2);
    let app = App::shaped(Backend::Sqlite, shape.with("NOSHI__SERVER__HEAD_TIMEOUT_SECONDS", 60)).await;
    let mut callers = [known(&app).await, known(&app).await];
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(connect(&app).await);
        held.last_mut().unwrap().write_all(b"GET /v1/pi").await.unwrap();
    }
    until("the strangers have had to leave", async || ended(&app, "crowded").await >= 16).await;
    let mut stayed = 0;
    for stream in &mut held {
        stayed +=
            usize::from(tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 10])).await.is_err());
    }
    assert_eq!(stayed, 4, "half of the places");
    for caller in &mut callers {
        assert!(ask(&app, caller).await.starts_with("HTTP/1.1 200 "), "a caller had to leave");
    }
    for _ in 0..4 {
        assert!(ask(&app, &mut connect(&app).await).await.starts_with("HTTP/1.1 200 "));
    }
    let page = app.metrics().await;
    assert!(page.contains("noshi_connected_strangers{port=\"api\"} "), "{page}");
    drop(held);
    drop(callers);
    app.end().await;
}

/// One connection may ask for long answers as often as it likes: what it sends is counted for each request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_reads_long_answers_for_ever_on_one_connection() {
    const PAGES: usize = 40;
    let app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__BODY_TIMEOUT_SECONDS", 2)).await;
    for number in 0..30 {
        assert_eq!(app.issue(&format!("key-{number}"), "1.00").await.status, 201);
    }
    let padding = "x".repeat(1_000);
    let ask = format!(
        "GET /v1/rewards?limit=200 HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer @KEY@\r\nX-Pad: {padding}\r\n\r\n"
    );
    let ask = with_key(ask.as_bytes(), &app.key);
    let mut stream = connect(&app).await;
    for page in 0..PAGES {
        stream.write_all(&ask).await.unwrap();
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 65_536]);
        while !answer.ends_with(b"}") {
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
            assert!(read > 0, "page {page}: the connection ended: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.len() > 10_000, "page {page}: {} bytes", answer.len());
    }
    assert_eq!(ended(&app, "head_too_large").await, 0);
    app.end().await;
}

/// Whoever shows no key has one answer for each connection, whatever they ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_callers_keep_their_connections() {
    let app = App::spawn(Backend::Sqlite).await;
    for (target, status) in [("GET /v1/ping", 401), ("GET /nowhere", 404), ("PUT /v1/ping", 405)] {
        let one = format!("{target} HTTP/1.1\r\nHost: noshi\r\n\r\n");
        let answers = String::from_utf8(exchange(&app, one.repeat(3).as_bytes(), false).await).unwrap();
        let answered = answers.matches("x-request-id: ").count();
        assert_eq!(answered, 1, "what comes behind is not looked at: {target}: {answers}");
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answers}");
        assert!(answers.contains("connection: close\r\n"), "{target}: {answers}");
    }
    // On a connection of a caller's the same refusals are nothing special; a key that is no good is.
    let mut caller = known(&app).await;
    for (target, status) in [("GET /nowhere", 404), ("PUT /v1/ping", 405)] {
        caller.write_all(format!("{target} HTTP/1.1\r\nHost: noshi\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = caller.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains("connection: close"),
            "{answer}"
        );
    }
    caller.write_all(ASK_WITHOUT_KEY.as_bytes()).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close\r\n"), "{answer}");
    app.end().await;
}

/// A body that is refused unread may be long: the refusal arrives all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_whoever_is_still_sending() {
    let app = App::spawn(Backend::Sqlite).await;
    for (key, kind, status) in
        [("@KEY@", "application/json", 413), ("@KEY@", "text/html", 415), ("nsk_", "text/html", 401)]
    {
        let head = format!(
            "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: long\r\n\
             Content-Type: {kind}\r\nContent-Length: 900000\r\n\r\n"
        );
        let request = format!("{head}{}", "x".repeat(900_000));
        let answer = String::from_utf8(exchange(&app, request.as_bytes(), false).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_reads_no_answer_is_cut_off() {
    let app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__UNREAD_TIMEOUT_SECONDS", 1)).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut caller = socket.connect(app.base.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    assert!(ask(&app, &mut caller).await.starts_with("HTTP/1.1 200 "));
    let asking = with_key(ASK.as_bytes(), &app.key).repeat(50_000);
    let sent = tokio::time::timeout(Duration::from_secs(20), caller.write_all(&asking)).await;
    assert!(sent.is_ok_and(|sent| sent.is_err()), "everything was taken, or nothing happened");
    until("it is counted", async || ended(&app, "unread").await == 1).await;
    app.end().await;
}

/// A file may be much longer than another request: it passes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_file_is_no_long_head() {
    let app = App::spawn(Backend::Sqlite).await;
    let began = app.ambient.monotonic();
    let target = "/v1/reconciliations?account_id=main&from=2026-01-01&to=2026-01-01";
    let head = "Activity Date,Activity Type,Request ID,Claim Code,Amount,Currency,Status\n";
    let records = (0..5_000).map(|at| format!("2026-01-01T00:00:00Z,Create,Awssb{at},,1.00,USD,Success\n"));
    let file = format!("{head}{}", records.collect::<String>());
    let answer = Answer::of(app.request("POST", target).header("content-type", "text/csv").body(file)).await;
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, answer.text);
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for what it did not read");
    app.end().await;
}

/// Asks whether the process lives, from a thread of its own, and waits for the answer.
fn livez(address: &str) -> Duration {
    let began = noshi::ambient::Ambient::system().monotonic();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let ask = b"GET /livez HTTP/1.1\r\nHost: noshi\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, ask).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
    began.elapsed()
}

/// Kubernetes restarts a process that does not say in time that it lives: all of them at once, if they wait for what is shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_of_life_waits_for_nobody() {
    let app = App::spawn(Backend::Postgres).await;
    let admin = app.admin.trim_start_matches("http://").to_owned();
    // All that may be connected to the admin port, and more, ask nothing; the clients of a database that is away wait.
    let mut idle = Vec::new();
    for _ in 0..150 {
        idle.push(TcpStream::connect(&admin).await.unwrap());
    }
    let (from, to) = (admin.clone(), admin);
    let took = tokio::task::spawn_blocking(move || livez(&from)).await.unwrap();
    assert!(took < Duration::from_secs(1), "beside idle connections it took {took:?}");
    drop(idle);
    let hold = app.database.hold_everything().await;
    let waiting = ["readyz", "metrics"].iter().cycle().take(70).map(|page| {
        let ask = app.http.get(format!("{}/{page}", app.admin)).timeout(Duration::from_secs(3));
        async move { drop(Answer::try_of(ask).await) }
    });
    let probe = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_000));
        livez(&to)
    });
    let blocking = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The runtime of the service's own work has no thread left.
        let held = (0..4)
            .map(|_| tokio::runtime::Handle::current().spawn(async { std::thread::sleep(Duration::from_secs(2)) }));
        held.for_each(drop);
    };
    tokio::join!(join_all(waiting), blocking);
    let took = tokio::task::spawn_blocking(move || probe.join().unwrap()).await.unwrap();
    assert!(took < Duration::from_secs(1), "without a database and a runtime it took {took:?}");
    hold.release().await;
    app.end().await;
}

/// The framework would go on reading the file for requests that were never made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_refused_before_a_file_was_read_gets_one_answer_whole() {
    let app = App::spawn(Backend::Sqlite).await;
    let file = "x".repeat(4 * 1024 * 1024);
    for (key, status) in [(app.key.as_str(), "400"), ("noshi_nobody", "401")] {
        let head = format!(
            "POST /v1/reconciliations?account_id=unknown&from=2026-11-01&to=2026-11-01 HTTP/1.1\r\nHost: noshi\r\n\
             Authorization: Bearer {key}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
            file.len()
        );
        let (mut from, mut to) = connect(&app).await.into_split();
        let sent = async { drop(to.write_all(format!("{head}{file}").as_bytes()).await) };
        let mut answer = String::new();
        let (read, ()) = tokio::join!(from.read_to_string(&mut answer), sent);
        read.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(ended(&app, "head_too_large").await, 0);
    app.end().await;
}
