//! The state machine: what an event makes of a reward. Pure: the caller brings the facts and the instant.
//!
//! Every state × event is decided here, and a table test holds all of them (`design.md` part 3, `reliability.md` 2.2
//! and 2.5). The rules that are easy to get wrong:
//! - ambiguity is sticky: a refusal after one proves nothing;
//! - `SUCCESS` is believed only with a live card of the asked value;
//! - a cancel is sent only once existence is proven, inside the window that counts from the first send;
//! - "not canceled" is no verdict before Amazon's window is over, unless no cancel is in doubt.

use chrono::{DateTime, Utc};

use crate::kernel::{
    Refusal,
    outcome::{Family, words},
    window,
};

words! {
    /// Where a reward stands. The words are durable: states are added, never renamed.
    State {
        /// Recorded; it is proven that nothing has reached Amazon.
        Pending = "pending",
        /// An attempt was committed and may have reached Amazon.
        Issuing = "issuing",
        /// At least one attempt ended ambiguous and none was proven.
        Unresolved = "unresolved",
        /// Amazon proved a live card of the asked value.
        Issued = "issued",
        /// A definite refusal and no ambiguity before it: nothing was bought.
        Failed = "failed",
        /// Existence is proven and the cancel is committed; its answer is not proven yet.
        Canceling = "canceling",
        /// Amazon proved the reversal, or nothing was ever bought and nothing will be.
        Canceled = "canceled",
        /// A person decides; the cause is stored.
        NeedsAttention = "needs_attention",
    }
}

words! {
    /// Why automation has stopped and a person decides.
    Attention {
        /// Amazon shows the card as refunded, and it was not us.
        CanceledElsewhere = "canceled_elsewhere",
        /// The card has a status that is neither live nor refunded.
        OddStatus = "odd_card_status",
        /// Amazon answered with another id, amount or currency.
        Mismatch = "mismatch",
        /// No outcome was proven in 24 hours.
        Unproven = "unproven",
        /// No outcome of the cancel was proven in 24 hours.
        CancelUnproven = "cancel_unproven",
        /// The same bytes are refused again and again (F200) after an attempt whose outcome is unknown: no replay will
        /// ever prove that one.
        RefusedInDoubt = "refused_in_doubt",
        /// Only Amazon knew of it: a reconciliation made the row.
        Adopted = "adopted",
    }
}

words! {
    /// Why a cancel did not happen.
    CancelFailure {
        /// Amazon's 15 minutes were over.
        TooLate = "too_late",
        /// Amazon does not permit it: in practice the recipient has claimed the card.
        NotPermitted = "not_permitted",
    }
}

/// After so many refusals (F200) of an unproven create a person decides: replaying proves nothing any more.
pub const REFUSALS_MAX: u8 = 3;

/// What the durable row says, as far as the machine needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Where it stands.
    pub state: State,
    /// An attempt to create ended ambiguous, and none was proven since.
    pub ambiguous: bool,
    /// The caller wants it canceled as soon as its existence is proven.
    pub cancel_requested: bool,
    /// Cancel by itself what stays unproven while the caller waits.
    pub cancel_if_unresolved: bool,
    /// How often a replay was refused for good (F200) since the ambiguity.
    pub refusals: u8,
    /// An attempt to cancel ended ambiguous.
    pub cancel_doubt: bool,
    /// Amazon refused a cancel; a read gives the verdict.
    pub cancel_failure: Option<CancelFailure>,
    /// The definite refusal of a `failed` reward can be cured.
    pub retryable: bool,
    /// When the first byte of the first attempt that may have reached Amazon was about to leave.
    pub first_send_at: Option<DateTime<Utc>>,
}

/// What is to be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// CreateGiftCard: the first time, or the same bytes again.
    Create,
    /// CancelGiftCard.
    Cancel,
    /// CreateGiftCard again, as a pure read: the card's existence is proven.
    Read,
}

/// A card that Amazon's answer shows. The code travels beside the machine, never through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// Live, and all as asked.
    Fulfilled,
    /// Refunded.
    Refunded,
    /// Neither.
    Odd,
    /// Not what was asked.
    Mismatch,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An attempt to create is about to be committed and then sent.
    Begin,
    /// The lease ran out without an outcome: the process died, or froze. A `pending` reward has one while its caller
    /// waits for the next attempt.
    Abandoned,
    /// A create was answered with a card.
    Seen(Card),
    /// A create was refused for good.
    Refused(Refusal),
    /// A create's outcome is unknown.
    Lost,
    /// A create is proven not to have reached Amazon, or was turned away at the door.
    NotSent,
    /// The caller wants it canceled.
    CancelAsked,
    /// A cancel succeeded.
    CancelDone,
    /// A cancel was refused for good.
    CancelRefused(CancelFailure),
    /// A cancel's outcome is unknown.
    CancelLost,
    /// A cancel is proven not to have reached Amazon.
    CancelNotSent,
    /// 24 hours are over.
    GiveUp,
}

