//! The REST face of payments. A handler opens the call, calls one use case, wraps the answer. Without an account at Amazon Pay in the
//! settings there are no such routes.

mod checkout;
mod consents;
mod errors;
mod held;
mod notices;

pub(crate) use consents::ConsentsApi;
pub(crate) use held::HeldApi;
pub(crate) use notices::NoticesApi;

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use super::{
    Payments,
    dto::{ChargeBody, PaymentEventView, PaymentView, RefundBody, made},
    kind::PaymentKind,
    model::PaymentCommand,
    scopes,
    sql::list::{ListedBy, PaymentPage},
};
use crate::{
    failpoint,
    http::{
        Code, Http, Problem, headers,
        paging::{List, after, bad_query, before, cursor, no_query, page, query, size, text},
        prefer,
        routing::{path_id, read, resource},
    },
    identity::{Principal, Scope},
    kernel::{AmazonPayId, PaymentId},
    ledger::problems::PROGRAM_FORBIDDEN,
};

/// The operations of payments.
#[derive(OpenApi)]
#[openapi(paths(checkout::page_config, checkout::button, checkout::session, checkout::complete, charge, charges, get_charge, charge_events, refund, refunds, get_refund, refund_events), tags((name = "pay", description = "Amazon Pay: charge a buyer who consented, and give money back. Served only where the settings name an account at Amazon Pay")))]
pub(crate) struct PayApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/pay/page-config", "GET, HEAD", [read().to(checkout::page_config)]))
        .service(resource("/v1/pay/buttons", "POST", [web::post().to(checkout::button)]))
        .service(resource("/v1/pay/checkout-sessions/{id}", "GET, HEAD", [read().to(checkout::session)]))
        .service(resource("/v1/pay/checkout-sessions/{id}/complete", "POST", [web::post().to(checkout::complete)]))
        .service(resource("/v1/pay/charges", "GET, HEAD, POST", [web::post().to(charge), read().to(charges)]))
        .service(resource("/v1/pay/charges/{id}", "GET, HEAD", [read().to(get_charge)]))
        .service(resource("/v1/pay/charges/{id}/events", "GET, HEAD", [read().to(charge_events)]))
        .service(resource("/v1/pay/refunds", "GET, HEAD, POST", [web::post().to(refund), read().to(refunds)]))
        .service(resource("/v1/pay/refunds/{id}", "GET, HEAD", [read().to(get_refund)]))
        .service(resource("/v1/pay/refunds/{id}/events", "GET, HEAD", [read().to(refund_events)]));
    held::routes(config);
    consents::routes(config);
    notices::routes(config);
}

