//! `noshi webhooks`: a client's endpoints through the API, and those of all clients in the database.

mod endpoints;
pub(super) mod operator;

use std::process::ExitCode;

use clap::Subcommand;

use super::{CommandError, NamedAsker};
use crate::{
    config::{ConfigError, Settings},
    kernel::WebhookEndpointId,
};

#[derive(Subcommand)]
pub(super) enum WebhooksCommand {
    /// Show the client's endpoints, through the API.
    Endpoints(endpoints::AllArguments),
    /// Make an endpoint, through the API. Its secret is printed, once.
    Add(endpoints::AddArguments),
    /// Send an endpoint a message of the type `webhook_endpoint.test`, through the API.
    Test(endpoints::OneArguments),
    /// Show what was sent to an endpoint, newest first, through the API.
    Deliveries(endpoints::DeliveriesArguments),
    /// Send a delivery again, through the API.
    Redeliver(endpoints::RedeliverArguments),
    /// Send an endpoint all events since an instant again, through the API.
    Replay(endpoints::ReplayArguments),
    /// Give an endpoint another secret, through the API. It is printed, once; both sign until the overlap is over.
    RotateSecret(endpoints::RotateArguments),
    /// Remove an endpoint, through the API.
    Remove(endpoints::OneArguments),
    /// Show the endpoints of all clients, in the database: id, client, state, host, failures since the last success, when it was made.
    List,
    /// Send nothing more to an endpoint until its client enables it, in the database. Its events wait.
    Disable {
        /// Its id, `whe_…`.
        id: WebhookEndpointId,
        #[command(flatten)]
        asker: NamedAsker,
    },
}

/// Runs a command. The settings are read only where it works on the database.
pub(super) async fn run(
    command: WebhooksCommand,
    settings: impl FnOnce() -> Result<Settings, ConfigError>,
) -> Result<ExitCode, CommandError> {
    match command {
        WebhooksCommand::Endpoints(arguments) => endpoints::all(arguments).await,
        WebhooksCommand::Add(arguments) => endpoints::add(arguments).await,
        WebhooksCommand::Test(arguments) => endpoints::test(arguments).await,
        WebhooksCommand::Deliveries(arguments) => endpoints::deliveries(arguments).await,
        WebhooksCommand::Redeliver(arguments) => endpoints::redeliver(arguments).await,
        WebhooksCommand::Replay(arguments) => endpoints::replay(arguments).await,
        WebhooksCommand::RotateSecret(arguments) => endpoints::rotate(arguments).await,
        WebhooksCommand::Remove(arguments) => endpoints::remove(arguments).await,
        WebhooksCommand::List => operator::list(&settings()?).await,
        WebhooksCommand::Disable { id, asker } => operator::disable(id, &asker, &settings()?).await,
    }
}
