//! What callers send and see of programs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::{Code, Problem, problem::timestamp},
    kernel::{ApiKeyId, Currency, Money, claim_code::looks_like_claim_code},
    ledger::{
        Ledger,
        budget::{Measure, PROGRAM, Usage},
        programs::{Limit, LimitScope, ProgramLimit, number},
        service::{ProgramDetails, ProgramSpending},
    },
};

/// Characters of the longest name.
const NAME_LEN_MAX: usize = 100;
/// Limits of one program at most.
const LIMITS_MAX: usize = 64;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitRequest)]
pub(super) struct LimitBody {
    /// The limit is for this key; for the whole program where it is left out.
    api_key_id: Option<String>,
    /// `reward`, `day`, `month` or `total`.
    #[schema(example = "day")]
    span: String,
    /// `amount` (default) or `count`.
    #[schema(example = "amount")]
    unit: Option<String>,
    /// Above it a reward is refused: a decimal number, or a count where `unit` is `count`.
    #[schema(example = "20.00")]
    hard: Option<String>,
    /// When it is crossed an event reports it.
    #[schema(example = "15.00")]
    soft: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProgramRequest)]
pub(super) struct ProgramBody {
    /// `prg_` and 1 to 40 characters of a-z, 0-9 and underscore.
    #[schema(pattern = "^prg_[a-z0-9_]{1,40}$", example = "prg_spring")]
    pub(super) id: String,
    /// For people.
    #[schema(min_length = 1, max_length = 100, example = "Spring")]
    pub(super) name: String,
    /// The account that pays.
    #[schema(example = "us")]
    pub(super) account_id: String,
    /// Whose it is to be; the caller's where it is left out. Another's takes `clients:all`.
    #[schema(example = "shop")]
    pub(super) client: Option<String>,
    /// What it may spend.
    #[schema(max_items = 64)]
    pub(super) limits: Option<Vec<LimitBody>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProgramChange)]
pub(super) struct ChangeBody {
    /// A new name.
    #[schema(min_length = 1, max_length = 100)]
    pub(super) name: Option<String>,
    /// All limits anew.
    #[schema(max_items = 64)]
    pub(super) limits: Option<Vec<LimitBody>>,
}

pub(super) fn invalid(pointer: &str, detail: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail)
}

pub(super) fn name(text: String) -> Result<String, Problem> {
    let good = !text.is_empty() && text.chars().count() <= NAME_LEN_MAX && !text.chars().any(char::is_control);
    if good && !looks_like_claim_code(&text) {
        return Ok(text);
    }
    Err(invalid("/name", "empty, too long, with control characters, or shaped like a claim code"))
}

/// What is wrong with a limit: the member, and what was expected of it.
type WrongMember = (&'static str, &'static str);

impl LimitBody {
    fn into_limit(self, currency: Currency) -> Result<ProgramLimit, WrongMember> {
        let key = self.api_key_id.map(|text| text.parse::<ApiKeyId>()).transpose();
        let key = key.map_err(|_malformed| ("api_key_id", "not a key's id"))?;
        let scope = LimitScope::from_word(&self.span).ok_or(("span", "reward, day, month or total"))?;
        let measure = match self.unit.as_deref() {
            None => Measure::Amount,
            Some(word) => Measure::from_word(word).ok_or(("unit", "amount or count"))?,
        };
        let read = |text: Option<String>, member| match text {
            None => Ok(None),
            Some(text) => read_number(&text, measure, currency)
                .map(Some)
                .ok_or((member, "an amount with the currency's decimal places, or a count")),
        };
        let limit = Limit { hard: read(self.hard, "hard")?, soft: read(self.soft, "soft")? };
        if scope == LimitScope::Reward && (measure == Measure::Count || limit.soft.is_some()) {
            return Err(("span", "a limit of a single reward is a hard amount"));
        }
        match (limit.hard, limit.soft) {
            (None, None) => Err(("hard", "a limit is hard, soft, or both")),
            (Some(hard), Some(soft)) if soft > hard => Err(("soft", "more than the hard one")),
            _ => Ok(ProgramLimit { key, scope, measure, limit }),
        }
    }
}

fn read_number(text: &str, measure: Measure, currency: Currency) -> Option<i64> {
    match measure {
        Measure::Amount => Money::parse(text, currency).ok().map(Money::minor),
        Measure::Count => text.parse::<u32>().ok().map(i64::from),
    }
}

pub(super) fn limits(bodies: Vec<LimitBody>, currency: Currency) -> Result<Vec<ProgramLimit>, Problem> {
    if bodies.len() > LIMITS_MAX {
        return Err(invalid("/limits", "at most 64"));
    }
    let (mut limits, mut seen) = (Vec::new(), BTreeSet::new());
    for (at, body) in bodies.into_iter().enumerate() {
        let wrong = |(member, expected): WrongMember| invalid(&format!("/limits/{at}/{member}"), expected);
        let limit = body.into_limit(currency).map_err(wrong)?;
        if !seen.insert((limit.key, limit.scope.as_str(), limit.measure.as_str())) {
            return Err(invalid(&format!("/limits/{at}"), "a limit before it has the same span and unit"));
        }
        limits.push(limit);
    }
    Ok(limits)
}

