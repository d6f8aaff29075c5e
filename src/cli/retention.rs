//! `noshi retention`: how far the archiving of settled rewards has come, and a pass by hand.

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::json;

use super::{CommandError, NamedAsker, say, stop::Stop};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, AuditActor, Deed, Scribe},
    bootstrap::{retention, scribe},
    config::Settings,
    http::problem::timestamp,
    incentives::retention::{Passed, RetentionStanding},
    store::{Store, StoreError},
};

#[derive(Subcommand)]
pub(super) enum RetentionCommand {
    /// Show how far it has come.
    Status,
    /// Archive now what has been settled for longer than `rewards.retention_days`, also beside a service that runs. The audit has
    /// a record of it before the first is archived. Exit codes: 0 done, 1 failed or ended early.
    Run(NamedAsker),
}

/// Why nothing is archived.
#[derive(Debug, thiserror::Error)]
pub(super) enum RetentionError {
    #[error("rewards.retention_days is 0: rewards are kept whole for ever")]
    Off,
}

pub(super) async fn run(command: RetentionCommand, settings: &Settings, stop: &Stop) -> Result<ExitCode, CommandError> {
    let (retention, store, ambient) = retention(settings).await?;
    let keep = settings.rewards.retention.map(|keep| TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX));
    let ended = match (command, keep) {
        (RetentionCommand::Status, keep) => say(&status(&retention.standing().await?, keep)),
        (RetentionCommand::Run(_), None) => Err(RetentionError::Off.into()),
        (RetentionCommand::Run(asker), Some(keep)) => {
            // First: what a batch empties is gone for good, and a pass that is stopped must have its record, too.
            let scribe = scribe(settings, AuditActor::command(asker.name()))?;
            record(&store, &scribe, keep, &ambient).await?;
            match stop.or(retention.pass(keep)).await {
                Some(passed) => {
                    let passed = passed?;
                    say(&line(passed))?;
                    Ok(if passed.interrupted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
                }
                None => Ok(ExitCode::FAILURE),
            }
        }
    };
    store.close().await;
    ended
}

fn status(standing: &RetentionStanding, keep: Option<TimeDelta>) -> String {
    let RetentionStanding { archived, waiting, next_at } = standing;
    let after = keep.map_or("off: rewards are kept whole".to_owned(), |keep| format!("after {} days", keep.num_days()));
    let next = next_at.map_or("none".to_owned(), timestamp);
    format!("retention      {after}\narchived       {archived}\nnot settled    {waiting}\nnext made at   {next}")
}

fn line(passed: Passed) -> String {
    let Passed { looked, archived, interrupted } = passed;
    let end = if interrupted { "; another process is at it: run it again later" } else { "" };
    format!("looked at {looked}, archived {archived}{end}")
}

async fn record(store: &Store, scribe: &Scribe, keep: TimeDelta, ambient: &Ambient) -> Result<(), StoreError> {
    let details = json!({"days": keep.num_days()});
    let mut tx = store.begin().await?;
    let deed = Deed { action: AuditAction::RewardsArchived, subject: "rewards", details };
    scribe.write(&mut tx, deed, ambient.now()).await?;
    tx.commit(()).await.map(drop)
}
