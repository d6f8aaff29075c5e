//! Two databases, one SQL text: SQLite for one process, PostgreSQL for any number of equal replicas.
//!
//! The only room that names `sqlx`. A statement is a [`Sql`] constant in the room that owns its table; the macros of
//! [`sql`] run it inside an explicit [`Tx`] (`begin` … `commit`) or a [`Snapshot`].
//!
//! 1. A committed transaction survives a crash of the process and of the machine (`synchronous = FULL`,
//!    `synchronous_commit = on`, which is read back on each new connection).
//! 2. Correctness rests on constraints and guarded updates, never on an isolation level.
//! 3. Every instant in a row comes from `Ambient`, which follows the database's clock ([`clock`]). No statement writes the
//!    database's own clock into a row.
//! 4. No caller holds a [`Tx`] while it waits for the network: a lock would last as long as the answer takes.
//! 5. What a transaction knows beforehand of its statements, it sends together (`begin_joined`, `join!`). Another number of rows
//!    than that is [`StoreError::Unmet`]: nothing was done, and the caller begins again step by step.
//! 6. Where such transactions of several callers wait, PostgreSQL is sent them as one statement (`postgres/together.rs`), and SQLite's
//!    writer does each as one in a common turn (`sqlite/together.rs`). Look-ups that each purchase makes are asked together in the same way,
//!    on both databases (`gather.rs`).

pub mod backup;
pub mod clock;
mod embedded;
mod error;
pub(crate) mod feed;
mod gather;
mod joined;
mod metrics;
pub mod migrate;
pub(crate) mod postgres;
pub mod restore;
pub mod sql;
mod sqlite;
mod trusted_file;
mod tx;
mod writes;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Sqlite, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use writes::Writes;

use crate::lifecycle::workplaces::Outside;

pub use error::StoreError;
use error::is_ended;
pub(crate) use gather::{FoundRows, Gather};
pub use metrics::Metrics;
pub use postgres::{Answering, session::SessionError, text_of_several};
pub use sql::{Conn, ForSeveral, Sql};
pub(crate) use sql::{execute, fetch_all, fetch_optional, join, row, statements};
pub use tx::Tx;

/// How long a request waits for a database connection before it is refused.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Questions may have one of so many connections.
const QUESTIONS_SHARE: u32 = 4;

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
    inner: OpenStore,
    /// Why the database is taken for lost until the next start, once that was found out.
    lost: Arc<OnceLock<&'static str>>,
    writes: Arc<Writes>,
    /// The places of questions.
    questions: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
enum OpenStore {
    Sqlite(sqlite::SqliteStore),
    Postgres(postgres::PostgresStore),
}

row! {
    /// The row of a statement that asks for one instant, such as the youngest of a table; `None` when there is none.
    pub(crate) struct InstantRow { pub(crate) at: Option<DateTime<Utc>> }
}

/// A connection for reading.
pub struct Snapshot {
    open: OpenSnapshot,
    /// Of a question: free for the next one once this one is answered.
    place: Option<OwnedSemaphorePermit>,
    /// Of a question: it has connections of its own, and takes nothing from keys and money but those.
    _outside: Option<Outside>,
}

enum OpenSnapshot {
    /// A read-only connection of its own, so that reads never wait for the writer.
    Sqlite(PoolConnection<Sqlite>),
    /// One for questions, which ends them in time.
    SqliteQuestion(sqlite::question::Question),
    /// Any connection of the pool.
    Postgres(postgres::Link),
}

/// Proof that a value comes from a transaction that has committed. Sending to Amazon takes such a proof, so that no request
/// can leave before its record is on the disk.
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
pub struct StoreOptions {
    /// `sqlite://PATH` or `postgres://…`.
    pub url: SecretString,
    /// On PostgreSQL connections, on SQLite readers (there is one writer).
    pub connections_max: u32,
    /// Refuse to open a SQLite file that another process serves. Commands that only read leave it off.
    pub exclusive: bool,
    /// Make a SQLite file that is not there. Only who migrates it next sets this: an empty file is of use to nobody else.
    pub create: bool,
    /// How long a statement may take.
    pub time_limits: TimeLimits,
    /// How long to wait for the process before this one to let go of a SQLite file. It may be draining.
    pub lock_wait: Duration,
}

impl StoreOptions {
    /// For a command: it uses what is there, beside whoever serves it.
    #[must_use]
    pub const fn of_command(url: SecretString, connections_max: u32) -> Self {
        let (time_limits, lock_wait) = (TimeLimits::Operator, Duration::ZERO);
        Self { url, connections_max, exclusive: false, create: false, time_limits, lock_wait }
    }

    /// How many of the connections are for questions.
    fn questions_max(&self) -> u32 {
        self.connections_max.div_euclid(QUESTIONS_SHARE).max(1)
    }

    /// Whether questions are ended in time. A command may take what it needs.
    fn ends_questions(&self) -> bool {
        self.time_limits == TimeLimits::Service
    }
}

/// How long a question of a caller may take. Every list has an index for whatever it offers; this is for what nobody thought of.
const QUESTION_MAX: Duration = Duration::from_secs(2);

/// How long a statement may take, by who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimits {
    /// A caller waits, and others behind: seconds.
    Service,
    /// A caller waits for a page, and others for the connection.
    Question,
    /// An operator waits for a command, maybe on a large database and a cold disk: an hour.
    Operator,
}

