//! What must never happen, whatever happens: looked at from outside, at every commit, send, answer,
//! delivery and refund, and once more when the run has come to rest.

use chrono::{DateTime, Utc};
use noshi::{
    engine::{Action, AttentionReason, Event, ReversalFailure, State},
    incentives::kinds::gift_code::CANCEL_START_BY,
};

use super::{
    amazon::{Amazon, Gift, code_of},
    coverage::Class,
    world::{KEYS, Row, Sold, World},
};

/// What the oracle remembers of a key, apart from the rows.
#[derive(Default, Clone, Copy)]
struct Memory {
    careful: bool,
    delivered: bool,
    /// When the window began, as first committed.
    anchor: Option<DateTime<Utc>>,
    /// A wish to cancel was committed, and nothing has settled it.
    wished: bool,
    /// Amazon said since the wish that its window is over.
    too_late: bool,
    /// A code left for a caller, and nobody knows whether it arrived.
    underway: bool,
    /// An attempt of the present series ended unknown, as the network knows it.
    unknown: bool,
    /// A caller with on_unresolved=cancel was sent away without a code.
    sent_away: bool,
    excused: bool,
    /// When Amazon looked at what the last answer is about.
    looked_at: i64,
}

#[derive(Default)]
pub(super) struct Oracle {
    keys: [Memory; KEYS],
    pub(super) broken: Option<String>,
}

fn is_final(state: State) -> bool {
    matches!(state, State::Issued | State::Failed | State::Canceled | State::NeedsAttention)
}

impl Oracle {
    pub(super) fn fail(&mut self, why: &str) {
        self.broken.get_or_insert_with(|| why.to_owned());
    }

    fn must(&mut self, holds: bool, why: &str) {
        if !holds {
            self.fail(why);
        }
    }

    pub(super) fn careful(&mut self, key: usize, careful: bool) {
        self.keys[key].careful = careful;
    }

    pub(super) fn is_careful(&self, key: usize) -> bool {
        self.keys[key].careful
    }

    pub(super) fn was_delivered(&self, key: usize) -> bool {
        self.keys[key].delivered
    }

    pub(super) fn sent_away(&mut self, key: usize) {
        self.keys[key].sent_away = true;
        // The wish that is recorded for such a caller says that the code did not reach them.
        self.keys[key].underway &= !self.keys[key].careful;
    }

    /// Whoever would have withdrawn it is dead.
    pub(super) fn excused(&mut self, key: usize) {
        self.keys[key].excused = true;
    }

    /// A request leaves for Amazon.
    pub(super) fn leaves(&mut self, key: usize, action: Action, recorded: bool, at: DateTime<Utc>, stranger: bool) {
        self.must(recorded, "I7: a request left for a reward that no committed row knows");
        self.must(!stranger, "I1: a second id was used for a key");
        if action == Action::Reverse {
            let open = self.keys[key].anchor.is_some_and(|sent| at < sent + CANCEL_START_BY);
            self.must(open, "I9: a cancel left after 14:50");
        }
    }

    /// An outcome came home.
    pub(super) fn heard(&mut self, key: usize, event: Event, looked_at: i64) {
        let memory = &mut self.keys[key];
        memory.looked_at = looked_at;
        memory.unknown |= event == Event::Lost;
        memory.too_late |= event == Event::ReversalRefused(ReversalFailure::TooLate);
    }

