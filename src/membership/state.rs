//! What may become of a membership: every step, named.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::kernel::word_methods;

/// Where a membership stands. The words are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MembershipState {
    /// It is paid, or its charge is under way.
    Active,
    /// A charge was declined for now, and is made again within the grace.
    PastDue,
    /// The buyer must mend the payment method.
    Suspended,
    /// No period is opened or charged until the caller resumes it.
    Paused,
    /// Amazon refused for good, or the grace is over.
    Lapsed,
    /// The caller ended it.
    Ended,
}
word_methods!(MembershipState);

/// What happens to a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum MembershipStep {
    /// A charge is proven.
    Paid,
    /// A charge was declined, and may succeed later.
    DeclinedForNow,
    /// The last charge within the grace was declined.
    GraceOver,
    /// The buyer must change the payment method.
    MethodDeclined,
    /// Amazon ended the permission, or refuses for good.
    Refused,
    /// The money of a period went back, and its reward did not come back.
    MoneyBack,
    /// The caller has it wait.
    Pause,
    /// The caller has it go on; what was to be paid was never declined.
    Resume,
    /// The caller has it go on; what is to be paid was declined before.
    ResumeOwing,
    /// The buyer has mended the payment method.
    Mend,
    /// The caller ends it.
    End,
}

impl MembershipState {
    /// What a step makes of it; `None` where it cannot be taken.
    #[must_use]
    pub const fn after(self, step: MembershipStep) -> Option<Self> {
        use MembershipStep as Step;
        match (self, step) {
            // A charge that was under way comes to its end whatever was decided meanwhile.
            (Self::Active | Self::PastDue | Self::Suspended, Step::Paid) | (Self::Paused, Step::Resume) => {
                Some(Self::Active)
            }
            (Self::Active | Self::PastDue, Step::DeclinedForNow)
            | (Self::PastDue | Self::Suspended, Step::Mend)
            | (Self::Paused, Step::ResumeOwing) => Some(Self::PastDue),
            (Self::Active | Self::PastDue | Self::Suspended, Step::MethodDeclined)
            | (Self::Suspended, Step::DeclinedForNow | Step::GraceOver) => Some(Self::Suspended),
            (Self::Active | Self::PastDue, Step::GraceOver)
            | (Self::Active | Self::PastDue | Self::Suspended | Self::Paused, Step::Refused) => Some(Self::Lapsed),
            (Self::Active | Self::PastDue, Step::Pause)
            | (Self::Active | Self::PastDue | Self::Suspended | Self::Paused, Step::MoneyBack)
            | (Self::Paused, Step::Paid | Step::DeclinedForNow | Step::GraceOver | Step::MethodDeclined) => {
                Some(Self::Paused)
            }
            (Self::Active | Self::PastDue | Self::Suspended | Self::Paused | Self::Lapsed, Step::End) => {
                Some(Self::Ended)
            }
            (
                Self::Lapsed,
                Step::Paid
                | Step::DeclinedForNow
                | Step::GraceOver
                | Step::MethodDeclined
                | Step::Refused
                | Step::MoneyBack,
            ) => Some(Self::Lapsed),
            (
                Self::Ended,
                Step::Paid
                | Step::DeclinedForNow
                | Step::GraceOver
                | Step::MethodDeclined
                | Step::Refused
                | Step::MoneyBack,
            ) => Some(Self::Ended),
            (_, Step::Pause | Step::Resume | Step::ResumeOwing | Step::Mend | Step::End) => None,
        }
    }

    /// Whether periods are opened and charged.
    #[must_use]
    pub const fn charges(self) -> bool {
        matches!(self, Self::Active | Self::PastDue)
    }

    /// Whether nothing more is charged for it, whatever the caller asks.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Lapsed | Self::Ended)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        MembershipState::{self, Active, Ended, Lapsed, PastDue, Paused, Suspended},
        MembershipStep as Step,
    };

    /// Each step, and what it makes of active, past due, suspended, paused, lapsed and ended.
    const TABLE: [(Step, [Option<MembershipState>; 6]); 11] = [
        (Step::Paid, [Some(Active), Some(Active), Some(Active), Some(Paused), Some(Lapsed), Some(Ended)]),
        (
            Step::DeclinedForNow,
            [Some(PastDue), Some(PastDue), Some(Suspended), Some(Paused), Some(Lapsed), Some(Ended)],
        ),
        (Step::GraceOver, [Some(Lapsed), Some(Lapsed), Some(Suspended), Some(Paused), Some(Lapsed), Some(Ended)]),
        (
            Step::MethodDeclined,
            [Some(Suspended), Some(Suspended), Some(Suspended), Some(Paused), Some(Lapsed), Some(Ended)],
        ),
        (Step::Refused, [Some(Lapsed), Some(Lapsed), Some(Lapsed), Some(Lapsed), Some(Lapsed), Some(Ended)]),
        (Step::MoneyBack, [Some(Paused), Some(Paused), Some(Paused), Some(Paused), Some(Lapsed), Some(Ended)]),
        (Step::Pause, [Some(Paused), Some(Paused), None, None, None, None]),
        (Step::Resume, [None, None, None, Some(Active), None, None]),
        (Step::ResumeOwing, [None, None, None, Some(PastDue), None, None]),
        (Step::Mend, [None, Some(PastDue), Some(PastDue), None, None, None]),
        (Step::End, [Some(Ended), Some(Ended), Some(Ended), Some(Ended), Some(Ended), None]),
    ];

    #[test]
    fn every_step_from_every_state_is_what_the_table_says() {
        assert_eq!(MembershipState::ALL, [Active, PastDue, Suspended, Paused, Lapsed, Ended]);
        for (step, row) in TABLE {
            for (state, expected) in MembershipState::ALL.iter().zip(row) {
                assert_eq!(state.after(step), expected, "{state:?} {step:?}");
            }
        }
        let named: std::collections::HashSet<Step> = TABLE.iter().map(|(step, _row)| *step).collect();
        assert_eq!(named.len(), <Step as strum::VariantArray>::VARIANTS.len());
    }

    #[test]
    fn what_amazon_decides_is_taken_in_every_state() {
        for step in TABLE.iter().map(|(step, _row)| *step).take(6) {
            assert!(MembershipState::ALL.iter().all(|state| state.after(step).is_some()), "{step:?}");
        }
    }
}
