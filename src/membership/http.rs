//! The REST face of memberships. Without an account at Amazon Pay in the settings there are no such routes.

mod errors;
mod wire;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;
use utoipa::OpenApi;

use self::wire::{
    ChangePlanBody, JoinBody, MembershipPageQuery, MembershipView, MembershipsQuery, PeriodView, PlanBody, PlanView,
    SimulateBody,
};
use super::{
    scopes::{MEMBERSHIP_READ, MEMBERSHIP_WRITE},
    service::{MembershipAsker, Memberships},
    sql::MembershipPage,
    state::MembershipState,
    wishes::MembershipWish,
};
use crate::{
    http::{
        Http, Problem, headers,
        paging::{List, after, bad_query, before, cursor, no_query, page, query, size, text},
        routing::{path_id, read, resource},
    },
    identity::{Principal, Scope},
    ledger::problems::PROGRAM_FORBIDDEN,
};

/// The operations of memberships.
#[derive(OpenApi)]
#[openapi(
    paths(make_plan, plans, get_plan, close_plan, join, list, get, periods, pause, resume, retry, end, change_plan, simulate),
    tags((name = "membership", description = "Members who pay period by period by Amazon Pay, and get a gift code for each. Served only where the settings name an account at Amazon Pay"))
)]
pub(crate) struct MembershipApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/membership/plans", "GET, HEAD, POST", [web::post().to(make_plan), read().to(plans)]))
        .service(resource("/v1/membership/plans/{id}", "GET, HEAD", [read().to(get_plan)]))
        .service(resource("/v1/membership/plans/{id}/close", "POST", [web::post().to(close_plan)]))
        .service(resource("/v1/memberships", "GET, HEAD, POST", [web::post().to(join), read().to(list)]))
        .service(resource("/v1/memberships/{id}", "GET, HEAD", [read().to(get)]))
        .service(resource("/v1/memberships/{id}/periods", "GET, HEAD", [read().to(periods)]))
        .service(resource("/v1/memberships/{id}/pause", "POST", [web::post().to(pause)]))
        .service(resource("/v1/memberships/{id}/resume", "POST", [web::post().to(resume)]))
        .service(resource("/v1/memberships/{id}/retry", "POST", [web::post().to(retry)]))
        .service(resource("/v1/memberships/{id}/end", "POST", [web::post().to(end)]))
        .service(resource("/v1/memberships/{id}/change_plan", "POST", [web::post().to(change_plan)]))
        .service(resource("/v1/memberships/{id}/simulate", "POST", [web::post().to(simulate)]));
}

/// Whoever a request comes from. A key that is bound to a program deals with that program's rewards alone.
async fn principal(http: &Http, request: &HttpRequest, scope: Scope) -> Result<Principal, Problem> {
    let principal = Principal::of(http, request, scope).await?;
    if principal.program.is_some() {
        let detail = "the API key is bound to a program, which no membership is of";
        return Err(Problem::new(PROGRAM_FORBIDDEN).detail(detail));
    }
    Ok(principal)
}

fn asker(principal: &Principal, request: &HttpRequest) -> Result<MembershipAsker, Problem> {
    let key = headers::idempotency_key(request)?;
    Ok(MembershipAsker { client: principal.client, api_key: principal.key, key })
}

fn made(location: String, replayed: bool, view: impl Serialize) -> HttpResponse {
    let mut answer = if replayed { HttpResponse::Ok() } else { HttpResponse::Created() };
    if replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    answer.insert_header((header::LOCATION, location)).json(view)
}

/// Make a plan
///
/// What a period costs, and what a member gets for it. A plan never changes: make another, and have members change to it.
#[utoipa::path(
    post,
    path = "/v1/membership/plans",
    operation_id = "make_membership_plan",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same body is the same one", example = "plan-gold", min_length = 1, max_length = 255)),
    request_body = PlanBody,
    responses((status = 201, description = "Made", body = PlanView, headers(("Location" = String, description = "The plan"))), (status = 200, description = "The key was used before for the same", body = PlanView, headers(("Location" = String, description = "The plan"), ("Idempotent-Replayed" = bool, description = "`true`")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "idempotency-mismatch", "program-forbidden", "amount-out-of-range", "amount-precision", "currency-not-supported", "budget-exceeded", "program-suspended", "account-problem"])))
)]
async fn make_plan(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    let body: PlanBody = http.body(&request, payload).await?;
    let (by, new) = (asker(&principal, &request)?, body.into_plan()?);
    let service = memberships.get_ref().clone();
    let (plan, replayed) = http.run(async move { service.make_plan(by, new).await }).await?;
    Ok(made(format!("/v1/membership/plans/{}", plan.id), replayed, PlanView::from(plan)))
}

