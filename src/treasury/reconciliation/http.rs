//! The REST endpoints of reconciliations. A run shows the purchases of all callers, so starting one needs a scope of its own.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::NaiveDate;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{
    BeginError, Begun, PreviewError, Reconciliations, RunRequest,
    amount::DecimalMark,
    balance_check::BalanceCheckView,
    csv::preview::{PreviewReport, PreviewView},
    model::{Reconciliation, RunState},
    period::{BadPeriod, RunPeriod},
    report::{ItemView, OpenDayView, View},
    run::{Chunk, PortalFile, RunError},
};
use crate::treasury::{problems, scopes};
use crate::{
    events,
    http::{
        Code, Http, Problem,
        connection::Connection,
        headers::{self, NotOne},
        paging::{self, List, after, after_day, before, no_query, page, query, size, text},
        routing::{path_id, read, resource},
    },
    identity::{Caller, Principal},
    kernel::{ReconciliationId, calendar},
    lifecycle::Lost,
};

/// Parts of a file between its sender and the run.
const CHUNKS_MAX: usize = 4;
/// How long the whole of a file may take on its way: 512 MiB at a megabyte a second.
const UPLOAD_MAX: Duration = Duration::from_secs(600);
/// How long the response to an upload waits for the result of the run.
const RESULT_PATIENCE: Duration = Duration::from_secs(5);

/// The operations of reconciliations.
#[derive(OpenApi)]
#[openapi(paths(start, list, get, items, open_days), components(schemas(DecimalMark)), tags((name = "reconciliations", description = "Amazon's records compared with ours")))]
pub(crate) struct ReconciliationsApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/reconciliation-days", "GET, HEAD", [read().to(open_days)]))
        .service(resource("/v1/reconciliations", "GET, HEAD, POST", [web::post().to(start), read().to(list)]))
        .service(resource("/v1/reconciliations/{id}", "GET, HEAD", [read().to(get)]))
        .service(resource("/v1/reconciliations/{id}/items", "GET, HEAD", [read().to(items)]));
}

/// What is asked for: days, both of them included.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReconciliationRequest)]
struct StartBody {
    /// The partner account.
    #[schema(example = "us")]
    account_id: String,
    /// The first day (UTC).
    #[schema(format = Date, example = "2026-11-01")]
    from: String,
    /// The last day, included. A day can be compared from 01:00 UTC of the next one on.
    #[schema(format = Date, example = "2026-11-01")]
    to: String,
}

/// What is asked for of a file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// The partner account. With a file alone.
    #[param(required = false, example = "us")]
    account_id: String,
    /// The first day (UTC). With a file alone.
    #[param(required = false, format = Date, example = "2026-11-01")]
    from: String,
    /// The last day, included. With a file alone.
    #[param(required = false, format = Date, example = "2026-11-01")]
    to: String,
    /// Which mark stands before an amount's decimals, where no amount of the file shows it.
    decimal: Option<DecimalMark>,
    /// Look at the file and begin no run.
    #[serde(default)]
    dry_run: bool,
}

impl StartBody {
    fn days(&self) -> Result<(NaiveDate, NaiveDate), Problem> {
        let day = |text: &str, pointer: &'static str| {
            let bad = || Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", "a day as in 2026-11-01");
            calendar::day(text).ok_or_else(bad)
        };
        Ok((day(&self.from, "/from")?, day(&self.to, "/to")?))
    }

    fn into_order(self, file: bool) -> Result<RunRequest, Problem> {
        let (first, last) = self.days()?;
        let period = RunPeriod::days(first, last).map_err(BeginError::from)?;
        Ok(RunRequest { account: self.account_id, period, file, daily: false })
    }
}

