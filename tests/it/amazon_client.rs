//! The client against a server that misbehaves byte by byte: what a socket can do to us, and which outcome it becomes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use noshi::{
    kernel::{CardProof, CreationRequestId, Currency, Marketplace, Money},
    provider::incentives::{Client, ClientSettings, Credentials, Endpoint, Exchange, Outcome, SeenCard, Timeouts},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

const ID: &str = "AwssbMZXW6YTBOI";
const CODE: &str = "CNRY-CANARY-CODE";
const CARD_ID: &str = "A2CANARYCARDID";
const REQUEST_ID: &str = "0d9c1b1e-6f5f-4f6e-8f2a-9b6f2c7b9a10";
const TOTAL: Duration = Duration::from_millis(300);

/// What the server does with a request that it has read.
#[derive(Clone)]
enum Act {
    /// Writes these bytes and closes in good order.
    Write(Vec<u8>),
    /// Writes these bytes and keeps the connection, for further requests.
    Keep(Vec<u8>),
    /// Writes these bytes and resets the connection.
    Reset(Vec<u8>),
    /// Writes these bytes and then nothing, for ever.
    Hang(Vec<u8>),
    /// Writes this head and then one byte of the body every 20 ms, for ever.
    Drip(Vec<u8>),
}

struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        #[expect(clippy::disallowed_methods, reason = "the server is the test's own and ends with it")]
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _peer) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                while let Some(request) = read_request(&mut stream).await {
                    sender.send(request).unwrap();
                    if !play(&mut stream, &act).await {
                        break;
                    }
                }
                match &act {
                    Act::Hang(_) => held.push(stream),
                    Act::Reset(_) => stream.set_zero_linger().unwrap(),
                    Act::Write(_) | Act::Keep(_) | Act::Drip(_) => {}
                }
            }
        });
        Self { address, requests, connections, task }
    }

    fn client(&self) -> Client {
        client(self.address)
    }

    /// Every request that has arrived.
    fn seen(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

/// Head and body of the next request, or nothing when the connection ends.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = values(head, "content-length").first().map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Whether the connection goes on.
async fn play(stream: &mut TcpStream, act: &Act) -> bool {
    let (Act::Write(bytes) | Act::Keep(bytes) | Act::Reset(bytes) | Act::Hang(bytes) | Act::Drip(bytes)) = act;
    // The client may be gone already: a body above its cap is not read to its end.
    if stream.write_all(bytes).await.is_err() {
        return false;
    }
    if matches!(act, Act::Reset(_)) {
        // Lets the bytes arrive before the reset overtakes them.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while matches!(act, Act::Drip(_)) && stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    matches!(act, Act::Keep(_))
}

/// The values of a header, in order.
fn values(head: &str, name: &str) -> Vec<String> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _value)| key.eq_ignore_ascii_case(name))
        .map(|(_key, value)| value.trim().to_owned())
        .collect()
}

fn signing_time() -> DateTime<Utc> {
    "2026-01-05T09:30:00Z".parse().unwrap()
}

fn client(address: SocketAddr) -> Client {
    let settings = ClientSettings {
        endpoint: Endpoint::loopback(Marketplace::Us, address).unwrap(),
        partner_id: "Awssb".to_owned(),
        credentials: Credentials::new("AKIDEXAMPLE".into(), "SECRETEXAMPLE".into()),
        timeouts: Timeouts { connect: Duration::from_millis(200), total: TOTAL },
        https_proxy: None,
    };
    Client::new(settings, signing_time).unwrap()
}

fn id() -> CreationRequestId {
    CreationRequestId::from_stored(ID.to_owned())
}

fn asked() -> Money {
    Money::from_minor(2500, Currency::Usd)
}

fn card() -> String {
    format!(
        "{{\"cardInfo\":{{\"cardStatus\":\"Fulfilled\",\"value\":{{\"amount\":25.0,\"currencyCode\":\"USD\"}}}},\
         \"creationRequestId\":\"{ID}\",\"gcClaimCode\":\"{CODE}\",\"gcId\":\"{CARD_ID}\",\"status\":\"SUCCESS\"}}\n"
    )
}

/// An answer with these further header lines.
fn answer(status: &str, lines: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nx-amzn-RequestId: {REQUEST_ID}\r\nDate: Mon, 05 Jan 2026 09:30:07 GMT\r\n{lines}\r\n{body}").into_bytes()
}

/// A complete JSON answer.
fn json(status: &str, body: &str) -> Vec<u8> {
    answer(status, &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()), body)
}

async fn create(act: Act) -> (Exchange<SeenCard>, Server) {
    let server = Server::start(act).await;
    let exchange = server.client().create_gift_card(&id(), asked(), None).await;
    (exchange, server)
}

async fn is_ambiguous(act: Act, reason: &str) {
    let (exchange, mut server) = create(act).await;
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("ambiguous", reason));
    assert_eq!(server.seen().len(), 1, "sent once, never again");
}

