//! The places at which a change of a reward can be made to fail.

use crate::{
    engine::{Stage, drive::Milestone},
    failpoint,
    incentives::model::Reward,
};

/// The failpoints of a change: their group, and the points before its transaction, inside it and after it.
#[derive(Clone, Copy)]
pub(super) struct Failpoints {
    group: &'static str,
    pub(super) before: &'static str,
    pub(super) inside: &'static str,
    pub(super) after: &'static str,
}

impl Failpoints {
    pub(super) const fn of(row: &Reward, milestone: Milestone) -> Self {
        match milestone {
            Milestone::Settled { .. } => Self::of_call(row),
            Milestone::Sent => Self::first_transaction("held"),
            Milestone::ReversalWanted => Self::first_transaction("cancel"),
            Milestone::Shown { .. } => Self::second_transaction("show"),
        }
    }

    /// Those of an attempt: a cancel, a first create, or a later one.
    pub(super) const fn of_call(row: &Reward) -> Self {
        let group = match row.order.stage {
            Stage::Reversing(_) => "cancel",
            Stage::Pending
            | Stage::Sending(_)
            | Stage::Unproven(_)
            | Stage::Proven(_)
            | Stage::Reversed(_)
            | Stage::Refused { .. }
            | Stage::Attention(_) => {
                if row.order.attempts > 1 {
                    "replay"
                } else {
                    "issue"
                }
            }
        };
        Self::second_transaction(group)
    }

    const fn first_transaction(group: &'static str) -> Self {
        Self { group, before: "before_t1", inside: "in_t1", after: "after_t1" }
    }

    const fn second_transaction(group: &'static str) -> Self {
        Self { group, before: "before_t2", inside: "in_t2", after: "after_t2" }
    }

    pub(super) fn pass(self, point: &'static str) {
        failpoint::pass(self.group, point);
    }
}
