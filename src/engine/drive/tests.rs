//! Who committed the row that stands in the way of an outcome: this drive itself, unheard, or another worker; and what a caller waits for.

use super::*;
use crate::engine::{event::Sight, order::OnUnproven, rules::LIKE_A_GIFT_CODE as RULES};

const LEASE: Duration = Duration::from_secs(30);
const TOKEN: Uuid = Uuid::from_u128(1);

fn moment() -> Moment {
    Moment {
        now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        draw: 0,
        patience: Duration::ZERO,
        awaited: false,
    }
}

/// A drive that has heard of a live effect, and the change by which it wants to settle it.
fn settling() -> (Drive, Change) {
    let order = schedule::begin(OnUnproven::Keep, false, Lease { token: TOKEN, holds: LEASE }, moment().now);
    let limits = DriveLimits { lease: LEASE, replay_age: Duration::from_secs(30 * 86_400) };
    let mut drive = Drive::carry(order, TOKEN, RULES, limits);
    assert_eq!(drive.next(Input::Begin, moment()), Instruction::Send);
    let answer = DatedEvent { event: Event::Seen(Sight::Live), asked_at: moment().now };
    let Instruction::Commit(change) = drive.next(Input::Answered(answer), moment()) else {
        panic!("nothing to commit")
    };
    assert!(matches!(change.order.stage, Stage::Proven(_)));
    (drive, change)
}

/// The same, after the store did not confirm that change. The drive commits it again.
fn stumbled() -> (Drive, Change) {
    let (mut drive, change) = settling();
    assert!(matches!(drive.next(Input::Unconfirmed, moment()), Instruction::Sleep(_)));
    assert!(matches!(drive.next(Input::Slept, moment()), Instruction::Commit(_)));
    (drive, change)
}

/// The row as a commit of this change leaves it.
fn stored(change: Change) -> Order {
    Order { version: change.order.version + 1, ..change.order }
}

fn end(mut drive: Drive, row: Order) -> Instruction {
    drive.next(Input::Conflict(Some(row)), moment())
}

#[test]
fn an_outcome_of_its_own_that_was_not_confirmed_is_no_lost_lease() {
    let (drive, change) = stumbled();
    assert_eq!(end(drive, stored(change)), Instruction::Done(End::Unheard));
}

#[test]
fn another_workers_row_is_a_lost_lease_whatever_was_not_confirmed() {
    let (drive, change) = stumbled();
    let sent = drive.order;
    let taken =
        Order { version: sent.version + 1, attempts: sent.attempts + 1, lease: Some(Uuid::from_u128(2)), ..sent };
    let settled = Order { version: sent.version + 2, attempts: sent.attempts + 1, ..stored(change) };
    let given_up = Order { version: sent.version + 1, lease: None, due_at: None, ..sent };
    for row in [taken, settled, given_up] {
        assert_eq!(end(drive, row), Instruction::Done(End::LeaseLost), "{row:?}");
    }
}

#[test]
fn whoever_never_stumbled_did_not_commit_the_row_in_its_way() {
    let (drive, change) = settling();
    assert_eq!(end(drive, stored(change)), Instruction::Done(End::LeaseLost));
}

/// A drive that takes back what is under way, and what the store did not confirm of the wish.
fn wishing(wisher: Wisher) -> Instruction {
    let order = schedule::begin(OnUnproven::Reverse, false, Lease { token: TOKEN, holds: LEASE }, moment().now);
    let limits = DriveLimits { lease: LEASE, replay_age: Duration::from_secs(30 * 86_400) };
    let mut drive = Drive::reverse(order, Uuid::from_u128(2), wisher, RULES, limits);
    assert!(matches!(drive.next(Input::Begin, moment()), Instruction::Commit(_)));
    drive.next(Input::Unconfirmed, moment())
}

#[test]
fn the_wish_of_whoever_has_gone_is_recorded_again_whoever_else_may_have_the_receipt() {
    assert_eq!(wishing(Wisher::Present), Instruction::Done(End::Unconfirmed), "they are answered so");
    for gone in [Wisher::Gone, Wisher::GonePerhapsServed] {
        assert!(matches!(wishing(gone), Instruction::Sleep(_)), "{gone:?}");
    }
}

/// While the caller waits, an attempt whose outcome is unknown is repeated. What the remote service decides later is left to recovery.
#[test]
fn nobody_is_kept_waiting_for_what_is_decided_later() {
    for (event, is_kept) in [(Event::Lost, true), (Event::Seen(Sight::Undecided), false)] {
        let order = schedule::begin(OnUnproven::Keep, false, Lease { token: TOKEN, holds: LEASE }, moment().now);
        let limits = DriveLimits { lease: LEASE, replay_age: Duration::from_secs(30 * 86_400) };
        let mut drive = Drive::carry(order, TOKEN, RULES, limits);
        let waiting = Moment { patience: Duration::from_secs(20), awaited: true, ..moment() };
        assert_eq!(drive.next(Input::Begin, waiting), Instruction::Send);
        let answer = DatedEvent { event, asked_at: waiting.now };
        let Instruction::Commit(change) = drive.next(Input::Answered(answer), waiting) else {
            panic!("nothing to commit")
        };
        assert_eq!(change.order.lease.is_some(), is_kept, "{event:?}");
        let next = drive.next(Input::Committed, waiting);
        let held = matches!(next, Instruction::Hold(_));
        assert!(if is_kept { held } else { next == Instruction::Done(End::Settled { deliver: false }) }, "{next:?}");
    }
}
