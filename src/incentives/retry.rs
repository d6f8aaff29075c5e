//! Another try of a reward that Amazon refused and whose cause can be cured: whether today's settings still allow it, and the
//! transaction that begins it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    admission::{Admitted, budget_again, check_value},
    create_members::members_of,
    issue::{Accepted, Issue},
    issue_error::IssueError,
    model::{Command, Reward},
    sql,
    timeline::TimelineEntry,
};
use crate::{
    accounts::{Account, Asking},
    engine::schedule::{self, Moment},
    provider::incentives::ErrorType,
    sealing::Target,
    store::StoreError,
};

/// Why a reward that was refused cannot be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lapse {
    /// The settings name its account no more.
    #[error("the account is not in the settings any more")]
    AccountGone,
    /// The account of that name is another one to Amazon. The reward's id begins with the partner id of then, and a key has one
    /// id for ever.
    #[error("the account has another partner id, marketplace or environment than when the reward was made")]
    AccountChanged,
    /// Its account does not deal in its kind any more.
    #[error("the account does not deal in the kind any more")]
    KindGone,
    /// Its value is outside the account's limits now.
    #[error("the amount is outside the account's limits now")]
    OutOfRange,
}

impl Issue {
    /// Tries a refused reward again, because its caller says that it is cured. It is paced like everyone while the account is
    /// refused.
    pub(super) async fn try_again(
        &self,
        existing: Reward,
        command: &Command,
        target: Option<Arc<Target>>,
        arrived: Instant,
    ) -> Result<Accepted, IssueError> {
        let courier = &self.courier;
        let account = match self.payer_of(&existing) {
            Ok(account) => account,
            Err(Lapse::AccountChanged) if is_about_the_partner(&existing) => return self.close(existing).await,
            Err(why) => return Err(IssueError::Lapsed { reward: Box::new(existing), why }),
        };
        // Before the breaker: a token that has expired must not use up the turn of whoever comes next.
        let target = match target {
            Some(target) => Some(target),
            // A token that is recognised does not show whose it is.
            None => self.found_again(account, &existing, command, arrived).await?,
        };
        let asking = Asking::Retry { minor: existing.value.minor() };
        if let Err(paced) = account.breaker().admit(asking, courier.limits.breaker).await {
            return Err(IssueError::NotYet { reward: Box::new(existing), retry_after: paced.retry_after });
        }
        let slot = self.take_slot(account, existing.client, command.purpose, arrived).await?;
        self.retry(existing, command, Admitted { account, slot, target }).await
    }

    /// The account that pays for another try of this reward.
    fn payer_of(&self, existing: &Reward) -> Result<&Account, Lapse> {
        let courier = &self.courier;
        courier.accounts.get(&existing.account).ok_or(Lapse::AccountGone)?;
        let account = courier.account_of(existing).ok_or(Lapse::AccountChanged)?;
        if !account.kinds().contains(&existing.kind.as_str()) {
            return Err(Lapse::KindGone);
        }
        check_value(account, existing.value).map_err(|_range| Lapse::OutOfRange)?;
        Ok(account)
    }

    /// T1 of another try under the same id.
    async fn retry(&self, existing: Reward, command: &Command, admitted: Admitted<'_>) -> Result<Accepted, IssueError> {
        let (courier, Admitted { account, slot, target }) = (&self.courier, admitted);
        let now = courier.ambient.now();
        let doubt = self.is_row_lost(account.id()).await?;
        // It was wiped when the reward failed, and the caller has brought it again.
        let target = target.map(|target| courier.seal(&existing, &target, command.aim.token())).transpose()?;
        let program = existing.budget.as_ref().map(|budget| &budget.program);
        let members = members_of(account, command, program)?;
        let mut tx = courier.store.begin_as("reward.retry").await?;
        let locked = sql::lock(&mut tx, existing.id).await?.unwrap_or(existing);
        let moment = Moment { now, draw: 0, patience: Duration::ZERO, awaited: true };
        let lease = courier.lease()?;
        let Ok(order) = schedule::retry(locked.order, doubt, lease, locked.kind.rules(), moment) else {
            // Someone else was quicker.
            return Ok(Accepted::Known(tx.commit(locked).await?.into_inner()));
        };
        let mut reward = locked.with(order);
        reward.budget = budget_again(account, &locked, command, now);
        if locked.metadata_digest.is_some() {
            // Archiving emptied it. The caller has brought the same again: their digests were compared.
            reward.metadata = command.metadata_json();
        }
        // Nothing was bought: what a replay will have to repeat begins with this attempt.
        reward.members = members;
        let reserved = self.reserve(&mut tx, account, &reward, now).await;
        tx = tx.or_undo(reserved).await?;
        let entry = TimelineEntry::with_attempt("attempt.sent", order.attempts);
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            // Committed, the reservation would be no attempt's. The answer is the reward as it stands.
            tx.undo().await;
            let found = sql::peek(&mut courier.store.snapshot().await?, locked.id).await?;
            return Ok(Accepted::Known(found.unwrap_or(locked)));
        }
        if reward.members != locked.members {
            sql::keep_members(&mut tx, &reward).await?;
        }
        if let Some(target) = &target {
            target.keep(&mut tx, &reward).await?;
        }
        let kept = self.keep_floor(&mut tx, account, &reward).await;
        tx = tx.or_undo(kept).await?;
        // A second try after a cured refusal is no replay to its caller: what it brings is bought just now.
        Ok(Accepted::Attempt(tx.commit(reward).await?, Some(slot)))
    }

    /// Makes a refusal final: Amazon knows no such partner, and the setting has been mended since. It is written down, because a
    /// caller who is answered that buys under another key.
    async fn close(&self, existing: Reward) -> Result<Accepted, IssueError> {
        let now = self.courier.ambient.now();
        let mut tx = self.courier.store.begin_as("reward.close").await?;
        let mut reward = sql::lock(&mut tx, existing.id).await?.ok_or(StoreError::Unconfirmed)?;
        if let Some(order) = schedule::close(reward.order, now) {
            reward = reward.with(order);
            sql::save(&mut tx, &mut reward, &[TimelineEntry::new("reward.closed")], now).await?;
        }
        Ok(Accepted::Known(tx.commit(reward).await?.into_inner()))
    }
}

/// Whether Amazon refused the reward because of the partner id that its own id begins with.
fn is_about_the_partner(reward: &Reward) -> bool {
    let word = reward.last_error.as_ref().and_then(|error| error.error_type.as_deref());
    let word = word.and_then(ErrorType::from_word);
    matches!(word, Some(ErrorType::InvalidPartnerId | ErrorType::InvalidPartnerIdInput))
}
