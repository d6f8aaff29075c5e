//! The one way to Amazon: a committed attempt, the call, the committed outcome. The first try of a request and the
//! recovery by the worker are the same function.
//!
//! A code leaves only with the transaction that won: a worker whose lease was taken over delivers nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Rewards,
    attempt::{self, Sent},
    course::{self, Lease, STEPS_MAX},
    machine::{self, Action, Next, Rejected, State, Wake},
    model::Reward,
    sql,
    timeline::{Entry, kind_of},
    waiter::Caller,
};
use crate::{
    accounts::Priority,
    failpoint,
    kernel::{Chain, ClaimCode, RewardId, UnknownReason},
    store::{Committed, StoreError, Tx},
    telemetry::trace::{self, Attribute},
};

/// Waits between tries to write an outcome; a lease holds longer.
const SETTLE_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// What is left of a lease for connecting and settling.
const SETTLE_MARGIN: Duration = Duration::from_secs(6);
/// How long a reward rests whose account nobody knows.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Due rewards taken up at once.
const CLAIM_MAX: i64 = 16;

/// A reward that is leased to us, as committed. Only from one of these is anything sent.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(super) reward: Reward,
    pub(super) token: Uuid,
    /// Whether a slot of Amazon's rate was taken for it already.
    pub(super) has_slot: bool,
}

/// What a drive came to.
pub struct Driven {
    /// The reward as committed.
    pub reward: Reward,
    /// Its code, when it may be handed over now.
    pub code: Option<ClaimCode>,
}

/// Why a drive ended without a committed outcome. The row is durable and someone will take it up.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Another worker has taken the reward over.
    #[error("the lease was lost")]
    LeaseLost,
    /// The account is not in the settings any more, or has another partner id than when the reward was made.
    #[error("the reward's account is not in the settings")]
    NoAccount,
    /// Amazon may have forgotten the id: sending it would buy a second card.
    #[error("the reward is too old to be replayed")]
    TooOld,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An outcome as it was written.
struct Written {
    reward: Reward,
    /// The code in hand may be given to the caller once this is committed.
    deliver: bool,
    /// The lease is kept for another attempt after this pause.
    pause: Option<Duration>,
}

enum Settled {
    Done(Driven),
    Again(Committed<Attempt>),
    /// The caller still waits: the same worker makes the next attempt, after this pause.
    Held(Committed<Attempt>, Duration),
}

/// What a settle may keep the lease for.
#[derive(Clone, Copy)]
struct Hold<'a> {
    token: Uuid,
    /// For the next step, when there is one at once.
    may_go_on: bool,
    /// For the next attempt, when its pause ends while they wait.
    caller: Option<&'a Caller>,
}

impl Rewards {
    /// Sends what is due for a leased reward until there is nothing to do at once, nor while `caller` waits.
    ///
    /// # Errors
    /// [`DriveError`]; the lease then runs out by itself.
    pub(super) async fn drive(&self, first: Committed<Attempt>, caller: Option<&Caller>) -> Result<Driven, DriveError> {
        let (mut attempt, mut steps) = (first, 1);
        loop {
            let sent = self.send(attempt.get()).await?;
            let attempt_sent = attempt.into_inner();
            let hold = Hold { token: attempt_sent.token, may_go_on: steps < STEPS_MAX, caller };
            attempt = match self.settle_surely(attempt_sent, sent, hold).await? {
                Settled::Done(driven) => return Ok(driven),
                Settled::Again(next) => {
                    steps += 1;
                    next
                }
                Settled::Held(held, pause) => {
                    if let Some(caller) = caller {
                        caller.tell(&held.get().reward);
                    }
                    failpoint::pass("held", "pause");
                    self.pause(pause).await;
                    steps = 1;
                    match self.go_on(held.into_inner()).await? {
                        Settled::Done(driven) => return Ok(driven),
                        Settled::Again(next) | Settled::Held(next, _) => next,
                    }
                }
            };
        }
    }

