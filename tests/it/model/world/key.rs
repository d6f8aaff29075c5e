//! What makes two worlds the same: all of it, but for names and counts that mean the same in both.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use noshi::engine::Order;
use uuid::Uuid;

use super::{SOON, World, token_of};

impl World {
    /// Its fingerprint. Of attempts and versions only the differences count, of tokens only whether they are the row's, of
    /// due times only whether they have come; since when something is unproven never counts here, nor what was tried before,
    /// nor how many attempts a drive has made since its last pause: the faults of one run do not reach the most.
    /// Two of a million worlds share a fingerprint of 64 bits by chance once in thirty million runs.
    pub(in super::super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.at, self.left, self.gift, self.others, self.stray_create, self.stray_cancel).hash(&mut hasher);
        (self.careful, self.answers_as_at_first, self.delivered, self.wrong).hash(&mut hasher);
        self.row.map(|row| self.plain(row)).hash(&mut hasher);
        for worker in &self.workers {
            (worker.phase, worker.caller, worker.stale, self.is_the_rows(token_of(worker.token))).hash(&mut hasher);
            worker.drive.map(|drive| self.plain(drive.order)).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Tokens never come again: all that counts is whether it is the row's.
    fn is_the_rows(&self, token: Uuid) -> bool {
        self.row.is_some_and(|row| row.lease == Some(token))
    }

    fn plain(&self, order: Order) -> Order {
        let (attempts, version) = self.row.map_or((0, 0), |row| (row.attempts, row.version));
        Order {
            attempts: order.attempts - attempts,
            attempts_before: 0,
            version: order.version - version,
            lease: order.lease.map(|token| Uuid::from_u128(u128::from(self.is_the_rows(token)))),
            due_at: order.due_at.map(|at| self.due(at)),
            unproven_since: None,
            created_at: self.instant(0),
            updated_at: self.instant(0),
            ..order
        }
    }

    fn due(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let come = |which: &u8| at <= self.instant(*which) + SOON;
        self.instant((self.at..4).find(come).unwrap_or(3))
    }
}
