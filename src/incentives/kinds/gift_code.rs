//! A digital gift code: CreateGiftCard, and CancelGiftCard within Amazon's 15 minutes. A create that is sent again under
//! the same id finds the same card, so a replay is also how a card is read and its code shown again.

use chrono::TimeDelta;

use crate::{
    engine::{
        Action, Event, RefusalClass, ReversalFailure, Rules, Sight, ladder,
        rules::{AfterRefusal, Reading},
    },
    incentives::{
        answer::Answer,
        create_members::AskedMembers,
        kind::{Call, Errand, Given, KeepsTarget, Listing, Spec, WrongField},
        till::Till,
    },
    kernel::{CardProof, ClaimCode},
    provider::incentives::{ErrorType, Family, Outcome},
    sealing::Target,
};

/// Amazon cancels a card until 15 minutes after its creation.
pub const CANCEL_WINDOW: TimeDelta = TimeDelta::seconds(900);

/// No cancel starts later than this after the first send: one full attempt (6 s) and 4 s of clock error fit before the end
/// of [`CANCEL_WINDOW`].
///
/// The window counts from our first send, stored before the first byte left. That is at or before Amazon's own creation
/// time, so the error is on the safe side. Replays never move it.
///
/// The figures are not shifted by the measured difference to Amazon's clock. The first send and the present are read from
/// one clock, so a constant difference cancels out when Amazon counts from its own reading. Amazon may count from the stamp
/// that we signed instead; with our clock behind its, its window then closes earlier than ours by the difference (five
/// minutes at most: beyond that Amazon refuses the signature, and we sign by its clock). A cancel in between is refused by
/// Amazon, and the read after it shows the live card. Limits that were moved for it would refuse cancels that Amazon still
/// takes under the other reading.
///
/// A step of our own clock ahead closes the window early. A step back would open it again: on PostgreSQL a running process
/// does not follow such a step ([`crate::kernel::clock`]); on SQLite Amazon's refusal is what is left.
pub const CANCEL_START_BY: TimeDelta = TimeDelta::seconds(890);

/// A delayed cancel can land until Amazon's window is over. Before this, a live card does not prove that a doubtful cancel
/// failed. It must never come earlier: with our clock ahead and the signed stamp counting, a delayed cancel could land later
/// than our figures say. It would have to be a minute and more on its way.
pub const CANCEL_VERDICT_AFTER: TimeDelta = TimeDelta::seconds(960);

/// The rules of a gift code.
pub const RULES: Rules = Rules {
    reverse_within: Some(CANCEL_START_BY),
    verdict_after: CANCEL_VERDICT_AFTER,
    after_refusal: AfterRefusal::SameId,
    reading: Reading::ReplayForward,
    ends_by_itself: false,
    has_receipt: true,
    give_up_after: ladder::GIVE_UP_AFTER,
};

/// The longest product that Amazon knows.
const PRODUCT_TYPE_LENGTH_MAX: usize = 50;
const NO_PRODUCT: WrongField =
    WrongField { pointer: "/product_type", expected: "1 to 50 ASCII letters and digits, in Amazon's own spelling" };
const NO_TILL: WrongField = WrongField { pointer: "/transaction_source", expected: "texts that have a JSON form" };

/// The field of the request that a refusal is about.
const BLAMED: [(ErrorType, WrongField); 1] = [(
    ErrorType::ExternalReferenceTooLong,
    WrongField { pointer: "/external_id", expected: "a shorter text: the account sends it to Amazon" },
)];

/// The kind.
pub struct GiftCode;

impl Spec for GiftCode {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    fn keeps_target(&self) -> KeepsTarget {
        KeepsTarget::Never
    }

