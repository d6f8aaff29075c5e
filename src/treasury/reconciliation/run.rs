//! One run, in five steps: read Amazon's side; compare each id of it; look for our rewards that Amazon does not list;
//! make rows for cards that only Amazon knows; finish. A run that fails leaves only its reason.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Reconciliations,
    amount::DecimalMark,
    compare::{Class, Frame, MatchResult, Ours, SKEW},
    csv::{CsvError, PortalCsvReader},
    fetch::{Batch, Incomplete, PageCursor},
    gap,
    join::{self, Pair, ProofCursor},
    model::{Item, Reconciliation, Source, Tally},
    period::Window,
    sql::{self, RunLease},
};
use crate::{
    accounts::{Account, Departure, Purpose, Wanted},
    incentives::{
        kind::{Kind, Listing},
        orphans::{self, OrphanCard},
    },
    kernel::RewardId,
    provider::incentives::{ActivityPage, ActivityQuery, ErrorType, Outcome, activity::PAGE_RECORDS_MAX},
    store::{StoreError, Tx},
};

/// How long other replicas leave a silent run alone: longer than the wait for a page and the page itself.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often a run checks whether it may ask for a page.
const TURN: Duration = Duration::from_secs(1);
/// How long a page may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(30);
/// How often a page is asked for before the run fails.
const TRIES: u32 = 3;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("Amazon has the activity report switched off for this partner; upload the portal's CSV file instead")]
    Disabled,
    #[error("Amazon refused to show the activity report")]
    Refused,
    /// By Amazon's clock: ours is ahead.
    #[error("by Amazon's clock the period is not over for an hour yet: check this machine's clock")]
    NotOver,
    /// Amazon did not answer, or its answer cannot be read.
    #[error("Amazon did not show a page of the activity report: {0}")]
    Unanswered(&'static str),
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    #[error(transparent)]
    File(#[from] CsvError),
    #[error("the file did not arrive whole")]
    Broken,
    /// Another process took over, or this process stops.
    #[error("the run was interrupted")]
    Interrupted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// The word in the database and in answers.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Disabled => "report_disabled",
            Self::Refused => "report_refused",
            Self::NotOver => "period_not_over",
            Self::Unanswered(_) => "report_unanswered",
            Self::Incomplete(_) => "report_incomplete",
            Self::File(_) => "file_unreadable",
            Self::Broken => "file_broken",
            Self::Interrupted => "interrupted",
            Self::Store(_) => "database",
        }
    }
}

/// Amazon's side as a file, chunk by chunk. Its end is a chunk, too: if the channel closes without it, the file is cut
/// off.
pub(crate) type Chunks = tokio::sync::mpsc::Receiver<Chunk>;

/// A part of a file.
#[derive(Debug)]
pub(crate) enum Chunk {
    Bytes(Vec<u8>),
    End,
}

/// A file of the portal's that arrives.
pub(crate) struct PortalFile {
    pub(crate) chunks: Chunks,
    /// Which mark stands before decimals, where the operator says it.
    pub(crate) decimal: Option<DecimalMark>,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) service: &'a Reconciliations,
    pub(super) account: &'a Account,
    pub(super) run: &'a Reconciliation,
    pub(super) token: Uuid,
    pub(super) tally: Tally,
    pub(super) items: i64,
    /// Amazon's side lists activations of physical cards.
    pub(super) lists_activations: bool,
    /// The findings, by their place, that only Amazon has and that are such.
    pub(super) strange_activations: BTreeSet<i64>,
}