/// When the row is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Never by itself.
    Never,
    /// At once: the same worker goes on.
    Now,
    /// After the ladder's next step.
    Backoff,
    /// Not before this instant.
    At(DateTime<Utc>),
}

/// What an event makes of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The new facts.
    pub facts: Facts,
    /// Why a person is needed, when one is.
    pub attention: Option<Attention>,
    /// The code in hand may be given to the caller once this is committed.
    pub deliver: bool,
    /// When the row is due again.
    pub wake: Wake,
}

/// The event does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The state does not know this event.
    #[error("the reward's state does not allow it")]
    InvalidState,
    /// The window for cancels is closed.
    #[error("the cancel window is closed")]
    WindowClosed,
}

/// What to send next for a row that is due; `None` when automation has nothing to do.
#[must_use]
pub fn due(facts: &Facts, now: DateTime<Utc>) -> Option<Action> {
    match facts.state {
        State::Pending | State::Issuing | State::Unresolved => Some(Action::Create),
        State::Canceling => {
            let open = facts.first_send_at.is_some_and(|sent| window::may_cancel(sent, now));
            Some(if open && facts.cancel_failure.is_none() { Action::Cancel } else { Action::Read })
        }
        State::Issued | State::Failed | State::Canceled | State::NeedsAttention => None,
    }
}

/// What `event` at `now` makes of the facts. Of an answer, `now` is when its question left: Amazon may have changed since.
///
/// # Errors
/// [`Rejected`] when the state does not allow the event; nothing changes then.
pub fn step(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    match facts.state {
        State::Pending => from_pending(facts, event, now),
        State::Issuing | State::Unresolved => from_unproven(facts, event),
        State::Issued => from_issued(facts, event, now),
        State::Failed => from_failed(facts, event, now),
        State::Canceling => from_canceling(facts, event, now),
        State::Canceled => match event {
            Event::CancelAsked => Ok(to(facts, State::Canceled, Wake::Never)),
            Event::Begin
            | Event::Abandoned
            | Event::Seen(_)
            | Event::Refused(_)
            | Event::Lost
            | Event::NotSent
            | Event::CancelDone
            | Event::CancelRefused(_)
            | Event::CancelLost
            | Event::CancelNotSent
            | Event::GiveUp => Err(Rejected::InvalidState),
        },
        State::NeedsAttention => Err(Rejected::InvalidState),
    }
}

/// What a person found out about a reward that automation gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The card is live.
    Issued,
    /// No card was ever bought.
    NotBought,
    /// The card was bought and given back.
    Canceled,
}

/// What a person's verdict makes of a reward; `None` when it needs no person. A reward that was not bought is not tried
/// again under its id: what the person saw is all that is known of it.
#[must_use]
pub fn decide(facts: Facts, verdict: Verdict) -> Option<Facts> {
    let state = match verdict {
        Verdict::Issued => State::Issued,
        Verdict::NotBought | Verdict::Canceled => State::Canceled,
    };
    let settled = Facts { state, ambiguous: false, cancel_requested: false, cancel_doubt: false, ..facts };
    (facts.state == State::NeedsAttention).then_some(settled)
}

/// What a person's verdict makes of a reward that had come to its end, and that Amazon shows otherwise; `None` when it is
/// under way, or stands as the verdict says. `at` is when Amazon made the card, for one that was never sent by what we know.
#[must_use]
pub fn overrule(facts: Facts, verdict: Verdict, at: DateTime<Utc>) -> Option<Facts> {
    let state = match verdict {
        Verdict::Issued => State::Issued,
        Verdict::NotBought | Verdict::Canceled => State::Canceled,
    };
    let ended = matches!(facts.state, State::Issued | State::Failed | State::Canceled);
    let first_send_at = facts.first_send_at.or(Some(at));
    let settled =
        Facts { state, ambiguous: false, cancel_requested: false, cancel_doubt: false, first_send_at, ..facts };
    (ended && facts.state != state).then_some(settled)
}

/// What a restored back-up makes of a reward that was under way in it: that nothing was sent is not proven any more, and
/// what was sent, was so at the earliest when the back-up was made.
#[must_use]
pub fn doubt(facts: Facts, lost_from: DateTime<Utc>) -> Facts {
    match facts.state {
        State::Pending => Facts {
            state: State::Unresolved,
            ambiguous: true,
            first_send_at: facts.first_send_at.or(Some(lost_from)),
            ..facts
        },
        State::Issuing | State::Unresolved => Facts { ambiguous: true, ..facts },
        State::Canceling => Facts { cancel_doubt: true, ..facts },
        State::Issued | State::Failed | State::Canceled | State::NeedsAttention => facts,
    }
}

