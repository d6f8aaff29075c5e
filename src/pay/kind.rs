//! What kind of payment it is. What differs in how Amazon is called is a [`PaymentSpec`]; the words for callers and operators stand in
//! `dto`, `timeline`, `settle` and `metrics`.

use std::{future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{answer::PaymentAnswer, model::Payment};
use crate::{
    engine::{
        Action, Rules, ladder,
        rules::{AfterRefusal, Reading},
    },
    kernel::word_methods,
    provider::pay::PayDriver,
};

/// The kinds. The words are durable: kinds are added, never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentKind {
    /// A buyer pays: authorized, and captured with it or later.
    Charge,
    /// A buyer gets money of a charge back.
    Refund,
    /// The money of an authorized charge is taken. Callers see it as a change of the charge.
    Capture,
}
word_methods!(PaymentKind);

/// How the capture of a charge stands, in the row of the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum CaptureStatus {
    /// It was asked for, and is not decided.
    Capturing,
    /// The money is taken.
    Paid,
    /// Amazon declined it, and holds nothing any more.
    Declined,
    /// A person decides.
    NeedsAttention,
}
word_methods!(CaptureStatus);

/// A call that is under way.
pub(super) type PaymentCall<'a> = Pin<Box<dyn Future<Output = PaymentAnswer> + Send + 'a>>;

/// What one call is about.
#[derive(Clone, Copy)]
pub(super) struct PayErrand<'a> {
    /// The account's way to Amazon.
    pub(super) client: &'a PayDriver,
    /// The payment as it is committed.
    pub(super) payment: &'a Payment,
    /// What is to be done.
    pub(super) action: Action,
    /// The present: the answer shows nothing of what happens at Amazon after it.
    pub(super) asked_at: DateTime<Utc>,
}

/// What differs between kinds.
pub(super) trait PaymentSpec: Sync {
    /// Amazon's operation, as metrics and timelines name it.
    fn operation(&self, action: Action) -> &'static str;

    /// The word of a payment that is done, for callers.
    fn done(&self) -> &'static str;

    /// Calls Amazon.
    fn call<'a>(&self, errand: PayErrand<'a>) -> PaymentCall<'a>;
}

/// Before Amazon has named it: the same bytes under the same key are answered with what came of the first.
const UNNAMED: Rules = Rules {
    reverse_within: None,
    verdict_after: TimeDelta::zero(),
    after_refusal: AfterRefusal::NewId,
    reading: Reading::ReplayForward,
    ends_by_itself: false,
    has_receipt: false,
    give_up_after: ladder::GIVE_UP_AFTER,
};

/// Once Amazon has named it. The answer to a key is for ever that of its first use, so what was pending then is read by its id. Amazon
/// decides about a charge within a day, and about a refund within some: automation must see the decision.
const NAMED: Rules =
    Rules { reading: Reading::Operation, give_up_after: Duration::from_secs(7 * 24 * 60 * 60), ..UNNAMED };

/// How long Amazon holds what it authorized; its sandbox holds it two days.
const HELD_FOR: TimeDelta = TimeDelta::days(30);

/// Money that is held: it can be given back, and Amazon gives it back by itself in the end.
const HELD_UNNAMED: Rules = Rules { reverse_within: Some(HELD_FOR), ends_by_itself: true, ..UNNAMED };
const HELD_NAMED: Rules = Rules { reverse_within: Some(HELD_FOR), ends_by_itself: true, ..NAMED };

impl PaymentKind {
    /// The rules of a payment, which Amazon may have named, and which may be of money that is held.
    pub(super) const fn rules(is_named: bool, is_held: bool) -> &'static Rules {
        match (is_named, is_held) {
            (true, false) => &NAMED,
            (false, false) => &UNNAMED,
            (true, true) => &HELD_NAMED,
            (false, true) => &HELD_UNNAMED,
        }
    }
}
