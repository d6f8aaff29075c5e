//! Whether the database takes writes. On a full disk, on a server that has become a standby, or under a role that lost its
//! rights, all that is read looks healthy, and nothing can be sold.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the last write that says something of this came to.
#[derive(Debug, Default)]
pub(super) struct Writes {
    refused: AtomicBool,
}

/// PostgreSQL's codes: a transaction that only reads, a right that is missing, a full disk. Its class 58 is an error of the
/// operating system.
const REFUSED: [&str; 3] = ["25006", "42501", "53100"];
/// SQLite's codes: READONLY, IOERR, FULL.
const REFUSED_SQLITE: [u32; 3] = [8, 10, 13];

impl Writes {
    /// A statement or a commit of a transaction that may write failed.
    pub(super) fn failed(&self, error: &sqlx::Error) {
        if is_refused(error) {
            self.refused.store(true, Ordering::Release);
        }
    }

    /// Something was written durably.
    pub(super) fn succeeded(&self) {
        self.refused.store(false, Ordering::Release);
    }

    pub(super) fn are_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }
}

/// Whether the database says that it writes nothing at all, whatever the statement is.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| is_refusal(&code))
}

/// Whether the code says that the database writes nothing at all, whatever the statement is. SQLite's codes have up to four
/// digits, the lowest byte of which is the kind; PostgreSQL's have five characters.
fn is_refusal(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => REFUSED_SQLITE.contains(&(number & 0xff)),
        Ok(_) | Err(_) => REFUSED.contains(&code) || code.starts_with("58"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_writes_nothing_is_told_from_a_statement_that_fails() {
        for code in ["8", "1032", "10", "778", "13", "25006", "42501", "53100", "58030"] {
            assert!(is_refusal(code), "{code}");
        }
        // Busy, a broken constraint; a lock time-out, a broken constraint, too many connections, an administrator's stop.
        for code in ["5", "517", "19", "2067", "55P03", "23505", "53300", "57P01"] {
            assert!(!is_refusal(code), "{code}");
        }
    }
}
