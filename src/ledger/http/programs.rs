//! The REST endpoints of programs and their budgets.

mod wire;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use utoipa::OpenApi;

use self::wire::{ChangeBody, ProgramBody, ProgramView, SpendingView, invalid, limits, name, spending_view};
use crate::http::paging::{List, no_query};
use crate::{
    http::{
        Code, Http, Problem,
        routing::{path_id, read, resource},
    },
    identity::{Principal, Scope},
    kernel::{ClientId, ProgramId},
    ledger::{
        Ledger,
        programs::{ChangedBy, NewProgram, ProgramState},
        scopes,
        service::{ProgramChange, ProgramDetails},
    },
};

/// The operations of programs.
#[derive(OpenApi)]
#[openapi(paths(list, create, get, change, budget, suspend, resume), tags((name = "programs", description = "Budgets that rewards are charged to")))]
pub(crate) struct ProgramsApi;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/programs", "GET, HEAD, POST", [read().to(list), web::post().to(create)]))
        .service(resource("/v1/programs/{id}", "GET, HEAD, PATCH", [read().to(get), web::patch().to(change)]))
        .service(resource("/v1/programs/{id}/budget", "GET, HEAD", [read().to(budget)]))
        .service(resource("/v1/programs/{id}/suspend", "POST", [web::post().to(suspend)]))
        .service(resource("/v1/programs/{id}/resume", "POST", [web::post().to(resume)]));
}

/// Who calls, and the program that the path names. What names none, and one that the caller has nothing to do with, are
/// answered like one that is not there.
async fn program_of(
    http: &Http,
    ledger: &Ledger,
    request: &HttpRequest,
    id: &str,
    scope: Scope,
) -> Result<(Principal, ProgramDetails), Problem> {
    let principal = Principal::of(http, request, scope).await?;
    no_query(request)?;
    let id: ProgramId = path_id(id)?;
    let service = ledger.clone();
    let known = http.run(async move { service.details(&id).await }).await?;
    if principal.caller().deals_with(&known.program.id, known.owner()) {
        return Ok((principal, known));
    }
    Err(Problem::new(Code::NOT_FOUND))
}

fn by(principal: &Principal, ledger: &Ledger, request: &HttpRequest) -> ChangedBy {
    ChangedBy { name: principal.key.to_string(), scribe: ledger.scribe.of(principal.actor(request)) }
}

/// Whose a new program is to be: the caller's, or whose an operator says.
async fn owner_of(
    http: &Http,
    ledger: &Ledger,
    principal: &Principal,
    named: Option<String>,
) -> Result<ClientId, Problem> {
    let Some(name) = named.filter(|name| *name != principal.client_name) else { return Ok(principal.client) };
    if !principal.caller().is_operator() {
        return Err(invalid(
            "/client",
            "the name of the caller's own client: a program of another's takes the scope clients:all",
        ));
    }
    let service = ledger.clone();
    http.run(async move { service.client_of_name(&name).await }).await
}

/// Make a program
#[utoipa::path(
    post,
    path = "/v1/programs",
    operation_id = "create_program",
    tag = "programs",
    security(("api_key" = ["programs:write"])),
    request_body = ProgramBody,
    responses((status = 201, description = "Made", body = ProgramView, headers(("Location" = String, description = "The program")))),
    extensions(("x-problems" = json!(["program-conflict", "not-found", "audit-unavailable"])))
)]
async fn create(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::PROGRAMS_WRITE).await?;
    let body: ProgramBody = http.body(&request, payload).await?;
    let id: ProgramId = body
        .id
        .parse()
        .map_err(|_malformed| invalid("/id", "prg_ and 1 to 40 characters of a-z, 0-9 and underscore"))?;
    let owner = owner_of(&http, &ledger, &principal, body.client).await?;
    if !principal.caller().deals_with(&id, Some(owner)) {
        return Err(Problem::new(Code::NOT_FOUND));
    }
    let (name, account) = (name(body.name)?, body.account_id);
    let unknown =
        || Problem::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id");
    let currency = ledger.account(&account).ok_or_else(unknown)?.currency();
    let limits = limits(body.limits.unwrap_or_default(), currency)?;
    let (service, by) = (ledger.get_ref().clone(), by(&principal, &ledger, &request));
    let made = http
        .run(async move {
            let new = NewProgram { id: &id, name: &name, account: &account, owner: Some(owner) };
            service.create(new, &limits, &by).await
        })
        .await?;
    let location = format!("/v1/programs/{}", made.program.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(ProgramView::new(made, &ledger)))
}

