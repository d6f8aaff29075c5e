//! Operations that only one kind of reward needs: one file a kind, with all that the gateway does for them.

mod balance_load;
mod card_activation;

use std::fmt;

use serde_json::value::RawValue;

use super::activity::ActivityType;
use super::answer::GatewayAnswer;
use super::operations::{Done, GatewayCall};
use super::world::World;

pub(super) use self::card_activation::Deck;
pub use self::card_activation::PhysicalCard;

/// What each file declares.
const KINDS: &[&[OfKind]] = &[card_activation::OPERATIONS, balance_load::OPERATIONS];

/// A success.
struct Worked {
    json: Box<RawValue>,
    /// Whether the book changed.
    real_op: bool,
}

/// An operation that one kind of reward needs.
#[derive(Clone, Copy)]
pub struct OfKind {
    name: &'static str,
    /// The member of the request that has its id.
    request_id: &'static str,
    /// What the activity report calls it, if it is listed there.
    listed: Option<ActivityType>,
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

    /// The member of its request that has the id.
    pub(super) fn request_id(self) -> &'static str {
        self.request_id
    }

    /// What the activity report calls it, if it is listed there.
    pub(super) fn listed(self) -> Option<ActivityType> {
        self.listed
    }

    /// Does a call's work.
    pub(super) fn perform(self, world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
        let Worked { json, real_op } = (self.work)(world, call)?;
        Ok(Done { answer: GatewayAnswer::OfKind(json), real_op })
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