    fn extended(&self) -> Option<&'static str> {
        Some("gift_code_extended")
    }

    fn asked(&self, given: &mut Given) -> Result<AskedMembers, WrongField> {
        let product_type = given.product_type.take();
        let is_word = |word: &String| {
            (1..=PRODUCT_TYPE_LENGTH_MAX).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if product_type.as_ref().is_some_and(|word| !is_word(word)) {
            return Err(NO_PRODUCT);
        }
        let till = given.transaction_source.take().map(Till::read).transpose()?;
        let till = till.map(|till| serde_json::to_string(&till.source()).map_err(|_error| NO_TILL)).transpose()?;
        Ok(AskedMembers { product_type, transaction_source: till })
    }

    fn target(&self, given: Given) -> Result<Option<Target>, WrongField> {
        match given.target {
            Some(_) => Err(WrongField { pointer: "/target", expected: "a gift code acts on nothing: leave it out" }),
            None => Ok(None),
        }
    }

    fn blamed(&self, error_type: ErrorType) -> Option<WrongField> {
        BLAMED.iter().find(|(word, _field)| *word == error_type).map(|(_word, field)| *field)
    }

    fn secret<'a>(&self, _target: &'a Target) -> Option<&'a str> {
        None
    }

    fn listing(&self) -> Listing {
        Listing::Known
    }

    fn operation(&self, action: Action) -> &'static str {
        match action {
            Action::Forward | Action::Read => "CreateGiftCard",
            Action::Reverse => "CancelGiftCard",
        }
    }

    fn call<'a>(&'a self, errand: Errand<'a>) -> Call<'a> {
        let Errand { client, reward, target: _, action, asked_at } = errand;
        let (id, operation) = (&reward.creation_request_id, self.operation(action));
        match action {
            Action::Forward | Action::Read => Box::pin(async move {
                let mut card = None;
                let exchange = client.create_gift_card(id, reward.value, reward.members.as_ref()).await.map(|seen| {
                    card = seen.id;
                    seen.proof
                });
                Answer { card, ..Answer::of(exchange, operation, asked_at, event_of_create) }
            }),
            Action::Reverse => Box::pin(async move {
                let exchange = client.cancel_gift_card(id).await;
                Answer::of(exchange, operation, asked_at, event_of_cancel)
            }),
        }
    }
}

/// What the outcome of a create, or of its replay, is to the engine, and the code while it is in hand.
pub fn event_of_create(outcome: Outcome<CardProof>) -> (Event, Option<ClaimCode>) {
    match outcome {
        Outcome::Proven(CardProof::Fulfilled(code)) => (Event::Seen(Sight::Live), Some(code)),
        Outcome::Proven(CardProof::Refunded) => (Event::Seen(Sight::Reversed), None),
        Outcome::Proven(CardProof::OddStatus) => (Event::Seen(Sight::Odd), None),
        Outcome::Proven(CardProof::Mismatch) => (Event::Seen(Sight::Mismatch), None),
        Outcome::Refused(refusal) if refusal.is_retryable() => (Event::Refused(RefusalClass::Curable), None),
        Outcome::Refused(_) => (Event::Refused(RefusalClass::Final), None),
        // Amazon rejected us before it looked at the operation: this attempt did nothing.
        Outcome::AuthRejected(why) if why.is_of_the_keys() => (Event::Refused(RefusalClass::Curable), None),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => (Event::NotSent, None),
        Outcome::Unknown(_) => (Event::Lost, None),
    }
}

/// What the outcome of a cancel is to the engine.
pub fn event_of_cancel(outcome: Outcome<()>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(()) => Event::ReversalDone,
        Outcome::Refused(refusal) => match (refusal.family, refusal.error_type) {
            (_, ErrorType::CancelRequestArrivedAfterTimeLimit) => Event::ReversalRefused(ReversalFailure::TooLate),
            (Family::F200, _) | (Family::F300, ErrorType::OperationNotPermitted) => {
                Event::ReversalRefused(ReversalFailure::NotPermitted)
            }
            // The account's trouble, not the card's: nothing was done, and it can be cured.
            (Family::F300, _) => Event::ReversalNotSent,
        },
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::ReversalNotSent,
        Outcome::Unknown(_) => Event::ReversalLost,
    };
    (event, None)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn a_cancel_starts_before_14_50_and_never_at_or_after_it() {
        let sent = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let after = |millis| sent + TimeDelta::milliseconds(millis);
        assert!(RULES.may_reverse(sent, after(889_999)));
        assert!(!RULES.may_reverse(sent, after(890_000)));
        assert!(!RULES.may_reverse(sent, after(900_001)));
        assert!(CANCEL_START_BY + TimeDelta::seconds(10) <= CANCEL_WINDOW);
        assert_eq!(RULES.verdict_at(sent), after(960_000));
    }
}
