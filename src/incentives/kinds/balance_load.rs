//! The balance of an Amazon account, loaded directly: ValidateAccountForAmazonBalanceLoad, LoadAmazonBalance, VoidAmazonBalanceLoad
//! (`PROTOCOL.md` 3.7). The account is named by a barcode, by a phone number, by its id, or by whoever signs in with Login with Amazon
//! (Login & Receive). The money is the recipient's at once, so there is no code to show.
//!
//! What is not proven is sent again, the same bytes under the same id. An answer proves a load only where it names our id, our account
//! and our amount. How the members are called is for the most part not published: [`wire`] has all of it.

mod account;
mod wire;

use std::sync::Arc;

use chrono::TimeDelta;

use crate::{
    engine::{
        Action, Event, RefusalClass, ReversalFailure, Rules, Sight, Stage, ladder,
        rules::{AfterRefusal, Reading},
    },
    incentives::{
        answer::Answer,
        kind::{Aim, Call, Errand, Given, KeepsTarget, Listing, Spec, TargetEnding, Validation, WrongField},
    },
    kernel::{ClaimCode, NotSent},
    provider::{
        incentives::{ErrorType, Family, Operation, Outcome, Unwritable},
        login::{AccessToken, ShopperId},
    },
    sealing::Target,
};
use account::{ACCOUNT_ID, BARCODE, NamedAccount, PHONE};
use wire::{AskedLoad, LoadRequest};

pub use wire::LoadSight;

const VALIDATE: Operation = Operation::named("ValidateAccountForAmazonBalanceLoad");
const LOAD: Operation = Operation::named("LoadAmazonBalance");
const VOID: Operation = Operation::named("VoidAmazonBalanceLoad");

/// The rules of a load.
///
/// Amazon states no window for a void. Ours is a gift code's. With none at Amazon, a delayed void lands as long as its signature
/// holds: five minutes. The last one starts after 890 s, so from 1,200 s on none lands any more.
pub const RULES: Rules = Rules {
    reverse_within: Some(TimeDelta::seconds(890)),
    verdict_after: TimeDelta::seconds(1_200),
    after_refusal: AfterRefusal::SameId,
    reading: Reading::ReplayForward,
    ends_by_itself: false,
    has_receipt: false,
    give_up_after: ladder::GIVE_UP_AFTER,
};

const NO_ACCOUNT: WrongField = WrongField {
    pointer: "/target",
    expected: "an object with one of barcode, phone, account_id and access_token, and nothing else",
};
const NO_SOURCE: WrongField =
    WrongField { pointer: "/transaction_source", expected: "nothing: a load is made without one" };

/// The field of the request that a refusal is about. No list of this product's words was published: these are the ones that the
/// sandbox answers.
const BLAMED: [(ErrorType, WrongField); 3] = [
    (ErrorType::AccountNotFound, WrongField { pointer: "/target", expected: "an Amazon account that Amazon finds" }),
    (ErrorType::AccountNotActive, WrongField { pointer: "/target", expected: "an Amazon account that can be loaded" }),
    (ErrorType::InvalidAccountInput, WrongField { pointer: "/target", expected: "an Amazon account" }),
];

/// Refusals of which Amazon does not say whether they are about the partner or about the shopper. No word of this product was published,
/// and one that we do not know may be a shopper's.
const PERHAPS_OF_THE_SHOPPER: [ErrorType; 6] = [
    ErrorType::AccountHasProblems,
    ErrorType::CustomerAccountBlocked,
    ErrorType::BlockedCustomer,
    ErrorType::UnknownCustomer,
    ErrorType::CustomerSurpassedDailyVelocityLimit,
    ErrorType::Other,
];

/// The kind.
pub struct BalanceLoad;

