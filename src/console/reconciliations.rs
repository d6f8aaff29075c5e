//! Reconciliations: whether Amazon's books are ours, and what differs.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use uuid::Uuid;

use super::{
    Console,
    page::{MONTHS, PageFrame, ShownTime, answer, figure, finish},
    paging::{PARTS, PARTS_READ, ROWS, ROWS_READ, behind, cut},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    http::{Code, Problem},
    incentives,
    kernel::{Money, ReconciliationId},
    store::StoreError,
    treasury::reconciliation::model::{Item, Reconciliation, RunState},
};

struct RunLine {
    id: String,
    account: String,
    days: String,
    state: &'static str,
    mark: &'static str,
    /// Both only to an operator: they are of all clients together.
    findings: Option<i64>,
    difference: Option<String>,
    at: ShownTime,
}

impl RunLine {
    fn new(run: &Reconciliation, is_operator: bool, words: &Words) -> Self {
        let (first, last) = run.period.first_and_last();
        let (state, mark) = match run.state {
            RunState::Running => (words.run_running, "pending"),
            RunState::Failed => (words.run_failed, "failed"),
            RunState::Finished if !is_operator => (words.run_finished, "issued"),
            RunState::Finished if run.is_clean() => (words.run_clean, "issued"),
            RunState::Finished => (words.run_differs, "failed"),
        };
        let shows_totals = is_operator && run.state == RunState::Finished;
        Self {
            id: run.id.to_string(),
            account: run.account.clone(),
            days: if first == last { first.to_string() } else { format!("{first} – {last}") },
            state,
            mark,
            findings: shows_totals.then(|| run.tally.findings()),
            difference: shows_totals.then(|| format!("{} {}", run.currency, figure(&run.difference()))),
            at: run.started_at.into(),
        }
    }
}

#[derive(Template)]
#[template(path = "reconciliations.html", config = "src/console/askama.toml")]
struct ReconciliationsPage {
    frame: PageFrame,
    runs: Vec<RunLine>,
    next: Option<String>,
}

/// What differs.
struct FindingLine {
    what: &'static str,
    request_id: String,
    href: Option<String>,
    ours: String,
    theirs: String,
    at: ShownTime,
}

impl FindingLine {
    fn new(item: Item, run: &Reconciliation, may_read: bool, words: &Words) -> Self {
        let side = |state: Option<&'static str>, minor: Option<i64>| {
            let money =
                minor.map(|minor| format!("{} {}", run.currency, figure(&Money::from_minor(minor, run.currency))));
            [state.map(str::to_owned), money].into_iter().flatten().collect::<Vec<_>>().join(" · ")
        };
        Self {
            what: (words.class)(item.class),
            request_id: item.request_id,
            href: item.reward.filter(|_id| may_read).map(|id| format!("/console/rewards/{id}")),
            ours: side(item.ours_state.map(words.state), item.ours_minor),
            theirs: side(item.theirs_state.map(words.theirs), item.theirs_minor),
            at: item.at.into(),
        }
    }
}

#[derive(Template)]
#[template(path = "reconciliation.html", config = "src/console/askama.toml")]
struct ReconciliationPage {
    frame: PageFrame,
    line: RunLine,
    facts: Vec<(&'static str, String)>,
    findings: Vec<FindingLine>,
    is_finished: bool,
    next: Option<String>,
}

pub(super) async fn list(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = runs(&console, &request).await;
    finish(&console, &request, came).await
}

async fn runs(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, MONTHS).await?;
    let (service, before) = (console.reconciliations.clone(), behind(request, Uuid::max())?);
    let mut runs = console.http.run(async move { service.list(before, None, ROWS_READ).await }).await?;
    let next = cut(&mut runs, ROWS, "/console/reconciliations", |last| last.id.uuid().to_string());
    let frame = PageFrame::new(console, request, Some(&visitor));
    let is_operator = visitor.caller().is_operator();
    let runs = runs.iter().map(|run| RunLine::new(run, is_operator, frame.words)).collect();
    Ok(answer(StatusCode::OK, &ReconciliationsPage { frame, runs, next })?)
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = run(&console, &request).await;
    finish(&console, &request, came).await
}

async fn run(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, MONTHS).await?;
    let not_found = || Problem::new(Code::NOT_FOUND);
    let id: ReconciliationId = request.match_info().query("id").parse().map_err(|_malformed| not_found())?;
    let place = behind(request, 0)?;
    let (service, shown) = (console.reconciliations.clone(), visitor.caller().shown());
    let work = async move {
        let Some(run) = service.find(id).await? else { return Ok(None) };
        let items = service.items(&run, &shown, place, PARTS_READ).await?;
        Ok::<_, StoreError>(Some((run, items)))
    };
    let (run, mut items) = console.http.run(work).await?.ok_or_else(not_found)?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let (words, is_operator) = (frame.words, visitor.caller().is_operator());
    let may_read = visitor.may(incentives::scopes::REWARDS_READ);
    let next = cut(&mut items, PARTS, &format!("/console/reconciliations/{id}"), |last| last.seq.to_string());
    let totals = |count: i64| (is_operator && run.state == RunState::Finished).then(|| count.to_string());
    let line = RunLine::new(&run, is_operator, words);
    let facts = [
        (words.account, Some(run.account.clone())),
        (words.days_compared, Some(line.days.clone())),
        (words.difference, line.difference.clone()),
        (words.matched, totals(run.tally.matched)),
        (words.findings, totals(run.tally.findings())),
        (words.began, Some(line.at.text.clone())),
        (words.ended, run.ended_at.map(|at| ShownTime::from(at).text)),
        (words.why_failed, run.failure.clone()),
        (words.run_id, Some(line.id.clone())),
    ];
    let page = ReconciliationPage {
        facts: facts.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
        findings: items.into_iter().map(|item| FindingLine::new(item, &run, may_read, words)).collect(),
        is_finished: run.state == RunState::Finished,
        next,
        line,
        frame,
    };
    Ok(answer(StatusCode::OK, &page)?)
}
