//! What an authorized charge holds: a capture takes it, a cancel gives it back.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::principal;
use crate::{
    failpoint,
    http::{
        Code, Http, Problem, prefer,
        routing::{path_id, resource},
        value::{ValueBody, printable},
    },
    identity::Principal,
    kernel::{PaymentId, claim_code::may_hold_claim_code},
    pay::{
        Payments,
        dto::{PaymentView, changed},
        held::HeldAsk,
        scopes,
    },
};

/// Characters of the longest reason.
const REASON_CHARACTERS_MAX: usize = 200;

/// The operations of held money.
#[derive(OpenApi)]
#[openapi(paths(capture, cancel))]
pub(crate) struct HeldApi;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/pay/charges/{id}/capture", "POST", [web::post().to(capture)])).service(resource(
        "/v1/pay/charges/{id}/cancel",
        "POST",
        [web::post().to(cancel)],
    ));
}

/// The body of `POST /v1/pay/charges/{id}/capture`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CaptureRequest, example = json!({"value": {"amount": "700", "currency_code": "JPY"}}))]
struct CaptureBody {
    /// How much is taken: all that is held, unless this says less.
    value: Option<ValueBody>,
}

/// The body of `POST /v1/pay/charges/{id}/cancel`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChargeCancelRequest, example = json!({"reason": "out of stock"}))]
struct VoidBody {
    /// Why, for the timeline. Text that can be a claim code is refused.
    #[schema(min_length = 1, max_length = 200, example = "out of stock")]
    reason: String,
}

fn ask(principal: &Principal, id: &str) -> Result<HeldAsk, Problem> {
    Ok(HeldAsk { caller: principal.caller(), charge: path_id::<PaymentId>(id)?, asked_by: principal.key })
}

/// Take the money of an authorized charge
///
/// All that the charge holds, or a part; Amazon gives the rest back. A charge has one capture: the same request again is always safe and
/// needs no key. Where nothing was taken and Amazon still holds the money, the charge is `authorized` again and may be captured anew.
#[utoipa::path(
    post,
    path = "/v1/pay/charges/{id}/capture",
    operation_id = "capture_charge",
    tag = "pay",
    security(("api_key" = ["pay:write"])),
    params(("id" = String, Path, description = "The charge's id", example = "pmt_01990000000070008000000000000000"), ("Prefer" = Option<String>, Header, description = "`respond-async`, or `wait=` and seconds (RFC 7240)", example = "wait=5")),
    request_body = CaptureBody,
    responses((status = 200, description = "The charge is paid", body = PaymentView, headers(("Idempotent-Replayed" = Option<bool>, description = "`true` where it was captured before"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed"))), (status = 202, description = "Not decided yet: read the charge after `Retry-After`. `authorized` among these: nothing was taken, and Amazon is asked what it holds", body = PaymentView, headers(("Retry-After" = u64, description = "Seconds"), ("Idempotent-Replayed" = Option<bool>, description = "`true` where a capture was asked for before"), ("Preference-Applied" = Option<String>, description = "What of `Prefer` was followed")))),
    extensions(("x-problems" = json!(["program-forbidden", "payment-declined", "invalid-state", "payment-undecided", "idempotency-mismatch", "amount-out-of-range", "amount-precision", "account-problem"])))
)]
async fn capture(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = principal(&http, &request, scopes::PAY_WRITE).await?;
    let body: CaptureBody = http.body(&request, payload).await?;
    let value = body.value.map(|value| value.into_money("/value")).transpose()?;
    let patience = prefer::patience(&request);
    let wait = patience.map(|patience| patience.wait);
    let made = payments.held.capture(ask(&principal, &id)?, value, wait, arrived).await?;
    let mut answer = changed(&made, http.ambient.now(), "paid")?;
    if let Some(patience) = patience {
        prefer::applied(patience, answer.headers_mut());
    }
    failpoint::pass("capture", "before_answer");
    Ok(answer)
}

/// Give back what an authorized charge holds
///
/// A charge that Amazon has not decided is canceled once it is authorized. The same request again is always safe. What is captured goes
/// back by a refund.
#[utoipa::path(
    post,
    path = "/v1/pay/charges/{id}/cancel",
    operation_id = "cancel_charge",
    tag = "pay",
    security(("api_key" = ["pay:write"])),
    params(("id" = String, Path, description = "The charge's id", example = "pmt_01990000000070008000000000000000")),
    request_body = VoidBody,
    responses((status = 200, description = "Nothing is held any more: the charge is `voided`", body = PaymentView, headers(("Idempotent-Replayed" = Option<bool>, description = "`true` where it was canceled before"))), (status = 202, description = "The cancel is recorded, and its outcome is not known yet: read the charge after `Retry-After`", body = PaymentView, headers(("Retry-After" = u64, description = "Seconds"), ("Idempotent-Replayed" = Option<bool>, description = "`true` where it was canceled before")))),
    extensions(("x-problems" = json!(["program-forbidden", "payment-declined", "invalid-state", "payment-undecided", "account-problem"])))
)]
async fn cancel(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let arrived = http.ambient.monotonic();
    let principal = principal(&http, &request, scopes::PAY_WRITE).await?;
    let VoidBody { reason } = http.body(&request, payload).await?;
    let reason = printable(reason, "/reason", REASON_CHARACTERS_MAX)?;
    if may_hold_claim_code(&reason) {
        let problem = Problem::new(Code::INVALID_REQUEST);
        return Err(problem.field("/reason", "invalid", "looks like a claim code, which must not be stored"));
    }
    let made = payments.held.void(ask(&principal, &id)?, reason, arrived).await?;
    let answer = changed(&made, http.ambient.now(), "voided")?;
    failpoint::pass("capture", "before_answer");
    Ok(answer)
}