impl Spec for BalanceLoad {
    fn rules(&self) -> &'static Rules {
        &RULES
    }

    /// A void names the account again.
    fn keeps_target(&self) -> KeepsTarget {
        KeepsTarget::UntilIrreversible
    }

    fn target(&self, given: Given) -> Result<Option<Target>, WrongField> {
        if given.transaction_source.is_some() {
            return Err(NO_SOURCE);
        }
        let mut target = given.target.ok_or(NO_ACCOUNT)?;
        let named = [BARCODE, PHONE, ACCOUNT_ID].into_iter().find_map(|way| Some((way, target.take(way.word)?)));
        let (way, id) = named.filter(|_named| target.is_empty()).ok_or(NO_ACCOUNT)?;
        way.target(&id).map(Some)
    }

    fn aim(&self, mut given: Given) -> Result<Aim, WrongField> {
        let token = given.target.as_mut().and_then(|target| target.take("access_token"));
        let Some(token) = token else {
            let target = self.target(given)?;
            return Ok(target.map_or(Aim::Nothing, |target| Aim::Target(Arc::new(target))));
        };
        if given.transaction_source.is_some() {
            return Err(NO_SOURCE);
        }
        let alone = given.target.is_some_and(|rest| rest.is_empty());
        if alone { Ok(Aim::SignedIn(AccessToken::new(&token))) } else { Err(NO_ACCOUNT) }
    }

    fn target_of_shopper(&self, shopper: ShopperId) -> Option<Target> {
        ACCOUNT_ID.target(&shopper.into_text()).ok()
    }

    fn ending(&self, target: &Target) -> Option<TargetEnding> {
        NamedAccount::of(target)?.ending()
    }

    fn secret<'a>(&self, target: &'a Target) -> Option<&'a str> {
        NamedAccount::of(target).map(NamedAccount::secret)
    }

    fn listing(&self) -> Listing {
        Listing::Unread
    }

    fn operation(&self, action: Action) -> &'static str {
        match action {
            Action::Forward | Action::Read => LOAD.name(),
            Action::Reverse => VOID.name(),
        }
    }

    fn validation(&self) -> Option<Validation> {
        Some(Validation { operation: VALIDATE.name(), ask: |errand| Box::pin(validate(errand)) })
    }

    fn blamed(&self, error_type: ErrorType) -> Option<WrongField> {
        BLAMED.iter().find(|(word, _field)| *word == error_type).map(|(_word, field)| *field)
    }

    fn is_about_the_account(&self, error_type: ErrorType) -> bool {
        self.blamed(error_type).is_none() && !PERHAPS_OF_THE_SHOPPER.contains(&error_type)
    }

    fn call<'a>(&'a self, errand: Errand<'a>) -> Call<'a> {
        Box::pin(call(errand))
    }
}

/// What is asked for, with the account in the clear; `None` where that is not in hand.
fn asked<'a>(errand: &Errand<'a>) -> Option<AskedLoad<'a>> {
    let Errand { client, reward, target, .. } = *errand;
    Some(AskedLoad {
        request_id: reward.creation_request_id.as_str(),
        partner_id: client.partner_id(),
        account: NamedAccount::of(target?)?,
        value: reward.value,
        made_at: reward.order.created_at,
    })
}

async fn call(errand: Errand<'_>) -> Answer {
    let Errand { client, reward, action, asked_at, .. } = errand;
    let Some(asked) = asked(&errand) else { return Answer::unsent(NotSent::Sealed, action, asked_at) };
    let id = &reward.creation_request_id;
    let request: Result<LoadRequest<'_>, Unwritable> = Ok(LoadRequest::of(&asked));
    match action {
        Action::Forward | Action::Read => {
            let exchange = client.call(LOAD, id, request, |success| asked.read(success)).await;
            let reversing = matches!(reward.order.stage, Stage::Reversing(_));
            let event = if reversing { event_of_reversing_load } else { event_of_load };
            Answer::of(exchange, LOAD.name(), asked_at, event)
        }
        Action::Reverse => {
            let exchange = client.call(VOID, id, request, |success| asked.read(success)).await;
            Answer::of(exchange, VOID.name(), asked_at, event_of_void)
        }
    }
}

