//! Memberships on the wire.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{
        Code, Problem,
        problem::timestamp,
        value::{ValueBody, ValueView, printable},
    },
    kernel::{AmazonPayId, MembershipPlanId, ProgramId, claim_code::may_hold_claim_code},
    membership::{
        calendar::{PeriodSpan, SpanUnit},
        model::{Membership, MembershipPeriod, MembershipPlan},
        service::{NewMembership, NewMembershipPlan},
    },
};

const NAME_MAX: usize = 100;
const REFERENCE_MAX: usize = 128;
const LENGTH_MAX: u32 = 366;
const DAYS_MAX: u32 = 366;
const RETRIES_MAX: u32 = 30;

/// How long a period is.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MembershipSpan)]
struct SpanBody {
    /// `months` or `days`, of the calendar of the account that buys the rewards.
    #[schema(example = "months")]
    unit: String,
    /// How many.
    #[schema(minimum = 1, maximum = 366, example = 1)]
    length: u32,
}

/// What a member gets for each period.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MembershipRewardRequest)]
struct PlanRewardBody {
    /// `gift_code`.
    #[schema(example = "gift_code")]
    kind: Option<String>,
    /// What it is worth.
    value: ValueBody,
    /// The account that buys it; needed where several deal in the currency.
    #[schema(example = "jp")]
    account_id: Option<String>,
    /// The program to charge.
    #[schema(example = "prg_members")]
    program_id: Option<String>,
}

/// The body of `POST /v1/membership/plans`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = MembershipPlanRequest,
    example = json!({
        "name": "Gold", "price": {"amount": "980", "currency_code": "JPY"}, "period": {"unit": "months", "length": 1},
        "reward": {"value": {"amount": "500", "currency_code": "JPY"}}, "hold_days": 0, "grace_days": 6, "retries": 3
    })
)]
pub(super) struct PlanBody {
    /// Your words for it.
    #[schema(min_length = 1, max_length = 100, example = "Gold")]
    name: String,
    /// The account at Amazon Pay that is paid; needed where several are paid in the currency.
    #[schema(example = "shop")]
    pay_account_id: Option<String>,
    /// What a period costs.
    price: ValueBody,
    /// How long a period is.
    period: SpanBody,
    /// What a member gets for it.
    reward: PlanRewardBody,
    /// Days from the payment to the reward.
    #[schema(minimum = 0, maximum = 366, default = 0, example = 0)]
    hold_days: Option<u32>,
    /// For how many days a charge is made again that was declined for now.
    #[schema(minimum = 0, maximum = 366, default = 0, example = 6)]
    grace_days: Option<u32>,
    /// How often, evenly over the grace.
    #[schema(minimum = 0, maximum = 30, default = 0, example = 3)]
    retries: Option<u32>,
}

/// The body of `POST /v1/memberships`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = MembershipRequest,
    example = json!({"plan_id": "pln_01990000000070008000000000000000", "consent_id": "C03-1234567-1234567", "reference": "member-4711"})
)]
pub(super) struct JoinBody {
    /// What is paid and got.
    #[schema(example = "pln_01990000000070008000000000000000")]
    plan_id: String,
    /// Amazon's id of what the buyer consented to: a recurring charge permission.
    #[schema(example = "C03-1234567-1234567")]
    consent_id: String,
    /// Your own reference to the member; it names one membership.
    #[schema(min_length = 1, max_length = 128, example = "member-4711")]
    reference: String,
    /// What Amazon's sandbox is to play in the first charge, as `SoftDeclined`. Sandbox only.
    #[schema(example = "SoftDeclined")]
    simulation: Option<String>,
}

/// The body of `POST /v1/memberships/{id}/change_plan`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MembershipPlanChange, example = json!({"plan_id": "pln_01990000000070008000000000000000"}))]
pub(super) struct ChangePlanBody {
    /// The plan from the next period on.
    #[schema(example = "pln_01990000000070008000000000000000")]
    plan_id: String,
}

