//! Receivers of every kind, on loopback.

use std::{
    net::{Ipv4Addr, TcpListener as BlockingListener},
    process::Command,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc::{self, UnboundedReceiver},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const WIDEST: Reachable = Reachable { private_networks: true, plain_http: true };
const PUBLIC: Reachable = Reachable { private_networks: false, plain_http: true };
/// What no test waits for.
const PATIENT: PostLimits = PostLimits { connect: Duration::from_secs(30), attempt: Duration::from_secs(60) };
/// Long enough for a head on a busy machine, and waited for once.
const BRIEF: PostLimits = PostLimits { connect: Duration::from_secs(30), attempt: Duration::from_secs(3) };
const HASTY: PostLimits = PostLimits { connect: Duration::from_millis(300), attempt: Duration::from_millis(300) };
const BODY: &str = r#"{"type":"reward.issued","note":"hidden-body"}"#;
const SIGNATURE: &str = "v1,hidden-signature";
const PATH: &str = "hidden-path?token=hidden-query";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Manner {
    /// Writes this, and waits for the next request.
    Answers(&'static str),
    /// Writes a head, and after a while a body of so many bytes; and waits for the next request.
    AnswersInParts(usize),
    /// Writes this, and hangs up.
    AnswersOnce(&'static str),
    /// Writes this, and nothing more.
    Hangs(&'static str),
    /// Hangs up before it has read anything.
    HangsUp,
    /// Writes a body of 1 GB.
    Endless,
}

const ENDLESS_BYTES: usize = 1_000_000_000;

/// A receiver on loopback: its port, the requests it has read, by connection, and the bytes of endless bodies that it got rid of.
struct Receiver {
    port: u16,
    heard: UnboundedReceiver<(usize, String)>,
    written: UnboundedReceiver<usize>,
}

impl Receiver {
    async fn start(manner: Manner) -> Self {
        Self::behind(manner, None).await
    }

    /// Behind TLS, where there is an acceptor.
    async fn behind(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, heard) = mpsc::unbounded_channel();
        let (wrote, written) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _peer) = listener.accept().await.unwrap();
                let (said, wrote, tls) = (said.clone(), wrote.clone(), tls.clone());
                #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
                tokio::spawn(async move {
                    let say = |request| said.send((connection, request)).unwrap_or_default();
                    let written = match tls {
                        None => serve(stream, manner, say).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, manner, say).await,
                            Err(_objection) => 0,
                        },
                    };
                    wrote.send(written).unwrap_or_default();
                });
            }
        });
        Self { port, heard, written }
    }

    fn url(&self) -> EndpointUrl {
        EndpointUrl::from_stored(&format!("http://127.0.0.1:{}/{PATH}", self.port)).unwrap()
    }

    fn named(&self, host: &str) -> EndpointUrl {
        EndpointUrl::from_stored(&format!("http://{host}:{}/{PATH}", self.port)).unwrap()
    }

    /// Whether nobody has sent anything.
    fn heard_nothing(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

/// Serves one connection; the bytes of an endless body that the other side took.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, manner: Manner, say: impl Fn(String)) -> usize {
    if matches!(manner, Manner::HangsUp) {
        return 0;
    }
    while let Some(request) = read(&mut stream).await {
        say(request);
        match manner {
            Manner::Answers(text) => stream.write_all(text.as_bytes()).await.unwrap_or_default(),
            Manner::AnswersInParts(bytes) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap_or_default();
                sleep(Duration::from_millis(50)).await;
                stream.write_all(&vec![b'x'; bytes]).await.unwrap_or_default();
            }
            Manner::AnswersOnce(text) => {
                stream.write_all(text.as_bytes()).await.unwrap_or_default();
                stream.shutdown().await.unwrap_or_default();
                return 0;
            }
            Manner::Hangs(text) => {
                stream.write_all(text.as_bytes()).await.unwrap_or_default();
                // Until the other side hangs up.
                stream.read_u8().await.unwrap_or_default();
                return 0;
            }
            Manner::HangsUp => return 0,
            Manner::Endless => return write_endlessly(&mut stream).await,
        }
    }
    0
}

async fn write_endlessly<S: AsyncWrite + Unpin>(stream: &mut S) -> usize {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ENDLESS_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (part, mut written) = (vec![b'x'; 1_000_000], 0);
    while written < ENDLESS_BYTES && stream.write_all(&part).await.is_ok() {
        written += part.len();
    }
    written
}

