//! What finance and operators should hear of, in the order of writing.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    outbox::{self, FactFilter, FactRow},
    scopes,
};
use crate::http::paging::{List, after, query, size, text};
use crate::{
    http::{
        Http, Problem,
        problem::timestamp,
        routing::{read, resource},
    },
    identity::Principal,
};

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/events", "GET, HEAD", [read().to(events)]));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct FactView {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl From<FactRow> for FactView {
    fn from(row: FactRow) -> Self {
        let data = row.data.and_then(|json| RawValue::from_string(json).ok());
        Self { id: format!("evt_{}", row.id), kind: row.kind, timestamp: timestamp(row.at), subject: row.subject, data }
    }
}

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
    // Always one: whoever follows the events goes on from here, also from an empty page.
    let next_cursor = Some(rows.last().map_or(from, |row| row.id).to_string());
    Ok(HttpResponse::Ok().json(List { data: rows.into_iter().map(FactView::from).collect(), next_cursor }))
}
