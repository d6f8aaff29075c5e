//! What an answer says of the account that it was given to: how long Amazon takes, whether it throttles, whether it refuses
//! the account. All of it decides who is let in next.

use std::time::Duration;

use super::{answer::Answer, courier::Courier, model::Reward};
use crate::{
    accounts::{Account, Verdict},
    engine::Action,
    kernel::UnknownReason,
    provider::incentives::{ErrorType, Family, Outcome, Refusal},
};

impl Courier {
    /// Takes in what the answer to a call about this reward, as it was before, says of the account.
    pub(super) async fn learn(&self, account: &Account, reward: &Reward, action: Action, answer: &Answer) {
        if action == Action::Forward
            && let Some(call) = &answer.call
        {
            account.calls().took(call.took);
        }
        if answer.outcome == Outcome::Unknown(UnknownReason::Throttled) {
            account.rate().back_off().await;
        }
        self.update_breaker(account, reward, action, &answer.outcome).await;
    }

    /// A refusal of the account (its funds used up, its keys not valid) refuses new rewards before a row is made; a purchase
    /// admits them again. A reversal is refused for reasons of its own, and a card that may be of an earlier attempt does not
    /// show that there are funds now.
    async fn update_breaker(&self, account: &Account, reward: &Reward, action: Action, outcome: &Outcome<()>) {
        let (id, pause) = (&reward.creation_request_id, self.limits.breaker);
        if id.is_mock() || pause.is_zero() || action == Action::Reverse {
            return;
        }
        let minor = reward.value.minor();
        let verdict = match outcome {
            Outcome::Proven(()) => {
                let new = action == Action::Forward && !reward.order.stage.is_in_doubt();
                if new && account.breaker().bought(minor).await {
                    tracing::info!(account = account.id(), "the account works again; new rewards are taken");
                }
                return;
            }
            Outcome::Refused(Refusal { family: Family::F300, error_type: ErrorType::InsufficientFunds }) => {
                Verdict::NoFunds { minor }
            }
            Outcome::Refused(Refusal { family: Family::F300, error_type })
                if !reward.kind.spec().is_about_the_account(*error_type) =>
            {
                return;
            }
            Outcome::Refused(Refusal { family: Family::F300, .. }) => {
                let first = action == Action::Forward && reward.order.attempts == 1;
                Verdict::OrderRefused { order: id, first }
            }
            // The other replicas sign with the pair in force.
            Outcome::AuthRejected(_) if account.signs_alone() => return,
            Outcome::AuthRejected(_) => Verdict::KeysRejected,
            Outcome::Refused(Refusal { family: Family::F200, .. }) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                return;
            }
        };
        if let Some(open) = account.breaker().refused(verdict, pause).await {
            tracing::error!(
                account = account.id(),
                upstream.breaker = open.cause.as_str(),
                upstream.error = outcome.reason(),
                upstream.error_type = answer_type(outcome),
                "Amazon refuses the account; new rewards are refused"
            );
        }
    }

    /// How long a caller waits before another try of what Amazon refused the account.
    pub(crate) fn pace(&self) -> Duration {
        self.limits.breaker.max(Duration::from_secs(1))
    }
}

/// Amazon's word for a refusal, as far as we know it.
pub(super) fn answer_type(outcome: &Outcome<()>) -> Option<&'static str> {
    match outcome {
        Outcome::Refused(refusal) => Some(refusal.error_type.as_str()),
        Outcome::Proven(()) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
    }
}
