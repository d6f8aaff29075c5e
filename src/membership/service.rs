//! The use cases of memberships: make a plan, make a membership, read them. What else a caller wishes stands in `wishes`.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::{
    calendar::{PeriodAnchor, PeriodSpan},
    consent::{self, NoConsent},
    follow::MembershipFollower,
    metrics::MembershipMetrics,
    model::{Entitlement, Membership, MembershipPeriod, MembershipPlan, PeriodState},
    rewarding::reward_command,
    sql::{self, MembershipPage, consents, periods, plans},
    state::MembershipState,
};
use crate::{
    ambient::Ambient,
    identity::Caller,
    incentives::{Rewards, issue_error::IssueError},
    kernel::{
        AmazonPayId, ApiKeyId, ClientId, Environment, IdempotencyKey, Intent, MembershipId, MembershipPlanId, Money,
        ProgramId,
    },
    lifecycle::{Lost, Tasks},
    pay::{PayAccount, Payments, account::NoPayAccount},
    provider::pay::SimulationCode,
    store::{Committed, Store, StoreError},
};

/// Charges, and rewards, that one replica has under way at once.
const UNDER_WAY_MAX: usize = 32;
/// Consents that it closes at once. Amazon takes few of these calls a second, and nobody waits.
const CLOSINGS_MAX: usize = 4;

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memberships {
    pub(super) store: Store,
    pub(super) ambient: Ambient,
    pub(super) tasks: Tasks,
    pub(super) payments: Payments,
    pub(super) rewards: Rewards,
    pub(super) metrics: Arc<MembershipMetrics>,
    pub(super) follower: MembershipFollower,
    /// For how long a step is taken up: longer than its reward is carried for.
    pub(super) lease: TimeDelta,
    /// Wakes the runner.
    pub(super) wake: Arc<Notify>,
    pub(super) charges: Arc<Semaphore>,
    pub(super) issues: Arc<Semaphore>,
    pub(super) closings: Arc<Semaphore>,
}

/// What makes the service.
pub(crate) struct MembershipDependencies {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) tasks: Tasks,
    pub(crate) payments: Payments,
    pub(crate) rewards: Rewards,
    pub(crate) metrics: Arc<MembershipMetrics>,
    /// As for rewards.
    pub(crate) lease: Duration,
}

/// Why a plan or a membership was not made, or not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipError {
    /// There is none, or it is another's.
    #[error("there is none of that id")]
    NotFound,
    /// The key was used for something else.
    #[error("the idempotency key was used for something else")]
    Mismatch,
    /// The reference names a membership of the client's.
    #[error("the reference is that of {0}")]
    ReferenceTaken(MembershipId),
    /// Another membership is charged by the consent: this one, where it is the client's own.
    #[error("the consent serves another membership")]
    ConsentTaken(Option<MembershipId>),
    /// There is no such plan, or it takes no members.
    #[error("the plan cannot be had: {0}")]
    NoPlan(&'static str),
    /// What is asked cannot be done now.
    #[error("the membership is {}", .0.as_str())]
    InvalidState(MembershipState),
    /// The account at Amazon Pay cannot be chosen, or is gone.
    #[error("no account at Amazon Pay")]
    NoSeller(NoPayAccount),
    /// More than the account takes.
    #[error("at most {0}")]
    TooMuch(Money),
    /// Nothing is simulated with a buyer's money.
    #[error("nothing can be simulated")]
    Simulation,
    /// The reward cannot be bought.
    #[error(transparent)]
    Reward(IssueError),
    /// The buyer's consent does not do.
    #[error("the consent does not do")]
    Consent(NoConsent),
    /// The calendar ends.
    #[error("the calendar ends")]
    Calendar,
    /// The work ended without an answer.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoConsent> for MembershipError {
    fn from(no: NoConsent) -> Self {
        Self::Consent(no)
    }
}

/// A plan as it arrives.
#[derive(Debug, Clone)]
pub(super) struct NewMembershipPlan {
    pub(super) name: String,
    pub(super) pay_account: Option<String>,
    pub(super) price: Money,
    pub(super) span: PeriodSpan,
    pub(super) account: Option<String>,
    pub(super) program: Option<ProgramId>,
    pub(super) reward: Money,
    pub(super) hold_days: u32,
    pub(super) grace_days: u32,
    pub(super) retries: u32,
}

