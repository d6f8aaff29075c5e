//! One run, from the first page to the last count: read all of Amazon's side, compare it, look for what it does not show,
//! make rows for what only it knows, finish. A run that fails on the way leaves its reason and nothing else.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Reconciliations,
    compare::{Class, Frame, Verdict},
    csv::{CsvError, Portal},
    gap,
    gather::{Batch, Incomplete, Pager},
    model::{Item, Reconciliation, Source, Tally},
    pairs::{self, Pair},
    period::Window,
    sql::{self, Lease},
};
use crate::{
    accounts::{Account, Priority},
    incentives::adoption::{self, OrphanCard},
    kernel::RewardId,
    provider::incentives::{ActivityPage, ActivityQuery, ErrorType, Outcome, activity::PAGE_RECORDS_MAX},
    store::{Committed, StoreError},
};

/// How long a run is left alone by others without a sign of life: more than the wait for a page and the page itself.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How long a run looks again for its turn to ask for a page.
const TURN: Duration = Duration::from_secs(1);
/// How long a page may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(30);
/// How often a page is asked for before the run fails.
const TRIES: u32 = 3;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Amazon has the operation switched off for the partner.
    #[error("Amazon has the activity report switched off for this partner; upload the portal's CSV file instead")]
    Disabled,
    /// Amazon refused.
    #[error("Amazon refused to show the activity report")]
    Refused,
    /// Amazon did not answer, or not in words that we understand.
    #[error("Amazon did not show a page of the activity report: {0}")]
    Unanswered(&'static str),
    /// The report does not add up.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] CsvError),
    /// The file did not arrive whole.
    #[error("the file did not arrive whole")]
    Broken,
    /// Another process took over, or the process stops.
    #[error("the run was interrupted")]
    Interrupted,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// The word that is stored.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Disabled => "report_disabled",
            Self::Refused => "report_refused",
            Self::Unanswered(_) => "report_unanswered",
            Self::Incomplete(_) => "report_incomplete",
            Self::File(_) => "file_unreadable",
            Self::Broken => "file_broken",
            Self::Interrupted => "interrupted",
            Self::Store(_) => "database",
        }
    }
}

/// Amazon's side as a file, chunk by chunk. The end of the file is sent like everything else: a sender that only goes away
/// has lost its file.
pub type Chunks = tokio::sync::mpsc::Receiver<Chunk>;

/// A part of a file.
#[derive(Debug)]
pub enum Chunk {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// There are no more.
    End,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) room: &'a Reconciliations,
    pub(super) account: &'a Account,
    pub(super) run: &'a Reconciliation,
    pub(super) token: Uuid,
    pub(super) tally: Tally,
    pub(super) items: i64,
}

