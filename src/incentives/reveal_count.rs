//! How many codes a key may have shown again in an hour. A stolen key that may reveal stops there, and is noticed at the half of it.
//!
//! A reveal counts right before Amazon is asked, and is never taken back: a code may have come. What is refused before, because the
//! reward is not there, is somebody else's or has no code to show, does not count: nobody learns a code by it, and whoever guesses
//! ids is bounded by what a key may ask in a minute. The hours are the clock's, over all replicas. What the same idempotency key is
//! answered again does not count: it is bounded by reward, and needs the order's own key.

use std::time::Duration;

use chrono::TimeDelta;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{courier::Courier, reveal::RevealError};
use crate::{
    events::{Named, outbox},
    identity::Caller,
    kernel::word_methods,
    store::{Sql, execute, fetch_optional, row, statements},
};

const HOUR: TimeDelta = TimeDelta::hours(1);

statements! {
    // An hour that lies ahead is one of a clock that was wrong: it counts no longer.
    TAKE = Sql::same(
        "reveal_counts.take",
        "INSERT INTO reveal_counts (api_key_id, hour, reveals, reported) VALUES ($1, $2, 1, 0) ON CONFLICT (api_key_id) DO UPDATE SET \
         reveals = CASE WHEN reveal_counts.hour BETWEEN excluded.hour AND excluded.hour + 1 THEN reveal_counts.reveals + 1 ELSE 1 END, \
         reported = CASE WHEN reveal_counts.hour BETWEEN excluded.hour AND excluded.hour + 1 THEN reveal_counts.reported ELSE 0 END, \
         hour = CASE WHEN reveal_counts.hour = excluded.hour + 1 THEN reveal_counts.hour ELSE excluded.hour END \
         WHERE reveal_counts.hour NOT BETWEEN excluded.hour AND excluded.hour + 1 OR reveal_counts.reveals < $3 RETURNING reveals",
    );
    REPORT = Sql::same(
        "reveal_counts.report",
        "UPDATE reveal_counts SET reported = $2 WHERE api_key_id = $1 AND reported < $2",
    );
}

row! {
    struct RevealCountRow { reveals: i64 }
}

/// How far a key has come in its hour. Its word is a metric's and an event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RevealLevel {
    /// Half of what it may.
    Half,
    /// All of it: the next one is refused.
    Limit,
}
word_methods!(RevealLevel);

impl RevealLevel {
    /// The level of this count. The settings of replicas may differ for a while: a count can be above the limit of one of them.
    const fn of(reveals: i64, per_hour: i64) -> Option<Self> {
        if reveals >= per_hour {
            return Some(Self::Limit);
        }
        if reveals >= per_hour.saturating_add(1).div_euclid(2) { Some(Self::Half) } else { None }
    }

    const fn number(self) -> i64 {
        match self {
            Self::Half => 1,
            Self::Limit => 2,
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Half => "reveals.many",
            Self::Limit => "reveals.limit_reached",
        }
    }
}

/// Counts a reveal of this caller's.
///
/// # Errors
/// [`RevealError::HourUsedUp`] where it is one too many; what the database answers.
pub(super) async fn take(courier: &Courier, caller: &Caller, per_hour: u32) -> Result<(), RevealError> {
    // The service itself reveals nothing.
    let Some(key) = caller.key else { return Ok(()) };
    let (now, per_hour) = (courier.ambient.now(), i64::from(per_hour));
    let mut tx = courier.store.begin_as("reveal.count").await?;
    let hour = now.timestamp().div_euclid(HOUR.num_seconds());
    let counted = fetch_optional!(RevealCountRow, tx, TAKE, key.uuid(), hour, per_hour)?;
    let level = counted.as_ref().map_or(Some(RevealLevel::Limit), |row| RevealLevel::of(row.reveals, per_hour));
    if let Some(level) = level
        && execute!(tx, REPORT, key.uuid(), level.number())? == 1
    {
        let client = caller.client.to_string();
        let data = serde_json::json!({"client_id": client, "api_key_id": key.to_string(), "per_hour": per_hour});
        outbox::write(&mut tx, level.event(), Named::Client(&client), Some(&data), now).await?;
        // Before the commit: an alarm too many is better than one that a lost answer of the database keeps back.
        courier.metrics.many_reveals(level);
        tracing::warn!(
            client.id = client,
            api_key.id = %key,
            reveals.level = level.as_str(),
            "an API key asks for many codes within an hour"
        );
    }
    tx.commit(()).await?.into_inner();
    if counted.is_some() {
        return Ok(());
    }
    let left = HOUR.num_seconds().saturating_sub(now.timestamp().rem_euclid(HOUR.num_seconds()));
    Err(RevealError::HourUsedUp(Duration::from_secs(left.unsigned_abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_comes_before_the_limit_and_both_are_come_to() {
        for per_hour in 1..=50 {
            let levels: Vec<Option<RevealLevel>> = (1..=per_hour).map(|at| RevealLevel::of(at, per_hour)).collect();
            assert_eq!(levels.last(), Some(&Some(RevealLevel::Limit)), "{per_hour}");
            assert_eq!(levels.contains(&Some(RevealLevel::Half)), per_hour > 1, "{per_hour}");
            assert!(levels.is_sorted_by_key(|level| level.map_or(0, RevealLevel::number)), "{per_hour}: {levels:?}");
        }
    }
}
