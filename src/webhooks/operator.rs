//! What an operator sees and ends of all clients' endpoints, by a command: whoever has a leaked key may have made one, and the API shows it to that
//! client alone.

use chrono::{DateTime, Utc};

use super::{
    endpoints::{self, DisabledWhy, WebhookEndpoint},
    service::record,
};
use crate::{
    audit::{AuditAction, Scribe},
    kernel::{ClientId, WebhookEndpointId},
    store::{Store, StoreError},
};

/// An endpoint as an operator sees it.
pub(crate) struct EndpointLine {
    pub(crate) id: WebhookEndpointId,
    pub(crate) client: ClientId,
    /// `enabled` or `disabled`.
    pub(crate) state: &'static str,
    /// The host of its URL.
    pub(crate) host: String,
    /// Failed attempts since the last one that was taken.
    pub(crate) failures: i64,
    /// It hears of what belongs to any client.
    pub(crate) everyone: bool,
    pub(crate) created_at: DateTime<Utc>,
}

/// The endpoints of all clients.
///
/// # Errors
/// [`StoreError`] from the database.
pub(crate) async fn all(store: &Store) -> Result<Vec<EndpointLine>, StoreError> {
    let all = endpoints::listening(&mut store.snapshot().await?).await?;
    let line = |endpoint: WebhookEndpoint| EndpointLine {
        id: endpoint.id,
        client: endpoint.client,
        state: endpoint.state.as_str(),
        host: endpoint.host().unwrap_or_default(),
        failures: endpoint.failures,
        everyone: endpoint.everyone,
        created_at: endpoint.created_at,
    };
    Ok(all.into_iter().map(line).collect())
}

/// Sends nothing more to it until its client enables it; `false` when there is none, or it is disabled already.
///
/// # Errors
/// [`StoreError`] from the database; nothing was changed.
pub(crate) async fn disable(
    store: &Store,
    id: WebhookEndpointId,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    scribe.wait_turn(&mut tx).await?;
    let disabled = endpoints::disable(&mut tx, id, DisabledWhy::Asked, now).await?;
    if let Some(endpoint) = endpoints::find(&mut tx, id).await?.filter(|_endpoint| disabled) {
        record(&mut tx, scribe, AuditAction::WebhookEndpointChanged, &endpoint, now).await?;
    }
    Ok(tx.commit(disabled).await?.into_inner())
}
