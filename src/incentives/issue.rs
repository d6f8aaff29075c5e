//! Issuing: the transaction that records the intent (T1), the drive, and the answer to a key that was used before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::{
    admission::{Admitted, BudgetError, budget_of},
    aim::Recognized,
    cancel::{Cancel, Wish},
    courier::Courier,
    create_members::members_of,
    in_flight::{InFlight, Party},
    issue_error::IssueError,
    metrics::KeyUse,
    model::{Command, OnUnresolved, Reward},
    restore_note::RestoreNote,
    reveal::{Reveal, Showing},
    sql,
    target::NewlySealed,
    timeline::TimelineEntry,
};
use crate::{
    accounts::{Account, NoSlot, Slot},
    engine::{self, OnUnproven, Order, Stage, State, Waiter, Wisher, run::Latest, schedule},
    failpoint,
    identity::Caller,
    kernel::{ApiKeyId, Chain, ClaimCode, ClientId, CreationRequestId, Environment, Intent, RewardId},
    ledger::{
        LedgerStatus,
        ceilings::{self, ReachedLately},
        floor,
    },
    lifecycle::{Lost, workplaces},
    sealing::Target,
    store::{Committed, Gather, StoreError, Tx},
    telemetry::trace,
};

/// The answer to an issue.
pub struct Issued {
    /// The reward as committed.
    pub reward: Reward,
    /// Its code, when this answer hands it over.
    pub code: Option<ClaimCode>,
    /// The key was used before.
    pub replayed: bool,
}

/// How long an answer waits for the wish to cancel to be recorded.
const WITHDRAW: Duration = Duration::from_millis(400);

/// What T1 is called in traces.
const ACCEPT: &str = "reward.accept";

/// What T1 came to.
pub(super) enum Accepted {
    /// The intent is recorded, leased and about to be sent, in the slot of Amazon's rate that was taken for it.
    Attempt(Committed<Reward>, Option<Slot>),
    /// The key named this reward before.
    Known(Reward),
}

/// Issues rewards. Cheap to clone.
#[derive(Clone)]
pub struct Issue {
    pub(super) courier: Courier,
    cancel: Cancel,
    reveal: Reveal,
    in_flight: InFlight,
    pub(super) restored: Option<RestoreNote>,
    pub(super) ceilings: Arc<ReachedLately>,
    /// What idempotency keys named before.
    intents: Gather<Intent, Reward>,
}

impl Issue {
    pub(super) fn new(
        courier: Courier,
        cancel: Cancel,
        reveal: Reveal,
        in_flight: InFlight,
        restored: Option<RestoreNote>,
    ) -> Self {
        Self { courier, cancel, reveal, in_flight, restored, ceilings: Arc::default(), intents: Gather::default() }
    }

    /// Issues a reward, or answers with the one that this key named before. Waits for the outcome as long as the caller has
    /// patience and the settings allow since the request `arrived`; the work goes on after that.
    ///
    /// # Errors
    /// [`IssueError`]: this request sent nothing to Amazon. A refusal of Amazon's is a `failed` reward, not an error.
    pub async fn run(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
        arrived: Instant,
    ) -> Result<Issued, IssueError> {
        let ended = self.run_in_time(client, command, patience, arrived).await;
        if let Err(IssueError::Late | IssueError::Store(_) | IssueError::NoSlot(NoSlot::NoDatabase)) = &ended {
            self.courier.metrics.unrecorded.inc();
        }
        ended
    }

    async fn run_in_time(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
        arrived: Instant,
    ) -> Result<Issued, IssueError> {
        let courier = &self.courier;
        let place = self.in_flight.enter(Party { caller: client, account: payer(&command) }).ok_or(IssueError::Busy)?;
        let wait = courier.left(arrived).min(patience.unwrap_or(Duration::MAX));
        let (waiter, mut listener) = Waiter::new(courier.ambient.monotonic() + wait);
        let this = self.clone();
        let mut job = courier.tasks.spawn(workplaces::carry(async move {
            let _place = place;
            Box::pin(this.carry_out(client, command, patience, arrived, waiter)).await
        }));
        if let Ok(ended) = tokio::time::timeout(wait, &mut job).await {
            return ended.map_err(|_panicked| Lost)?;
        }
        // The outcome is not there yet. What is recorded is the answer; what is not recorded is waited for.
        let latest = tokio::time::timeout(courier.left(arrived), listener.wait_for(Option::is_some)).await;
        match latest.map(|latest| latest.ok().and_then(|latest| latest.clone())) {
            Ok(Some(Latest { row, replayed })) => {
                if !replayed {
                    self.withdraw(&row).await;
                }
                Ok(Issued { reward: row, code: None, replayed })
            }
            Ok(None) => job.await.map_err(|_panicked| Lost)?,
            Err(_elapsed) => {
                self.withdraw_later(job);
                Err(IssueError::Late)
            }
        }
    }