impl Run<'_> {
    /// All of it.
    pub(super) async fn whole(&mut self, file: Option<Chunks>) -> Result<(), RunError> {
        let read = match file {
            Some(chunks) => self.read_file(chunks).await?,
            None => self.read_pages().await?,
        };
        let frame = Frame { period: self.run.period, read };
        self.compare(&frame).await?;
        self.look_for_the_unseen(&frame).await?;
        self.adopt().await?;
        self.finish().await
    }

    fn now(&self) -> DateTime<Utc> {
        self.room.parts.ambient.now()
    }

    /// The lease as it is from now on.
    pub(super) fn lease(&self) -> Lease {
        let now = self.now();
        Lease { id: self.run.id, token: self.token, until: now.checked_add_signed(LEASE).unwrap_or(now) }
    }

    async fn read_pages(&self) -> Result<Window, RunError> {
        // A period that was begun has a window.
        let window = self.run.period.asked().ok_or(RunError::Interrupted)?;
        let mut pager = Pager::default();
        while let Some(page_index) = pager.next() {
            let query = ActivityQuery { from: window.from, to: window.to, page_index };
            let page = self.page(query).await?;
            if !pager.take(&page)? {
                continue;
            }
            let mut batch = Batch::default();
            page.records.iter().for_each(|record| batch.add(record, self.account.partner_id()));
            self.keep(&batch).await?;
        }
        Ok(window)
    }

    /// A page, asked for again where the answer was lost: it is a read.
    async fn page(&self, query: ActivityQuery) -> Result<ActivityPage, RunError> {
        let mut last = RunError::Interrupted;
        for _try in 0..TRIES {
            self.turn().await?;
            let started = self.room.parts.ambient.monotonic();
            let exchange = self.account.client().get_gift_card_activity_page(query).await;
            let outcome = (exchange.outcome.class(), exchange.outcome.reason());
            self.account.metrics().upstream(self.account.id(), "GetGiftCardActivityPage", outcome, started.elapsed());
            last = match exchange.outcome {
                Outcome::Proven(page) => return Ok(page),
                Outcome::Refused(refusal) if refusal.error_type == ErrorType::ActivityPageDisabled => {
                    return Err(RunError::Disabled);
                }
                Outcome::Refused(_) | Outcome::AuthRejected(_) => return Err(RunError::Refused),
                Outcome::NotSent(_) | Outcome::Unknown(_) => RunError::Unanswered(outcome.1),
            };
        }
        Err(last)
    }

    /// Waits until it is this account's turn, over all replicas.
    async fn turn(&self) -> Result<(), RunError> {
        let spacing = self.room.parts.page_spacing;
        loop {
            if self.room.parts.tasks.stopping().is_cancelled() {
                return Err(RunError::Interrupted);
            }
            self.renew().await?;
            if self.account.turns().take_activity(spacing).await? {
                break;
            }
            tokio::time::sleep(TURN.min(spacing)).await;
        }
        self.account
            .rate()
            .slot(Priority::Ordinary, SLOT_PATIENCE)
            .await
            .map_err(|_no_slot| RunError::Unanswered("quota"))
    }

    async fn read_file(&self, mut chunks: Chunks) -> Result<Window, RunError> {
        let (mut portal, partner_id) = (Portal::new(self.account.currency()), self.account.partner_id());
        let (mut batch, mut span) = (Batch::default(), None);
        loop {
            match chunks.recv().await {
                Some(Chunk::Bytes(bytes)) => portal.take(&bytes, &mut |record| batch.add(&record, partner_id))?,
                Some(Chunk::End) => break,
                None => return Err(RunError::Broken),
            }
            if batch.seen.len() >= PAGE_RECORDS_MAX {
                span = wider(span, batch.span);
                self.keep(&std::mem::take(&mut batch)).await?;
            }
        }
        portal.finish(&mut |record| batch.add(&record, partner_id))?;
        span = wider(span, batch.span);
        self.keep(&batch).await?;
        Ok(self.run.period.filed(span))
    }

    async fn renew(&self) -> Result<(), RunError> {
        let mut tx = self.room.parts.store.begin().await?;
        let mine = sql::renew(&mut tx, self.lease(), 0).await?;
        tx.commit(()).await?;
        if mine { Ok(()) } else { Err(RunError::Interrupted) }
    }

    async fn keep(&self, batch: &Batch) -> Result<(), RunError> {
        let mut tx = self.room.parts.store.begin().await?;
        if !sql::renew(&mut tx, self.lease(), batch.records).await? {
            return Err(RunError::Interrupted);
        }
        if !batch.seen.is_empty() {
            pairs::see(&mut tx, self.run.id, self.account.partner_id(), batch).await?;
        }
        tx.commit(()).await?;
        Ok(())
    }

    /// Everything that Amazon shows, against ours.
    async fn compare(&mut self, frame: &Frame) -> Result<(), RunError> {
        let mut after = String::new();
        loop {
            let mut snapshot = self.room.parts.store.snapshot().await?;
            let step = pairs::seen_after(&mut snapshot, self.run.id, &after, self.account).await?;
            drop(snapshot);
            let Some(last) = step.last() else { return Ok(()) };
            after.clone_from(&last.request_id);
            let judged = step.iter().filter_map(|pair| {
                let theirs = pair.theirs.as_ref()?;
                Some((pair, frame.seen(theirs, pair.ours.as_ref().map(|(_id, _state, ours)| ours))))
            });
            self.note(judged.collect()).await?;
        }
    }

    /// What we hold and Amazon does not show.
    async fn look_for_the_unseen(&mut self, frame: &Frame) -> Result<(), RunError> {
        let (account, mut after) = (self.account.id(), (self.run.period.from, Uuid::nil()));
        loop {
            let mut snapshot = self.room.parts.store.snapshot().await?;
            let step = pairs::proven_after(&mut snapshot, (self.run.id, account), self.run.period.to, after).await?;
            drop(snapshot);
            let cursor = step.last().and_then(|pair| pair.ours.as_ref());
            let Some((id, Some(issued_at))) = cursor.map(|(id, _state, ours)| (id, ours.issued_at)) else { break };
            after = (issued_at, id.uuid());
            self.note(self.unseen(&step, frame)).await?;
        }
        let mut after = Uuid::nil();
        loop {
            let mut snapshot = self.room.parts.store.snapshot().await?;
            let open = pairs::open_unseen(&mut snapshot, (self.run.id, account), self.run.period, after).await?;
            drop(snapshot);
            let Some((id, _state, _ours)) = open.last().and_then(|pair| pair.ours.as_ref()) else { return Ok(()) };
            after = id.uuid();
            self.note(self.unseen(&open, frame)).await?;
        }
    }

    /// Mock ids buy nothing, and an id of another partner is not in this one's report.
    fn unseen<'p>(&self, step: &'p [Pair], frame: &Frame) -> Vec<(&'p Pair, Verdict)> {
        let expected = |pair: &&Pair| pair.theirs.is_none() && pair.request_id.starts_with(self.account.partner_id());
        let judged = |pair: &'p Pair| pair.ours.as_ref().map(|(_id, _state, ours)| (pair, frame.unseen(ours)));
        step.iter().filter(expected).filter_map(judged).collect()
    }

    /// Counts verdicts and writes the findings down.
    async fn note(&mut self, judged: Vec<(&Pair, Verdict)>) -> Result<(), RunError> {
        let mut found = Vec::new();
        for (pair, verdict) in judged {
            if let Some(class) = self.count(pair, verdict) {
                self.items = self.items.saturating_add(1);
                found.push(item(self.items, class, pair, self.run.started_at));
            }
        }
        let mut tx = self.room.parts.store.begin().await?;
        if !sql::renew(&mut tx, self.lease(), 0).await? {
            return Err(RunError::Interrupted);
        }
        for item in &found {
            sql::item(&mut tx, self.run.id, self.account.partner_id(), item).await?;
        }
        tx.commit(()).await?;
        Ok(())
    }

    /// Counts a verdict and its money; the class of what is written down.
    fn count(&mut self, pair: &Pair, verdict: Verdict) -> Option<Class> {
        let tally = &mut self.tally;
        let (counter, class) = match verdict {
            Verdict::Elsewhere => return None,
            Verdict::Unchecked => (&mut tally.unchecked, None),
            Verdict::Matched => (&mut tally.matched, None),
            Verdict::Found(Class::Unproven) => (&mut tally.unproven, Some(Class::Unproven)),
            Verdict::Found(Class::OursOnly) => (&mut tally.ours_only, Some(Class::OursOnly)),
            Verdict::Found(Class::TheirsOnly) => (&mut tally.theirs_only, Some(Class::TheirsOnly)),
            Verdict::Found(Class::AmountDiffers) => (&mut tally.amount_differs, Some(Class::AmountDiffers)),
            Verdict::Found(Class::StateDiffers) => (&mut tally.state_differs, Some(Class::StateDiffers)),
        };
        *counter = counter.saturating_add(1);
        let compared = !matches!(verdict, Verdict::Unchecked | Verdict::Found(Class::Unproven));
        if compared {
            let theirs = pair.theirs.as_ref().map_or(0, |theirs| match theirs.created_at {
                Some(_) => theirs.charged(),
                // The create lies before what was read: what it cost is ours to say.
                None if verdict == Verdict::Matched => pair.ours.as_ref().map_or(0, |(_, _, ours)| ours.charged()),
                None => 0,
            });
            let again = pair.theirs.as_ref().zip(pair.ours.as_ref()).is_some_and(|(theirs, (_, _, ours))| {
                theirs.state(Some(ours)) == super::compare::TheirState::BoughtAgain
            });
            let ours = pair.ours.as_ref().map_or(0, |(_, _, ours)| if again { 0 } else { ours.charged() });
            tally.theirs_minor = tally.theirs_minor.saturating_add(theirs);
            tally.ours_minor = tally.ours_minor.saturating_add(ours);
        }
        class
    }

    /// Makes a row for each card that only Amazon knows and whose id could only have come from us.
    async fn adopt(&mut self) -> Result<(), RunError> {
        let mut after = 0;
        loop {
            let mut snapshot = self.room.parts.store.snapshot().await?;
            let step = sql::strangers(&mut snapshot, self.run.id, after).await?;
            drop(snapshot);
            let Some(last) = step.last() else { return Ok(()) };
            after = last.seq;
            let mut tx = self.room.parts.store.begin().await?;
            if !sql::renew(&mut tx, self.lease(), 0).await? {
                return Err(RunError::Interrupted);
            }
            let mut adopted = 0_i64;
            for item in &step {
                let Some(found) = self.foundling(item) else { continue };
                let now = self.now();
                let id = RewardId::new(self.room.parts.ambient.row_id(now).map_err(StoreError::from)?);
                if adoption::adopt(&mut tx, &found, id, now).await? {
                    sql::adopted(&mut tx, self.run.id, item.seq, id).await?;
                    adopted = adopted.saturating_add(1);
                }
            }
            tx.commit(()).await?;
            self.tally.adopted = self.tally.adopted.saturating_add(adopted);
        }
    }

    fn foundling(&self, item: &Item) -> Option<OrphanCard> {
        let account = self.account;
        let creation_request_id = sql::creation_request_id(item);
        Some(OrphanCard {
            intent: creation_request_id.intent(account.partner_id())?,
            creation_request_id,
            account: account.id().to_owned(),
            marketplace: account.marketplace(),
            environment: account.environment(),
            value: sql::theirs(item, account)?,
            created_at: item.at,
        })
    }

    async fn finish(&self) -> Result<(), RunError> {
        let mut tx = self.room.parts.store.begin().await?;
        let done = sql::finish(&mut tx, self.lease(), &self.tally, self.now()).await?;
        if done {
            gap::fill(&mut tx, self.account.id(), self.now()).await?;
        }
        let done: Committed<bool> = tx.commit(done).await?;
        if done.into_inner() { Ok(()) } else { Err(RunError::Interrupted) }
    }
}

fn wider<T: Ord + Copy>(one: Option<(T, T)>, other: Option<(T, T)>) -> Option<(T, T)> {
    match (one, other) {
        (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
        (one, other) => one.or(other),
    }
}

fn item(seq: i64, class: Class, pair: &Pair, started_at: DateTime<Utc>) -> Item {
    let (theirs, ours) = (pair.theirs.as_ref(), pair.ours.as_ref());
    let listed_at = theirs.and_then(|theirs| theirs.created_at.or(theirs.canceled_at));
    Item {
        seq,
        class,
        request_id: pair.request_id.clone(),
        reward: ours.map(|(id, _state, _ours)| *id),
        ours_state: ours.map(|(_id, state, _ours)| *state),
        theirs_state: theirs.map(|theirs| theirs.state(ours.map(|(_id, _state, ours)| ours))),
        ours_minor: ours.map(|(_id, _state, ours)| ours.amount),
        theirs_minor: theirs.and_then(|theirs| theirs.amount),
        at: listed_at.or(ours.map(|(_id, _state, ours)| ours.sent_at)).unwrap_or(started_at),
    }
}

/// The source of a run.
pub(super) const fn source(file: bool) -> Source {
    if file { Source::Csv } else { Source::Amazon }
}
