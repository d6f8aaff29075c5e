//! The two goals that send nothing: to show the receipt of a proven order again, and to look at an order.

use chrono::{DateTime, Utc};

use super::{Change, DatedEvent, Drive, End, Goal, Instruction, Milestone, Phase};
use crate::engine::{
    order::Stage,
    schedule::{self, Moment},
};

impl Drive {
    /// How the showing of this order's receipt ends without a question; `None` where one is to be asked.
    #[must_use]
    pub fn end_unasked(&self, showings_max: i64, now: DateTime<Utc>) -> Option<End> {
        if !matches!(self.order.stage, Stage::Proven(_)) || !self.rules.has_receipt {
            return Some(End::NotShown);
        }
        if schedule::is_too_old(&self.order, self.limits.replay_age, now) {
            return Some(End::TooOld);
        }
        (self.order.showings >= showings_max).then_some(End::ShownTooOften)
    }

    pub(super) fn ask(&mut self, showings_max: i64, moment: Moment) -> Instruction {
        if let Some(end) = self.end_unasked(showings_max, moment.now) {
            return Instruction::Done(end);
        }
        self.phase = Phase::Asked;
        Instruction::Read
    }

    /// A showing, to be committed while the order is still proven. Reversed meanwhile, or shown to someone else, the
    /// receipt stays here.
    pub(super) fn note(&mut self, answer: DatedEvent, moment: Moment) -> Instruction {
        let before = self.order;
        let showings_max = match self.goal {
            Goal::Show { showings_max } => showings_max,
            Goal::Look => return self.note_look(answer, moment),
            Goal::Carry | Goal::Reverse { .. } => return Instruction::Done(End::NotShown),
        };
        if !matches!(before.stage, Stage::Proven(_)) {
            return Instruction::Done(End::NotShown);
        }
        if before.showings >= showings_max {
            return Instruction::Done(End::ShownTooOften);
        }
        let step = schedule::step(&before, answer.event, moment.now, &self.rules);
        let Ok(next) = step.apply(before.stage) else { return Instruction::Done(End::NotShown) };
        let mut order = schedule::apply(before, &next, None, &self.rules, moment);
        order.showings = order.showings.saturating_add(i64::from(next.deliver));
        let change = Change { order, from: before.state(), milestone: Milestone::Shown { deliver: next.deliver } };
        self.phase = Phase::Noting { answer, change, deliver: next.deliver };
        Instruction::Commit(change)
    }

    /// What a look found, to be committed where the order is proven and the look shows it otherwise.
    fn note_look(&mut self, answer: DatedEvent, moment: Moment) -> Instruction {
        let before = self.order;
        let seen = End::Settled { deliver: false };
        if !matches!(before.stage, Stage::Proven(_)) {
            return Instruction::Done(seen);
        }
        let step = schedule::step(&before, answer.event, moment.now, &self.rules);
        let Ok(next) = step.apply(before.stage) else { return Instruction::Done(seen) };
        if matches!(next.stage, Stage::Proven(_)) {
            return Instruction::Done(seen);
        }
        let order = schedule::apply(before, &next, None, &self.rules, moment);
        let change = Change { order, from: before.state(), milestone: Milestone::Shown { deliver: false } };
        self.phase = Phase::Noting { answer, change, deliver: false };
        Instruction::Commit(change)
    }
}
