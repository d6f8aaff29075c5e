//! Plans in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::{ApiKeyId, ClientId, Currency, Intent, MembershipPlanId, Money},
    membership::{
        calendar::{PeriodSpan, SpanUnit},
        model::MembershipPlan,
    },
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, fetch_optional, row, statements},
};

macro_rules! columns {
    () => {
        "id, client_id, api_key_id, intent, name, pay_account, price_minor, price_currency, span, span_length, account, program_id, \
         reward_minor, reward_currency, hold_days, grace_days, retries, created_at, closed_at"
    };
}

statements! {
    INSERT = Sql::same(
        "membership_plans.insert",
        "INSERT INTO membership_plans (id, client_id, api_key_id, intent, name, pay_account, price_minor, price_currency, span, span_length, \
         account, program_id, reward_minor, reward_currency, hold_days, grace_days, retries, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (intent) DO NOTHING",
    );
    BY_ID = Sql::same("membership_plans.by_id", concat!("SELECT ", columns!(), " FROM membership_plans WHERE id = $1"));
    BY_INTENT =
        Sql::same("membership_plans.by_intent", concat!("SELECT ", columns!(), " FROM membership_plans WHERE intent = $1"));
    PAGE = Sql::same(
        "membership_plans.page",
        concat!("SELECT ", columns!(), " FROM membership_plans WHERE client_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
    );
    CLOSE = Sql::same("membership_plans.close", "UPDATE membership_plans SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL");
}

row! {
    struct MembershipPlanRow {
        id: Uuid, client_id: Uuid, api_key_id: Uuid, intent: Vec<u8>, name: String, pay_account: String, price_minor: i64,
        price_currency: String, span: String, span_length: i64, account: String, program_id: Option<String>, reward_minor: i64,
        reward_currency: String, hold_days: i64, grace_days: i64, retries: i64, created_at: DateTime<Utc>,
        closed_at: Option<DateTime<Utc>>,
    }
}

fn bad(column: &'static str) -> StoreError {
    StoreError::Inconsistent { table: "membership_plans", column }
}

fn money(minor: i64, currency: &str, column: &'static str) -> Result<Money, StoreError> {
    let currency: Currency = currency.parse().map_err(|_unknown| bad(column))?;
    Ok(Money::from_minor(minor, currency))
}

fn small(number: i64, column: &'static str) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_number| bad(column))
}

impl TryFrom<MembershipPlanRow> for MembershipPlan {
    type Error = StoreError;

    fn try_from(row: MembershipPlanRow) -> Result<Self, StoreError> {
        let unit = SpanUnit::from_word(&row.span).ok_or_else(|| bad("span"))?;
        Ok(Self {
            id: MembershipPlanId::new(row.id),
            client: ClientId::new(row.client_id),
            asked_by: ApiKeyId::new(row.api_key_id),
            intent: Intent::from_stored(row.intent.try_into().map_err(|_bytes| bad("intent"))?),
            name: row.name,
            pay_account: row.pay_account,
            price: money(row.price_minor, &row.price_currency, "price_currency")?,
            span: PeriodSpan { unit, length: small(row.span_length, "span_length")? },
            account: row.account,
            program: row.program_id.map(|id| id.parse()).transpose().map_err(|_malformed| bad("program_id"))?,
            reward: money(row.reward_minor, &row.reward_currency, "reward_currency")?,
            hold_days: small(row.hold_days, "hold_days")?,
            grace_days: small(row.grace_days, "grace_days")?,
            retries: small(row.retries, "retries")?,
            created_at: row.created_at,
            closed_at: row.closed_at,
        })
    }
}

/// Writes a plan; `false` where its key names one already.
pub(in crate::membership) async fn insert(tx: &mut Tx, plan: &MembershipPlan) -> Result<bool, StoreError> {
    let written = execute!(
        tx,
        INSERT,
        plan.id.uuid(),
        plan.client.uuid(),
        plan.asked_by.uuid(),
        plan.intent.as_bytes().as_slice(),
        plan.name.as_str(),
        plan.pay_account.as_str(),
        plan.price.minor(),
        plan.price.currency().code(),
        plan.span.unit.as_str(),
        i64::from(plan.span.length),
        plan.account.as_str(),
        plan.program.as_ref().map(|id| id.as_str().to_owned()),
        plan.reward.minor(),
        plan.reward.currency().code(),
        i64::from(plan.hold_days),
        i64::from(plan.grace_days),
        i64::from(plan.retries),
        plan.created_at
    )?;
    Ok(written == 1)
}

/// The plan of this id.
pub(in crate::membership) async fn find(
    on: &mut impl Read,
    id: MembershipPlanId,
) -> Result<Option<MembershipPlan>, StoreError> {
    fetch_optional!(MembershipPlanRow, on, BY_ID, id.uuid())?.map(MembershipPlan::try_from).transpose()
}

/// The plan of this key.
pub(in crate::membership) async fn find_intent(
    on: &mut impl Read,
    intent: &Intent,
) -> Result<Option<MembershipPlan>, StoreError> {
    let found = fetch_optional!(MembershipPlanRow, on, BY_INTENT, intent.as_bytes().as_slice())?;
    found.map(MembershipPlan::try_from).transpose()
}

/// A page of a client's plans before this one, newest first.
pub(in crate::membership) async fn page(
    on: &mut impl Read,
    client: ClientId,
    before: Uuid,
    limit: i64,
) -> Result<Vec<MembershipPlan>, StoreError> {
    let rows = fetch_all!(MembershipPlanRow, on, PAGE, client.uuid(), before, limit)?;
    rows.into_iter().map(MembershipPlan::try_from).collect()
}

/// Closes a plan that is open.
pub(in crate::membership) async fn close(
    tx: &mut Tx,
    id: MembershipPlanId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(tx, CLOSE, id.uuid(), now).map(|_closed| ())
}