/// What the return of the caller who bought it makes of a reward that only Amazon knew of: it exists, so it is replayed,
/// and no refusal is believed.
#[must_use]
pub const fn reclaim(facts: Facts) -> Facts {
    Facts { state: State::Issuing, ambiguous: true, refusals: 0, ..facts }
}

/// As [`step`], while the caller still waits and another attempt is made before they hear anything: until then a reward
/// that is to be canceled when it is not proven in their time is like any other.
///
/// # Errors
/// As [`step`].
pub fn step_while_awaited(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    let next = step(Facts { cancel_if_unresolved: false, ..facts }, event, now)?;
    let facts = Facts { cancel_if_unresolved: facts.cancel_if_unresolved, ..next.facts };
    Ok(Next { facts, ..next })
}

fn to(facts: Facts, state: State, wake: Wake) -> Next {
    Next { facts: Facts { state, ..facts }, attention: None, deliver: false, wake }
}

fn attention(facts: Facts, why: Attention) -> Next {
    Next { attention: Some(why), ..to(facts, State::NeedsAttention, Wake::Never) }
}

/// The first send, or the first that counts: before it nothing can have been created.
fn begin(facts: Facts, now: DateTime<Utc>) -> Next {
    let first_send_at = facts.first_send_at.or(Some(now));
    to(Facts { first_send_at, retryable: false, ..facts }, State::Issuing, Wake::Now)
}

fn from_pending(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    match event {
        Event::Begin => Ok(begin(facts, now)),
        Event::CancelAsked => Ok(to(facts, State::Canceled, Wake::Never)),
        Event::GiveUp => Ok(to(Facts { retryable: true, ..facts }, State::Failed, Wake::Never)),
        // Nothing was sent, and the caller who waited has had no answer: they count it as not bought.
        Event::Abandoned if facts.cancel_if_unresolved => Ok(to(facts, State::Canceled, Wake::Never)),
        Event::Abandoned => Ok(begin(facts, now)),
        Event::Seen(_)
        | Event::Refused(_)
        | Event::Lost
        | Event::NotSent
        | Event::CancelDone
        | Event::CancelRefused(_)
        | Event::CancelLost
        | Event::CancelNotSent => Err(Rejected::InvalidState),
    }
}

fn from_unproven(facts: Facts, event: Event) -> Result<Next, Rejected> {
    let unproven = |facts: Facts| {
        let cancel_requested = facts.cancel_requested || facts.cancel_if_unresolved;
        to(Facts { ambiguous: true, cancel_requested, ..facts }, State::Unresolved, Wake::Backoff)
    };
    match event {
        // A replay: the first send stays what it was.
        Event::Begin => Ok(to(facts, facts.state, Wake::Now)),
        Event::Abandoned => Ok(Next { wake: Wake::Now, ..unproven(facts) }),
        Event::Seen(card) => Ok(seen_unproven(facts, card)),
        Event::Lost => Ok(unproven(Facts { refusals: 0, ..facts })),
        Event::Refused(refusal) if facts.ambiguous && refusal.family == Family::F200 => {
            let refused = Facts { refusals: facts.refusals.saturating_add(1), ..facts };
            let over = refused.refusals >= REFUSALS_MAX;
            Ok(if over { attention(refused, Attention::RefusedInDoubt) } else { unproven(refused) })
        }
        Event::Refused(_) | Event::NotSent if facts.ambiguous => Ok(unproven(facts)),
        Event::Refused(_) | Event::NotSent if facts.cancel_requested => {
            // Proven that nothing was bought, and nothing is wanted any more.
            Ok(to(Facts { first_send_at: None, ..facts }, State::Canceled, Wake::Never))
        }
        Event::NotSent if facts.cancel_if_unresolved => {
            // The caller hears now that nothing was bought; whatever were bought later, the customer has been paid otherwise.
            Ok(to(Facts { first_send_at: None, ..facts }, State::Canceled, Wake::Never))
        }
        Event::Refused(refusal) => Ok(to(
            Facts { first_send_at: None, retryable: refusal.is_retryable(), ..facts },
            State::Failed,
            Wake::Never,
        )),
        Event::NotSent => Ok(to(Facts { first_send_at: None, ..facts }, State::Pending, Wake::Backoff)),
        Event::CancelAsked => Ok(to(Facts { cancel_requested: true, ..facts }, facts.state, Wake::Now)),
        Event::GiveUp => Ok(attention(Facts { ambiguous: true, ..facts }, Attention::Unproven)),
        Event::CancelDone | Event::CancelRefused(_) | Event::CancelLost | Event::CancelNotSent => {
            Err(Rejected::InvalidState)
        }
    }
}

