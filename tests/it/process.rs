//! The program itself, as a process: started, killed, stopped, asked for things on its command line.

mod clients;
mod command;
mod crash;
mod doctor;
pub(crate) mod drain;
mod first;
mod guarded;
mod healthcheck;
pub(crate) mod neighbour;
mod release;
mod sandbox;
mod settings;
mod unprepared;
mod unread;
mod vanished;
pub(crate) mod write_ahead;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;

/// A build of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// What is tested: the one that was built with the tests, or another that `tests/rollout` names.
    This,
    /// The release before it, which `tests/previous` builds: both serve one database while a roll-out lasts.
    Previous,
}

impl Build {
    fn path(self) -> String {
        match self {
            Self::This => told_by_hand("NOSHI_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_noshi").to_owned()),
            Self::Previous => told_by_hand("NOSHI_TEST_PREVIOUS")
                .unwrap_or_else(|| panic!("this test needs the release before: NOSHI_TEST_PREVIOUS=$(tests/previous)")),
        }
    }

    /// The program, with no variable but what the test gives it.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(self.path());
        command.env_clear().stdin(Stdio::null());
        command
    }
}

#[expect(clippy::disallowed_methods, reason = "tests/run and tests/rollout tell the program by a variable")]
fn told_by_hand(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The program.
pub(crate) fn noshi() -> Command {
    Build::This.command()
}

/// A running `noshi serve`.
pub(crate) struct Served {
    child: Child,
    pub(crate) base: String,
    /// Where probes and metrics are.
    pub(crate) admin: String,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Served {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(environment: &[(String, String)]) -> Self {
        Self::start_or_die(environment).unwrap_or_else(|status| panic!("the service did not start: {status}"))
    }

    /// The same of one that may die before it says so.
    pub(crate) fn start_or_die(environment: &[(String, String)]) -> Result<Self, ExitStatus> {
        Self::start_build(Build::This, environment)
    }

    /// The same of any build.
    pub(crate) fn start_build(build: Build, environment: &[(String, String)]) -> Result<Self, ExitStatus> {
        let mut command = build.command();
        command.arg("serve");
        Self::spawn(command, environment)
    }

    /// The same by a command of the test's own.
    pub(crate) fn spawn(mut command: Command, environment: &[(String, String)]) -> Result<Self, ExitStatus> {
        command.envs(environment.iter().cloned()).env("NOSHI__LOG__FORMAT", "json").stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        // Reads to the end, or the program would block on a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if let (Some(api), Some(admin)) = (event["api"].as_str(), event["admin"].as_str()) {
                    drop(tell.send((format!("http://{api}"), format!("http://{admin}"))));
                }
                kept.lock().unwrap().push(event);
            }
        });
        match told.recv_timeout(Duration::from_secs(20)) {
            Ok((base, admin)) => Ok(Self { child, base, admin, log }),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                let said = log.lock().unwrap();
                crate::support::rounds::print(&format!("a service ended at its start, {status}: {:?}", said.last()));
                Err(status)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("the service neither died nor said where it listens");
            }
        }
    }

    /// What it has logged so far, a line each.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL: no destructor, no flush, no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As by [`Served::terminate`], of a command that started it and ends with it.
    pub(crate) fn end_with(mut self, child: &str) -> ExitStatus {
        assert!(Command::new("kill").args(["-TERM", child]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Its number among the processes.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// A signal by its name: STOP, CONT, TERM.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id()]).status().unwrap().success());
    }

    /// SIGTERM, and the wait for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
