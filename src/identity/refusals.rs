//! Keys that were turned away: counted by reason, and one of each reason a minute in the log. The caller hears the same for each.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::IntCounterVec;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    kernel::{ApiKeyId, word_methods},
    telemetry::metrics::{Registry, at_zero},
};

/// How long after a line about a reason the next one comes.
const SAMPLED: Duration = Duration::from_secs(60);

/// Why a key was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeyRefusal {
    /// There was none.
    Absent,
    /// It is no key, or there were several.
    Malformed,
    /// There is no key of this id.
    Unknown,
    /// The key is there, and its secret is another.
    WrongSecret,
    /// It has ended.
    Expired,
    /// It was revoked.
    Revoked,
}
word_methods!(KeyRefusal);

/// Somebody who was turned away.
#[derive(Clone, Copy)]
pub(super) struct TurnedAway {
    pub(super) reason: KeyRefusal,
    /// The key, where there is one of this id.
    pub(super) key: Option<ApiKeyId>,
    pub(super) peer: Option<IpAddr>,
}

/// Counts keys that were turned away. All clones are the same.
#[derive(Clone)]
pub(crate) struct KeyRefusals(Arc<Inner>);

struct Inner {
    refused: IntCounterVec,
    sampled: Mutex<BTreeMap<KeyRefusal, Sampled>>,
}

/// What the log has of a reason.
struct Sampled {
    at: Instant,
    left_out: u64,
}

impl KeyRefusals {
    /// Registers the metric.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = at_zero(
            registry.counter_vec(
                "keys_refused_total",
                "Requests of the API that were answered 401, by reason.",
                &["reason"],
            )?,
            KeyRefusal::ALL.iter().map(|reason| [reason.as_str()]),
        )?;
        Ok(Self(Arc::new(Inner { refused, sampled: Mutex::default() })))
    }

    pub(super) fn note(&self, turned_away: TurnedAway, now: Instant) {
        let TurnedAway { reason, key, peer } = turned_away;
        self.0.refused.with_label_values(&[reason.as_str()]).inc();
        let Some(left_out) = self.is_due(reason, now) else { return };
        tracing::warn!(
            api_key.refused = reason.as_str(),
            api_key.id = key.map(tracing::field::display),
            network.peer.address = peer.map(tracing::field::display),
            api_key.left_out = left_out,
            "a key was turned away; the others of this minute are only counted"
        );
    }

    /// How many were left out since the last line, where another one is due.
    fn is_due(&self, reason: KeyRefusal, now: Instant) -> Option<u64> {
        let mut all = self.0.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sampled) = all.get_mut(&reason) else {
            all.insert(reason, Sampled { at: now, left_out: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(sampled.at) < SAMPLED {
            sampled.left_out = sampled.left_out.saturating_add(1);
            return None;
        }
        sampled.at = now;
        Some(std::mem::take(&mut sampled.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_reason_a_minute_is_logged_and_says_how_many_were_not() {
        let refusals = KeyRefusals::new(&Registry::new().unwrap()).unwrap();
        let begin = crate::ambient::Ambient::system().monotonic();
        let due = |reason, seconds| refusals.is_due(reason, begin + Duration::from_secs(seconds));
        assert_eq!(due(KeyRefusal::Unknown, 0), Some(0));
        assert_eq!((due(KeyRefusal::Unknown, 1), due(KeyRefusal::Unknown, 59)), (None, None));
        assert_eq!(due(KeyRefusal::Revoked, 59), Some(0), "another reason has a line of its own");
        assert_eq!(due(KeyRefusal::Unknown, 60), Some(2));
        assert_eq!((due(KeyRefusal::Unknown, 61), due(KeyRefusal::Unknown, 500)), (None, Some(1)));
    }
}