    /// Drives what recovery has leased, in a trace of its own: nobody waits for it, and who did had an answer. Its code is
    /// dropped, and wiped. Where it ends without a committed outcome the lease runs out by itself.
    pub async fn recover(&self, attempt: Committed<Attempt>) {
        let reward = &attempt.get().reward;
        let (id, trace_id) = (reward.id, reward.trace_id());
        let span = self.parts.traces.resume("reward.recover", reward.trace);
        span.set(Attribute::Reward(id));
        let drive = async {
            match self.drive(attempt, None).await {
                Ok(driven) => trace::note(Attribute::State(driven.reward.facts.state.as_str())),
                Err(error) => {
                    trace::note(Attribute::Error("not_settled"));
                    tracing::warn!(
                        reward.id = %id,
                        reward.trace_id = trace_id,
                        error = %Chain(&error),
                        "a recovery ended without a committed outcome"
                    );
                }
            }
        };
        span.scope(drive).await;
    }

    /// Drives for a caller who waits: answers with the reward as it was last committed, whatever came of it.
    pub(super) async fn driven(&self, attempt: Committed<Attempt>, caller: &Caller) -> (Reward, Option<ClaimCode>) {
        let reward = attempt.get().reward.clone();
        caller.tell(&reward);
        match self.drive(attempt, Some(caller)).await {
            Ok(Driven { reward, code }) => {
                trace::note(Attribute::State(reward.facts.state.as_str()));
                if reward.due_at.is_some() {
                    self.wake().notify_one();
                }
                (reward, code)
            }
            Err(error) => {
                tracing::warn!(
                    reward.id = %reward.id,
                    reward.trace_id = reward.trace_id(),
                    error = %Chain(&error),
                    "a drive ended without a committed outcome; recovery takes it up"
                );
                (caller.told().unwrap_or(reward), None)
            }
        }
    }

