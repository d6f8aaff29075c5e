//! Feeds: tables that are read by id, each reader going on from the last id that it was shown.
//!
//! On PostgreSQL an id is given before its transaction commits, so a row may be seen before one with a smaller id. Whoever went
//! on from it would never see the earlier one. So a reader first asks how far the feed is settled, and in a second statement reads
//! the rows up to there. Migration 0012 has the other half: a writer takes a lock that holds the feed back from its first id
//! on. On SQLite there is one writer, and rows are seen in the order of their ids.

use super::row;

row! {
    /// How far a feed is settled: no transaction that has not ended can write this id or a smaller one.
    pub(crate) struct SettledRow { pub(crate) id: i64 }
}

/// The smallest id that a transaction holds which has not ended, as a scalar of PostgreSQL; NULL where none does.
macro_rules! first_held {
    ($feed:literal) => {
        concat!(
            "(SELECT MIN(((classid::BIGINT & 65535) << 32) | objid::BIGINT) FROM pg_locks WHERE locktype = 'advisory' \
             AND objsubid = 1 AND mode = 'ShareLock' AND classid::BIGINT >> 16 = ",
            $feed,
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
    };
}

/// The statement that asks how far a feed is settled. Its number is the one that migration 0012 gave its table. Whatever has a
/// smaller id than a row that is seen was given its id before, under a lock that is held until the writer's rows are seen: so
/// the locks are looked at after the rows, and the rows are read again after that.
macro_rules! settled {
    ($name:literal, $sqlite:literal, $postgres:literal, $feed:literal) => {
        $crate::store::Sql::each(
            $name,
            concat!("SELECT COALESCE(MAX(id), 0) AS id FROM ", $sqlite),
            concat!(
                "SELECT LEAST((SELECT COALESCE(MAX(id), 0) FROM ",
                $postgres,
                "), ",
                $crate::store::feed::first_held!($feed),
                ") AS id"
            ),
        )
    };
}

pub(crate) use {first_held, settled};
