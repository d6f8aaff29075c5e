//! Keys that were turned away: each is counted by reason. The log has one a minute for each reason, key and network. The caller hears
//! the same for each.

use std::{net::IpAddr, time::Instant};

use prometheus::IntCounterVec;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::{
    http::stranger_lines::{LineOf, RefusedFor, Stranger, StrangerLines},
    kernel::{ApiKeyId, word_methods},
    telemetry::metrics::{Registry, at_zero},
};

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
pub(crate) struct KeyRefusals(IntCounterVec);

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
        Ok(Self(refused))
    }

    pub(super) fn count(&self, reason: KeyRefusal) {
        self.0.with_label_values(&[reason.as_str()]).inc();
    }
}

/// Logs a key that was turned away, unless one like it was logged in this minute. The request's own line follows it.
pub(super) fn log(turned_away: TurnedAway, lines: &StrangerLines, now: Instant) -> LineOf {
    let TurnedAway { reason, key, peer } = turned_away;
    let Some(left_out) = lines.is_due(RefusedFor::Key(reason.as_str()), Stranger { key, peer }, now) else {
        return LineOf::LeftOut;
    };
    tracing::warn!(
        api_key.refused = reason.as_str(),
        api_key.id = key.map(tracing::field::display),
        network.peer.address = peer.map(tracing::field::display),
        api_key.left_out = left_out,
        "a key was turned away; others like it in this minute are only counted"
    );
    LineOf::Written
}
