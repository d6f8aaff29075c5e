//! `noshi webhooks list` and `disable`: the endpoints of all clients, and an end to one of them, in the database.

use std::process::ExitCode;

use crate::{
    audit::AuditActor,
    bootstrap::{open_with_clock, scribe},
    cli::{CommandError, NamedAsker, say},
    config::Settings,
    http::problem::timestamp,
    kernel::WebhookEndpointId,
    webhooks::operator::{self, EndpointLine},
};

/// Why an endpoint was not disabled.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum WebhooksError {
    #[error("there is no enabled endpoint of that id")]
    Unknown,
}

pub(super) async fn list(settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, _ambient) = open_with_clock(&settings.store).await?;
    let lines = operator::all(&store).await?.iter().map(line).collect::<Vec<_>>();
    store.close().await;
    say(&lines.join("\n"))
}

pub(super) async fn disable(
    id: WebhookEndpointId,
    asker: &NamedAsker,
    settings: &Settings,
) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let scribe = scribe(settings, AuditActor::command(asker.name()))?;
    let disabled = operator::disable(&store, id, &scribe, ambient.now()).await?;
    store.close().await;
    if disabled { say(&format!("{id} is disabled")) } else { Err(WebhooksError::Unknown.into()) }
}

fn line(endpoint: &EndpointLine) -> String {
    let EndpointLine { id, client, state, host, failures, everyone, created_at } = endpoint;
    let hears = if *everyone { "  hears of everybody" } else { "" };
    format!("{id}  {client}  {state}  {host}  {failures} failures  made {}{hears}", timestamp(*created_at))
}