    /// The caller stops waiting without a code. A caller who asked for `on_unresolved: cancel` compensates the customer in
    /// another way now, so the wish to cancel is recorded before the answer leaves. Only for the request that bought: a
    /// request that repeats it may be impatient with a card whose code was handed over long ago.
    async fn withdraw(&self, reward: &Reward) {
        if reward.order.on_unproven == OnUnproven::Keep {
            return;
        }
        let (this, client, id, account) = (self.clone(), reward.client, reward.id, reward.account.clone());
        let job = self.courier.tasks.spawn(async move {
            let Self { cancel, courier, .. } = &this;
            let reason = "not proven while the caller waited".to_owned();
            let (nobody, _listener) = Waiter::new(courier.ambient.monotonic());
            // After a restore the row that was lost may have handed the code out.
            let wisher = match this.is_row_lost(&account).await {
                Ok(false) => Wisher::Gone,
                Ok(true) | Err(_) => Wisher::GonePerhapsServed,
            };
            let wish = Wish { caller: Caller::of_client(client), id, reason, wisher };
            if let Err(error) = cancel.carry_out(wish, &nobody).await {
                tracing::warn!(reward.id = %id, error = %Chain(&error), "a reward that nobody waits for was not canceled");
            }
        });
        drop(tokio::time::timeout(WITHDRAW, job).await);
    }

    /// The same where it is not even known whether the request was recorded.
    fn withdraw_later(&self, job: JoinHandle<Result<Issued, IssueError>>) {
        let this = self.clone();
        drop(self.courier.tasks.spawn(async move {
            if let Ok(Ok(issued)) = job.await
                && !issued.replayed
            {
                this.withdraw(&issued.reward).await;
            }
        }));
    }

    /// T1, then the drive. Publishes what was recorded as soon as it is.
    ///
    /// The idempotency key comes before everything that settings can change: a retry finds its reward although the
    /// account's limits are others now, or another account deals in the currency as well.
    async fn carry_out(
        &self,
        client: ClientId,
        command: Command,
        patience: Option<Duration>,
        arrived: Instant,
        waiter: Waiter<Reward>,
    ) -> Result<Issued, IssueError> {
        let intent = Intent::derive(client, &command.key);
        let accepted = match self.find_intent(&intent).await? {
            Some(existing) => self.accept_known(existing, client, &command, arrived).await,
            None => {
                check_patience(&command, patience)?;
                match self.record(client, &command, intent, arrived).await {
                    // Another request of this key may have been recorded while Login with Amazon was asked: then it is not said
                    // that no money has moved.
                    Err(IssueError::NotSignedIn(why)) => match self.find_intent(&intent).await? {
                        Some(existing) => self.accept_known(existing, client, &command, arrived).await,
                        None => Err(IssueError::NotSignedIn(why)),
                    },
                    recorded => recorded,
                }
            }
        };
        if let Err(error) = &accepted {
            self.note_refusal(client, &command, error).await;
        }
        let accepted = match accepted {
            Err(why) => return Err(self.in_doubt(why).await),
            Ok(accepted) => accepted,
        };
        match accepted {
            Accepted::Attempt(attempt, slot) => {
                let ran = engine::carry(&self.courier, attempt, slot, Some(&waiter)).await;
                let reward = self.courier.carried(ran.end, ran.row, &waiter);
                Ok(Issued { reward, code: ran.receipt, replayed: false })
            }
            Accepted::Known(reward) => {
                waiter.publish_known(&reward);
                Ok(self.replay_response(reward, command.asked_by).await)
            }
        }
    }

    /// A refusal to buy, to a key whose row a restore may have lost: the reward of then may have been bought.
    async fn in_doubt(&self, why: IssueError) -> IssueError {
        let account = if let IssueError::Ceiling(reached) = &why {
            &reached.account
        } else if let IssueError::Floor(reached) = &why {
            &reached.account
        } else {
            return why;
        };
        // Where it cannot be read, it is not known either.
        let lost = self.is_row_lost(account).await.unwrap_or(true);
        if lost { IssueError::NotReclaimed(Box::new(why)) } else { why }
    }