/// List plans
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/v1/membership/plans",
    operation_id = "list_membership_plans",
    tag = "membership",
    security(("api_key" = ["membership:read"])),
    params(MembershipPageQuery),
    responses((status = 200, description = "A page", body = List<PlanView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn plans(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_READ).await?;
    let asked: MembershipPageQuery = query(&request)?;
    let (limit, before) = (size(asked.limit)?, before(asked.cursor)?);
    let service = memberships.get_ref().clone();
    let found = http.run(async move { service.plans(&principal.caller(), before, limit).await }).await?;
    let last = found.last().map(|plan| cursor(plan.id.uuid()));
    Ok(page(&request, found.into_iter().map(PlanView::from).collect(), limit, last))
}

/// Read a plan
#[utoipa::path(
    get,
    path = "/v1/membership/plans/{id}",
    operation_id = "get_membership_plan",
    tag = "membership",
    security(("api_key" = ["membership:read"])),
    params(("id" = String, Path, description = "The plan's id", example = "pln_01990000000070008000000000000000")),
    responses((status = 200, description = "The plan", body = PlanView)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn get_plan(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_READ).await?;
    no_query(&request)?;
    let (service, id) = (memberships.get_ref().clone(), path_id(&id)?);
    let found = http.run(async move { service.plan(&principal.caller(), id).await }).await?;
    Ok(HttpResponse::Ok().json(PlanView::from(found)))
}

/// Close a plan
///
/// It takes no new members. Those that there are go on.
#[utoipa::path(
    post,
    path = "/v1/membership/plans/{id}/close",
    operation_id = "close_membership_plan",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The plan's id", example = "pln_01990000000070008000000000000000")),
    responses((status = 200, description = "The plan as it is now", body = PlanView)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn close_plan(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    no_query(&request)?;
    let (service, id) = (memberships.get_ref().clone(), path_id(&id)?);
    let closed = http.run(async move { service.close_plan(&principal.caller(), id).await }).await?;
    Ok(HttpResponse::Ok().json(PlanView::from(closed)))
}

/// Make a membership
///
/// The buyer's consent is read at Amazon: it must recur, be chargeable, and allow the plan's price in a month. The first period begins now; its charge is made at once, and not waited for.
#[utoipa::path(
    post,
    path = "/v1/memberships",
    operation_id = "join_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same body is the same one", example = "member-4711", min_length = 1, max_length = 255)),
    request_body = JoinBody,
    responses((status = 201, description = "Made", body = MembershipView, headers(("Location" = String, description = "The membership"))), (status = 200, description = "The key was used before for the same", body = MembershipView, headers(("Location" = String, description = "The membership"), ("Idempotent-Replayed" = bool, description = "`true`")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "idempotency-mismatch", "program-forbidden", "consent-not-usable", "consent-taken", "reference-taken", "currency-not-supported", "account-problem"])))
)]
async fn join(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    let body: JoinBody = http.body(&request, payload).await?;
    let (by, new) = (asker(&principal, &request)?, body.into_membership()?);
    let service = memberships.get_ref().clone();
    let (joined, replayed) = http.run(async move { service.join(by, new).await }).await?;
    Ok(made(format!("/v1/memberships/{}", joined.id), replayed, MembershipView::from(joined)))
}

