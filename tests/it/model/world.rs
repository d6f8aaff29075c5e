//! The world of one key at one moment, small enough to be remembered a million times, and everything that can happen next.
//! What a worker does is asked of the production driver.

mod key;
mod worker;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use noshi::{
    engine::{
        Action, Drive, DriveLimits, Event, Input, Instruction, OnUnproven, Order, Rules, State, Wisher,
        schedule::{self, Lease, Moment},
    },
    incentives::kinds::{balance_load, card_activation, gift_code},
};
use uuid::Uuid;

use super::bugs::Bug;

/// What is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sold {
    /// A gift code, which is read by its replay.
    Code,
    /// The activation of a card, which is read by a status check. That does not say whose it is, and a stranger makes one move: they
    /// activate the card before us, or take our activation back.
    Card,
    /// The load of an account, which is read by its replay. Its answer shows the load as it is, or as it was at the id's first use.
    Load,
}

impl Sold {
    fn rules(self) -> &'static Rules {
        match self {
            Self::Code => &gift_code::RULES,
            Self::Card => &card_activation::RULES,
            Self::Load => &balance_load::RULES,
        }
    }

    /// Seconds after the first send: the window is open; ours is closed and Amazon's is not; a verdict may be given; later.
    const fn instants(self) -> [i64; INSTANTS] {
        match self {
            Self::Code => [0, 895, 965, 1000],
            Self::Card | Self::Load => [0, 895, 1205, 1240],
        }
    }

    /// What a run must have come by.
    pub(super) fn reached(self) -> impl Iterator<Item = &'static str> {
        let cannot: &[&str] = match self {
            Self::Code => &["somebody else's"],
            Self::Card => &["told too late", "nobody's, and not canceled"],
            Self::Load => &["delivered", "nobody's, and not canceled", "somebody else's"],
        };
        REACHED.into_iter().filter(move |what| !cannot.contains(what))
    }
}

const INSTANTS: usize = 4;
/// The last instant at which a request may land that left before: none is under way for more than a minute.
const CANCEL_LANDS_BY: u8 = 1;
const LIMITS: DriveLimits =
    DriveLimits { lease: Duration::from_secs(20), replay_age: Duration::from_secs(30 * 24 * 3600) };
/// What is due within so many seconds is due now: between two of the instants there is time for every back-off.
const SOON: TimeDelta = TimeDelta::seconds(60);
/// How long a caller waits who waits.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What can be come by.
const REACHED: [&str; 10] = [
    "delivered",
    "canceled after a doubt",
    "told too late",
    "a lease lost",
    "a replay after a crash",
    "a create that landed after its time-out",
    "held for the caller",
    "canceled after a refusal",
    "nobody's, and not canceled",
    "somebody else's",
];

