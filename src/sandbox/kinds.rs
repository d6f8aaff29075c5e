//! Operations that only one kind of reward needs: one file a kind, with all that the gateway does for them.

#[cfg(test)]
mod trial;

use std::fmt;

use serde_json::value::RawValue;

use super::answer::GatewayAnswer;
use super::operations::{Done, GatewayCall};
use super::world::World;

/// What each file declares.
const KINDS: &[&[OfKind]] = &[
    #[cfg(test)]
    trial::OPERATIONS,
];

/// A success's JSON, and whether the book changed.
type Worked = (Box<RawValue>, bool);

/// An operation that one kind of reward needs.
#[derive(Clone, Copy)]
pub struct OfKind {
    name: &'static str,
    work: fn(&World, &GatewayCall<'_>) -> Result<Worked, GatewayAnswer>,
}

impl OfKind {
    /// Every such operation.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().copied().flatten().copied()
    }

    /// Its name in the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Does a call's work.
    pub(super) fn perform(self, world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
        let (success, real_op) = (self.work)(world, call)?;
        Ok(Done { answer: GatewayAnswer::OfKind(success), real_op })
    }
}

impl fmt::Debug for OfKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// No two have one name: the gateway routes by it.
impl PartialEq for OfKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OfKind {}
