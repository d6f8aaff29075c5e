//! `noshi reconcile`: compares Amazon's report with our rewards, and prints for people (text) or programs (JSON, CSV).

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    time::Duration,
};

use chrono::NaiveDate;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio::{fs::File, io::AsyncReadExt, sync::mpsc};

use super::{CommandError, ledger::checked, say, stop::Stop};
use crate::{
    ambient::Ambient,
    audit::AuditActor,
    bootstrap::{reconciler, scribe},
    config::Settings,
    identity::OwnedBy,
    kernel::{ReconciliationId, calendar},
    treasury::{
        Reconciliations,
        reconciliation::{
            BeginError, RunRequest,
            amount::DecimalMark,
            balance_check::{BalanceCheck, BalanceCheckView},
            csv::{COLUMNS, ColumnNames, CsvError, preview::Preview},
            days::Acceptance,
            model::{Item, Reconciliation, Source},
            period::RunPeriod,
            report::{self, CSV_HEADER, ItemView, OpenDayView, View},
            run::{Chunk, PortalFile, RunError},
        },
    },
};

/// The exit code when the two sides differ.
const DIFFERENT: u8 = 3;
/// The exit code of a command line that makes no sense.
const USAGE: u8 = 2;
/// Items read at once.
const STEP: i64 = 1_000;
/// How long a command that is asked to stop may take to give its run up.
const GIVE_UP: Duration = Duration::from_secs(5);
/// How often the command looks how far its run is.
const PROGRESS: Duration = Duration::from_secs(2);
/// Bytes of a file read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a file of the portal looks like.
fn csv_help() -> String {
    let line = |column: &ColumnNames| format!("\n  {} ({})", column.names.join(" | "), column.note);
    let columns: String = COLUMNS.iter().map(line).collect();
    format!(
        "A file of Amazon's portal instead of the activity report, where Amazon has that switched off. Its first row names \
         the columns, in any order, whatever the case, blanks and hyphens. Commas, semicolons or tabs separate them; the text \
         is UTF-8 or UTF-16. Other columns are not looked at. Columns:{columns}"
    )
}

fn day_argument(text: &str) -> Result<NaiveDate, &'static str> {
    calendar::day(text).ok_or("expected a day as in 2026-11-01")
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ReconcileArguments {
    #[command(subcommand)]
    days: Option<DaysCommand>,
    #[command(flatten)]
    run: Option<RunArguments>,
}