    /// A row is written: what may follow what, and what the books say at this moment.
    pub(super) fn committed(&mut self, amazon: &Amazon, sold: Sold, key: usize, old: Option<&Row>, new: &Row) {
        let (state, stage) = (new.order.state(), new.order.stage);
        let gift = amazon.cards[key];
        self.must(
            new.order.due_at.is_none() == is_final(state),
            "I15: a row that is not final is due never, or a final one is due",
        );
        self.must(
            (state == State::NeedsAttention) == stage.attention().is_some(),
            "I15: a person is needed and nobody says why",
        );
        self.must(
            stage.first_sent_at().is_some() || !matches!(state, State::Issuing | State::Unresolved),
            "I9: a row in flight without a first send",
        );
        if let Some(old) = old {
            self.follows(old, new);
        }
        match (self.keys[key].anchor, stage.first_sent_at()) {
            (Some(before), Some(now)) if before != now => self.fail("I9: a replay moved the first send"),
            (_, first) => self.keys[key].anchor = first,
        }
        let live = gift.is_some_and(|gift| !gift.refunded);
        let elsewhere = gift.is_some_and(|gift| gift.elsewhere);
        match state {
            // Whoever looked at it before it was taken back could not know.
            State::Issued if sold == Sold::Card && old.is_none_or(|old| old.order.state() != State::Issued) => {
                let unseen = gift.is_some_and(|gift| gift.elsewhere && gift.taken_at >= self.keys[key].looked_at);
                self.must(live || unseen, "I3: a card was called ours that is not");
            }
            State::Issued => self.must(live || elsewhere, "I3: a reward was issued without a live card"),
            State::Canceled | State::Failed => self.must(!live, "I2: a live card, and the row says that there is none"),
            State::NeedsAttention | State::Pending | State::Issuing | State::Unresolved | State::Canceling => {}
        }
        self.wish(sold, key, old, new);
        if is_final(state) || state == State::Pending {
            self.keys[key].unknown = false;
        }
    }

    fn follows(&mut self, old: &Row, new: &Row) {
        let (from, to) = (old.order.state(), new.order.state());
        self.must(old.value == new.value, "I1: a row became another");
        self.must(!matches!(from, State::Canceled | State::NeedsAttention), "a final row was changed");
        let sticky = !matches!(from, State::Issuing | State::Unresolved)
            || !old.order.stage.is_in_doubt()
            || !matches!(to, State::Pending | State::Failed);
        self.must(sticky, "ambiguity is sticky: a refusal after it was taken for a proof");
        let back =
            from == State::Canceling && !matches!(to, State::Canceling | State::Canceled | State::NeedsAttention);
        let told = to == State::Issued && new.order.stage.reversal_failure().is_some();
        self.must(!back || told, "I8: a cancel that was committed is forgotten");
    }

    /// A wish to cancel ends canceled, or with a cancel that Amazon refused, or with a window that is over.
    fn wish(&mut self, sold: Sold, key: usize, old: Option<&Row>, new: &Row) {
        let wished = new.order.stage.reversal_wanted() || new.order.state() == State::Canceled;
        if wished && !self.keys[key].wished {
            self.keys[key].too_late = false;
        }
        if self.keys[key].wished && !wished {
            let memory = self.keys[key];
            let over = memory.anchor.is_some_and(|sent| !sold.rules().may_reverse(sent, new.order.updated_at));
            let settled = is_final(new.order.state()) && new.order.state() != State::Issued;
            self.must(settled || over || memory.too_late, "K3: a wish to cancel is forgotten inside the window");
            let from = old.map(|old| old.order.state());
            self.must(
                from != Some(State::Canceling) || new.order.stage.reversal_failure().is_some(),
                "I8: nobody says why the cancel failed",
            );
        }
        self.keys[key].wished = wished;
    }

    /// A code is about to leave for a caller who waits.
    pub(super) fn leaves_for_a_caller(&mut self, key: usize) {
        self.keys[key].underway = true;
    }

    /// Amazon paid a cancel back.
    pub(super) fn refunded(&mut self, row: Option<&Row>) {
        let told =
            row.is_some_and(|row| row.order.state() == State::Issued && row.order.stage.reversal_failure().is_some());
        self.must(!told, "a cancel landed after its caller was told that it had not");
        let unproven = row
            .is_some_and(|row| matches!(row.order.state(), State::Canceling | State::NeedsAttention | State::Canceled));
        self.must(unproven, "I3: a card was canceled whose row knows of no cancel");
    }