/// One request, head and body; `None` where the other side has ended.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(request.clone()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.extend(body);
    Some(String::from_utf8(request).unwrap())
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Answers with the next of these each time, and with the last one from then on.
fn look_up_in_turn(turns: Vec<Vec<IpAddr>>) -> LookUp {
    let asked = AtomicUsize::new(0);
    Arc::new(move |_name| {
        let turn = asked.fetch_add(1, Ordering::Relaxed).min(turns.len() - 1);
        let found = turns[turn].clone();
        Box::pin(async move { Ok(found) })
    })
}

/// One that trusts no certificate, and reads none of the machine's.
fn poster_with(reachable: Reachable, limits: PostLimits, look_up: LookUp) -> Poster {
    let client = builder(reachable, limits, look_up).tls_certs_only([]).build().unwrap();
    Poster { client, reachable }
}

fn poster(reachable: Reachable, limits: PostLimits) -> Poster {
    poster_with(reachable, limits, Arc::new(system_look_up))
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_320_400, 500_000_000).unwrap()
}

async fn post_by(poster: &Poster, url: &EndpointUrl) -> PostOutcome {
    poster.post(url, &WebhookMessage { id: "msg_1", at: at(), body: BODY, signature: SIGNATURE }).await
}

async fn post(url: &EndpointUrl) -> PostOutcome {
    post_by(&poster(WIDEST, PATIENT), url).await
}

fn answered(status: u16) -> PostOutcome {
    PostOutcome::Answered { status, retry_after: None }
}

const fn lost(fault: PostFault) -> PostOutcome {
    PostOutcome::NotDelivered(fault)
}

