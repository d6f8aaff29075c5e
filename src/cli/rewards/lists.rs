//! Rewards are found, listed, exported.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    cli::{
        CommandError,
        service::{CallError, ServiceArguments, say_lines, say_table, text},
    },
    client::{Ask, ServiceClient, ServiceError, pages::ListWalk},
    kernel::glyphs::tame,
};

#[derive(Args)]
pub(in crate::cli) struct FindArguments {
    /// `rwd_…`, an order's number (external_id), or Amazon's id (creationRequestId).
    id: String,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
struct Filters {
    /// Of this client alone; a key with `rewards:all` lists those of every client.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// In this state: `issued`, `needs_attention` …
    #[arg(long)]
    status: Option<String>,
    /// Of this kind: `gift_code` …
    #[arg(long)]
    kind: Option<String>,
    /// Paid by this account.
    #[arg(long)]
    account: Option<String>,
    /// Charged to this program.
    #[arg(long)]
    program: Option<String>,
    /// Recorded at this instant or later: a date, or an instant as in 2026-11-28T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Recorded before this instant.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(Args)]
pub(in crate::cli) struct RewardListArguments {
    #[command(flatten)]
    filters: Filters,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Args)]
pub(in crate::cli) struct RewardExportArguments {
    #[command(flatten)]
    filters: Filters,
    /// Its form. `--json` is `ndjson`.
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    format: Form,
    /// The file, which must not be there yet; standard output unless given.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A row a reward, its heads first.
    Csv,
    /// A JSON object a line, as the service answers it.
    Ndjson,
}

/// The columns of an export.
const COLUMNS: [(&str, &str); 14] = [
    ("id", "/id"),
    ("client", "/client"),
    ("external_id", "/external_id"),
    ("status", "/status"),
    ("kind", "/kind"),
    ("amount", "/value/amount"),
    ("currency_code", "/value/currency_code"),
    ("account_id", "/account_id"),
    ("program_id", "/program_id"),
    ("creation_request_id", "/creation_request_id"),
    ("created_at", "/created_at"),
    ("issued_at", "/issued_at"),
    ("canceled_at", "/canceled_at"),
    ("attention", "/attention"),
];

impl Filters {
    fn query(&self) -> Vec<(&'static str, Option<String>)> {
        // The day that a date begins, for the service knows instants alone.
        let instant = |time: &Option<String>| {
            time.as_ref().map(|time| if time.len() == 10 { format!("{time}T00:00:00Z") } else { time.clone() })
        };
        vec![
            ("client", self.client.clone()),
            ("status", self.status.clone()),
            ("kind", self.kind.clone()),
            ("account_id", self.account.clone()),
            ("program_id", self.program.clone()),
            ("created_from", instant(&self.from)),
            ("created_to", instant(&self.to)),
        ]
    }
}

pub(super) async fn find(arguments: FindArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let found = found(&service, &arguments.id).await?;
    if found.is_empty() {
        return Err(CallError::NothingFound(arguments.id).into());
    }
    say_rewards(&found, arguments.service.json)
}

/// The rewards that have this text as one of their ids.
async fn found(service: &ServiceClient, id: &str) -> Result<Vec<Value>, CallError> {
    if id.starts_with("rwd_") {
        let path = ["rewards", id];
        return match service.ask(&Ask::get(&path)).await {
            Ok(reply) => Ok(vec![reply.json()?]),
            Err(ServiceError::Refused(refusal)) if refusal.code == "not-found" => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        };
    }
    for filter in ["external_id", "creation_request_id"] {
        let found = ListWalk::new(service, &["rewards"], vec![(filter, Some(id.to_owned()))], usize::MAX).all().await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

pub(super) async fn list(arguments: RewardListArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let all = ListWalk::new(&service, &["rewards"], arguments.filters.query(), arguments.limit)
        .all()
        .await
        .map_err(CallError::from)?;
    say_rewards(&all, arguments.service.json)
}

fn unmade(file: &Path, error: io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::AlreadyExists {
        CallError::Usage(format!("--output {}: is there already", file.display())).into()
    } else {
        error.into()
    }
}

pub(super) async fn export(arguments: RewardExportArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let form = if arguments.service.json { Form::Ndjson } else { arguments.format };
    let out: Box<dyn Write + Send> = match &arguments.output {
        Some(file) => Box::new(fs::File::create_new(file).map_err(|error| unmade(file, error))?),
        None => Box::new(io::stdout()),
    };
    let mut out = io::BufWriter::new(out);
    let mut pages = ListWalk::new(&service, &["rewards"], arguments.filters.query(), usize::MAX);
    if form == Form::Csv {
        write_row(&mut out, COLUMNS.iter().map(|(head, _pointer)| *head))?;
    }
    while let Some(page) = pages.next().await.map_err(CallError::from)? {
        for entry in &page {
            match form {
                Form::Csv => {
                    write_row(&mut out, COLUMNS.iter().map(|(_head, pointer)| tame(text(entry, pointer)).into_owned()))?
                }
                Form::Ndjson => writeln!(out, "{entry}")?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_row(out: &mut impl Write, fields: impl Iterator<Item = impl AsRef<[u8]>>) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().from_writer(out);
    writer.write_record(fields)?;
    writer.flush()
}

fn say_rewards(rewards: &[Value], as_json: bool) -> Result<ExitCode, CommandError> {
    if as_json {
        say_lines(rewards)?;
        return Ok(ExitCode::SUCCESS);
    }
    let of_several = rewards.iter().any(|reward| !text(reward, "/client").is_empty());
    let mut heads = vec!["reward", "status", "value", "", "order", "account", "recorded"];
    if of_several {
        heads.insert(1, "client");
    }
    let row = |reward: &Value| {
        let pointers =
            ["/id", "/status", "/value/amount", "/value/currency_code", "/external_id", "/account_id", "/created_at"];
        let mut row: Vec<String> = pointers.iter().map(|pointer| text(reward, pointer).to_owned()).collect();
        if of_several {
            row.insert(1, text(reward, "/client").to_owned());
        }
        row
    };
    say_table(&heads, rewards.iter().map(row).collect())
}
