//! PostgreSQL: a pool, and limits on how long a statement, a lock and an idle transaction may take.

mod joined;
mod link;
mod pool;
pub(super) mod session;
mod texts;
mod together;
mod values;

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use deadpool::managed::{Pool, PoolError, QueueMode};
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use tokio::runtime::Handle;

use self::{
    pool::Connections,
    session::{Identity, SessionError},
    texts::JoinedTexts,
    together::Together,
};
use super::{ACQUIRE_TIMEOUT, QUESTION_MAX, StoreError, StoreOptions, TimeLimits};

pub(crate) use joined::JoinedStatement;
pub use link::Answering;
pub(crate) use link::Link;
pub use texts::text_of_several;
pub(super) use together::Sent;

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
    pool: Pool<Connections>,
    /// For questions, with a shorter time; `None` where they share the connections.
    questions: Option<Pool<Connections>>,
    rules: ConnectionRules,
    joined_texts: Arc<JoinedTexts>,
    together: Arc<Together>,
    runtime: Handle,
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
    fn pool(&self, most: u32) -> Result<Pool<Connections>, StoreError> {
        let most = usize::try_from(most).unwrap_or(1);
        // The one that was used last comes next: it is the one that need not be asked whether it is alive.
        let pool = Pool::builder(Connections::new(self.clone())).max_size(most).queue_mode(QueueMode::Lifo).build();
        pool.map_err(|error| StoreError::Open(error.to_string()))
    }

    /// Sets what promises rest on, reads it back, and looks where the connection leads.
    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), SessionError> {
        let found = session::prepare(connection, self.time_limits).await?;
        let first = self.identity.get_or_init(|| found.clone());
        if first.is_the_same(&found) { Ok(()) } else { Err(SessionError::AnotherDatabase) }
    }

    async fn connect_patiently(&self) -> Result<PgConnection, StoreError> {
        Box::pin(patiently(|| async { self.connect().await.map_err(Unconnected::Refused) })).await
    }
}

/// Why there is no connection.
enum Unconnected {
    /// The server, or what leads to it, refuses one.
    Refused(SessionError),
    /// All are in use, or the pool is closed.
    None(sqlx::Error),
}

/// Asks for a connection. A server that starts, or has no place free, is asked again for as long as a request waits.
async fn patiently<C, F>(connect: impl Fn() -> F) -> Result<C, StoreError>
where
    F: Future<Output = Result<C, Unconnected>>,
{
    let (mut last, ended) = (None, tokio::time::sleep(ACQUIRE_TIMEOUT));
    tokio::pin!(ended);
    loop {
        let tried = tokio::select! {
            tried = connect() => tried,
            () = &mut ended => return Err(last.map_or(StoreError::database("acquire", sqlx::Error::PoolTimedOut), StoreError::Session)),
        };
        match tried {
            Ok(connection) => return Ok(connection),
            Err(Unconnected::Refused(error)) if error.may_pass() => last = Some(error),
            Err(Unconnected::Refused(error)) => return Err(error.into()),
            Err(Unconnected::None(error)) => return Err(StoreError::database("acquire", error)),
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
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
        let of_questions = ConnectionRules { time_limits: TimeLimits::Question, ..rules.clone() };
        let questions = if apart { Some(of_questions.pool(for_questions)?) } else { None };
        let for_money =
            if apart { settings.connections_max.saturating_sub(for_questions) } else { settings.connections_max };
        let store = Self {
            pool: rules.pool(for_money)?,
            questions,
            rules,
            joined_texts: Arc::default(),
            together: Arc::default(),
            runtime: Handle::current(),
        };
        // The first connection says whether there will be any.
        drop(store.take().await?);
        Ok(store)
    }

    /// What the server does not do for a commit to outlive a crash of its machine.
    pub(super) async fn not_durable(&self) -> Result<Vec<&'static str>, StoreError> {
        session::not_durable(self.take().await?.parts()?.0).await
    }

    /// A connection outside the pool.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        self.rules.connect_patiently().await
    }

    /// Takes a connection out of the pool, or opens one.
    pub(super) async fn take(&self) -> Result<Link, StoreError> {
        take_of(&self.pool, self.rules.time_limits).await
    }

    /// The same for a question.
    pub(super) async fn take_for_question(&self) -> Result<Link, StoreError> {
        match &self.questions {
            Some(pool) => take_of(pool, TimeLimits::Question).await,
            None => self.take().await,
        }
    }

    /// The joined statements' texts so far.
    pub(super) fn joined_texts(&self) -> Arc<JoinedTexts> {
        Arc::clone(&self.joined_texts)
    }

    /// Closes the connections that nobody uses; the others close when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
        if let Some(questions) = &self.questions {
            questions.close();
        }
    }
}

/// Takes a connection out of a pool, or opens one.
async fn take_of(pool: &Pool<Connections>, time_limits: TimeLimits) -> Result<Link, StoreError> {
    let connection = patiently(|| async {
        pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Unconnected::Refused(error),
            PoolError::Closed => Unconnected::None(sqlx::Error::PoolClosed),
            PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Unconnected::None(sqlx::Error::PoolTimedOut)
            }
        })
    });
    Ok(Link::new(connection.await?, time_limits))
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
