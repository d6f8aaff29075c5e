//! Campaigns: how far each has come, what it waits for, and to have it wait, go on, or end.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use uuid::Uuid;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, figure, finish, lead_to},
    paging::{PARTS, PARTS_READ, ROWS, ROWS_READ, behind, cut},
    visitor::{Halt, Visitor},
    words::{DoneNote, Words},
};
use crate::{
    batches::{
        BatchAsker, BatchError, BatchWish, CountedBatch,
        model::{BatchItem, BatchState, ItemOutcome, RewardBatch},
    },
    http::{Code, Problem},
    incentives::{self, service::ClientNames},
    kernel::BatchId,
};

/// Open campaigns of a page whose items are counted.
const COUNTED_MAX: usize = 20;

/// How much of a campaign is done.
struct BatchProgress {
    /// In words.
    text: String,
    /// Of a hundred; the bar is this full.
    share: i64,
}

impl BatchProgress {
    /// What is neither waiting nor under way is done. Of a campaign without items left nothing is known but that it ended.
    fn of(counted: &CountedBatch, words: &Words) -> Option<Self> {
        let open = [ItemOutcome::Waiting, ItemOutcome::Sent, ItemOutcome::Unresolved];
        let (counts, items) = (counted.counts.as_ref()?, counted.batch.items);
        let left: i64 = counts.iter().filter(|(outcome, _count)| open.contains(outcome)).map(|(_, count)| *count).sum();
        let done = items.saturating_sub(left);
        let share = done.saturating_mul(100).checked_div(items).unwrap_or(100).clamp(0, 100);
        let text = words.progress.replace("{done}", &done.to_string()).replace("{all}", &items.to_string());
        Some(Self { text, share })
    }
}

struct BatchLine {
    id: String,
    name: String,
    /// `None` where the visitor sees those of one client alone.
    client: Option<String>,
    state: &'static str,
    mark: &'static str,
    items: i64,
    progress: Option<BatchProgress>,
    waits: Option<String>,
    at: ShownTime,
}

#[derive(Template)]
#[template(path = "batches.html", config = "src/console/askama.toml")]
struct BatchesPage {
    frame: PageFrame,
    batches: Vec<BatchLine>,
    next: Option<String>,
}

/// An item of a campaign.
struct BatchItemLine {
    external_id: String,
    value: String,
    outcome: &'static str,
    mark: &'static str,
    refused: Option<String>,
    href: Option<String>,
}

#[derive(Template)]
#[template(path = "batch.html", config = "src/console/askama.toml")]
struct BatchPage {
    frame: PageFrame,
    line: BatchLine,
    facts: Vec<(&'static str, String)>,
    counts: Vec<(&'static str, i64)>,
    items: Vec<BatchItemLine>,
    next: Option<String>,
    may_pause: bool,
    may_resume: bool,
    may_cancel: bool,
}

const fn mark(state: BatchState) -> &'static str {
    match state {
        BatchState::Running => "pending",
        BatchState::Paused | BatchState::Canceled => "canceled",
        BatchState::Finished => "issued",
    }
}

const fn outcome_mark(outcome: ItemOutcome) -> &'static str {
    match outcome {
        ItemOutcome::Waiting | ItemOutcome::Sent | ItemOutcome::Unresolved => "pending",
        ItemOutcome::Issued => "issued",
        ItemOutcome::Failed | ItemOutcome::NeedsAttention | ItemOutcome::Refused => "failed",
        ItemOutcome::Canceled => "canceled",
    }
}

/// What holds a campaign up, in words.
pub(super) fn waits(batch: &RewardBatch, words: &Words) -> Option<String> {
    let code = batch.waiting_for.as_deref().filter(|_code| batch.state == BatchState::Running)?;
    Some((words.problem)(code).unwrap_or(code).to_owned())
}

pub(super) fn name(batch: &RewardBatch) -> String {
    batch.name.clone().unwrap_or_else(|| batch.id.to_string())
}

impl BatchLine {
    fn new(counted: &CountedBatch, names: &ClientNames, words: &Words) -> Self {
        let batch = &counted.batch;
        Self {
            id: batch.id.to_string(),
            name: name(batch),
            client: names.name(batch.client).map(str::to_owned),
            state: (words.batch_state)(batch.state),
            mark: mark(batch.state),
            items: batch.items,
            progress: BatchProgress::of(counted, words),
            waits: waits(batch, words),
            at: batch.created_at.into(),
        }
    }
}

impl BatchItemLine {
    fn new(item: BatchItem, outcome: ItemOutcome, words: &Words) -> Self {
        let refused = item.refused.map(|refusal| (words.problem)(&refusal.code).map_or(refusal.code, str::to_owned));
        Self {
            external_id: item.external_id,
            value: format!("{} {}", item.value.currency(), figure(&item.value)),
            outcome: (words.outcome)(outcome),
            mark: outcome_mark(outcome),
            refused,
            href: item.reward.map(|id| format!("/console/rewards/{id}")),
        }
    }
}

