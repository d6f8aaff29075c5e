//! What buyers consented to, as Amazon shows it: consents to one order, and to charges that recur.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::principal;
use crate::{
    http::{
        Code, Http, Problem,
        paging::{bad_query, query},
        problem::{Upstream, timestamp},
        routing::{nothing_of, read, resource},
        value::ValueView,
    },
    kernel::AmazonPayId,
    pay::{
        Payments,
        consents::{ConsentError, ConsentKind, ConsentShown},
        scopes,
    },
    provider::pay::{PayOperation, PayReason, PermissionState},
};

/// The operations of consents.
#[derive(OpenApi)]
#[openapi(paths(get_order, get_agreement))]
pub(crate) struct ConsentsApi;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/pay/orders/{id}", "GET, HEAD", [read().to(get_order)])).service(resource(
        "/v1/pay/agreements/{id}",
        "GET, HEAD",
        [read().to(get_agreement)],
    ));
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsentQuery {
    /// Of which account; needed where the settings have several.
    #[param(example = "shop")]
    account_id: Option<String>,
}

/// What a buyer consented to, as Amazon shows it now. Nothing of the buyer is in it.
#[derive(Serialize, ToSchema)]
#[schema(
    as = Consent,
    example = json!({
        "id": "C03-1234567-1234567", "kind": "agreement", "status": "usable", "reasons": [], "account_id": "shop",
        "limit": {"amount": "100000", "currency_code": "JPY"}, "balance": {"amount": "99020", "currency_code": "JPY"},
        "expires_at": "2027-12-28T09:30:00.000Z"
    })
)]
struct ConsentView<'a> {
    /// Amazon's id of it.
    #[schema(example = "C03-1234567-1234567")]
    id: &'a str,
    /// `order` or `agreement`.
    #[schema(example = "agreement")]
    kind: &'static str,
    /// `usable`, `blocked`, `ended` or `unknown`; more may come.
    #[schema(example = "usable")]
    status: &'static str,
    /// Amazon's words for why it is blocked or ended. `Other` stands for one that the service does not know.
    reasons: Vec<&'static str>,
    /// The account that charges on it.
    #[schema(example = "shop")]
    account_id: &'a str,
    /// How much it allows: an order in all, an agreement in each calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    limit: Option<ValueView>,
    /// What is left of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    balance: Option<ValueView>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2027-12-28T09:30:00.000Z")]
    expires_at: Option<String>,
}

impl<'a> ConsentView<'a> {
    fn new(kind: ConsentKind, shown: &'a ConsentShown) -> Self {
        let seen = &shown.seen;
        let words = |reasons: &[PayReason]| reasons.iter().map(|reason| reason.as_str()).collect();
        let (status, reasons) = match &seen.state {
            PermissionState::Usable => ("usable", Vec::new()),
            PermissionState::Blocked(reasons) => ("blocked", words(reasons)),
            PermissionState::Ended(reasons) => ("ended", words(reasons)),
            PermissionState::Odd => ("unknown", Vec::new()),
        };
        Self {
            id: seen.id.as_str(),
            kind: match kind {
                ConsentKind::Order => "order",
                ConsentKind::Agreement => "agreement",
            },
            status,
            reasons,
            account_id: &shown.account,
            limit: seen.limit.map(ValueView::from),
            balance: seen.balance.map(ValueView::from),
            expires_at: seen.expires_at.map(timestamp),
        }
    }
}

impl From<ConsentError> for Problem {
    fn from(error: ConsentError) -> Self {
        let of_amazon = |code, word: &str| {
            let operation = PayOperation::GetChargePermission.as_str();
            Self::new(code).upstream(Upstream { operation, error_code: word.to_owned(), error_type: None })
        };
        match error {
            ConsentError::UnknownAccount => bad_query("account_id", "the name of an account at Amazon Pay"),
            ConsentError::AmbiguousAccount => bad_query("account_id", "one of several accounts; say which"),
            ConsentError::OtherEnvironment(environment) => {
                nothing_of(format!("the account is of the {} environment", environment.as_str()))
            }
            ConsentError::NotFound => Self::new(Code::NOT_FOUND),
            ConsentError::Account(word) => of_amazon(Code::ACCOUNT_PROBLEM, word),
            ConsentError::Throttled => of_amazon(Code::UPSTREAM_BUSY, "throttled"),
            ConsentError::Rejected(word) => of_amazon(Code::UPSTREAM_REJECTED, word),
            ConsentError::Unusable(word) => of_amazon(Code::DEPENDENCY_UNAVAILABLE, word),
        }
    }
}

/// Read a consent to one order
///
/// Amazon is asked each time, and nothing of the answer is kept.
#[utoipa::path(
    get,
    path = "/v1/pay/orders/{id}",
    operation_id = "get_order",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "Amazon's id of the consent", example = "S03-1234567-1234567"), ConsentQuery),
    responses((status = 200, description = "The consent", body = ConsentView)),
    extensions(("x-problems" = json!(["program-forbidden", "account-problem", "upstream-busy", "upstream-rejected"])))
)]
async fn get_order(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    get(&http, &payments, &request, ConsentKind::Order, &id).await
}

/// Read a consent to charges that recur
///
/// Amazon is asked each time, and nothing of the answer is kept. `balance` is what may still be charged this month.
#[utoipa::path(
    get,
    path = "/v1/pay/agreements/{id}",
    operation_id = "get_agreement",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "Amazon's id of the consent", example = "C03-1234567-1234567"), ConsentQuery),
    responses((status = 200, description = "The consent", body = ConsentView)),
    extensions(("x-problems" = json!(["program-forbidden", "account-problem", "upstream-busy", "upstream-rejected"])))
)]
async fn get_agreement(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    get(&http, &payments, &request, ConsentKind::Agreement, &id).await
}

async fn get(
    http: &Http,
    payments: &Payments,
    request: &HttpRequest,
    kind: ConsentKind,
    id: &str,
) -> Result<HttpResponse, Problem> {
    principal(http, request, scopes::PAY_READ).await?;
    let ConsentQuery { account_id } = query(request)?;
    let id = id
        .parse::<AmazonPayId>()
        .map_err(|_malformed| nothing_of("no id: expected Amazon's id of a consent, as C03-1234567-1234567"))?;
    let shown = payments.consent(kind, account_id.as_deref(), &id).await?;
    Ok(HttpResponse::Ok().json(ConsentView::new(kind, &shown)))
}
