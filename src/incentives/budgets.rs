//! What a new reward is charged to: looked at before it waits for a slot, so that a refusal costs nothing, and reserved in
//! the transaction that makes it, where racing requests meet.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{
    issue::{Issue, IssueError},
    model::{Command, Reward},
};
use crate::{
    accounts::Account,
    kernel::Money,
    ledger::{
        budget::{self, BudgetRef, Draw, Exceeded, Reservation},
        programs::{self, Policy, ProgramState},
    },
    store::Tx,
};

/// A budget, or a limit, that a reward does not fit into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// There is no such program, or the key may not use it.
    #[error("the program is not the caller's")]
    Forbidden,
    /// It takes no new rewards.
    #[error("the program is suspended")]
    Suspended,
    /// It deals with another account.
    #[error("the program is charged to another account")]
    OtherAccount,
    /// A single reward may not be worth so much.
    #[error("the program allows no reward of that value")]
    RewardTooLarge(Money),
    /// A budget is used up, or what is left of it is too little.
    #[error("a budget is used up")]
    Exceeded(Exceeded),
}

fn zone_and_budget(account: &Account, command: &Command, now: DateTime<Utc>) -> (Tz, Option<BudgetRef>) {
    let zone = account.time_zone();
    let day = now.with_timezone(&zone).date_naive();
    let budget = command.program.clone().map(|program| BudgetRef { program, key: command.asked_by, day });
    (zone, budget)
}

/// What needs no counting.
fn check(policy: &Policy, account: &Account, value: Money) -> Result<(), BudgetError> {
    if policy.state == ProgramState::Suspended {
        return Err(BudgetError::Suspended);
    }
    if policy.account != account.id() {
        return Err(BudgetError::OtherAccount);
    }
    match policy.reward_max() {
        Some(most) if value.minor() > most => {
            Err(BudgetError::RewardTooLarge(Money::from_minor(most, value.currency())))
        }
        Some(_) | None => Ok(()),
    }
}

impl Issue {
    /// What decides about a reward of the command's program; `None` when the command names none. Read once before T1,
    /// and once more inside it by [`Issue::reserve`].
    pub(super) async fn policy(&self, command: &Command) -> Result<Option<Policy>, IssueError> {
        let Some(program) = &command.program else { return Ok(None) };
        let policy = programs::policy(&mut self.courier.store.snapshot().await?, program, command.asked_by).await?;
        policy.map(Some).ok_or(BudgetError::Forbidden.into())
    }

    /// Whether the command's program would pay for it now. Reserves nothing.
    pub(super) async fn look_at_budgets(
        &self,
        account: &Account,
        command: &Command,
        policy: &Policy,
    ) -> Result<(), IssueError> {
        let (zone, budget) = zone_and_budget(account, command, self.courier.ambient.now());
        let Some(budget) = budget else { return Ok(()) };
        check(policy, account, command.value)?;
        let usage = budget::usage(&mut self.courier.store.snapshot().await?, &budget.program, budget.day).await?;
        let draw = Draw { policy, budget: &budget, value: command.value, zone };
        match budget::find_exceeded(&draw, &usage) {
            Some(exceeded) => Err(BudgetError::Exceeded(exceeded).into()),
            None => Ok(()),
        }
    }

    /// Reserves a reward's value where its program and its key keep count. When it is refused, the transaction must not
    /// be committed.
    pub(super) async fn reserve(
        &self,
        tx: &mut Tx,
        (account, reward): (&Account, &Reward),
        budget: &BudgetRef,
        now: DateTime<Utc>,
    ) -> Result<(), IssueError> {
        let policy = programs::policy_in(tx, &budget.program, budget.key).await?.ok_or(BudgetError::Forbidden)?;
        check(&policy, account, reward.value)?;
        let draw = Draw { policy: &policy, budget, value: reward.value, zone: account.time_zone() };
        match budget::reserve(tx, &draw, now).await? {
            Reservation::Reserved => Ok(()),
            Reservation::Exceeded(exceeded) => Err(BudgetError::Exceeded(exceeded).into()),
        }
    }
}

/// What a new reward of this command is charged to.
pub(super) fn budget_of(account: &Account, command: &Command, now: DateTime<Utc>) -> Option<BudgetRef> {
    zone_and_budget(account, command, now).1
}
