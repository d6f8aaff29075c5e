//! Whoever waits for a drive: how long still, and what they would be told now.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::model::Reward;

/// What is left of a caller's time must hold the pause before another attempt, and this for the attempt itself.
const ATTEMPT: Duration = Duration::from_millis(500);

/// What a caller is told whose time is up: the reward as it is committed, and whether the key was used before.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) reward: Reward,
    pub(super) replayed: bool,
}

/// The one who waits.
pub(super) struct Caller {
    until: Instant,
    told: watch::Sender<Option<Told>>,
}

impl Caller {
    /// Someone who waits until then.
    pub(super) fn new(until: Instant) -> (Self, watch::Receiver<Option<Told>>) {
        let (told, hears) = watch::channel(None);
        (Self { until, told }, hears)
    }

    /// What is committed now.
    pub(super) fn tell(&self, reward: &Reward) {
        self.told.send_replace(Some(Told { reward: reward.clone(), replayed: false }));
    }

    /// The key was used before, for this.
    pub(super) fn tell_known(&self, reward: &Reward) {
        self.told.send_replace(Some(Told { reward: reward.clone(), replayed: true }));
    }

    /// What they were told last.
    pub(super) fn told(&self) -> Option<Reward> {
        self.told.borrow().as_ref().map(|told| told.reward.clone())
    }

    /// Whether another attempt after this pause may end while they wait.
    pub(super) fn waits_for(&self, pause: Duration, now: Instant) -> bool {
        pause.saturating_add(ATTEMPT) < self.until.saturating_duration_since(now)
    }
}
