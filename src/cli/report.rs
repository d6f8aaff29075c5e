//! `noshi report`: a month by program, through the API.

use std::process::ExitCode;

use chrono::{Datelike, Months, NaiveDate};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    CommandError,
    month::month,
    service::{CallError, ServiceArguments, say_lines, say_table, text},
};
use crate::client::{Ask, ServiceClient, ServiceError, pages::ListPage};

#[derive(Subcommand)]
pub(super) enum ReportCommand {
    /// What a month bought, and what came back of it.
    Month(MonthArguments),
}

#[derive(Args)]
pub(super) struct MonthArguments {
    /// The month, of the account's time zone: 2026-10. The last one unless given.
    #[arg(value_parser = month)]
    month: Option<NaiveDate>,
    /// The account; all of them unless given.
    #[arg(long)]
    account: Option<String>,
    /// A line for each program, or for each account.
    #[arg(long, value_enum, default_value_t = By::Program)]
    by: By,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Program,
    Account,
}

pub(super) async fn run(command: ReportCommand) -> Result<ExitCode, CommandError> {
    let ReportCommand::Month(arguments) = command;
    let service = arguments.service.service()?;
    let month = arguments.month.or_else(|| last_month(service.now().date_naive()));
    let month = month.ok_or_else(|| CallError::Usage("the month is too early".to_owned()))?;
    let month = month.format("%Y-%m").to_string();
    let accounts = match arguments.account {
        Some(account) => vec![account],
        None => accounts(&service).await?,
    };
    let mut statements: Vec<Value> = Vec::new();
    for account in &accounts {
        let path = ["statements", account, &month];
        statements.push(service.ask(&Ask::get(&path)).await.and_then(|reply| reply.json()).map_err(CallError::from)?);
    }
    if arguments.service.json {
        say_lines(&statements)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = statements.iter().flat_map(|statement| rows(statement, arguments.by)).collect();
    say_table(&["account", "month", "program", "", "issued", "", "canceled", "", "net", ""], rows)
}

/// The accounts that the service deals in.
async fn accounts(service: &ServiceClient) -> Result<Vec<String>, CallError> {
    let page: ListPage = match service.ask(&Ask::get(&["catalog"])).await {
        // Finance reads balances, and no rewards.
        Err(ServiceError::Refused(refusal)) if refusal.status == 403 => {
            service.ask(&Ask::get(&["balances"])).await?.json()?
        }
        asked => asked?.json()?,
    };
    Ok(page.data.iter().map(|entry| text(entry, "/account_id").to_owned()).collect())
}

fn last_month(today: NaiveDate) -> Option<NaiveDate> {
    today.with_day(1)?.checked_sub_months(Months::new(1))
}

/// A line for each program, and the account's.
fn rows(statement: &Value, by: By) -> Vec<Vec<String>> {
    let row = |line: &Value, what: &str| {
        let count = |pointer: &str| line.pointer(pointer).and_then(Value::as_i64).unwrap_or_default().to_string();
        let open = statement.pointer("/closed").and_then(Value::as_bool) == Some(false);
        vec![
            text(statement, "/account_id").to_owned(),
            text(statement, "/month").to_owned(),
            what.to_owned(),
            count("/issued_count"),
            text(line, "/issued").to_owned(),
            count("/canceled_count"),
            text(line, "/canceled").to_owned(),
            text(statement, "/currency_code").to_owned(),
            text(line, "/net").to_owned(),
            if open { "so far".to_owned() } else { String::new() },
        ]
    };
    let programs = statement.pointer("/programs").and_then(Value::as_array).filter(|_lines| by == By::Program);
    let name = |line: &Value| match text(line, "/program_id") {
        "" => "none".to_owned(),
        id => id.to_owned(),
    };
    let mut rows: Vec<Vec<String>> = programs.into_iter().flatten().map(|line| row(line, &name(line))).collect();
    rows.extend(statement.pointer("/total").map(|total| row(total, "all")));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_month_is_that_before_this_one_also_in_january() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(last_month(day("2026-11-28")), Some(day("2026-10-01")));
        assert_eq!(last_month(day("2026-01-31")), Some(day("2025-12-01")));
        assert_eq!(last_month(day("2028-03-31")), Some(day("2028-02-01")));
    }
}