/// Compare Amazon's records with ours
///
/// With a JSON body Amazon is asked for its activity report. With a file of Amazon's portal as the body, the file is compared; account and
/// days are in the query then, and only then.
#[utoipa::path(
    post,
    path = "/v1/reconciliations",
    operation_id = "start_reconciliation",
    tag = "reconciliations",
    security(("api_key" = ["reconciliations:write"])),
    params(UploadQuery),
    request_body(content((StartBody = "application/json"), (String = "text/csv"), (String = "text/tab-separated-values")), description = "The days to compare; or a file of Amazon's portal, with the account and the days in the query"),
    responses((status = 200, description = "A file that was read to its end: the run. With `dry_run=true`: what is in the file", body = FileAnswer, headers(("Location" = Option<String>, description = "The run"))), (status = 202, description = "The run is under way", body = View, headers(("Location" = String, description = "The run"), ("Retry-After" = u64, description = "Seconds")))),
    extensions(("x-problems" = json!(["reconciliation-running"])))
)]
async fn start(
    http: web::Data<Http>,
    reconciliations: web::Data<Reconciliations>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let caller = Principal::of(&http, &request, scopes::RECONCILIATIONS_WRITE).await?.caller();
    if is_csv(&request)? {
        let upload = Upload::of(&http, &reconciliations, &request)?;
        if upload.query.dry_run {
            return upload
                .preview(payload)
                .await
                .map(|report| HttpResponse::Ok().json(FileAnswer::Preview(report.into())));
        }
        return upload.run(payload).await.map(|run| answer(&run, &caller));
    }
    let body: StartBody = http.body(&request, payload).await?;
    let begun = begin(&http, &reconciliations, body.into_order(false)?).await?;
    let run = begun.run.clone();
    let service = reconciliations.get_ref().clone();
    // The caller asks for the result later; the run itself logs a failure.
    drop(http.tasks.spawn(async move { drop(service.run(begun, None).await) }));
    Ok(answer(&run, &caller))
}

async fn begin(http: &Http, reconciliations: &Reconciliations, order: RunRequest) -> Result<Begun, Problem> {
    let service = reconciliations.clone();
    http.run(async move { service.begin(&order).await }).await
}

fn is_csv(request: &HttpRequest) -> Result<bool, Problem> {
    let content_type = headers::only(request, header::CONTENT_TYPE);
    let content_type = content_type.map_err(|NotOne| Problem::new(Code::UNSUPPORTED_MEDIA_TYPE))?.unwrap_or_default();
    let encoded = request.headers().contains_key(header::CONTENT_ENCODING);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let table = ["text/csv", "text/tab-separated-values"].iter().any(|kind| essence.eq_ignore_ascii_case(kind));
    Ok(table && !encoded)
}

/// The portal's file as the body, with account and days in the query.
struct Upload<'a> {
    http: &'a Http,
    reconciliations: &'a Reconciliations,
    request: &'a HttpRequest,
    query: UploadQuery,
}

impl<'a> Upload<'a> {
    fn of(http: &'a Http, reconciliations: &'a Reconciliations, request: &'a HttpRequest) -> Result<Self, Problem> {
        let query = web::Query::<UploadQuery>::from_query(request.query_string()).map_err(|_error| {
            let expected = "the query must have account_id, from and to, and may have decimal: point or comma, and dry_run: true \
                            or false";
            Problem::new(Code::INVALID_REQUEST).detail(expected)
        })?;
        Ok(Self { http, reconciliations, request, query: query.into_inner() })
    }

    /// Compares the file with our rewards.
    async fn run(self, payload: web::Payload) -> Result<Reconciliation, Problem> {
        let Self { http, reconciliations, request, query } = self;
        let UploadQuery { account_id, from, to, decimal, dry_run: _ } = query;
        let order = StartBody { account_id, from, to }.into_order(true)?;
        let begun = begin(http, reconciliations, order).await?;
        let (run, service) = (begun.run.clone(), reconciliations.clone());
        let (parts, chunks) = mpsc::channel(CHUNKS_MAX);
        let file = PortalFile { chunks, decimal };
        let mut job = http.tasks.spawn(async move { service.run(begun, Some(file)).await });
        pass_on(http, request, payload, parts).await;
        match tokio::time::timeout(RESULT_PATIENCE, &mut job).await {
            Ok(ended) => Ok(ended.map_err(|_panicked| Lost)??),
            Err(_elapsed) => Ok(run),
        }
    }

    /// Reports what is in the file.
    async fn preview(self, payload: web::Payload) -> Result<PreviewReport, Problem> {
        let Self { http, reconciliations, request, query } = self;
        let UploadQuery { account_id, from, to, decimal, dry_run: _ } = query;
        let body = StartBody { account_id, from, to };
        let (days, service) = (body.days()?, reconciliations.clone());
        let (parts, chunks) = mpsc::channel(CHUNKS_MAX);
        let file = PortalFile { chunks, decimal };
        let job = http.tasks.spawn(async move { service.preview(&body.account_id, days, file).await });
        pass_on(http, request, payload, parts).await;
        // A few parts are left to be read.
        job.await.map_err(|_panicked| Lost)?.map_err(|error| match error {
            PreviewError::Begin(error) => error.into(),
            PreviewError::Read(error) => error.into(),
        })
    }
}

