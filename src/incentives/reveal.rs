//! Showing a code again: the create is replayed as a pure read, bounded and noted.

use std::{sync::Arc, time::Instant};

use super::{
    Rewards,
    machine::{self, Card, Event, State},
    model::Reward,
    sql,
    timeline::Entry,
};
use crate::{
    accounts::Priority,
    failpoint,
    kernel::{CardProof, ClaimCode, ClientId, Outcome, Refusal, RewardId, UnknownReason},
    lifecycle::Lost,
    store::StoreError,
};

/// How often a code is shown again at most, by whatever way.
const SHOWINGS_MAX: i64 = 100;

/// Why a code was not shown.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// No such reward of this client's.
    #[error("no such reward")]
    NotFound,
    /// It was canceled, or is being.
    #[error("the reward is canceled")]
    Gone(State),
    /// It has no code to show (yet).
    #[error("the reward's state does not allow it")]
    InvalidState(State),
    /// It was shown too often.
    #[error("the code was shown too often")]
    TooOften,
    /// Too old to be replayed safely.
    #[error("the reward is too old to be shown again")]
    TooOld,
    /// Amazon did not prove the card now; nothing has changed.
    #[error("Amazon gave no usable answer")]
    Unavailable {
        /// Amazon's rate is used up.
        throttled: bool,
    },
    /// Amazon refuses the account.
    #[error("Amazon refused")]
    Refused(Refusal),
    /// Too much is in flight.
    #[error("too many requests are in flight")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work ended without an answer.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a code is shown again.
#[derive(Debug, Clone)]
pub(super) enum Showing {
    /// The same key was sent again.
    Redelivery,
    /// Someone asked for it, for this reason.
    Reveal(String),
}

impl Rewards {
    /// Shows an issued reward's code again, by asking Amazon. Waits as long as the settings allow since the request
    /// `arrived`; what comes later is wiped.
    ///
    /// # Errors
    /// [`RevealError`]; nothing was bought.
    pub async fn reveal(
        &self,
        client: ClientId,
        id: RewardId,
        reason: String,
        arrived: Instant,
    ) -> Result<(Reward, ClaimCode), RevealError> {
        let permit = Arc::clone(&self.parts.room).try_acquire_owned().map_err(|_full| RevealError::Busy)?;
        let this = self.clone();
        let work = async move {
            let _permit = permit;
            let reward = this.find_now(client, id).await?.ok_or(RevealError::NotFound)?;
            reward.trace_on();
            match reward.facts.state {
                State::Issued => this.show_again(reward, Showing::Reveal(reason)).await,
                state @ (State::Canceled | State::Canceling) => Err(RevealError::Gone(state)),
                state @ (State::Pending
                | State::Issuing
                | State::Unresolved
                | State::Failed
                | State::NeedsAttention) => Err(RevealError::InvalidState(state)),
            }
        };
        let shown = tokio::time::timeout(self.left(arrived), self.tasks().run(work)).await;
        shown.map_err(|_late| RevealError::Unavailable { throttled: false })??
    }

    /// Replays the create of an issued reward as a pure read, and hands the code over only after the showing is
    /// committed and the reward is still issued.
    pub(super) async fn show_again(
        &self,
        reward: Reward,
        showing: Showing,
    ) -> Result<(Reward, ClaimCode), RevealError> {
        let account = self.account_of(&reward).ok_or(RevealError::InvalidState(reward.facts.state))?;
        let now = self.ambient().now();
        if self.is_too_old(&reward, now) {
            return Err(RevealError::TooOld);
        }
        let showings_max = match &showing {
            Showing::Redelivery => i64::from(self.settings().redelivery_max),
            Showing::Reveal(_) => SHOWINGS_MAX,
        };
        if reward.deliveries >= showings_max {
            return Err(RevealError::TooOften);
        }
        let patience = self.settings().answer_within.saturating_sub(self.settings().upstream_timeout);
        if account.quota().slot(Priority::Ordinary, patience).await.is_err() {
            return Err(RevealError::Unavailable { throttled: true });
        }
        failpoint::pass("show", "before_read");
        let (started, span) = (self.ambient().monotonic(), Self::call(account, &reward, "CreateGiftCard"));
        let exchange = account.client().create_gift_card(&reward.creation_request_id, reward.value).await;
        self.observe(&reward.account, &exchange, "CreateGiftCard", started.elapsed(), span);
        failpoint::pass("show", "after_read");
        let (card, code) = match exchange.outcome {
            Outcome::Proven(CardProof::Fulfilled(code)) => (Card::Fulfilled, Some(code)),
            Outcome::Proven(CardProof::Refunded) => (Card::Refunded, None),
            Outcome::Proven(CardProof::OddStatus) => (Card::Odd, None),
            Outcome::Proven(CardProof::Mismatch) => (Card::Mismatch, None),
            Outcome::Refused(refusal) => return Err(RevealError::Refused(refusal)),
            Outcome::Unknown(reason) => {
                return Err(RevealError::Unavailable { throttled: reason == UnknownReason::Throttled });
            }
            Outcome::AuthRejected(_) | Outcome::NotSent(_) => {
                return Err(RevealError::Unavailable { throttled: false });
            }
        };
        let shown = self.note_showing(&reward, card, showing, showings_max).await?;
        let state = shown.facts.state;
        code.map(|code| (shown, code)).ok_or(RevealError::InvalidState(state))
    }

    async fn note_showing(
        &self,
        seen: &Reward,
        card: Card,
        showing: Showing,
        showings_max: i64,
    ) -> Result<Reward, RevealError> {
        let now = self.ambient().now();
        let mut tx = self.store().begin_as("reward.show").await?;
        let before = sql::lock(&mut tx, seen.id).await?.ok_or(RevealError::NotFound)?;
        let state = before.facts.state;
        if state != State::Issued || before.deliveries >= showings_max {
            // Canceled meanwhile, or shown to someone else: the code stays here.
            tx.commit(()).await?;
            return Err(if state == State::Issued { RevealError::TooOften } else { RevealError::Gone(state) });
        }
        let next = machine::step(before.facts, Event::Seen(card), now)
            .map_err(|_rejected| RevealError::InvalidState(state))?;
        let mut reward = before.clone();
        self.apply(&mut reward, &next, None, now)?;
        let entry = if next.deliver {
            reward.deliveries = reward.deliveries.saturating_add(1);
            match showing {
                Showing::Redelivery => Entry::new("claim_code.redelivered"),
                Showing::Reveal(reason) => Entry::with_reason("claim_code.revealed", reason),
            }
        } else {
            Entry::new("reward.needs_attention")
        };
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(StoreError::Unconfirmed.into());
        }
        failpoint::pass("show", "in_t2");
        let reward = tx.commit(reward).await?.into_inner();
        failpoint::pass("show", "after_t2");
        self.tell(&before, &reward);
        Ok(reward)
    }
}
