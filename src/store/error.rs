//! What goes wrong in the store, and what that says of the database.

use std::sync::Arc;

use super::{SessionError, writes::is_refused};

/// PostgreSQL's code for a statement that took too long.
const ENDED: &str = "57014";
/// SQLite's, for one that its progress handler ended.
const INTERRUPTED: u32 = 9;

/// What went wrong in the store. The texts name the statement, never a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused a statement or could not be reached.
    #[error("the database failed at {statement}")]
    Database {
        /// The statement's name, or the step.
        statement: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed.
    #[error("migrating the database failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A row holds what this program never writes.
    #[error("the database is inconsistent: {table}.{column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// It is unknown whether the transaction was committed. Read again before acting.
    #[error("the commit was not confirmed")]
    Unconfirmed,
    /// A joined statement touched another number of rows than it must; nothing was done.
    #[error("the rows are others than the transaction counted on")]
    Unmet,
    /// Too many transactions wait for the writer, or too many questions for their connections; nothing was done.
    #[error("too much is waiting for the database")]
    Busy,
    /// A question took longer than one may, and was ended.
    #[error("a question took too long at {statement}")]
    TooCostly {
        /// The statement's name.
        statement: &'static str,
    },
    /// The database is too old or too new for this program.
    #[error("the database's schema is not this program's: {0}")]
    Schema(&'static str),
    /// A migration failed, because the database's role may not change the schema.
    #[error("this role may not change the schema: run the command as the role that owns the tables")]
    NotOwner,
    /// The database cannot be opened as the settings say.
    #[error("cannot open the database: {0}")]
    Open(String),
    /// The database is not the one that was opened: it was deleted, replaced, or set back to an older copy.
    #[error("the database was removed or replaced while it was open: {0}")]
    Lost(String),
    /// Nothing can be reached where the settings say that PostgreSQL is.
    #[error("PostgreSQL does not answer at {address}")]
    Away {
        /// Host and port, or the socket's folder: nothing that is secret.
        address: String,
        /// Why not.
        #[source]
        source: Box<Self>,
    },
    /// A connection to PostgreSQL cannot be had, or promises cannot rest on it.
    #[error("the database gives no connection that can be used")]
    Session(#[from] SessionError),
    /// The audit is chained by keys, and the settings list none: a record without one could be anybody's.
    #[error(
        "the audit is chained by keys, and the settings list none: list a key in sealing.keys, as the service has one"
    )]
    Unaudited,
    /// A question that was asked for several callers at once went wrong.
    #[error(transparent)]
    Together(Arc<Self>),
    /// The operating system gave no random bytes for an id.
    #[error(transparent)]
    Randomness(#[from] crate::ambient::NoRandomness),
}

impl StoreError {
    pub(crate) fn database(statement: &'static str, source: sqlx::Error) -> Self {
        Self::Database { statement, source }
    }

    /// What went wrong, whoever was to hear of it.
    pub(crate) fn of_each(&self) -> &Self {
        if let Self::Together(error) = self { error } else { self }
    }

    /// Whether the database that was opened is there no more.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self.of_each(), Self::Lost(_) | Self::Session(SessionError::AnotherDatabase))
    }

    /// Whether the database says that it takes no writes, whatever the statement is.
    pub(crate) fn is_about_all_writes(&self) -> bool {
        matches!(self.of_each(), Self::Database { source, .. } if is_refused(source))
    }

    /// Whether the database works, and would fail in the same way again: because of what is in a row, or of what was to be
    /// written there.
    #[must_use]
    pub(crate) fn is_about_the_row(&self) -> bool {
        match self.of_each() {
            Self::Database { source: sqlx::Error::Database(error), .. } => {
                error.code().is_some_and(|code| is_about_data(&code))
            }
            Self::Database { source: sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), .. }
            | Self::Inconsistent { .. } => true,
            Self::Database { .. }
            | Self::Migrate(_)
            | Self::Unconfirmed
            | Self::Unmet
            | Self::Busy
            | Self::TooCostly { .. }
            | Self::Schema(_)
            | Self::NotOwner
            | Self::Open(_)
            | Self::Lost(_)
            | Self::Away { .. }
            | Self::Session(_)
            | Self::Unaudited
            | Self::Together(_)
            | Self::Randomness(_) => false,
        }
    }
}

/// Whether the database ended the statement, because it took too long.
pub(super) fn is_ended(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == ENDED || code.parse() == Ok(INTERRUPTED))
}

/// Classes of PostgreSQL's codes: a bad value, a broken constraint, what a trigger raises, a row that is damaged.
const ABOUT_DATA: [&str; 4] = ["22", "23", "P0", "XX"];
/// SQLite's codes: too large a value, a broken constraint or what a trigger raises, a value of the wrong type.
const ABOUT_DATA_SQLITE: [u32; 3] = [18, 19, 20];

/// SQLite's codes have up to four digits, the lowest byte of which is the kind; PostgreSQL's have five characters.
fn is_about_data(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => ABOUT_DATA_SQLITE.contains(&(number & 0xff)),
        _ => ABOUT_DATA.iter().any(|class| code.starts_with(class)),
    }
}
