//! How many codes a key may have shown again in an hour. A stolen key that may reveal stops there, and is noticed at the half of it.
//!
//! A reveal counts before Amazon is asked, and is never taken back. The hours are the clock's, over all replicas. What the same
//! idempotency key is answered again does not count: it is bounded by reward, and needs the order's own key.

use std::time::Duration;

use chrono::TimeDelta;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{courier::Courier, reveal::RevealError};
use crate::{
    events::{Named, outbox},
    identity::Caller,
    kernel::word_methods,
    store::{Sql, fetch_optional, row, statements},
};

const HOUR: TimeDelta = TimeDelta::hours(1);

statements! {
    // An hour that lies ahead is one of a clock that was wrong: it counts no longer.
    TAKE = Sql::same(
        "reveal_counts.take",
        "INSERT INTO reveal_counts (api_key_id, hour, reveals) VALUES ($1, $2, 1) ON CONFLICT (api_key_id) DO UPDATE SET \
         reveals = CASE WHEN reveal_counts.hour BETWEEN excluded.hour AND excluded.hour + 1 THEN reveal_counts.reveals + 1 ELSE 1 END, \
         hour = CASE WHEN reveal_counts.hour = excluded.hour + 1 THEN reveal_counts.hour ELSE excluded.hour END \
         WHERE reveal_counts.hour NOT BETWEEN excluded.hour AND excluded.hour + 1 OR reveal_counts.reveals < $3 RETURNING reveals",
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
    /// The level that this count has just come to. Each is come to once an hour.
    fn come_to(reveals: i64, per_hour: i64) -> Option<Self> {
        if reveals == per_hour {
            return Some(Self::Limit);
        }
        (reveals == per_hour.saturating_add(1).div_euclid(2)).then_some(Self::Half)
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
    let Some(RevealCountRow { reveals }) = fetch_optional!(RevealCountRow, tx, TAKE, key.uuid(), hour, per_hour)?
    else {
        tx.undo().await;
        let left = HOUR.num_seconds().saturating_sub(now.timestamp().rem_euclid(HOUR.num_seconds()));
        return Err(RevealError::HourUsedUp(Duration::from_secs(left.unsigned_abs())));
    };
    let level = RevealLevel::come_to(reveals, per_hour);
    if let Some(level) = level {
        let client = caller.client.to_string();
        let data = serde_json::json!({"client_id": client, "api_key_id": key.to_string(), "reveals": reveals});
        outbox::write(&mut tx, level.event(), Named::Client(&client), Some(&data), now).await?;
    }
    tx.commit(()).await?.into_inner();
    if let Some(level) = level {
        courier.metrics.many_reveals(level);
        tracing::warn!(
            client.id = %caller.client,
            api_key.id = %key,
            reveals.count = reveals,
            reveals.level = level.as_str(),
            "an API key has had many codes shown again within an hour"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_come_to_once_on_the_way_to_the_limit() {
        for per_hour in 1..=50 {
            let levels: Vec<RevealLevel> = (1..=per_hour).filter_map(|at| RevealLevel::come_to(at, per_hour)).collect();
            let all = if per_hour == 1 { &[RevealLevel::Limit][..] } else { &[RevealLevel::Half, RevealLevel::Limit] };
            assert_eq!(levels, all, "{per_hour}");
        }
    }
}
