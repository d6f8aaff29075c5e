//! "Never twice, never lost": processes that are killed at named points (also twice in a row), at random and in the middle
//! of a migration, frozen past their leases, and stopped under load, while callers ask, ask again, cancel and reveal. At
//! the end the sandbox's book and the rows must agree to the last card; and all that callers were told on the way must
//! have an explanation.
//!
//! The everyday run has each driver in small, so that it is known to work; `tests/soak` runs the same drivers for as many
//! deaths as it takes to meet every class of events and every pair of places. What a killed process cannot show is a
//! power cut: the kernel's page cache survives it. `torn` cuts the log instead.

pub(crate) mod crowd;
mod drain;
mod freeze;
mod history;
mod kinds;
mod migration;
mod pairs;
mod points;
mod random;
pub(crate) mod sold;
mod torn;
mod two_versions;
pub(crate) mod verdict;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    process::{Build, Served},
    support::{
        App, Backend, Shape,
        rounds::{count_of, print, seed},
    },
};

/// Whether callers wait for another attempt. Most of these tests look at a reward after its first.
const WAITED: &str = "NOSHI__REWARDS__REPLAY_WHILE_WAITED";

/// The driver's own choices: the same seed makes the same ones.
pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number from 0 up to, not including, `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn microseconds_below(&mut self, end: u64) -> Duration {
        Duration::from_micros(self.0.random_range(0..end.max(1)))
    }
}

/// The shortest lease that the settings allow: on PostgreSQL a dead process's leases must run out.
fn shape() -> Shape {
    Shape { funds: 100_000_000, ..Shape::default() }
        .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
        .with("NOSHI__REWARDS__LEASE_SECONDS", 11)
        .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info")
}

/// A database, a sandbox and a key, and no service: the driver starts and kills it as a process.
async fn stage(backend: Backend) -> App {
    let mut app = App::shaped(backend, shape()).await;
    assert!(app.stop().await, "something was still running");
    app
}

/// Starts the service without holding up those who run beside us.
pub(crate) async fn start(environment: Vec<(String, String)>) -> Result<Served, std::process::ExitStatus> {
    start_build(Build::This, environment).await
}

pub(crate) async fn start_build(
    build: Build,
    environment: Vec<(String, String)>,
) -> Result<Served, std::process::ExitStatus> {
    tokio::task::spawn_blocking(move || Served::start_build(build, &environment)).await.unwrap()
}
