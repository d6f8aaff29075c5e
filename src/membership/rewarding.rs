//! The reward of a period that is paid: issued once, under a key that derives from Amazon's id of the charge; canceled where the money went back.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    facts,
    follow::{REFUNDED, lock, plan_of, take},
    metrics::RewardTurn,
    model::{Entitlement, MembershipPeriod, MembershipPlan, PeriodState, round_key},
    service::{MembershipError, Memberships},
    sql::periods::{self, PeriodPlace},
    state::MembershipStep,
};
use crate::{
    accounts::Purpose,
    engine::{Stage, State},
    failpoint,
    http::Problem,
    identity::Caller,
    incentives::{
        Command, Reward,
        cancel::CancelError,
        create_members::AskedMembers,
        issue_error::IssueError,
        kind::{Aim, Kind},
        model::OnUnresolved,
    },
    kernel::{ApiKeyId, ClientId, IdempotencyKey},
    pay::follow::asked_back,
    store::StoreError,
};

/// Between two looks at a reward that is not decided, and the rest of one that cannot be had now.
const LOOK: TimeDelta = TimeDelta::minutes(1);
const REST: TimeDelta = TimeDelta::minutes(5);
/// What a cancel says of its cause.
const MONEY_WENT_BACK: &str = "the member's money went back";

/// What a plan's reward is asked for with.
pub(super) fn reward_command(
    plan: &MembershipPlan,
    key: IdempotencyKey,
    asked_by: ApiKeyId,
    account: Option<String>,
) -> Command {
    Command {
        key,
        account,
        kind: Kind::GiftCode,
        value: plan.reward,
        program: plan.program.clone(),
        asked_by,
        external_id: None,
        metadata: None,
        on_unresolved: OnUnresolved::Keep,
        aim: Aim::Nothing,
        asked: AskedMembers::default(),
        purpose: Purpose::Batch,
    }
}

/// What was taken up, of which round of asking.
struct RewardTaken {
    client: ClientId,
    round: i64,
    step: RewardStep,
}

enum RewardStep {
    Issue(Box<Command>),
    Cancel(IdempotencyKey),
}

/// What becomes of a period's reward.
struct RewardEnd {
    entitlement: Entitlement,
    reward: Option<crate::kernel::RewardId>,
    waiting_for: Option<&'static str>,
    /// When the next step is due, from now.
    again_in: Option<TimeDelta>,
}

impl Memberships {
    /// Takes the reward of a period a step on.
    pub(super) async fn reward(&self, place: PeriodPlace) -> Result<(), MembershipError> {
        let Some(RewardTaken { client, round, step }) = self.begin_reward(place).await? else { return Ok(()) };
        failpoint::pass("membership", "issuing");
        let end = match step {
            RewardStep::Issue(command) => {
                let arrived = self.ambient.monotonic();
                issued(self.rewards.issue.run_unawaited(client, *command, arrived).await)
            }
            RewardStep::Cancel(key) => self.take_back(client, &key).await?,
        };
        failpoint::pass("membership", "issued");
        self.write_end(place, round, end).await
    }