/// Passes a body through in parts, so a long file needs no more memory. Each part has the time that the whole body of another
/// request has, and all of them have [`UPLOAD_MAX`].
async fn pass_on(http: &Http, request: &HttpRequest, mut payload: web::Payload, parts: mpsc::Sender<Chunk>) {
    Connection::of(request).expect_more(usize::MAX);
    let passing = async move {
        loop {
            let part = match tokio::time::timeout(http.body_timeout, payload.next()).await {
                Ok(Some(Ok(bytes))) => Chunk::Bytes(bytes.to_vec()),
                Ok(None) => Chunk::End,
                // Too slow, or cut off: the channel closes without an end, and the reading fails.
                Ok(Some(Err(_))) | Err(_) => break,
            };
            let end = matches!(part, Chunk::End);
            if parts.send(part).await.is_err() || end {
                break;
            }
        }
    };
    // One that takes too long as a whole is like one that is cut off.
    drop(tokio::time::timeout(UPLOAD_MAX, passing).await);
}

/// The response with a run: 202 while it is under way.
fn answer(run: &Reconciliation, caller: &Caller) -> HttpResponse {
    let mut answer = if run.state == RunState::Running { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    answer.insert_header((header::LOCATION, format!("/v1/reconciliations/{}", run.id)));
    if run.state == RunState::Running {
        answer.insert_header((header::RETRY_AFTER, "5"));
    }
    answer.json(FileAnswer::Run(view(run, caller)))
}

/// What a request for a run is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ReconciliationOrPreview)]
enum FileAnswer {
    /// The run.
    Run(View),
    /// What is in a file, of which no run was begun.
    Preview(PreviewView),
}

/// What a run counted is of the rewards of all clients.
fn view(run: &Reconciliation, caller: &Caller) -> View {
    if caller.is_operator() { View::from(run) } else { View::without_totals(run) }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RunsQuery {
    /// The partner account.
    #[param(example = "us")]
    account_id: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

/// A run, and the balance check as of now.
#[derive(Serialize, ToSchema)]
#[schema(as = BalancedReconciliation)]
struct Balanced {
    #[serde(flatten)]
    run: View,
    /// The balance check as of now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    balance: Option<BalanceCheckView>,
}

/// List reconciliations
#[utoipa::path(
    get,
    path = "/v1/reconciliations",
    operation_id = "list_reconciliations",
    tag = "reconciliations",
    security(("api_key" = ["ledger:read"])),
    params(RunsQuery),
    responses((status = 200, description = "Newest first", body = List<View>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!([])))
)]
async fn list(
    http: web::Data<Http>,
    reconciliations: web::Data<Reconciliations>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let caller = Principal::of(&http, &request, events::scopes::LEDGER_READ).await?.caller();
    let RunsQuery { account_id, cursor, limit } = query(&request)?;
    let (account, limit, before) = (text(account_id, "account_id")?, size(limit)?, before(cursor)?);
    let service = reconciliations.get_ref().clone();
    let runs = http.run(async move { service.list(before, account.as_deref(), limit).await }).await?;
    let last = runs.last().map(|run| paging::cursor(run.id.uuid()));
    Ok(page(&request, runs.iter().map(|run| view(run, &caller)).collect(), limit, last))
}

async fn find(http: &Http, reconciliations: &Reconciliations, id: &str) -> Result<Reconciliation, Problem> {
    let id: ReconciliationId = path_id(id)?;
    let service = reconciliations.clone();
    http.run(async move { service.find(id).await }).await?.ok_or(Problem::new(Code::NOT_FOUND))
}

/// Read a reconciliation
#[utoipa::path(
    get,
    path = "/v1/reconciliations/{id}",
    operation_id = "get_reconciliation",
    tag = "reconciliations",
    security(("api_key" = ["ledger:read"])),
    params(("id" = String, Path, description = "The run's id", example = "rec_01990000000070008000000000000000")),
    responses((status = 200, description = "The run; to an operator with its totals and the balance check", body = Balanced)),
    extensions(("x-problems" = json!([])))
)]
async fn get(
    http: web::Data<Http>,
    reconciliations: web::Data<Reconciliations>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let caller = Principal::of(&http, &request, events::scopes::LEDGER_READ).await?.caller();
    no_query(&request)?;
    let run = find(&http, &reconciliations, &id).await?;
    if !caller.is_operator() {
        return Ok(HttpResponse::Ok().json(Balanced { run: view(&run, &caller), balance: None }));
    }
    let (service, account, currency) = (reconciliations.get_ref().clone(), run.account.clone(), run.currency);
    let check = http.run(async move { service.balance_check(&account, currency).await }).await?;
    Ok(HttpResponse::Ok().json(Balanced { run: View::from(&run), balance: Some(BalanceCheckView::from(&check)) }))
}