    async fn note_refusal(&self, client: ClientId, command: &Command, error: &IssueError) {
        let courier = &self.courier;
        if let IssueError::Ceiling(reached) = error {
            courier.metrics.ceiling_refused(&reached.account, reached.ceiling);
            self.ceilings.note(client, reached, courier.ambient.monotonic());
            if !reached.reported
                && let Err(error) = ceilings::report(&courier.store, client, reached, courier.ambient.now()).await
            {
                tracing::error!(error = %Chain(&error), "a ceiling is reached, and the event of it could not be written");
            }
        }
        if let IssueError::Floor(reached) = error
            && let Some(account) = courier.accounts.get(&reached.account)
        {
            courier.metrics.floor_refused(reached);
            if let Err(error) = floor::report(&courier.store, account, reached, courier.ambient.now()).await {
                tracing::error!(error = %Chain(&error), "the funds' floor is reached, and the event of it could not be written");
            }
        }
        // Only a program that exists has budgets: the label is never the caller's own text.
        if let (IssueError::Budget(BudgetError::Exceeded(_)), Some(program)) = (error, &command.program) {
            self.courier.metrics.budget_refused(program.as_str());
        }
    }

    pub(super) async fn find_intent(&self, intent: &Intent) -> Result<Option<Reward>, StoreError> {
        let store = self.courier.store.clone();
        let look = move |intents: Vec<Intent>| {
            let store = store.clone();
            async move {
                let mut snapshot = store.snapshot().await?;
                sql::peek_intents(&mut snapshot, &intents).await
            }
        };
        self.intents.ask(*intent, look).await
    }

    /// T1: one transaction that inserts the intent, leased and about to be sent.
    async fn record(
        &self,
        client: ClientId,
        command: &Command,
        intent: Intent,
        arrived: Instant,
    ) -> Result<Accepted, IssueError> {
        let Admitted { account, slot, target } = self.admit(command, client, arrived).await?;
        let courier = &self.courier;
        let now = courier.ambient.now();
        let doubt = self.is_row_lost(account.id()).await?;
        let order = schedule::begin(command.on_unresolved.into(), doubt, courier.lease()?, now);
        let reward = self.draft(client, command, intent, Draft { account, order, target: target.as_deref() })?;
        let target = target.map(|target| courier.seal(&reward, &target, command.aim.token())).transpose()?;
        failpoint::pass("issue", "before_t1");
        let intended = Intended { account, target: target.as_ref(), asked_by: command.asked_by };
        let tx = courier.store.begin_joined(ACCEPT, intent.as_bytes()).await?;
        let written = match self.write_intent(tx, reward.clone(), &intended).await {
            Err(IssueError::Store(StoreError::Unmet)) => {
                let tx = courier.store.begin_as(ACCEPT).await?;
                self.write_intent(tx, reward, &intended).await
            }
            written => written,
        };
        let (committed, new) = written?;
        failpoint::pass("issue", "after_t1");
        if new {
            committed.get().trace_on();
            courier.metrics.key_used(KeyUse::New);
            return Ok(Accepted::Attempt(committed, Some(slot)));
        }
        match self.find_intent(&intent).await? {
            Some(existing) => self.accept_known(existing, client, command, arrived).await,
            None => Err(IssueError::ExternalIdConflict),
        }
    }

    /// Writes the reward that is about to be sent, and what it counts under; says whether it was new.
    async fn write_intent(
        &self,
        mut tx: Tx,
        mut reward: Reward,
        intended: &Intended<'_>,
    ) -> Result<(Committed<Reward>, bool), IssueError> {
        let Intended { account, target, asked_by } = intended;
        let received = TimelineEntry::received(reward.target_ending, *asked_by);
        let new = sql::insert(&mut tx, &mut reward, &received).await?;
        if new {
            let reserved = self.reserve(&mut tx, account, &reward, reward.order.created_at).await;
            tx = tx.or_undo(reserved).await?;
        }
        if new && let Some(target) = target {
            target.keep(&mut tx, &reward).await?;
        }
        if new {
            let counted = self.count(&mut tx, account, &reward).await;
            tx = tx.or_undo(counted).await?;
        }
        failpoint::pass("issue", "in_t1");
        // Also where nothing was inserted: what this transaction ran into may itself not be committed yet, and nobody is
        // answered from what may still vanish.
        Ok((tx.commit(reward).await?, new))
    }

    /// There is a reward of this key: the caller's, or one that is theirs as this key proves.
    async fn accept_known(
        &self,
        existing: Reward,
        client: ClientId,
        command: &Command,
        arrived: Instant,
    ) -> Result<Accepted, IssueError> {
        existing.trace_on();
        if existing.client == ClientId::ADOPTED {
            let reclaimed = self.reclaim(existing, client, command, arrived).await;
            // Whoever hears that no money has moved would order again under another key.
            return reclaimed.map_err(|why| {
                if matches!(why, IssueError::Mismatch { .. }) { why } else { IssueError::NotReclaimed(Box::new(why)) }
            });
        }
        self.accept_again(existing, command, arrived).await
    }

