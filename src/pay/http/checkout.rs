//! The REST face of buyers' consents. Nothing of it is stored, and nothing is charged.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::principal;
use crate::{
    http::{
        Code, Http, Problem,
        paging::{no_query, query},
        problem::MoneyMoved,
        routing::nothing_of,
        value::{ValueBody, ValueView},
    },
    pay::{
        Payments,
        checkout::{ButtonCommand, CheckoutAccount, CheckoutError, PageConfig, SessionView, SessionWord},
        dto::{invalid, reference, simulation},
        scopes,
    },
    provider::pay::{AmazonSessionId, ButtonInterval, PayReason, SignedButton},
};

/// Whose page, or whose session.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountQuery {
    /// Which account; needed where the settings name several.
    #[param(example = "shop")]
    account_id: Option<String>,
}

/// What a page needs to show Amazon's button.
#[derive(Serialize, ToSchema)]
#[schema(
    as = PageConfig,
    example = json!({
        "account_id": "shop", "environment": "sandbox", "currency_code": "JPY", "merchant_id": "A1EXAMPLEEXAMPLE",
        "store_id": "amzn1.application-oa2-client.0000", "public_key_id": "SANDBOX-AEXAMPLEEXAMPLEEXAMPLEEX",
        "script_url": "https://static-fe.payments-amazon.com/checkout.js"
    })
)]
pub(super) struct PageConfigView {
    /// The account.
    #[schema(example = "shop")]
    account_id: String,
    /// `sandbox` or `production`.
    #[schema(example = "sandbox")]
    environment: &'static str,
    /// What buyers pay in (`ledgerCurrency`).
    #[schema(example = "JPY")]
    currency_code: &'static str,
    /// Amazon's id of the seller (`merchantId`), where the settings name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "A1EXAMPLEEXAMPLE")]
    merchant_id: Option<String>,
    /// Amazon's id of the page, where the settings name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "amzn1.application-oa2-client.0000")]
    store_id: Option<String>,
    /// The key that buttons are signed with (`publicKeyId`); an account of MWS has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "SANDBOX-AEXAMPLEEXAMPLEEXAMPLEEX")]
    public_key_id: Option<String>,
    /// The script that shows the button; an account of MWS has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://static-fe.payments-amazon.com/checkout.js")]
    script_url: Option<&'static str>,
}

impl From<PageConfig> for PageConfigView {
    fn from(page: PageConfig) -> Self {
        Self {
            account_id: page.account,
            environment: page.environment.as_str(),
            currency_code: page.currency.code(),
            merchant_id: page.merchant_id,
            store_id: page.store_id,
            public_key_id: page.public_key_id,
            script_url: page.script_url,
        }
    }
}

/// How often a buyer is charged, as the buyer sees it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ButtonInterval, example = json!({"unit": "month", "count": 1}))]
pub(super) struct IntervalBody {
    /// The unit.
    unit: IntervalUnit,
    /// How many of them. Not with `variable`.
    #[schema(minimum = 1, maximum = 1000, example = 1)]
    count: Option<u16>,
}

/// A unit of time, or none that is fixed.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum IntervalUnit {
    Day,
    Week,
    Month,
    Year,
    Variable,
}

/// The body of `POST /v1/pay/buttons`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = ButtonRequest,
    example = json!({
        "value": {"amount": "980", "currency_code": "JPY"}, "every": {"unit": "month", "count": 1},
        "result_url": "https://shop.example/joined?state=5f3a", "external_id": "member-4711"
    })
)]
pub(super) struct ButtonBody {
    /// Which account is paid; needed where several are paid in the currency.
    #[schema(example = "shop")]
    account_id: Option<String>,
    /// What the buyer agrees to pay: once, or each time.
    value: ValueBody,
    /// How often, as the buyer sees it. Without it the consent is to one order.
    every: Option<IntervalBody>,
    /// Where Amazon sends the browser of a buyer who agreed, with `amazonCheckoutSessionId` in the query. By HTTPS; in the sandbox also
    /// `http://localhost`. A button is bound to no buyer: put a state of your own into it, and compare it.
    #[schema(max_length = 2048, example = "https://shop.example/joined?state=5f3a")]
    result_url: String,
    /// Where Amazon sends the browser of a buyer who goes back.
    #[schema(max_length = 2048, example = "https://shop.example/plans")]
    cancel_url: Option<String>,
    /// Your own reference. Amazon shows it in its reports.
    #[schema(min_length = 1, max_length = 128, example = "member-4711")]
    external_id: Option<String>,
}

