//! `noshi pay`: payments that need a person, and notifications. It works on the machine that has the database. It sends nothing to Amazon but what
//! confirms a subscription.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};

use super::{CommandError, say};
use crate::{
    ambient::Ambient,
    audit::AuditActor,
    bootstrap::{self, open_with_clock, scribe},
    config::Settings,
    http::problem::timestamp,
    kernel::{AmazonPayId, PaySubscriptionId, PaymentId, claim_code::may_hold_claim_code},
    membership::follow::MembershipFollower,
    pay::{
        NoticeGate,
        notices::{self, NotConfirmed},
        settle::{self, PaySettleError, PaySettlers, PaymentFinding, WaitingPayment},
        sql::notices::{AskedSubscription, TakenNotice},
    },
    provider::sns::SnsUnbuilt,
};

#[derive(Subcommand)]
pub(super) enum PayCommand {
    /// List the charges and refunds of Amazon Pay that need a person, oldest first, with the cause.
    Attention,
    /// What Amazon posted of late, and the subscriptions that Amazon SNS asks for.
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Write down what a person found out about one of them; it is final afterwards. Nothing is sent to Amazon.
    Settle(PaySettleArguments),
}

#[derive(Subcommand)]
pub(super) enum NotificationsCommand {
    /// List the subscriptions that SNS asked for, and the last notifications, newest first.
    List {
        /// How many notifications at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
        limit: i64,
    },
    /// Confirm a subscription: SNS is asked, and publishes the topic to the endpoint from then on.
    Confirm {
        /// Its id, `sub_…`.
        id: PaySubscriptionId,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
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
    #[error("the subscription is not confirmed")]
    Confirm(#[from] NotConfirmed),
    #[error("the account's notifications cannot be proven")]
    Gate(#[from] SnsUnbuilt),
}

pub(super) async fn run(command: PayCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        PayCommand::Attention => settle::list(&store).await?.iter().map(line).collect::<Vec<_>>().join("\n"),
        PayCommand::Notifications(NotificationsCommand::List { limit }) => {
            let (asked, taken) = notices::list(&store, limit).await?;
            asked.iter().map(subscription).chain(taken.iter().map(notification)).collect::<Vec<_>>().join("\n")
        }
        PayCommand::Notifications(NotificationsCommand::Confirm { id, by }) => {
            let (by, mut gates) = (checked(by)?, gates(settings, &ambient)?);
            let scribe = scribe(settings, AuditActor::command(Some(&by)))?;
            let confirmed = notices::confirm(&store, id, |account| gates.remove(account), &scribe, ambient.now()).await;
            confirmed.map_err(PayCommandError::Confirm)?;
            format!("{id} is confirmed")
        }
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

/// What proves notifications, by account.
fn gates(settings: &Settings, ambient: &Ambient) -> Result<BTreeMap<String, NoticeGate>, PayCommandError> {
    let mut gates = BTreeMap::new();
    for (id, account) in &settings.pay {
        if let Some(gate) = bootstrap::notice_gate(account, ambient)? {
            gates.insert(id.clone(), gate);
        }
    }
    Ok(gates)
}

fn subscription(asked: &AskedSubscription) -> String {
    let AskedSubscription { id, account, topic, received_at, confirmed_at, token: _ } = asked;
    let (received_at, confirmed) = (timestamp(*received_at), confirmed_at.map_or("no".to_owned(), timestamp));
    format!("{id}  subscription  account {account}  topic {topic}  received {received_at}  confirmed {confirmed}")
}

fn notification(taken: &TakenNotice) -> String {
    let TakenNotice { id, account, kind, object, payment, received_at } = taken;
    let payment = payment.map_or_else(|| "-".to_owned(), |payment| payment.to_string());
    let (object, received_at) = (object.as_deref().unwrap_or("-"), timestamp(*received_at));
    format!("{id}  {kind}  account {account}  about {object}  payment {payment}  received {received_at}")
}

fn line(payment: &WaitingPayment) -> String {
    let WaitingPayment { id, kind, why, value, account, pay_key, against, asked_at, since } = payment;
    let (currency, asked_at, since) = (value.currency(), timestamp(*asked_at), timestamp(*since));
    format!(
        "{id}  {kind}  {why}  {value} {currency}  account {account}  against {against}  Amazon's key {pay_key}  asked for {asked_at}  since {since}"
    )
}
