//! `noshi rewards attention`: what only an operator may do, on the machine that has the database. Each decision is written into the
//! reward's timeline.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};

use crate::{
    audit::{AuditActor, Scribe},
    bootstrap::{open_with_clock, scribe},
    cli::{CommandError, say},
    config::Settings,
    engine::schedule::Resolution,
    http::problem::timestamp,
    incentives::{
        Reward,
        attention::{self, Contradiction, SettleDecision, SettleError},
        target,
    },
    kernel::{RewardId, claim_code::may_hold_claim_code},
    sealing::{Keyring, SealingError},
    store::Store,
    treasury::reconciliation::findings::{self, Finding},
};

#[derive(Subcommand)]
pub(in crate::cli) enum AttentionCommand {
    /// List them, oldest first, with the cause.
    List,
    /// Write down what a person found out about a reward that needs one, or that the newest reconciliation shows in
    /// another state at Amazon; it is final afterwards. Nothing is sent to Amazon.
    Settle {
        /// Its id, `rwd_…`.
        id: RewardId,
        /// What was found out, from Amazon's portal or support.
        #[arg(long = "as", value_enum)]
        resolution: ResolutionWord,
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
pub(in crate::cli) enum ResolutionWord {
    /// The card is live, and the customer may have it.
    Issued,
    /// No card was ever bought.
    NotBought,
    /// The card was bought and given back.
    Canceled,
}

/// Why a decision was not written down.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum AttentionError {
    #[error("reason and name have 1 to 150 characters, no control characters, and nothing shaped like a claim code")]
    Text,
    #[error("the reason repeats what the reward acts on (a card number): it would be stored in the clear")]
    RepeatsTarget,
    #[error("the sealing keys cannot be used")]
    Sealing(#[from] SealingError),
    #[error(transparent)]
    Settle(#[from] SettleError),
}

pub(super) async fn run(command: AttentionCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        AttentionCommand::List => attention::list(&store).await?.iter().map(line).collect::<Vec<_>>().join("\n"),
        AttentionCommand::Settle { id, resolution, reason, by } => {
            let resolution = match resolution {
                ResolutionWord::Issued => Resolution::Issued,
                ResolutionWord::NotBought => Resolution::NotBought,
                ResolutionWord::Canceled => Resolution::Canceled,
            };
            let scribe = scribe(settings, AuditActor::command(Some(&by)))?;
            let reason = format!("{}: {}", checked(by)?, checked(reason)?);
            let keyring = Keyring::new(&settings.sealing).map_err(AttentionError::Sealing)?;
            if let Some(found) = attention::find(&store, id).await?
                && target::is_repeated(&store, &keyring, &found, &reason).await?
            {
                return Err(AttentionError::RepeatsTarget.into());
            }
            let reward = settle(&store, id, SettleDecision { resolution, reason }, &scribe, ambient.now())
                .await
                .map_err(AttentionError::Settle)?;
            format!("{id} is {}", reward.state().as_str())
        }
    };
    store.close().await;
    say(&lines)
}

/// Settles a reward that needs a person. A reward that has come to its end is settled only if a reconciliation found it
/// in another state at Amazon.
async fn settle(
    store: &Store,
    id: RewardId,
    decision: SettleDecision,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<Reward, SettleError> {
    match attention::settle(store, id, decision.clone(), scribe, now).await {
        Err(SettleError::InvalidState(state)) => {
            let found = findings::of_reward(&mut store.snapshot().await?, id).await?;
            let Finding { at, found_at } = found.ok_or(SettleError::InvalidState(state))?;
            attention::overrule(store, id, Contradiction { at, found_at }, decision, scribe, now).await
        }
        settled => settled,
    }
}

fn checked(text: String) -> Result<String, AttentionError> {
    let good = !text.is_empty() && text.chars().count() <= 150 && !text.chars().any(char::is_control);
    if good && !may_hold_claim_code(&text) { Ok(text) } else { Err(AttentionError::Text) }
}

fn line(reward: &Reward) -> String {
    let why = reward.order.stage.attention().map_or("unknown", |why| why.as_str());
    let (id, amazon, value) = (reward.id, &reward.creation_request_id, reward.value);
    let since = timestamp(reward.order.updated_at);
    format!("{id}  {why}  {value} {}  account {}  at Amazon {amazon}  since {since}", value.currency(), reward.account)
}
