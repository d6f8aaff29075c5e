//! `noshi webhooks`: the endpoints of all clients, and an end to one of them.

use std::process::ExitCode;

use clap::Subcommand;

use super::{CommandError, say};
use crate::{
    audit::AuditActor,
    bootstrap::{open_with_clock, scribe},
    config::Settings,
    http::problem::timestamp,
    kernel::WebhookEndpointId,
    webhooks::operator::{self, EndpointLine},
};

#[derive(Subcommand)]
pub(super) enum WebhooksCommand {
    /// Show the endpoints of all clients: id, client, state, host, failures since the last success, when it was made.
    List,
    /// Send nothing more to an endpoint until its client enables it. Its events wait.
    Disable {
        /// Its id, `whe_…`.
        id: WebhookEndpointId,
    },
}

/// Why an endpoint was not disabled.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebhooksError {
    #[error("there is no enabled endpoint of that id")]
    Unknown,
}

pub(super) async fn run(command: WebhooksCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        WebhooksCommand::List => operator::all(&store).await?.iter().map(line).collect::<Vec<_>>(),
        WebhooksCommand::Disable { id } => {
            let scribe = scribe(settings, AuditActor::command())?;
            if !operator::disable(&store, id, &scribe, ambient.now()).await? {
                return Err(WebhooksError::Unknown.into());
            }
            vec![format!("{id} is disabled")]
        }
    };
    store.close().await;
    say(&lines.join("\n"))
}

fn line(endpoint: &EndpointLine) -> String {
    let EndpointLine { id, client, state, host, failures, everyone, created_at } = endpoint;
    let hears = if *everyone { "  hears of everybody" } else { "" };
    format!("{id}  {client}  {state}  {host}  {failures} failures  made {}{hears}", timestamp(*created_at))
}
