//! PostgreSQL: a pool, and limits on how long a statement, a lock and an idle transaction may take.

pub(super) mod session;

use std::{
    io,
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Executor, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{runtime::Handle, sync::Mutex};

use self::session::{Identity, SessionError};
use super::{ACQUIRE_TIMEOUT, QUESTION_MAX, StoreError, StoreOptions, TimeLimits};

/// How long a stop waits for connections to be returned. A connection that has gone silent never is.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// How often a connection that the server refuses at its start is tried again, until the time to wait is over.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

impl TimeLimits {
    /// How long the server may work on a statement before it ends it.
    const fn statement(self) -> Duration {
        match self {
            Self::Service => Duration::from_secs(5),
            Self::Question => QUESTION_MAX,
            Self::Operator => Duration::from_secs(3600),
        }
    }

    /// How long an answer may take. The server ends a statement sooner and reports that. If nothing arrives by then, the
    /// network or the server's machine is gone, and the driver itself would wait for ever.
    const fn answer(self) -> Duration {
        self.statement().saturating_add(Duration::from_secs(2))
    }
}

/// The server's pool, and what every connection of it must be like.
#[derive(Clone, Debug)]
pub(super) struct PostgresStore {
    pub(super) pool: PgPool,
    /// For questions, with a shorter time; `None` where they share the connections.
    questions: Option<PgPool>,
    rules: ConnectionRules,
    /// Held by the one who asks why no connection can be had.
    asking: Arc<Mutex<()>>,
}

/// What a connection needs to be of use.
#[derive(Clone, Debug)]
struct ConnectionRules {
    options: Arc<PgConnectOptions>,
    time_limits: TimeLimits,
    /// The database that the first connection led to.
    identity: Arc<OnceLock<Identity>>,
}

impl ConnectionRules {
    /// A connection outside the pool.
    async fn connect(&self) -> Result<PgConnection, SessionError> {
        let mut connection = self.options.connect().await.map_err(SessionError::refused)?;
        self.prepare(&mut connection).await?;
        Ok(connection)
    }

    /// Connections that are made when they are needed, at most so many.
    fn pool(&self, most: u32) -> PgPool {
        let of_each = self.clone();
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _meta| {
                let rules = of_each.clone();
                Box::pin(async move { rules.prepare(connection).await.map_err(SessionError::for_the_pool) })
            })
            .connect_lazy_with(self.options.as_ref().clone())
    }

    /// Sets what promises rest on, reads it back, and looks where the connection leads.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), SessionError> {
        let found = session::prepare(connection, self.time_limits).await?;
        let first = self.identity.get_or_init(|| found.clone());
        if first.is_the_same(&found) { Ok(()) } else { Err(SessionError::AnotherDatabase) }
    }

    /// The first connection. A server that starts, or has no place free, is asked again for as long as a request waits.
    async fn connect_patiently(&self) -> Result<PgConnection, StoreError> {
        let (mut last, started) = (None, tokio::time::sleep(ACQUIRE_TIMEOUT));
        tokio::pin!(started);
        loop {
            let tried = tokio::select! {
                tried = self.connect() => tried,
                () = &mut started => return Err(last.map_or(StoreError::database("connect", sqlx::Error::PoolTimedOut), StoreError::Session)),
            };
            match tried {
                Ok(connection) => return Ok(connection),
                Err(error) if error.may_pass() => last = Some(error),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
    }
}

impl PostgresStore {
    /// Opens the pool. Where no server can be reached, the error says where none was found.
    pub(super) async fn open(url: &str, settings: &StoreOptions) -> Result<Self, StoreError> {
        // The driver's own error may quote the URL, and the password in it.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_error| StoreError::Open("the PostgreSQL URL cannot be read".to_owned()))?
            .application_name("noshi")
            // No statement reads a float, and a pooler refuses the parameter.
            .extra_float_digits(None);
        let address = address(&options);
        Self::connected(options, settings).await.map_err(|error| {
            if is_away(&error) { StoreError::Away { address, source: Box::new(error) } } else { error }
        })
    }

    async fn connected(options: PgConnectOptions, settings: &StoreOptions) -> Result<Self, StoreError> {
        let rules =
            ConnectionRules { options: Arc::new(options), time_limits: settings.time_limits, identity: Arc::default() };
        if settings.time_limits == TimeLimits::Service {
            let mut first = rules.connect_patiently().await?;
            let off = session::not_durable(&mut first).await?;
            if !off.is_empty() {
                tracing::error!(
                    settings.off = off.join(","),
                    "a crash of the server's machine would lose what was answered"
                );
            }
            if settings.connections_max > 1 {
                let second = rules.connect_patiently().await?;
                session::keeps_its_server(first, second).await?;
            }
        }
        let for_questions = settings.questions_max();
        let apart = settings.ends_questions() && settings.connections_max > for_questions;
        let questions = apart.then(|| {
            let rules = ConnectionRules { time_limits: TimeLimits::Question, ..rules.clone() };
            rules.pool(for_questions)
        });
        let for_money =
            if apart { settings.connections_max.saturating_sub(for_questions) } else { settings.connections_max };
        let store = Self { pool: rules.pool(for_money), questions, rules, asking: Arc::default() };
        // The first connection says whether there will be any.
        drop(store.take().await?);
        Ok(store)
    }

    /// What the server does not do for a commit to outlive a crash of its machine.
    pub(super) async fn not_durable(&self) -> Result<Vec<&'static str>, StoreError> {
        session::not_durable(&mut self.take().await?.connection).await
    }

    /// Takes a connection out of the pool, or opens one.
    pub(super) async fn take(&self) -> Result<Link, StoreError> {
        self.take_of(&self.pool, self.rules.time_limits).await
    }

    /// The same for a question.
    pub(super) async fn take_for_question(&self) -> Result<Link, StoreError> {
        match &self.questions {
            Some(pool) => self.take_of(pool, TimeLimits::Question).await,
            None => self.take().await,
        }
    }

    async fn take_of(&self, pool: &PgPool, time_limits: TimeLimits) -> Result<Link, StoreError> {
        match pool.acquire().await {
            Ok(connection) => Ok(Link { connection, time_limits, in_transaction: false }),
            Err(sqlx::Error::PoolTimedOut) if pool.size() < pool.options().get_max_connections() => {
                Err(self.reason().await)
            }
            Err(error) => Err(SessionError::refused(error).into()),
        }
    }

    /// Why the pool could open no connection in time: it does not keep the server's answer, so one of those who wait asks.
    async fn reason(&self) -> StoreError {
        let timed_out = || StoreError::database("acquire", sqlx::Error::PoolTimedOut);
        let Ok(_asking) = self.asking.try_lock() else { return timed_out() };
        match tokio::time::timeout(ACQUIRE_TIMEOUT, self.rules.connect()).await {
            Ok(Err(error)) => error.into(),
            // It can be had again, or nothing answers.
            Ok(Ok(_)) | Err(_) => timed_out(),
        }
    }

    /// Takes a connection, and begins a transaction on it.
    pub(super) async fn begin(&self) -> Result<Link, StoreError> {
        let mut link = self.take().await?;
        // Set before the statement: the transaction may have begun although its answer was lost.
        link.in_transaction = true;
        link.run("BEGIN").await.map_err(|error| StoreError::database("begin", error))?;
        Ok(link)
    }

    /// Closes the connections that still answer.
    pub(super) async fn close(&self) {
        let closed = async {
            let questions = async {
                if let Some(pool) = &self.questions {
                    pool.close().await;
                }
            };
            tokio::join!(self.pool.close(), questions)
        };
        if tokio::time::timeout(CLOSE_MAX, closed).await.is_err() {
            tracing::warn!("a connection to the database was not given back; left to the server");
        }
    }
}

