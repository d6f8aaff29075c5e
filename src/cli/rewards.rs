//! `noshi rewards`: through the API, as a caller; and what only an operator decides, in the database.

pub(super) mod attention;
mod issue;
mod lists;
mod one;

use std::process::ExitCode;

use clap::Subcommand;

use super::CommandError;
use crate::config::{ConfigError, Settings};

#[derive(Subcommand)]
pub(super) enum RewardsCommand {
    /// Issue a reward, through the API. The same --key again is the same reward, whatever happened in between.
    Issue(issue::IssueArguments),
    /// Find rewards by an id of theirs, by the caller's order number, or by Amazon's id, through the API.
    Find(lists::FindArguments),
    /// Show a reward and what happened to it, through the API.
    Show(one::ShowArguments),
    /// Show a claim code again, through the API. It is asked of Amazon, and noted in the reward's timeline with the reason.
    Reveal(one::ReasonArguments),
    /// Cancel a reward, through the API, and wait until Amazon has proven it.
    Cancel(one::CancelArguments),
    /// List rewards, newest first, through the API.
    List(lists::RewardListArguments),
    /// Write rewards to a file, through the API: all that fit the filters.
    Export(lists::RewardExportArguments),
    /// Rewards that need a person: in the database, on the machine that has its settings.
    #[command(subcommand)]
    Attention(attention::AttentionCommand),
}

/// Runs a command. The settings are read only where it works on the database.
pub(super) async fn run(
    command: RewardsCommand,
    settings: impl FnOnce() -> Result<Settings, ConfigError>,
) -> Result<ExitCode, CommandError> {
    match command {
        RewardsCommand::Issue(arguments) => issue::run(arguments).await,
        RewardsCommand::Find(arguments) => lists::find(arguments).await,
        RewardsCommand::Show(arguments) => one::show(arguments).await,
        RewardsCommand::Reveal(arguments) => one::reveal(arguments).await,
        RewardsCommand::Cancel(arguments) => one::cancel(arguments).await,
        RewardsCommand::List(arguments) => lists::list(arguments).await,
        RewardsCommand::Export(arguments) => lists::export(arguments).await,
        RewardsCommand::Attention(command) => attention::run(command, &settings()?).await,
    }
}
