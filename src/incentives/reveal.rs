//! Showing a code again: the create is replayed as a pure read, bounded and noted.

use std::time::{Duration, Instant};

use super::{
    asking::AskError,
    courier::Courier,
    in_flight::{InFlight, Party},
    model::Reward,
    reveal_count,
    timeline::Note,
};
use crate::{
    engine::{self, Action, Drive, Effects, End, State, run::Start},
    identity::Caller,
    kernel::{ApiKeyId, ClaimCode, RewardId},
    lifecycle::Lost,
    provider::incentives::Outcome,
    store::StoreError,
};

/// How often a code is shown again at most, by whatever way.
const SHOWINGS_MAX: i64 = 100;

/// Why a code was not shown.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// No such reward of this caller's.
    #[error("no such reward")]
    NotFound,
    /// It was canceled, or is being canceled.
    #[error("the reward is canceled")]
    Gone(State),
    /// It has no code to show (yet).
    #[error("the reward's state does not allow it")]
    InvalidState(State),
    /// Its kind has no code.
    #[error("a reward of this kind has no code")]
    NoCode,
    /// It was shown too often.
    #[error("the code was shown too often")]
    TooOften,
    /// The key has had as many codes shown in this hour as it may. After this time it may again.
    #[error("the API key has revealed as many codes in this hour as it may")]
    HourUsedUp(Duration),
    /// It is too old to be replayed safely.
    #[error("the reward is too old to be shown again")]
    TooOld,
    /// Amazon showed no card.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<StoreError> for RevealError {
    fn from(error: StoreError) -> Self {
        AskError::from(error).into()
    }
}

impl From<Lost> for RevealError {
    fn from(lost: Lost) -> Self {
        AskError::from(lost).into()
    }
}

/// Why a code is shown again.
#[derive(Debug, Clone)]
pub(super) enum Showing {
    /// The same key was sent again.
    Redelivery,
    /// Someone asked for it, for this reason.
    Reveal(String),
}

/// Shows claim codes again. Cheap to clone.
#[derive(Clone)]
pub struct Reveal {
    courier: Courier,
    in_flight: InFlight,
    /// How many codes a key may have shown in an hour.
    per_hour: u32,
}

impl Reveal {
    pub(super) const fn new(courier: Courier, in_flight: InFlight, per_hour: u32) -> Self {
        Self { courier, in_flight, per_hour }
    }

    /// Shows an issued reward's code again, by asking Amazon. Waits as long as the settings allow since the request
    /// `arrived`; what comes later is wiped.
    ///
    /// # Errors
    /// [`RevealError`]; nothing was bought.
    pub async fn run(
        &self,
        caller: Caller,
        id: RewardId,
        reason: String,
        arrived: Instant,
    ) -> Result<(Reward, ClaimCode), RevealError> {
        let (this, courier) = (self.clone(), &self.courier);
        let work = async move {
            let reward = this.courier.find(&caller, id).await?.ok_or(RevealError::NotFound)?;
            let party = Party { caller: caller.client, account: reward.account.clone() };
            let _place = this.in_flight.enter(party).ok_or(AskError::Busy)?;
            reward.trace_on();
            if !reward.kind.rules().has_receipt {
                return Err(RevealError::NoCode);
            }
            match reward.state() {
                State::Issued => {
                    // What is refused for its reward counts against no key: nothing of Amazon's can come of it.
                    if let Some(refused) = this.refused_unasked(&reward) {
                        return Err(refused);
                    }
                    reveal_count::take(&this.courier, &caller, this.per_hour).await?;
                    this.show_again(reward, Showing::Reveal(reason), caller.key).await
                }
                state @ (State::Canceled | State::Canceling) => Err(RevealError::Gone(state)),
                state @ (State::Pending
                | State::Issuing
                | State::Unresolved
                | State::Failed
                | State::NeedsAttention) => Err(RevealError::InvalidState(state)),
            }
        };
        let shown = tokio::time::timeout(courier.left(arrived), courier.tasks.run(work)).await;
        shown.map_err(|_late| AskError::Late)??
    }

    /// Why an issued reward is not shown, where that is known before Amazon is asked.
    fn refused_unasked(&self, reward: &Reward) -> Option<RevealError> {
        let courier = &self.courier;
        let drive = Drive::show(reward.order, SHOWINGS_MAX, *reward.kind.rules(), courier.limits());
        let end = drive.end_unasked(SHOWINGS_MAX, courier.ambient.now())?;
        Some(match (end, reward.state()) {
            (End::ShownTooOften, _) => RevealError::TooOften,
            (End::TooOld, _) => RevealError::TooOld,
            (_, state) => RevealError::InvalidState(state),
        })
    }

    /// Replays the create of an issued reward as a pure read, and hands the code over only after the showing is committed
    /// and the reward is still issued.
    pub(super) async fn show_again(
        &self,
        reward: Reward,
        showing: Showing,
        key: Option<ApiKeyId>,
    ) -> Result<(Reward, ClaimCode), RevealError> {
        let courier = &self.courier;
        let (showings_max, reason) = match showing {
            Showing::Redelivery => (i64::from(courier.limits.redelivery_max), None),
            Showing::Reveal(reason) => (SHOWINGS_MAX, Some(reason)),
        };
        let drive = Drive::show(reward.order, showings_max, *reward.kind.rules(), courier.limits());
        let note = Note { reason, key, ..Note::default() };
        let ran = engine::run(courier, drive, Start::Read(reward), &note, None).await;
        let state = ran.row.state();
        match (ran.end, ran.receipt) {
            (End::Settled { deliver: true }, Some(code)) => Ok((ran.row, code)),
            (End::NotShown, _) if state != State::Issued => Err(RevealError::Gone(state)),
            (End::NotShown, _) => Err(not_proven(ran.answer.map(|answer| answer.outcome), &ran.row)),
            (End::ShownTooOften, _) => Err(RevealError::TooOften),
            (End::TooOld, _) => Err(RevealError::TooOld),
            (End::Unconfirmed, _) => Err(ran.error.unwrap_or(StoreError::Unconfirmed).into()),
            (_, _) => Err(RevealError::InvalidState(state)),
        }
    }
}

fn not_proven(outcome: Option<Outcome<()>>, reward: &Reward) -> RevealError {
    match outcome {
        Some(Outcome::Proven(())) | None => RevealError::InvalidState(reward.state()),
        Some(outcome) => AskError::of(outcome, reward.kind.spec().operation(Action::Read)).into(),
    }
}