pub(super) async fn list(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = batches(&console, &request).await;
    finish(&console, &request, came).await
}

async fn batches(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, incentives::scopes::REWARDS_READ).await?;
    let (service, rewards, caller) = (console.batches.clone(), console.rewards.clone(), visitor.caller());
    let before = behind(request, Uuid::max())?;
    let work = async move {
        let (mut all, mut counted) = (Vec::new(), 0_usize);
        let mut batches = service.list(&caller, None, before, ROWS_READ).await?;
        let next = cut(&mut batches, ROWS, "/console/batches", |last| last.id.uuid().to_string());
        for batch in batches {
            if batch.ended_at.is_none() && counted < COUNTED_MAX {
                counted = counted.saturating_add(1);
                all.push(service.find(&caller, batch.id).await?);
            } else {
                all.push(CountedBatch { batch, counts: None });
            }
        }
        Ok::<_, BatchError>((all, next, rewards.client_names(&caller).await?))
    };
    let (all, next, names) = console.http.run(work).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let batches = all.iter().map(|counted| BatchLine::new(counted, &names, frame.words)).collect();
    Ok(answer(StatusCode::OK, &BatchesPage { frame, batches, next })?)
}

fn id(request: &HttpRequest) -> Result<BatchId, Problem> {
    request.match_info().query("id").parse().map_err(|_malformed| Problem::new(Code::NOT_FOUND))
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = batch(&console, &request).await;
    finish(&console, &request, came).await
}

async fn batch(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, incentives::scopes::REWARDS_READ).await?;
    let (id, position) = (id(request)?, behind(request, -1)?);
    let (service, rewards, caller) = (console.batches.clone(), console.rewards.clone(), visitor.caller());
    let work = async move {
        let found = service.find(&caller, id).await?;
        let items = service.items(&caller, id, position, PARTS_READ).await?;
        Ok::<_, BatchError>((found, items, rewards.client_names(&caller).await?))
    };
    let (counted, mut items, names) = console.http.run(work).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let (words, batch) = (frame.words, &counted.batch);
    let may = visitor.may(incentives::scopes::REWARDS_WRITE) && batch.is_of(&visitor.caller());
    let time = |at| ShownTime::from(at).text;
    let here = format!("/console/batches/{id}");
    let next = cut(&mut items, PARTS, &here, |(last, _outcome)| last.position.to_string());
    let facts = [
        (words.client, names.name(batch.client).map(str::to_owned)),
        (words.program, batch.program.as_ref().map(ToString::to_string)),
        (words.account, Some(batch.account.clone())),
        (words.count, Some(batch.items.to_string())),
        (words.recorded, Some(time(batch.created_at))),
        (words.tried_again, batch.resume_at.filter(|_at| batch.waiting_for.is_some()).map(time)),
        (words.ended, batch.ended_at.map(time)),
        (words.batch_id, Some(batch.id.to_string())),
    ];
    let counts = counted.counts.iter().flatten().map(|(outcome, count)| ((words.outcome)(*outcome), *count));
    let page = BatchPage {
        facts: facts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
        counts: counts.collect(),
        next,
        items: items.into_iter().map(|(item, outcome)| BatchItemLine::new(item, outcome, words)).collect(),
        may_pause: may && batch.state == BatchState::Running,
        // One that waits for a good key goes on by the key that resumes it.
        may_resume: may
            && (batch.state == BatchState::Paused
                || (batch.state == BatchState::Running && batch.waiting_for.is_some())),
        may_cancel: may && matches!(batch.state, BatchState::Running | BatchState::Paused),
        line: BatchLine::new(&counted, &names, words),
        frame,
    };
    Ok(answer(StatusCode::OK, &page)?)
}

pub(super) async fn change(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = carry_out(&console, &request, payload).await;
    finish(&console, &request, came).await
}

async fn carry_out(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    let (visitor, form) = Visitor::sending(console, request, payload).await?;
    visitor.must(incentives::scopes::REWARDS_WRITE)?;
    let (wish, note) = match form.value("wish") {
        "pause" => (BatchWish::Pause, DoneNote::BatchPaused),
        "resume" => (BatchWish::Resume, DoneNote::BatchResumed),
        "cancel" => (BatchWish::Cancel, DoneNote::BatchCanceled),
        _ => return Err(Problem::new(Code::INVALID_REQUEST).into()),
    };
    let (id, service, by) = (id(request)?, console.batches.clone(), BatchAsker::new(&visitor.principal, request));
    console.http.run(async move { service.change(by, id, wish).await }).await?;
    Ok(lead_to(&format!("/console/batches/{id}?done={}", note.as_str())))
}
