//! Write-ahead order, seen from the kernel: the intent is on the disk before a byte goes to Amazon,
//! and the outcome is before a byte goes to the caller. `strace` writes down what the process asks of the kernel.
//!
//! A kill cannot show this: the kernel's page cache survives the process. On PostgreSQL what the service can know is the
//! answer to its COMMIT, or to a statement that is a transaction by itself; that the server answers after its own fsync is the server's setting, and is looked at.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    process::Command,
};

use super::Served;
use crate::{
    seeded,
    support::{App, Backend, Shape, on_each_backend},
};

const REQUESTS: usize = 20;
const WARM: usize = 5;
/// Whatever writes, syncs or talks. Of what is written the first bytes are kept.
const CALLS: &str =
    "trace=fsync,fdatasync,connect,write,writev,pwrite64,pwritev,sendto,sendmsg,read,readv,recvfrom,recvmsg";

/// What a line of the trace is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// Something was written that is not durable yet.
    Written,
    /// All that was written is durable.
    Durable,
    /// Bytes leave for Amazon.
    ToAmazon,
    /// Bytes leave for the caller.
    ToCaller,
}

/// Who is who in a trace.
struct Peers {
    backend: Backend,
    gateway: u16,
    api: u16,
    database: u16,
}

/// Facts that only a transaction of a purchase writes. Others commit beside it, and prove nothing of it.
const OF_A_PURCHASE: [&str; 2] = ["reward.received", "reward.issued"];

/// What the lines so far say of the sessions with PostgreSQL. A session goes by its own end of the connection.
#[derive(Default)]
struct Sessions<'a> {
    /// Between BEGIN and the answer to COMMIT.
    open: HashSet<&'a str>,
    /// In a transaction of a purchase.
    purchasing: HashSet<&'a str>,
    /// Read by a thread whose call another thread's line interrupts.
    read_by: HashMap<&'a str, &'a str>,
    /// Read since the session last sent something: an answer comes in as many pieces as the driver's buffer has room for.
    heard: HashMap<&'a str, String>,
}

impl<'a> Sessions<'a> {
    fn event(&mut self, line: &'a str, (thread, call): (&'a str, &'a str), database: u16) -> Option<Event> {
        let here = line.split_once(&format!("->127.0.0.1:{database}]")).and_then(|(before, _)| before.rsplit_once('['));
        let session = match here {
            Some((_, session)) => session,
            None if call.starts_with("<... re") => self.read_by.remove(thread)?,
            None => return None,
        };
        if begins_with(call, &SENDS) {
            self.heard.remove(session);
            if call.contains("BEGIN\\0") {
                self.open.insert(session);
            }
            let purchases = OF_A_PURCHASE.iter().any(|fact| call.contains(fact));
            if purchases {
                self.purchasing.insert(session);
            }
            let ends = if self.open.contains(session) { call.contains("COMMIT\\0") } else { purchases };
            return (ends && self.purchasing.contains(session)).then_some(Event::Written);
        }
        // What is read stands where the call ends.
        if call.contains("<unfinished") {
            self.read_by.insert(thread, session);
        }
        let done = if self.open.contains(session) { "COMMIT\\0" } else { "SELECT 1\\0" };
        let heard = self.heard.entry(session).or_default();
        heard.push_str(call.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or("", |(text, _)| text));
        if !heard.contains(done) {
            return None;
        }
        self.open.remove(session);
        self.purchasing.remove(session).then_some(Event::Durable)
    }
}

const SENDS: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];