/// How much may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) faults: u8,
    pub(super) crashes: u8,
    pub(super) freezes: u8,
    pub(super) wishes: u8,
    pub(super) retries: u8,
    /// Moves of a stranger.
    pub(super) strangers: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Gift {
    None,
    Live,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// The driver wants to send; nothing has left.
    Ready,
    /// On its way to Amazon.
    Sent(Action, u8),
    /// Amazon has done it, and its answer is on its way back.
    Done(Action, Event, u8),
    /// The outcome is known here, and not written.
    Heard(Event, u8),
    /// The lease is kept over a pause.
    Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Worker {
    phase: Phase,
    drive: Option<Drive>,
    token: u8,
    /// Someone waits for it.
    caller: bool,
    /// A stranger has taken the card back since Amazon was asked.
    stale: bool,
}

const IDLE: Worker = Worker { phase: Phase::Idle, drive: None, token: 0, caller: false, stale: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    sold: Sold,
    at: u8,
    left: Budget,
    row: Option<Order>,
    workers: [Worker; 2],
    tokens: u8,
    gift: Gift,
    /// A stranger has activated the card.
    others: bool,
    /// Requests that nobody waits for any more and that may still land, by when they left.
    stray_create: Option<u8>,
    stray_cancel: Option<u8>,
    careful: bool,
    /// What Amazon answers to an id is its first answer.
    answers_as_at_first: bool,
    delivered: bool,
    marks: u16,
    wrong: Option<&'static str>,
}

fn token_of(token: u8) -> Uuid {
    Uuid::from_u128(u128::from(token))
}

type Steps = Vec<(String, World)>;

impl World {
    pub(super) fn beginnings(sold: Sold, left: Budget) -> impl Iterator<Item = Self> {
        let manners: &[bool] = if sold == Sold::Load { &[false, true] } else { &[false] };
        let each = manners.iter().flat_map(|manner| [(false, *manner), (true, *manner)]);
        each.map(move |(careful, answers_as_at_first)| Self {
            sold,
            at: 0,
            left,
            row: None,
            workers: [IDLE, IDLE],
            tokens: 0,
            gift: Gift::None,
            others: false,
            stray_create: None,
            stray_cancel: None,
            careful,
            answers_as_at_first,
            delivered: false,
            marks: 0,
            wrong: None,
        })
    }

    /// What was come by on the way here.
    pub(super) fn marks(&self) -> impl Iterator<Item = &'static str> {
        let marks = self.marks;
        REACHED.iter().enumerate().filter(move |(bit, _what)| marks & (1 << bit) != 0).map(|(_bit, what)| *what)
    }

    /// Where the reward stands.
    pub(super) fn state(&self) -> Option<&'static str> {
        self.row.map(|row| row.state().as_str())
    }

    fn instant(&self, at: u8) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + self.sold.instants()[usize::from(at)], 0).unwrap()
    }

    fn mark(&mut self, bit: u8) {
        self.marks |= 1 << bit;
    }

    fn moment(&self, caller: bool) -> Moment {
        Moment {
            now: self.instant(self.at),
            draw: 0,
            patience: if caller { PATIENCE } else { Duration::ZERO },
            awaited: caller,
        }
    }

    fn lease(&mut self) -> Lease {
        self.tokens += 1;
        Lease { token: token_of(self.tokens), holds: LIMITS.lease }
    }

    /// The promise that is broken, if one is.
    pub(super) fn broken(&self) -> Option<String> {
        if let Some(wrong) = self.wrong {
            return Some(wrong.to_owned());
        }
        let row = self.row?;
        let sent = |worker: &Worker, which| matches!(worker.phase, Phase::Sent(action, _) if action == which);
        let cancel_may_land = self.at <= CANCEL_LANDS_BY
            && (self.stray_cancel.is_some() || self.workers.iter().any(|worker| sent(worker, Action::Reverse)));
        let state = row.state();
        let none = matches!(state, State::Canceled | State::Failed);
        let told = state == State::Issued && row.stage.reversal_failure().is_some();
        let open = row.action(self.sold.rules(), self.instant(self.at)).is_some();
        // Of a card it is looked at when it is written: a stranger may take it later.
        let (is_code, is_card) = (self.sold == Sold::Code, self.sold == Sold::Card);
        let broken = [
            (none && self.gift == Gift::Live, "I2: a live card of a row that says there is none"),
            (
                none && self.gift == Gift::None && !self.others && self.stray_create.is_some(),
                "K6: a create may still land after the row says that there is no card",
            ),
            (!is_card && state == State::Issued && self.gift != Gift::Live, "I3: an issued row without its live card"),
            (is_code && told && !self.delivered, "a card that nobody has was issued quietly after its cancel failed"),
            (told && cancel_may_land, "a cancel may land after its verdict"),
            (open && row.due_at.is_none(), "I15: nobody will ever take the row up"),
        ];
        broken.into_iter().find(|(is, _why)| *is).map(|(_is, why)| why.to_owned())
    }

    /// Everything that can happen next.
    pub(super) fn steps(&self, bug: Option<Bug>) -> Steps {
        let mut steps = Vec::new();
        self.time(&mut steps);
        self.caller(&mut steps);
        self.strays(&mut steps);
        self.stranger(&mut steps);
        for at in 0..self.workers.len() {
            let mut own = Vec::new();
            self.work(at, bug, &mut own);
            steps.extend(own.into_iter().map(|(step, world)| (format!("{step}/{at}"), world)));
        }
        steps
    }

    fn time(&self, steps: &mut Steps) {
        if usize::from(self.at) + 1 < INSTANTS {
            let mut world = Self { at: self.at + 1, ..*self };
            // What has been under way for so long is gone.
            world.stray_create = self.stray_create.filter(|left| left + 1 >= world.at);
            world.stray_cancel = self.stray_cancel.filter(|_left| world.at <= CANCEL_LANDS_BY);
            // Who waits for Amazon has timed out by then, or has an answer.
            let waits = |worker: &Worker| matches!(worker.phase, Phase::Sent(..) | Phase::Done(..));
            if !self.workers.iter().any(waits) {
                steps.push((format!("tick{}", self.sold.instants()[usize::from(world.at)]), world));
            }
        }
    }

    fn caller(&self, steps: &mut Steps) {
        let Some(row) = self.row else {
            let mut world = *self;
            let (lease, now) = (world.lease(), self.instant(self.at));
            let policy = if self.careful { OnUnproven::Reverse } else { OnUnproven::Keep };
            world.row = Some(schedule::begin(policy, false, lease, now));
            world.carry(0, true);
            steps.push(("issue".to_owned(), world));
            return;
        };
        if self.left.wishes > 0 {
            self.wish(row, steps);
        }
        let idle = self.workers.iter().position(|worker| worker.phase == Phase::Idle);
        let mut world = *self;
        if self.left.retries > 0
            && let Some(at) = idle
            && let Ok(order) = schedule::retry(row, false, world.lease(), self.sold.rules(), self.moment(true))
        {
            world.left.retries -= 1;
            world.row = Some(order);
            world.carry(at, true);
            steps.push(("retry".to_owned(), world));
        }
    }

    /// A caller cancels: the production driver says what is written. Its own attempt, if it has one, is left to recovery:
    /// that is one of the things that can happen to it.
    fn wish(&self, row: Order, steps: &mut Steps) {
        let mut world = *self;
        world.left.wishes -= 1;
        let lease = world.lease();
        let mut drive = Drive::reverse(row, lease.token, Wisher::Present, *self.sold.rules(), LIMITS);
        let Instruction::Commit(change) = drive.next(Input::Begin, self.moment(false)) else { return };
        world.commit(change);
        let leased = world.row.is_some_and(|row| row.lease == Some(lease.token));
        let idle = self.workers.iter().position(|worker| worker.phase == Phase::Idle);
        if let (true, Some(at)) = (leased, idle) {
            world.carry(at, false);
        }
        steps.push(("wish".to_owned(), world));
    }

    /// What nobody waits for lands.
    fn strays(&self, steps: &mut Steps) {
        if self.stray_create.is_some() {
            let mut world = Self { stray_create: None, ..*self };
            if world.gift == Gift::None && !world.others {
                world.gift = Gift::Live;
                world.mark(5);
            }
            steps.push(("late-create".to_owned(), world));
        }
        if self.stray_cancel.is_some() && self.at <= CANCEL_LANDS_BY {
            let mut world = Self { stray_cancel: None, ..*self };
            if world.gift == Gift::Live {
                world.gift = Gift::Refunded;
            }
            steps.push(("late-cancel".to_owned(), world));
        }
    }

    /// Somebody else activates the card, or takes our activation back.
    fn stranger(&self, steps: &mut Steps) {
        if self.left.strangers == 0 || self.gift == Gift::Refunded {
            return;
        }
        let mut world = *self;
        world.left.strangers -= 1;
        if self.gift == Gift::None {
            world.others = true;
        } else {
            world.gift = Gift::Refunded;
            world.workers.iter_mut().for_each(|worker| worker.stale = worker.phase != Phase::Idle);
        }
        steps.push(("stranger".to_owned(), world));
    }
}