#[tokio::test]
async fn a_card_comes_back_with_what_the_head_says() {
    let (exchange, _server) = create(Act::Write(json("200", &card()))).await;
    let exchange = exchange.map(|seen| (seen.proof, seen.id));
    let Outcome::Proven((CardProof::Fulfilled(code), Some(card))) = exchange.outcome else {
        panic!("a whole answer is understood");
    };
    assert_eq!(card.to_be_hashed(), CARD_ID);
    assert_eq!(code.expose(), CODE);
    assert_eq!(exchange.request_id.unwrap().as_str(), REQUEST_ID);
    assert_eq!(exchange.server_date.unwrap(), signing_time() + Duration::from_secs(7));
    assert_eq!(exchange.signed_at, signing_time());
    assert_eq!(exchange.http_status, Some(200));
}

#[tokio::test]
async fn what_is_sent_is_the_signed_request_and_nothing_more() {
    let (_exchange, mut server) = create(Act::Write(json("200", &card()))).await;
    let requests = server.seen();
    let [request] = requests.as_slice() else { panic!("one request") };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    assert_eq!(line, "POST /CreateGiftCard HTTP/1.1");
    assert_eq!(
        body,
        format!(
            r#"{{"creationRequestId":"{ID}","partnerId":"Awssb","value":{{"currencyCode":"USD","amount":25.00}}}}"#
        )
    );
    let mut names: Vec<_> = headers.lines().map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase()).collect();
    names.sort_unstable();
    // Each once: no cookie, no accept-encoding, no referer, no session token, no payload hash.
    assert_eq!(
        names,
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-amz-date",
            "x-amz-target"
        ]
    );
    for (name, value) in [
        ("host", "agcod-v2-gamma.amazon.com"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("user-agent", concat!("noshi/", env!("CARGO_PKG_VERSION"))),
        ("x-amz-date", "20260105T093000Z"),
        ("x-amz-target", "com.amazonaws.agcod.AGCODService.CreateGiftCard"),
    ] {
        assert_eq!(values(head, name), [value], "{name}");
    }
    let authorization = values(head, "authorization").concat();
    assert!(authorization.starts_with(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260105/us-east-1/AGCODService/aws4_request, \
         SignedHeaders=accept;content-type;host;x-amz-date;x-amz-target, Signature="
    ));
}

#[tokio::test]
async fn the_other_operations_have_their_own_path_target_and_body() {
    let canceled = format!(r#"{{"creationRequestId":"{ID}","gcId":"A2GCN9BRX5QS76","status":"SUCCESS"}}"#);
    let mut server = Server::start(Act::Write(json("200", &canceled))).await;
    assert_eq!(server.client().cancel_gift_card(&id()).await.outcome.class(), "proven");
    let request = server.seen().concat();
    assert!(request.starts_with("POST /CancelGiftCard HTTP/1.1\r\n"));
    assert_eq!(values(&request, "x-amz-target"), ["com.amazonaws.agcod.AGCODService.CancelGiftCard"]);
    assert!(request.ends_with(&format!("\r\n\r\n{{\"creationRequestId\":\"{ID}\",\"partnerId\":\"Awssb\"}}")));

    let funds =
        r#"{"availableFunds":{"amount":0.0,"currencyCode":"USD"},"status":"SUCCESS","timestamp":"20220610T085450Z"}"#;
    let mut server = Server::start(Act::Write(json("200", funds))).await;
    let Outcome::Proven(funds) = server.client().get_available_funds().await.outcome else {
        panic!("the recorded answer is understood");
    };
    assert_eq!(funds.amount, Money::from_minor(0, Currency::Usd));
    let request = server.seen().concat();
    assert!(request.starts_with("POST /GetAvailableFunds HTTP/1.1\r\n"));
    assert!(request.ends_with("\r\n\r\n{\"partnerId\":\"Awssb\"}"));
}

#[tokio::test]
async fn a_refused_connection_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let exchange = client(address).create_gift_card(&id(), asked(), None).await;
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("not_sent", "connect"));
    assert_eq!((exchange.http_status, exchange.request_id), (None, None));
}

#[tokio::test]
async fn a_value_in_another_currency_is_not_sent() {
    let mut server = Server::start(Act::Write(json("200", &card()))).await;
    let exchange = server.client().create_gift_card(&id(), Money::from_minor(2500, Currency::Eur), None).await;
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("not_sent", "build"));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn silence_until_the_time_limit_is_a_doubt() {
    is_ambiguous(Act::Hang(Vec::new()), "timeout").await;
}

