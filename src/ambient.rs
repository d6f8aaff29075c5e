//! Time and randomness, the two things that a test must be able to hold still. This is the only file that reads a clock
//! or a random source; a lint refuses it anywhere else.
//!
//! On PostgreSQL all replicas use the server's clock, because leases and cancel windows are instants that one replica
//! stores and another compares. Once that clock is learnt ([`Ambient::follow`], by `store::clock`), [`Ambient::now`] is
//! the server's time. Between two readings the machine's clock that counts from boot carries it on. The clock from boot
//! does not jump when an operator sets the date, and it runs on while the machine is suspended, so the node's wall
//! clock is not used at all. It misses a pause of the whole virtual machine. The next reading corrects that. Until then
//! a lease is fenced by its token, and Amazon refuses a cancel that comes too late.
//!
//! On SQLite there is one process and no second clock. The clock is the node's wall clock, which NTP may correct
//! meanwhile.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rand::{Rng as _, SeedableRng, TryRng, rngs::StdRng, rngs::SysRng};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// The clock and the random source of one process. Cheap to clone; all clones are the same clock.
#[derive(Clone)]
pub struct Ambient {
    clock: Arc<TimeSource>,
    random: Arc<Random>,
}

enum TimeSource {
    /// The node's wall clock until another is learnt: then microseconds since boot plus this many. One number, because
    /// every request reads it.
    System(AtomicI64),
    /// The system clock plus an offset in microseconds that only a test moves.
    Offset(Mutex<TimeDelta>),
}

/// The value before another clock is learnt.
const UNLEARNT: i64 = i64::MIN;

enum Random {
    System,
    Seeded(Box<Mutex<StdRng>>),
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random source failed")]
pub struct NoRandomness(#[source] rand::rngs::SysError);

impl Ambient {
    /// The system's clock, until another is learnt, and the system's random source.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(TimeSource::System(AtomicI64::new(UNLEARNT))), random: Arc::new(Random::System) }
    }

    /// A clock that runs with the system's and can be moved by [`Ambient::advance`], and random numbers that a seed
    /// decides. For tests and the simulation. It never follows another clock: the next reading of the server's clock
    /// would undo the 15 minutes by which a test has moved it.
    #[must_use]
    pub fn movable(seed: u64) -> Self {
        Self {
            clock: Arc::new(TimeSource::Offset(Mutex::new(TimeDelta::zero()))),
            random: Arc::new(Random::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed))))),
        }
    }

    /// The same clock with the system's random source: for a demonstration, which moves the clock and makes real keys.
    #[must_use]
    pub fn movable_alone() -> Self {
        Self { clock: Arc::new(TimeSource::Offset(Mutex::new(TimeDelta::zero()))), random: Arc::new(Random::System) }
    }

    /// Moves a movable clock. The system's clock stays where it is.
    pub fn advance(&self, by: TimeDelta) {
        match &*self.clock {
            TimeSource::System(_) => {}
            TimeSource::Offset(offset) => {
                let mut offset = offset.lock().unwrap_or_else(PoisonError::into_inner);
                *offset = offset.checked_add(&by).unwrap_or(*offset);
            }
        }
    }

    /// Whether this clock can follow another one. A movable clock cannot.
    #[must_use]
    pub fn may_follow(&self) -> bool {
        matches!(&*self.clock, TimeSource::System(_))
    }

    /// From now on the present instant is the time since boot plus so many microseconds, for every clone. A movable
    /// clock stays where it is.
    pub fn follow(&self, offset_us: i64) {
        if let TimeSource::System(learnt) = &*self.clock {
            learnt.store(offset_us, Ordering::Relaxed);
        }
    }

    /// What was learnt last: microseconds from the time since boot to the present instant.
    #[must_use]
    pub fn followed(&self) -> Option<i64> {
        match &*self.clock {
            TimeSource::System(learnt) => Some(learnt.load(Ordering::Relaxed)).filter(|learnt| *learnt != UNLEARNT),
            TimeSource::Offset(_) => None,
        }
    }

    /// The present instant, cut to microseconds: what both databases keep, so that a value reads back equal. Read it
    /// once per operation and pass it down.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &*self.clock {
            TimeSource::System(_) => self.followed().and_then(since_boot).unwrap_or_else(wall),
            TimeSource::Offset(offset) => {
                let offset = *offset.lock().unwrap_or_else(PoisonError::into_inner);
                let now = wall();
                now.checked_add_signed(offset).unwrap_or(now)
            }
        };
        now.trunc_subsecs(6)
    }

    /// The node's own wall clock, also after another was learnt. Only for measuring how far it is off.
    #[must_use]
    pub fn node_clock(&self) -> DateTime<Utc> {
        wall()
    }

    /// Microseconds since the machine was booted, the time of its suspensions included.
    #[must_use]
    pub fn boot_micros(&self) -> i64 {
        boot_micros()
    }

    /// A point on the monotonic clock, for measuring how long something took. Tests cannot move it.
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

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> DateTime<Utc> {
    Utc::now()
}

fn since_boot(offset_us: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(boot_micros().checked_add(offset_us)?)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock that counts from boot")]
fn boot_micros() -> i64 {
    let since = Duration::try_from(clock_gettime(BOOT)).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Outside Linux the monotonic clock is the nearest equivalent.
#[cfg(target_os = "linux")]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT: ClockId = ClockId::Monotonic;

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
    fn what_is_learnt_holds_for_every_clone_and_not_for_a_movable_clock() {
        let ambient = Ambient::system();
        assert_eq!(ambient.followed(), None);
        assert!((ambient.now() - ambient.node_clock()).abs() < TimeDelta::seconds(5), "the wall clock until then");
        let day_ahead = ambient.now().timestamp_micros() - ambient.boot_micros() + 86_400_000_000;
        ambient.clone().follow(day_ahead);
        assert_eq!(ambient.followed(), Some(day_ahead));
        let ahead = ambient.now() - ambient.node_clock();
        assert!((ahead - TimeDelta::days(1)).abs() < TimeDelta::seconds(5), "{ahead}");
        let (first, second) = (ambient.now(), ambient.now());
        assert!(first <= second, "it runs, and never back by itself");

        let moved = Ambient::movable(1);
        assert!(!moved.may_follow() && ambient.may_follow());
        moved.follow(day_ahead);
        assert_eq!(moved.followed(), None);
        assert!((moved.now() - moved.node_clock()).abs() < TimeDelta::seconds(5));
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
