//! Strangers of each kind, many at once, beside honest callers: nobody honest is refused, or waits much longer than without
//! them, and the process's memory stays within the pod's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::ASK;
use crate::{
    bad_input::wire::with_key,
    process::Served,
    support::{Answer, App, Backend, Shape, on_each_backend, order, rounds, with_json},
};

/// Strangers of one kind at once. Everyday few, at a door with few places.
const EVERYDAY: usize = 40;
/// How long a trial is quiet, and how long the strangers are there.
const EVERYDAY_SECONDS: u64 = 1;
const WHOLE_SECONDS: u64 = 10;
/// Trials of each kind, of which the median counts.
const WHOLE_TRIALS: usize = 3;
/// How much longer 99 of 100 answers may take beside strangers than without them.
const PERCENT_MAX: u128 = 200;
/// After which a stranger whose connection was ended comes again.
const PAUSE: Duration = Duration::from_secs(2);
/// Strangers have machines of their own: what theirs compute takes no processor from the service, where it wants one.
const NICE: i32 = 19;
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

/// Strangers of one kind, on a thread of their own.
struct Crowd {
    is_over: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Crowd {
    fn come(address: &str, kind: Kind, count: usize) -> Self {
        let (is_over, connections) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (address, over, made) = (address.to_owned(), Arc::clone(&is_over), Arc::clone(&connections));
        let thread = std::thread::spawn(move || {
            // Of this thread alone.
            rustix::process::setpriority_process(None, NICE).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(join_all((0..count).map(|_| stranger(&address, kind, &over, &made))));
        });
        Self { is_over, connections, thread }
    }

    /// Sends them home; how many connections they made.
    async fn leave(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
        self.connections.load(Ordering::Relaxed)
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

/// The processor time that the process has had, in hundredths of a second.
fn busy(served: &Served) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.id())).unwrap();
    // Behind the name, which may hold blanks: user time and system time are the 14th and 15th fields of all.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

/// What one trial of one kind showed.
struct Trial {
    quiet: Heard,
    beside: Heard,
    connections: usize,
    most_kib: u64,
    /// Of a processor, in per cent: quiet, and beside the strangers.
    busy: [u64; 2],
}

/// Quiet at first, and then beside the strangers.
async fn trial(app: &App, served: &Served, kind: Kind, extent: &Extent, name: &str) -> Trial {
    let address = served.base.trim_start_matches("http://");
    let before = busy(served);
    let quiet = honest(app, &served.base, &format!("{name}-quiet"), extent.seconds).await;
    let between = busy(served);
    let crowd = Crowd::come(address, kind, extent.strangers);
    // They are all there first.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let is_over = AtomicBool::new(false);
    let callers = async {
        let heard = honest(app, &served.base, name, extent.seconds).await;
        is_over.store(true, Ordering::Relaxed);
        heard
    };
    let (beside, most_kib) = tokio::join!(callers, watch_memory(served, &is_over));
    let busy = [between - before, busy(served) - between].map(|hundredths| hundredths / extent.seconds);
    Trial { quiet, beside, connections: crowd.leave().await, most_kib, busy }
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

fn median<T: Ord + Copy>(figures: impl IntoIterator<Item = T>) -> T {
    let mut figures: Vec<T> = figures.into_iter().collect();
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// How much of it a run does.
struct Extent {
    strangers: usize,
    seconds: u64,
    trials: usize,
    /// Times are compared in the whole alone: the everyday run shares its machine.
    is_whole: bool,
}

impl Extent {
    /// `NOSHI_TEST_STRANGERS=2000` is the whole of it.
    fn by_hand() -> Self {
        rounds::set_by_hand("NOSHI_TEST_STRANGERS").map_or(
            Self { strangers: EVERYDAY, seconds: EVERYDAY_SECONDS, trials: 1, is_whole: false },
            |count| Self {
                strangers: usize::try_from(count).unwrap(),
                seconds: WHOLE_SECONDS,
                trials: WHOLE_TRIALS,
                is_whole: true,
            },
        )
    }

    fn shape(&self) -> Shape {
        let shape = Shape::default()
            .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info")
            .with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 0)
            .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_REWARDS", "unlimited");
        if self.is_whole { shape } else { shape.with("NOSHI__SERVER__CONNECTIONS_MAX", 40) }
    }
}

/// All trials of one kind; the most memory in KiB, and what was too slow, if anything was.
async fn trials(app: &App, served: &Served, kind: Kind, extent: &Extent) -> (u64, Option<String>) {
    let mut trials = Vec::new();
    for number in 0..extent.trials {
        let mut trial = trial(app, served, kind, extent, &format!("{kind:?}-{number}")).await;
        assert!(trial.quiet.refused.is_empty(), "{kind:?}, while it is quiet: {:?}", trial.quiet.refused);
        assert!(trial.beside.refused.is_empty(), "{kind:?}: {:?}", trial.beside.refused);
        assert!(trial.beside.took.len() > CALLERS, "{kind:?}: nobody honest was there");
        assert!(trial.most_kib < POD_KIB, "{kind:?}: {} KiB", trial.most_kib);
        let p99 = [trial.quiet.p99(), trial.beside.p99()];
        trials.push((trial, p99));
    }
    let answered: usize = trials.iter().map(|(trial, _p99)| trial.beside.took.len()).sum();
    let connections: usize = trials.iter().map(|(trial, _p99)| trial.connections).sum();
    let most_kib = trials.iter().map(|(trial, _p99)| trial.most_kib).max().unwrap_or_default();
    let [quiet, beside] = [0, 1].map(|at| median(trials.iter().map(|(_trial, p99)| p99[at])));
    let busy = [0, 1].map(|at| median(trials.iter().map(|(trial, _p99)| trial.busy[at])));
    let percent = beside.as_micros() * 100 / quiet.as_micros().max(1);
    let line = format!(
        "{:?}, {} strangers, {kind:?}: {connections} connections; honest: {answered} answered, none refused, p99 {beside:.1?}, \
         {percent}% of the quiet {quiet:.1?}; processor {}%, quiet {}%; memory {most_kib} KiB at most",
        app.database.backend, extent.strangers, busy[1], busy[0],
    );
    rounds::print(&line);
    (most_kib, (extent.is_whole && percent >= PERCENT_MAX).then_some(line))
}

on_each_backend! {
    async fn strangers_of_every_kind_refuse_no_caller_and_fill_no_memory(backend: Backend) {
        let extent = Extent::by_hand();
        let mut app = App::shaped(backend, extent.shape()).await;
        assert!(app.stop().await);
        let served = Served::start(app.environment());
        // Connections are made, and pages are in memory.
        assert!(honest(&app, &served.base, "warm", 1).await.refused.is_empty());
        let at_rest = memory(&served);
        let mut slow = Vec::new();
        for kind in KINDS {
            let (most, too_slow) = trials(&app, &served, kind, &extent).await;
            slow.extend(too_slow);
            let page = matches!(kind, Kind::ReaderOfNoPage) && !extent.is_whole;
            assert!(!page || most < at_rest + PAGES_KIB_MAX, "{most} KiB, and {at_rest} at rest");
        }
        assert!(slow.is_empty(), "{slow:#?}");
        assert!(served.terminate().success());
        app.end().await;
    }
}

/// The service stands still while they come, as on a machine that is busy with others, and finds all of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_strangers_makes_no_caller_leave_whose_request_is_there() {
    let mut app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__CONNECTIONS_MAX", 40)).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    let address = served.base.trim_start_matches("http://");
    let mut refused = 0;
    for _ in 0..5 {
        served.signal("STOP");
        let mut callers = Vec::new();
        for _ in 0..4 {
            let mut caller = TcpStream::connect(address).await.unwrap();
            caller.write_all(&with_key(ASK.as_bytes(), &app.key)).await.unwrap();
            callers.push(caller);
        }
        let strangers = join_all((0..60).map(|_| TcpStream::connect(address))).await;
        served.signal("CONT");
        for mut caller in callers {
            let mut answer = [0; 12];
            let read = tokio::time::timeout(Duration::from_secs(10), caller.read_exact(&mut answer)).await.unwrap();
            refused += usize::from(read.is_err() || &answer != b"HTTP/1.1 200");
        }
        drop(strangers);
    }
    assert_eq!(refused, 0, "of 20 callers");
    assert!(served.terminate().success());
    app.end().await;
}