#[tokio::test]
async fn a_time_out_inside_the_body_is_a_doubt() {
    let head = answer("200", "Content-Type: application/json\r\nContent-Length: 500\r\n", "{\"card");
    is_ambiguous(Act::Hang(head), "timeout").await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_off_at_the_time_limit() {
    let head = answer("200", "Content-Type: application/json\r\nContent-Length: 60000\r\n", "");
    let (exchange, _server) = tokio::time::timeout(TOTAL * 4, create(Act::Drip(head))).await.unwrap();
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("ambiguous", "timeout"));
    assert_eq!(exchange.http_status, Some(200));
    assert_eq!(exchange.request_id.unwrap().as_str(), REQUEST_ID);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_a_doubt() {
    is_ambiguous(Act::Write(Vec::new()), "connection_lost").await;
    is_ambiguous(Act::Reset(Vec::new()), "connection_lost").await;
    is_ambiguous(Act::Write(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()), "connection_lost").await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_whole_is_a_doubt() {
    let card = card();
    let half = card.get(..60).unwrap();
    let length = answer("200", "Content-Type: application/json\r\nContent-Length: 500\r\n", half);
    is_ambiguous(Act::Write(length.clone()), "connection_lost").await;
    is_ambiguous(Act::Reset(length), "connection_lost").await;
    // Even when what did arrive is a whole card.
    let whole = answer("200", "Content-Type: application/json\r\nContent-Length: 500\r\n", &card);
    is_ambiguous(Act::Write(whole), "connection_lost").await;
    let chunked = format!("{:x}\r\n{card}\r\n", card.len());
    let chunked = answer("200", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", &chunked);
    is_ambiguous(Act::Write(chunked), "connection_lost").await;
    // The HTTP library takes a cut body without a length for a whole one; the JSON tells.
    let unbounded = answer("200", "Content-Type: application/json\r\nConnection: close\r\n", half);
    is_ambiguous(Act::Write(unbounded), "not_json").await;
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    for status in ["301", "302", "303", "307", "308"] {
        let answer = answer(status, "Location: /CreateGiftCard\r\nContent-Length: 0\r\nConnection: close\r\n", "");
        is_ambiguous(Act::Write(answer), "redirect").await;
    }
}

#[tokio::test]
async fn a_body_above_the_cap_is_a_doubt_and_the_cap_itself_is_not() {
    let padded = |size: usize| format!("{}{}", card(), " ".repeat(size - card().len()));
    is_ambiguous(Act::Write(json("200", &padded(70 * 1024))), "too_large").await;
    is_ambiguous(Act::Write(json("200", &padded(64 * 1024 + 1))), "too_large").await;
    let unbounded = answer("200", "Content-Type: application/json\r\nConnection: close\r\n", &padded(70 * 1024));
    is_ambiguous(Act::Write(unbounded), "too_large").await;
    let (exchange, _server) = create(Act::Write(json("200", &padded(64 * 1024)))).await;
    assert_eq!(exchange.outcome.class(), "proven");
}

#[tokio::test]
async fn what_is_not_amazons_answer_is_a_doubt() {
    let page = "<html>Service Unavailable</html>";
    let labelled = |status, label: &str, body: &str| {
        answer(status, &format!("Content-Type: {label}\r\nContent-Length: {}\r\n", body.len()), body)
    };
    is_ambiguous(Act::Write(labelled("503", "text/html", page)), "server_error").await;
    is_ambiguous(Act::Write(labelled("200", "text/html", page)), "not_json").await;
    is_ambiguous(Act::Write(labelled("200", "text/plain", &card())), "not_json").await;
    is_ambiguous(Act::Write(labelled("200", "application/json", "\u{1}\u{2}garbage")), "not_json").await;
    is_ambiguous(Act::Write(b"garbage\r\n\r\n".to_vec()), "connection_lost").await;
    is_ambiguous(Act::Write(answer("429", "Content-Length: 0\r\n", "")), "throttled").await;
}

#[tokio::test]
async fn refusals_come_through_with_status_and_request_id() {
    let refusal = r#"{"agcodResponse":{"status":"FAILURE"},"errorCode":"F300","errorType":"InsufficientFunds","message":"Insufficient Funds"}"#;
    let (exchange, _server) = create(Act::Write(json("400", refusal))).await;
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("refused", "F300"));
    assert_eq!(exchange.http_status, Some(400));
    let skew = r#"{"message":"Signature expired: 20260105T093000Z is now earlier than 20260105T094000Z"}"#;
    let (exchange, _server) = create(Act::Write(json("403", skew))).await;
    assert_eq!((exchange.outcome.class(), exchange.outcome.reason()), ("turned_away", "clock_skew"));
    assert!(exchange.server_date.is_some(), "the caller needs Amazon's clock");
}

#[tokio::test]
async fn a_connection_that_is_kept_is_used_again() {
    let mut server = Server::start(Act::Keep(json("200", &card()))).await;
    let client = server.client();
    for _call in 0..3 {
        assert_eq!(client.clone().create_gift_card(&id(), asked(), None).await.outcome.class(), "proven");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    let bodies: Vec<_> =
        server.seen().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "a replay sends the same bytes");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn even_at_trace_no_library_logs_a_claim_code_a_key_or_a_signature() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let (exchange, mut server) = create(Act::Write(json("200", &card()))).await;
    assert_eq!(exchange.outcome.class(), "proven");
    drop(guard);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("http1 handshake complete"), "the log holds what the libraries say");
    let authorization = values(&server.seen().concat(), "authorization").concat();
    let signature = authorization.rsplit('=').next().unwrap();
    let decimal = CODE.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    for secret in [CODE, decimal.as_str(), "AKIDEXAMPLE", "SECRETEXAMPLE", signature] {
        assert!(!logged.contains(secret), "{secret}");
    }
}