fn seen_unproven(facts: Facts, card: Card) -> Next {
    match card {
        Card::Fulfilled if facts.cancel_requested => {
            to(Facts { ambiguous: false, ..facts }, State::Canceling, Wake::Now)
        }
        Card::Fulfilled => {
            Next { deliver: true, ..to(Facts { ambiguous: false, ..facts }, State::Issued, Wake::Never) }
        }
        Card::Refunded if facts.cancel_requested => {
            to(Facts { ambiguous: false, ..facts }, State::Canceled, Wake::Never)
        }
        Card::Refunded => attention(facts, Attention::CanceledElsewhere),
        Card::Odd => attention(facts, Attention::OddStatus),
        Card::Mismatch => attention(facts, Attention::Mismatch),
    }
}

fn from_issued(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    match event {
        Event::CancelAsked if facts.first_send_at.is_some_and(|sent| window::may_cancel(sent, now)) => {
            let facts = Facts { cancel_requested: true, cancel_failure: None, ..facts };
            Ok(to(facts, State::Canceling, Wake::Now))
        }
        Event::CancelAsked => Err(Rejected::WindowClosed),
        Event::Seen(Card::Fulfilled) => Ok(Next { deliver: true, ..to(facts, State::Issued, Wake::Never) }),
        Event::Seen(Card::Refunded) => Ok(attention(facts, Attention::CanceledElsewhere)),
        Event::Seen(Card::Odd) => Ok(attention(facts, Attention::OddStatus)),
        Event::Seen(Card::Mismatch) => Ok(attention(facts, Attention::Mismatch)),
        // A read that came to nothing changes nothing.
        Event::Refused(_) | Event::Lost | Event::NotSent => Ok(to(facts, State::Issued, Wake::Never)),
        Event::Begin
        | Event::Abandoned
        | Event::CancelDone
        | Event::CancelRefused(_)
        | Event::CancelLost
        | Event::CancelNotSent
        | Event::GiveUp => Err(Rejected::InvalidState),
    }
}

fn from_failed(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    match event {
        Event::Begin if facts.retryable => Ok(begin(facts, now)),
        Event::Begin
        | Event::Abandoned
        | Event::Seen(_)
        | Event::Refused(_)
        | Event::Lost
        | Event::NotSent
        | Event::CancelAsked
        | Event::CancelDone
        | Event::CancelRefused(_)
        | Event::CancelLost
        | Event::CancelNotSent
        | Event::GiveUp => Err(Rejected::InvalidState),
    }
}

fn from_canceling(facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    match event {
        Event::CancelDone | Event::Seen(Card::Refunded) => {
            Ok(to(Facts { cancel_failure: None, ..facts }, State::Canceled, Wake::Never))
        }
        Event::CancelRefused(failure) => {
            Ok(to(Facts { cancel_failure: Some(failure), ..facts }, State::Canceling, Wake::Now))
        }
        Event::CancelLost => Ok(to(Facts { cancel_doubt: true, ..facts }, State::Canceling, Wake::Backoff)),
        // The process died with a cancel perhaps on its way.
        Event::Abandoned => Ok(to(Facts { cancel_doubt: true, ..facts }, State::Canceling, Wake::Now)),
        Event::CancelNotSent | Event::Refused(_) | Event::Lost | Event::NotSent => {
            Ok(to(facts, State::Canceling, Wake::Backoff))
        }
        Event::Seen(Card::Fulfilled) => Ok(verdict(facts, now)),
        Event::Seen(Card::Odd) => Ok(attention(facts, Attention::OddStatus)),
        Event::Seen(Card::Mismatch) => Ok(attention(facts, Attention::Mismatch)),
        Event::Begin => Ok(to(facts, State::Canceling, Wake::Now)),
        Event::CancelAsked => Ok(to(facts, State::Canceling, Wake::Now)),
        Event::GiveUp => Ok(attention(facts, Attention::CancelUnproven)),
    }
}

/// A read shows the card live: the cancel did not happen, or has not happened yet.
fn verdict(facts: Facts, now: DateTime<Utc>) -> Next {
    let certain_at = facts.first_send_at.map(window::verdict_at);
    match certain_at {
        Some(at) if facts.cancel_doubt && now < at => to(facts, State::Canceling, Wake::At(at)),
        Some(_) | None => {
            let failure = facts.cancel_failure.unwrap_or(CancelFailure::TooLate);
            let facts = Facts { cancel_failure: Some(failure), cancel_requested: false, cancel_doubt: false, ..facts };
            to(facts, State::Issued, Wake::Never)
        }
    }
}

#[cfg(test)]
mod tests;
