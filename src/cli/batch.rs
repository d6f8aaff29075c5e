//! `noshi batch`: a campaign from a file, through the API.

mod file;
mod run;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(super) use self::file::FileFault;
use super::{
    CommandError, say,
    service::{CallError, ServiceArguments, say_lines, say_table, text},
};
use crate::client::{Ask, pages::ListWalk};

#[derive(Subcommand)]
pub(super) enum BatchCommand {
    /// Buy what a CSV file lists, and wait for all of it. The same file again goes on where it was: each order is bought once.
    Run(run::CampaignArguments),
    /// List batches, newest first.
    List(BatchListArguments),
    /// Show how far a batch has come.
    Show(BatchArguments),
    /// Show each item of a batch with what became of it.
    Items(BatchArguments),
    /// Begin no more items until it is resumed.
    Pause(BatchArguments),
    /// Go on.
    Resume(BatchArguments),
    /// Never buy what was not handed over. What was goes on.
    Cancel(BatchArguments),
}

#[derive(Args)]
pub(super) struct BatchListArguments {
    /// Of this campaign alone.
    #[arg(long)]
    name: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(super) struct BatchArguments {
    /// Its id, `bat_…`.
    id: String,
    #[command(flatten)]
    service: ServiceArguments,
}

/// The outcomes that a batch counts, in the order in which they are shown.
const OUTCOMES: [&str; 8] =
    ["waiting", "sent", "issued", "failed", "unresolved", "needs_attention", "canceled", "refused"];

pub(super) async fn run(command: BatchCommand) -> Result<ExitCode, CommandError> {
    match command {
        BatchCommand::Run(arguments) => run::run(arguments).await,
        BatchCommand::List(arguments) => list(arguments).await,
        BatchCommand::Show(arguments) => one(arguments, None).await,
        BatchCommand::Items(arguments) => items(arguments).await,
        BatchCommand::Pause(arguments) => one(arguments, Some("pause")).await,
        BatchCommand::Resume(arguments) => one(arguments, Some("resume")).await,
        BatchCommand::Cancel(arguments) => one(arguments, Some("cancel")).await,
    }
}

async fn list(arguments: BatchListArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let all = ListWalk::new(&service, &["batches"], vec![("name", arguments.name)], arguments.limit)
        .all()
        .await
        .map_err(CallError::from)?;
    if arguments.service.json {
        say_lines(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |batch: &Value| {
        let of = |pointer: &str| text(batch, pointer).to_owned();
        vec![
            of("/id"),
            of("/state"),
            number(batch, "/items").to_string(),
            of("/name"),
            of("/waiting_for"),
            of("/created_at"),
        ]
    };
    say_table(&["batch", "state", "items", "name", "waits for", "recorded"], all.iter().map(row).collect())
}

/// Shows a batch, after something was asked of it.
async fn one(arguments: BatchArguments, asked: Option<&str>) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let path: Vec<&str> = ["batches", &arguments.id].into_iter().chain(asked).collect();
    let ask = if asked.is_some() { Ask::post(&path, &json!({})).repeatable() } else { Ask::get(&path) };
    let batch: Value = service.ask(&ask).await.and_then(|reply| reply.json()).map_err(CallError::from)?;
    if arguments.service.json {
        return say(&batch.to_string());
    }
    let mut lines = vec![format!("{:<16} {}", "batch", text(&batch, "/id"))];
    for name in ["state", "name", "account_id", "program_id", "waiting_for", "resume_at", "created_at", "ended_at"] {
        let said = text(&batch, &format!("/{name}"));
        if !said.is_empty() {
            lines.push(format!("{:<16} {said}", name.replace('_', " ")));
        }
    }
    lines.push(format!("{:<16} {}", "items", number(&batch, "/items")));
    for outcome in OUTCOMES {
        let count = number(&batch, &format!("/counts/{outcome}"));
        if count > 0 {
            lines.push(format!("  {:<14} {count}", outcome.replace('_', " ")));
        }
    }
    say(&lines.join("\n"))
}

async fn items(arguments: BatchArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let path = ["batches", &arguments.id, "items"];
    let all = ListWalk::new(&service, &path, Vec::new(), usize::MAX).all().await.map_err(CallError::from)?;
    if arguments.service.json {
        say_lines(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |item: &Value| {
        let of = |pointer: &str| text(item, pointer).to_owned();
        vec![of("/external_id"), of("/outcome"), of("/reward_id"), of("/problem/code")]
    };
    say_table(&["order", "outcome", "reward", "why"], all.iter().map(row).collect())
}

/// A count; 0 where there is none.
fn number(batch: &Value, pointer: &str) -> u64 {
    batch.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
