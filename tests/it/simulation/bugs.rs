//! The seeded bugs: what could be wrong with the service, each behind a switch of this test binary, so that a release
//! build cannot have it. Each is a twist of the twin's sequence or a wrapper around the real heart.

use chrono::{DateTime, Utc};
use noshi::{
    incentives::{
        Reward, course,
        machine::{self, Action, Card, Event, Facts, Next, Rejected, State, Wake},
    },
    kernel::{
        CardProof, Outcome, Refusal,
        outcome::{ErrorType, Family, UnknownReason},
    },
};

use super::world::REPLAY_AGE;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// What is wrong on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Bug { $($(#[$doc])* $name),* }

        impl Bug {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

bugs! {
    SendBeforeCommit = "B1 the create leaves before T1 is committed",
    NewIdOnRetry = "B2 a retry has a new id",
    TimeoutIsFailure = "B3 a time-out is a failure",
    StatusIgnored = "B4 the card's status is ignored",
    ValueIgnored = "B5 the card's value is not compared",
    NoVersionCheck = "B6 T2 does not compare the version",
    RefusalProves = "B7 a refusal of a replay is taken as not created",
    CancelWithoutProof = "B8 a cancel leaves before existence is proven",
    ShortLease = "B14 the lease is shorter than an attempt",
    DeliverUnconfirmed = "B15 the code leaves although T2 is not confirmed",
    CutBodyIsFailure = "B16 a cut body is a failure",
    DeadlineFromLastAttempt = "B18 the cancel window counts from the last attempt",
    RecoveryDies = "B19 the recovery ends at the first error of the store",
    EarlyVerdict = "N1 not canceled is said before 16:00",
    StaleCancelCheck = "N2 the window is checked when the row is claimed only",
    AbandonedIsNothing = "N3 an abandoned lease is not ambiguous",
    WishForgotten = "N4 the settle does not see the wish to cancel",
    SettledTwice = "N5 an outcome whose commit was not confirmed is applied twice",
    DeliverAfterLeaseLost = "N6 who lost the lease delivers",
    ShownUnseen = "N7 a code is shown without a look at the row",
    NotWithdrawn = "N8 on_unresolved=cancel forgets the caller who stopped waiting",
    WithdrawnOnce = "N11 the wish of a caller who stopped waiting is tried once",
    WindowMoves = "N9 a replay moves the first send",
    LossIsFailure = "N10 a lost connection is a failure",
    HeldBlind = "N12 the attempt after a pause does not look at the row",
}

const NOTHING: Refusal = Refusal { family: Family::F200, error_type: ErrorType::Other };

/// The classifier's word, or what the bug makes of it.
pub(super) fn heard<T>(bug: Option<Bug>, outcome: Outcome<T>) -> Outcome<T> {
    let wrong = match (&outcome, bug) {
        (Outcome::Unknown(UnknownReason::Timeout), Some(Bug::TimeoutIsFailure)) => true,
        (Outcome::Unknown(UnknownReason::NotJson), Some(Bug::CutBodyIsFailure)) => true,
        (Outcome::Unknown(UnknownReason::ConnectionLost), Some(Bug::LossIsFailure)) => true,
        (_, _) => false,
    };
    if wrong { Outcome::Refused(NOTHING) } else { outcome }
}

/// The real step, or the wrong one.
pub(super) fn step(bug: Option<Bug>, facts: Facts, event: Event, now: DateTime<Utc>) -> Result<Next, Rejected> {
    let unproven = matches!(facts.state, State::Issuing | State::Unresolved);
    match bug {
        Some(Bug::RefusalProves) if matches!(event, Event::Refused(_)) => {
            machine::step(Facts { ambiguous: false, ..facts }, event, now)
        }
        Some(Bug::EarlyVerdict) if facts.state == State::Canceling && event == Event::Seen(Card::Fulfilled) => {
            machine::step(Facts { cancel_doubt: false, ..facts }, event, now)
        }
        Some(Bug::WishForgotten) if matches!(event, Event::Seen(_)) && unproven => {
            machine::step(Facts { cancel_requested: false, ..facts }, event, now)
        }
        Some(Bug::WindowMoves) if event == Event::Begin && unproven => {
            machine::step(Facts { first_send_at: Some(now), ..facts }, event, now)
        }
        Some(Bug::CancelWithoutProof) if unproven && matches!(event, Event::CancelDone | Event::CancelRefused(_)) => {
            Ok(done(Facts { state: State::Canceled, ..facts }, Wake::Never))
        }
        Some(Bug::CancelWithoutProof) if unproven && matches!(event, Event::CancelLost | Event::CancelNotSent) => {
            Ok(done(facts, Wake::Backoff))
        }
        Some(_) | None => machine::step(facts, event, now),
    }
}

/// The real step for a caller who still waits, or the wrong one.
pub(super) fn step_while_awaited(
    bug: Option<Bug>,
    facts: Facts,
    event: Event,
    now: DateTime<Utc>,
) -> Result<Next, Rejected> {
    if bug.is_none() {
        return machine::step_while_awaited(facts, event, now);
    }
    let next = step(bug, Facts { cancel_if_unresolved: false, ..facts }, event, now)?;
    Ok(Next { facts: Facts { cancel_if_unresolved: facts.cancel_if_unresolved, ..next.facts }, ..next })
}

fn done(facts: Facts, wake: Wake) -> Next {
    Next { facts, attention: None, deliver: false, wake }
}

/// What is due by the real machine, or by the wrong one.
pub(super) fn due(bug: Option<Bug>, reward: &Reward, now: DateTime<Utc>) -> Option<Action> {
    let mut facts = reward.facts;
    if bug == Some(Bug::CancelWithoutProof) && facts.cancel_requested && facts.state == State::Unresolved {
        return Some(Action::Cancel);
    }
    if bug == Some(Bug::DeadlineFromLastAttempt) {
        facts.first_send_at = Some(reward.updated_at);
    }
    machine::due(&facts, now)
}

/// What becomes of a due row.
pub(super) fn resume(bug: Option<Bug>, reward: &Reward, now: DateTime<Utc>) -> Result<Next, Rejected> {
    if bug == Some(Bug::AbandonedIsNothing) && reward.lease.is_some() {
        return machine::step(reward.facts, Event::Begin, now);
    }
    if bug == Some(Bug::WindowMoves) && reward.lease.is_none() {
        return step(bug, reward.facts, Event::Begin, now);
    }
    course::resume(reward, REPLAY_AGE, now)
}

/// What a create's answer shows of the card, or what the bug sees in it. `right` is as asked, `live` is `Fulfilled`.
pub(super) fn proof(bug: Option<Bug>, card: Card, code: noshi::kernel::ClaimCode) -> CardProof {
    match card {
        Card::Fulfilled => CardProof::Fulfilled(code),
        Card::Refunded | Card::Odd if bug == Some(Bug::StatusIgnored) => CardProof::Fulfilled(code),
        Card::Mismatch if bug == Some(Bug::ValueIgnored) => CardProof::Fulfilled(code),
        Card::Refunded => CardProof::Refunded,
        Card::Odd => CardProof::OddStatus,
        Card::Mismatch => CardProof::Mismatch,
    }
}