/// Charge a buyer
///
/// Authorized and captured in one step; with `capture: false` the money is held until you capture or cancel the charge. The caller waits for Amazon's decision, 20 seconds at most; what is not decided then goes on
/// without the caller. The same key again is always safe: a buyer pays once. After a decline another charge needs another key.
#[utoipa::path(
    post,
    path = "/v1/pay/charges",
    operation_id = "make_charge",
    tag = "pay",
    security(("api_key" = ["pay:write"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same body is the same charge, for ever", example = "fee-2026-11", min_length = 1, max_length = 255), ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=` and seconds (RFC 7240)", example = "wait=5")),
    request_body = ChargeBody,
    responses((status = 201, description = "Paid now, or authorized", body = PaymentView, headers(("Location" = String, description = "The charge"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed"))), (status = 200, description = "The key was used before, and the charge is paid, or authorized", body = PaymentView, headers(("Location" = String, description = "The charge"), ("Idempotent-Replayed" = bool, description = "`true`"))), (status = 202, description = "Not decided yet: send the same key again, or read the charge, after `Retry-After`. `needs_attention` is among these: a person decides", body = PaymentView, headers(("Location" = String, description = "The charge"), ("Retry-After" = u64, description = "Seconds"), ("Idempotent-Replayed" = Option<bool>, description = "`true` where the key was used before"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "program-forbidden", "payment-declined", "idempotency-mismatch", "amount-out-of-range", "amount-precision", "currency-not-supported", "not-found", "upstream-rejected", "account-problem"])))
)]
async fn charge(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = principal(&http, &request, scopes::PAY_WRITE).await?;
    let body: ChargeBody = http.body(&request, payload).await?;
    let command = body.into_command(headers::idempotency_key(&request)?, &principal)?;
    make(&http, &payments, &request, &principal, command, arrived).await
}

/// Give money of a charge back
///
/// Amazon decides about each refund later: the answer is 202 as a rule. In all the charge and the smaller of 15 % and 8,400 yen above it
/// (75 of the other currencies), in ten refunds.
#[utoipa::path(
    post,
    path = "/v1/pay/refunds",
    operation_id = "make_refund",
    tag = "pay",
    security(("api_key" = ["pay:refund"])),
    params(("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters. The same key with the same body is the same refund, for ever", example = "return-4711", min_length = 1, max_length = 255), ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=` and seconds (RFC 7240)", example = "wait=5")),
    request_body = RefundBody,
    responses((status = 201, description = "The buyer has the money", body = PaymentView, headers(("Location" = String, description = "The refund"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed"))), (status = 200, description = "The key was used before, and the buyer has the money", body = PaymentView, headers(("Location" = String, description = "The refund"), ("Idempotent-Replayed" = bool, description = "`true`"))), (status = 202, description = "Not decided yet: read the refund after `Retry-After`", body = PaymentView, headers(("Location" = String, description = "The refund"), ("Retry-After" = u64, description = "Seconds"), ("Idempotent-Replayed" = Option<bool>, description = "`true` where the key was used before"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed")))),
    extensions(("x-problems" = json!(["idempotency-key-missing", "idempotency-key-invalid", "program-forbidden", "payment-declined", "not-refundable", "invalid-state", "payment-undecided", "idempotency-mismatch", "amount-out-of-range", "amount-precision", "currency-not-supported", "not-found", "upstream-rejected", "account-problem"])))
)]
async fn refund(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = principal(&http, &request, scopes::PAY_REFUND).await?;
    let body: RefundBody = http.body(&request, payload).await?;
    let command = body.into_command(headers::idempotency_key(&request)?, &principal)?;
    make(&http, &payments, &request, &principal, command, arrived).await
}

/// Whoever a request comes from. A key that is bound to a program deals with that program's rewards alone.
async fn principal(http: &Http, request: &HttpRequest, scope: Scope) -> Result<Principal, Problem> {
    let principal = Principal::of(http, request, scope).await?;
    if principal.program.is_some() {
        return Err(Problem::new(PROGRAM_FORBIDDEN).detail("the API key is bound to a program, which no payment is of"));
    }
    Ok(principal)
}

async fn make(
    http: &Http,
    payments: &Payments,
    request: &HttpRequest,
    principal: &Principal,
    command: PaymentCommand,
    arrived: Instant,
) -> Result<HttpResponse, Problem> {
    let patience = prefer::patience(request);
    let wait = patience.map(|patience| patience.wait);
    let outcome = payments.make.run(principal.caller(), command, wait, arrived).await?;
    let mut answer = made(&outcome, http.ambient.now())?;
    if let Some(patience) = patience {
        prefer::applied(patience, answer.headers_mut());
    }
    failpoint::pass("pay", "before_answer");
    Ok(answer)
}

/// Read a charge
///
/// Asking for a charge that is not decided brings the next look at it about.
#[utoipa::path(
    get,
    path = "/v1/pay/charges/{id}",
    operation_id = "get_charge",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "The charge's id", example = "pmt_01990000000070008000000000000000")),
    responses((status = 200, description = "The charge", body = PaymentView)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn get_charge(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    get(&http, &payments, &request, PaymentKind::Charge, &id).await
}

/// Read a refund
///
/// Asking for a refund that is not decided brings the next look at it about.
#[utoipa::path(
    get,
    path = "/v1/pay/refunds/{id}",
    operation_id = "get_refund",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "The refund's id", example = "pmt_01990000000070008000000000000000")),
    responses((status = 200, description = "The refund", body = PaymentView)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn get_refund(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    get(&http, &payments, &request, PaymentKind::Refund, &id).await
}

async fn get(
    http: &Http,
    payments: &Payments,
    request: &HttpRequest,
    kind: PaymentKind,
    id: &str,
) -> Result<HttpResponse, Problem> {
    let principal = principal(http, request, scopes::PAY_READ).await?;
    no_query(request)?;
    let (id, payments) = (path_id::<PaymentId>(id)?, payments.clone());
    let found = http.run(async move { payments.ask_for(&principal.caller(), kind, id).await }).await?;
    let payment = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(PaymentView::new(&payment)))
}

/// Read the timeline of a charge
#[utoipa::path(
    get,
    path = "/v1/pay/charges/{id}/events",
    operation_id = "list_charge_events",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "The charge's id", example = "pmt_01990000000070008000000000000000"), PaymentEventsQuery),
    responses((status = 200, description = "The timeline, oldest first", body = List<PaymentEventView>)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn charge_events(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    events(&http, &payments, &request, PaymentKind::Charge, &id).await
}

/// Read the timeline of a refund
#[utoipa::path(
    get,
    path = "/v1/pay/refunds/{id}/events",
    operation_id = "list_refund_events",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "The refund's id", example = "pmt_01990000000070008000000000000000"), PaymentEventsQuery),
    responses((status = 200, description = "The timeline, oldest first", body = List<PaymentEventView>)),
    extensions(("x-problems" = json!(["program-forbidden"])))
)]
async fn refund_events(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    events(&http, &payments, &request, PaymentKind::Refund, &id).await
}

async fn events(
    http: &Http,
    payments: &Payments,
    request: &HttpRequest,
    kind: PaymentKind,
    id: &str,
) -> Result<HttpResponse, Problem> {
    let principal = principal(http, request, scopes::PAY_READ).await?;
    let (id, payments) = (path_id::<PaymentId>(id)?, payments.clone());
    let PaymentEventsQuery { cursor, limit } = query(request)?;
    let (limit, from) = (size(limit)?, cursor.map(|cursor| after(Some(cursor))).transpose()?);
    // One more than is shown: whether there is another page.
    let work = async move { payments.events(&principal.caller(), kind, id, from, limit.saturating_add(1)).await };
    let mut entries = http.run(work).await?.ok_or(Problem::new(Code::NOT_FOUND))?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > shown;
    entries.truncate(shown);
    let next_cursor = entries.last().filter(|_last| more).map(|last| last.seq.to_string());
    Ok(HttpResponse::Ok().json(List { data: entries.into_iter().map(PaymentEventView::from).collect(), next_cursor }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PaymentEventsQuery {
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ChargesQuery {
    /// Your reference. Not together with `consent_id`.
    #[param(example = "fee-2026-11")]
    external_id: Option<String>,
    /// Amazon's id of what the buyer consented to.
    #[param(example = "C03-1234567-1234567")]
    consent_id: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RefundsQuery {
    /// Your reference. Not together with `charge_id`.
    #[param(example = "return-4711")]
    external_id: Option<String>,
    /// Of which charge.
    #[param(example = "pmt_01990000000070008000000000000000")]
    charge_id: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

/// List charges
#[utoipa::path(
    get,
    path = "/v1/pay/charges",
    operation_id = "list_charges",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(ChargesQuery),
    responses((status = 200, description = "Newest first", body = List<PaymentView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!(["program-forbidden", "not-found"])))
)]
async fn charges(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, scopes::PAY_READ).await?;
    let ChargesQuery { external_id, consent_id, cursor, limit } = query(&request)?;
    let by = match (text(external_id, "external_id")?, consent_id) {
        (None, None) => ListedBy::Client,
        (Some(id), None) => ListedBy::ExternalId(id),
        (None, Some(id)) => {
            let id = id.parse::<AmazonPayId>();
            ListedBy::Against(
                id.map_err(|_malformed| bad_query("consent_id", "an id of Amazon Pay, as C03-1234567-1234567"))?
                    .to_string(),
            )
        }
        (Some(_), Some(_)) => return Err(bad_query("consent_id", "one of external_id and consent_id")),
    };
    let asked = PaymentPage { kind: PaymentKind::Charge, by, before: before(cursor)?, limit: size(limit)? };
    list(&http, &payments, &request, &principal, asked).await
}

/// List refunds
#[utoipa::path(
    get,
    path = "/v1/pay/refunds",
    operation_id = "list_refunds",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(RefundsQuery),
    responses((status = 200, description = "Newest first", body = List<PaymentView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!(["program-forbidden", "not-found"])))
)]
async fn refunds(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = principal(&http, &request, scopes::PAY_READ).await?;
    let RefundsQuery { external_id, charge_id, cursor, limit } = query(&request)?;
    let by = match (text(external_id, "external_id")?, charge_id) {
        (None, None) => ListedBy::Client,
        (Some(id), None) => ListedBy::ExternalId(id),
        (None, Some(id)) => {
            let id = id.parse::<PaymentId>().map_err(|_malformed| bad_query("charge_id", "the id of a charge"))?;
            ListedBy::Charge(id.uuid())
        }
        (Some(_), Some(_)) => return Err(bad_query("charge_id", "one of external_id and charge_id")),
    };
    let asked = PaymentPage { kind: PaymentKind::Refund, by, before: before(cursor)?, limit: size(limit)? };
    list(&http, &payments, &request, &principal, asked).await
}

async fn list(
    http: &Http,
    payments: &Payments,
    request: &HttpRequest,
    principal: &Principal,
    asked: PaymentPage,
) -> Result<HttpResponse, Problem> {
    let (payments, caller, limit) = (payments.clone(), principal.caller(), asked.limit);
    let found = http.run(async move { payments.list(&caller, &asked).await }).await?;
    let last = found.last().map(|last| cursor(last.id.uuid()));
    let shown = found.iter().map(PaymentView::new).collect();
    Ok(page(request, shown, limit, last))
}
