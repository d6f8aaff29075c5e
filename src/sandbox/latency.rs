//! How long answers take: nothing by itself, or drawn at random as over a network and from a service that is busy.
//!
//! The work is done before the wait, so a client that gives up has an outcome that it does not know.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::chance::Chance;

/// The longest wait that a latency may come to: ten minutes, as a fault's.
pub(super) const LATENCY_MILLISECONDS_MAX: u64 = 10 * 60 * 1_000;

/// A latency by name.
#[derive(Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LatencyProfile {
    /// At once.
    None,
    /// From the same region: 30 to 50 ms.
    Near,
    /// From another continent: 250 to 400 ms.
    Far,
    /// From a service that is busy: 400 ms to a second, and one answer of twenty 4 s later.
    Busy,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// At least so long.
    pub milliseconds: u64,
    /// And up to so much longer.
    #[serde(default)]
    pub jitter_milliseconds: u64,
    /// How many of a hundred answers are slow besides.
    #[serde(default)]
    pub slow_percent: u64,
    /// And by how much.
    #[serde(default)]
    pub slow_milliseconds: u64,
}

impl From<LatencyProfile> for Latency {
    fn from(profile: LatencyProfile) -> Self {
        match profile {
            LatencyProfile::None => Self::default(),
            LatencyProfile::Near => Self { milliseconds: 30, jitter_milliseconds: 20, ..Self::default() },
            LatencyProfile::Far => Self { milliseconds: 250, jitter_milliseconds: 150, ..Self::default() },
            LatencyProfile::Busy => {
                Self { milliseconds: 400, jitter_milliseconds: 600, slow_percent: 5, slow_milliseconds: 4_000 }
            }
        }
    }
}

impl Latency {
    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<String> {
        let Self { milliseconds, jitter_milliseconds, slow_percent, slow_milliseconds } = self;
        let longest = milliseconds.saturating_add(*jitter_milliseconds).saturating_add(*slow_milliseconds);
        if longest > LATENCY_MILLISECONDS_MAX {
            return Some(format!("an answer may take at most {LATENCY_MILLISECONDS_MAX} milliseconds, not {longest}"));
        }
        (*slow_percent > 100).then(|| format!("slow_percent must be at most 100, not {slow_percent}"))
    }

    /// The wait of one answer.
    fn drawn(&self, chance: &Chance) -> Duration {
        let slow = chance.below(100) < self.slow_percent;
        let jitter = chance.below(self.jitter_milliseconds.saturating_add(1));
        let more = if slow { self.slow_milliseconds } else { 0 };
        Duration::from_millis(self.milliseconds.saturating_add(jitter).saturating_add(more))
    }
}

/// The latency in force.
#[derive(Debug, Default)]
pub(super) struct Pace {
    latency: Mutex<Latency>,
}

impl Pace {
    pub(super) fn of(latency: Latency) -> Result<Self, String> {
        let pace = Self::default();
        pace.set(latency)?;
        Ok(pace)
    }

    pub(super) fn get(&self) -> Latency {
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, latency: Latency) -> Result<(), String> {
        if let Some(problem) = latency.problem() {
            return Err(problem);
        }
        *self.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
        Ok(())
    }

    /// The wait of the next answer; none where answers come at once.
    pub(super) fn next(&self, chance: &Chance) -> Option<Duration> {
        let latency = self.get();
        (latency != Latency::default()).then(|| latency.drawn(chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_what_the_latency_says_and_some_take_longer() {
        let chance = Chance::new();
        let pace = Pace::of(LatencyProfile::Busy.into()).unwrap();
        let waits: Vec<u128> = (0..2_000).filter_map(|_| pace.next(&chance)).map(|wait| wait.as_millis()).collect();
        assert!(waits.iter().all(|wait| (400..=1_000).contains(wait) || (4_400..=5_000).contains(wait)), "{waits:?}");
        let slow = waits.iter().filter(|wait| **wait >= 4_400).count();
        assert!((20..=250).contains(&slow), "{slow} of 2000, where about 100 were expected");
        assert_eq!(Pace::default().next(&chance), None);
        let endless = Latency { milliseconds: 1, jitter_milliseconds: u64::MAX, ..Latency::default() };
        assert!(pace.set(endless).is_err() && pace.get() == LatencyProfile::Busy.into());
    }
}