    /// The ladder's pause; a process that is to stop goes on at once.
    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.tasks().stopping().cancelled() => {}
        }
    }

    /// T1 of an attempt after a pause under the same lease. The row may have changed meanwhile: a cancel was asked for.
    async fn go_on(&self, held: Attempt) -> Result<Settled, DriveError> {
        let (id, token, now) = (held.reward.id, held.token, self.ambient().now());
        let mut tx = self.store().begin_as("reward.replay").await?;
        let Some(mut reward) = sql::lock(&mut tx, id).await? else { return Err(self.lease_lost(id)) };
        if reward.due_at.is_none() {
            // Canceled while nothing was in flight: there is nothing left to do.
            let reward = tx.commit(reward).await?.into_inner();
            return Ok(Settled::Done(Driven { reward, code: None }));
        }
        let mine = reward.lease == Some(token) && course::go_on(&mut reward, self.lease(token), now).is_ok();
        let entry = Entry::with_attempt("attempt.sent", reward.attempts);
        if !mine || !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(self.lease_lost(id));
        }
        failpoint::pass("held", "in_t1");
        let committed = tx.commit(Attempt { reward, token, has_slot: false }).await?;
        failpoint::pass("held", "after_t1");
        Ok(Settled::Again(committed))
    }

    /// One call to Amazon. Nothing durable changes here.
    async fn send(&self, attempt: &Attempt) -> Result<Sent, DriveError> {
        let reward = &attempt.reward;
        let account = self.account_of(reward).ok_or(DriveError::NoAccount)?;
        if self.is_too_old(reward, self.ambient().now()) {
            return Err(DriveError::TooOld);
        }
        if !attempt.has_slot && account.quota().slot(Priority::Urgent, self.slot_patience()).await.is_err() {
            let now = self.ambient().now();
            let canceling = machine::due(&reward.facts, now) == Some(Action::Cancel);
            return Ok(attempt::without_slot(canceling, now));
        }
        failpoint::pass(road(reward), "before_send");
        let started = self.ambient().monotonic();
        // Read again right before the call: a frozen process must not send a cancel that was in time when it was claimed.
        let asked_at = self.ambient().now();
        let action = machine::due(&reward.facts, asked_at).unwrap_or(Action::Read);
        let sent = match action {
            Action::Create | Action::Read => {
                let span = Self::call(account, reward, "CreateGiftCard");
                let exchange = account.client().create_gift_card(&reward.creation_request_id, reward.value).await;
                self.observe(&reward.account, &exchange, "CreateGiftCard", started.elapsed(), span);
                self.learn(account, &reward.creation_request_id, &exchange.outcome).await;
                attempt::of_create(action, exchange, asked_at, started.elapsed())
            }
            Action::Cancel => {
                let span = Self::call(account, reward, "CancelGiftCard");
                let exchange = account.client().cancel_gift_card(&reward.creation_request_id).await;
                self.observe(&reward.account, &exchange, "CancelGiftCard", started.elapsed(), span);
                attempt::of_cancel(exchange, asked_at, started.elapsed())
            }
        };
        if matches!(sent.detail.error, Some(word) if word == UnknownReason::Throttled.as_str()) {
            account.quota().ease().await;
        }
        failpoint::pass(road(reward), "after_answer");
        Ok(sent)
    }

    /// How long a leased reward may wait for a slot: the call and its settling must fit into the lease as well.
    fn slot_patience(&self) -> Duration {
        let limits = self.settings();
        limits.lease.saturating_sub(limits.upstream_timeout).saturating_sub(SETTLE_MARGIN)
    }

    /// Settles, and tries again while the database stumbles: a proven card and its code are in hand.
    async fn settle_surely(&self, attempt: Attempt, mut sent: Sent, hold: Hold<'_>) -> Result<Settled, DriveError> {
        for pause in SETTLE_PAUSES {
            match self.settle(&attempt, &mut sent, hold).await {
                Err(DriveError::Store(error)) => {
                    let id = attempt.reward.id;
                    tracing::warn!(reward.id = %id, error = %Chain(&error), "an outcome was not written; once more");
                    tokio::time::sleep(pause).await;
                }
                settled => return settled,
            }
        }
        self.settle(&attempt, &mut sent, hold).await
    }

    /// T2: the outcome, by compare-and-set on the version that was sent; when the row has changed meanwhile (a cancel was
    /// asked for) but is still ours, the event is applied to what it says now.
    async fn settle(&self, attempt: &Attempt, sent: &mut Sent, hold: Hold<'_>) -> Result<Settled, DriveError> {
        let now = self.ambient().now();
        let (before, token) = (&attempt.reward, attempt.token);
        failpoint::pass(road(before), "before_t2");
        let mut tx = self.store().begin_as("reward.settle").await?;
        let written = match self.write(&mut tx, before.clone(), sent, hold, now).await? {
            Some(written) => written,
            None => {
                drop(tx);
                tx = self.store().begin_as("reward.settle").await?;
                let fresh = sql::lock(&mut tx, before.id).await?.filter(|reward| reward.lease == Some(token));
                let Some(fresh) = fresh else { return Err(self.lease_lost(before.id)) };
                if course::is_settled(before, &fresh) {
                    // The commit that nobody confirmed went through: the same outcome again would mean something else now.
                    let settled = tx.commit(Attempt { reward: fresh, token, has_slot: false }).await?;
                    return Ok(Settled::Held(settled, Duration::ZERO));
                }
                let written = self.write(&mut tx, fresh, sent, hold, now).await?;
                written.ok_or_else(|| self.lease_lost(before.id))?
            }
        };
        failpoint::pass(road(before), "in_t2");
        let committed = tx.commit(written).await?;
        failpoint::pass(road(before), "after_t2");
        let Written { reward, deliver, pause } = committed.get();
        self.tell(before, reward);
        let (deliver, pause) = (*deliver, *pause);
        if reward.lease == Some(token) {
            let next = committed.map(|written| Attempt { reward: written.reward, token, has_slot: false });
            return Ok(match pause {
                Some(pause) => Settled::Held(next, pause),
                None => Settled::Again(next),
            });
        }
        let code = sent.code.take().filter(|_code| deliver);
        Ok(Settled::Done(Driven { reward: committed.into_inner().reward, code }))
    }

    /// Applies the attempt's event and saves; `None` when the row has changed since it was read.
    async fn write(
        &self,
        tx: &mut Tx,
        before: Reward,
        sent: &Sent,
        hold: Hold<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Written>, DriveError> {
        let (id, state, attempts) = (before.id, before.facts.state, before.attempts);
        let Ok(mut written) = self.decide(before, sent, hold, now)? else { return Err(self.lease_lost(id)) };
        let mut entry = Entry::new(kind_of(sent.event, state, written.reward.facts.state));
        entry.detail = sent.detail.clone();
        entry.detail.attempt = Some(attempts);
        if let Some(error) = &sent.error {
            written.reward.last_error = Some(error.clone());
        }
        let saved = sql::save(tx, &mut written.reward, &[entry], now).await?;
        Ok(saved.then_some(written))
    }

    /// What the event makes of the row: with the lease kept over a pause when the caller waits for the attempt after it.
    /// The machine is told when the request left, not when its answer is settled: a read that left before Amazon's window
    /// was over is no verdict, however long its worker, or the database, stood still afterwards.
    fn decide(
        &self,
        before: Reward,
        sent: &Sent,
        hold: Hold<'_>,
        now: DateTime<Utc>,
    ) -> Result<Result<Written, Rejected>, StoreError> {
        let lease = hold.may_go_on.then_some(hold.token);
        if let Some(caller) = hold.caller
            && let Ok(next) = machine::step_while_awaited(before.facts, sent.event, sent.asked_at)
            && next.wake == Wake::Backoff
        {
            let mut reward = before.clone();
            self.apply(&mut reward, &next, lease, now)?;
            let pause = course::hold(&mut reward, self.lease(hold.token), now);
            if pause.is_some_and(|pause| self.may_hold(caller, pause)) {
                return Ok(Ok(Written { reward, deliver: false, pause }));
            }
        }
        let mut reward = before;
        let next = match machine::step(reward.facts, sent.event, sent.asked_at) {
            Ok(next) => next,
            Err(rejected) => return Ok(Err(rejected)),
        };
        self.apply(&mut reward, &next, lease, now)?;
        Ok(Ok(Written { reward, deliver: next.deliver, pause: None }))
    }

    fn may_hold(&self, caller: &Caller, pause: Duration) -> bool {
        let allowed = self.settings().replay_while_waited && !self.tasks().stopping().is_cancelled();
        allowed && caller.waits_for(pause, self.ambient().monotonic())
    }

    /// Puts what the machine decided into the row, at this process's lease and chance.
    pub(super) fn apply(
        &self,
        reward: &mut Reward,
        next: &Next,
        lease: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let lease = lease.map(|token| self.lease(token));
        course::apply(reward, next, lease, now, self.ambient().draw()?);
        Ok(())
    }

    pub(super) fn lease(&self, token: Uuid) -> Lease {
        Lease { token, holds: self.settings().lease }
    }

    /// Leases rewards that are due, at most `room`, so that whoever calls may drive them.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is leased then.
    pub async fn claim_due(&self, room: usize) -> Result<Vec<Committed<Attempt>>, StoreError> {
        let now = self.ambient().now();
        let limit = CLAIM_MAX.min(i64::try_from(room).unwrap_or(CLAIM_MAX));
        let mut tx = self.store().begin().await?;
        let (mut attempts, mut ended) = (Vec::new(), Vec::new());
        for before in sql::due(&mut tx, now, limit).await? {
            let token = self.ambient().token()?;
            let Some((after, wake)) = self.take_up(&mut tx, before.clone(), token, now).await? else { continue };
            if wake == Wake::Now {
                failpoint::pass("replay", "in_t1");
                attempts.push(Attempt { reward: after, token, has_slot: false });
            } else {
                ended.push((before, after));
            }
        }
        let committed = tx.commit(attempts).await?;
        ended.iter().for_each(|(before, after)| self.tell(before, after));
        Ok(committed.each().collect())
    }

    /// Leases one due reward, or gives it up when its day is over.
    async fn take_up(
        &self,
        tx: &mut Tx,
        mut reward: Reward,
        token: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<(Reward, Wake)>, StoreError> {
        let over = course::is_over(&reward, self.settings().replay_age, now);
        if self.account_of(&reward).is_none() && !over {
            tracing::error!(reward.id = %reward.id, reward.account = reward.account, "the account of a due reward is not in the settings, or has another partner id");
            reward.due_at = course::after(now, ACCOUNT_PAUSE);
            sql::save(tx, &mut reward, &[], now).await?;
            return Ok(None);
        }
        let Ok(next) = course::resume(&reward, self.settings().replay_age, now) else {
            tracing::error!(reward.id = %reward.id, reward.state = reward.facts.state.as_str(), "a due reward knows no next step");
            return Ok(None);
        };
        self.apply(&mut reward, &next, Some(token), now)?;
        let entry = match next.wake {
            Wake::Now => Entry::with_attempt("attempt.sent", reward.attempts),
            Wake::Never | Wake::Backoff | Wake::At(_) => Entry::new("reward.given_up"),
        };
        let saved = sql::save(tx, &mut reward, &[entry], now).await?;
        Ok(saved.then_some((reward, next.wake)))
    }

    /// On SQLite one process serves the file, so whatever is leased at its start was leased by a process that is dead.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn abandon_leases(&self) -> Result<u64, StoreError> {
        let mut tx = self.store().begin().await?;
        let rows = sql::abandon_all(&mut tx, self.ambient().now()).await?;
        tx.commit(rows).await.map(Committed::into_inner)
    }

    fn lease_lost(&self, id: RewardId) -> DriveError {
        tracing::warn!(reward.id = %id, "an outcome came after another worker had taken over; it delivers nothing");
        self.metrics().lease_lost();
        DriveError::LeaseLost
    }

    /// Counts and logs a change once it is committed.
    pub(super) fn tell(&self, before: &Reward, after: &Reward) {
        let (from, to) = (before.facts.state, after.facts.state);
        if from == to {
            return;
        }
        let resolved = match to {
            State::Issued => Some("kept"),
            State::Canceled => Some("canceled"),
            State::Failed => Some("not_created"),
            State::NeedsAttention => Some("needs_attention"),
            State::Pending | State::Issuing | State::Unresolved | State::Canceling => None,
        };
        if let Some(outcome) = resolved {
            if before.facts.ambiguous || before.facts.cancel_doubt {
                self.metrics().resolved(outcome);
            }
            if from != State::Canceling || to != State::Issued {
                let program = after.charge.as_ref().map(|charge| charge.program.as_str());
                self.metrics().finished(&after.account, program, after.value, to.as_str());
            }
        }
        let attention = after.attention.map(|why| why.as_str());
        if to == State::NeedsAttention {
            tracing::error!(
                reward.id = %after.id, reward.account = after.account, reward.trace_id = after.trace_id(),
                reward.attention = attention, "a reward needs a person"
            );
        } else {
            tracing::info!(
                reward.id = %after.id, reward.account = after.account, reward.trace_id = after.trace_id(),
                reward.from = from.as_str(), reward.state = to.as_str(), "reward {}", to.as_str()
            );
        }
    }
}

/// What the failpoints call the way of this attempt: a cancel, a first create, or a later one.
const fn road(reward: &Reward) -> &'static str {
    if matches!(reward.facts.state, State::Canceling) {
        "cancel"
    } else if reward.attempts > 1 {
        "replay"
    } else {
        "issue"
    }
}