#[derive(Subcommand)]
enum DaysCommand {
    /// List the days that are not reconciled. Exit code 3 if there are any.
    Days {
        /// The account, by its name in the settings.
        #[arg(long)]
        account: String,
    },
    /// Accept that days stay without a reconciliation, where Amazon's report and the portal no longer have them.
    Accept {
        /// The account, by its name in the settings.
        #[arg(long)]
        account: String,
        /// The first day (UTC), as in 2026-11-01.
        #[arg(long, value_parser = day_argument, value_name = "DATE")]
        from: NaiveDate,
        /// The last day (UTC); it is accepted, too.
        #[arg(long, value_parser = day_argument, value_name = "DATE")]
        to: NaiveDate,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
}

#[derive(Args)]
struct RunArguments {
    /// The account, by its name in the settings.
    #[arg(long)]
    account: String,
    /// The first day (UTC), as in 2026-11-01.
    #[arg(long, value_parser = day_argument, value_name = "DATE")]
    from: NaiveDate,
    /// The last day (UTC); it is compared, too.
    #[arg(long, value_parser = day_argument, value_name = "DATE")]
    to: NaiveDate,
    /// A file of Amazon's portal instead of the activity report, where Amazon has that switched off. Times in UTC. `--help`
    /// lists the columns that it must have.
    #[arg(long, value_name = "FILE", long_help = csv_help())]
    csv: Option<PathBuf>,
    /// Which mark stands before decimals in the file, where its amounts do not show it: `1.000` may be one or a thousand.
    #[arg(long, value_enum, requires = "csv")]
    decimal: Option<DecimalMark>,
    /// Read the file and report what is in it: rows, types, times, other columns, and the first rows that cannot be read. No
    /// run is begun and nothing is stored. Exit code 3 if a row cannot be read.
    #[arg(long, requires = "csv")]
    dry_run: bool,
    /// How to print what was found.
    #[arg(long, value_enum, default_value = "text")]
    format: ReportFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ReportFormat {
    /// For people.
    Text,
    /// The totals and every item, as one JSON object.
    Json,
    /// Every item, a line each.
    Csv,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    Begin(#[from] BeginError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    File(#[from] CsvError),
}

pub(super) async fn run(
    arguments: ReconcileArguments,
    settings: &Settings,
    stop: &Stop,
) -> Result<ExitCode, CommandError> {
    if let ReconcileArguments { days: None, run: Some(arguments @ RunArguments { dry_run: true, .. }) } = &arguments {
        return preview(settings, arguments).await;
    }
    let (service, store) = reconciler(settings).await?;
    let ended = match arguments {
        ReconcileArguments { days: Some(command), .. } => days(&service, command, settings).await,
        ReconcileArguments { run: Some(arguments), .. } => reconcile(&service, arguments, stop).await,
        // The parser asks for the arguments of a run where there is no command.
        ReconcileArguments { .. } => Ok(ExitCode::from(USAGE)),
    };
    store.close().await;
    ended
}

/// Looks at a file of the portal. It asks for no database and for nothing of Amazon.
async fn preview(settings: &Settings, arguments: &RunArguments) -> Result<ExitCode, CommandError> {
    let account = settings.accounts.get(&arguments.account).ok_or(ReconcileError::Begin(BeginError::UnknownAccount))?;
    let period = RunPeriod::days(arguments.from, arguments.to);
    let over = period.and_then(|period| period.is_over(Ambient::system().now()));
    over.map_err(|bad| ReconcileError::Begin(bad.into()))?;
    let path = arguments.csv.as_deref().unwrap_or_else(|| Path::new(""));
    let mut file = File::open(path).await?;
    let currency = account.marketplace.currency();
    let mut preview = Preview::new(currency, arguments.decimal, (arguments.from, arguments.to));
    let mut bytes = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut bytes).await?;
        if read == 0 {
            break;
        }
        preview.take(bytes.get(..read).unwrap_or_default()).map_err(ReconcileError::File)?;
    }
    let report = preview.finish().map_err(ReconcileError::File)?;
    say(&report.to_string())?;
    Ok(if report.is_readable() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

async fn days(service: &Reconciliations, command: DaysCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    match command {
        DaysCommand::Days { account } => {
            let days = service.open_days(&account).await.map_err(ReconcileError::Begin)?;
            if days.is_empty() {
                return say(&format!("every day of {account} is reconciled or accepted"));
            }
            let lines: Vec<_> = days.iter().map(|day| OpenDayView::from(day).text()).collect();
            say(&lines.join("\n"))?;
            Ok(ExitCode::from(DIFFERENT))
        }
        DaysCommand::Accept { account, from, to, reason, by } => {
            let period = RunPeriod::days(from, to).map_err(|bad| ReconcileError::Begin(bad.into()))?;
            let (reason, by) = (checked(&reason)?, checked(&by)?);
            let scribe = scribe(settings, AuditActor::command(Some(by)))?;
            let order = Acceptance { account: &account, period, reason, by, scribe: &scribe };
            let accepted = service.accept_days(&order).await.map_err(ReconcileError::Begin)?;
            say(&format!("{accepted} days of {account} are accepted without a reconciliation"))
        }
    }
}

async fn reconcile(service: &Reconciliations, arguments: RunArguments, stop: &Stop) -> Result<ExitCode, CommandError> {
    let RunArguments { account, from, to, csv, decimal, dry_run: _, format } = arguments;
    let period = RunPeriod::days(from, to).map_err(|bad| ReconcileError::Begin(bad.into()))?;
    // Opened before the run begins: a mistyped file name must leave no run behind.
    let file = match &csv {
        Some(path) => Some(File::open(path).await?),
        None => None,
    };
    let order = RunRequest { account, period, file: file.is_some(), daily: false };
    stop.within(GIVE_UP);
    let begun = service.begin(&order).await.map_err(ReconcileError::Begin)?;
    let (left, id) = (begun.clone(), begun.run.id);
    let run = async {
        let Some(file) = file else { return Ok(watched(service, id, Box::pin(service.run(begun, None))).await) };
        let (parts, chunks) = mpsc::channel(2);
        let run = watched(service, id, Box::pin(service.run(begun, Some(PortalFile { chunks, decimal }))));
        let (ran, sent) = tokio::join!(run, send(file, parts));
        sent.map(|()| ran)
    };
    let Some(run) = stop.or(run).await else {
        // What is not given up is free again when its lease ends.
        drop(service.give_up(&left).await);
        return stop.end().await;
    };
    let run = run?.map_err(ReconcileError::Run)?;
    let reported = answer(service, &run, format).await;
    if reported.is_err() {
        // The error that follows is not the run's: its days are reconciled, or found to differ.
        let id = run.id;
        drop(writeln!(
            io::stderr(),
            "the reconciliation {id} has finished: GET /v1/reconciliations/{id} has its result"
        ));
    }
    reported
}

async fn answer(
    service: &Reconciliations,
    run: &Reconciliation,
    format: ReportFormat,
) -> Result<ExitCode, CommandError> {
    let check = service.balance_check(&run.account, run.currency).await?;
    print(service, run, &check, format).await?;
    Ok(if run.is_clean() && check.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// Reports on stderr how far a run is, while it takes its time: Amazon shows one page a minute.
async fn watched<T>(service: &Reconciliations, id: ReconciliationId, mut run: Pin<Box<impl Future<Output = T>>>) -> T {
    let mut reported = None;
    loop {
        tokio::select! {
            ended = &mut run => return ended,
            () = tokio::time::sleep(PROGRESS) => {}
        }
        let Ok(Some(now)) = service.find(id).await else { continue };
        if reported != Some(now.records) {
            reported = Some(now.records);
            let source = match now.source {
                Source::Amazon => "Amazon shows a page of 1,000 a minute",
                Source::Csv => "reading the file",
            };
            // A terminal that is gone stops no run.
            drop(writeln!(io::stderr(), "{} records of {} were read; {source}", now.records, now.account));
        }
    }
}

/// Sends a file in parts. A run that stops reading reports the reason itself.
async fn send(mut file: File, parts: mpsc::Sender<Chunk>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; CHUNK_BYTES];
        let read = file.read(&mut bytes).await?;
        bytes.truncate(read);
        let (part, end) = if read == 0 { (Chunk::End, true) } else { (Chunk::Bytes(bytes), false) };
        if parts.send(part).await.is_err() || end {
            return Ok(());
        }
    }
}

async fn print(
    service: &Reconciliations,
    run: &Reconciliation,
    check: &BalanceCheck,
    format: ReportFormat,
) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match format {
        ReportFormat::Text => {
            writeln!(out, "{}\n{}", report::text(run), check.text())?;
            if run.tally.findings() > 0 || run.tally.unproven > 0 {
                writeln!(out, "{}", report::text_header())?;
            }
        }
        ReportFormat::Json => {
            let (run, balance) = (json(&View::from(run))?, json(&BalanceCheckView::from(check))?);
            write!(out, "{{\"reconciliation\":{run},\"balance\":{balance},\"items\":[")?;
        }
        ReportFormat::Csv => writeln!(out, "{CSV_HEADER}")?,
    }
    let mut after = 0;
    loop {
        let items: Vec<Item> = service.items(run, &OwnedBy::default(), after, STEP).await?;
        let Some(last) = items.last() else { break };
        for item in &items {
            let view = ItemView::new(item, run.currency);
            match format {
                ReportFormat::Text => writeln!(out, "{}", view.text())?,
                ReportFormat::Csv => writeln!(out, "{}", view.csv())?,
                ReportFormat::Json => write!(out, "{}\n{}", if item.seq == 1 { "" } else { "," }, json(&view)?)?,
            }
        }
        after = last.seq;
    }
    if matches!(format, ReportFormat::Json) {
        writeln!(out, "\n]}}")?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> io::Result<String> {
    serde_json::to_string(value).map_err(io::Error::from)
}
