//! A small world with one card, walked to its last state: calls that are lost before or after the work, or arrive late; a crash; a
//! wish to cancel; and one move of a stranger, who activates the card or takes our activation back. A status check shows the card as
//! it is and not whose it is, and the answer to our id is that of its first use.
//!
//! Two moves of strangers between an answer and the read after it (ours is taken back, and theirs is made) cannot be seen by anybody.

use std::collections::HashSet;

use super::*;

const READ: Rules = Rules { reading: Reading::Operation, has_receipt: false, ..RULES };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Nobody,
    Ours,
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SmallWorld {
    stage: Stage,
    active: Holder,
    /// Amazon remembers our id, and answers it with what came of its first use.
    used: bool,
    /// An activation of ours that can still arrive.
    late: bool,
    charges: u8,
    /// Moves that strangers have left.
    strangers: u8,
    wished: bool,
}

/// What is wrong with the machine that is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// An active card is taken for ours.
    TrustsTheCheck,
    /// The answer to a replay is taken for the present.
    TrustsTheReplay,
}

impl SmallWorld {
    fn begin() -> Self {
        let stage = step(Stage::Pending, Event::Begin, at(0)).unwrap().stage;
        Self { stage, active: Holder::Nobody, used: false, late: false, charges: 0, strangers: 1, wished: false }
    }

    fn told(self, flaw: Flaw, event: Event) -> Option<Self> {
        let trusted = flaw == Flaw::TrustsTheCheck && event == Event::Seen(Sight::Unattributed);
        let event = if trusted { Event::Seen(Sight::Live) } else { event };
        let rules = if flaw == Flaw::TrustsTheReplay { &RULES } else { &READ };
        let step = Step { rules, awaited: false, ..awaited_step(event, at(10)) };
        step.apply(self.stage).ok().map(|next| Self { stage: next.stage, ..self })
    }

    /// An activation of ours arrives.
    fn arrive(mut self) -> (Self, Event) {
        match (self.used, self.active) {
            (true, _) => (self, Event::Seen(Sight::Live)),
            (false, Holder::Nobody) => {
                (self.active, self.used, self.charges) = (Holder::Ours, true, self.charges + 1);
                (self, Event::Seen(Sight::Live))
            }
            (false, _) => (self, ELSEWHERE),
        }
    }

    fn deactivate(mut self) -> (Self, Event) {
        match (self.used, self.active) {
            (true, Holder::Ours | Holder::Nobody) => {
                self.active = Holder::Nobody;
                (self, Event::ReversalDone)
            }
            _ => (self, Event::ReversalRefused(ReversalFailure::NotPermitted)),
        }
    }

    /// Every way to go on.
    fn moves(self, flaw: Flaw) -> Vec<Self> {
        let mut next = Vec::new();
        if self.late {
            next.push(Self { late: false, ..self }.arrive().0);
        }
        if self.strangers > 0 {
            let active = if self.active == Holder::Nobody { Holder::Stranger } else { Holder::Nobody };
            next.push(Self { active, strangers: 0, ..self });
        }
        if !self.wished {
            next.extend(Self { wished: true, ..self }.told(flaw, Event::ReversalAsked));
        }
        let outcomes = match order(self.stage).action(&READ, at(10)) {
            None => Vec::new(),
            // Committed first, and then sent.
            Some(Action::Forward) if self.stage == Stage::Pending => {
                next.extend(self.told(flaw, Event::Begin));
                Vec::new()
            }
            Some(Action::Forward) => {
                let (done, answer) = self.arrive();
                let late = Self { late: true, ..self };
                vec![
                    (self, Event::Lost),
                    (late, Event::Lost),
                    (self, Event::NotSent),
                    (done, Event::Lost),
                    (done, answer),
                ]
            }
            Some(Action::Read) => {
                let seen = if self.active == Holder::Nobody { Sight::Absent } else { Sight::Unattributed };
                vec![(self, Event::Lost), (self, Event::Seen(seen))]
            }
            Some(Action::Reverse) => {
                let (done, answer) = self.deactivate();
                vec![(self, Event::ReversalLost), (done, Event::ReversalLost), (done, answer)]
            }
        };
        let crash = |(world, _event): &(Self, Event)| world.told(flaw, Event::Abandoned);
        next.extend(outcomes.iter().filter_map(crash));
        next.extend(outcomes.into_iter().filter_map(|(world, event)| world.told(flaw, event)));
        next
    }

    /// What this world says that is not so, right after it came to say it.
    fn lie(&self, before: &Self) -> Option<&'static str> {
        let ours = self.active == Holder::Ours;
        let can_land = self.late && !self.used && self.active == Holder::Nobody;
        let new = self.stage.state() != before.stage.state();
        if self.charges > 1 {
            return Some("two activations were paid for");
        }
        if matches!(self.stage, Stage::Proven(_)) && new && !ours {
            return Some("issued, and the card is not ours");
        }
        let undone = matches!(self.stage, Stage::Refused { .. } | Stage::Reversed(_));
        (undone && (ours || can_land)).then_some("failed or canceled, and the card is or will be ours")
    }
}

/// All states, or the first lie.
fn walk(flaw: Flaw) -> Result<usize, String> {
    let mut open = vec![SmallWorld::begin()];
    let mut seen: HashSet<SmallWorld> = open.iter().copied().collect();
    while let Some(world) = open.pop() {
        for next in world.moves(flaw) {
            if let Some(lie) = next.lie(&world) {
                return Err(format!("{lie}: {world:?} -> {next:?}"));
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    for state in [State::Issued, State::Failed, State::Canceled, State::NeedsAttention] {
        assert!(seen.iter().any(|world| world.stage.state() == state), "{} was never reached", state.as_str());
    }
    Ok(seen.len())
}

#[test]
fn no_way_of_a_card_is_called_what_it_is_not() {
    let states = walk(Flaw::None).unwrap();
    assert!(states > 200, "only {states} states");
}

#[test]
fn a_machine_that_trusts_one_answer_alone_is_caught() {
    assert!(walk(Flaw::TrustsTheCheck).unwrap_err().starts_with("issued, and the card is not ours"));
    assert!(walk(Flaw::TrustsTheReplay).unwrap_err().starts_with("issued, and the card is not ours"));
}
