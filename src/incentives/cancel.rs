//! Canceling: the wish is committed, then Amazon is asked, inside its window.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{
    Rewards, course,
    drive::Attempt,
    machine::{self, CancelFailure, Event, Rejected, State},
    model::Reward,
    sql,
    timeline::Entry,
    waiter::Caller,
};
use crate::{
    failpoint,
    kernel::{ClientId, RewardId, window},
    lifecycle::Lost,
    store::StoreError,
};

/// How long the last look may take, when the answer is due.
const LAST_LOOK: Duration = Duration::from_millis(400);

/// Why a cancel was refused.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// No such reward of this client's.
    #[error("no such reward")]
    NotFound,
    /// The window closed at this instant.
    #[error("the cancel window is closed")]
    WindowClosed {
        /// When it closed.
        until: Option<DateTime<Utc>>,
    },
    /// Amazon says that it cannot be canceled: it was claimed.
    #[error("the reward cannot be canceled any more")]
    NotPermitted(RewardId),
    /// The state does not allow it.
    #[error("the reward's state does not allow it")]
    InvalidState(State),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer; it is durable if it began.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl Rewards {
    /// Cancels a reward, or says that it will be canceled as soon as its existence is proven. Waits as long as the settings
    /// allow since the request `arrived`; the work goes on after that.
    ///
    /// # Errors
    /// [`CancelError`]; the reward is as it was.
    pub async fn cancel(
        &self,
        client: ClientId,
        id: RewardId,
        reason: String,
        arrived: Instant,
    ) -> Result<Reward, CancelError> {
        let wait = self.left(arrived);
        let (caller, _hears) = Caller::new(self.ambient().monotonic() + wait);
        let this = self.clone();
        let job = self.tasks().spawn(async move { this.cancel_now(client, id, reason, &caller).await });
        match tokio::time::timeout(wait, job).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panicked)) => Err(Lost.into()),
            Err(_elapsed) => {
                let this = self.clone();
                let found = self.tasks().run(async move { this.find_now(client, id).await });
                // Without the database there is nothing to tell but that.
                let found =
                    tokio::time::timeout(LAST_LOOK, found).await.map_err(|_late| StoreError::Unconfirmed)???;
                found.ok_or(CancelError::NotFound).and_then(cancel_answer)
            }
        }
    }

    pub(super) async fn cancel_now(
        &self,
        client: ClientId,
        id: RewardId,
        reason: String,
        caller: &Caller,
    ) -> Result<Reward, CancelError> {
        failpoint::pass("cancel", "before_t1");
        let now = self.ambient().now();
        let mut tx = self.store().begin_as("reward.cancel").await?;
        let before =
            sql::lock(&mut tx, id).await?.filter(|reward| reward.client == client).ok_or(CancelError::NotFound)?;
        before.trace_on();
        let until = before.facts.first_send_at.map(window::cancelable_until);
        // Nobody is answered from what may still vanish: also what changes nothing is committed.
        let next = match machine::step(before.facts, Event::CancelAsked, now) {
            Ok(next) if next.facts == before.facts => return Ok(tx.commit(before).await?.into_inner()),
            Ok(next) => next,
            Err(rejected) => {
                tx.commit(()).await?;
                return Err(match rejected {
                    Rejected::WindowClosed => CancelError::WindowClosed { until },
                    Rejected::InvalidState => CancelError::InvalidState(before.facts.state),
                });
            }
        };
        let token = self.ambient().token().map_err(StoreError::from)?;
        let mut reward = before.clone();
        let in_flight = before.lease.is_some();
        let draw = self.ambient().draw().map_err(StoreError::from)?;
        course::wish_cancel(&mut reward, &next, self.lease(token), now, draw);
        let entry = Entry::with_reason("cancel.requested", reason);
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(StoreError::Unconfirmed.into());
        }
        failpoint::pass("cancel", "in_t1");
        let committed = tx.commit(reward).await?;
        failpoint::pass("cancel", "after_t1");
        self.tell(&before, committed.get());
        if in_flight || committed.get().lease != Some(token) {
            self.wake().notify_one();
            return Ok(committed.into_inner());
        }
        let (reward, _code) =
            self.driven(committed.map(|reward| Attempt { reward, token, has_slot: false }), caller).await;
        cancel_answer(reward)
    }
}

/// A cancel that ended back at `issued` is a refusal to its caller.
fn cancel_answer(reward: Reward) -> Result<Reward, CancelError> {
    match (reward.facts.state, reward.facts.cancel_failure) {
        (State::Issued, Some(CancelFailure::TooLate)) => {
            let until = reward.facts.first_send_at.map(window::cancelable_until);
            Err(CancelError::WindowClosed { until })
        }
        (State::Issued, Some(CancelFailure::NotPermitted)) => Err(CancelError::NotPermitted(reward.id)),
        _ => Ok(reward),
    }
}
