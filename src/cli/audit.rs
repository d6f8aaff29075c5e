//! `noshi audit`: whether the record of who changed what is whole, and what it says.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CommandError, say};
use crate::{
    audit::{
        AuditAction, AuditActor, AuditHash, AuditHead, AuditRecord, sql,
        verify::{AuditFault, KeptHeads, WholeAudit, verify},
    },
    bootstrap::{open_with_clock, scribe},
    config::Settings,
    http::problem::timestamp,
    store::{Store, StoreError},
    telemetry::visible,
};

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Look whether every record follows the one before and is as it was written. Exit codes: 0 it is, 1 it is not; then the first
    /// record that does not fit is shown.
    Verify(VerifyArguments),
    /// Show the records, oldest first.
    List(ListArguments),
}

#[derive(Args)]
pub(super) struct VerifyArguments {
    /// The hash of a head that was kept elsewhere (`audit.hash` in the service's log): the audit must have it.
    #[arg(long, value_name = "HASH", requires = "at")]
    head: Option<AuditHash>,
    /// The number of that head's record (`audit.sequence`).
    #[arg(long, value_name = "NUMBER", requires = "head", value_parser = clap::value_parser!(i64).range(1..))]
    at: Option<i64>,
}

#[derive(Args)]
pub(super) struct ListArguments {
    /// From this instant on, as in 2026-11-01T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = read_instant)]
    since: Option<DateTime<Utc>>,
    /// Before this instant.
    #[arg(long, value_name = "TIME", value_parser = read_instant)]
    until: Option<DateTime<Utc>>,
    /// By this one only: a key's or a client's id, an address, a user, a machine, or a kind of actor (`api_key`, `admin_port`,
    /// `command`, `service`).
    #[arg(long)]
    actor: Option<String>,
    /// Of this action only, as `key.created`.
    #[arg(long, value_parser = read_action)]
    action: Option<AuditAction>,
    /// About this subject only: an id, or an account.
    #[arg(long)]
    subject: Option<String>,
    /// A JSON object on each line.
    #[arg(long)]
    json: bool,
}

fn read_instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    at.map_err(|_malformed| "expected an instant as in 2026-11-01T10:00:00Z")
}

fn read_action(text: &str) -> Result<AuditAction, String> {
    let known = || AuditAction::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
    AuditAction::from_word(text).ok_or_else(|| format!("expected one of {}", known()))
}

/// Why the audit is not shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuditError {
    /// A record does not fit.
    #[error("the audit is not whole: {0}")]
    Broken(AuditFault),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn run(command: AuditCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, _ambient) = open_with_clock(&settings.store).await?;
    match command {
        AuditCommand::Verify(VerifyArguments { head, at }) => {
            let kept: KeptHeads = at.zip(head).into_iter().collect();
            let scribe = scribe(settings, AuditActor::command(None))?;
            let whole = verify(&store, scribe.keys(), kept).await?.map_err(AuditError::Broken)?;
            store.close().await;
            say(&line(whole))
        }
        AuditCommand::List(wanted) => {
            list(&store, &wanted).await?;
            store.close().await;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn line(whole: WholeAudit) -> String {
    let WholeAudit { head: AuditHead { sequence, hash }, unkeyed } = whole;
    let unkeyed = match unkeyed {
        0 => String::new(),
        some => format!("\n{some} of them have no key: whoever can write the database could have made those"),
    };
    format!("{sequence} records, and each fits; the head is {hash}{unkeyed}")
}

async fn list(store: &Store, wanted: &ListArguments) -> Result<(), CommandError> {
    let mut after = 0;
    loop {
        let page = sql::after(&mut store.snapshot().await?, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.sequence;
        let mut out = io::stdout().lock();
        for record in page.iter().filter(|record| wanted.takes(record)) {
            writeln!(out, "{}", if wanted.json { json_of(record).to_string() } else { text_of(record) })?;
        }
    }
}

impl ListArguments {
    fn takes(&self, record: &AuditRecord) -> bool {
        let actor = |actor: &String| {
            let members = serde_json::from_str(&record.actor).unwrap_or(Value::Null);
            members.as_object().is_some_and(|all| all.values().any(|value| value.as_str() == Some(actor)))
        };
        self.since.is_none_or(|since| record.at_us >= since.timestamp_micros())
            && self.until.is_none_or(|until| record.at_us < until.timestamp_micros())
            && self.actor.as_ref().is_none_or(actor)
            && self.action.is_none_or(|action| record.action == action.as_str())
            && self.subject.as_ref().is_none_or(|subject| record.subject == *subject)
    }
}

fn instant(record: &AuditRecord) -> String {
    DateTime::from_timestamp_micros(record.at_us).map_or_else(|| record.at_us.to_string(), timestamp)
}

fn text_of(record: &AuditRecord) -> String {
    let AuditRecord { sequence, actor, action, subject, details, .. } = record;
    // Whoever can write the database can have put anything here.
    visible(&format!("{sequence}  {}  {action}  {subject}  {actor}  {details}", instant(record)))
}

fn json_of(record: &AuditRecord) -> Value {
    let AuditRecord { sequence, at_us: _, actor, action, subject, details, hash_key, previous, hash } = record;
    // What is no JSON any more is shown as it stands.
    let members = |text: &str| serde_json::from_str(text).unwrap_or_else(|_malformed| json!(text));
    json!({
        "sequence": sequence, "at": instant(record), "actor": members(actor), "action": action, "subject": subject,
        "details": members(details), "hash_key": hash_key, "previous_hash": previous.to_string(), "hash": hash.to_string(),
    })
}