fn begins_with(call: &str, names: &[&str]) -> bool {
    names.iter().any(|name| call.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
}

impl Peers {
    /// Reads lines `THREAD call(fd<what it is>, ...`. A call that another thread's line interrupts has begun where its first
    /// part stands and ended where its `resumed` part does; a sync counts from its end, anything else from its start.
    fn events(&self, lines: &[&str]) -> Vec<Event> {
        let mut sessions = Sessions::default();
        lines.iter().filter_map(|line| self.event(&mut sessions, line)).collect()
    }

    fn event<'a>(&self, sessions: &mut Sessions<'a>, line: &'a str) -> Option<Event> {
        let (thread, call) = line.split_once(' ')?;
        let call = call.trim_start();
        let sends = begins_with(call, &SENDS);
        if sends && line.contains(&format!("->127.0.0.1:{}]", self.gateway)) {
            return Some(Event::ToAmazon);
        }
        if sends && line.contains(&format!("[127.0.0.1:{}->", self.api)) {
            return Some(Event::ToCaller);
        }
        match self.backend {
            Backend::Sqlite => {
                let wal = line.contains("noshi.db-wal>");
                let resumed = call.starts_with("<... fdatasync resumed") || call.starts_with("<... fsync resumed");
                let synced = begins_with(call, &["fsync", "fdatasync"]) && wal && !line.contains("<unfinished");
                if begins_with(call, &["pwrite64", "pwritev", "write"]) && wal {
                    return Some(Event::Written);
                }
                ((synced || resumed) && line.ends_with("= 0")).then_some(Event::Durable)
            }
            Backend::Postgres => sessions.event(line, (thread, call), self.database),
        }
    }
}

/// Follows one request after the other: durable, to Amazon, durable, to the caller.
fn follow(events: &[Event]) -> (usize, Vec<String>) {
    let (mut durable, mut pending, mut sent, mut answered) = (false, false, false, 0);
    let mut wrong = Vec::new();
    for event in events {
        match event {
            Event::Written => (pending, durable) = (true, false),
            Event::Durable => (pending, durable) = (false, true),
            Event::ToAmazon if sent => {}
            Event::ToAmazon => {
                if pending || !durable {
                    wrong.push(format!("request {answered} left for Amazon before its intent was durable"));
                }
                (sent, durable) = (true, false);
            }
            // The answer to something that buys nothing.
            Event::ToCaller if !sent => {}
            Event::ToCaller => {
                if pending || !durable {
                    wrong.push(format!("request {answered} was answered before its outcome was durable"));
                }
                (sent, durable) = (false, false);
                answered += 1;
            }
        }
    }
    (answered, wrong)
}

fn port(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
}

/// How a service that buys one code after the other is out of order.
pub(crate) async fn out_of_order(backend: Backend, bug: Option<&str>) -> Vec<String> {
    let there = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(there, "this test needs strace: use tests/run, or install the package");
    // Nobody else's transactions: recovery looks around once, at the start, and the balance is known by then.
    let shape = Shape::default().with("NOSHI__REWARDS__RECOVERY_POLL_MILLISECONDS", 60_000);
    let mut app = App::shaped(backend, shape).await;
    app.until_number("SELECT COUNT(*) FROM balances", 1).await;
    assert!(app.stop().await);
    let trace = app.database.folder.path().join("trace");
    let mut command = Command::new("strace");
    command.env_clear().args(["-f", "-yy", "-s", "8000", "-e", "signal=none", "-e", CALLS, "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_noshi")).arg("serve");
    let environment = seeded::with(bug, app.environment());
    let served = tokio::task::spawn_blocking(move || Served::spawn(command, &environment)).await.unwrap();
    let served = served.unwrap_or_else(|status| panic!("strace could not follow the service: {status}"));
    app.base.clone_from(&served.base);
    // The first ones share the process with what its start still does.
    let warm = (0..WARM).map(|at| format!("warm-{at}"));
    for key in warm.chain((0..REQUESTS).map(|at| format!("ordered-{at}"))) {
        let answer = app.issue(&key, "1.00").await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let child = Command::new("ps").args(["-o", "pid=", "--ppid", &served.id()]).output().unwrap();
    let child = String::from_utf8(child.stdout).unwrap().trim().to_owned();
    let database = if backend == Backend::Postgres { port(app.database.url()) } else { 0 };
    let peers = Peers { backend, gateway: app.gateway().port(), api: port(&served.base), database };
    assert!(tokio::task::spawn_blocking(move || served.end_with(&child)).await.unwrap().success());
    let mut wrong = judge(&trace, &peers);
    if backend == Backend::Postgres {
        const SYNCS: &str = "SELECT CASE WHEN current_setting('fsync') = 'on' THEN 1 ELSE 0 END::bigint";
        let syncs = app.database.number(SYNCS).await == 1;
        wrong.extend((!syncs).then(|| "the server does not wait for its disk".to_owned()));
    }
    app.end().await;
    wrong
}

fn judge(trace: &Path, peers: &Peers) -> Vec<String> {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("ordered-0")).expect("the first request is in the trace");
    let events = peers.events(&lines[first..]);
    let (answered, mut wrong) = follow(&events);
    println!("{:?}: {answered} requests in {} calls, {} events", peers.backend, lines.len(), events.len());
    if answered != REQUESTS {
        wrong.push(format!("{answered} of {REQUESTS} requests were seen"));
    }
    if peers.backend == Backend::Postgres {
        // Every session of ours sets it, whatever the server's default, and none takes that back.
        if !text.contains("set_config('synchronous_commit', 'on'") {
            wrong.push("no session sets synchronous_commit to on".to_owned());
        }
        if let Some(line) = lines.iter().find(|line| line.contains("synchronous_commit = ")) {
            wrong.push(format!("a session sets synchronous_commit another time: {line}"));
        }
    }
    wrong
}

