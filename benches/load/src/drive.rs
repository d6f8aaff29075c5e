//! The load: callers who wait for each other (closed loop), or arrivals by a clock that waits for nobody (open loop).
//!
//! In the open loop a latency counts from the instant at which the request was due, also where the driver or the service was late:
//! nothing is omitted because it was slow.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpStream, runtime::Handle};

use crate::failure::{Doing, Failure};

/// What every request buys, and for how much.
pub(crate) const BODY: &str = r#"{"kind":"gift_code","value":{"amount":"1.00","currency_code":"USD"}}"#;
pub(crate) const MINOR: u64 = 100;
/// How long answers are waited for, once nothing is sent any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a caller whose connection broke waits.
const PAUSE: Duration = Duration::from_millis(10);
/// The slowest latency that is told apart: a minute, in microseconds.
const SLOWEST: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many callers, each of whom asks again as soon as it is answered.
    Closed(usize),
    /// So many a second, whatever becomes of those before.
    Open(u64),
    /// The same by so many connections, of which each is used as often as the others.
    Overload { rate: u64, connections: usize },
    /// So many callers, until so many requests are answered.
    Count(usize, u64),
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The API key, where one is needed.
    pub(crate) authorization: Option<String>,
}

/// What came of the requests.
#[derive(Debug)]
pub(crate) struct Tally {
    from: Option<Instant>,
    to: Option<Instant>,
    /// Microseconds, of the requests that were due in the window and answered 201.
    pub(crate) latencies: Histogram<u64>,
    /// The same of those that were refused.
    pub(crate) refusals: Histogram<u64>,
    /// How many 201 came in the window.
    pub(crate) issued: u64,
    /// Every answer of the whole run by its status, `connection` where none came.
    pub(crate) answers: BTreeMap<String, u64>,
    /// A digest of every code.
    pub(crate) codes: Vec<u64>,
    /// What the first refusal said. A problem has no code in it.
    pub(crate) refusal: Option<String>,
}

/// A number for a code, so that codes are compared without being kept.
pub(crate) fn digest(code: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(code)
}

#[derive(Deserialize)]
struct Issued {
    claim_code: Option<String>,
}

/// An answer, as far as it is looked at.
struct Answer {
    status: u16,
    code: Option<u64>,
    refusal: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = || Histogram::new_with_bounds(1, SLOWEST, DIGITS).doing("a histogram");
        Ok(Self {
            from: None,
            to: None,
            latencies: histogram()?,
            refusals: histogram()?,
            issued: 0,
            answers: BTreeMap::new(),
            codes: Vec::new(),
            refusal: None,
        })
    }

    fn add(&mut self, due: Instant, answer: &Result<Answer, Failure>) {
        let now = Instant::now();
        let status =
            answer.as_ref().map_or_else(|_failure| "connection".to_owned(), |answer| answer.status.to_string());
        *self.answers.entry(status).or_default() += 1;
        let said = match answer {
            Ok(Answer { status: 201, code, .. }) => {
                self.codes.extend(*code);
                None
            }
            Ok(other) => Some(other.refusal.clone()),
            Err(failure) => Some(Some(failure.to_string())),
        };
        let (from, to) = (self.from, self.to);
        let within = |at: Instant| from.is_some_and(|from| at >= from) && to.is_none_or(|to| at < to);
        let took = u64::try_from(now.saturating_duration_since(due).as_micros()).unwrap_or(SLOWEST).max(1);
        if let Some(refusal) = said {
            self.refusal = self.refusal.take().or(refusal);
            if within(due) && answer.is_ok() {
                self.refusals.saturating_record(took);
            }
            return;
        }
        self.issued += u64::from(within(now));
        if within(due) {
            self.latencies.saturating_record(took);
        }
    }
}

/// Load that is on its way.
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    in_flight: Arc<AtomicU64>,
}

/// What its tasks share.
#[derive(Clone)]
struct Shared {
    target: Target,
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    in_flight: Arc<AtomicU64>,
    /// Connections that wait for a request (open loop), the one that was used last at the end.
    idle: Arc<Mutex<VecDeque<SendRequest<Full<Bytes>>>>>,
    /// The fewest connections to have before one is used again that has just been.
    connections: usize,
    name: Arc<str>,
    sent: Arc<AtomicU64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Begins. `name` keeps its idempotency keys apart from those of any other load on the same database.
    pub(crate) fn start(shape: Shape, target: Target, name: &str) -> Result<Self, Failure> {
        let (tally, over) = (Arc::new(Mutex::new(Tally::new()?)), Arc::new(AtomicBool::new(false)));
        let shared = Shared {
            target,
            tally: Arc::clone(&tally),
            over: Arc::clone(&over),
            in_flight: Arc::default(),
            idle: Arc::default(),
            connections: if let Shape::Overload { connections, .. } = shape { connections } else { 0 },
            name: name.into(),
            sent: Arc::default(),
        };
        let in_flight = Arc::clone(&shared.in_flight);
        match shape {
            Shape::Closed(callers) => shared.closed(callers, u64::MAX),
            Shape::Count(callers, count) => shared.closed(callers, count),
            Shape::Open(rate) | Shape::Overload { rate, .. } => {
                let handle = Handle::current();
                thread::spawn(move || shared.arrive(rate, &handle));
            }
        }
        Ok(Self { tally, over, in_flight })
    }

