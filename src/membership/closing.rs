//! The consent of a membership that was ended is closed at Amazon: nobody keeps a right to charge that nobody uses. The wish is written in the
//! transaction that ends the membership, and Amazon is asked until the consent is seen to have ended. To close one twice is harmless.

use chrono::TimeDelta;

use super::{
    metrics::ClosingTurn,
    model::PeriodState,
    runner::rest_after,
    service::{MembershipError, Memberships},
    sql::{
        self,
        consents::{self, ConsentClosing},
        periods, plans,
    },
};
use crate::{
    failpoint,
    pay::PayAccount,
    provider::pay::{AmazonPermissionId, PayOutcome, PermissionSeen, PermissionState},
    store::StoreError,
};

/// What Amazon shows the seller's people.
const REASON: &str = "The membership has ended";
/// Between two looks at a charge that is under way.
const LOOK: TimeDelta = TimeDelta::minutes(1);
/// The longest rest between two tries.
const REST_MAX: TimeDelta = TimeDelta::hours(1);
/// For so long the account of a consent may be missing in the settings. Then nobody can charge by it here, and a person closes it in Seller Central.
const GONE_AFTER: TimeDelta = TimeDelta::days(7);

/// What became of a try.
enum ConsentClosed {
    /// Amazon shows that it has ended.
    Done,
    /// Another membership is charged by it: it is left to that one.
    Shared,
    /// Its account is gone.
    Gone,
    /// A charge by it is under way, and comes to its end first.
    Charging,
    /// Not yet, for this reason.
    NotYet(&'static str),
}

impl Memberships {
    /// Takes the closing of a consent a step on.
    pub(super) async fn close(&self, closing: &ConsentClosing) -> Result<(), MembershipError> {
        let became = self.close_at_amazon(closing).await?;
        let now = self.ambient.now();
        let after = |rest: TimeDelta| now.checked_add_signed(rest);
        let mut tx = self.store.begin_as("membership.closed").await?;
        let turn = match became {
            ConsentClosed::Done => {
                consents::rest(&mut tx, closing, None, now).await?;
                ClosingTurn::Closed
            }
            ConsentClosed::Shared => {
                consents::drop_closing(&mut tx, closing, now).await?;
                ClosingTurn::Dropped
            }
            ConsentClosed::Gone => {
                tracing::error!(
                    membership.id = %closing.membership, consent.id = %closing.consent,
                    "the account of a consent that is to be closed is not in the settings: a person closes it at Amazon"
                );
                consents::drop_closing(&mut tx, closing, now).await?;
                ClosingTurn::Dropped
            }
            ConsentClosed::Charging => {
                consents::rest(&mut tx, closing, after(LOOK), now).await?;
                ClosingTurn::Later
            }
            ConsentClosed::NotYet(why) => {
                tracing::warn!(membership.id = %closing.membership, amazon.outcome = why, "a consent could not be closed; tried again");
                let rest = rest_after(closing.tries.saturating_sub(1), REST_MAX);
                consents::rest(&mut tx, closing, after(rest), now).await?;
                ClosingTurn::Later
            }
        };
        tx.commit(()).await?;
        self.metrics.closed(turn);
        if turn == ClosingTurn::Closed {
            tracing::info!(membership.id = %closing.membership, "the consent of a membership that was ended is closed");
        }
        Ok(())
    }

    async fn close_at_amazon(&self, closing: &ConsentClosing) -> Result<ConsentClosed, MembershipError> {
        let mut snapshot = self.store.snapshot().await?;
        let lost = StoreError::Inconsistent { table: "membership_consents", column: "membership_id" };
        let membership = sql::find(&mut snapshot, closing.membership).await?.ok_or(lost)?;
        // A program that knew no claims may have let two share it. While it is to be closed, nobody claims it.
        if consents::other(&mut snapshot, &closing.consent, membership.id).await?.is_some() {
            return Ok(ConsentClosed::Shared);
        }
        let last = periods::find(&mut snapshot, membership.id, membership.periods).await?;
        if last.is_some_and(|last| last.state == PeriodState::Charging) {
            return Ok(ConsentClosed::Charging);
        }
        let plan = plans::find(&mut snapshot, membership.plan).await?;
        let plan = plan.ok_or(StoreError::Inconsistent { table: "memberships", column: "plan_id" })?;
        drop(snapshot);
        let same = |account: &&PayAccount| closing.consent.environment().is_none_or(|of| of == account.environment);
        let Some(account) = self.seller(&plan).ok().filter(same) else {
            let is_gone = self.ambient.now().signed_duration_since(closing.since) >= GONE_AFTER;
            return Ok(if is_gone { ConsentClosed::Gone } else { ConsentClosed::NotYet("no_account") });
        };
        let Some(id) = AmazonPermissionId::parse(closing.consent.as_str()) else { return Ok(ConsentClosed::Done) };
        failpoint::pass("membership", "closing");
        let became = ask_to_close(account, &id).await;
        failpoint::pass("membership", "closed");
        Ok(became)
    }
}

async fn ask_to_close(account: &PayAccount, id: &AmazonPermissionId) -> ConsentClosed {
    // What is pending under it comes to its end.
    let asked = account.client.close_charge_permission(id, REASON, false).await.outcome;
    let Err(why) = ended(&asked) else { return ConsentClosed::Done };
    // One that was closed before, by us or the buyer, is in no state to be closed.
    let may_be = matches!(asked, PayOutcome::Conflict(_) | PayOutcome::Rejected(_));
    if may_be && ended(&account.client.get_charge_permission(id).await.outcome).is_ok() {
        return ConsentClosed::Done;
    }
    ConsentClosed::NotYet(why)
}

/// Whether Amazon shows that a consent has ended, or knows none; or what it says instead.
fn ended(outcome: &PayOutcome<PermissionSeen>) -> Result<(), &'static str> {
    match outcome {
        PayOutcome::Seen(PermissionSeen { state: PermissionState::Ended(_), .. }) | PayOutcome::Missing => Ok(()),
        PayOutcome::Seen(_) => Err("still_open"),
        PayOutcome::Declined(_)
        | PayOutcome::Conflict(_)
        | PayOutcome::KeyConflict
        | PayOutcome::Rejected(_)
        | PayOutcome::TurnedAway(_)
        | PayOutcome::NotSent(_)
        | PayOutcome::Unknown(_) => Err(outcome.reason()),
    }
}
