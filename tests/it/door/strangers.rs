//! Strangers of each kind, many at once, beside honest callers: nobody honest is refused, or waits much longer than without
//! them, and the process's memory stays within the pod's.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, order, rounds, with_json},
};

/// Strangers of one kind at once. Everyday few, at a door with few places.
const EVERYDAY: usize = 40;
/// How long each kind is there, and the quiet time before.
const EVERYDAY_SECONDS: u64 = 1;
const WHOLE_SECONDS: u64 = 15;
/// After which a stranger whose connection was ended comes again.
const PAUSE: Duration = Duration::from_secs(2);
/// What the pod has for the process: its limit, less the volume that lies in memory.
const POD_KIB: u64 = (128 - 16) * 1024;
/// Honest callers, and how often each of them asks. One of ten questions is an order.
const CALLERS: usize = 8;
const PACE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum Kind {
    SlowHead,
    SlowBody,
    Idle,
    ReaderOfNothing,
    /// Asks for the longest answer that needs no key, and reads nothing of it.
    ReaderOfNoPage,
    KeylessPipeline,
}

const KINDS: [Kind; 6] =
    [Kind::SlowHead, Kind::SlowBody, Kind::Idle, Kind::ReaderOfNothing, Kind::ReaderOfNoPage, Kind::KeylessPipeline];
/// What the page's readers may add: of the page, of 1.4 MiB each, nothing.
const PAGES_KIB_MAX: u64 = 16 * 1024;

impl Kind {
    /// What one of them sends at once.
    fn start(self) -> String {
        let ask = "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\n";
        match self {
            Self::SlowHead => format!("{ask}X-Long: {}", "x".repeat(15_000)),
            Self::SlowBody => {
                "POST /v1/rewards HTTP/1.1\r\nHost: noshi\r\nContent-Length: 4000\r\nContent-Type: application/json\r\n\r\n{".to_owned()
            }
            Self::Idle => String::new(),
            Self::ReaderOfNothing => format!("{ask}\r\n"),
            Self::ReaderOfNoPage => "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: noshi\r\n\r\n".to_owned(),
            Self::KeylessPipeline => format!("{ask}\r\n").repeat(200),
        }
    }

    /// What it goes on sending, every second.
    const fn drip(self) -> &'static str {
        match self {
            Self::SlowHead | Self::SlowBody => "x",
            Self::ReaderOfNothing => "GET /v1/ping HTTP/1.1\r\nHost: noshi\r\n\r\n",
            Self::Idle | Self::KeylessPipeline | Self::ReaderOfNoPage => "",
        }
    }
}

