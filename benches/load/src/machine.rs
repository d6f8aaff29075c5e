//! What the kernel says about processes: their time, memory, writes and cores.

use std::{fs, path::Path, process::Command, thread};

use crate::failure::{Doing, Failure};

/// One process as `/proc/PID/stat` shows it, times in ticks of the kernel.
struct Stat {
    parent: u32,
    own: u64,
    /// Of its children that have ended and were waited for.
    reaped: u64,
}

/// What processes have used since they began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ms: f64,
    /// What was handed to the disk, or will be. `None` where the kernel does not say, as to another user.
    pub(crate) written: Option<f64>,
}

impl Usage {
    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let written = self.written.zip(before.written).map(|(now, then)| now - then);
        Self { cpu_ms: self.cpu_ms - before.cpu_ms, written }
    }
}

/// A whole number as one that is divided. Exact below 2^53.
#[expect(clippy::as_conversions, reason = "there is no other way, and no count is that large")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)?.checked_add(ticks(12)?)?,
        reaped: ticks(13)?.checked_add(ticks(14)?)?,
    })
}

fn milliseconds(ticks: u64) -> f64 {
    float(ticks) * 1_000.0 / float(rustix::param::clock_ticks_per_second())
}

fn member(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Of one process, all its threads together.
pub(crate) fn usage(pid: u32) -> Usage {
    let cpu_ms = stat(pid).map_or(0.0, |stat| milliseconds(stat.own));
    Usage { cpu_ms, written: member(pid, "io", "write_bytes:").map(float) }
}

/// Of a process and its children, those that have ended included: their time and their writes are added to the parent's.
pub(crate) fn usage_of_family(pid: u32) -> Usage {
    let mut all = usage(pid);
    all.cpu_ms += stat(pid).map_or(0.0, |stat| milliseconds(stat.reaped));
    for child in children(pid) {
        let one = usage(child);
        all.cpu_ms += one.cpu_ms;
        all.written = all.written.zip(one.written).map(|(sum, more)| sum + more);
    }
    all
}

/// What of its memory is resident, in kilobytes.
pub(crate) fn resident_kb(pid: u32) -> f64 {
    member(pid, "status", "VmRSS:").map_or(0.0, float)
}

/// The process that started this one.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|stat| stat.parent)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

/// Which cores the service and its database have, and which the load and the gateway. `None`: whichever the kernel likes.
#[derive(Debug, Clone)]
pub(crate) struct Cores {
    pub(crate) service: Option<String>,
    pub(crate) load: Option<String>,
}

impl Cores {
    /// Half of the machine each, unless the options say otherwise. A single core is shared.
    pub(crate) fn chosen(service: Option<String>, load: Option<String>) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        if service.is_some() || load.is_some() || count < 2 {
            return Self { service, load };
        }
        let half = count / 2;
        let (last_of_service, last) = (half.saturating_sub(1), count.saturating_sub(1));
        Self { service: Some(format!("0-{last_of_service}")), load: Some(format!("{half}-{last}")) }
    }

    /// Keeps this process, and what it starts from now on, on the cores of the load.
    pub(crate) fn pin_load(&self) -> Result<(), Failure> {
        self.load.as_deref().map_or(Ok(()), |cores| pin(std::process::id(), cores))
    }

    /// Keeps a database's server, and the processes that it starts from now on, on the cores of the service.
    pub(crate) fn pin_server(&self, postmaster: u32) -> Result<(), Failure> {
        let Some(cores) = self.service.as_deref() else { return Ok(()) };
        for pid in children(postmaster).into_iter().chain([postmaster]) {
            pin(pid, cores)?;
        }
        Ok(())
    }
}

fn pin(pid: u32, cores: &str) -> Result<(), Failure> {
    let done = Command::new("taskset").args(["-a", "-c", "-p", cores, &pid.to_string()]).output().doing("taskset")?;
    if done.status.success() || !Path::new(&format!("/proc/{pid}")).exists() {
        return Ok(());
    }
    Err(Failure::new(format!("taskset: {}", String::from_utf8_lossy(&done.stderr))))
}

/// A program on these cores. It keeps its process id, has nothing of this environment but the path, and ends with this process.
pub(crate) fn command_on(cores: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if let Some(cores) = cores {
        command.args(["taskset", "-c", cores]);
    }
    command.arg(program).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_what_it_computed_and_a_child_that_ended_counts_with_its_parent() {
        let me = std::process::id();
        let before = (usage(me), usage_of_family(me));
        let status = Command::new("sh").args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]).status();
        assert!(status.unwrap().success());
        let own = usage(me).since(before.0);
        let family = usage_of_family(me).since(before.1);
        assert!(family.cpu_ms >= own.cpu_ms + 10.0, "the child computed: {own:?}, {family:?}");
    }

    #[test]
    fn a_process_has_memory_and_a_parent() {
        let me = std::process::id();
        assert!(resident_kb(me) > 500.0);
        assert!(children(parent(me).unwrap()).contains(&me));
    }

    #[test]
    fn each_side_has_half_of_the_cores_unless_somebody_chose() {
        let chosen = Cores::chosen(Some("3".to_owned()), None);
        assert_eq!((chosen.service.as_deref(), chosen.load.as_deref()), (Some("3"), None));
        let by_itself = Cores::chosen(None, None);
        assert_eq!(by_itself.service.is_some(), by_itself.load.is_some());
        assert!(by_itself.service.is_none() || by_itself.service != by_itself.load);
    }
}
