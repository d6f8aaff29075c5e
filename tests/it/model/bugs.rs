//! What could be wrong, each to be caught. A bug is planted around the driver: in what it is told, or in the world.

use super::world::Sold;

/// A bug, by the number that it has in the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// B3: a time-out is a failure.
    TimeoutIsFailure,
    /// B6: whoever lost the lease settles all the same.
    NoLeaseCheck,
    /// B7: a refusal of a replay is believed.
    RefusalProves,
    /// B8: a cancel leaves before existence is proven.
    NoBarrier,
    /// B18: the window is not looked at.
    NoWindow,
    /// N3: an abandoned lease is not ambiguous.
    AbandonedIsNothing,
    /// N12: the attempt after a pause does not look at the row.
    HeldBlind,
    /// A read is taken for a verdict by when it is written.
    VerdictByWriting,
    /// N15: a status check is taken as proof of who activated.
    CheckProves,
    /// N18: a replay that says loaded is taken for a void that was not done.
    LoadedIsPresent,
}

impl Bug {
    pub(super) const ALL: [Self; 10] = [
        Self::TimeoutIsFailure,
        Self::NoLeaseCheck,
        Self::RefusalProves,
        Self::NoBarrier,
        Self::NoWindow,
        Self::AbandonedIsNothing,
        Self::HeldBlind,
        Self::VerdictByWriting,
        Self::CheckProves,
        Self::LoadedIsPresent,
    ];

    /// What it is about.
    pub(super) fn sold(self) -> Sold {
        match self {
            Self::CheckProves => Sold::Card,
            Self::LoadedIsPresent => Sold::Load,
            Self::TimeoutIsFailure
            | Self::NoLeaseCheck
            | Self::RefusalProves
            | Self::NoBarrier
            | Self::NoWindow
            | Self::AbandonedIsNothing
            | Self::HeldBlind
            | Self::VerdictByWriting => Sold::Code,
        }
    }
}
