//! What a run has met. A run that never met a class proves nothing about it, and fails.

use noshi::engine::{Event, RefusalClass, ReversalFailure, Sight, State};

macro_rules! classes {
    ($($name:ident = $word:literal),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Class { $($name),* }

        impl Class {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];

            pub(super) fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

classes! {
    Fulfilled = "a live card seen", Refunded = "a refunded card seen", Odd = "an odd card status seen",
    Mismatch = "a mismatch seen", CreateF200 = "a create refused F200", CreateF300 = "a create refused F300",
    RefusedReplay = "a refusal after an ambiguity", AuthRejected = "turned away", NotSent = "not sent",
    Timeout = "time-out", ConnectionLost = "connection lost", CutBody = "cut body", Resend = "RESEND", F100 = "F100",
    F500 = "F500", ServerError = "server error", Throttled = "throttled", NoClaimCode = "no claim code",
    WrongShape = "wrong shape", Redirect = "redirect", CancelDone = "a cancel done", CancelTooLate = "a cancel too late",
    CancelNotPermitted = "a cancel not permitted", CancelAccount = "a cancel refused for the account",
    RefusedThenCanceled = "a cancel refused at first", Nobodys = "a cancel that failed of a card that nobody has",
    CancelAgain = "a cancel of a canceled card", CancelLost = "a cancel's outcome unknown",
    CancelNotSent = "a cancel not sent", LateCreate = "a create that landed after its caller had given up",
    LateCancel = "a cancel that landed after its caller had given up", Duplicate = "a request that came twice",
    LostBefore = "lost before the work", LostAfter = "lost after the work", Replay = "a replay of a known id",
    LimitFirst = "a known id refused by the limit check", DeadReplay = "a replay of a dead card",
    CommitFailed = "a commit that failed", CommitLost = "a commit whose answer was lost",
    T1Failed = "T1 failed", T1Lost = "T1's answer lost", T2Failed = "T2 failed", T2Lost = "T2's answer lost",
    ClaimFailed = "a claim failed", ClaimLost = "a claim's answer lost",
    WishFailed = "a wish to cancel failed", WishLost = "a wish's answer lost",
    NoteFailed = "a showing failed", NoteLost = "a showing's answer lost", CrashBegin = "crash before T1",
    CrashSend = "crash after T1, before the send", CrashWait = "crash while Amazon works",
    CrashSettle = "crash before T2", CrashEnd = "crash after T2", CrashHeld = "crash while held", CrashIdle = "crash of an idle replica",
    Held = "held for the caller who waits", HeldOver = "canceled while held",
    FreezeShort = "a freeze", FreezeLong = "a freeze longer than a lease", Abandoned = "an abandoned lease",
    LeaseLost = "a lease lost", LostRace = "a lost race, stepped again", SameKeyRace = "two firsts of one key",
    OwnWrite = "a write of one's own found", KnownKey = "a key used before", OtherBody = "another body",
    SecondTry = "a cured refusal tried again", Redelivered = "a code shown again to the same key",
    Revealed = "a code revealed", ShowGone = "a code not shown: canceled meanwhile", Delivered = "a first delivery",
    LateDrive = "a caller whose time was up", LateT1 = "a caller whose time was up before T1",
    Withdrawn = "on_unresolved=cancel withdrawn", CancelWish = "a wish to cancel in flight",
    CancelNow = "a cancel that was driven", CancelWindowClosed = "a cancel after 14:50", CancelRefusedState = "a cancel in a wrong state",
    CancelUnchanged = "a cancel asked twice", ReadAfterWindow = "a read after the window", VerdictWaits = "a verdict that waits",
    NotCanceledTooLate = "told too late", NotCanceledClaimed = "told not permitted", GivenUp = "given up",
    CheckedActive = "a check that shows an active card", CheckedInactive = "a check that shows nothing",
    OthersFirst = "a card that a stranger had activated", OthersUnproven = "somebody else's, or nobody knows whose",
    GoneAfterAll = "an activation that answered, and was taken back",
    VoidUnshown = "a replay that does not show the void",
    Elsewhere = "canceled elsewhere", Claimed = "a card claimed by its recipient",
    OutageSilent = "a day without answers", OutageUnreachable = "a day without connections", OutageDark = "a day without replicas", AbandonAll = "leases abandoned at a start", Final = "a final row", Attention = "a row that needs a person",
}

pub(super) const EVENTS: [&str; 22] = [
    "Begin",
    "Abandoned",
    "Fulfilled",
    "Refunded",
    "Odd",
    "Mismatch",
    "F200",
    "F300",
    "Lost",
    "NotSent",
    "CancelAsked",
    "CancelDone",
    "CancelTooLate",
    "CancelNotPermitted",
    "CancelLost",
    "CancelNotSent",
    "GiveUp",
    "Absent",
    "Unattributed",
    "Elsewhere",
    "Undecided",
    "Declined",
];

fn event_index(event: Event) -> usize {
    match event {
        Event::Begin => 0,
        Event::Abandoned => 1,
        Event::Seen(Sight::Live) => 2,
        Event::Seen(Sight::Reversed) => 3,
        Event::Seen(Sight::Odd) => 4,
        Event::Seen(Sight::Mismatch) => 5,
        Event::Refused(RefusalClass::Final) => 6,
        Event::Refused(RefusalClass::Curable) => 7,
        Event::Lost => 8,
        Event::NotSent => 9,
        Event::ReversalAsked => 10,
        Event::ReversalDone => 11,
        Event::ReversalRefused(ReversalFailure::TooLate) => 12,
        Event::ReversalRefused(ReversalFailure::NotPermitted) => 13,
        Event::ReversalLost => 14,
        Event::ReversalNotSent => 15,
        Event::GiveUp => 16,
        Event::Seen(Sight::Absent) => 17,
        Event::Seen(Sight::Unattributed) => 18,
        Event::Refused(RefusalClass::Elsewhere) => 19,
        Event::Seen(Sight::Undecided) => 20,
        Event::Seen(Sight::Declined) => 21,
    }
}

fn state_index(state: State) -> usize {
    State::ALL.iter().position(|one| *one == state).unwrap()
}

/// Counts of many runs.
#[derive(Clone)]
pub(super) struct Coverage {
    classes: Vec<u64>,
    cells: [[u64; EVENTS.len()]; 8],
    pub(super) events: u64,
}

impl Coverage {
    pub(super) fn new() -> Self {
        Self { classes: vec![0; Class::ALL.len()], cells: [[0; EVENTS.len()]; 8], events: 0 }
    }

    pub(super) fn met(&mut self, class: Class) {
        self.classes[class as usize] += 1;
    }

    pub(super) fn stepped(&mut self, state: State, event: Event) {
        self.cells[state_index(state)][event_index(event)] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.classes.iter_mut().zip(&other.classes).for_each(|(mine, theirs)| *mine += theirs);
        for (mine, theirs) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// The classes, those that cannot be apart, and the cells of `reachable` that were never met.
    pub(super) fn missing(&self, reachable: &[(State, &[&str])], cannot_be: &[Class]) -> Vec<String> {
        let classes = Class::ALL.iter().filter(|class| !cannot_be.contains(class));
        let classes = classes.filter(|class| self.classes[**class as usize] == 0);
        let mut missing: Vec<String> = classes.map(|class| class.word().to_owned()).collect();
        for (state, events) in reachable {
            for event in *events {
                let at = EVENTS.iter().position(|name| name == event).unwrap();
                if self.cells[state_index(*state)][at] == 0 {
                    missing.push(format!("{} + {event}", state.as_str()));
                }
            }
        }
        missing
    }

    pub(super) fn table(&self) -> String {
        let mut table = String::new();
        for (class, count) in Class::ALL.iter().zip(&self.classes) {
            table.push_str(&format!("{count:>10}  {}\n", class.word()));
        }
        for (state, cells) in State::ALL.iter().zip(&self.cells) {
            let met = cells.iter().zip(EVENTS).filter(|(count, _)| **count > 0);
            let met: Vec<String> = met.map(|(count, event)| format!("{event} {count}")).collect();
            table.push_str(&format!("{:>16}: {}\n", state.as_str(), met.join(", ")));
        }
        table
    }
}
