//! Time and randomness, the two things a test must be able to hold still. Nothing else reads a clock or a random
//! source: the lint table sees to it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rand::{Rng as _, SeedableRng, TryRng, rngs::StdRng, rngs::SysRng};
use uuid::Uuid;

/// The clock and the random source of one process. Cheap to clone; all clones are the same clock.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<Clock>,
    random: Arc<Random>,
}

enum Clock {
    System,
    /// The system clock plus an offset in microseconds that only a test moves.
    Offset(Mutex<TimeDelta>),
}

enum Random {
    System,
    Seeded(Box<Mutex<StdRng>>),
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed")]
pub struct NoRandomness(#[source] rand::rngs::SysError);

impl Ambient {
    /// The system's clock and random source.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(Clock::System), random: Arc::new(Random::System) }
    }

    /// A clock that runs with the system's and can be moved by [`Ambient::advance`], and random numbers that a seed
    /// decides. For tests and the simulation.
    #[must_use]
    pub fn movable(seed: u64) -> Self {
        Self {
            clock: Arc::new(Clock::Offset(Mutex::new(TimeDelta::zero()))),
            random: Arc::new(Random::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed))))),
        }
    }

    /// Moves a movable clock; the system's clock stays where it is.
    pub fn advance(&self, by: TimeDelta) {
        match &*self.clock {
            Clock::System => {}
            Clock::Offset(offset) => {
                let mut offset = offset.lock().unwrap_or_else(PoisonError::into_inner);
                *offset = offset.checked_add(&by).unwrap_or(*offset);
            }
        }
    }

    /// The present instant, cut to microseconds: what both databases keep, so that a value reads back equal. Read it
    /// once per operation and pass it down.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now();
        let now = match &*self.clock {
            Clock::System => now,
            Clock::Offset(offset) => {
                let offset = *offset.lock().unwrap_or_else(PoisonError::into_inner);
                now.checked_add_signed(offset).unwrap_or(now)
            }
        };
        now.trunc_subsecs(6)
    }

    /// A point on the monotonic clock, for measuring how long a thing took. Tests cannot move it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// Fills `bytes` with random ones, fit for keys.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system has none to give.
    pub fn fill_random(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        match &*self.random {
            Random::System => SysRng.try_fill_bytes(bytes).map_err(NoRandomness),
            Random::Seeded(rng) => {
                rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
                Ok(())
            }
        }
    }

    /// A random number, for jitter.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system has none to give.
    pub fn draw(&self) -> Result<u32, NoRandomness> {
        let mut bytes = [0; 4];
        self.fill_random(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A time-ordered id (UUID version 7) for a row made at `now`.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system has none to give.
    pub fn row_id(&self, now: DateTime<Utc>) -> Result<Uuid, NoRandomness> {
        let mut bytes = [0; 10];
        self.fill_random(&mut bytes)?;
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// A random token (UUID version 4): the proof that a lease is one's own.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system has none to give.
    pub fn token(&self) -> Result<Uuid, NoRandomness> {
        let mut bytes = [0; 16];
        self.fill_random(&mut bytes)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_movable_clock_moves_for_every_clone() {
        let ambient = Ambient::movable(1);
        let before = ambient.now();
        ambient.clone().advance(TimeDelta::seconds(900));
        assert!(ambient.now() - before >= TimeDelta::seconds(900));
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (one, two) = (Ambient::movable(7), Ambient::movable(7));
        assert_eq!(one.token().unwrap(), two.token().unwrap());
        assert_ne!(one.token().unwrap(), one.token().unwrap());
    }

    #[test]
    fn the_system_gives_random_row_ids_in_time_order() {
        let ambient = Ambient::system();
        let now = ambient.now();
        let (early, late) = (ambient.row_id(now).unwrap(), ambient.row_id(now + TimeDelta::seconds(1)).unwrap());
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
