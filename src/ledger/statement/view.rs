//! A statement as JSON, for the API and for the command.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Statement, StatementLine, Turnover};
use crate::http::problem::timestamp;

/// What one program moved, on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatementLine)]
pub(crate) struct StatementLineView {
    /// The program; `null` for what no program paid for.
    #[schema(required, example = "prg_spring")]
    program_id: Option<String>,
    /// What was bought.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "75.00")]
    issued: String,
    /// How many rewards that were.
    #[schema(minimum = 0, example = 3)]
    issued_count: i64,
    /// What Amazon took back.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    canceled: String,
    /// How many rewards that were.
    #[schema(minimum = 0, example = 1)]
    canceled_count: i64,
    /// What it cost: `issued` less `canceled`. Below zero where more was taken back than bought.
    #[schema(pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "50.00")]
    net: String,
    /// What was reserved and bought nothing. It is in no balance.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "0.00")]
    released: String,
    /// How many rewards that were.
    #[schema(minimum = 0, example = 0)]
    released_count: i64,
}

impl From<&StatementLine> for StatementLineView {
    fn from(line: &StatementLine) -> Self {
        Self {
            program_id: line.program.clone(),
            issued: line.issued.value.to_string(),
            issued_count: line.issued.entries,
            canceled: line.canceled.value.to_string(),
            canceled_count: line.canceled.entries,
            net: line.net().to_string(),
            released: line.released.value.to_string(),
            released_count: line.released.entries,
        }
    }
}

/// A month's statement, on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub(crate) struct StatementView {
    /// The partner account.
    #[schema(example = "us")]
    account_id: String,
    /// The month.
    #[schema(example = "2026-10")]
    month: String,
    /// ISO 4217: of every amount here.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// Whose days the month has: the account's.
    #[schema(example = "America/New_York")]
    time_zone: &'static str,
    /// When the month begins there.
    #[schema(format = DateTime, example = "2026-10-01T04:00:00.000Z")]
    from: String,
    /// When it ends there, which is not included.
    #[schema(format = DateTime, example = "2026-11-01T04:00:00.000Z")]
    to: String,
    /// Whether the month is over, so that nothing here changes any more.
    closed: bool,
    /// What Amazon held at first; `null` for a key without `clients:all`, as the other figures of the account.
    #[schema(required, pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "1000.00")]
    opening: Option<String>,
    /// What the account held when its ledger began, where that was in this month.
    #[schema(required, pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "0.00")]
    initial_balance: Option<String>,
    /// What was paid in.
    #[schema(required, pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "500.00")]
    deposits: Option<String>,
    /// What people corrected; below zero where funds were taken off.
    #[schema(required, pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "0.00")]
    adjustments: Option<String>,
    /// All lines together.
    total: StatementLineView,
    /// `opening`, `initial_balance`, `deposits` and `adjustments`, less the total's `net`.
    #[schema(required, pattern = r"^-?[0-9]+(\.[0-9]+)?$", example = "1450.00")]
    closing: Option<String>,
    /// By program; first what no program paid for. A program that moved nothing is absent.
    programs: Vec<StatementLineView>,
}

impl From<&Statement> for StatementView {
    fn from(statement: &Statement) -> Self {
        let funds = statement.funds.as_ref();
        let value = |turnover: Option<Turnover>| turnover.map(|turnover| turnover.value.to_string());
        Self {
            account_id: statement.account.id.clone(),
            month: statement.month_text(),
            currency_code: statement.account.currency.code(),
            time_zone: statement.account.zone.name(),
            from: timestamp(statement.stretch.from),
            to: timestamp(statement.stretch.to),
            closed: statement.closed,
            opening: funds.map(|funds| funds.opening.to_string()),
            initial_balance: value(funds.map(|funds| funds.initial)),
            deposits: value(funds.map(|funds| funds.deposits)),
            adjustments: value(funds.map(|funds| funds.adjustments)),
            total: (&statement.total).into(),
            closing: funds.map(|funds| funds.closing.to_string()),
            programs: statement.lines.iter().map(StatementLineView::from).collect(),
        }
    }
}
