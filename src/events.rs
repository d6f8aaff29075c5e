//! Facts: what happened, in the order of writing, each written in the transaction that makes it true.
//!
//! One table holds them all. [`outbox`] writes the facts of programs, accounts and the database, and reads them in their
//! order; [`timeline`] writes and reads what happened to one subject, counted from 1; [`stream`] reads all of them. A fact is never changed;
//! the timeline of an archived reward is deleted, and no other fact is.

pub mod http;
pub mod outbox;
pub(crate) mod scopes;
pub mod stream;
pub mod timeline;

use uuid::Uuid;

use crate::kernel::{PaymentId, ProgramId, RewardId};

/// What a fact of the outbox is about. Such a subject has a name and no timeline.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// The whole database.
    Database,
    /// A partner account.
    Account(&'a str),
    /// A program.
    Program(&'a ProgramId),
    /// A client, by its id.
    Client(&'a str),
}

impl<'a> Named<'a> {
    const fn kind(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Account(_) => "account",
            Self::Program(_) => "program",
            Self::Client(_) => "client",
        }
    }

    fn name(self) -> &'a str {
        match self {
            Self::Database => "database",
            Self::Account(name) => name,
            Self::Program(id) => id.as_str(),
            Self::Client(id) => id,
        }
    }

    const fn account(self) -> Option<&'a str> {
        match self {
            Self::Account(name) => Some(name),
            Self::Database | Self::Program(_) | Self::Client(_) => None,
        }
    }
}

/// What has a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A reward.
    Reward(RewardId),
    /// A charge or a refund of Amazon Pay.
    Payment(PaymentId),
}

impl Subject {
    const fn kind(self) -> &'static str {
        match self {
            Self::Reward(_) => "reward",
            Self::Payment(_) => "payment",
        }
    }

    const fn id(self) -> Uuid {
        match self {
            Self::Reward(id) => id.uuid(),
            Self::Payment(id) => id.uuid(),
        }
    }
}