on_each_backend! {
    async fn the_intent_is_durable_before_the_call_and_the_outcome_before_the_answer(backend: Backend) {
        assert_eq!(out_of_order(backend, None).await, [""; 0]);
    }
}

#[test]
fn a_commit_of_another_session_is_none_of_the_purchases() {
    let peers = Peers { backend: Backend::Postgres, gateway: 1, api: 2, database: 3 };
    let sent = |session: u16, text: &str| {
        format!(r#"7 sendto(9<TCP:[127.0.0.1:{session}->127.0.0.1:3]>, "{text}", 12, MSG_NOSIGNAL, NULL, 0) = 12"#)
    };
    let heard = |session: u16, done: &str| {
        format!(r#"7 recvfrom(9<TCP:[127.0.0.1:{session}->127.0.0.1:3]>, "C\0\0\0\v{done}\0Z", 9, 0, NULL, NULL) = 18"#)
    };
    let lines = [
        sent(50, r"Q\0\0\0\nBEGIN\0"),
        sent(50, "reward.received"),
        sent(60, r"Q\0\0\0\nBEGIN\0"),
        sent(60, "balance.observed"),
        sent(50, r"Q\0\0\0\vCOMMIT\0"),
        r"8 recvfrom(9<TCP:[127.0.0.1:50->127.0.0.1:3]>,  <unfinished ...>".to_owned(),
        sent(60, r"Q\0\0\0\vCOMMIT\0"),
        r#"8 <... recvfrom resumed>"C\0\0\0\vCOMMIT\0Z\0\0\0\5I", 5559, 0, NULL, NULL) = 18"#.to_owned(),
        r#"7 writev(33<TCP:[127.0.0.1:9->127.0.0.1:1]>, [{iov_base="POST"}], 1) = 4"#.to_owned(),
        heard(60, "COMMIT"),
        // A transaction that is one statement, beside one of another's.
        sent(50, "WITH part0 AS (), reward.issued"),
        sent(60, "SELECT id FROM api_keys"),
        heard(60, "SELECT 1"),
        // The driver's buffer had no room for more.
        r#"7 recvfrom(9<TCP:[127.0.0.1:50->127.0.0.1:3]>, "2\0\0\0\4C\0\0\0\rSELECT", 11, 0, NULL, NULL) = 11"#
            .to_owned(),
        r#"7 recvfrom(9<TCP:[127.0.0.1:50->127.0.0.1:3]>, " 1\0003\0\0\0\4Z\0\0\0\5I", 8192, 0, NULL, NULL) = 14"#
            .to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (intent, outcome) = ([Event::Written, Event::Durable, Event::ToAmazon], [Event::Written, Event::Durable]);
    assert_eq!(peers.events(&lines), [&intent[..], &outcome].concat());
}

#[test]
fn an_order_that_is_wrong_is_told() {
    use Event::{Durable, ToAmazon, ToCaller, Written};
    let good = [Written, Durable, ToAmazon, Written, Durable, ToCaller];
    assert_eq!(follow(&good), (1, Vec::new()));
    for bad in [
        &[ToAmazon, Written, Durable, Written, Durable, ToCaller][..],
        &[Written, ToAmazon, Durable, Written, Durable, ToCaller],
        &[Written, Durable, ToAmazon, ToCaller, Written, Durable],
        &[Written, Durable, ToAmazon, Written, ToCaller, Durable],
        &[Durable, ToAmazon, Written, Durable, Written, ToCaller],
    ] {
        assert_eq!(follow(bad).1.len(), 1, "{bad:?}");
    }
}
