//! Canceling: the wish is committed, then Amazon is asked, inside its window.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{courier::Courier, model::Reward, target, timeline::Note};
use crate::{
    engine::{self, Drive, Effects, End, Rejected, ReversalFailure, State, Waiter, Wisher, run::Start},
    identity::Caller,
    kernel::RewardId,
    lifecycle::{Lost, workplaces},
    store::StoreError,
};

/// How long the last look may take when the answer is due.
const LAST_LOOK: Duration = Duration::from_millis(400);

/// Why a cancel was refused.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// No such reward of this caller's.
    #[error("no such reward")]
    NotFound,
    /// The reason repeats what the reward acts on.
    #[error("the reason repeats what the reward acts on")]
    RepeatsTarget,
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

/// A wish to cancel.
pub(super) struct Wish {
    pub(super) caller: Caller,
    pub(super) id: RewardId,
    pub(super) reason: String,
    pub(super) wisher: Wisher,
}

/// Cancels rewards. Cheap to clone.
#[derive(Clone)]
pub struct Cancel {
    courier: Courier,
}

impl Cancel {
    pub(super) const fn new(courier: Courier) -> Self {
        Self { courier }
    }

    /// Cancels a reward, or records that it will be canceled as soon as its existence is proven. Waits as long as the
    /// settings allow since the request `arrived`; the work goes on after that.
    ///
    /// # Errors
    /// [`CancelError`]; the reward is as it was.
    pub async fn run(
        &self,
        caller: Caller,
        id: RewardId,
        reason: String,
        arrived: Instant,
    ) -> Result<Reward, CancelError> {
        let courier = &self.courier;
        let wait = courier.left(arrived);
        let (waiter, listener) = Waiter::new(courier.ambient.monotonic() + wait);
        let wish = Wish { caller: caller.clone(), id, reason, wisher: Wisher::Present };
        let this = self.clone();
        let job = courier.tasks.spawn(workplaces::carry(async move {
            this.check_reason(&wish).await?;
            this.carry_out(wish, &waiter).await
        }));
        match tokio::time::timeout(wait, job).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panicked)) => Err(Lost.into()),
            Err(_elapsed) => {
                let this = courier.clone();
                let found = courier.tasks.run(async move { this.find(&caller, id).await });
                // Without the database there is nothing to answer but that.
                let found =
                    tokio::time::timeout(LAST_LOOK, found).await.map_err(|_late| StoreError::Unconfirmed)???;
                let recorded = listener.borrow().is_some();
                found.ok_or(CancelError::NotFound).and_then(|reward| late_answer(reward, recorded))
            }
        }
    }

    /// The reason is stored, so it may not repeat what the reward acts on.
    async fn check_reason(&self, wish: &Wish) -> Result<(), CancelError> {
        let courier = &self.courier;
        let found = courier.find(&wish.caller, wish.id).await?.ok_or(CancelError::NotFound)?;
        let repeats = target::is_repeated(&courier.store, &courier.keyring, &found, &wish.reason).await?;
        if repeats { Err(CancelError::RepeatsTarget) } else { Ok(()) }
    }

    /// Records the wish, and asks Amazon where it can be asked at once.
    pub(super) async fn carry_out(&self, wish: Wish, waiter: &Waiter<Reward>) -> Result<Reward, CancelError> {
        let courier = &self.courier;
        let found = courier.find(&wish.caller, wish.id).await?.ok_or(CancelError::NotFound)?;
        found.trace_on();
        let (rules, lease) = (*found.kind.rules(), courier.lease()?);
        let drive = Drive::reverse(found.order, lease.token, wish.wisher, rules, courier.limits());
        let note = Note { reason: Some(wish.reason), key: wish.caller.key, ..Note::default() };
        let ran = engine::run(courier, drive, Start::Read(found), &note, Some(waiter)).await;
        match ran.end {
            End::Unchanged => Ok(ran.row),
            End::Rejected(rejected) => Err(refused(rejected, &ran.row)),
            End::Recorded => {
                courier.wake.notify_one();
                Ok(ran.row)
            }
            End::Unconfirmed if ran.answer.is_none() => Err(ran.error.unwrap_or(StoreError::Unconfirmed).into()),
            end @ (End::Settled { .. }
            | End::NotShown
            | End::ShownTooOften
            | End::LeaseLost
            | End::Unheard
            | End::TooOld
            | End::Unsendable
            | End::Unconfirmed) => answer_of(courier.carried(end, ran.row, waiter)),
        }
    }
}

fn refused(rejected: Rejected, reward: &Reward) -> CancelError {
    match rejected {
        Rejected::WindowClosed => CancelError::WindowClosed { until: reward.cancelable_until() },
        Rejected::InvalidState => CancelError::InvalidState(reward.state()),
    }
}

/// The answer when the caller's time is up. `recorded`: this wish is known to be committed. A wish that is not may be
/// committed or not; a row that shows none then says nothing of it, and a refusal in it answered an earlier wish.
fn late_answer(reward: Reward, recorded: bool) -> Result<Reward, CancelError> {
    let wished = reward.order.stage.reversal_wanted() || reward.state() == State::Canceled;
    match (recorded, wished) {
        (true, _) => answer_of(reward),
        (false, true) => Ok(reward),
        (false, false) => Err(StoreError::Unconfirmed.into()),
    }
}

/// A cancel that ended back at `issued` is a refusal to its caller.
fn answer_of(reward: Reward) -> Result<Reward, CancelError> {
    match (reward.state(), reward.order.stage.reversal_failure()) {
        (State::Issued, Some(ReversalFailure::TooLate)) => {
            Err(CancelError::WindowClosed { until: reward.cancelable_until() })
        }
        (State::Issued, Some(ReversalFailure::NotPermitted)) => Err(CancelError::NotPermitted(reward.id)),
        _ => Ok(reward),
    }
}
