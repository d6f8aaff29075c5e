//! `noshi rewards`: what only an operator may do. Each decision is written into the reward's timeline.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::{Failure, say};
use crate::{
    bootstrap::open_with_clock,
    config::Settings,
    http::problem::timestamp,
    kernel::{RewardId, claim_code::looks_like_claim_code},
    reward::{
        Reward,
        attention::{self, SettleError},
        machine::Verdict,
    },
};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Rewards that need a person.
    #[command(subcommand)]
    Attention(Attention),
}

#[derive(Subcommand)]
pub(super) enum Attention {
    /// List them, oldest first, with the cause.
    List,
    /// Write down what a person found out; the reward is final afterwards. Nothing is sent to Amazon.
    Settle {
        /// Its id, `rwd_…`.
        id: RewardId,
        /// What was found out, from Amazon's portal or support.
        #[arg(long = "as", value_enum)]
        verdict: Found,
        /// Why, for the timeline.
        #[arg(long)]
        reason: String,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
}

/// What a person may find out.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Found {
    /// The card is live, and the customer may have it.
    Issued,
    /// No card was ever bought.
    NotBought,
    /// The card was bought and given back.
    Canceled,
}

/// Why a decision was not written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum RewardsError {
    #[error("reason and name have 1 to 150 characters, no control characters, and nothing shaped like a claim code")]
    Text,
    #[error(transparent)]
    Settle(#[from] SettleError),
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<ExitCode, Failure> {
    let Command::Attention(command) = command;
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        Attention::List => attention::list(&store).await?.iter().map(line).collect::<Vec<_>>().join("\n"),
        Attention::Settle { id, verdict, reason, by } => {
            let verdict = match verdict {
                Found::Issued => Verdict::Issued,
                Found::NotBought => Verdict::NotBought,
                Found::Canceled => Verdict::Canceled,
            };
            let reason = format!("{}: {}", checked(by)?, checked(reason)?);
            let settled = attention::settle(&store, id, verdict, reason, ambient.now()).await;
            let reward = settled.map_err(RewardsError::Settle)?;
            format!("{id} is {}", reward.facts.state.as_str())
        }
    };
    store.close().await;
    say(&lines)
}

fn checked(text: String) -> Result<String, RewardsError> {
    let good = !text.is_empty() && text.chars().count() <= 150 && !text.chars().any(char::is_control);
    if good && !looks_like_claim_code(&text) { Ok(text) } else { Err(RewardsError::Text) }
}

fn line(reward: &Reward) -> String {
    let why = reward.attention.map_or("unknown", |why| why.as_str());
    let (id, amazon, value) = (reward.id, &reward.creation_request_id, reward.value);
    let since = timestamp(reward.updated_at);
    format!("{id}  {why}  {value} {}  account {}  at Amazon {amazon}  since {since}", value.currency(), reward.account)
}
