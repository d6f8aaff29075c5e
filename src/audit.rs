//! Who did it: an append-only record of what changed the service's reach: keys, programs, decisions by hand, key pairs, restores,
//! starts.
//!
//! A record is written in the transaction of the act: neither is there without the other. Each holds the hash of the one before,
//! so what is changed, dropped or swapped later is found ([`verify`]). Only a cut of the newest records leaves a whole chain: a
//! [`AuditHead`] that was kept elsewhere finds it.
//!
//! A hash is keyed (HMAC-SHA-256) by a key that derives from a sealing key of the settings: who can write the database, and has no
//! settings, can make no record that fits. The record names that key, so a rotation leaves older records verifiable while the
//! older key is listed. Where no key is listed the chain is a plain SHA-256, which finds slips and damage, and no forger. An audit
//! that was keyed once stays so: [`Scribe::write`] refuses to go on without a key.
//!
//! Purchases, reveals and cancels are not here: they stand in the timeline of their reward. So the hot path writes no record.

mod actor;
pub mod fuzz;
mod metrics;
mod operator;
mod record;
mod scribe;
pub mod sql;
pub mod verify;
mod watch;

pub use actor::AuditActor;
pub use metrics::Metrics;
pub use record::{AuditAction, AuditHash, AuditHead, AuditRecord};
pub use scribe::{Deed, Scribe};
pub(crate) use watch::{AuditWatch, FilterChange};
