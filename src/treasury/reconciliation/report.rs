//! A run as text for people, and as JSON and CSV for programs. No field of it can hold a claim code.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    compare::TheirState,
    days::{OpenDay, OpenDayStatus},
    model::{Item, Reconciliation},
};
use crate::{
    engine::order,
    http::problem::timestamp,
    kernel::{Currency, Money},
};

/// A reconciliation as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub(crate) struct View {
    /// Its id.
    #[schema(example = "rec_01990000000070008000000000000000")]
    id: String,
    /// The partner account.
    #[schema(example = "us")]
    account_id: String,
    /// `report` or `file`; more may come.
    #[schema(example = "report")]
    source: &'static str,
    /// Whether the service began it by itself.
    daily: bool,
    /// The first day (UTC).
    #[schema(format = Date, example = "2026-11-01")]
    from: String,
    /// The last day.
    #[schema(format = Date, example = "2026-11-01")]
    to: String,
    /// `running`, `finished` or `failed`.
    #[schema(example = "finished")]
    status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failure: Option<String>,
    /// When it began.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    started_at: String,
    /// When it ended.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    ended_at: Option<String>,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// Not shown to whoever may see the rewards of one client alone.
    #[serde(flatten)]
    totals: Option<Totals>,
}

/// What a run counted, over the rewards of all clients.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationTotals)]
struct Totals {
    /// Amazon's records that were read.
    records: i64,
    /// The sum of our rewards.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    ours: String,
    /// The sum of Amazon's records.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    theirs: String,
    /// Theirs less ours.
    #[schema(example = "0.00")]
    difference: String,
    /// Rewards on which both agree.
    matched: i64,
    /// Rewards that Amazon does not have.
    ours_only: i64,
    /// Records that we do not have.
    theirs_only: i64,
    /// Rewards of another amount.
    amount_differs: i64,
    /// Rewards in another state.
    state_differs: i64,
    /// Rewards that are not proven yet.
    unproven: i64,
    /// Rewards that no report lists.
    unchecked: i64,
    /// Rewards that the run proved.
    adopted: i64,
}

impl From<&Reconciliation> for View {
    fn from(run: &Reconciliation) -> Self {
        Self { totals: Some(run.into()), ..Self::without_totals(run) }
    }
}

impl View {
    /// What a run was about, and no number of it.
    pub(super) fn without_totals(run: &Reconciliation) -> Self {
        let (first, last) = run.period.first_and_last();
        Self {
            id: run.id.to_string(),
            account_id: run.account.clone(),
            source: run.source.as_str(),
            daily: run.daily,
            from: first.to_string(),
            to: last.to_string(),
            status: run.state.as_str(),
            failure: run.failure.clone(),
            started_at: timestamp(run.started_at),
            ended_at: run.ended_at.map(timestamp),
            currency_code: run.currency.code(),
            totals: None,
        }
    }
}

impl From<&Reconciliation> for Totals {
    fn from(run: &Reconciliation) -> Self {
        let tally = &run.tally;
        Self {
            records: run.records,
            ours: money(tally.ours_minor, run.currency),
            theirs: money(tally.theirs_minor, run.currency),
            difference: run.difference().to_string(),
            matched: tally.matched,
            ours_only: tally.ours_only,
            theirs_only: tally.theirs_only,
            amount_differs: tally.amount_differs,
            state_differs: tally.state_differs,
            unproven: tally.unproven,
            unchecked: tally.unchecked,
            adopted: tally.adopted,
        }
    }
}

/// A finding, or an open reward, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationItem)]
pub(crate) struct ItemView {
    /// What differs: `ours_only`, `theirs_only`, `amount_differs`, `state_differs`, `unproven`; more may come.
    #[schema(example = "theirs_only")]
    class: &'static str,
    /// Amazon's id of it.
    creation_request_id: String,
    /// Our reward.
    #[schema(required)]
    reward_id: Option<String>,
    /// Its status.
    #[schema(required)]
    ours_status: Option<&'static str>,
    /// The record's status.
    #[schema(required)]
    theirs_status: Option<&'static str>,
    /// Its amount.
    #[schema(required)]
    ours: Option<String>,
    /// The record's amount.
    #[schema(required)]
    theirs: Option<String>,
    /// When it was bought.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    at: String,
}

impl ItemView {
    /// An item of a run with this currency.
    pub(crate) fn new(item: &Item, currency: Currency) -> Self {
        let amount = |minor: Option<i64>| minor.map(|minor| money(minor, currency));
        Self {
            class: item.class.as_str(),
            creation_request_id: item.request_id.clone(),
            reward_id: item.reward.map(|id| id.to_string()),
            ours_status: item.ours_state.map(order::State::as_str),
            theirs_status: item.theirs_state.map(TheirState::as_str),
            ours: amount(item.ours_minor),
            theirs: amount(item.theirs_minor),
            at: timestamp(item.at),
        }
    }