/// Whether the account could be loaded. It loads nothing, so whatever is not a refusal leaves everything to the next try.
async fn validate(errand: Errand<'_>) -> Answer {
    let Errand { client, reward, action, asked_at, .. } = errand;
    let Some(asked) = asked(&errand) else { return Answer::unsent(NotSent::Sealed, action, asked_at) };
    let request: Result<LoadRequest<'_>, Unwritable> = Ok(LoadRequest::of_validation(&asked));
    let id = &reward.creation_request_id;
    let exchange = client.call(VALIDATE, id, request, |success| asked.is_valid(success)).await;
    Answer::of(exchange, VALIDATE.name(), asked_at, |outcome| match outcome {
        Outcome::Refused(_) | Outcome::AuthRejected(_) => event_of_load(outcome.map(|()| LoadSight::Unsaid)),
        Outcome::Proven(()) | Outcome::NotSent(_) | Outcome::Unknown(_) => (Event::NotSent, None),
    })
}

/// A load, or its replay.
#[must_use]
pub fn event_of_load(outcome: Outcome<LoadSight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        // The status of a load is not published; `SUCCESS` that names all of ours is what Amazon documents of a load that is done.
        Outcome::Proven(LoadSight::Loaded | LoadSight::Unsaid) => Event::Seen(Sight::Live),
        Outcome::Proven(LoadSight::Voided) => Event::Seen(Sight::Reversed),
        Outcome::Proven(LoadSight::Odd) => Event::Seen(Sight::Odd),
        Outcome::Proven(LoadSight::Mismatch) => Event::Seen(Sight::Mismatch),
        Outcome::Refused(refusal) if refusal.is_retryable() => Event::Refused(RefusalClass::Curable),
        Outcome::Refused(_) => Event::Refused(RefusalClass::Final),
        Outcome::AuthRejected(why) if why.is_of_the_keys() => Event::Refused(RefusalClass::Curable),
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::NotSent,
        Outcome::Unknown(_) => Event::Lost,
    };
    (event, None)
}

/// A load that is sent again to see what became of a void. Amazon may answer as it answered the id's first use, so `Loaded` does not show
/// that a void in doubt was not done, and an answer without a status shows nothing.
#[must_use]
pub fn event_of_reversing_load(outcome: Outcome<LoadSight>) -> (Event, Option<ClaimCode>) {
    match outcome {
        Outcome::Proven(LoadSight::Loaded) => (Event::Seen(Sight::Unattributed), None),
        Outcome::Proven(LoadSight::Unsaid) => (Event::Lost, None),
        Outcome::Proven(_)
        | Outcome::Refused(_)
        | Outcome::AuthRejected(_)
        | Outcome::NotSent(_)
        | Outcome::Unknown(_) => event_of_load(outcome),
    }
}

/// A void.
#[must_use]
pub fn event_of_void(outcome: Outcome<LoadSight>) -> (Event, Option<ClaimCode>) {
    let event = match outcome {
        Outcome::Proven(LoadSight::Voided | LoadSight::Unsaid) => Event::ReversalDone,
        // A success that shows another load, or ours still standing.
        Outcome::Proven(LoadSight::Loaded | LoadSight::Odd | LoadSight::Mismatch) | Outcome::Unknown(_) => {
            Event::ReversalLost
        }
        Outcome::Refused(refusal) => match (refusal.family, refusal.error_type) {
            (Family::F200, ErrorType::CancelRequestArrivedAfterTimeLimit) => {
                Event::ReversalRefused(ReversalFailure::TooLate)
            }
            (Family::F200, _) | (Family::F300, ErrorType::OperationNotPermitted) => {
                Event::ReversalRefused(ReversalFailure::NotPermitted)
            }
            (Family::F300, _) => Event::ReversalNotSent,
        },
        Outcome::NotSent(_) | Outcome::AuthRejected(_) => Event::ReversalNotSent,
    };
    (event, None)
}

#[cfg(test)]
mod tests;
