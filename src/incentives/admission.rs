//! Admission: whether a new reward may be bought, and by whom it is paid. All of this comes before the reward has a row, so
//! that a refusal costs nothing. Budgets are asked twice: here, and in the transaction that makes the row, where racing
//! requests meet.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    courier::Courier,
    create_members::members_of,
    issue::Issue,
    issue_error::IssueError,
    kind::Aim,
    model::{Command, Reward},
};
use crate::{
    accounts::{Account, Asking, NoSlot, Purpose, Slot, Wanted},
    kernel::{ApiKeyId, ClientId, Money, ProgramId, claim_code::may_hold_claim_code, glyphs::repeats},
    ledger::{
        budget::{self, BudgetRef, Draw, Exceeded, Reservation, usage},
        ceilings::{self, Purchase},
        floor,
        programs::{self, Policy, ProgramState},
    },
    sealing::Target,
    store::Tx,
};

/// What is left of the caller's time for recording once there is a slot.
const RECORD_MARGIN: Duration = Duration::from_millis(500);

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

/// A purchase that was let in.
pub(super) struct Admitted<'a> {
    /// Who pays.
    pub(super) account: &'a Account,
    /// Its turn at Amazon's rate.
    pub(super) slot: Slot,
    /// What it acts on, where it acts on something.
    pub(super) target: Option<Arc<Target>>,
}