/// List memberships
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/v1/memberships",
    operation_id = "list_memberships",
    tag = "membership",
    security(("api_key" = ["membership:read"])),
    params(MembershipsQuery),
    responses((status = 200, description = "A page", body = List<MembershipView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn list(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_READ).await?;
    let asked: MembershipsQuery = query(&request)?;
    let known = |word: String| {
        let states = "active, past_due, suspended, paused, lapsed or ended";
        MembershipState::from_word(&word).ok_or_else(|| bad_query("state", states))
    };
    let (limit, before) = (size(asked.limit)?, before(asked.cursor)?);
    let reference = text(asked.reference, "reference")?;
    let of_plan = |id: String| id.parse().map_err(|_malformed| bad_query("plan_id", "the id of a plan, pln_…"));
    let (state, plan) = (asked.state.map(known).transpose()?, asked.plan_id.map(of_plan).transpose()?);
    let wanted = MembershipPage { reference, state, plan, before, limit };
    let service = memberships.get_ref().clone();
    let found = http.run(async move { service.list(&principal.caller(), &wanted).await }).await?;
    let last = found.last().map(|one| cursor(one.id.uuid()));
    Ok(page(&request, found.into_iter().map(MembershipView::from).collect(), limit, last))
}

/// Read a membership
#[utoipa::path(
    get,
    path = "/v1/memberships/{id}",
    operation_id = "get_membership",
    tag = "membership",
    security(("api_key" = ["membership:read"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    responses((status = 200, description = "The membership", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn get(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_READ).await?;
    no_query(&request)?;
    let (service, id) = (memberships.get_ref().clone(), path_id(&id)?);
    let found = http.run(async move { service.find(&principal.caller(), id).await }).await?;
    Ok(HttpResponse::Ok().json(MembershipView::from(found)))
}

/// List the periods of a membership
///
/// Oldest first, each with its charge and its reward.
#[utoipa::path(
    get,
    path = "/v1/memberships/{id}/periods",
    operation_id = "list_membership_periods",
    tag = "membership",
    security(("api_key" = ["membership:read"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000"), MembershipPageQuery),
    responses((status = 200, description = "A page", body = List<PeriodView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn periods(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_READ).await?;
    let asked: MembershipPageQuery = query(&request)?;
    let (limit, behind) = (size(asked.limit)?, after(asked.cursor)?);
    let (service, id) = (memberships.get_ref().clone(), path_id(&id)?);
    let found = http.run(async move { service.periods(&principal.caller(), id, behind, limit).await }).await?;
    let last = found.last().map(|(period, _plan)| period.number.to_string());
    Ok(page(&request, found.into_iter().map(PeriodView::from).collect(), limit, last))
}

async fn changed(
    http: &Http,
    memberships: &Memberships,
    principal: Principal,
    id: &str,
    wish: MembershipWish,
) -> Result<HttpResponse, Problem> {
    let (service, id) = (memberships.clone(), path_id(id)?);
    let changed = http.run(async move { service.change(&principal.caller(), principal.key, id, wish).await }).await?;
    Ok(HttpResponse::Ok().json(MembershipView::from(changed)))
}

/// Have a membership wait
///
/// No period is opened or charged until it is resumed. A charge that is under way comes to its end.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/pause",
    operation_id = "pause_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state"])))
)]
async fn pause(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    no_query(&request)?;
    changed(&http, &memberships, principal, id.as_str(), MembershipWish::Pause).await
}

/// Have a membership go on
///
/// Nobody pays for the time that passed: where the last period is over, the next one begins today.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/resume",
    operation_id = "resume_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state"])))
)]
async fn resume(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    no_query(&request)?;
    changed(&http, &memberships, principal, id.as_str(), MembershipWish::Resume).await
}

/// Charge again
///
/// The buyer has mended the payment method. The consent is read at Amazon first.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/retry",
    operation_id = "retry_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state", "consent-not-usable", "currency-not-supported", "account-problem"])))
)]
async fn retry(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    no_query(&request)?;
    changed(&http, &memberships, principal, id.as_str(), MembershipWish::Retry).await
}

/// End a membership
///
/// No more is charged. A charge that is under way comes to its end, and what is paid has its reward. Then the buyer's consent is closed at Amazon, for good.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/end",
    operation_id = "end_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state"])))
)]
async fn end(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    no_query(&request)?;
    changed(&http, &memberships, principal, id.as_str(), MembershipWish::End).await
}

/// Change the plan from the next period on
///
/// Both plans are paid to one account. The plan that it has takes such a wish back.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/change_plan",
    operation_id = "change_membership_plan",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    request_body = ChangePlanBody,
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state", "consent-not-usable", "currency-not-supported", "account-problem"])))
)]
async fn change_plan(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    let body: ChangePlanBody = http.body(&request, payload).await?;
    let wish = MembershipWish::ChangePlan(body.into_plan()?);
    changed(&http, &memberships, principal, id.as_str(), wish).await
}

/// Have Amazon's sandbox play something
///
/// In the next charge alone. Sandbox only.
#[utoipa::path(
    post,
    path = "/v1/memberships/{id}/simulate",
    operation_id = "simulate_membership",
    tag = "membership",
    security(("api_key" = ["membership:write"])),
    params(("id" = String, Path, description = "The membership's id", example = "mbr_01990000000070008000000000000000")),
    request_body = SimulateBody,
    responses((status = 200, description = "The membership as it is now", body = MembershipView)),
    extensions(("x-problems" = json!(["program-forbidden", "invalid-state", "currency-not-supported", "account-problem"])))
)]
async fn simulate(
    http: web::Data<Http>,
    memberships: web::Data<Memberships>,
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, MEMBERSHIP_WRITE).await?;
    let body: SimulateBody = http.body(&request, payload).await?;
    let wish = MembershipWish::Simulate(body.into_simulation()?);
    changed(&http, &memberships, principal, id.as_str(), wish).await
}