impl Run<'_> {
    pub(super) async fn whole(&mut self, file: Option<PortalFile>) -> Result<Reconciliation, RunError> {
        let read = match file {
            Some(file) => self.read_file(file).await?,
            None => self.read_pages().await?,
        };
        let frame = Frame { period: self.run.period, read };
        self.compare(&frame).await?;
        self.look_for_the_unseen(&frame).await?;
        self.adopt().await?;
        self.finish().await
    }

    fn now(&self) -> DateTime<Utc> {
        self.service.deps.ambient.now()
    }

    /// The lease, extended from now on.
    pub(super) fn lease(&self) -> RunLease {
        let now = self.now();
        RunLease { id: self.run.id, token: self.token, until: now.checked_add_signed(LEASE).unwrap_or(now) }
    }

    async fn read_pages(&mut self) -> Result<Window, RunError> {
        // `begin` refused a period without a window.
        let window = self.run.period.asked().ok_or(RunError::Interrupted)?;
        let mut cursor = PageCursor::default();
        while let Some(page_index) = cursor.next() {
            let id = self.service.deps.ambient.token().map_err(|_no_randomness| RunError::Interrupted)?;
            let query = ActivityQuery { from: window.from, to: window.to, page_index, id };
            let page = self.page(query).await?;
            if !cursor.take(&page)? {
                continue;
            }
            let mut batch = Batch::default();
            page.records.iter().for_each(|record| batch.add(record, self.account.partner_id()));
            self.lists_activations |= batch.lists_activations;
            self.keep(&batch).await?;
        }
        Ok(window)
    }

    /// Asks for a page, and again if the answer was lost: reading it twice does no harm.
    async fn page(&self, query: ActivityQuery) -> Result<ActivityPage, RunError> {
        let mut last = RunError::Interrupted;
        for _try in 0..TRIES {
            let _departure = self.turn().await?;
            let started = self.service.deps.ambient.monotonic();
            let exchange = self.account.client().get_gift_card_activity_page(query).await;
            let (class, reason) = (exchange.outcome.class(), exchange.outcome.reason());
            let (metrics, operation) = (self.account.metrics(), "GetGiftCardActivityPage");
            metrics.upstream(self.account.id(), operation, class, reason, started.elapsed());
            last = match exchange.outcome {
                // Amazon may list more of the last hours later, and the days would count as reconciled.
                Outcome::Proven(_)
                    if exchange.server_date.is_some_and(|theirs| query.to.signed_duration_since(theirs) > SKEW) =>
                {
                    return Err(RunError::NotOver);
                }
                Outcome::Proven(page) => return Ok(page),
                Outcome::Refused(refusal) if refusal.error_type == ErrorType::ActivityPageDisabled => {
                    return Err(RunError::Disabled);
                }
                Outcome::Refused(_) | Outcome::AuthRejected(_) => return Err(RunError::Refused),
                Outcome::NotSent(_) | Outcome::Unknown(_) => RunError::Unanswered(reason),
            };
        }
        Err(last)
    }

    /// Waits until this account may ask for a page, over all replicas.
    async fn turn(&self) -> Result<Departure, RunError> {
        let spacing = self.service.deps.page_spacing;
        loop {
            self.next_step(0).await?.commit(()).await?;
            if self.account.turns().take_activity(spacing).await? {
                break;
            }
            tokio::time::sleep(TURN.min(spacing)).await;
        }
        self.account
            .rate()
            .departure(Wanted { purpose: Purpose::Look, caller: None }, SLOT_PATIENCE)
            .await
            .map_err(|_no_slot| RunError::Unanswered("quota"))
    }

    async fn read_file(&mut self, PortalFile { mut chunks, decimal }: PortalFile) -> Result<Window, RunError> {
        let mut reader = PortalCsvReader::new(self.account.currency(), decimal);
        let partner_id = self.account.partner_id();
        let (mut batch, mut span) = (Batch::default(), None);
        loop {
            match chunks.recv().await {
                Some(Chunk::Bytes(bytes)) => reader.take(&bytes, &mut |record| batch.add(&record, partner_id))?,
                Some(Chunk::End) => break,
                None => return Err(RunError::Broken),
            }
            if batch.seen.len() >= PAGE_RECORDS_MAX {
                span = wider(span, batch.span);
                self.lists_activations |= batch.lists_activations;
                self.keep(&std::mem::take(&mut batch)).await?;
            }
        }
        reader.finish(&mut |record| batch.add(&record, partner_id))?;
        span = wider(span, batch.span);
        self.lists_activations |= batch.lists_activations;
        self.keep(&batch).await?;
        Ok(self.run.period.filed(span))
    }

    /// A transaction in which the run goes on: its lease is extended, and so many records are counted. A process that is
    /// asked to stop does not go on.
    async fn next_step(&self, records: i64) -> Result<Tx, RunError> {
        if self.service.deps.tasks.stopping().is_cancelled() {
            return Err(RunError::Interrupted);
        }
        let mut tx = self.service.deps.store.begin().await?;
        if sql::renew(&mut tx, self.lease(), records).await? {
            return Ok(tx);
        }
        tx.undo().await;
        Err(RunError::Interrupted)
    }

    async fn keep(&self, batch: &Batch) -> Result<(), RunError> {
        let mut tx = self.next_step(batch.records).await?;
        if !batch.seen.is_empty() {
            join::see(&mut tx, self.run.id, self.account.partner_id(), batch).await?;
        }
        tx.commit(()).await?;
        Ok(())
    }

    /// Compares every id that Amazon lists with our reward.
    async fn compare(&mut self, frame: &Frame) -> Result<(), RunError> {
        let mut after = String::new();
        loop {
            let mut snapshot = self.service.deps.store.snapshot().await?;
            let step = join::seen_after(&mut snapshot, self.run.id, &after, self.account).await?;
            drop(snapshot);
            let Some(last) = step.last() else { return Ok(()) };
            after.clone_from(&last.request_id);
            let judged = step.iter().filter_map(|pair| {
                let theirs = pair.theirs.as_ref()?;
                Some((pair, frame.seen(theirs, pair.compared())))
            });
            self.note(judged.collect()).await?;
        }
    }

    /// Looks for rewards of ours that Amazon does not list.
    async fn look_for_the_unseen(&mut self, frame: &Frame) -> Result<(), RunError> {
        let mut after = ProofCursor { issued_at: self.run.period.from, reward: Uuid::nil() };
        loop {
            let mut snapshot = self.service.deps.store.snapshot().await?;
            let step = join::proven_after(&mut snapshot, self.run, after).await?;
            drop(snapshot);
            let Some(last) = step.last().and_then(|pair| pair.ours.as_ref()) else { break };
            let Some(issued_at) = last.compared.issued_at else { break };
            after = ProofCursor { issued_at, reward: last.id.uuid() };
            self.note(self.unseen(&step, frame)).await?;
        }
        let mut after = Uuid::nil();
        loop {
            let mut snapshot = self.service.deps.store.snapshot().await?;
            let open = join::open_unseen(&mut snapshot, self.run, after).await?;
            drop(snapshot);
            let Some(last) = open.last().and_then(|pair| pair.ours.as_ref()) else { return Ok(()) };
            after = last.id.uuid();
            self.note(self.unseen(&open, frame)).await?;
        }
    }

    /// Judges rewards that Amazon does not list. What no report is known to list is judged where this one lists some. A mock id buys nothing, and an id of another partner is not in this
    /// partner's report.
    fn unseen<'p>(&self, step: &'p [Pair], frame: &Frame) -> Vec<(&'p Pair, MatchResult)> {
        let expected = |pair: &&Pair| pair.theirs.is_none() && pair.request_id.starts_with(self.account.partner_id());
        let judged = |pair: &'p Pair| {
            let ours = pair.ours.as_ref()?;
            let tells = match ours.listing {
                Listing::Known => true,
                Listing::Unknown => self.lists_activations,
                Listing::Unread => false,
            };
            Some((pair, if tells { frame.unseen(&ours.compared) } else { MatchResult::Unchecked }))
        };
        step.iter().filter(expected).filter_map(judged).collect()
    }

    /// Counts the results, and writes the findings down.
    async fn note(&mut self, judged: Vec<(&Pair, MatchResult)>) -> Result<(), RunError> {
        let mut found = Vec::new();
        for (pair, result) in judged {
            if let Some(class) = self.count(pair, result) {
                self.items = self.items.saturating_add(1);
                if class == Class::TheirsOnly && pair.activated {
                    self.strange_activations.insert(self.items);
                }
                found.push(item(self.items, class, pair, self.run.started_at));
            }
        }
        let mut tx = self.next_step(0).await?;
        for item in &found {
            sql::item(&mut tx, self.run.id, self.account.partner_id(), item).await?;
        }
        tx.commit(()).await?;
        Ok(())
    }

    /// Counts a result and its money; returns the class if it is to be written down.
    fn count(&mut self, pair: &Pair, result: MatchResult) -> Option<Class> {
        let tally = &mut self.tally;
        let (counter, class) = match result {
            MatchResult::Elsewhere => return None,
            MatchResult::Unchecked => (&mut tally.unchecked, None),
            MatchResult::Matched => (&mut tally.matched, None),
            MatchResult::Found(Class::Unproven) => (&mut tally.unproven, Some(Class::Unproven)),
            MatchResult::Found(Class::OursOnly) => (&mut tally.ours_only, Some(Class::OursOnly)),
            MatchResult::Found(Class::TheirsOnly) => (&mut tally.theirs_only, Some(Class::TheirsOnly)),
            MatchResult::Found(Class::AmountDiffers) => (&mut tally.amount_differs, Some(Class::AmountDiffers)),
            MatchResult::Found(Class::StateDiffers) => (&mut tally.state_differs, Some(Class::StateDiffers)),
        };
        *counter = counter.saturating_add(1);
        let compared = !matches!(result, MatchResult::Unchecked | MatchResult::Found(Class::Unproven));
        if compared {
            let theirs = pair.theirs.as_ref().map_or(0, |theirs| match theirs.created_at {
                Some(_) => theirs.charged(),
                // The create lies before the window, so Amazon's report does not say its price. Ours stands in.
                None if result == MatchResult::Matched => pair.compared().map_or(0, Ours::charged),
                None => 0,
            });
            let again = pair
                .theirs
                .as_ref()
                .zip(pair.compared())
                .is_some_and(|(theirs, ours)| theirs.state(Some(ours)) == super::compare::TheirState::BoughtAgain);
            let ours = pair.compared().map_or(0, |ours| if again { 0 } else { ours.charged() });
            tally.theirs_minor = tally.theirs_minor.saturating_add(theirs);
            tally.ours_minor = tally.ours_minor.saturating_add(ours);
        }
        class
    }

    /// Makes a row for each card that only Amazon knows and whose id could only have come from us.
    async fn adopt(&mut self) -> Result<(), RunError> {
        let mut after = 0;
        loop {
            let mut snapshot = self.service.deps.store.snapshot().await?;
            let step = sql::strangers(&mut snapshot, self.run.id, after).await?;
            drop(snapshot);
            let Some(last) = step.last() else { return Ok(()) };
            after = last.seq;
            let mut tx = self.next_step(0).await?;
            let mut adopted = 0_i64;
            for item in &step {
                let Some(found) = self.foundling(item) else { continue };
                let now = self.now();
                let id = RewardId::new(self.service.deps.ambient.row_id(now).map_err(StoreError::from)?);
                if orphans::adopt(&mut tx, &found, id, now).await? {
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
        if self.strange_activations.contains(&item.seq) {
            // No report has the card's number, and without it the same bytes cannot be sent again.
            tracing::error!(
                account = account.id(),
                "only Amazon knows of an activation: a person must look at the reconciliation"
            );
            return None;
        }
        let creation_request_id = sql::creation_request_id(item);
        Some(OrphanCard {
            intent: creation_request_id.intent(account.partner_id())?,
            creation_request_id,
            kind: Kind::GiftCode,
            account: account.id().to_owned(),
            marketplace: account.marketplace(),
            environment: account.environment(),
            value: sql::theirs(item, account)?,
            created_at: item.at,
        })
    }

    /// The run is read before the commit: whoever is answered by an error may believe that it has not finished.
    async fn finish(&self) -> Result<Reconciliation, RunError> {
        let mut tx = self.service.deps.store.begin().await?;
        let done = sql::finish(&mut tx, self.lease(), &self.tally, self.now()).await?;
        tx = tx.or_undo(if done { Ok(()) } else { Err(RunError::Interrupted) }).await?;
        gap::fill(&mut tx, self.account.id(), self.now()).await?;
        let finished = sql::find(&mut tx, self.run.id).await?.ok_or(RunError::Interrupted)?;
        Ok(tx.commit(finished).await?.into_inner())
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
        reward: ours.map(|ours| ours.id),
        ours_state: ours.map(|ours| ours.state),
        theirs_state: theirs.map(|theirs| theirs.state(pair.compared())),
        ours_minor: pair.compared().map(|ours| ours.amount),
        theirs_minor: theirs.and_then(|theirs| theirs.amount),
        at: listed_at.or(pair.compared().map(|ours| ours.sent_at)).unwrap_or(started_at),
    }
}

pub(super) const fn source(file: bool) -> Source {
    if file { Source::Csv } else { Source::Amazon }
}