#[derive(Serialize, ToSchema)]
#[schema(as = Limit)]
pub(super) struct LimitView {
    /// The limit is for this key; for the whole program where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    api_key_id: Option<String>,
    /// `reward`, `day`, `month` or `total`.
    #[schema(example = "day")]
    span: &'static str,
    /// `amount` or `count`.
    #[schema(example = "amount")]
    unit: &'static str,
    /// Above it a reward is refused.
    #[schema(required, example = "20.00")]
    hard: Option<String>,
    /// When it is crossed an event reports it.
    #[schema(required, example = "15.00")]
    soft: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Program)]
pub(super) struct ProgramView {
    /// Its id.
    #[schema(example = "prg_spring")]
    id: String,
    /// For people.
    #[schema(example = "Spring")]
    name: String,
    /// The account that pays.
    #[schema(example = "us")]
    account_id: String,
    /// Whose it is; `null`: every client may charge it.
    #[schema(required, example = "shop")]
    client: Option<String>,
    /// ISO 4217; `null` where the account is not in the settings any more.
    #[schema(required, example = "USD")]
    currency_code: Option<&'static str>,
    /// Where its days and months begin.
    #[schema(required, example = "America/New_York")]
    time_zone: Option<&'static str>,
    /// `active` or `suspended`.
    #[schema(example = "active")]
    status: &'static str,
    /// What it may spend.
    limits: Vec<LimitView>,
    /// When it was made.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    updated_at: String,
}

impl ProgramView {
    pub(super) fn new(details: ProgramDetails, ledger: &Ledger) -> Self {
        let ProgramDetails { program, limits } = details;
        let account = ledger.account(&program.account);
        let currency = account.map(crate::accounts::Account::currency);
        let text = |measure, value: i64| match currency {
            Some(currency) => number(measure, value, currency),
            None => value.to_string(),
        };
        let limit = |ProgramLimit { key, scope, measure, limit }| LimitView {
            api_key_id: key.map(|key| key.to_string()),
            span: scope.as_str(),
            unit: measure.as_str(),
            hard: limit.hard.map(|hard| text(measure, hard)),
            soft: limit.soft.map(|soft| text(measure, soft)),
        };
        Self {
            id: program.id.to_string(),
            name: program.name,
            currency_code: currency.map(Currency::code),
            time_zone: account.map(|account| account.time_zone().name()),
            account_id: program.account,
            client: program.owner.map(|owner| owner.name),
            status: program.state.as_str(),
            limits: limits.into_iter().map(limit).collect(),
            created_at: timestamp(program.created_at),
            updated_at: timestamp(program.updated_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Budget)]
pub(super) struct BudgetView {
    /// Of this key; of the whole program where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    api_key_id: Option<String>,
    /// `day`, `month` or `total`.
    #[schema(example = "day")]
    span: &'static str,
    /// Which one.
    #[schema(example = "2026-11-28")]
    period: String,
    /// When it begins anew; `null` of a total.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    resets_at: Option<String>,
    /// Spent.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    used: String,
    /// Under way.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    reserved: String,
    /// Rewards that were bought.
    used_count: i64,
    /// Rewards that are under way.
    reserved_count: i64,
    /// What the hard limit leaves; `null` without a hard limit.
    #[schema(required)]
    remaining: Option<String>,
    /// What a hard limit of rewards leaves; `null` without one.
    #[schema(required)]
    remaining_count: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Spending)]
pub(super) struct SpendingView {
    /// Its id.
    #[schema(example = "prg_spring")]
    program_id: String,
    /// ISO 4217.
    #[schema(required, example = "USD")]
    currency_code: Option<&'static str>,
    /// Of each budget that has a limit or was drawn on.
    budgets: Vec<BudgetView>,
}

pub(super) fn spending_view(spending: ProgramSpending, ledger: &Ledger) -> SpendingView {
    let ProgramSpending { details: ProgramDetails { program, limits }, usage, resets } = spending;
    let currency = ledger.account(&program.account).map(crate::accounts::Account::currency);
    let amount = |minor: i64| currency.map_or_else(|| minor.to_string(), |it| number(Measure::Amount, minor, it));
    let remaining = |usage: &Usage, measure: Measure| {
        let of_usage = |limit: &&ProgramLimit| {
            limit.holder() == usage.holder
                && limit.scope == LimitScope::Period(usage.period)
                && limit.measure == measure
        };
        let hard = limits.iter().find(of_usage).and_then(|found| found.limit.hard);
        hard.map(|hard| hard.saturating_sub(usage.taken(measure)).max(0))
    };
    let view = |usage: Usage| BudgetView {
        remaining: remaining(&usage, Measure::Amount).map(amount),
        remaining_count: remaining(&usage, Measure::Count),
        api_key_id: Some(usage.holder).filter(|holder| holder != PROGRAM),
        span: usage.period.as_str(),
        resets_at: resets.iter().find(|(period, _)| *period == usage.period).and_then(|(_, at)| at.map(timestamp)),
        period: usage.period_key,
        used: amount(usage.used_minor),
        reserved: amount(usage.reserved_minor),
        used_count: usage.used_count,
        reserved_count: usage.reserved_count,
    };
    SpendingView {
        program_id: program.id.to_string(),
        currency_code: currency.map(Currency::code),
        budgets: usage.into_iter().map(view).collect(),
    }
}
