//! Plans, memberships and their periods, as the rest of the program sees them.

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    calendar::{PeriodAnchor, PeriodSpan},
    state::MembershipState,
};
use crate::kernel::{
    AmazonPayId, ApiKeyId, ClientId, IdempotencyKey, Intent, MembershipId, MembershipPlanId, Money, PaymentId,
    ProgramId, RewardId, idempotency::KeyError, word_methods,
};

/// What members pay for each period, and what they get for it. Nothing of it changes but that it is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipPlan {
    /// Names it to callers.
    pub id: MembershipPlanId,
    /// Whose it is.
    pub client: ClientId,
    /// The key that made it.
    pub asked_by: ApiKeyId,
    /// Fingerprint of (client, idempotency key).
    pub intent: Intent,
    /// The client's words for it.
    pub name: String,
    /// The account at Amazon Pay that is paid.
    pub pay_account: String,
    /// What a period costs.
    pub price: Money,
    /// How long a period is.
    pub span: PeriodSpan,
    /// The account that buys the rewards; its time zone says when a day begins.
    pub account: String,
    /// The program that they are charged to.
    pub program: Option<ProgramId>,
    /// What a member gets for each period.
    pub reward: Money,
    /// Days from the payment to the reward.
    pub hold_days: u32,
    /// For how many days a charge is made again that was declined for now.
    pub grace_days: u32,
    /// How often.
    pub retries: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was closed: it takes no new members. Those that there are go on.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Why a membership is not active, in a word.
pub type WhyNot = String;

/// One member who pays period by period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Names it to callers.
    pub id: MembershipId,
    /// Whose it is.
    pub client: ClientId,
    /// The key in whose name rewards are asked for.
    pub asked_by: ApiKeyId,
    /// Fingerprint of (client, idempotency key).
    pub intent: Intent,
    /// What is paid and got in this period.
    pub plan: MembershipPlanId,
    /// What from the next one on, where that is another plan.
    pub next_plan: Option<MembershipPlanId>,
    /// Amazon's id of what the buyer consented to.
    pub consent: AmazonPayId,
    /// The caller's own reference to the member.
    pub reference: String,
    /// Where it stands.
    pub state: MembershipState,
    /// Why it is not active.
    pub reason: Option<WhyNot>,
    /// The day from which periods are counted.
    pub anchor: PeriodAnchor,
    /// The number of the period that begins then.
    pub anchor_number: i64,
    /// How many periods were opened.
    pub periods: i64,
    /// When the next one is opened.
    pub due_at: Option<DateTime<Utc>>,
    /// What Amazon's sandbox is to play in the next charge.
    pub simulation: Option<String>,
    /// Counts its changes.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended or lapsed.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Where the charge of a period stands. The words are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PeriodState {
    /// It is to be charged.
    Due,
    /// A charge is under way.
    Charging,
    /// The money came.
    Paid,
    /// It was declined for good, or its membership was over before it was paid.
    Declined,
    /// All of the money went back.
    Refunded,
}
word_methods!(PeriodState);

/// Where the reward of a period stands. The words are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Entitlement {
    /// Nothing is owed: the money has not come.
    None,
    /// The money came, and the reward is to be issued.
    Owed,
    /// It was asked for.
    Issuing,
    /// The member has it.
    Issued,
    /// The money went back before it was asked for.
    Withdrawn,
    /// The money went back, and it is being canceled.
    Canceling,
    /// It was canceled.
    Canceled,
    /// The money went back, and Amazon did not take the reward back.
    Kept,
    /// It was refused for good: a person decides.
    Failed,
}
word_methods!(Entitlement);

/// One period of a membership: one price, one reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipPeriod {
    /// Of which membership.
    pub membership: MembershipId,
    /// From 1.
    pub number: i64,
    /// Whose it is.
    pub client: ClientId,
    /// By which plan.
    pub plan: MembershipPlanId,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When the next one begins.
    pub ends_at: DateTime<Utc>,
    /// Where its charge stands.
    pub state: PeriodState,
    /// Charges so far, the present one included.
    pub tries: i64,
    /// Declines for now in a row.
    pub setbacks: i64,
    /// The last decline, in a word.
    pub decline: Option<String>,
    /// The code of the problem that holds its next step up.
    pub waiting_for: Option<String>,
    /// Of the charge that is under way.
    pub intent: Option<Intent>,
    /// What Amazon's sandbox is to play in it.
    pub simulation: Option<String>,
    /// The charge that paid.
    pub payment: Option<PaymentId>,
    /// What went back, in minor units of the price.
    pub refunded_minor: i64,
    /// When the next step of the charge is due.
    pub due_at: Option<DateTime<Utc>>,
    /// When the money came.
    pub paid_at: Option<DateTime<Utc>>,
    /// Where its reward stands.
    pub entitlement: Entitlement,
    /// The key under which the reward is asked for first.
    pub reward_key: Option<String>,
    /// How often an operator had it asked for anew, under another key.
    pub reward_round: i64,
    /// The reward, once there is one.
    pub reward: Option<RewardId>,
    /// When the next step of the reward is due.
    pub reward_due_at: Option<DateTime<Utc>>,
    /// Since when it could have been asked for first.
    pub owed_since: Option<DateTime<Utc>>,
    /// How often a step was taken up.
    pub claims: i64,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The key of a period's charge. A decline consumes it; what is unknown goes on under the same. It derives from what the caller asked for, and not
/// from the row's id: a membership whose row was lost with a restored back-up, and that is asked for again, is charged under the same keys.
///
/// # Errors
/// [`KeyError`] never: the text is printable ASCII.
pub fn charge_key(membership: &Intent, number: i64, charge: i64) -> Result<IdempotencyKey, KeyError> {
    IdempotencyKey::parse(&format!("membership:{}:{number}:{charge}", HEXLOWER.encode(membership.as_bytes())))
}

/// The key of a period's reward. It derives from Amazon's id of the charge, so that the same money never buys two rewards, whatever rows were
/// lost with a restored back-up.
#[must_use]
pub fn reward_key(charge: &AmazonPayId) -> String {
    format!("membership:{charge}")
}

/// The key of a reward that an operator has asked for anew. A program that knows no rounds asks under the first one, and gets the answer that it had.
#[must_use]
pub fn round_key(first: &str, round: i64) -> String {
    if round == 0 { first.to_owned() } else { format!("{first}:{round}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_pinned_for_ever() {
        // Changing one would charge, or buy, a second time what was charged or bought already.
        let intent = Intent::from_stored([7; 20]);
        let key = charge_key(&intent, 3, 2).unwrap();
        assert_eq!(key.as_str(), "membership:0707070707070707070707070707070707070707:3:2");
        let charge: AmazonPayId = "P03-1234567-1234567-C123456".parse().unwrap();
        assert_eq!(reward_key(&charge), "membership:P03-1234567-1234567-C123456");
        assert!(IdempotencyKey::parse(&reward_key(&charge)).is_ok());
        assert_eq!(round_key(&reward_key(&charge), 0), reward_key(&charge));
        assert_eq!(round_key(&reward_key(&charge), 2), "membership:P03-1234567-1234567-C123456:2");
    }
}