#[tokio::test]
async fn a_message_is_posted_with_its_headers_and_the_body_as_it_is() {
    let mut receiver = Receiver::start(Manner::Answers(OK)).await;
    assert_eq!(post(&receiver.url()).await, answered(200));
    let (_connection, request) = receiver.heard.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let mut lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    assert_eq!(lines.remove(0), format!("POST /{PATH} HTTP/1.1"));
    lines.sort();
    let expected = [
        "accept: */*".to_owned(),
        format!("content-length: {}", BODY.len()),
        "content-type: application/json".to_owned(),
        format!("host: 127.0.0.1:{}", receiver.port),
        format!("user-agent: noshi/{}", env!("CARGO_PKG_VERSION")),
        "webhook-id: msg_1".to_owned(),
        format!("webhook-signature: {SIGNATURE}"),
        "webhook-timestamp: 1764320400".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn every_status_is_an_answer_and_none_makes_a_second_request() {
    let elsewhere = Receiver::start(Manner::Answers(OK)).await;
    for status in [200_u16, 204, 301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503, 599] {
        let place = format!("http://127.0.0.1:{}/", elsewhere.port);
        let text = format!("HTTP/1.1 {status} X\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
        let mut receiver = Receiver::start(Manner::Answers(text.leak())).await;
        assert_eq!(post(&receiver.url()).await, answered(status));
        assert!(receiver.heard.recv().await.is_some() && receiver.heard_nothing(), "{status}: asked once");
    }
    let mut elsewhere = elsewhere;
    assert!(elsewhere.heard_nothing(), "a redirection was followed");
}

#[tokio::test]
async fn a_receiver_says_when_to_come_back_in_seconds_or_by_a_date() {
    // The attempt begins at 09:00:00.5 on this day.
    for (value, expected) in [
        ("7", Some(Duration::from_secs(7))),
        ("0", Some(Duration::ZERO)),
        ("86401", Some(Duration::from_secs(86_400))),
        ("Fri, 28 Nov 2025 09:00:10 GMT", Some(Duration::from_millis(9_500))),
        ("Fri, 28 Nov 2025 08:59:59 GMT", Some(Duration::ZERO)),
        ("Sun, 28 Nov 2100 09:00:00 GMT", Some(Duration::from_secs(86_400))),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ] {
        let text = format!("HTTP/1.1 429 Slow Down\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::start(Manner::Answers(text.leak())).await;
        let outcome = post(&receiver.url()).await;
        assert_eq!(outcome, PostOutcome::Answered { status: 429, retry_after: expected }, "{value}");
    }
}

#[tokio::test]
async fn a_short_answer_leaves_the_connection_to_the_next_message() {
    for manner in [Manner::Answers(OK), Manner::AnswersInParts(BODY_BYTES_READ_MAX)] {
        let mut receiver = Receiver::start(manner).await;
        let poster = poster(WIDEST, PATIENT);
        for _ in 0..3 {
            assert_eq!(post_by(&poster, &receiver.url()).await, answered(200));
            let (connection, _request) = receiver.heard.recv().await.unwrap();
            assert_eq!(connection, 0);
        }
    }
}

#[tokio::test]
async fn a_body_without_end_holds_nobody() {
    let mut receiver = Receiver::start(Manner::Endless).await;
    assert_eq!(post(&receiver.url()).await, answered(200));
    let written = receiver.written.recv().await.unwrap();
    assert!(written < ENDLESS_BYTES / 2, "{written} bytes were taken");
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up_and_its_status_counts() {
    let receiver = Receiver::start(Manner::Hangs("HTTP/1.1 202 X\r\ncontent-length: 9\r\n\r\nx")).await;
    assert_eq!(post_by(&poster(WIDEST, BRIEF), &receiver.url()).await, answered(202));
}

#[tokio::test]
async fn a_receiver_that_hangs_is_a_timeout() {
    for said in ["", "HTTP/1.1 200 OK\r\n"] {
        let receiver = Receiver::start(Manner::Hangs(said)).await;
        assert_eq!(post_by(&poster(WIDEST, HASTY), &receiver.url()).await, lost(PostFault::Timeout), "{said}");
    }
    // The kernel connects for it, and nobody answers the handshake.
    let silent = BlockingListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let outcome = post_by(&poster(WIDEST, HASTY), &EndpointUrl::from_stored(&url).unwrap()).await;
    assert_eq!(outcome, lost(PostFault::Timeout));
}

#[test]
fn an_attempt_takes_5_seconds_to_connect_and_15_in_all() {
    assert_eq!((CONNECT_TIMEOUT, ATTEMPT_TIMEOUT), (Duration::from_secs(5), Duration::from_secs(15)));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_lost_and_none_is_made_for_a_second_try() {
    for manner in [
        Manner::AnswersOnce(""),
        Manner::AnswersOnce("HTTP/1.1 200"),
        Manner::AnswersOnce("220 mail.example.com ESMTP\r\n"),
        Manner::HangsUp,
    ] {
        let mut receiver = Receiver::start(manner).await;
        assert_eq!(post(&receiver.url()).await, lost(PostFault::ConnectionLost));
        receiver.written.recv().await.unwrap();
        assert!(receiver.written.try_recv().is_err(), "it connected once");
    }
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_connection() {
    let port = BlockingListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = EndpointUrl::from_stored(&format!("http://127.0.0.1:{port}/")).unwrap();
    assert_eq!(post(&url).await, lost(PostFault::Connect));
}

/// A certificate that nobody has signed but itself, and who shows it.
fn of_nobody() -> (TlsAcceptor, reqwest::Certificate) {
    install_tls_provider();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let trusted = reqwest::Certificate::from_der(certificate.der()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let chain = vec![certificate.der().clone()];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), trusted)
}

#[tokio::test]
async fn a_receiver_whose_issuer_nobody_knows_hears_nothing() {
    let (acceptor, certificate) = of_nobody();
    let mut receiver = Receiver::behind(Manner::Answers(OK), Some(acceptor)).await;
    let url = format!("https://127.0.0.1:{}/{PATH}", receiver.port);
    let url = EndpointUrl::from_stored(&url).unwrap();
    assert_eq!(post(&url).await, lost(PostFault::Tls));
    assert!(receiver.heard_nothing());

    let client = builder(WIDEST, PATIENT, Arc::new(system_look_up)).tls_certs_only([certificate]).build().unwrap();
    assert_eq!(post_by(&Poster { client, reachable: WIDEST }, &url).await, answered(200));
    assert!(!receiver.heard_nothing(), "whoever trusts the issuer is heard");
}

/// Whether nobody has connected.
fn is_untouched(listener: &BlockingListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn what_the_settings_do_not_allow_is_refused_before_anything_connects() {
    let listener = BlockingListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let strict = Reachable { private_networks: false, plain_http: false };
    let only_tls = Reachable { private_networks: true, plain_http: false };
    for (host, reachable) in [
        ("http://127.0.0.1", PUBLIC),
        ("http://[::ffff:127.0.0.1]", PUBLIC),
        ("http://localhost", PUBLIC),
        ("https://127.0.0.1", strict),
        ("https://localhost", strict),
        ("http://127.0.0.1", only_tls),
        ("http://localhost", only_tls),
    ] {
        let url = EndpointUrl::from_stored(&format!("{host}:{port}/")).unwrap();
        let outcome = post_by(&poster(reachable, PATIENT), &url).await;
        assert_eq!(outcome, lost(PostFault::AddressRefused), "{host} {reachable:?}");
    }
    assert!(is_untouched(&listener));
}

#[tokio::test]
async fn a_name_is_looked_up_for_each_connection_and_refused_once_it_means_something_else() {
    let mut receiver = Receiver::start(Manner::AnswersOnce("HTTP/1.1 204 X\r\nconnection: close\r\n\r\n")).await;
    let turns = vec![addresses(&["127.0.0.1"]), addresses(&["169.254.169.254", "0.0.0.0"])];
    let poster = poster_with(WIDEST, PATIENT, look_up_in_turn(turns));
    let url = receiver.named("hooks.example.com");
    assert_eq!(post_by(&poster, &url).await, answered(204));
    assert!(!receiver.heard_nothing());
    assert_eq!(post_by(&poster, &url).await, lost(PostFault::AddressRefused));
    assert!(receiver.heard_nothing());
}

#[tokio::test]
async fn only_addresses_that_are_allowed_are_passed_on() {
    let turns = vec![
        addresses(&["10.0.0.1", "93.184.215.14", "::1", "2606:4700:4700::1111"]),
        addresses(&["127.0.0.1", "::ffff:127.0.0.1"]),
        Vec::new(),
    ];
    let resolver = AllowedAddresses { look_up: look_up_in_turn(turns), reachable: PUBLIC };
    let resolve = async || {
        let found = resolver.resolve(Name::from_str("hooks.example.com").unwrap()).await;
        found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
    };
    assert_eq!(resolve().await.unwrap(), addresses(&["93.184.215.14", "2606:4700:4700::1111"]));
    for expected in [NoAddress::Refused, NoAddress::NotFound] {
        assert_eq!(resolve().await.unwrap_err().downcast_ref(), Some(&expected));
    }
}

#[tokio::test]
async fn a_name_that_means_nothing_has_its_own_word() {
    let nothing: LookUp = Arc::new(|_name| Box::pin(async { Err(io::Error::other("hidden-name")) }));
    for look_up in [nothing, look_up_in_turn(vec![Vec::new()])] {
        let url = EndpointUrl::from_stored("http://hooks.example.com/").unwrap();
        assert_eq!(post_by(&poster_with(PUBLIC, PATIENT, look_up), &url).await, lost(PostFault::NameNotFound));
    }
}

/// The environment is set for a process of its own: two of these tests, which hear nothing unless they connect by themselves.
#[test]
fn no_proxy_of_the_environment_is_asked() {
    let proxy = BlockingListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let tests = [
        "a_message_is_posted_with_its_headers_and_the_body_as_it_is",
        "a_receiver_whose_issuer_nobody_knows_hears_nothing",
    ];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--exact").args(tests.map(|test| format!("{}::{test}", module_path!().trim_start_matches("noshi::"))));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, &address).env(name.to_lowercase(), &address);
    }
    let ran = command.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("2 passed"), "{said}");
    assert!(is_untouched(&proxy));
}

#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn even_at_trace_nothing_of_a_message_or_its_url_is_logged_or_printed() {
    let log = CapturedLog::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut printed = String::new();
    let redirect =
        "HTTP/1.1 307 X\r\nlocation: /hidden-place\r\nretry-after: hidden-header\r\ncontent-length: 0\r\n\r\n";
    for manner in [Manner::Answers(OK), Manner::Answers(redirect), Manner::Hangs(""), Manner::HangsUp] {
        let receiver = Receiver::start(manner).await;
        for (host, reachable) in [("127.0.0.1", WIDEST), ("localhost", WIDEST), ("localhost", PUBLIC)] {
            let url = receiver.named(host);
            printed.push_str(&format!("{url:?} {:?}\n", post_by(&poster(reachable, HASTY), &url).await));
        }
    }
    drop(guard);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("http1 handshake complete"), "the log holds what the libraries say");
    for text in [logged, printed] {
        assert!(!text.contains("hidden"), "{text}");
    }
}

#[test]
fn every_fault_has_a_word_that_names_it() {
    let words: Vec<&str> = PostFault::ALL.iter().map(|fault| fault.as_str()).collect();
    assert_eq!(words, ["timeout", "connect", "tls", "address_refused", "name_not_found", "connection_lost"]);
    assert!(PostFault::ALL.iter().all(|fault| PostFault::from_word(fault.as_str()) == Some(*fault)));
}