/// A button, as `amazon.Pay.renderButton` takes it.
#[derive(Serialize, ToSchema)]
#[schema(as = SignedButton)]
pub(super) struct ButtonView {
    /// `payloadJSON`: hand it over byte for byte. Written anew, it has another signature.
    #[schema(example = "{\"storeId\":\"amzn1.application-oa2-client.0000\"}")]
    payload: String,
    /// `signature`.
    #[schema(example = "MEUCIQDw")]
    signature: String,
    /// `algorithm`.
    #[schema(example = "AMZN-PAY-RSASSA-PSS-V2")]
    algorithm: &'static str,
    /// `publicKeyId`.
    #[schema(example = "SANDBOX-AEXAMPLEEXAMPLEEXAMPLEEX")]
    public_key_id: String,
}

impl From<SignedButton> for ButtonView {
    fn from(button: SignedButton) -> Self {
        let SignedButton { payload, signature, algorithm, public_key_id } = button;
        Self { payload, signature, algorithm, public_key_id }
    }
}

/// The body of `POST /v1/pay/checkout-sessions/{id}/complete`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CompleteSessionRequest, example = json!({"value": {"amount": "980", "currency_code": "JPY"}}))]
pub(super) struct CompleteBody {
    /// Which account is paid; needed where several are paid in the currency.
    #[schema(example = "shop")]
    account_id: Option<String>,
    /// What your button asked the buyer for. Amazon refuses another amount.
    value: ValueBody,
    /// What Amazon's sandbox is to play: `BuyerCanceled`, `AmazonCanceled` or `Declined`. Sandbox only.
    #[schema(example = "BuyerCanceled")]
    simulation: Option<String>,
}

/// A checkout session, as it stands at Amazon.
#[derive(Serialize, ToSchema)]
#[schema(
    as = CheckoutSession,
    example = json!({
        "id": "11111111-2222-3333-4444-555555555555", "status": "completed", "kind": "agreement", "consent_id": "C03-1234567-1234567"
    })
)]
pub(super) struct CheckoutSessionView {
    /// Its id.
    #[schema(example = "11111111-2222-3333-4444-555555555555")]
    id: String,
    /// `open`: it can be completed. `completed`: the consent holds. `canceled`: nothing came of it. More may come.
    #[schema(example = "completed")]
    status: &'static str,
    /// `order` for one order, `agreement` for charges that recur; where Amazon says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "agreement")]
    kind: Option<&'static str>,
    /// What the buyer agreed to; Amazon shows it while the session is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    value: Option<ValueView>,
    /// Amazon's id of the consent: charges are made against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "C03-1234567-1234567")]
    consent_id: Option<String>,
    /// Amazon's word for why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "BuyerCanceled")]
    reason: Option<&'static str>,
}

impl From<SessionView> for CheckoutSessionView {
    fn from(view: SessionView) -> Self {
        Self {
            id: view.id.to_string(),
            status: match view.stage {
                SessionWord::Open => "open",
                SessionWord::Completed => "completed",
                SessionWord::Canceled => "canceled",
                SessionWord::Unknown => "unknown",
            },
            kind: view.recurs.map(|recurs| if recurs { "agreement" } else { "order" }),
            value: view.amount.map(ValueView::from),
            consent_id: view.consent.map(|id| id.to_string()),
            reason: view.reason.map(PayReason::as_str),
        }
    }
}

/// What a page needs to show Amazon's button
#[utoipa::path(
    get,
    path = "/v1/pay/page-config",
    operation_id = "get_page_config",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(AccountQuery),
    responses((status = 200, description = "What the page needs", body = PageConfigView)),
    extensions(("x-problems" = json!(["program-forbidden", "not-found"])))
)]
pub(super) async fn page_config(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    principal(&http, &request, scopes::PAY_READ).await?;
    let AccountQuery { account_id } = query(&request)?;
    let page = payments.checkout().page(account_id.as_deref()).map_err(in_query)?;
    Ok(HttpResponse::Ok().json(PageConfigView::from(page)))
}