impl Store {
    /// Opens the database. Does not migrate.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL with another scheme, a file that is not there, or one that another process serves;
    /// [`StoreError::Database`] when the database cannot be reached.
    #[expect(clippy::disallowed_methods, reason = "the database's URL is opened where it is used")]
    pub async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        let url = options.url.expose_secret();
        let writes = Arc::<Writes>::default();
        let inner = if let Some(path) = url.strip_prefix("sqlite://") {
            OpenStore::Sqlite(sqlite::SqliteStore::open(path, options, &writes).await?)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            OpenStore::Postgres(postgres::PostgresStore::open(url, options).await?)
        } else {
            return Err(StoreError::Open("the URL starts with neither sqlite:// nor postgres://".to_owned()));
        };
        let questions = options.questions_max();
        let questions = Arc::new(Semaphore::new(usize::try_from(questions).unwrap_or(1)));
        Ok(Self { inner, lost: Arc::default(), writes, questions })
    }

    /// Which database it is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        match self.inner {
            OpenStore::Sqlite(_) => Backend::Sqlite,
            OpenStore::Postgres(_) => Backend::Postgres,
        }
    }

    /// Takes the database for lost from now on: nothing is read or written until the next start.
    pub(crate) fn lose(&self, why: &'static str) {
        self.lost.get_or_init(|| why);
    }

    /// Whether the last write that says something of it found that the database takes none.
    #[must_use]
    pub(crate) fn refuses_writes(&self) -> bool {
        self.writes.are_refused()
    }

    fn check_kept(&self) -> Result<(), StoreError> {
        self.lost.get().map_or(Ok(()), |why| Err(StoreError::Lost((*why).to_owned())))
    }

    /// A connection for reading committed rows.
    ///
    /// # Errors
    /// [`StoreError`] when there is none in time.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(None).await
    }

    /// A connection for what a caller can make dear: lists, pages, sums. A few connections are for questions, so that the others
    /// are there for keys and money, whatever is asked. A question that takes too long is ended.
    ///
    /// # Errors
    /// [`StoreError::Busy`] where other questions have these for too long; as [`Store::snapshot`]. What is asked then fails with
    /// [`StoreError::TooCostly`].
    pub async fn question(&self) -> Result<Snapshot, StoreError> {
        self.question_within(ACQUIRE_TIMEOUT).await
    }

    /// The same for whoever can wait so long for a place.
    ///
    /// # Errors
    /// As [`Store::question`].
    pub(crate) async fn question_within(&self, patience: Duration) -> Result<Snapshot, StoreError> {
        let outside = Outside::step_out();
        let place = tokio::time::timeout(patience, Arc::clone(&self.questions).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(StoreError::Busy) };
        let question = self.read(Some(place)).await?;
        Ok(Snapshot { _outside: Some(outside), ..question })
    }

    async fn read(&self, place: Option<OwnedSemaphorePermit>) -> Result<Snapshot, StoreError> {
        self.check_kept()?;
        let open = match (&self.inner, &place) {
            (OpenStore::Sqlite(store), None) => store.reader().await.map(OpenSnapshot::Sqlite),
            (OpenStore::Sqlite(store), Some(_)) => store.question().await.map(OpenSnapshot::SqliteQuestion),
            (OpenStore::Postgres(store), None) => store.take().await.map(OpenSnapshot::Postgres),
            (OpenStore::Postgres(store), Some(_)) => store.take_for_question().await.map(OpenSnapshot::Postgres),
        };
        Ok(Snapshot { open: open?, place, _outside: None })
    }

    /// What the database does not do for a commit to outlive a crash of its machine: settings of a PostgreSQL server. SQLite
    /// is opened in the one way that loses nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be asked.
    pub(crate) async fn not_durable(&self) -> Result<Vec<&'static str>, StoreError> {
        match &self.inner {
            OpenStore::Sqlite(_) => Ok(Vec::new()),
            OpenStore::Postgres(store) => store.not_durable().await,
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.inner {
            OpenStore::Sqlite(store) => store.close().await,
            OpenStore::Postgres(store) => store.close(),
        }
    }
}

/// What a statement that only reads may run on.
pub trait Read: Send {
    /// The connection that the macros run statements on.
    ///
    /// # Errors
    /// [`StoreError`] where it is of no use.
    fn conn(&mut self) -> impl Future<Output = Result<Conn<'_>, StoreError>> + Send;
    /// Notes that a statement failed, and says what that means here.
    fn fail(&mut self, statement: &'static str, error: sqlx::Error) -> StoreError;
}

impl Read for Tx {
    async fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        Self::conn(self).await
    }

    fn fail(&mut self, statement: &'static str, error: sqlx::Error) -> StoreError {
        Self::fail(self, statement, error)
    }
}

impl Read for Snapshot {
    async fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        Self::conn(self).await
    }

    fn fail(&mut self, statement: &'static str, error: sqlx::Error) -> StoreError {
        Self::fail(self, statement, error)
    }
}

impl Snapshot {
    /// The connection that the macros run statements on.
    #[expect(clippy::unused_async, reason = "the macros wait for a transaction's connection")]
    pub(crate) async fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        match &mut self.open {
            OpenSnapshot::Sqlite(connection) => Ok(Conn::Sqlite(connection)),
            OpenSnapshot::SqliteQuestion(question) => Ok(Conn::Sqlite(question.connection())),
            OpenSnapshot::Postgres(link) => link.conn(),
        }
    }

    /// A statement failed: a reader has nothing to roll back, and says nothing of writes. A question may have been ended.
    pub(crate) fn fail(&mut self, statement: &'static str, error: sqlx::Error) -> StoreError {
        if self.place.is_some() && is_ended(&error) {
            return StoreError::TooCostly { statement };
        }
        StoreError::database(statement, error)
    }
}
