//! Processes that the bench starts, and ends: none outlives it.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Doing, Failure};

/// How long a process may take to serve, and to end. A service drains for 20 s at most.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A process that runs.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it prints goes into `log`.
    pub(crate) fn start(mut command: Command, name: &str, log: &Path) -> Result<Self, Failure> {
        let file = File::create(log).doing("the log of a process")?;
        let again = file.try_clone().doing("the log of a process")?;
        command.stdin(Stdio::null()).stdout(file).stderr(again);
        let child = command.spawn().doing(&format!("starting {name}"))?;
        Ok(Self { child, name: name.to_owned(), log: log.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` says so.
    pub(crate) fn wait_until<T>(&mut self, mut ready: impl FnMut(&Self) -> Option<T>) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            let ended = self.child.try_wait().doing(&self.name)?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let printed = self.printed();
                let lines: Vec<&str> = printed.lines().rev().take(5).collect();
                let last: Vec<&str> = lines.into_iter().rev().collect();
                return Err(Failure::new(format!("{} does not serve:\n{}", self.name, last.join("\n"))));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until it takes connections.
    pub(crate) fn wait_for_port(&mut self, address: SocketAddr) -> Result<(), Failure> {
        self.wait_until(|_process| TcpStream::connect(address).ok().map(drop))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).doing("a process id")?;
        kill_process(pid, Signal::TERM).doing(&format!("ending {}", self.name))?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().doing(&self.name)? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(Failure::new(format!("{} ended with {status}: see {}", self.name, self.log.display())))
                };
            }
            thread::sleep(LOOK_AGAIN);
        }
        Err(Failure::new(format!("{} does not end", self.name)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing to do about a process that is gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port of loopback that nobody has at the moment.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").doing("a free port")?;
    listener.local_addr().doing("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let process = Process::start(command, "sh", &folder.path().join("log")).unwrap();
        (process, folder)
    }

    #[test]
    fn a_process_that_ends_before_it_serves_is_reported_with_its_last_words() {
        let (mut process, _folder) = shell("echo the disk is full; exit 3");
        let failure = process.wait_until(|_process| None::<()>).unwrap_err().to_string();
        assert!(failure.contains("the disk is full"), "{failure}");
    }

    #[test]
    fn a_process_that_ends_badly_is_reported() {
        let (mut process, _folder) = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done");
        process.wait_until(|process| process.printed().contains("up").then_some(())).unwrap();
        assert!(process.stop().is_err());
    }
}