    /// Writes down that the reward is asked for, before it is.
    async fn begin_reward(&self, place: PeriodPlace) -> Result<Option<RewardTaken>, MembershipError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.reward").await?;
        let Some((membership, mut period)) =
            lock(&mut tx, place).await?.filter(|(_of, one)| one.claims == place.claims)
        else {
            tx.undo().await;
            return Ok(None);
        };
        let plan = plan_of(&mut tx, &period).await?;
        let key = key_of(&period)?;
        // Amazon decides about a refund in some days. What may go back has no reward before that.
        if period.entitlement == Entitlement::Owed
            && let Some(charge) = period.payment
            && asked_back(&mut tx, charge).await? >= plan.price.minor()
        {
            period.reward_due_at = now.checked_add_signed(LOOK);
            periods::save(&mut tx, &mut period, now).await?;
            tx.commit(()).await?;
            return Ok(None);
        }
        let step = match period.entitlement {
            Entitlement::Owed | Entitlement::Issuing => {
                period.entitlement = Entitlement::Issuing;
                let mut command = reward_command(&plan, key, membership.asked_by, Some(plan.account.clone()));
                let words = [("membership", membership.id.to_string()), ("period", period.number.to_string())];
                command.metadata =
                    Some(words.map(|(name, word)| (name.to_owned(), word)).into_iter().collect::<BTreeMap<_, _>>());
                Some(RewardStep::Issue(Box::new(command)))
            }
            Entitlement::Canceling => Some(RewardStep::Cancel(key)),
            Entitlement::None
            | Entitlement::Issued
            | Entitlement::Withdrawn
            | Entitlement::Canceled
            | Entitlement::Kept
            | Entitlement::Failed => {
                period.reward_due_at = None;
                None
            }
        };
        periods::save(&mut tx, &mut period, now).await?;
        failpoint::pass("membership", "in_reward");
        tx.commit(()).await?;
        Ok(step.map(|step| RewardTaken { client: membership.client, round: period.reward_round, step }))
    }

    /// Cancels what was issued. Whoever asked for it before has lost the claim by now.
    async fn take_back(&self, client: ClientId, key: &IdempotencyKey) -> Result<RewardEnd, MembershipError> {
        let Some(reward) = self.rewards.issue.known(client, key).await? else {
            return Ok(RewardEnd {
                entitlement: Entitlement::Withdrawn,
                reward: None,
                waiting_for: None,
                again_in: None,
            });
        };
        let at =
            |entitlement, again_in| RewardEnd { entitlement, reward: Some(reward.id), waiting_for: None, again_in };
        match reward.state() {
            State::Canceled => return Ok(at(Entitlement::Canceled, None)),
            State::Failed => return Ok(at(Entitlement::Withdrawn, None)),
            State::NeedsAttention => return Ok(at(Entitlement::Canceling, Some(REST))),
            State::Pending | State::Issuing | State::Unresolved | State::Issued | State::Canceling => {}
        }
        let (caller, arrived) = (Caller::of_client(client), self.ambient.monotonic());
        match self.rewards.cancel.run(caller, reward.id, MONEY_WENT_BACK.to_owned(), arrived).await {
            Ok(after) if after.state() == State::Canceled => Ok(at(Entitlement::Canceled, None)),
            Err(CancelError::WindowClosed { .. } | CancelError::NotPermitted(_)) => Ok(at(Entitlement::Kept, None)),
            Ok(_) | Err(CancelError::InvalidState(_) | CancelError::Lost(_)) => {
                Ok(at(Entitlement::Canceling, Some(LOOK)))
            }
            Err(CancelError::Store(error)) => Err(error.into()),
            Err(CancelError::NotFound | CancelError::RepeatsTarget) => Ok(at(Entitlement::Canceling, Some(REST))),
        }
    }

    async fn write_end(&self, place: PeriodPlace, round: i64, end: RewardEnd) -> Result<(), MembershipError> {
        let now = self.ambient.now();
        let mut tx = self.store.begin_as("membership.rewarded").await?;
        // Whoever stood still past the lease may come when an operator has had another reward asked for. What became of the one before says
        // nothing of that. The claim is not compared: what was issued late is taken back where the money went back meanwhile.
        let found = lock(&mut tx, place).await?.filter(|(_of, one)| one.reward_round == round);
        let Some((mut membership, mut period)) = found else {
            tx.undo().await;
            return Ok(());
        };
        if period.reward.is_none() {
            period.reward = end.reward;
        }
        period.waiting_for = end.waiting_for.map(str::to_owned);
        let turn = settle(&mut period, &end, now);
        if period.entitlement == Entitlement::Kept && period.state == PeriodState::Refunded {
            take(&mut membership, MembershipStep::MoneyBack, Some(REFUNDED), now);
            hold_back(&mut tx, &membership, &period, now).await?;
        }
        periods::save(&mut tx, &mut period, now).await?;
        facts::save(&mut tx, &mut membership, now).await?;
        tx.commit(()).await?;
        failpoint::pass("membership", "rewarded");
        self.metrics.rewarded(turn);
        if turn == RewardTurn::Failed {
            tracing::error!(
                membership.id = %place.membership, membership.period = place.number,
                "the reward of a paid period was refused for good: a person decides"
            );
        }
        Ok(())
    }
}

