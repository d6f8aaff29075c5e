//! `noshi balance`: what the accounts hold, through the API.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    CommandError,
    service::{CallError, ServiceArguments, say_lines, say_table, text},
};
use crate::client::{Ask, pages::ListPage};

#[derive(Args)]
pub(super) struct BalanceArguments {
    /// The account; all of them unless given.
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    service: ServiceArguments,
}

pub(super) async fn run(arguments: BalanceArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let found: Vec<Value> = match &arguments.account {
        Some(account) => {
            let path = ["balances", account];
            vec![service.ask(&Ask::get(&path)).await.and_then(|reply| reply.json()).map_err(CallError::from)?]
        }
        None => {
            let reply = service.ask(&Ask::get(&["balances"])).await.map_err(CallError::from)?;
            reply.json::<ListPage>().map_err(CallError::from)?.data
        }
    };
    if arguments.service.json {
        say_lines(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |balance: &Value| {
        let of = |pointer: &str| text(balance, pointer).to_owned();
        let unknown = |shown: String| if shown.is_empty() { "unknown".to_owned() } else { shown };
        let stale = balance.pointer("/stale").and_then(Value::as_bool).unwrap_or_default();
        vec![
            of("/account_id"),
            unknown(of("/available/amount")),
            of("/currency_code"),
            of("/reserved/amount"),
            unknown(of("/as_of")),
            days(balance, "/runway_seconds"),
            days(balance, "/runway_pessimistic_seconds"),
            if stale { "out of date".to_owned() } else { String::new() },
        ]
    };
    let heads = ["account", "available", "", "reserved", "as of", "lasts", "at worst", ""];
    say_table(&heads, found.iter().map(row).collect())
}

/// So many seconds, in days.
fn days(balance: &Value, pointer: &str) -> String {
    let seconds = balance.pointer(pointer).and_then(Value::as_i64);
    seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{} days", seconds.div_euclid(24 * 60 * 60)))
}
