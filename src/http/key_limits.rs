//! What one API key may ask of this replica: so many requests in a minute, of three policies, and so many at once. A caller gone
//! wild, or whoever has a stolen key, is refused before anything is looked up for them, and nobody else is.
//!
//! The rate is the generic cell rate algorithm (ATM Forum TM 4.0, 4.4.2): an instant for each key and policy, and no timer. A whole
//! minute's quota may come at once, and is there again evenly over the minute. It lies in the memory of the replica: with three, a
//! key has three times the rate. What must be exact over all replicas (Amazon's rate, budgets, ceilings) is kept in the database.
//!
//! `governor` does the same for the rate, not for requests at once, and with a clock of its own; here both are one lock and one look
//! into one map. Only keys that proved to be good are in it, so that strangers cannot fill it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpMessage, HttpRequest,
    http::{
        Method,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
};
use chrono::{DateTime, Utc};
use prometheus::IntCounterVec;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{Code, Problem};
use crate::{
    ambient::Ambient,
    kernel::{ApiKeyId, word_methods},
    telemetry::metrics::{Registry, at_zero},
};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The window of every rate, in seconds and in microseconds.
const WINDOW_SECONDS: i64 = 60;
const WINDOW: i64 = WINDOW_SECONDS * 1_000_000;
/// From so many keys on those that are idle are dropped, whenever a new one comes.
const KEYS_KEPT: usize = 1024;

/// What a request counts as. The words stand in the headers and in a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum KeyPolicy {
    /// It changes nothing.
    Read,
    /// Everything else.
    Write,
    /// It has a code shown again.
    Reveal,
    /// Not a rate: how many are answered at once.
    AtOnce,
}
word_methods!(KeyPolicy);

impl KeyPolicy {
    fn of(request: &HttpRequest) -> Self {
        match (request.method(), request.match_pattern()) {
            (&Method::GET | &Method::HEAD, _route) => Self::Read,
            (_method, Some(route)) if route.ends_with("/reveal") => Self::Reveal,
            (_method, _route) => Self::Write,
        }
    }
}

/// How much a key may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyQuotas {
    pub(crate) reads_per_minute: u32,
    pub(crate) writes_per_minute: u32,
    pub(crate) reveals_per_minute: u32,
    pub(crate) at_once: u32,
}

impl KeyQuotas {
    const fn of(&self, policy: KeyPolicy) -> u32 {
        match policy {
            KeyPolicy::Read => self.reads_per_minute,
            KeyPolicy::Write => self.writes_per_minute,
            KeyPolicy::Reveal => self.reveals_per_minute,
            KeyPolicy::AtOnce => self.at_once,
        }
    }
}

/// When what came so far has been worked off at the rate, in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    full_at: i64,
}

/// How a bucket stands behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    /// So many more may come now.
    left: i64,
    /// Until it is full again, or, where the request is refused, until there is room for it. In microseconds.
    wait: i64,
}

impl Bucket {
    /// Takes a request at `now`, of `quota` in a window. `Err` is a refusal, which changes nothing.
    fn take(&mut self, quota: u32, now: i64) -> Result<Level, Level> {
        let quota = i64::from(quota.max(1));
        // Rounded up, so that no more than the quota is there again within a window.
        let spacing = WINDOW.saturating_add(quota.saturating_sub(1)).div_euclid(quota);
        let depth = spacing.saturating_mul(quota);
        // What lies further ahead than a full quota is of a clock that was set back since: the bucket begins anew.
        let is_of_this_clock = self.full_at <= now.saturating_add(depth);
        let next = if is_of_this_clock { self.full_at.max(now) } else { now }.saturating_add(spacing);
        let wait = next.saturating_sub(now);
        if wait > depth {
            return Err(Level { left: 0, wait: wait.saturating_sub(depth) });
        }
        self.full_at = next;
        Ok(Level { left: depth.saturating_sub(wait).div_euclid(spacing), wait })
    }
}

/// What is known of one key.
#[derive(Debug, Default)]
struct KeyUsage {
    running: u32,
    read: Bucket,
    write: Bucket,
    reveal: Bucket,
}

impl KeyUsage {
    fn is_idle(&self, now: i64) -> bool {
        self.running == 0 && [self.read, self.write, self.reveal].iter().all(|bucket| bucket.full_at <= now)
    }
}

/// The limits of every key. All clones are the same.
#[derive(Clone)]
pub(crate) struct KeyLimits(Arc<Keys>);