/// One stranger, who comes again whenever the connection ends.
async fn stranger(address: &str, kind: Kind, is_over: &AtomicBool, connections: &AtomicUsize) {
    while !is_over.load(Ordering::Relaxed) {
        let visit = async {
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            connections.fetch_add(1, Ordering::Relaxed);
            let mut scratch = [0; 1024];
            let mut open = stream.write_all(kind.start().as_bytes()).await.is_ok();
            while open && !is_over.load(Ordering::Relaxed) {
                let next = tokio::time::sleep(Duration::from_secs(1));
                open = match kind {
                    Kind::ReaderOfNothing | Kind::ReaderOfNoPage => {
                        next.await;
                        stream.write_all(kind.drip().as_bytes()).await.is_ok()
                    }
                    Kind::SlowHead | Kind::SlowBody | Kind::Idle | Kind::KeylessPipeline => tokio::select! {
                        read = stream.read(&mut scratch) => read.is_ok_and(|read| read > 0),
                        () = next => stream.write_all(kind.drip().as_bytes()).await.is_ok(),
                    },
                };
            }
        };
        // A stranger whom nobody lets in gives up, and tries again.
        drop(tokio::time::timeout(Duration::from_secs(10), visit).await);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the honest callers were answered, and after how long.
#[derive(Default)]
struct Heard {
    took: Vec<Duration>,
    refused: Vec<String>,
}

impl Heard {
    fn p99(&mut self) -> Duration {
        self.took.sort_unstable();
        let at = self.took.len() * 99 / 100;
        self.took.get(at).copied().unwrap_or_default()
    }
}

/// Honest callers for some seconds. Half of them keep their connections; the others come anew for each question.
async fn honest(app: &App, base: &str, stage: &str, seconds: u64) -> Heard {
    let fresh = client_without_pool();
    let caller = async |number: usize| {
        let keeps = number.is_multiple_of(2);
        let mut heard = Heard::default();
        let began = app.ambient.monotonic();
        for question in 0.. {
            if began.elapsed() >= Duration::from_secs(seconds) {
                break;
            }
            let asked = app.ambient.monotonic();
            let http = if keeps { &app.http } else { &fresh };
            let request = if question % 10 == 0 {
                let request = http.post(format!("{base}/v1/rewards"));
                with_json(request.header("Idempotency-Key", format!("{stage}-{number}-{question}")), &order("0.50"))
            } else {
                http.get(format!("{base}/v1/ping"))
            };
            match Answer::try_of(request.bearer_auth(&app.key)).await {
                Some(answer) if matches!(answer.status, 200 | 201) => heard.took.push(asked.elapsed()),
                Some(answer) => heard.refused.push(answer.text),
                None => heard.refused.push("no answer".to_owned()),
            }
            tokio::time::sleep(PACE).await;
        }
        heard
    };
    let mut all = Heard::default();
    for heard in join_all((0..CALLERS).map(caller)).await {
        all.took.extend(heard.took);
        all.refused.extend(heard.refused);
    }
    all
}

#[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
fn client_without_pool() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().tls_certs_only([]).pool_max_idle_per_host(0).build().unwrap()
}

/// The process's own memory, in KiB.
fn memory(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The most that the process holds until it is over.
async fn watch_memory(served: &Served, is_over: &AtomicBool) -> u64 {
    let mut most = 0;
    while !is_over.load(Ordering::Relaxed) {
        most = most.max(memory(served));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    most
}

/// `NOSHI_TEST_STRANGERS=2000` is the whole of it. Times are compared there alone: the everyday run shares its machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_every_kind_refuse_no_caller_and_fill_no_memory() {
    let whole = rounds::set_by_hand("NOSHI_TEST_STRANGERS");
    let strangers = whole.map_or(EVERYDAY, |count| usize::try_from(count).unwrap());
    let seconds = if whole.is_some() { WHOLE_SECONDS } else { EVERYDAY_SECONDS };
    let shape = Shape::default().with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let shape = shape.with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 0);
    let shape = if whole.is_some() { shape } else { shape.with("NOSHI__SERVER__CONNECTIONS_MAX", 40) };
    let mut app = App::shaped(Backend::Sqlite, shape).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    let address = served.base.trim_start_matches("http://").to_owned();
    let mut quiet = honest(&app, &served.base, "quiet", seconds).await;
    let (quiet_p99, at_rest) = (quiet.p99(), memory(&served));
    assert!(quiet.refused.is_empty(), "{:?}", quiet.refused);
    let mut slow = Vec::new();
    for kind in KINDS {
        let (is_over, connections) = (AtomicBool::new(false), AtomicUsize::new(0));
        let crowd = join_all((0..strangers).map(|_| stranger(&address, kind, &is_over, &connections)));
        let callers = async {
            // They are all there first.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let heard = honest(&app, &served.base, &format!("{kind:?}"), seconds).await;
            is_over.store(true, Ordering::Relaxed);
            heard
        };
        let (_crowd, mut heard, most) = tokio::join!(crowd, callers, watch_memory(&served, &is_over));
        let p99 = heard.p99();
        rounds::print(&format!(
            "{strangers} strangers, {kind:?}: {} connections; honest: {} answered, p99 {p99:?} (quiet {quiet_p99:?}), \
             {} refused; memory {most} KiB at most (at rest {at_rest})",
            connections.load(Ordering::Relaxed),
            heard.took.len(),
            heard.refused.len()
        ));
        assert!(heard.refused.is_empty(), "{kind:?}: {:?}", heard.refused);
        assert!(heard.took.len() > CALLERS, "{kind:?}: nobody honest was there");
        assert!(most < POD_KIB, "{kind:?}: {most} KiB");
        let page = matches!(kind, Kind::ReaderOfNoPage) && whole.is_none();
        assert!(!page || most < at_rest + PAGES_KIB_MAX, "{most} KiB, and {at_rest} at rest");
        if whole.is_some() && p99 >= 2 * quiet_p99 {
            slow.push(format!("{kind:?}: p99 {p99:?}, quiet {quiet_p99:?}"));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
    assert!(served.terminate().success());
    app.end().await;
}
