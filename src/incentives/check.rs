//! Asking Amazon how a reward stands now, where its kind has an operation for that. It buys nothing. What is under way is
//! proven by its own worker; a proven reward that is not there any more needs a person.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    answer::Answer,
    asking::AskError,
    check_pace::CheckPace,
    courier::Courier,
    in_flight::{InFlight, Party},
    model::Reward,
    target,
    timeline::Note,
};
use crate::{
    engine::{self, Action, Drive, Effects, End, Event, Sight, rules::Reading, run::Start},
    lifecycle::Lost,
    sealing::{Sameness, Target},
    store::StoreError,
};

/// What Amazon showed.
pub struct Checked {
    /// The reward afterwards.
    pub reward: Reward,
    /// How it stands.
    pub sight: Sight,
    /// When Amazon was asked.
    pub at: DateTime<Utc>,
}

/// Why nothing was shown.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Its kind cannot be asked for.
    #[error("a reward of this kind cannot be asked for")]
    NotAsked,
    /// What it acts on is gone, and the caller has not brought it.
    #[error("what the reward acts on is not kept any more")]
    NotKept,
    /// The caller brought another target.
    #[error("that is not what the reward was made for")]
    OtherTarget,
    /// Whether it is the same cannot be found out without the sealing key of then.
    #[error("the target cannot be compared")]
    TargetUnknown,
    /// Amazon was asked about it too often of late.
    #[error("the reward was checked too often")]
    TooOften {
        /// In how long the next check may come.
        retry_after: Duration,
    },
    /// The account is another one now.
    #[error("the account of the reward is another one now")]
    Elsewhere,
    /// Amazon showed nothing.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        AskError::from(error).into()
    }
}

impl From<Lost> for CheckError {
    fn from(lost: Lost) -> Self {
        AskError::from(lost).into()
    }
}

/// Asks Amazon how rewards stand. Cheap to clone.
#[derive(Clone)]
pub struct Check {
    courier: Courier,
    in_flight: InFlight,
    pace: CheckPace,
}

impl Check {
    pub(super) fn new(courier: Courier, in_flight: InFlight) -> Self {
        Self { courier, in_flight, pace: CheckPace::default() }
    }

    /// Asks for a reward, about the target that is kept for it or the one that the caller brings. Waits as long as the
    /// settings allow since the request `arrived`.
    ///
    /// # Errors
    /// [`CheckError`]; Amazon has shown nothing.
    pub async fn run(&self, reward: Reward, given: Option<Target>, arrived: Instant) -> Result<Checked, CheckError> {
        let (this, courier) = (self.clone(), &self.courier);
        let work = async move {
            let party = Party { caller: reward.client, account: reward.account.clone() };
            let _place = this.in_flight.enter(party).ok_or(AskError::Busy)?;
            reward.trace_on();
            this.ask(reward, given).await
        };
        let asked = tokio::time::timeout(courier.left(arrived), courier.tasks.run(work)).await;
        asked.map_err(|_late| AskError::Late)??
    }

    async fn ask(&self, reward: Reward, given: Option<Target>) -> Result<Checked, CheckError> {
        let courier = &self.courier;
        if reward.kind.rules().reading != Reading::Operation {
            return Err(CheckError::NotAsked);
        }
        match &given {
            Some(given) => match courier.same_target(&reward, Some(given)).await? {
                Sameness::Same => {}
                Sameness::Different => return Err(CheckError::OtherTarget),
                Sameness::Unknown => return Err(CheckError::TargetUnknown),
            },
            None => {
                let kept = target::peek(&mut courier.store.snapshot().await?, reward.id).await?;
                if kept.is_none_or(|kept| kept.sealed.is_none()) {
                    return Err(CheckError::NotKept);
                }
            }
        }
        let paced = self.pace.admit(reward.id, courier.ambient.monotonic());
        paced.map_err(|retry_after| CheckError::TooOften { retry_after })?;
        let drive = Drive::look(reward.order, *reward.kind.rules(), courier.limits());
        let note = Note { target: given.map(Arc::new), ..Note::default() };
        let ran = engine::run(courier, drive, Start::Read(reward), &note, None).await;
        // Whoever asks for what is not proven brings its next try about.
        courier.hasten(&ran.row).await;
        match (ran.end, ran.answer) {
            (End::Unsendable, _) => Err(CheckError::Elsewhere),
            (End::Unconfirmed, _) => Err(ran.error.unwrap_or(StoreError::Unconfirmed).into()),
            (_, Some(answer)) => shown(&answer, ran.row),
            (_, None) => Err(AskError::Late.into()),
        }
    }
}

fn shown(answer: &Answer, reward: Reward) -> Result<Checked, CheckError> {
    if let Event::Seen(sight) = answer.event.event {
        return Ok(Checked { reward, sight, at: answer.event.asked_at });
    }
    Err(AskError::of(answer.outcome, reward.kind.spec().operation(Action::Read)).into())
}
