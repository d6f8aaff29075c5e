//! A month's statement: as JSON, as CSV, as a page to print.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use utoipa::OpenApi;

use crate::{
    events,
    http::{
        Code, Http, Problem, accept,
        paging::no_query,
        routing::{no_account, nothing_of, read, resource},
    },
    identity::Principal,
    kernel::calendar,
    ledger::{
        Ledger,
        statement::{self, Statement, StatementAccount, sheet, view::StatementView},
    },
};

/// The operations of statements.
#[derive(OpenApi)]
#[openapi(paths(statement))]
pub(crate) struct StatementsApi;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/statements/{account_id}/{month}", "GET, HEAD", [read().to(statement)]));
}

const CSV: &str = "text/csv";
const HTML: &str = "text/html";
/// The page has a style of its own, and fetches and runs nothing.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Read a month's statement of an account
///
/// What the account held at first, what came, what each program bought and what was taken back, and what the account held at the end. With
/// `Accept: text/csv` the figures of the account and of each program as rows, with `text/html` a page to print.
#[utoipa::path(
    get,
    path = "/v1/statements/{account_id}/{month}",
    operation_id = "get_statement",
    tag = "finance",
    security(("api_key" = ["ledger:read"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us"), ("month" = String, Path, description = "The month, of the account's time zone. One that has not begun is answered 404", pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-10")),
    responses((status = 200, description = "The statement. A key without `clients:all` is shown the lines of its own rewards alone", content((StatementView = "application/json"), (String = "text/csv"), (String = "text/html")), headers(("Content-Disposition" = Option<String>, description = "Of CSV: the name of a file"), ("Content-Security-Policy" = Option<String>, description = "Of the page")))),
    extensions(("x-problems" = json!([])))
)]
async fn statement(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, events::scopes::LEDGER_READ).await?;
    no_query(&request)?;
    let (account, month) = path.into_inner();
    let account = ledger.account(&account).map(StatementAccount::of).ok_or_else(no_account)?;
    let month = calendar::month(&month).ok_or_else(|| nothing_of("no month: expected YYYY-MM, as in 2026-10"))?;
    let (shown, ledger) = (principal.caller().shown(), ledger.get_ref().clone());
    let made =
        http.run(async move { statement::make(&ledger.store, &account, month, &shown, ledger.ambient.now()).await });
    answer(&request, &made.await?.ok_or_else(|| nothing_of("the month has not begun, by the account's time zone"))?)
}

/// In the form that the caller likes best.
fn answer(request: &HttpRequest, statement: &Statement) -> Result<HttpResponse, Problem> {
    let mut answer = HttpResponse::Ok();
    match accept::preferred(request, &["application/json", CSV, HTML]) {
        Some(CSV) => {
            let table = sheet::csv(statement).map_err(|_error| Problem::new(Code::INTERNAL))?;
            answer.content_type("text/csv; charset=utf-8; header=present");
            let name = format!("attachment; filename=\"statement-{}.csv\"", statement.file_name());
            answer.insert_header((header::CONTENT_DISPOSITION, name));
            Ok(answer.body(table))
        }
        Some(HTML) => {
            answer.content_type("text/html; charset=utf-8");
            answer.insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY));
            Ok(answer.body(sheet::html(statement)))
        }
        _ => Ok(answer.json(StatementView::from(statement))),
    }
}