impl Issue {
    /// Lets a new reward in: the command may be bought, it is known what it acts on, the account works as far as we know, and there
    /// is a slot of Amazon's rate while the caller waits.
    ///
    /// # Errors
    /// [`IssueError`]; no row is made then.
    pub(super) async fn admit(
        &self,
        command: &Command,
        client: ClientId,
        arrived: Instant,
    ) -> Result<Admitted<'_>, IssueError> {
        let (account, purchase) = self.check(command, client).await?;
        // The turn in which one request may try the account is not for a reward that a ceiling refuses, either.
        let lately = self.ceilings.holds(account.id(), client, self.courier.ambient.monotonic());
        if lately || account.breaker().open_now().is_some() {
            self.look_at_ceilings(&purchase).await?;
        }
        self.look_at_floor(account, &purchase).await?;
        // Before the breaker: the turn in which one request may try the account is not for a token that is no good.
        let target = self.courier.target_of_command(account, command, arrived).await;
        let target = target.map_err(IssueError::NotSignedIn)?;
        if let Some(target) = &target {
            check_repeats(command, target)?;
        }
        let asking = Asking::New { minor: command.value.minor() };
        let admitted = account.breaker().admit(asking, self.courier.limits.breaker).await;
        admitted.map_err(IssueError::Refused)?;
        let slot = self.take_slot(account, client, command.purpose, arrived).await?;
        Ok(Admitted { account, slot, target })
    }

    /// Checks a command as [`Issue::run`] would, and reserves nothing.
    ///
    /// # Errors
    /// [`IssueError`] as an issue would answer it.
    pub async fn validate(&self, command: &Command, client: ClientId) -> Result<&Account, IssueError> {
        let (account, purchase) = self.check(command, client).await?;
        self.look_at_ceilings(&purchase).await?;
        self.look_at_floor(account, &purchase).await?;
        Ok(account)
    }

    /// What a command must be, whatever was bought before. Its program's budgets are looked at.
    async fn check(&self, command: &Command, client: ClientId) -> Result<(&Account, Purchase<'_>), IssueError> {
        check_texts(command)?;
        let policy = self.policy(command, client).await?;
        let account = self.payer_of_command(command, policy.as_ref())?;
        if let Some(policy) = &policy {
            self.look_at_budgets(account, command, policy).await?;
        }
        Ok((account, Purchase { account, client, value: command.value, at: self.courier.ambient.now() }))
    }

    /// Checks the commands of a batch, all of one program, as far as nothing that was bought before decides: for each the account that would
    /// pay, or what is wrong with it.
    ///
    /// # Errors
    /// [`IssueError`] where the program may not be charged, or the database fails.
    pub(crate) async fn check_batch(
        &self,
        commands: &[Command],
        client: ClientId,
    ) -> Result<Vec<Result<&Account, IssueError>>, IssueError> {
        let policy = match commands.first() {
            Some(first) => self.policy(first, client).await?,
            None => None,
        };
        let one = |command: &Command| {
            check_texts(command)?;
            let account = self.payer_of_command(command, policy.as_ref())?;
            policy.as_ref().map_or(Ok(()), |policy| check(policy, account, command.value))?;
            Ok(account)
        };
        Ok(commands.iter().map(one).collect())
    }

    /// The account that would pay, which takes what the command says.
    fn payer_of_command(&self, command: &Command, policy: Option<&Policy>) -> Result<&Account, IssueError> {
        let account = self.choose_account(command, policy)?;
        check_value(account, command.value)?;
        members_of(account, command, command.program.as_ref())?;
        Courier::check_aim(account, command)?;
        Ok(account)
    }

    async fn look_at_ceilings(&self, purchase: &Purchase<'_>) -> Result<(), IssueError> {
        let mut snapshot = self.courier.store.snapshot().await?;
        ceilings::look(&mut snapshot, purchase).await?.map_or(Ok(()), |reached| Err(IssueError::Ceiling(reached)))
    }

    async fn look_at_floor(&self, account: &Account, purchase: &Purchase<'_>) -> Result<(), IssueError> {
        if account.ceilings().funds_floor.is_none() {
            return Ok(());
        }
        let mut snapshot = self.courier.store.snapshot().await?;
        let reached = floor::look(&mut snapshot, account, purchase.value, purchase.at).await?;
        reached.map_or(Ok(()), |reached| Err(IssueError::Floor(reached)))
    }

    fn choose_account(&self, command: &Command, policy: Option<&Policy>) -> Result<&Account, IssueError> {
        let (accounts, currency) = (&self.courier.accounts, command.value.currency());
        let of_program = policy.map(|policy| policy.account.clone());
        if of_program.is_some() && command.account.is_some() && of_program != command.account {
            return Err(BudgetError::OtherAccount.into());
        }
        let sells = |account: &&Account| account.kinds().contains(&command.kind.as_str());
        if let Some(id) = of_program.or_else(|| command.account.clone()) {
            let account = accounts.get(&id).ok_or(IssueError::UnknownAccount)?;
            let account = Some(account).filter(|account| account.currency() == currency);
            let account = account.ok_or(IssueError::Currency(currency))?;
            return Some(account).filter(sells).ok_or_else(|| not_sold([account]));
        }
        let of_currency = || accounts.iter().filter(|account| account.currency() == currency);
        let mut fitting = of_currency().filter(sells);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(IssueError::AmbiguousAccount),
            (None, _) if of_currency().next().is_some() => Err(not_sold(of_currency())),
            (None, _) => Err(IssueError::Currency(currency)),
        }
    }

    /// What decides about a reward of the command's program; `None` when the command names none. Read once before T1,
    /// and once more inside it by [`Issue::reserve`].
    async fn policy(&self, command: &Command, client: ClientId) -> Result<Option<Policy>, IssueError> {
        let Some(program) = &command.program else { return Ok(None) };
        let policy = programs::policy(&mut self.courier.store.snapshot().await?, program, command.asked_by).await?;
        let policy = policy.filter(|policy| may_charge(policy, client));
        policy.map(Some).ok_or(BudgetError::Forbidden.into())
    }

    /// Whether the command's program would pay for it now. Reserves nothing.
    async fn look_at_budgets(&self, account: &Account, command: &Command, policy: &Policy) -> Result<(), IssueError> {
        let Some(budget) = budget_of(account, command, self.courier.ambient.now()) else { return Ok(()) };
        check(policy, account, command.value)?;
        let usage = usage::of_reward(&mut self.courier.store.snapshot().await?, &budget).await?;
        let draw = Draw { policy, budget: &budget, value: command.value, zone: account.time_zone() };
        match budget::find_exceeded(&draw, &usage) {
            Some(exceeded) => Err(BudgetError::Exceeded(exceeded).into()),
            None => Ok(()),
        }
    }

    /// Reserves a reward's value where its program and its key keep count, if it has a program. When it is refused, the
    /// transaction must not be committed.
    pub(super) async fn reserve(
        &self,
        tx: &mut Tx,
        account: &Account,
        reward: &Reward,
        now: DateTime<Utc>,
    ) -> Result<(), IssueError> {
        let Some(budget) = &reward.budget else { return Ok(()) };
        let policy = programs::policy_in(tx, &budget.program, budget.key).await?;
        let policy = policy.filter(|policy| may_charge(policy, reward.client)).ok_or(BudgetError::Forbidden)?;
        check(&policy, account, reward.value)?;
        let draw = Draw { policy: &policy, budget, value: reward.value, zone: account.time_zone() };
        match budget::reserve(tx, &draw, now).await? {
            Reservation::Reserved => Ok(()),
            Reservation::Exceeded(exceeded) => Err(BudgetError::Exceeded(exceeded).into()),
        }
    }

    /// Counts a new reward under the ceilings of its day, and above the floor of the funds. When it is refused, the transaction must
    /// not be committed. The last thing that a transaction does: every other one of the account waits for its row.
    pub(super) async fn count(&self, tx: &mut Tx, account: &Account, reward: &Reward) -> Result<(), IssueError> {
        let at = reward.order.created_at;
        let purchase = Purchase { account, client: reward.client, value: reward.value, at };
        if let Some(reached) = ceilings::take(tx, &purchase).await? {
            return Err(IssueError::Ceiling(reached));
        }
        self.keep_floor(tx, account, reward).await
    }

    /// The floor alone: another try of a reward counts under no ceiling, and spends as the first did.
    pub(super) async fn keep_floor(&self, tx: &mut Tx, account: &Account, reward: &Reward) -> Result<(), IssueError> {
        let reached = floor::take(tx, account, reward.value, self.courier.ambient.now()).await?;
        reached.map_or(Ok(()), |reached| Err(IssueError::Floor(reached)))
    }

    /// Waits for a slot of Amazon's rate as long as the caller can still be answered with the outcome after that: their time
    /// leaves room for recording, and for as long as Amazon takes lately.
    pub(super) async fn take_slot(
        &self,
        account: &Account,
        caller: ClientId,
        purpose: Purpose,
        arrived: Instant,
    ) -> Result<Slot, NoSlot> {
        let call = account.calls().expected().min(self.courier.limits.upstream_timeout);
        let patience = self.courier.left(arrived).saturating_sub(RECORD_MARGIN).saturating_sub(call);
        account.rate().slot(Wanted { purpose, caller: Some(caller) }, patience).await
    }
}