/// A membership as it arrives.
#[derive(Debug, Clone)]
pub(super) struct NewMembership {
    pub(super) plan: MembershipPlanId,
    pub(super) consent: AmazonPayId,
    pub(super) reference: String,
    pub(super) simulation: Option<String>,
}

/// By whom something is made, and under which key.
#[derive(Debug, Clone)]
pub(super) struct MembershipAsker {
    pub(super) client: ClientId,
    pub(super) api_key: ApiKeyId,
    pub(super) key: IdempotencyKey,
}

impl MembershipPlan {
    /// Whether this is what was asked for then. What was not named is what was chosen.
    fn is(&self, new: &NewMembershipPlan) -> bool {
        self.name == new.name
            && new.pay_account.as_ref().is_none_or(|asked| *asked == self.pay_account)
            && new.account.as_ref().is_none_or(|asked| *asked == self.account)
            && (self.price, self.span, self.reward) == (new.price, new.span, new.reward)
            && self.program == new.program
            && (self.hold_days, self.grace_days, self.retries) == (new.hold_days, new.grace_days, new.retries)
    }
}

impl Memberships {
    /// The use cases.
    pub(crate) fn new(parts: MembershipDependencies) -> Self {
        let MembershipDependencies { store, ambient, tasks, payments, rewards, metrics, lease } = parts;
        let follower = MembershipFollower::new(Arc::clone(&metrics));
        let lease = TimeDelta::from_std(lease.saturating_mul(2)).unwrap_or(TimeDelta::MAX);
        let (charges, issues) = (Arc::new(Semaphore::new(UNDER_WAY_MAX)), Arc::new(Semaphore::new(UNDER_WAY_MAX)));
        Self {
            store,
            ambient,
            tasks,
            payments,
            rewards,
            metrics,
            follower,
            lease,
            wake: Arc::default(),
            charges,
            issues,
            closings: Arc::new(Semaphore::new(CLOSINGS_MAX)),
        }
    }

    /// Makes a plan, or answers with the one that this key named before.
    pub(super) async fn make_plan(
        &self,
        by: MembershipAsker,
        new: NewMembershipPlan,
    ) -> Result<(MembershipPlan, bool), MembershipError> {
        let intent = Intent::derive(by.client, &by.key);
        let known = async || {
            let found = plans::find_intent(&mut self.store.snapshot().await?, &intent).await?;
            let same =
                |plan: MembershipPlan| if plan.is(&new) { Ok((plan, true)) } else { Err(MembershipError::Mismatch) };
            found.map(same).transpose()
        };
        if let Some(known) = known().await? {
            return Ok(known);
        }
        let seller = self.payments.accounts().choose(new.pay_account.as_deref(), new.price.currency());
        let seller = seller.map_err(MembershipError::NoSeller)?;
        if new.price.minor() > seller.charge_maximum.minor() {
            return Err(MembershipError::TooMuch(seller.charge_maximum));
        }
        let now = self.ambient.now();
        let mut plan = MembershipPlan {
            id: MembershipPlanId::new(self.ambient.row_id(now).map_err(StoreError::from)?),
            client: by.client,
            asked_by: by.api_key,
            intent,
            name: new.name.clone(),
            pay_account: seller.id.clone(),
            price: new.price,
            span: new.span,
            account: new.account.clone().unwrap_or_default(),
            program: new.program.clone(),
            reward: new.reward,
            hold_days: new.hold_days,
            grace_days: new.grace_days,
            retries: new.retries,
            created_at: now,
            closed_at: None,
        };
        plan.account = self.buyer(&plan, by.key, by.api_key).await?;
        let mut tx = self.store.begin_as("membership.plan").await?;
        let written = plans::insert(&mut tx, &plan).await?;
        tx.commit(()).await?;
        if written { Ok((plan, false)) } else { known().await?.ok_or(MembershipError::Mismatch) }
    }

    /// The account that buys the rewards of a plan, which can be bought.
    async fn buyer(&self, plan: &MembershipPlan, key: IdempotencyKey, by: ApiKeyId) -> Result<String, MembershipError> {
        let named = Some(plan.account.clone()).filter(|account| !account.is_empty());
        let command = reward_command(plan, key, by, named);
        let checked = self.rewards.issue.check_batch(&[command], plan.client).await.map_err(MembershipError::Reward)?;
        match checked.into_iter().next() {
            Some(Ok(account)) => Ok(account.id().to_owned()),
            Some(Err(error)) => Err(MembershipError::Reward(error)),
            None => Err(StoreError::Unconfirmed.into()),
        }
    }