/// The body of `POST /v1/memberships/{id}/simulate`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MembershipSimulation, example = json!({"simulation": "SoftDeclined"}))]
pub(super) struct SimulateBody {
    /// What Amazon's sandbox is to play in the next charge; `null` takes it back.
    #[schema(example = "SoftDeclined")]
    simulation: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MembershipsQuery {
    /// The one of this reference.
    #[param(example = "member-4711")]
    pub(super) reference: Option<String>,
    /// Those in this state.
    #[param(example = "suspended")]
    pub(super) state: Option<String>,
    /// Those that have this plan now.
    #[param(example = "pln_01990000000070008000000000000000")]
    pub(super) plan_id: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    pub(super) cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MembershipPageQuery {
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    pub(super) cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<String>,
}

fn invalid(pointer: &str, expected: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", expected)
}

fn words(text: String, pointer: &str, max: usize) -> Result<String, Problem> {
    let text = printable(text, pointer, max)?;
    if may_hold_claim_code(&text) {
        return Err(invalid(pointer, "looks like a claim code, which must not be stored"));
    }
    Ok(text)
}

fn within(number: Option<u32>, pointer: &str, range: RangeInclusive<u32>) -> Result<u32, Problem> {
    let number = number.unwrap_or(0);
    if range.contains(&number) { Ok(number) } else { Err(invalid(pointer, "outside what a plan can have")) }
}

fn plan_id(text: &str) -> Result<MembershipPlanId, Problem> {
    text.parse().map_err(|_malformed| invalid("/plan_id", "the id of a plan of yours, as its answer has it"))
}

/// A word of Amazon's sandbox, as the row can hold it.
fn simulation(text: Option<String>) -> Result<Option<String>, Problem> {
    let fits = |text: &String| {
        let mut letters = text.bytes();
        let begins = letters.next().is_some_and(|byte| byte.is_ascii_uppercase())
            && letters.next().is_some_and(|byte| byte.is_ascii_lowercase());
        begins && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    if text.as_ref().is_none_or(fits) {
        Ok(text)
    } else {
        Err(invalid("/simulation", "a word of Amazon's sandbox, as SoftDeclined"))
    }
}

impl PlanBody {
    /// The plan that is asked for, checked for shape.
    pub(super) fn into_plan(self) -> Result<NewMembershipPlan, Problem> {
        let unit = SpanUnit::from_word(&self.period.unit).ok_or_else(|| invalid("/period/unit", "months or days"))?;
        let length = within(Some(self.period.length), "/period/length", 1..=LENGTH_MAX)?;
        if self.reward.kind.as_ref().is_some_and(|kind| kind != "gift_code") {
            return Err(invalid("/reward/kind", "gift_code"));
        }
        let program = self.reward.program_id.map(|id| id.parse::<ProgramId>()).transpose();
        let grace_days = within(self.grace_days, "/grace_days", 0..=DAYS_MAX)?;
        let retries = within(self.retries, "/retries", 0..=RETRIES_MAX)?;
        if (retries == 0) != (grace_days == 0) {
            return Err(invalid("/retries", "both a grace and retries, or neither"));
        }
        Ok(NewMembershipPlan {
            name: words(self.name, "/name", NAME_MAX)?,
            pay_account: self.pay_account_id,
            price: self.price.into_money("/price")?,
            span: PeriodSpan { unit, length },
            account: self.reward.account_id,
            program: program.map_err(|_malformed| invalid("/reward/program_id", "the id of a program"))?,
            reward: self.reward.value.into_money("/reward/value")?,
            hold_days: within(self.hold_days, "/hold_days", 0..=DAYS_MAX)?,
            grace_days,
            retries,
        })
    }
}

impl JoinBody {
    /// The membership that is asked for, checked for shape.
    pub(super) fn into_membership(self) -> Result<NewMembership, Problem> {
        let consent = self.consent_id.parse::<AmazonPayId>().ok().filter(|id| id.as_str().len() == 19);
        Ok(NewMembership {
            plan: plan_id(&self.plan_id)?,
            consent: consent
                .ok_or_else(|| invalid("/consent_id", "Amazon's id of a charge permission, as C03-1234567-1234567"))?,
            reference: words(self.reference, "/reference", REFERENCE_MAX)?,
            simulation: simulation(self.simulation)?,
        })
    }
}

impl ChangePlanBody {
    pub(super) fn into_plan(self) -> Result<MembershipPlanId, Problem> {
        plan_id(&self.plan_id)
    }
}

impl SimulateBody {
    pub(super) fn into_simulation(self) -> Result<Option<String>, Problem> {
        simulation(self.simulation)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = MembershipReward)]
struct PlanRewardView {
    /// What is bought.
    #[schema(example = "gift_code")]
    kind: &'static str,
    /// What it is worth.
    value: ValueView,
    /// The account that buys it.
    #[schema(example = "jp")]
    account_id: String,
    /// The program that is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "prg_members")]
    program_id: Option<String>,
}

/// A plan.
#[derive(Serialize, ToSchema)]
#[schema(as = MembershipPlan)]
pub(super) struct PlanView {
    /// Its id.
    #[schema(example = "pln_01990000000070008000000000000000")]
    id: String,
    /// Your words for it.
    name: String,
    /// The account at Amazon Pay that is paid.
    #[schema(example = "shop")]
    pay_account_id: String,
    /// What a period costs.
    price: ValueView,
    /// How long a period is.
    period: SpanBody,
    /// What a member gets for it.
    reward: PlanRewardView,
    /// Days from the payment to the reward.
    hold_days: u32,
    /// For how many days a charge is made again that was declined for now.
    grace_days: u32,
    /// How often.
    retries: u32,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    closed_at: Option<String>,
}

impl From<MembershipPlan> for PlanView {
    fn from(plan: MembershipPlan) -> Self {
        Self {
            id: plan.id.to_string(),
            name: plan.name,
            pay_account_id: plan.pay_account,
            price: plan.price.into(),
            period: SpanBody { unit: plan.span.unit.as_str().to_owned(), length: plan.span.length },
            reward: PlanRewardView {
                kind: "gift_code",
                value: plan.reward.into(),
                account_id: plan.account,
                program_id: plan.program.map(|id| id.as_str().to_owned()),
            },
            hold_days: plan.hold_days,
            grace_days: plan.grace_days,
            retries: plan.retries,
            created_at: timestamp(plan.created_at),
            closed_at: plan.closed_at.map(timestamp),
        }
    }
}

/// A membership.
#[derive(Serialize, ToSchema)]
#[schema(as = Membership)]
pub(super) struct MembershipView {
    /// Its id.
    #[schema(example = "mbr_01990000000070008000000000000000")]
    id: String,
    /// Your own reference to the member.
    #[schema(example = "member-4711")]
    reference: String,
    /// `active`, `past_due`, `suspended`, `paused`, `lapsed` or `ended`; more may come.
    #[schema(example = "active")]
    state: &'static str,
    /// Why it is not active: `asked`, `refunded`, `consent_ended`, or the kind of the last decline; more may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "method")]
    reason: Option<String>,
    /// What must happen next, where somebody must act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<&'static str>,
    /// The plan of this period.
    #[schema(example = "pln_01990000000070008000000000000000")]
    plan_id: String,
    /// That from the next one on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "pln_01990000000070008000000000000000")]
    next_plan_id: Option<String>,
    /// Amazon's id of what the buyer consented to.
    #[schema(example = "C03-1234567-1234567")]
    consent_id: String,
    /// How many periods were opened.
    #[schema(example = 3)]
    periods: i64,
    /// When the next one is opened; absent while the present one is not paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    renews_at: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it last changed.
    #[schema(format = DateTime)]
    updated_at: String,
    /// When it ended or lapsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    ended_at: Option<String>,
}

impl From<Membership> for MembershipView {
    fn from(of: Membership) -> Self {
        use crate::membership::state::MembershipState as State;
        let next = match (of.state, of.reason.as_deref()) {
            (State::Suspended, _) => Some("The buyer must mend the payment method at Amazon. Then POST retry."),
            (State::Paused, Some("refunded")) => {
                Some("The member got the money back and kept the reward. POST resume to have it go on, or end.")
            }
            (State::Active | State::PastDue | State::Paused | State::Lapsed | State::Ended, _) => None,
        };
        Self {
            id: of.id.to_string(),
            reference: of.reference,
            state: of.state.as_str(),
            reason: of.reason,
            next,
            plan_id: of.plan.to_string(),
            next_plan_id: of.next_plan.map(|id| id.to_string()),
            consent_id: of.consent.to_string(),
            periods: of.periods,
            renews_at: of.due_at.map(timestamp),
            created_at: timestamp(of.created_at),
            updated_at: timestamp(of.updated_at),
            ended_at: of.ended_at.map(timestamp),
        }
    }
}

/// A period of a membership.
#[derive(Serialize, ToSchema)]
#[schema(as = MembershipPeriod)]
pub(super) struct PeriodView {
    /// From 1.
    #[schema(example = 1)]
    number: i64,
    /// By which plan.
    #[schema(example = "pln_01990000000070008000000000000000")]
    plan_id: String,
    /// What it costs.
    price: ValueView,
    /// When it begins.
    #[schema(format = DateTime)]
    starts_at: String,
    /// When the next one begins.
    #[schema(format = DateTime)]
    ends_at: String,
    /// `due`, `charging`, `paid`, `declined` or `refunded`; more may come.
    #[schema(example = "paid")]
    state: &'static str,
    /// How many charges were made for it.
    tries: i64,
    /// The kind of the last decline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "soft")]
    decline: Option<String>,
    /// The code of the problem that holds its next step up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "insufficient-funds")]
    waiting_for: Option<String>,
    /// The charge that paid: read it, or give it back, under `/v1/pay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "pmt_01990000000070008000000000000000")]
    charge_id: Option<String>,
    /// When the money came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    paid_at: Option<String>,
    /// What the member got back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refunded: Option<ValueView>,
    /// `none`, `owed`, `issuing`, `issued`, `withdrawn`, `canceling`, `canceled`, `kept` or `failed`; more may come.
    #[schema(example = "issued")]
    entitlement: &'static str,
    /// The reward: reveal its code by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rwd_01990000000070008000000000000000")]
    reward_id: Option<String>,
}

impl From<(MembershipPeriod, MembershipPlan)> for PeriodView {
    fn from(one: (MembershipPeriod, MembershipPlan)) -> Self {
        let (period, plan) = one;
        let back = crate::kernel::Money::from_minor(period.refunded_minor, plan.price.currency());
        Self {
            number: period.number,
            plan_id: period.plan.to_string(),
            price: plan.price.into(),
            starts_at: timestamp(period.starts_at),
            ends_at: timestamp(period.ends_at),
            state: period.state.as_str(),
            tries: period.tries,
            decline: period.decline,
            waiting_for: period.waiting_for,
            charge_id: period.payment.map(|id| id.to_string()),
            paid_at: period.paid_at.map(timestamp),
            refunded: (period.refunded_minor > 0).then(|| back.into()),
            entitlement: period.entitlement.as_str(),
            reward_id: period.reward.map(|id| id.to_string()),
        }
    }
}
