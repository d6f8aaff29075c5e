//! A log that nobody reads: standard error is a pipe, and its reader has stopped or gone.

use std::{
    io::{BufRead, BufReader, PipeReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use noshi::ambient::Ambient;
use serde_json::Value;

use super::noshi;
use crate::support::{Answer, App, Backend};

/// A service whose log is a pipe that the test holds.
struct Unread {
    child: Child,
    /// What nobody reads any more; `None` once it is closed.
    log: Option<BufReader<PipeReader>>,
}

impl Unread {
    /// Starts it, and reads its log up to the line that says where it listens.
    fn start(app: &mut App) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = noshi();
        command.arg("serve").envs(app.environment().iter().cloned()).env("NOSHI__LOG__FORMAT", "json");
        let mut service = Self { child: command.stderr(writer).spawn().unwrap(), log: None };
        // The command keeps the pipe's end of ours: it would never close.
        drop(command);
        let mut log = BufReader::new(reader);
        loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the service ended");
            let event: Value = serde_json::from_str(&line).unwrap();
            if let (Some(api), Some(admin)) = (event["api"].as_str(), event["admin"].as_str()) {
                app.base = format!("http://{api}");
                app.admin = format!("http://{admin}");
                service.log = Some(log);
                return service;
            }
        }
    }

    /// SIGTERM; how it ended, and after how long.
    fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Ambient::system().monotonic();
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the service is still there");
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Requests whose lines fill any pipe: 64 KiB by default.
async fn fill(app: &App) {
    for _ in 0..300 {
        let request = app.http.get(format!("{}/nowhere", app.base)).header("X-Request-Id", "x".repeat(64));
        assert_eq!(Answer::of(request.timeout(Duration::from_secs(10))).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_stops_holds_up_no_purchase_and_no_stop() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let mut service = Unread::start(&mut app);
    fill(&app).await;
    for at in 0..10 {
        assert_eq!(app.issue(&format!("unread-{at}"), "1.00").await.status, 201);
    }
    assert!(app.metrics().await.contains("noshi_log_lines_lost_total 0"), "they wait in the queue");
    let (status, took) = service.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    // A reader who goes on reads whole lines.
    let mut rest = String::new();
    service.log.take().unwrap().read_to_string(&mut rest).unwrap();
    let (whole, _cut) = rest.rsplit_once('\n').unwrap();
    assert!(whole.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{whole}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_whose_reader_has_gone_are_counted_and_purchases_go_on() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let mut service = Unread::start(&mut app);
    service.log = None;
    for at in 0..10 {
        assert_eq!(app.issue(&format!("gone-{at}"), "1.00").await.status, 201);
    }
    let page = app.metrics().await;
    let lost = page.lines().find_map(|line| line.strip_prefix("noshi_log_lines_lost_total "));
    assert!(lost.is_some_and(|lost| lost.parse::<u64>().unwrap() >= 10), "{lost:?}");
    let (status, took) = service.terminate();
    assert!(status.success() && took < Duration::from_secs(10), "{status} after {took:?}");
    app.end().await;
}

/// As `noshi … | head` does: a reader who has what they want.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_reader_has_gone_ends_without_a_complaint() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let command = noshi().arg("check").envs(app.environment().iter().cloned()).stdout(writer).output().unwrap();
    assert_eq!((command.status.code(), String::from_utf8_lossy(&command.stderr).as_ref()), (Some(141), ""));
    // What cannot be written to a full disk is another thing.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let command = noshi().arg("check").envs(app.environment().iter().cloned()).stdout(full).output().unwrap();
    assert_eq!(command.status.code(), Some(1));
    assert!(!command.stderr.is_empty());
    app.end().await;
}

/// The pipe of a command's answer is full, and its reader has stopped: the command waits for them, and can be stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_reader_stops_can_be_stopped() {
    let folder = tempfile::TempDir::new().unwrap();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // All but the last page of the pipe.
    std::io::Write::write_all(&mut writer, &[b' '; 15 * 4096]).unwrap();
    let mut demo = noshi();
    demo.args(["demo", "--dir"]).arg(folder.path().join("demo")).stdout(writer).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    // It has filled the pipe when it has nothing left to do but to write: it sleeps in the kernel's pipe code.
    let stuck = format!("/proc/{}/task/{}/wchan", demo.id(), demo.id());
    for _ in 0..500 {
        let waits = std::fs::read_to_string(&stuck).unwrap_or_default();
        if waits.contains("pipe") || demo.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap().success());
    for _ in 0..1500 {
        if demo.try_wait().unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    demo.kill().unwrap();
    panic!("the demo is still there");
}