/// The period after the one whose money went back waits, too, where nothing of it was asked for.
async fn hold_back(
    tx: &mut crate::store::Tx,
    membership: &super::model::Membership,
    refunded: &MembershipPeriod,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if membership.periods == refunded.number {
        return Ok(());
    }
    if let Some(mut last) = periods::find(tx, membership.id, membership.periods).await?
        && last.state == PeriodState::Due
    {
        last.due_at = None;
        periods::save(tx, &mut last, now).await?;
    }
    Ok(())
}

/// What the step makes of the period, whatever became of its money meanwhile.
fn settle(period: &mut MembershipPeriod, end: &RewardEnd, now: DateTime<Utc>) -> RewardTurn {
    let due_in = |pause: TimeDelta| now.checked_add_signed(pause);
    match (period.entitlement, end.entitlement) {
        // The money went back while it was asked for: it is taken back at once.
        (
            Entitlement::Canceling | Entitlement::Withdrawn,
            Entitlement::Issuing | Entitlement::Issued | Entitlement::Failed,
        ) => {
            (period.entitlement, period.reward_due_at) = (Entitlement::Canceling, Some(now));
            RewardTurn::Later
        }
        (Entitlement::Issuing, to @ (Entitlement::Issuing | Entitlement::Issued | Entitlement::Failed))
        | (
            Entitlement::Canceling,
            to @ (Entitlement::Canceling | Entitlement::Canceled | Entitlement::Kept | Entitlement::Withdrawn),
        ) => {
            (period.entitlement, period.reward_due_at) = (to, end.again_in.and_then(due_in));
            match to {
                Entitlement::Issued => RewardTurn::Issued,
                Entitlement::Failed => RewardTurn::Failed,
                Entitlement::Canceled | Entitlement::Withdrawn => RewardTurn::Canceled,
                Entitlement::Kept => RewardTurn::Kept,
                Entitlement::None | Entitlement::Owed | Entitlement::Issuing | Entitlement::Canceling => {
                    RewardTurn::Later
                }
            }
        }
        // Another was faster.
        _ => RewardTurn::Later,
    }
}

fn key_of(period: &MembershipPeriod) -> Result<IdempotencyKey, StoreError> {
    let bad = StoreError::Inconsistent { table: "membership_periods", column: "reward_key" };
    let key = period.reward_key.as_deref().map(|first| round_key(first, period.reward_round));
    key.and_then(|text| IdempotencyKey::parse(&text).ok()).ok_or(bad)
}

fn issued(asked: Result<Reward, IssueError>) -> RewardEnd {
    let at = |entitlement, reward, again_in| RewardEnd { entitlement, reward, waiting_for: None, again_in };
    match asked {
        Ok(reward) => match reward.order.stage {
            Stage::Proven(_) => at(Entitlement::Issued, Some(reward.id), None),
            Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) | Stage::Reversing(_) => {
                at(Entitlement::Issuing, Some(reward.id), Some(LOOK))
            }
            Stage::Attention(_) | Stage::Refused { retryable: true } => {
                at(Entitlement::Issuing, Some(reward.id), Some(REST))
            }
            Stage::Refused { retryable: false } | Stage::Reversed(_) => at(Entitlement::Failed, Some(reward.id), None),
        },
        // It was good when the plan was made. What is owed stays owed: funds, a budget, an account, a program is mended by its operator.
        Err(error) => {
            let code = Problem::from(error).code().as_str();
            RewardEnd { waiting_for: Some(code), ..at(Entitlement::Issuing, None, Some(REST)) }
        }
    }
}
