//! A reward: how it stands, what happened, and what can be done about it.

pub(super) mod reveal;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use serde_json::Value;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, figure, finish, lead_to},
    visitor::{Halt, Visitor},
    words::{DoneNote, Words},
};
use crate::{
    engine::{Stage, State},
    events::timeline::{EntryRow, TimelineOrder},
    http::{Code, Problem},
    incentives::{self, Reward, dto},
    kernel::RewardId,
    store::StoreError,
};

/// Entries of a timeline on the page: nearly always all.
const ENTRIES_MAX: i64 = 1000;
/// What an entry says besides its kind, as far as it helps a person.
const TOLD: [&str; 6] = ["reason", "error", "error_type", "http_status", "amazon_request_id", "api_key_id"];

/// An entry of the timeline in plain words.
struct TimelineLine {
    at: ShownTime,
    what: String,
    detail: String,
}

impl TimelineLine {
    fn new(entry: EntryRow, words: &Words) -> Self {
        let detail = entry.detail.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
        let told = |name: &&str| match detail.as_ref()?.get(*name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Self {
            at: entry.at.into(),
            what: (words.happened)(&entry.kind).map_or(entry.kind, str::to_owned),
            detail: TOLD.iter().filter_map(told).collect::<Vec<_>>().join(" · "),
        }
    }
}

#[derive(Template)]
#[template(path = "reward.html", config = "src/console/askama.toml")]
struct RewardPage {
    frame: PageFrame,
    id: String,
    name: String,
    /// A line each: what it is called, and what it is.
    facts: Vec<(&'static str, String)>,
    state: &'static str,
    mark: &'static str,
    meaning: &'static str,
    entries: Vec<TimelineLine>,
    is_archived: bool,
    /// Whether the form to cancel it is shown.
    may_cancel: bool,
    /// Whether there is none because the key lacks the scope for it.
    lacks_cancel: bool,
    /// Until when; `None`: there is no end yet, or nothing to cancel.
    until: Option<ShownTime>,
    /// Whether the time for a cancel is over.
    is_late: bool,
    /// Our clock, for the countdown: the browser's may be another.
    now: String,
    may_reveal: bool,
}

impl RewardPage {
    fn new(frame: PageFrame, visitor: &Visitor, reward: &Reward, client: Option<&str>, entries: Vec<EntryRow>) -> Self {
        let (words, id, stage) = (frame.words, reward.id.to_string(), &reward.order.stage);
        let now = frame.now;
        let until = reward.cancelable_until();
        let is_late = until.is_some_and(|until| until <= now);
        let can_be_canceled = match stage {
            Stage::Pending => true,
            Stage::Sending(_) | Stage::Unproven(_) | Stage::Proven(_) => until.is_some() && !is_late,
            Stage::Reversing(_) | Stage::Refused { .. } | Stage::Reversed(_) | Stage::Attention(_) => false,
        };
        let (is_open, may) =
            (can_be_canceled && !stage.reversal_wanted(), visitor.may(incentives::scopes::REWARDS_CANCEL));
        let may_reveal = reward.state() == State::Issued && reward.kind.rules().has_receipt;
        Self {
            name: reward.external_id.clone().unwrap_or_else(|| id.clone()),
            facts: facts(reward, client, words),
            state: (words.state)(reward.state()),
            mark: reward.state().as_str(),
            meaning: (words.meaning)(reward.state()),
            entries: entries.into_iter().map(|entry| TimelineLine::new(entry, words)).collect(),
            is_archived: reward.archived_at.is_some(),
            may_cancel: is_open && may,
            lacks_cancel: is_open && !may,
            until: until.filter(|_until| can_be_canceled).map(ShownTime::from),
            is_late: is_late && reward.state() == State::Issued,
            now: ShownTime::from(now).machine,
            may_reveal: may_reveal && visitor.may(incentives::scopes::CLAIM_CODES_REVEAL),
            frame,
            id,
        }
    }
}

fn facts(reward: &Reward, client: Option<&str>, words: &Words) -> Vec<(&'static str, String)> {
    let (order, time) = (&reward.order, |at| ShownTime::from(at).text);
    let error = reward.last_error.as_ref().map(|error| match &error.error_type {
        Some(kind) => format!("{} {kind}", error.code),
        None => error.code.clone(),
    });
    let all = [
        (words.value, Some(format!("{} {}", reward.value.currency(), figure(&reward.value)))),
        (words.order_number, reward.external_id.clone()),
        (words.client, client.map(str::to_owned)),
        (words.program, reward.budget.as_ref().map(|budget| budget.program.to_string())),
        (words.account, Some(reward.account.clone())),
        (words.kind, Some(reward.kind.as_str().to_owned())),
        (words.recorded, Some(time(order.created_at))),
        (words.issued_at, order.stage.proven_at().map(time)),
        (words.canceled_at, order.stage.reversed_at().map(time)),
        (words.last_error, error),
        (words.reward_id, Some(reward.id.to_string())),
        (words.amazon_id, Some(reward.creation_request_id.as_str().to_owned())),
    ];
    all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = reward(&console, &request).await;
    finish(&console, &request, came).await
}

async fn reward(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, incentives::scopes::REWARDS_READ).await?;
    let (id, rewards, caller) = (id(request)?, console.rewards.clone(), visitor.caller());
    let work = async move {
        let found = rewards.ask_for(&caller, id).await?;
        let entries = rewards.events(&caller, id, TimelineOrder::Oldest, None, ENTRIES_MAX).await?;
        Ok::<_, StoreError>((found.zip(entries), rewards.client_names(&caller).await?))
    };
    let (found, names) = console.http.run(work).await?;
    let (reward, entries) = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let page = RewardPage::new(frame, &visitor, &reward, names.of(&reward), entries);
    Ok(answer(StatusCode::OK, &page)?)
}

/// The reward that the path names.
fn id(request: &HttpRequest) -> Result<RewardId, Problem> {
    request.match_info().query("id").parse().map_err(|_malformed| Problem::new(Code::NOT_FOUND))
}

pub(super) async fn cancel(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = carry_out(&console, &request, payload).await;
    finish(&console, &request, came).await
}

async fn carry_out(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    let arrived = console.http.ambient.monotonic();
    let (visitor, form) = Visitor::sending(console, request, payload).await?;
    visitor.must(incentives::scopes::REWARDS_CANCEL)?;
    let (id, reason) = (id(request)?, dto::checked_reason(form.value("reason").to_owned())?);
    let canceled = console.rewards.cancel.run(visitor.caller(), id, reason, arrived).await;
    let state = canceled.map_err(Problem::from)?.state();
    let note = match state {
        State::Canceled => Some(DoneNote::Canceled),
        // Nothing was bought, or it stands: the page says which.
        State::Failed | State::Issued | State::NeedsAttention => None,
        State::Pending | State::Issuing | State::Unresolved | State::Canceling => Some(DoneNote::CancelRecorded),
    };
    let done = note.map(|note| format!("?done={}", note.as_str())).unwrap_or_default();
    Ok(lead_to(&format!("/console/rewards/{id}{done}")))
}