    /// A caller holds a code.
    pub(super) fn delivered(&mut self, key: usize, code: &str, row: Option<&Row>, gift: Option<Gift>) {
        let Some(row) = row else { return self.fail("I7: a code without a row") };
        self.must(code == code_of(key, row.value), "I4: another code, or another card's, was delivered");
        let elsewhere = gift.is_some_and(|gift| gift.elsewhere);
        let state = row.order.state();
        self.must(
            !matches!(state, State::Canceling | State::Canceled),
            "I8: a code left after the cancel was committed",
        );
        self.must(
            state == State::Issued || state == State::NeedsAttention && elsewhere,
            "a code left before its reward was committed as issued",
        );
        self.must(!row.order.stage.reversal_wanted(), "K5: a code left although its cancel was asked for");
        self.must(elsewhere || gift.is_some_and(|gift| !gift.refunded), "I3: a dead code was delivered");
        self.keys[key].delivered = true;
    }
}

impl World<'_> {
    /// The run has come to rest: nothing is unproven, and the books match Amazon's to the minor unit.
    pub(super) fn at_the_end(&mut self) {
        let live = |gift: &Option<Gift>| gift.filter(|gift| !gift.refunded);
        let held: i64 = self.amazon.cards.iter().filter_map(live).map(|gift| gift.value).sum();
        let balanced = self.amazon.debits - self.amazon.credits == held && self.amazon.strange_debits == 0;
        self.oracle.must(balanced, "I13: the balance does not match the live cards");
        for key in 0..KEYS {
            let (gift, memory) = (self.amazon.cards[key], self.oracle.keys[key]);
            let live = gift.filter(|gift| !gift.refunded);
            let Some(row) = self.rows[key] else {
                self.oracle.must(gift.is_none(), "I2: a card that no row knows");
                continue;
            };
            let state = row.order.state();
            let elsewhere = gift.is_some_and(|gift| gift.elsewhere);
            self.oracle.must(is_final(state), "I15: a row is not final although all has been well for long");
            match state {
                State::Issued => {
                    let same = live.is_some_and(|gift| gift.value == row.value);
                    self.oracle.must(same || elsewhere, "I3: an issued row without its live card");
                    let kept = memory.careful && memory.sent_away && !memory.delivered && !memory.excused;
                    let tried = row.order.stage.reversal_failure().is_some();
                    // Whoever holds a card has it, whatever we hand out.
                    let has_code = self.sold == Sold::Code;
                    self.oracle.must(
                        !tried || memory.delivered || memory.underway || !has_code,
                        "a card that nobody has was issued quietly after its cancel failed",
                    );
                    self.oracle.must(
                        !kept || tried,
                        "on_unresolved=cancel: a card was kept that its caller was told to do without",
                    );
                }
                State::NeedsAttention => {
                    self.met(Class::Attention);
                    if row.order.stage.attention() == Some(AttentionReason::DoneElsewhere) {
                        self.met(Class::OthersUnproven);
                    }
                    if row.order.stage.attention() == Some(AttentionReason::CancelFailed) {
                        self.met(Class::Nobodys);
                        self.oracle
                            .must(!memory.delivered, "a person is told that nobody has a code that a caller has");
                    }
                }
                State::Pending
                | State::Issuing
                | State::Unresolved
                | State::Failed
                | State::Canceling
                | State::Canceled => {
                    self.oracle.must(live.is_none(), "I2: a live card without an issued row");
                }
            }
            match row.order.stage.reversal_failure() {
                Some(ReversalFailure::TooLate) => self.met(Class::NotCanceledTooLate),
                Some(ReversalFailure::NotPermitted) => self.met(Class::NotCanceledClaimed),
                None => {}
            }
            self.met(Class::Final);
        }
    }
}
