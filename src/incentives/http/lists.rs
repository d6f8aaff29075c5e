//! The lists of rewards, and of what each account deals in.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    engine::State,
    http::{
        Http, Problem,
        paging::{List, bad_query, before, cursor, end_of_time, instant, no_query, page, query, size, text},
        value::ValueView,
    },
    identity::Principal,
    incentives::{Rewards, dto::RewardView, kind::Kind, scopes, sql::list::RewardFilter},
    store::StoreError,
};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RewardsQuery {
    /// Whose: the name of a client. Without it a key with `rewards:all` is shown those of all clients.
    #[param(example = "shop")]
    client: Option<String>,
    /// The client's reference.
    #[param(example = "order-4711")]
    external_id: Option<String>,
    /// Amazon's id of it.
    #[param(example = "AwssbAbCdEfGhIjKlMnOpQrStUvWxYz0123456")]
    creation_request_id: Option<String>,
    /// Its status.
    #[param(example = "issued")]
    status: Option<String>,
    /// Its kind.
    #[param(example = "gift_code")]
    kind: Option<String>,
    /// Which account pays.
    #[param(example = "us")]
    account_id: Option<String>,
    /// The program that it is charged to.
    #[param(example = "prg_spring")]
    program_id: Option<String>,
    /// Recorded at this instant or later.
    #[param(format = DateTime)]
    created_from: Option<String>,
    /// Recorded before this instant.
    #[param(format = DateTime)]
    created_to: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

impl RewardsQuery {
    fn into_filter(self) -> Result<RewardFilter, Problem> {
        let bad = |name: &'static str, known: Vec<&str>| {
            let known = known.join(", ");
            move || bad_query(name, &format!("one of {known}"))
        };
        let states = State::ALL.iter().map(|state| state.as_str()).collect();
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let state = self.status.map(|word| State::from_word(&word).ok_or_else(bad("status", states))).transpose()?;
        let kind = self.kind.map(|word| Kind::from_word(&word).ok_or_else(bad("kind", kinds))).transpose()?;
        let (before, limit) = (before(self.cursor)?, size(self.limit)?);
        Ok(RewardFilter {
            client: text(self.client, "client")?,
            external_id: text(self.external_id, "external_id")?,
            creation_request_id: text(self.creation_request_id, "creation_request_id")?,
            state,
            kind,
            account: text(self.account_id, "account_id")?,
            program: text(self.program_id, "program_id")?,
            created_from: instant(self.created_from, DateTime::UNIX_EPOCH, "created_from")?,
            created_to: instant(self.created_to, end_of_time(), "created_to")?,
            before,
            limit,
        })
    }
}

/// List rewards
#[utoipa::path(
    get,
    path = "/v1/rewards",
    operation_id = "list_rewards",
    tag = "rewards",
    security(("api_key" = ["rewards:read"])),
    params(RewardsQuery),
    responses((status = 200, description = "Newest first", body = List<RewardView>, headers(("Link" = Option<String>, description = "`<…>; rel=\"next\"` where there is another page")))),
    extensions(("x-problems" = json!([])))
)]
pub(super) async fn list(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    let asked: RewardsQuery = query(&request)?;
    let filter = asked.into_filter()?;
    let limit = filter.limit;
    let work = async move {
        let caller = principal.caller();
        Ok::<_, StoreError>((rewards.list(&caller, filter).await?, rewards.client_names(&caller).await?))
    };
    let (found, names) = http.run(work).await?;
    let last = found.last().map(|last| cursor(last.id.uuid()));
    let shown = found.iter().map(|reward| RewardView::new(reward, None).of_client(names.of(reward))).collect();
    Ok(page(&request, shown, limit, last))
}

#[derive(Serialize, ToSchema)]
struct CatalogEntry<'a> {
    /// Its id.
    #[schema(example = "us")]
    account_id: &'a str,
    /// Amazon's marketplace.
    #[schema(example = "US")]
    marketplace: &'static str,
    /// `sandbox` or `production`.
    #[schema(example = "sandbox")]
    environment: &'static str,
    /// What it deals in.
    #[schema(example = json!(["gift_code"]))]
    kinds: &'a [&'static str],
    /// The products of its vouchers.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    product_types: &'a [String],
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// The currency's decimal places.
    #[schema(example = 2)]
    exponent: u32,
    /// The smallest reward.
    minimum: ValueView,
    /// The largest.
    maximum: ValueView,
}

/// List what each account deals in
#[utoipa::path(
    get,
    path = "/v1/catalog",
    operation_id = "list_catalog",
    tag = "rewards",
    security(("api_key" = ["rewards:read"])),
    responses((status = 200, description = "The accounts that can pay", body = List<CatalogEntry>)),
    extensions(("x-problems" = json!([])))
)]
pub(super) async fn catalog(
    http: web::Data<Http>,
    rewards: web::Data<Rewards>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    Principal::of(&http, &request, scopes::REWARDS_READ).await?;
    no_query(&request)?;
    let data = rewards.accounts().iter().map(|account| CatalogEntry {
        account_id: account.id(),
        marketplace: account.marketplace().code(),
        environment: account.environment().as_str(),
        kinds: account.kinds(),
        product_types: &account.create().product_types,
        currency_code: account.currency().code(),
        exponent: account.currency().exponent(),
        minimum: account.minimum().into(),
        maximum: account.maximum().into(),
    });
    Ok(HttpResponse::Ok().json(List { data: data.collect(), next_cursor: None }))
}