    /// A plan of the caller's.
    pub(super) async fn plan(&self, caller: &Caller, id: MembershipPlanId) -> Result<MembershipPlan, MembershipError> {
        let found = plans::find(&mut self.store.question().await?, id).await?;
        found.filter(|plan| plan.client == caller.client).ok_or(MembershipError::NotFound)
    }

    /// A page of the caller's plans before this one, newest first.
    pub(super) async fn plans(
        &self,
        caller: &Caller,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<MembershipPlan>, MembershipError> {
        Ok(plans::page(&mut self.store.question().await?, caller.client, before, limit).await?)
    }

    /// Closes a plan. Asking again changes nothing.
    pub(super) async fn close_plan(
        &self,
        caller: &Caller,
        id: MembershipPlanId,
    ) -> Result<MembershipPlan, MembershipError> {
        self.plan(caller, id).await?;
        let mut tx = self.store.begin_as("membership.close_plan").await?;
        plans::close(&mut tx, id, self.ambient.now()).await?;
        tx.commit(()).await?;
        self.plan(caller, id).await
    }

    /// The plan of this id, which the client offers and which takes members.
    pub(super) async fn open_plan(
        &self,
        client: ClientId,
        id: MembershipPlanId,
    ) -> Result<MembershipPlan, MembershipError> {
        let found = plans::find(&mut self.store.snapshot().await?, id).await?.filter(|plan| plan.client == client);
        let plan = found.ok_or(MembershipError::NoPlan("unknown"))?;
        if plan.closed_at.is_some() { Err(MembershipError::NoPlan("closed")) } else { Ok(plan) }
    }

    /// The account at Amazon Pay that a plan's members pay.
    pub(super) fn seller(&self, plan: &MembershipPlan) -> Result<&PayAccount, MembershipError> {
        self.payments.accounts().get(&plan.pay_account).ok_or(MembershipError::NoSeller(NoPayAccount::Unknown))
    }

    /// Makes a membership whose first period is to be charged now, or answers with the one that this key named before.
    pub(super) async fn join(
        &self,
        by: MembershipAsker,
        new: NewMembership,
    ) -> Result<(Membership, bool), MembershipError> {
        let intent = Intent::derive(by.client, &by.key);
        let known = async || {
            let Some(found) = sql::find_intent(&mut self.store.snapshot().await?, &intent).await? else {
                return Ok(None);
            };
            // The plan that was asked for: the membership may have changed it since.
            let first = periods::find(&mut self.store.snapshot().await?, found.id, 1).await?;
            let first = first.ok_or(StoreError::Inconsistent { table: "memberships", column: "periods" })?;
            let same = (&found.consent, &found.reference, first.plan) == (&new.consent, &new.reference, new.plan);
            if same { Ok(Some((found, true))) } else { Err(MembershipError::Mismatch) }
        };
        if let Some(known) = known().await? {
            return Ok(known);
        }
        let plan = self.open_plan(by.client, new.plan).await?;
        let seller = self.seller(&plan)?;
        check_simulation(new.simulation.as_deref(), seller)?;
        consent::check(seller, &new.consent, plan.price).await?;
        let (membership, period) = self.draft(&by, &new, &plan, intent)?;
        let mut tx = self.store.begin_as("membership.join").await?;
        if sql::insert(&mut tx, &membership).await? {
            if !consents::claim(&mut tx, &membership, membership.created_at).await? {
                tx.undo().await;
                return Err(self.consent_taken(&membership).await?);
            }
            periods::insert(&mut tx, &period).await?;
            tx.commit(()).await?;
            self.wake.notify_one();
            return Ok((membership, false));
        }
        tx.undo().await;
        if let Some(known) = known().await? {
            return Ok(known);
        }
        let asked = MembershipPage {
            reference: Some(new.reference.clone()),
            state: None,
            plan: None,
            before: Uuid::max(),
            limit: 1,
        };
        let named = sql::page(&mut self.store.snapshot().await?, by.client, &asked).await?;
        Err(named.first().map_or(MembershipError::Mismatch, |named| MembershipError::ReferenceTaken(named.id)))
    }

    /// Names the membership that has the consent, where it is of the same client.
    async fn consent_taken(&self, refused: &Membership) -> Result<MembershipError, MembershipError> {
        let found = consents::other(&mut self.store.snapshot().await?, &refused.consent, refused.id).await?;
        let own = found.filter(|(_id, client)| *client == refused.client);
        Ok(MembershipError::ConsentTaken(own.map(|(id, _client)| id)))
    }

    fn draft(
        &self,
        by: &MembershipAsker,
        new: &NewMembership,
        plan: &MembershipPlan,
        intent: Intent,
    ) -> Result<(Membership, MembershipPeriod), MembershipError> {
        let now = self.ambient.now();
        let zone = self.zone(plan).ok_or(MembershipError::NoPlan("the account that buys is not in the settings"))?;
        let anchor = PeriodAnchor::from(now.with_timezone(&zone).date_naive());
        let ends_at = plan.span.begins_after(anchor, 1, &zone).ok_or(MembershipError::Calendar)?;
        let membership = Membership {
            id: MembershipId::new(self.ambient.row_id(now).map_err(StoreError::from)?),
            client: by.client,
            asked_by: by.api_key,
            intent,
            plan: plan.id,
            next_plan: None,
            consent: new.consent.clone(),
            reference: new.reference.clone(),
            state: MembershipState::Active,
            reason: None,
            anchor,
            anchor_number: 1,
            periods: 1,
            due_at: None,
            simulation: new.simulation.clone(),
            version: 1,
            created_at: now,
            updated_at: now,
            ended_at: None,
        };
        let period = new_period(&membership, plan, 1, (now, ends_at), now);
        Ok((membership, period))
    }

    /// The time zone in which a plan's days begin; `None` where its account is not in the settings.
    pub(super) fn zone(&self, plan: &MembershipPlan) -> Option<chrono_tz::Tz> {
        self.rewards.accounts().get(&plan.account).map(crate::accounts::Account::time_zone)
    }

    /// A membership of the caller's.
    pub(crate) async fn find(&self, caller: &Caller, id: MembershipId) -> Result<Membership, MembershipError> {
        let found = sql::find(&mut self.store.question().await?, id).await?;
        found.filter(|membership| membership.client == caller.client).ok_or(MembershipError::NotFound)
    }

    /// A page of the caller's memberships, newest first.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        asked: &MembershipPage,
    ) -> Result<Vec<Membership>, MembershipError> {
        Ok(sql::page(&mut self.store.question().await?, caller.client, asked).await?)
    }