/// Sign a button
///
/// The page hands the payload and its signature to Amazon's script. The buyer agrees on Amazon's page and comes back to `result_url`; then
/// complete the session. Nothing is stored, and nothing is charged.
#[utoipa::path(
    post,
    path = "/v1/pay/buttons",
    operation_id = "sign_button",
    tag = "pay",
    security(("api_key" = ["pay:write"])),
    request_body = ButtonBody,
    responses((status = 200, description = "The button", body = ButtonView)),
    extensions(("x-problems" = json!(["program-forbidden", "not-found", "amount-out-of-range", "amount-precision", "currency-not-supported", "account-problem"])))
)]
pub(super) async fn button(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    principal(&http, &request, scopes::PAY_WRITE).await?;
    no_query(&request)?;
    let body: ButtonBody = http.body(&request, payload).await?;
    let command = ButtonCommand {
        account: body.account_id,
        value: body.value.into_money("/value")?,
        every: body.every.map(IntervalBody::into_interval).transpose()?,
        result_url: body.result_url,
        cancel_url: body.cancel_url,
        external_id: reference(body.external_id)?,
    };
    Ok(HttpResponse::Ok().json(ButtonView::from(payments.checkout().button(&command)?)))
}

/// Read a checkout session
#[utoipa::path(
    get,
    path = "/v1/pay/checkout-sessions/{id}",
    operation_id = "get_checkout_session",
    tag = "pay",
    security(("api_key" = ["pay:read"])),
    params(("id" = String, Path, description = "`amazonCheckoutSessionId`, as the buyer's browser brought it", example = "11111111-2222-3333-4444-555555555555"), AccountQuery),
    responses((status = 200, description = "The session as it stands at Amazon", body = CheckoutSessionView)),
    extensions(("x-problems" = json!(["program-forbidden", "not-found", "upstream-rejected", "account-problem"])))
)]
pub(super) async fn session(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    principal(&http, &request, scopes::PAY_READ).await?;
    let AccountQuery { account_id } = query(&request)?;
    let (id, checkout) = (session_id(&id)?, payments.checkout());
    let seen = http.run(async move { Ok::<_, CheckoutError>(checkout.look(account_id.as_deref(), &id).await) }).await?;
    Ok(HttpResponse::Ok().json(CheckoutSessionView::from(seen.map_err(in_query)?)))
}

/// Complete a checkout session
///
/// The buyer's consent holds from then on, and can be charged. The same request again is safe: a session that is completed is answered with the
/// same consent. Amazon cancels a session that nobody completes within 24 hours.
#[utoipa::path(
    post,
    path = "/v1/pay/checkout-sessions/{id}/complete",
    operation_id = "complete_checkout_session",
    tag = "pay",
    security(("api_key" = ["pay:write"])),
    params(("id" = String, Path, description = "`amazonCheckoutSessionId`, as the buyer's browser brought it", example = "11111111-2222-3333-4444-555555555555")),
    request_body = CompleteBody,
    responses((status = 200, description = "The consent holds", body = CheckoutSessionView)),
    extensions(("x-problems" = json!(["program-forbidden", "not-found", "invalid-state", "amount-out-of-range", "amount-precision", "currency-not-supported", "upstream-rejected", "account-problem"])))
)]
pub(super) async fn complete(
    http: web::Data<Http>,
    payments: web::Data<Payments>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    principal(&http, &request, scopes::PAY_WRITE).await?;
    no_query(&request)?;
    let body: CompleteBody = http.body(&request, payload).await?;
    let (value, simulation) = (body.value.into_money("/value")?, simulation(body.simulation)?);
    let (id, checkout, account) = (session_id(&id)?, payments.checkout(), body.account_id);
    let work = async move { checkout.complete(account.as_deref(), &id, value, simulation.as_deref()).await };
    Ok(HttpResponse::Ok().json(CheckoutSessionView::from(http.run(work).await?)))
}