    fn fields(&self) -> [&str; 8] {
        [
            self.class,
            &self.creation_request_id,
            self.reward_id.as_deref().unwrap_or_default(),
            self.ours_status.unwrap_or_default(),
            self.theirs_status.unwrap_or_default(),
            self.ours.as_deref().unwrap_or_default(),
            self.theirs.as_deref().unwrap_or_default(),
            &self.at,
        ]
    }

    /// A line of CSV. No field has a comma, a quote or a line's end in it; an id begins with a letter or a digit, so no
    /// spreadsheet takes one for a formula.
    pub(crate) fn csv(&self) -> String {
        self.fields().join(",")
    }

    /// A line for people.
    pub(crate) fn text(&self) -> String {
        let [class, id, reward, ours_status, theirs_status, ours, theirs, at] = self.fields();
        let side =
            |status: &str, amount: &str| if status.is_empty() { "-".to_owned() } else { format!("{status} {amount}") };
        let (ours, theirs) = (side(ours_status, ours), side(theirs_status, theirs));
        let reward = if reward.is_empty() { "-" } else { reward };
        format!("  {class:<14}  {id:<40}  {reward:<36}  {ours:<24}  {theirs:<24}  {at}")
    }
}

/// A day that is not reconciled, as callers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenDay)]
pub(crate) struct OpenDayView {
    /// The day (UTC).
    #[schema(format = Date, example = "2026-11-01")]
    day: String,
    /// `due`, `failing` or `out_of_reach`.
    #[schema(example = "due")]
    status: &'static str,
    /// How often a run for it failed.
    failures: u32,
    /// Why the last one did.
    #[schema(required)]
    failure: Option<String>,
    /// When the last one was.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    tried_at: Option<String>,
    /// When the next one will be.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    next_try_at: Option<String>,
}

impl From<&OpenDay> for OpenDayView {
    fn from(open: &OpenDay) -> Self {
        let again = open.next_try_at.filter(|_at| open.status == OpenDayStatus::Failing);
        Self {
            day: open.day.to_string(),
            status: open.status.as_str(),
            failures: open.failures.count,
            failure: open.failures.cause.clone(),
            tried_at: open.failures.last_at.map(timestamp),
            next_try_at: again.map(timestamp),
        }
    }
}

impl OpenDayView {
    /// A line for people.
    pub(crate) fn text(&self) -> String {
        let mut line = format!("{}  {}", self.day, self.status);
        if let Some(failure) = &self.failure {
            line.push_str(&format!("  failed {} times, last: {failure}", self.failures));
        }
        if let Some(again) = &self.next_try_at {
            line.push_str(&format!(", next try {again}"));
        }
        line
    }
}

/// The header of the CSV.
pub(crate) const CSV_HEADER: &str = "class,creation_request_id,reward_id,ours_status,theirs_status,ours,theirs,at";

/// The head of the report for people.
pub(crate) fn text(run: &Reconciliation) -> String {
    let ((first, last), tally, currency) = (run.period.first_and_last(), &run.tally, run.currency);
    let (ours, theirs) = (money(tally.ours_minor, currency), money(tally.theirs_minor, currency));
    let difference = run.difference().to_string();
    let width = [&ours, &theirs, &difference].into_iter().map(String::len).max().unwrap_or(0);
    let verdict = if run.is_clean() { "Amazon's books are ours." } else { "Amazon's books are not ours." };
    format!(
        "{id}: account {account}, {first} to {last} (UTC), {records} records from {source}\n\
         {verdict}\n\n  \
         Amazon lists  {theirs:>width$} {currency}\n  \
         we hold       {ours:>width$} {currency}\n  \
         difference    {difference:>width$} {currency}\n\n  \
         matched {matched}, ours only {ours_only}, theirs only {theirs_only} ({adopted} adopted now), amount differs \
         {amount}, state differs {state}\n  \
         not proven yet {unproven}, not comparable at the period's edge {unchecked}",
        id = run.id,
        account = run.account,
        records = run.records,
        source = run.source.as_str(),
        matched = tally.matched,
        ours_only = tally.ours_only,
        theirs_only = tally.theirs_only,
        adopted = tally.adopted,
        amount = tally.amount_differs,
        state = tally.state_differs,
        unproven = tally.unproven,
        unchecked = tally.unchecked,
    )
}

/// The header of the list for people.
pub(crate) fn text_header() -> String {
    let [class, id, reward, ours, theirs] = ["class", "Amazon's id", "reward", "ours", "theirs"];
    format!("\n  {class:<14}  {id:<40}  {reward:<36}  {ours:<24}  {theirs:<24}  since")
}

fn money(minor: i64, currency: Currency) -> String {
    Money::from_minor(minor, currency).to_string()
}