    /// A page of a membership's periods behind this one, each with its plan.
    pub(crate) async fn periods(
        &self,
        caller: &Caller,
        id: MembershipId,
        behind: i64,
        limit: i64,
    ) -> Result<Vec<(MembershipPeriod, MembershipPlan)>, MembershipError> {
        self.find(caller, id).await?;
        let mut snapshot = self.store.question().await?;
        let mut found = Vec::new();
        for period in periods::page(&mut snapshot, id, behind, limit).await? {
            let plan = plans::find(&mut snapshot, period.plan).await?.ok_or(MembershipError::NotFound)?;
            found.push((period, plan));
        }
        Ok(found)
    }

    /// On SQLite one process serves the file, so whatever is under way at its start was taken up by a process that is dead.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn abandon(&self) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        periods::abandon(&mut tx, self.ambient.now()).await?;
        tx.commit(()).await.map(Committed::into_inner)
    }
}

/// Nothing is simulated with a buyer's money.
pub(super) fn check_simulation(code: Option<&str>, seller: &PayAccount) -> Result<(), MembershipError> {
    let Some(code) = code else { return Ok(()) };
    let fits = seller.environment == Environment::Sandbox && SimulationCode::parse(code).is_some();
    if fits { Ok(()) } else { Err(MembershipError::Simulation) }
}

/// A period that is to be charged at once.
pub(super) fn new_period(
    of: &Membership,
    plan: &MembershipPlan,
    number: i64,
    bounds: (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> MembershipPeriod {
    MembershipPeriod {
        membership: of.id,
        number,
        client: of.client,
        plan: plan.id,
        starts_at: bounds.0,
        ends_at: bounds.1,
        state: PeriodState::Due,
        tries: 0,
        setbacks: 0,
        decline: None,
        waiting_for: None,
        intent: None,
        simulation: None,
        payment: None,
        refunded_minor: 0,
        due_at: Some(now),
        paid_at: None,
        entitlement: Entitlement::None,
        reward_key: None,
        reward_round: 0,
        reward: None,
        reward_due_at: None,
        owed_since: None,
        claims: 0,
        created_at: now,
        updated_at: now,
    }
}