struct Keys {
    quotas: KeyQuotas,
    refused: IntCounterVec,
    usage: Mutex<HashMap<ApiKeyId, KeyUsage>>,
}

impl Keys {
    /// Counts a request of this key's in. Says how many more may be answered at once, and how its bucket stands.
    fn enter(&self, key: ApiKeyId, policy: KeyPolicy, now: i64) -> Result<(u32, Level), (KeyPolicy, Level)> {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if usage.len() >= KEYS_KEPT && !usage.contains_key(&key) {
            usage.retain(|_key, one| !one.is_idle(now));
        }
        let one = usage.entry(key).or_default();
        let at_once = self.quotas.at_once.saturating_sub(one.running);
        if at_once == 0 {
            return Err((KeyPolicy::AtOnce, Level { left: 0, wait: 0 }));
        }
        let bucket = match policy {
            KeyPolicy::Read => &mut one.read,
            KeyPolicy::Write | KeyPolicy::AtOnce => &mut one.write,
            KeyPolicy::Reveal => &mut one.reveal,
        };
        let level = bucket.take(self.quotas.of(policy), now).map_err(|level| (policy, level))?;
        one.running = one.running.saturating_add(1);
        Ok((at_once.saturating_sub(1), level))
    }

    fn leave(&self, key: ApiKeyId) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = usage.get_mut(&key) {
            one.running = one.running.saturating_sub(1);
        }
    }
}

impl KeyLimits {
    /// Registers the counter of refusals.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(quotas: KeyQuotas, registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = registry.counter_vec(
            "key_limit_refusals_total",
            "Requests that were answered 429 because their API key asked too much of this replica, by policy.",
            &["policy"],
        )?;
        let refused = at_zero(refused, KeyPolicy::ALL.iter().map(|policy| [policy.as_str()]))?;
        Ok(Self(Arc::new(Keys { quotas, refused, usage: Mutex::default() })))
    }

    /// Lets a request in whose key is good. It counts as one that is being answered for as long as the request is there.
    ///
    /// # Errors
    /// `rate-limited`; nothing was done.
    pub(crate) fn enter(&self, request: &HttpRequest, key: ApiKeyId, ambient: &Ambient) -> Result<(), Problem> {
        let policy = KeyPolicy::of(request);
        let entered = self.0.enter(key, policy, micros(ambient.now()));
        let (at_once, level) = match entered {
            Ok(standing) => standing,
            Err((KeyPolicy::AtOnce, level)) => (0, level),
            Err((KeyPolicy::Read | KeyPolicy::Write | KeyPolicy::Reveal, level)) => (self.0.quotas.at_once, level),
        };
        let mut noted = request.extensions_mut();
        noted.insert(KeyStanding { policy, quotas: self.0.quotas, level, at_once });
        match entered {
            Ok(_standing) => {
                noted.insert(KeyPlace { limits: self.clone(), key });
                Ok(())
            }
            Err((violated, level)) => {
                self.0.refused.with_label_values(&[violated.as_str()]).inc();
                let wait = Duration::from_micros(level.wait.unsigned_abs());
                Err(Problem::new(Code::RATE_LIMITED).violates(violated.as_str()).retry_after(wait))
            }
        }
    }
}

fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// One of the requests that a key may have answered at once. It lies on the request, and ends with it.
struct KeyPlace {
    limits: KeyLimits,
    key: ApiKeyId,
}

impl Drop for KeyPlace {
    fn drop(&mut self) {
        self.limits.0.leave(self.key);
    }
}

/// What the headers of an answer say of its key's limits (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyStanding {
    policy: KeyPolicy,
    quotas: KeyQuotas,
    level: Level,
    at_once: u32,
}

impl KeyStanding {
    /// Writes them.
    pub(super) fn show(&self, head: &mut HeaderMap) {
        let (policy, quota, most) = (self.policy.as_str(), self.quotas.of(self.policy), self.quotas.at_once);
        let at_once = KeyPolicy::AtOnce.as_str();
        let policies =
            format!("\"{policy}\";q={quota};w={WINDOW_SECONDS}, \"{at_once}\";q={most};qu=\"concurrent-requests\"");
        let seconds = self.level.wait.saturating_add(999_999).div_euclid(1_000_000);
        let left = format!("\"{policy}\";r={};t={seconds}, \"{at_once}\";r={}", self.level.left, self.at_once);
        for (name, text) in [(RATE_LIMIT_POLICY, policies), (RATE_LIMIT, left)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                head.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