    /// What comes from now on counts.
    pub(crate) fn begin(&self) {
        locked(&self.tally).from = Some(Instant::now());
    }

    /// What comes from now on does not.
    pub(crate) fn end(&self) {
        locked(&self.tally).to = Some(Instant::now());
        self.over.store(true, Ordering::Release);
    }

    /// Waits for the answers to all that was sent.
    pub(crate) async fn finish(self) -> Result<Tally, Failure> {
        let began = Instant::now();
        while self.in_flight.load(Ordering::Acquire) > 0 {
            if began.elapsed() > PATIENCE {
                return Err(Failure::new("requests have no answer after a minute"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut last = locked(&self.tally);
        Ok(std::mem::replace(&mut *last, Tally::new()?))
    }
}

impl Shared {
    fn closed(&self, callers: usize, count: u64) {
        for _caller in 0..callers {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            let shared = self.clone();
            tokio::spawn(async move {
                shared.ask_again_and_again(count).await;
                shared.in_flight.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }

    async fn ask_again_and_again(&self, count: u64) {
        let mut connection = None;
        while !self.over.load(Ordering::Acquire) {
            let number = self.sent.fetch_add(1, Ordering::AcqRel);
            if number >= count {
                return;
            }
            let due = Instant::now();
            let answer = self.ask(&mut connection, number).await;
            if answer.is_err() {
                connection = None;
                tokio::time::sleep(PAUSE).await;
            }
            locked(&self.tally).add(due, &answer);
        }
    }

    /// Sends by the clock. A thread sleeps more exactly than a task, and sends late what it overslept.
    fn arrive(self, rate: u64, handle: &Handle) {
        let began = Instant::now();
        for number in 0_u64.. {
            let due = began + Duration::from_nanos(number.saturating_mul(1_000_000_000) / rate.max(1));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.over.load(Ordering::Acquire) {
                return;
            }
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            let shared = self.clone();
            handle.spawn(async move {
                let mut connection = shared.next_connection();
                let answer = shared.ask(&mut connection, number).await;
                if let (Ok(_answer), Some(connection)) = (&answer, connection) {
                    locked(&shared.idle).push_back(connection);
                }
                locked(&shared.tally).add(due, &answer);
                shared.in_flight.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }

    /// One that waits for a request; `None`: another one is to be made.
    fn next_connection(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = locked(&self.idle);
        let busy = usize::try_from(self.in_flight.load(Ordering::Acquire)).unwrap_or(usize::MAX).saturating_sub(1);
        if self.connections == 0 {
            return idle.pop_back();
        }
        if idle.len().saturating_add(busy) < self.connections { None } else { idle.pop_front() }
    }

    async fn ask(&self, connection: &mut Option<SendRequest<Full<Bytes>>>, number: u64) -> Result<Answer, Failure> {
        // One that the service has closed meanwhile is nobody's failure.
        if let Some(sender) = connection
            && sender.ready().await.is_err()
        {
            *connection = None;
        }
        let sender = match connection {
            Some(sender) => sender,
            None => connection.insert(connect(self.target.address).await?),
        };
        let request = Request::post("/v1/rewards")
            .header(HOST, "service")
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", format!("{}-{number}", self.name));
        let request = match &self.target.authorization {
            Some(key) => request.header(AUTHORIZATION, key),
            None => request,
        };
        let request = request.body(Full::new(Bytes::from_static(BODY.as_bytes()))).doing("a request")?;
        let answer = sender.send_request(request).await.doing("a request")?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.doing("an answer")?.to_bytes();
        let issued: Option<Issued> = serde_json::from_slice(&body).ok();
        let refusal = (status >= 400).then(|| String::from_utf8_lossy(&body).into_owned());
        Ok(Answer { status, code: issued.and_then(|issued| issued.claim_code).as_deref().map(digest), refusal })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await.doing("a connection")?;
    stream.set_nodelay(true).doing("a connection")?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.doing("a connection")?;
    tokio::spawn(async move {
        // It ends with the last request, or with an error that the request reports.
        drop(connection.await);
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Semaphore,
    };

    use super::*;

    /// A service with so many hands, each of which is busy with a request for a while.
    async fn service(hands: usize, busy: Duration) -> Target {
        service_with("", hands, busy).await
    }

    async fn service_with(header: &'static str, hands: usize, busy: Duration) -> Target {
        service_that_counts(header, hands, busy, Arc::default()).await
    }

    async fn service_that_counts(
        header: &'static str,
        hands: usize,
        busy: Duration,
        connections: Arc<AtomicU64>,
    ) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hands = Arc::new(Semaphore::new(hands));
        tokio::spawn(async move {
            while let Ok((mut client, _from)) = listener.accept().await {
                let hands = Arc::clone(&hands);
                connections.fetch_add(1, Ordering::AcqRel);
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    while client.read(&mut head).await.is_ok_and(|count| count > 0) {
                        let hand = hands.acquire().await.unwrap();
                        tokio::time::sleep(busy).await;
                        drop(hand);
                        let body = r#"{"claim_code":"a code"}"#;
                        let length = body.len();
                        let answer = format!("HTTP/1.1 201 Created\r\n{header}content-length: {length}\r\n\r\n{body}");
                        if client.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Target { address, authorization: None }
    }

    #[tokio::test]
    async fn an_open_loop_counts_the_wait_of_those_who_were_due_while_nobody_was_served() {
        // One request takes 50 ms and one comes every 10 ms: each waits 40 ms longer than the one before.
        let target = service(1, Duration::from_millis(50)).await;
        let load = Load::start(Shape::Open(100), target, "open").unwrap();
        load.begin();
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.end();
        let tally = load.finish().await.unwrap();
        assert!(tally.latencies.len() >= 25, "{} came by the clock", tally.latencies.len());
        assert!(tally.latencies.max() >= 900_000, "the last waited for all before it: {}", tally.latencies.max());
    }

    #[tokio::test]
    async fn an_overload_comes_by_all_of_its_connections_and_one_load_by_as_few_as_it_needs() {
        let connections_of = async |shape| {
            let connections = Arc::new(AtomicU64::new(0));
            let target = service_that_counts("", 64, Duration::ZERO, Arc::clone(&connections)).await;
            let load = Load::start(shape, target, "by many").unwrap();
            tokio::time::sleep(Duration::from_millis(400)).await;
            load.end();
            load.finish().await.unwrap();
            connections.load(Ordering::Acquire)
        };
        assert_eq!(connections_of(Shape::Overload { rate: 200, connections: 32 }).await, 32);
        assert!(connections_of(Shape::Open(200)).await < 32);
    }

    #[test]
    fn the_refused_have_latencies_of_their_own_and_broken_connections_have_none() {
        let mut tally = Tally::new().unwrap();
        let due = Instant::now();
        tally.from = Some(due);
        let answer = |status| Ok(Answer { status, code: Some(1), refusal: None });
        for answered in [answer(201), answer(503), answer(503), Err(Failure::new("broken"))] {
            tally.add(due, &answered);
        }
        assert_eq!((tally.issued, tally.latencies.len(), tally.refusals.len()), (1, 1, 2));
        assert_eq!(tally.answers["connection"], 1);
    }

    #[tokio::test]
    async fn what_is_due_before_the_window_is_not_in_the_figures_but_in_the_books() {
        let target = service(8, Duration::ZERO).await;
        let load = Load::start(Shape::Closed(2), target, "closed").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        load.begin();
        load.end();
        let tally = load.finish().await.unwrap();
        assert_eq!((tally.latencies.len(), tally.issued), (0, 0));
        let answered = tally.answers["201"];
        assert!(answered > 0);
    }

    #[tokio::test]
    async fn a_count_is_kept_to_the_request() {
        let load = Load::start(Shape::Count(3, 10), service(8, Duration::ZERO).await, "count").unwrap();
        let tally = load.finish().await.unwrap();
        assert_eq!(tally.answers, BTreeMap::from([("201".to_owned(), 10)]));
    }

    #[tokio::test]
    async fn a_connection_that_the_service_closes_between_two_requests_costs_nobody_an_answer() {
        let target = service_with("connection: close\r\n", 8, Duration::ZERO).await;
        let load = Load::start(Shape::Count(2, 20), target, "closing").unwrap();
        assert_eq!(load.finish().await.unwrap().answers, BTreeMap::from([("201".to_owned(), 20)]));
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_counted_as_such() {
        let address = crate::child::free_address().unwrap();
        let load = Load::start(Shape::Count(1, 2), Target { address, authorization: None }, "nobody").unwrap();
        assert_eq!(load.finish().await.unwrap().answers, BTreeMap::from([("connection".to_owned(), 2)]));
    }
}
