//! What kind of payment it is. What differs in how Amazon is called is a [`PaymentSpec`]; the words for callers and operators stand in
//! `dto`, `timeline`, `settle` and `metrics`.

use std::{future::Future, pin::Pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{answer::PaymentAnswer, kinds, model::Payment};
use crate::{
    engine::{
        Action, Rules, ladder,
        rules::{AfterRefusal, Reading},
    },
    kernel::word_methods,
    provider::pay::PayClient,
};

/// The kinds. The words are durable: kinds are added, never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PaymentKind {
    /// A buyer pays: authorized, and captured with it.
    Charge,
    /// A buyer gets money of a charge back.
    Refund,
}
word_methods!(PaymentKind);

/// A call that is under way.
pub(super) type PaymentCall<'a> = Pin<Box<dyn Future<Output = PaymentAnswer> + Send + 'a>>;

/// What one call is about.
#[derive(Clone, Copy)]
pub(super) struct PayErrand<'a> {
    /// The account's way to Amazon.
    pub(super) client: &'a PayClient,
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
    has_receipt: false,
    give_up_after: ladder::GIVE_UP_AFTER,
};

/// Once Amazon has named it. The answer to a key is for ever that of its first use, so what was pending then is read by its id. Amazon
/// decides about a charge within a day, and about a refund within some: automation must see the decision.
const NAMED: Rules =
    Rules { reading: Reading::Operation, give_up_after: Duration::from_secs(7 * 24 * 60 * 60), ..UNNAMED };

impl PaymentKind {
    /// What the kind is.
    pub(super) const fn spec(self) -> &'static dyn PaymentSpec {
        match self {
            Self::Charge => &kinds::charge::Charge,
            Self::Refund => &kinds::refund::Refund,
        }
    }

    /// The rules of a payment, which Amazon may have named.
    pub(super) const fn rules(is_named: bool) -> &'static Rules {
        if is_named { &NAMED } else { &UNNAMED }
    }
}