fn session_id(text: &str) -> Result<AmazonSessionId, Problem> {
    AmazonSessionId::parse(text)
        .ok_or_else(|| nothing_of("no id: Amazon's id of a checkout session has 1 to 64 letters, digits, - and _"))
}

impl IntervalBody {
    fn into_interval(self) -> Result<ButtonInterval, Problem> {
        let unit = match self.unit {
            IntervalUnit::Day => "Day",
            IntervalUnit::Week => "Week",
            IntervalUnit::Month => "Month",
            IntervalUnit::Year => "Year",
            IntervalUnit::Variable => "Variable",
        };
        match (self.unit, self.count) {
            (IntervalUnit::Variable, None) => Ok(ButtonInterval { unit, count: 0 }),
            (IntervalUnit::Variable, Some(_)) => {
                Err(invalid("/every/count", "nothing, where the interval is variable"))
            }
            (_, Some(count @ 1..=1000)) => Ok(ButtonInterval { unit, count }),
            (_, Some(_) | None) => Err(invalid("/every/count", "a whole number from 1 to 1000")),
        }
    }
}

/// The same problem, where the account stands in the query.
fn in_query(error: CheckoutError) -> Problem {
    let expected = if matches!(error, CheckoutError::Account(CheckoutAccount::Several)) {
        "the id of an account: the settings name several"
    } else if matches!(error, CheckoutError::Account(_)) {
        "the id of an account"
    } else if matches!(error, CheckoutError::OtherGeneration) {
        "the id of an account of Checkout v2"
    } else {
        return Problem::from(error);
    };
    super::bad_query("account_id", expected)
}

impl From<CheckoutError> for Problem {
    fn from(error: CheckoutError) -> Self {
        let problem = match error {
            CheckoutError::Account(CheckoutAccount::Unknown) => {
                invalid("/account_id", "there is no account of that id")
            }
            CheckoutError::Account(CheckoutAccount::Several) => {
                invalid("/account_id", "several accounts are paid in this currency; say which")
            }
            CheckoutError::Account(CheckoutAccount::Currency) => Self::new(Code::CURRENCY_NOT_SUPPORTED).field(
                "/value/currency_code",
                "unsupported",
                "the currency of an account at Amazon Pay",
            ),
            CheckoutError::OtherGeneration => {
                invalid("/account_id", "an account of Checkout v2: one of MWS has neither buttons nor sessions here")
            }
            CheckoutError::NoStore(account) => Self::new(Code::ACCOUNT_PROBLEM)
                .detail(format!("the settings name no pay.{account}.store_id, which a button needs")),
            CheckoutError::Page(pointer) => invalid(
                pointer,
                "an address by https, without a user and a fragment; in the sandbox also http://localhost",
            ),
            CheckoutError::TooMuch(most) => Self::new(Code::AMOUNT_OUT_OF_RANGE)
                .detail(format!("at most {most} {}", most.currency()))
                .field("/value/amount", "range", "outside the account's limits"),
            CheckoutError::Simulation => {
                invalid("/simulation", "nothing: the account is of the production environment")
            }
            CheckoutError::NoSession => nothing_of("Amazon knows no such session of this account"),
            CheckoutError::OtherAmount => Self::new(Code::UPSTREAM_REJECTED)
                .detail("the buyer agreed to another amount: send the one that your button had")
                .field("/value/amount", "different", "what the buyer agreed to"),
            CheckoutError::Canceled(reason) => Self::new(Code::INVALID_STATE).detail(format!(
                "Amazon has canceled the session ({}): the buyer agreed to nothing. Begin with another button",
                reason.as_str()
            )),
            CheckoutError::TurnedAway => Self::new(Code::ACCOUNT_PROBLEM),
            CheckoutError::Rejected(reason) => {
                Self::new(Code::UPSTREAM_REJECTED).detail(format!("Amazon refused the request ({})", reason.as_str()))
            }
            CheckoutError::NoAnswer(why) => Self::new(Code::DEPENDENCY_UNAVAILABLE)
                .detail(format!("Amazon has not shown the session completed ({why}): send the same request again")),
        };
        problem.money(MoneyMoved::No)
    }
}