/// List what a reconciliation found
#[utoipa::path(
    get,
    path = "/v1/reconciliations/{id}/items",
    operation_id = "list_reconciliation_items",
    tag = "reconciliations",
    security(("api_key" = ["ledger:read"])),
    params(("id" = String, Path, description = "The run's id", example = "rec_01990000000070008000000000000000"), RunsQuery),
    responses((status = 200, description = "What differs, one by one", body = List<ItemView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!([])))
)]
async fn items(
    http: web::Data<Http>,
    reconciliations: web::Data<Reconciliations>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let shown = Principal::of(&http, &request, events::scopes::LEDGER_READ).await?.caller().shown();
    let RunsQuery { account_id, cursor, limit } = query(&request)?;
    text(account_id, "account_id")?;
    let (limit, after) = (size(limit)?, after(cursor)?);
    let run = find(&http, &reconciliations, &id).await?;
    let (service, of) = (reconciliations.get_ref().clone(), run.clone());
    let items = http.run(async move { service.items(&of, &shown, after, limit).await }).await?;
    let last = items.last().map(|item| item.seq.to_string());
    let data = items.iter().map(|item| ItemView::new(item, run.currency)).collect();
    Ok(page(&request, data, limit, last))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DaysQuery {
    /// The partner account.
    #[param(example = "us")]
    account_id: String,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

/// List the days that no finished run covers
#[utoipa::path(
    get,
    path = "/v1/reconciliation-days",
    operation_id = "list_open_days",
    tag = "reconciliations",
    security(("api_key" = ["ledger:read"])),
    params(DaysQuery),
    responses((status = 200, description = "Oldest first", body = List<OpenDayView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!([])))
)]
async fn open_days(
    http: web::Data<Http>,
    reconciliations: web::Data<Reconciliations>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, events::scopes::LEDGER_READ).await?;
    let DaysQuery { account_id, cursor, limit } = query(&request)?;
    let (limit, after) = (size(limit)?, after_day(cursor)?);
    let service = reconciliations.get_ref().clone();
    let days = http.run(async move { service.open_days(&account_id).await }).await?;
    // A few hundred at most: they are not read page by page.
    let days = days.iter().filter(|open| after.is_none_or(|after| open.day > after));
    let days: Vec<_> = days.take(usize::try_from(limit).unwrap_or_default()).collect();
    let last = days.last().map(|open| open.day.to_string());
    Ok(page(&request, days.into_iter().map(OpenDayView::from).collect(), limit, last))
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::UnknownAccount => {
                Self::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id")
            }
            BeginError::Period(bad) => Self::new(Code::INVALID_REQUEST).detail(bad.to_string()),
            BeginError::Running(_) => Self::new(problems::RECONCILIATION_RUNNING),
            BeginError::Store(error) => error.into(),
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            // The text names rows and columns, never a value.
            RunError::File(error) => Self::new(Code::INVALID_REQUEST).detail(error.to_string()),
            RunError::Broken => Self::new(Code::REQUEST_TIMEOUT),
            RunError::NotOver => Self::new(Code::INVALID_REQUEST).detail(BadPeriod::NotOver.to_string()),
            RunError::Disabled | RunError::Refused | RunError::Unanswered(_) | RunError::Incomplete(_) => {
                Self::new(Code::DEPENDENCY_UNAVAILABLE)
            }
            RunError::Interrupted => Self::new(Code::DEPENDENCY_UNAVAILABLE),
            RunError::Store(error) => error.into(),
        }
    }
}
