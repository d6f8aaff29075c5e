//! The question before the first attempt: whether a reward could be bought, where the account's settings want it asked and the kind
//! has an operation for it.
//!
//! It is a call of its own, with a turn of its own at Amazon's rate. It buys nothing, so a refusal refuses the reward before anything was
//! sent for it; and whatever else is no yes leaves the reward as if no connection could be had.

use super::{CallTurn, Courier, Leg, SETTLE_MARGIN};
use crate::{
    accounts::Account,
    engine::{Action, Stage},
    incentives::{answer::Answer, model::Reward},
    kernel::NotSent,
    provider::incentives::Outcome,
    sealing::Target,
};

impl Courier {
    /// Asks, where that is wanted. An answer ends the attempt.
    pub(super) async fn validate(
        &self,
        account: &Account,
        reward: &Reward,
        turn: &mut CallTurn,
        target: Option<&Target>,
    ) -> Option<Answer> {
        let wanted = account.validates() && is_untried(reward);
        let validation = reward.kind.spec().validation().filter(|_validation| wanted)?;
        let own = CallTurn { slot: turn.slot.take(), target: None, ..*turn };
        let leg = Leg { target, validation: Some(validation) };
        let (answer, action) = self.exchange(account, reward, own, leg, &|_now| Action::Forward).await;
        if answer.outcome != Outcome::Proven(()) {
            self.learn(account, reward, action, &answer).await;
            return Some(answer);
        }
        // The purchase must fit into what is left of the lease.
        let now = self.ambient.now();
        let ends_at = reward.order.due_at?;
        let call = self.limits.upstream_timeout.saturating_add(SETTLE_MARGIN);
        match ends_at.signed_duration_since(now).to_std().ok().and_then(|left| left.checked_sub(call)) {
            Some(left) => {
                turn.patience = turn.patience.min(left);
                None
            }
            None => Some(Answer::unsent(NotSent::Quota, action, now)),
        }
    }
}

/// Whether nothing was sent for it that may have reached Amazon.
const fn is_untried(reward: &Reward) -> bool {
    matches!(reward.order.stage, Stage::Sending(sent) if !sent.doubt)
}
