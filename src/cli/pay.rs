//! `noshi pay`: payments that need a person. It works on the machine that has the database, and sends nothing to Amazon.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::{CommandError, say};
use crate::{
    audit::AuditActor,
    bootstrap::{open_with_clock, scribe},
    config::Settings,
    http::problem::timestamp,
    kernel::{AmazonPayId, PaymentId, claim_code::may_hold_claim_code},
    membership::follow::MembershipFollower,
    pay::settle::{self, PaySettleError, PaySettlers, PaymentFinding, WaitingPayment},
};

#[derive(Subcommand)]
pub(super) enum PayCommand {
    /// List the charges and refunds of Amazon Pay that need a person, oldest first, with the cause.
    Attention,
    /// Write down what a person found out about one of them; it is final afterwards. Nothing is sent to Amazon.
    Settle(PaySettleArguments),
}

#[derive(Args)]
pub(super) struct PaySettleArguments {
    /// Its id, `pmt_…`.
    id: PaymentId,
    /// What was found out, in Seller Central or from Amazon's support.
    #[arg(long = "as", value_enum)]
    found: FindingWord,
    /// Amazon's id of the charge or the refund, as Seller Central shows it. Needed with `made`.
    #[arg(long, required_if_eq("found", "made"))]
    amazon_id: Option<AmazonPayId>,
    /// Why, for the timeline.
    #[arg(long)]
    reason: String,
    /// Who decided.
    #[arg(long)]
    by: String,
}

/// What a person may find out.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FindingWord {
    /// Amazon made it: the buyer has paid, or has the money back.
    Made,
    /// Amazon did not make it, and will not.
    NotMade,
}

/// Why a decision was not written down.
#[derive(Debug, thiserror::Error)]
pub(super) enum PayCommandError {
    #[error("reason and name have 1 to 150 characters, no control characters, and nothing shaped like a claim code")]
    Text,
    #[error("--amazon-id is needed: by it the payment can be given back later")]
    AmazonId,
    #[error(transparent)]
    Settle(#[from] PaySettleError),
}

pub(super) async fn run(command: PayCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        PayCommand::Attention => settle::list(&store).await?.iter().map(line).collect::<Vec<_>>().join("\n"),
        PayCommand::Settle(PaySettleArguments { id, found, amazon_id, reason, by }) => {
            let finding = match found {
                FindingWord::Made => PaymentFinding::Made(amazon_id.ok_or(PayCommandError::AmazonId)?),
                FindingWord::NotMade => PaymentFinding::NotMade,
            };
            let scribe = scribe(settings, AuditActor::command(Some(&by)))?;
            let reason = format!("{}: {}", checked(by)?, checked(reason)?);
            let by = PaySettlers { scribe: &scribe, follower: &MembershipFollower::uncounted() };
            let status = settle::settle(&store, id, finding, reason, by, ambient.now()).await;
            format!("{id} is {}", status.map_err(PayCommandError::Settle)?)
        }
    };
    store.close().await;
    say(&lines)
}

fn checked(text: String) -> Result<String, PayCommandError> {
    let good = !text.is_empty() && text.chars().count() <= 150 && !text.chars().any(char::is_control);
    if good && !may_hold_claim_code(&text) { Ok(text) } else { Err(PayCommandError::Text) }
}

fn line(payment: &WaitingPayment) -> String {
    let WaitingPayment { id, kind, why, value, account, pay_key, against, asked_at, since } = payment;
    let (currency, asked_at, since) = (value.currency(), timestamp(*asked_at), timestamp(*since));
    format!(
        "{id}  {kind}  {why}  {value} {currency}  account {account}  against {against}  Amazon's key {pay_key}  asked for {asked_at}  since {since}"
    )
}
