//! Two databases, one SQL text: SQLite for one process, PostgreSQL for any number of equal replicas.
//!
//! The only room that names `sqlx`. A statement is a [`Sql`] constant in the slice that owns its table, run by the
//! macros here inside an explicit [`Tx`] (`begin` … `commit`) or a [`Snapshot`].
//!
//! Guarantees: a committed transaction survives a crash of the process and of the machine (`synchronous = FULL`,
//! `synchronous_commit = on`); correctness rests on constraints and guarded updates, never on an isolation level; no
//! instant in a row comes from the database's clock but by way of `Ambient` ([`clock`]). Never hold a [`Tx`] over a network call.

pub mod backup;
pub mod clock;
mod metrics;
pub mod migrate;
pub(crate) mod postgres;
pub mod restore;
pub mod sql;
mod sqlite;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgPool, Sqlite, pool::PoolConnection};

use crate::{
    failpoint,
    telemetry::trace::{self, Attribute, Span},
};

pub use metrics::Metrics;
pub use postgres::Link;
pub use sql::{Conn, Sql};
pub(crate) use sql::{execute, fetch_all, fetch_optional, row, statements};

/// How long a request waits for a database connection before it is refused.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// What went wrong in the store. The texts name the statement and never a value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused a statement or could not be reached.
    #[error("the database failed at {statement}")]
    Database {
        /// The statement's name, or what was being done.
        statement: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed.
    #[error("migrating the database failed")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A row says what no row of ours can say.
    #[error("the database is inconsistent: {table}.{column}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The transaction's group could not be committed; whether it was is unknown. Read again.
    #[error("the commit was not confirmed")]
    Unconfirmed,
    /// Too many transactions are waiting; nothing was done.
    #[error("too many transactions are waiting")]
    Busy,
    /// The database is too old or too new for this program.
    #[error("the database's schema is not this program's: {0}")]
    Schema(&'static str),
    /// The database cannot be opened as the settings say.
    #[error("cannot open the database: {0}")]
    Open(String),
    /// The operating system gave no random bytes for an id.
    #[error(transparent)]
    Randomness(#[from] crate::ambient::NoRandomness),
}

impl StoreError {
    pub(crate) fn database(statement: &'static str, source: sqlx::Error) -> Self {
        Self::Database { statement, source }
    }
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// An embedded file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The open database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Inner,
}

#[derive(Clone, Debug)]
enum Inner {
    Sqlite(sqlite::SqliteStore),
    Postgres(PgPool),
}

/// A transaction that may write. Dropping it rolls it back.
pub struct Tx {
    open: OpenTx,
    /// A statement failed: nothing of it may be committed any more.
    failed: bool,
    /// From the wish for it to its end.
    span: Span,
}

enum OpenTx {
    /// One of the transactions that share the next durable commit.
    Sqlite(sqlite::SqliteTx),
    /// A transaction of its own.
    Postgres(Link),
}

/// A connection for reading.
pub enum Snapshot {
    /// A read-only connection of its own, so that reads never wait for the writer.
    Sqlite(PoolConnection<Sqlite>),
    /// Any connection of the pool.
    Postgres(Link),
}

/// Proof that a value came out of a transaction that has committed. What is sent to Amazon asks for one.
#[derive(Debug)]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, taken out.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// A part of what was committed, or another view of it.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Committed<U> {
        Committed(f(self.0))
    }
}

impl<T> Committed<Vec<T>> {
    /// Each of what was committed together.
    pub fn each(self) -> impl Iterator<Item = Committed<T>> {
        self.0.into_iter().map(Committed)
    }
}

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: SecretString,
    /// Connections to PostgreSQL; on SQLite readers (there is one writer).
    pub connections_max: u32,
    /// Refuse to start when another process serves the same SQLite file. Commands that only look leave it off.
    pub exclusive: bool,
}

