//! Facts of memberships: what their client should hear of. A fact is written in the transaction that makes it true.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{model::Membership, sql, state::MembershipState};
use crate::{
    events::{Named, outbox},
    store::{StoreError, Tx},
};

/// The kind of a fact about this state.
const fn kind(state: MembershipState) -> &'static str {
    match state {
        MembershipState::Active => "membership.active",
        MembershipState::PastDue => "membership.past_due",
        MembershipState::Suspended => "membership.suspended",
        MembershipState::Paused => "membership.paused",
        MembershipState::Lapsed => "membership.lapsed",
        MembershipState::Ended => "membership.ended",
    }
}

/// Saves a membership that is locked, and writes a fact where it is in another state than before. The consent of one that was ended is to be closed:
/// one that lapsed may be joined anew by the same.
pub(super) async fn save(tx: &mut Tx, changed: &mut Membership, now: DateTime<Utc>) -> Result<(), StoreError> {
    let before = sql::find(tx, changed.id).await?.map(|before| before.state);
    sql::save(tx, changed, now).await?;
    if before == Some(changed.state) {
        return Ok(());
    }
    if changed.state == MembershipState::Ended {
        sql::consents::wish_closing(tx, changed, now).await?;
    }
    let data = json!({
        "membership_id": changed.id.to_string(), "reference": changed.reference, "state": changed.state.as_str(),
        "reason": changed.reason, "period": changed.periods,
    });
    outbox::write(tx, kind(changed.state), Named::Client(&changed.client.to_string()), Some(&data), now).await?;
    Ok(())
}
