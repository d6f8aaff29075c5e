//! A stop at any moment of a start, also of process 1 of a container, for which a signal without a handler is nothing.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use noshi::ambient::Ambient;
use tempfile::TempDir;

use super::{Served, noshi};
use crate::support::{App, Backend, wait::until};

/// A stop takes a second at most; the rest is for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);
const TERM: u32 = 15;

/// A program that begins, as process 1 of its own where this machine lets us have one.
struct Starting {
    child: Child,
    /// The program's own number: not that of the command that gives it a world of its own.
    id: u32,
}

impl Starting {
    fn begin(words: &[&str], environment: &[(String, String)], namespace: &[&str]) -> Self {
        let program = noshi();
        let mut command = match namespace {
            [] => noshi(),
            [first, more @ ..] => {
                let mut command = Command::new(first);
                command.args(more).arg(program.get_program()).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
                command
            }
        };
        command.args(words).envs(environment.iter().cloned()).stdin(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let mut begun = Self { id: child.id(), child };
        if !namespace.is_empty() {
            begun.id = begun.program_of(program.get_program().as_ref());
        }
        begun
    }

    /// The child of the command, once it is the program.
    fn program_of(&self, program: &Path) -> u32 {
        // Not by `/proc/ID/exe`: whose memory is its own shows that to root alone.
        let program = [program.as_os_str().as_encoded_bytes(), b"\0"].concat();
        let parent = format!("PPid:\t{}", self.child.id());
        eventually("the program begins", || {
            let processes =
                fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            let mut ours = processes.filter(|id: &u32| {
                fs::read_to_string(format!("/proc/{id}/status")).is_ok_and(|status| status.lines().any(|l| l == parent))
                    && fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|words| words.starts_with(&program))
            });
            ours.next()
        })
    }

    /// Waits until it would notice SIGTERM.
    fn notices(&self) {
        eventually("SIGTERM is handled", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"))?;
            let caught = u64::from_str_radix(caught, 16).unwrap();
            (caught & (1 << (TERM - 1)) != 0).then_some(())
        });
    }

    /// SIGTERM; how it ended, and what it said.
    fn stop(mut self) -> (ExitStatus, String) {
        assert!(Command::new("kill").args(["-TERM", &self.id.to_string()]).status().unwrap().success());
        let began = Ambient::system().monotonic();
        let status = eventually("it ends", || self.child.try_wait().unwrap());
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        (status, said)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            drop(Command::new("kill").args(["-KILL", &self.id.to_string()]).status());
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Ambient::system().monotonic();
    while began.elapsed() < Duration::from_secs(20) {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not within 20 s: {what}");
}

/// The command that makes a program process 1 of its own namespace; none where this machine does not allow it.
fn namespace() -> &'static [&'static str] {
    const WAYS: [&[&str]; 2] = [
        &["unshare", "--pid", "--fork", "--mount-proc"],
        &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"],
    ];
    let works = |way: &&&[&str]| {
        let tried = Command::new(way[0]).args(&way[1..]).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    WAYS.iter().find(works).copied().unwrap_or_else(|| {
        println!("skipped: no process 1 of our own, since unshare is not allowed here; plain processes are tried");
        &[]
    })
}

/// Ways to hold a start up for longer than the test lasts.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// The settings' file is a pipe that nobody writes to.
    Settings,
    /// The database takes the connection and says nothing.
    Database,
    /// Another process serves the file.
    Lock,
}

fn stopped_while(slow: Slow, words: &[&str], app: &App, namespace: &[&str]) -> (ExitStatus, String) {
    let folder = TempDir::new().unwrap();
    let mut environment = app.environment().to_vec();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut words = words.to_vec();
    let fifo = folder.path().join("noshi.toml");
    match slow {
        Slow::Settings => {
            assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
            words.extend(["--config", fifo.to_str().unwrap()]);
        }
        Slow::Database => {
            let url = format!("postgres://noshi@127.0.0.1:{}/noshi", silent.local_addr().unwrap().port());
            environment.push(("NOSHI__STORE__URL".to_owned(), url));
        }
        Slow::Lock => {}
    }
    let starting = Starting::begin(&words, &environment, namespace);
    starting.notices();
    silent.set_nonblocking(true).unwrap();
    // Kept until the end, or the program would be told that nobody is there.
    let _asked = matches!(slow, Slow::Database).then(|| eventually("it asks the database", || silent.accept().ok()));
    starting.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_can_be_stopped_also_as_process_1() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let namespace = namespace();
    let environment = app.environment().to_vec();
    let served = Served::start(&environment);
    for (slow, command, code) in [
        // What has no settings yet is a command like any other.
        (Slow::Settings, "serve", 143),
        (Slow::Database, "serve", 0),
        (Slow::Lock, "serve", 0),
        (Slow::Settings, "migrate", 143),
        (Slow::Database, "migrate", 143),
    ] {
        let (mut status, mut said) = stopped_while(slow, &[command], &app, namespace);
        // Nothing shows from outside that a start waits for the lock. Before it has read its settings it ends like any other
        // command: that is no such stop.
        for _ in 0..20 {
            if !matches!(slow, Slow::Lock) || status.code() != Some(143) {
                break;
            }
            (status, said) = stopped_while(slow, &[command], &app, namespace);
        }
        assert_eq!(status.code(), Some(code), "{command} {slow:?}: {said}");
        assert!(code != 0 || said.contains("stopped before it served"), "{command} {slow:?}: {said}");
    }
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_process_1_drains_and_ends_with_0() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let starts = "SELECT COUNT(*) FROM audit_records WHERE action = 'service.started'";
    let before = app.database.number(starts).await;
    let starting = Starting::begin(&["serve"], app.environment(), namespace());
    starting.notices();
    // Before it has read its settings it ends like any other command.
    until("it begins to serve", async || app.database.number(starts).await > before).await;
    let (status, said) = starting.stop();
    assert!(status.success(), "{status}: {said}");
    app.end().await;
}
