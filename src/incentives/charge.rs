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
        budget::{self, Charge, Exceeded},
        programs::{self, Plan, State},
    },
    store::Tx,
};

/// A budget, or a limit, that a reward does not fit into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
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
    Budget(Exceeded),
}

fn zone_and_charge(account: &Account, command: &Command, now: DateTime<Utc>) -> (Tz, Option<Charge>) {
    let zone = account.time_zone();
    let day = now.with_timezone(&zone).date_naive();
    let charge = command.program.clone().map(|program| Charge { program, key: command.asked_by, day });
    (zone, charge)
}

/// What needs no counting.
fn check(plan: Option<Plan>, account: &Account, value: Money) -> Result<Plan, ChargeError> {
    let plan = plan.ok_or(ChargeError::Forbidden)?;
    if plan.state == State::Suspended {
        return Err(ChargeError::Suspended);
    }
    if plan.account != account.id() {
        return Err(ChargeError::OtherAccount);
    }
    match plan.reward_max() {
        Some(most) if value.minor() > most => {
            Err(ChargeError::RewardTooLarge(Money::from_minor(most, value.currency())))
        }
        Some(_) | None => Ok(plan),
    }
}

impl Issue {
    /// The account of the command's program; `None` when it names none.
    pub(super) async fn account_of_program(&self, command: &Command) -> Result<Option<String>, IssueError> {
        let Some(program) = &command.program else { return Ok(None) };
        let plan = programs::plan(&mut self.courier.store.snapshot().await?, program, command.asked_by).await?;
        plan.map(|plan| Some(plan.account)).ok_or(ChargeError::Forbidden.into())
    }

    /// Whether the command's program would pay for it now. Reserves nothing.
    pub(super) async fn look_at_budgets(&self, account: &Account, command: &Command) -> Result<(), IssueError> {
        let (zone, charge) = zone_and_charge(account, command, self.courier.ambient.now());
        let Some(charge) = charge else { return Ok(()) };
        let mut snapshot = self.courier.store.snapshot().await?;
        let plan = programs::plan(&mut snapshot, &charge.program, charge.key).await?;
        let plan = check(plan, account, command.value)?;
        let usage = budget::usage(&mut snapshot, &charge.program, charge.day).await?;
        match budget::too_much(&plan, &charge, command.value, &usage, zone) {
            Some(exceeded) => Err(ChargeError::Budget(exceeded).into()),
            None => Ok(()),
        }
    }

    /// Reserves a reward's value where its program and its key keep count. When it is refused, the transaction must not
    /// be committed.
    pub(super) async fn reserve(
        &self,
        tx: &mut Tx,
        (account, reward): (&Account, &Reward),
        charge: &Charge,
        now: DateTime<Utc>,
    ) -> Result<(), IssueError> {
        let plan = check(programs::plan_now(tx, &charge.program, charge.key).await?, account, reward.value)?;
        let reserved = budget::reserve(tx, (&plan, charge), reward.value, (account.time_zone(), now)).await?;
        reserved.map_err(|exceeded| ChargeError::Budget(exceeded).into())
    }
}

/// What a new reward of this command is charged to.
pub(super) fn charge(account: &Account, command: &Command, now: DateTime<Utc>) -> Option<Charge> {
    zone_and_charge(account, command, now).1
}