/// The texts of a command that are stored as they are, with their places.
fn texts_of(command: &Command) -> impl Iterator<Item = (&'static str, &String)> {
    let metadata = command.metadata.iter().flatten().flat_map(|(name, value)| [name, value]);
    let texts = command.external_id.iter().map(|text| ("/external_id", text));
    let till = command.asked.transaction_source.iter().map(|text| ("/transaction_source", text));
    let product = command.asked.product_type.iter().map(|text| ("/product_type", text));
    texts.chain(metadata.map(|text| ("/metadata", text))).chain(till).chain(product)
}

/// Refuses to store what can be a claim code, a token, and what the reward acts on as far as that is in hand.
fn check_texts(command: &Command) -> Result<(), IssueError> {
    let coded = |(_pointer, text): &(_, &String)| may_hold_claim_code(text);
    if let Some((pointer, _text)) = texts_of(command).find(coded) {
        return Err(IssueError::MayBeCode { pointer });
    }
    if let Some(token) = command.aim.token()
        && let Some((pointer, _text)) = texts_of(command).find(|(_pointer, text)| token.is_repeated_in(text))
    {
        return Err(IssueError::RepeatsTarget { pointer });
    }
    match &command.aim {
        Aim::Target(target) => check_repeats(command, target),
        Aim::Nothing | Aim::SignedIn(_) => Ok(()),
    }
}

/// Refuses to store what the reward acts on.
fn check_repeats(command: &Command, target: &Target) -> Result<(), IssueError> {
    let secret = command.kind.spec().secret(target);
    let repeating = |(_pointer, text): &(_, &String)| secret.is_some_and(|secret| repeats(text, secret));
    match texts_of(command).find(repeating) {
        Some((pointer, _text)) => Err(IssueError::RepeatsTarget { pointer }),
        None => Ok(()),
    }
}

/// Whether the account may buy a card of this value.
pub(super) fn check_value(account: &Account, value: Money) -> Result<(), IssueError> {
    let (minimum, maximum) = (account.minimum(), account.maximum());
    if value.minor() < minimum.minor() || value.minor() > maximum.minor() {
        return Err(IssueError::AmountOutOfRange { minimum, maximum });
    }
    Ok(())
}

/// None of these accounts deals in the kind that was asked for.
fn not_sold<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> IssueError {
    let sold: BTreeSet<_> = accounts.into_iter().flat_map(Account::kinds).copied().collect();
    IssueError::KindNotSold { sold: sold.into_iter().collect() }
}

/// A program of another client's is answered like one that is not there.
fn may_charge(policy: &Policy, client: ClientId) -> bool {
    policy.owner.is_none_or(|owner| owner == client)
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

/// What a new reward of this command is charged to.
pub(super) fn budget_of(account: &Account, command: &Command, now: DateTime<Utc>) -> Option<BudgetRef> {
    command.program.clone().map(|program| charge(account, program, command.asked_by, now))
}

/// What another try of a reward is charged to. The program is the reward's, whether or not its caller names it again. The
/// key is the one that asks now, and the day is the present one: the budgets of the first try may be over.
pub(super) fn budget_again(
    account: &Account,
    reward: &Reward,
    command: &Command,
    now: DateTime<Utc>,
) -> Option<BudgetRef> {
    let program = reward.budget.as_ref().map(|budget| budget.program.clone());
    program.map(|program| charge(account, program, command.asked_by, now))
}

/// The day is the account's.
fn charge(account: &Account, program: ProgramId, key: ApiKeyId, now: DateTime<Utc>) -> BudgetRef {
    BudgetRef { program, key, day: now.with_timezone(&account.time_zone()).date_naive() }
}