    /// The key was used before: for this command, or the request is refused. A refusal of Amazon's that can be cured is
    /// tried again, with the same id, where the settings still allow it; anything else answers for itself.
    async fn accept_again(
        &self,
        existing: Reward,
        command: &Command,
        arrived: Instant,
    ) -> Result<Accepted, IssueError> {
        let courier = &self.courier;
        let recognized = match existing.differs_in(command) {
            None if existing.kind.spec().acts() => self.recognize(&existing, command, arrived).await?,
            None => Recognized::Same(None),
            Some(pointer) => Recognized::Different(pointer),
        };
        let target = match recognized {
            Recognized::Same(target) => target,
            Recognized::Different(pointer) => {
                courier.metrics.key_used(KeyUse::Mismatch);
                return Err(IssueError::Mismatch { reward: existing.id, pointer });
            }
            Recognized::Unknown => return Err(IssueError::TargetUnknown),
        };
        let in_progress = existing.order.due_at.is_some();
        courier.metrics.key_used(if in_progress { KeyUse::InProgress } else { KeyUse::Replayed });
        if existing.order.stage != (Stage::Refused { retryable: true }) {
            return Ok(Accepted::Known(existing));
        }
        self.try_again(existing, command, target, arrived).await
    }

    /// The reward of a command that is new.
    fn draft(
        &self,
        client: ClientId,
        command: &Command,
        intent: Intent,
        draft: Draft<'_>,
    ) -> Result<Reward, IssueError> {
        let Draft { account, order, target } = draft;
        let now = order.created_at;
        let mock = match account.environment() {
            Environment::Sandbox => CreationRequestId::mock(&command.key),
            Environment::Production => None,
        };
        Ok(Reward {
            id: RewardId::new(self.courier.ambient.row_id(now).map_err(StoreError::from)?),
            client,
            intent,
            creation_request_id: mock.unwrap_or_else(|| CreationRequestId::derive(account.partner_id(), &intent)),
            account: account.id().to_owned(),
            marketplace: account.marketplace(),
            environment: account.environment(),
            kind: command.kind,
            value: command.value,
            target_ending: target.and_then(|target| command.kind.spec().ending(target)),
            external_id: command.external_id.clone(),
            metadata: command.metadata_json(),
            order,
            budget: budget_of(account, command, now),
            booked: LedgerStatus::None,
            last_error: None,
            events: 0,
            trace: trace::current(),
            card: None,
            members: members_of(account, command, command.program.as_ref())?,
            archived_at: None,
            metadata_digest: None,
        })
    }

    /// The answer to a key that named this reward before: its present state, and its code again while that is allowed.
    async fn replay_response(&self, reward: Reward, key: ApiKeyId) -> Issued {
        let courier = &self.courier;
        let since = reward.order.stage.proven_at().unwrap_or(reward.order.created_at);
        let age = courier.ambient.now().signed_duration_since(since).to_std().unwrap_or_default();
        courier.hasten(&reward).await;
        let has_code = reward.state() == State::Issued && reward.kind.rules().has_receipt;
        if !has_code || age >= courier.limits.redelivery {
            return Issued { reward, code: None, replayed: true };
        }
        match self.reveal.show_again(reward.clone(), Showing::Redelivery, Some(key)).await {
            Ok((reward, code)) => Issued { reward, code: Some(code), replayed: true },
            Err(error) => {
                tracing::warn!(reward.id = %reward.id, error = %Chain(&error), "a code could not be shown again");
                let found = courier.find(&Caller::of_client(reward.client), reward.id).await.ok().flatten();
                Issued { reward: found.unwrap_or(reward), code: None, replayed: true }
            }
        }
    }
}

/// Whether a command can be carried out for a caller of this patience.
pub(super) fn check_patience(command: &Command, patience: Option<Duration>) -> Result<(), IssueError> {
    let waits = patience.is_none_or(|patience| !patience.is_zero());
    match command.on_unresolved {
        OnUnresolved::Cancel if !waits => Err(IssueError::Unawaited),
        OnUnresolved::Cancel | OnUnresolved::Keep => Ok(()),
    }
}

/// What the command says of who pays, before that is known.
fn payer(command: &Command) -> String {
    let program = || command.program.as_ref().map(|program| program.as_str().to_owned());
    command.account.clone().or_else(program).unwrap_or_else(|| command.value.currency().code().to_owned())
}

/// What the transaction of a new reward writes beside its row.
struct Intended<'a> {
    account: &'a Account,
    target: Option<&'a NewlySealed>,
    asked_by: ApiKeyId,
}

/// Who pays for a new reward, where it stands at its beginning, and what it acts on.
struct Draft<'a> {
    account: &'a Account,
    order: Order,
    target: Option<&'a Target>,
}