/// Where the server should be, as an operator looks for it. Neither role nor password is part of it.
fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("{} (port {})", folder.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Whether no server was reached, and not one that refuses.
fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Session(SessionError::Refused(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut))
            | StoreError::Database { source: sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, .. }
    )
}

/// A connection that was taken out of the pool, with or without a transaction.
///
/// A connection that still answers goes back; any other is closed, and the pool opens a new one. The driver's own return
/// asks the connection whether it is alive, and waits for ever if it has gone silent, so the pool would shrink to nothing. A
/// transaction that was not committed is closed with its connection, so that its locks are free at once.
pub struct Link {
    connection: PoolConnection<Postgres>,
    time_limits: TimeLimits,
    in_transaction: bool,
}

impl Link {
    async fn run(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        let answer_max = self.time_limits.answer();
        in_time(answer_max, self.connection.execute(text)).await.map(drop)
    }

    /// Commits. Without an answer it is unknown whether the transaction is committed.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.run("COMMIT").await.map_err(|error| StoreError::database("commit", error))?;
        self.in_transaction = false;
        Ok(())
    }

    /// Rolls the transaction back, so that the connection returns to the pool.
    pub(super) async fn undo(mut self) {
        self.in_transaction = self.run("ROLLBACK").await.is_err();
    }

    /// The connection that statements run on.
    pub fn conn(&mut self) -> super::Conn<'_> {
        super::Conn::Postgres { connection: &mut self.connection, answer_max: self.time_limits.answer() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.in_transaction {
            self.connection.close_on_drop();
        } else if let Ok(runtime) = Handle::try_current() {
            let back = tokio::time::timeout(TimeLimits::Service.answer(), self.connection.return_to_pool());
            drop(runtime.spawn(back));
        }
    }
}

/// Waits for an answer, at most as long as one can still come.
pub(crate) async fn in_time<T>(
    answer_max: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_elapsed| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    tokio::time::timeout(answer_max, answer).await.map_err(silent)?
}