impl Store {
    /// Opens the database; creates a SQLite file that is not there. Does not migrate.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that names no database of ours or a file another process serves;
    /// [`StoreError::Database`] when it cannot be reached.
    #[expect(clippy::disallowed_methods, reason = "the database's URL is opened where it is used")]
    pub async fn open(options: &Options) -> Result<Self, StoreError> {
        let url = options.url.expose_secret();
        let inner = if let Some(path) = url.strip_prefix("sqlite://") {
            Inner::Sqlite(sqlite::SqliteStore::open(path, options).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Inner::Postgres(postgres::open(url, options.connections_max).await?)
        } else {
            return Err(StoreError::Open("the URL starts with neither sqlite:// nor postgres://".to_owned()));
        };
        Ok(Self { inner })
    }

    /// Which database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self.inner {
            Inner::Sqlite(_) => Backend::Sqlite,
            Inner::Postgres(_) => Backend::Postgres,
        }
    }

    /// Begins a transaction that may write. It holds the write lock from the start on SQLite (`BEGIN IMMEDIATE`): a
    /// lock that is taken later fails at once under load.
    ///
    /// # Errors
    /// [`StoreError`] when there is no connection in time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_in(Span::none()).await
    }

    /// The same, as a part of the current trace by this name.
    ///
    /// # Errors
    /// [`StoreError`], as [`Store::begin`].
    pub async fn begin_as(&self, name: &'static str) -> Result<Tx, StoreError> {
        let span = trace::child(name);
        span.set(Attribute::Database(match self.backend() {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgresql",
        }));
        self.begin_in(span).await
    }

    async fn begin_in(&self, span: Span) -> Result<Tx, StoreError> {
        let open = match &self.inner {
            Inner::Sqlite(store) => store.begin().await.map(OpenTx::Sqlite)?,
            Inner::Postgres(pool) => Link::begin(pool).await.map(OpenTx::Postgres)?,
        };
        Ok(Tx { open, failed: false, span })
    }

    /// A connection for reading committed rows.
    ///
    /// # Errors
    /// [`StoreError`] when there is none in time.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match &self.inner {
            Inner::Sqlite(store) => store.reader().await.map(Snapshot::Sqlite),
            Inner::Postgres(pool) => Link::take(pool).await.map(Snapshot::Postgres),
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.inner {
            Inner::Sqlite(store) => store.close().await,
            Inner::Postgres(pool) => postgres::close(pool).await,
        }
    }
}

/// What a statement that only reads may run on.
pub trait Read: Send {
    /// The connection that the macros run statements on.
    fn conn(&mut self) -> Conn<'_>;
    /// Notes that a statement failed.
    fn fail(&mut self);
}

impl Read for Tx {
    fn conn(&mut self) -> Conn<'_> {
        Self::conn(self)
    }

    fn fail(&mut self) {
        Self::fail(self);
    }
}

impl Read for Snapshot {
    fn conn(&mut self) -> Conn<'_> {
        Self::conn(self)
    }

    fn fail(&mut self) {
        Self::fail(self);
    }
}

impl Tx {
    /// Makes the transaction durable, and only then hands `value` out.
    ///
    /// # Errors
    /// [`StoreError`] when the commit is not confirmed. It may have happened: read again before acting. A transaction in
    /// which a statement failed is rolled back: PostgreSQL would answer its COMMIT with ROLLBACK, which the driver takes
    /// for success, and SQLite would keep a part of it.
    pub async fn commit<T>(self, value: T) -> Result<Committed<T>, StoreError> {
        if self.failed {
            return Err(StoreError::Unconfirmed);
        }
        let Self { open, span, .. } = self;
        match open {
            OpenTx::Sqlite(tx) => tx.commit().await?,
            OpenTx::Postgres(link) => {
                failpoint::pass("store", "before_commit");
                link.commit().await?;
                failpoint::pass("store", "after_commit");
            }
        }
        span.set(Attribute::Committed);
        Ok(Committed(value))
    }

    /// Undoes the transaction. So does dropping it; this keeps a connection to PostgreSQL, which takes longer to open than a
    /// refusal may cost.
    pub async fn undo(self) {
        match self.open {
            OpenTx::Sqlite(tx) => drop(tx),
            OpenTx::Postgres(link) => link.undo().await,
        }
    }

    /// The connection that the macros run statements on.
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match &mut self.open {
            OpenTx::Sqlite(tx) => tx.conn(),
            OpenTx::Postgres(link) => Conn::Postgres(link.conn()),
        }
    }

    /// Notes that a statement failed.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }
}

impl Snapshot {
    /// The connection that the macros run statements on.
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(link) => Conn::Postgres(link.conn()),
        }
    }

    /// A statement failed: there is nothing to lose here.
    pub(crate) fn fail(&mut self) {}
}
