//! `noshi membership`: members, through the API, as a caller; and what only an operator decides, in the database.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    CommandError, say,
    service::{CallError, ServiceArguments, say_lines, say_table, text},
};
use crate::{
    audit::AuditActor,
    bootstrap::{open_with_clock, scribe},
    client::{Ask, pages::ListWalk},
    config::{ConfigError, Settings},
    kernel::{MembershipId, claim_code::may_hold_claim_code},
    membership::again::{self, AskAgainError},
};

#[derive(Subcommand)]
pub(super) enum MembershipCommand {
    /// List memberships, newest first, through the API.
    List(MembershipListArguments),
    /// Show a membership and its periods, through the API.
    Show(MembershipShowArguments),
    /// Have the reward of a paid period asked for once more that was refused for good: in the database, on the machine that has its
    /// settings. First mend what it was refused for. Nothing is sent to Amazon by this command; the service does so at once.
    AskRewardAgain(AskAgainArguments),
}

#[derive(Args)]
pub(super) struct MembershipListArguments {
    /// In this state: `active`, `suspended` …
    #[arg(long)]
    state: Option<String>,
    /// Of this plan now, `pln_…`.
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// The one of this reference of the caller's.
    #[arg(long)]
    reference: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(super) struct MembershipShowArguments {
    /// Its id, `mbr_…`.
    id: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(super) struct AskAgainArguments {
    /// The membership's id, `mbr_…`.
    id: MembershipId,
    /// The number of the period.
    period: i64,
    /// Why, for the audit.
    #[arg(long)]
    reason: String,
    /// Who decided.
    #[arg(long)]
    by: String,
}

/// Why a reward is not asked for again.
#[derive(Debug, thiserror::Error)]
pub(super) enum MembershipCommandError {
    #[error("reason and name have 1 to 150 characters, no control characters, and nothing shaped like a claim code")]
    Text,
    #[error(transparent)]
    Again(#[from] AskAgainError),
}

/// Runs a command. The settings are read only where it works on the database.
pub(super) async fn run(
    command: MembershipCommand,
    settings: impl FnOnce() -> Result<Settings, ConfigError>,
) -> Result<ExitCode, CommandError> {
    match command {
        MembershipCommand::List(arguments) => list(arguments).await,
        MembershipCommand::Show(arguments) => show(arguments).await,
        MembershipCommand::AskRewardAgain(arguments) => ask_again(arguments, &settings()?).await,
    }
}

async fn list(arguments: MembershipListArguments) -> Result<ExitCode, CommandError> {
    let MembershipListArguments { state, plan, reference, limit, service: of } = arguments;
    let query = vec![("state", state), ("plan_id", plan), ("reference", reference)];
    let service = of.service()?;
    let found = ListWalk::new(&service, &["memberships"], query, limit).all().await.map_err(CallError::from)?;
    if of.json {
        say_lines(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let pointers = ["/id", "/state", "/reason", "/reference", "/plan_id", "/renews_at", "/created_at"];
    let heads = ["membership", "state", "why", "reference", "plan", "renews", "joined"];
    say_table(&heads, found.iter().map(|one| row(one, &pointers)).collect())
}

async fn show(arguments: MembershipShowArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let path = ["memberships", &arguments.id];
    let reply = service.ask(&Ask::get(&path)).await.map_err(CallError::from)?;
    let whole: Value = reply.json().map_err(CallError::from)?;
    let path = ["memberships", &arguments.id, "periods"];
    let periods = ListWalk::new(&service, &path, Vec::new(), usize::MAX).all().await.map_err(CallError::from)?;
    if arguments.service.json {
        return say(&json!({"membership": whole, "periods": periods}).to_string());
    }
    let names = [
        ("membership", "/id"),
        ("reference", "/reference"),
        ("state", "/state"),
        ("why", "/reason"),
        ("next", "/next"),
        ("plan", "/plan_id"),
        ("next plan", "/next_plan_id"),
        ("consent", "/consent_id"),
        ("renews", "/renews_at"),
        ("joined", "/created_at"),
        ("ended", "/ended_at"),
    ];
    let said =
        names.iter().map(|(name, pointer)| (name, text(&whole, pointer))).filter(|(_name, said)| !said.is_empty());
    let mut lines: Vec<String> = said.map(|(name, said)| format!("{name:<12} {said}")).collect();
    lines.push(String::new());
    say(&lines.join("\n"))?;
    let pointers = [
        "/starts_at",
        "/ends_at",
        "/price/amount",
        "/price/currency_code",
        "/state",
        "/decline",
        "/charge_id",
        "/entitlement",
        "/reward_id",
        "/waiting_for",
    ];
    let number = |period: &Value| period.pointer("/number").map(Value::to_string).unwrap_or_default();
    let rows = periods.iter().map(|period| [vec![number(period)], row(period, &pointers)].concat());
    let heads = ["period", "begins", "ends", "price", "", "charge", "declined", "paid by", "reward", "is", "waits for"];
    say_table(&heads, rows.collect())
}

fn row(entry: &Value, pointers: &[&str]) -> Vec<String> {
    pointers.iter().map(|pointer| text(entry, pointer).to_owned()).collect()
}

async fn ask_again(arguments: AskAgainArguments, settings: &Settings) -> Result<ExitCode, CommandError> {
    let AskAgainArguments { id, period, reason, by } = arguments;
    let (by, reason) = (checked(by)?, checked(reason)?);
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let scribe = scribe(settings, AuditActor::command(Some(&by)))?;
    let asked = again::ask_again(&store, id, period, &reason, &scribe, ambient.now()).await;
    store.close().await;
    asked.map_err(MembershipCommandError::Again)?;
    say(&format!("the reward of period {period} of {id} is asked for again"))
}

fn checked(text: String) -> Result<String, MembershipCommandError> {
    let good = !text.is_empty() && text.chars().count() <= 150 && !text.chars().any(char::is_control);
    if good && !may_hold_claim_code(&text) { Ok(text) } else { Err(MembershipCommandError::Text) }
}
