//! What finance and operators should hear of, in the order of writing.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{
    outbox::{self, FactFilter, FactRow},
    scopes,
};
use crate::http::paging::{after, query, size, text};
use crate::{
    http::{
        Http, Problem,
        problem::timestamp,
        routing::{read, resource},
    },
    identity::Principal,
};

/// The operations of events.
#[derive(OpenApi)]
#[openapi(paths(events), tags((name = "finance", description = "The ledger, and what finance and operators should hear of")))]
pub(crate) struct EventsApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/events", "GET, HEAD", [read().to(events)]));
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// The kind of event.
    #[serde(rename = "type")]
    #[param(example = "balance.low")]
    kind: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct FactView {
    /// Its id.
    #[schema(example = "evt_42")]
    id: String,
    /// What happened; more kinds may come.
    #[serde(rename = "type")]
    #[schema(example = "balance.low")]
    kind: String,
    /// When.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    timestamp: String,
    /// What it is about: a program, an account, a client or the database.
    #[schema(example = "us")]
    subject: String,
    /// What there is to say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
}

/// A page of events. Whoever follows them goes on from it, also from an empty one.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
struct FactPage {
    /// The events of this page; none where nothing new has happened.
    data: Vec<FactView>,
    /// Where to go on, later: it is always there.
    #[schema(example = "42")]
    next_cursor: String,
}

impl From<FactRow> for FactView {
    fn from(row: FactRow) -> Self {
        let data = row.data.and_then(|json| RawValue::from_string(json).ok());
        Self { id: format!("evt_{}", row.id), kind: row.kind, timestamp: timestamp(row.at), subject: row.subject, data }
    }
}

/// List what finance and operators should hear of
///
/// `next_cursor` is always there: go on from it later.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "list_events",
    tag = "finance",
    security(("api_key" = ["ledger:read"])),
    params(EventsQuery),
    responses((status = 200, description = "In the order of writing", body = FactPage)),
    extensions(("x-problems" = json!([])))
)]
async fn events(http: web::Data<Http>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let shown = Principal::of(&http, &request, scopes::LEDGER_READ).await?.caller().shown();
    let query: EventsQuery = query(&request)?;
    let (limit, from) = (size(query.limit)?, after(query.cursor)?);
    let kind = text(query.kind, "type")?;
    let store = http.store.clone();
    let rows = http
        .run(async move {
            let mut snapshot = store.question().await?;
            let filter = FactFilter { after: from, kind: kind.as_deref(), limit, shown };
            outbox::page(&mut snapshot, &filter).await
        })
        .await?;
    let next_cursor = rows.last().map_or(from, |row| row.id).to_string();
    Ok(HttpResponse::Ok().json(FactPage { data: rows.into_iter().map(FactView::from).collect(), next_cursor }))
}
