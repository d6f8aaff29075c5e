//! `noshi ledger statement` and `noshi ledger export`: a month's books, for finance.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::{CommandError, ledger::LedgerError};
use crate::{
    ambient::Ambient,
    bootstrap::open_with_clock,
    config::Settings,
    identity::OwnedBy,
    kernel::calendar,
    ledger::statement::{
        self, Statement, StatementAccount,
        export::{ExportFormat, ExportShape, MonthExport, MonthExportError},
        sheet,
        view::StatementView,
    },
    store::Store,
};

/// A month as in 2026-10.
pub(super) fn month(text: &str) -> Result<NaiveDate, &'static str> {
    calendar::month(text).ok_or("a month is written as in 2026-10")
}

#[derive(Args)]
pub(super) struct StatementArguments {
    /// The account. All of them unless given; a page is of one.
    #[arg(long, required_if_eq("html", "true"))]
    account: Option<String>,
    /// The month, of the account's time zone.
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: NaiveDate,
    /// As CSV: a row for each figure.
    #[arg(long, group = "form")]
    csv: bool,
    /// As a page to print.
    #[arg(long, group = "form")]
    html: bool,
    /// As JSON, as the API answers it: a line for each account.
    #[arg(long, group = "form")]
    json: bool,
}

/// The program that is to read it.
#[derive(Clone, Copy, ValueEnum)]
enum LedgerReader {
    Hledger,
    Beancount,
}

#[derive(Args)]
pub(super) struct ExportArguments {
    /// The account.
    #[arg(long)]
    account: String,
    /// The month, of the account's time zone.
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    month: NaiveDate,
    /// The program that is to read it.
    #[arg(long, value_enum)]
    format: LedgerReader,
    /// For a file that has the month before: assert what the account held at first, and do not book it again.
    #[arg(long)]
    append: bool,
}

async fn made(
    store: &Store,
    ambient: &Ambient,
    settings: &Settings,
    account: &str,
    month: NaiveDate,
) -> Result<Statement, LedgerError> {
    let of = settings.accounts.get(account).ok_or(LedgerError::UnknownAccount)?;
    let account = StatementAccount { id: account.to_owned(), currency: of.marketplace.currency(), zone: of.time_zone };
    let made = statement::make(store, &account, month, &OwnedBy::default(), ambient.now()).await?;
    made.ok_or(LedgerError::NotBegun)
}

pub(super) async fn print_statement(asked: StatementArguments, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let all: Vec<&String> = match &asked.account {
        Some(account) => vec![account],
        None => settings.accounts.keys().collect(),
    };
    let mut out = io::stdout();
    for (at, account) in all.into_iter().enumerate() {
        let statement = made(&store, &ambient, settings, account, asked.month).await?;
        let text = shown(&statement, &asked)?;
        // The names of the columns stand above the first account.
        let begin = if asked.csv && at > 0 { text.find('\n').map_or(0, |end| end.saturating_add(1)) } else { 0 };
        writeln!(out, "{}", text.get(begin..).unwrap_or_default().trim_end())?;
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn shown(statement: &Statement, asked: &StatementArguments) -> Result<String, io::Error> {
    Ok(if asked.csv {
        String::from_utf8(sheet::csv(statement).map_err(io::Error::other)?).map_err(io::Error::other)?
    } else if asked.html {
        sheet::html(statement)
    } else if asked.json {
        serde_json::to_string(&StatementView::from(statement))?
    } else {
        sheet::text(statement)
    })
}

pub(super) async fn print_export(asked: ExportArguments, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let statement = made(&store, &ambient, settings, &asked.account, asked.month).await?;
    let format = match asked.format {
        LedgerReader::Hledger => ExportFormat::Hledger,
        LedgerReader::Beancount => ExportFormat::Beancount,
    };
    let (shape, mut out) = (ExportShape { format, append: asked.append }, io::BufWriter::new(io::stdout()));
    let mut export = MonthExport::new(&store, statement, shape);
    let failed = |error| match error {
        MonthExportError::Store(error) => CommandError::Store(error),
        MonthExportError::Io(error) => CommandError::Io(error),
    };
    while let Some(part) = export.next().await.map_err(failed)? {
        out.write_all(&part)?;
    }
    out.flush()?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