/// List programs
#[utoipa::path(
    get,
    path = "/v1/programs",
    operation_id = "list_programs",
    tag = "programs",
    security(("api_key" = ["programs:read"])),
    responses((status = 200, description = "Those that the key may see", body = List<ProgramView>)),
    extensions(("x-problems" = json!([])))
)]
async fn list(http: web::Data<Http>, ledger: web::Data<Ledger>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::PROGRAMS_READ).await?;
    no_query(&request)?;
    let service = ledger.get_ref().clone();
    let all = http.run(async move { service.list().await }).await?;
    let caller = principal.caller();
    let own = all.into_iter().filter(|one| caller.deals_with(&one.program.id, one.owner()));
    let data = own.map(|one| ProgramView::new(one, &ledger)).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor: None }))
}

/// Read a program
#[utoipa::path(
    get,
    path = "/v1/programs/{id}",
    operation_id = "get_program",
    tag = "programs",
    security(("api_key" = ["programs:read"])),
    params(("id" = String, Path, description = "The program's id", example = "prg_spring")),
    responses((status = 200, description = "The program", body = ProgramView)),
    extensions(("x-problems" = json!([])))
)]
async fn get(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (_principal, found) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_READ).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(found, &ledger)))
}

/// Change a program
///
/// Replaces `name`, or all `limits`, or both.
#[utoipa::path(
    patch,
    path = "/v1/programs/{id}",
    operation_id = "change_program",
    tag = "programs",
    security(("api_key" = ["programs:write"])),
    params(("id" = String, Path, description = "The program's id", example = "prg_spring")),
    request_body = ChangeBody,
    responses((status = 200, description = "The program as it is now", body = ProgramView)),
    extensions(("x-problems" = json!(["invalid-state", "audit-unavailable"])))
)]
async fn change(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (principal, known) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_WRITE).await?;
    let body: ChangeBody = http.body(&request, payload).await?;
    let gone = || Problem::new(Code::INVALID_STATE).detail("the program's account is not in the settings");
    let currency = ledger.account(&known.program.account).ok_or_else(gone)?.currency();
    let limits = body.limits.map(|bodies| limits(bodies, currency)).transpose()?;
    let change = ProgramChange { name: body.name.map(name).transpose()?, limits };
    let (service, id, by) = (ledger.get_ref().clone(), known.program.id, by(&principal, &ledger, &request));
    let changed = http.run(async move { service.change(&id, &change, &by).await }).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(changed, &ledger)))
}

async fn set_state(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: &str,
    state: ProgramState,
) -> Result<HttpResponse, Problem> {
    let (principal, known) = program_of(&http, &ledger, &request, id, scopes::PROGRAMS_WRITE).await?;
    let (service, id, by) = (ledger.get_ref().clone(), known.program.id, by(&principal, &ledger, &request));
    let changed = http.run(async move { service.set_state(&id, state, &by).await }).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(changed, &ledger)))
}

/// Suspend a program
#[utoipa::path(
    post,
    path = "/v1/programs/{id}/suspend",
    operation_id = "suspend_program",
    tag = "programs",
    security(("api_key" = ["programs:write"])),
    params(("id" = String, Path, description = "The program's id", example = "prg_spring")),
    responses((status = 200, description = "Suspended, in all replicas", body = ProgramView)),
    extensions(("x-problems" = json!(["audit-unavailable"])))
)]
async fn suspend(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_state(http, ledger, request, &id, ProgramState::Suspended).await
}

/// Resume a program
#[utoipa::path(
    post,
    path = "/v1/programs/{id}/resume",
    operation_id = "resume_program",
    tag = "programs",
    security(("api_key" = ["programs:write"])),
    params(("id" = String, Path, description = "The program's id", example = "prg_spring")),
    responses((status = 200, description = "Active again", body = ProgramView)),
    extensions(("x-problems" = json!(["audit-unavailable"])))
)]
async fn resume(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_state(http, ledger, request, &id, ProgramState::Active).await
}

/// Read what a program has used, reserved and left
#[utoipa::path(
    get,
    path = "/v1/programs/{id}/budget",
    operation_id = "get_program_budget",
    tag = "programs",
    security(("api_key" = ["programs:read"])),
    params(("id" = String, Path, description = "The program's id", example = "prg_spring")),
    responses((status = 200, description = "Of each budget that has a limit or was drawn on", body = SpendingView)),
    extensions(("x-problems" = json!([])))
)]
async fn budget(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (_principal, known) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_READ).await?;
    let (service, id) = (ledger.get_ref().clone(), known.program.id);
    let spending = http.run(async move { service.spending(&id).await }).await?;
    Ok(HttpResponse::Ok().json(spending_view(spending, &ledger)))
}
