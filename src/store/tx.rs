//! Transactions that may write.

use std::sync::Arc;

use super::{
    Committed, Conn, OpenStore, Sql, Store, StoreError,
    joined::Joined,
    postgres::{JoinedStatement, Link, PostgresStore, Sent},
    sqlite::{JoinedParts, QueuePlace, SqliteStore, SqliteTx},
    writes::Writes,
};
use crate::{
    failpoint,
    telemetry::trace::{self, Attribute, Span},
};

/// A transaction that may write. Dropping it rolls it back.
pub struct Tx {
    open: OpenTx,
    /// A statement failed, so the transaction must not be committed.
    failed: bool,
    writes: Arc<Writes>,
    /// From the call of `begin` to the end of the transaction.
    span: Span,
}

/// It lives on the stack of its caller: a box is one more allocation of each purchase.
enum OpenTx {
    /// One of the transactions that share the next durable commit.
    Sqlite(SqliteTx),
    /// One of them, once it has begun: until then its statements wait.
    SqliteLater(SqliteLater),
    /// A transaction of its own.
    Postgres(PostgresTx),
}

/// How a transaction is begun.
enum TxManner<'k> {
    Steps,
    /// `key` says what it is about.
    Joined {
        key: &'k [u8],
    },
    Alone,
}

/// A transaction on SQLite that has not begun.
struct SqliteLater {
    store: SqliteStore,
    parts: JoinedParts,
    /// Among those who wait for the writer; `None` once it waits no more.
    place: Option<QueuePlace>,
}

impl SqliteLater {
    /// Begins it, because a statement comes that cannot wait.
    async fn begin(&mut self) -> Result<SqliteTx, StoreError> {
        let Some(place) = self.place.take() else { return Err(StoreError::Unconfirmed) };
        let mut tx = self.store.begin_from(place).await?;
        tx.run(std::mem::take(&mut self.parts)).await?;
        Ok(tx)
    }

    async fn commit(self) -> Result<(), StoreError> {
        let Self { store, parts, place } = self;
        let Some(place) = place else { return Err(StoreError::Unconfirmed) };
        store.write_together(parts, place).await
    }
}

/// When the server hears of a transaction.
struct PostgresTx {
    store: PostgresStore,
    /// `None` while nothing is to be sent.
    link: Option<Link>,
    plan: Plan,
}

/// How a transaction's statements reach the server.
enum Plan {
    /// Each by itself, within a transaction that begins with the first.
    Steps,
    /// What can wait is sent together, with the next that cannot wait or with the end.
    Joined(JoinedStatement),
    /// Each by itself, and each is a transaction.
    Alone,
}

impl PostgresTx {
    /// The connection, once whatever comes before the next statement has been sent.
    async fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        let ready = match (&self.link, &self.plan) {
            (None, _) => false,
            (Some(_), Plan::Alone) => true,
            (Some(link), Plan::Steps) => link.in_transaction(),
            (Some(link), Plan::Joined(joined)) => link.in_transaction() && joined.is_empty(),
        };
        if !ready {
            // On the heap: this is a part of every statement's future.
            Box::pin(self.make_ready()).await?;
        }
        self.link.as_mut().ok_or(StoreError::Unconfirmed)?.conn()
    }

    async fn make_ready(&mut self) -> Result<(), StoreError> {
        let link = match &mut self.link {
            Some(link) => link,
            none => none.insert(self.store.take().await?),
        };
        match &mut self.plan {
            Plan::Alone => Ok(()),
            Plan::Steps => link.begin().await,
            Plan::Joined(joined) => {
                if !link.in_transaction() {
                    link.begin().await?;
                }
                send(&joined.take(), link, "joined").await
            }
        }
    }

    /// Ends the transaction. Where all of it is one statement, that is all that is sent.
    async fn commit(self) -> Result<(), StoreError> {
        let Self { store, link, plan } = self;
        let (mut link, joined) = match (link, plan) {
            // Nothing was to be done.
            (None, Plan::Steps | Plan::Alone) => return Ok(()),
            (Some(link), Plan::Steps | Plan::Alone) => (link, None),
            (Some(link), Plan::Joined(joined)) => (link, Some(joined)),
            (None, Plan::Joined(joined)) if joined.is_empty() => return Ok(()),
            (None, Plan::Joined(joined)) => match store.send_together(joined).await? {
                Sent::Committed => return Ok(()),
                Sent::Unmet => return Err(StoreError::Unmet),
                Sent::Alone(joined) => (store.take().await?, Some(joined)),
            },
        };
        if let Some(joined) = joined {
            send(&joined, &mut link, "commit").await?;
        }
        if link.in_transaction() { link.commit().await } else { link.check_answered() }
    }
}

/// Sends what waits for it.
async fn send(joined: &JoinedStatement, link: &mut Link, name: &'static str) -> Result<(), StoreError> {
    if joined.is_empty() {
        return Ok(());
    }
    let sent = joined.send(link, name).await;
    if matches!(sent, Err(StoreError::Unmet)) {
        // The server has answered, and a caller can bring this about as often as they like: the connection is kept.
        link.roll_back().await;
    }
    sent
}

impl Store {
    /// Begins a transaction that may write. On SQLite it holds the write lock from the start (`BEGIN IMMEDIATE`), because
    /// taking the lock later fails at once under load.
    ///
    /// # Errors
    /// [`StoreError`] when there is no connection in time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_in(Span::none(), TxManner::Steps).await
    }

    /// Like [`Store::begin`], as a span of this name in the current trace.
    ///
    /// # Errors
    /// [`StoreError`], as [`Store::begin`].
    pub async fn begin_as(&self, name: &'static str) -> Result<Tx, StoreError> {
        self.begin_in(self.span(name), TxManner::Steps).await
    }

    /// Like [`Store::begin_as`] for a transaction that may be sent as one statement: what it adds with `join!` waits for the end.
    /// Where a statement then touches another number of rows than it must, the commit is [`StoreError::Unmet`], and nothing was
    /// done: begin again with [`Store::begin_as`], which finds out why.
    ///
    /// # Errors
    /// [`StoreError`], as [`Store::begin`].
    ///
    /// Where several wait, those of other callers are sent with it. `key` says what it is about: of two with one key the second waits
    /// for the first.
    pub(crate) async fn begin_joined(&self, name: &'static str, key: &[u8]) -> Result<Tx, StoreError> {
        self.begin_in(self.span(name), TxManner::Joined { key }).await
    }

    /// Like [`Store::begin`] for one statement, or for several of which each may be kept without the others: on PostgreSQL
    /// each is a transaction.
    ///
    /// # Errors
    /// [`StoreError`], as [`Store::begin`].
    pub(crate) async fn begin_alone(&self) -> Result<Tx, StoreError> {
        self.begin_in(Span::none(), TxManner::Alone).await
    }

    fn span(&self, name: &'static str) -> Span {
        let span = trace::child(name);
        span.set(Attribute::Database(match self.inner {
            OpenStore::Sqlite(_) => "sqlite",
            OpenStore::Postgres(_) => "postgresql",
        }));
        span
    }

    async fn begin_in(&self, span: Span, manner: TxManner<'_>) -> Result<Tx, StoreError> {
        self.check_kept()?;
        let begun = match &self.inner {
            OpenStore::Sqlite(store) if matches!(manner, TxManner::Joined { .. }) => {
                let later =
                    |place| SqliteLater { store: store.clone(), parts: JoinedParts::default(), place: Some(place) };
                store.queue().map(|place| OpenTx::SqliteLater(later(place)))
            }
            OpenStore::Sqlite(store) => store.begin().await.map(OpenTx::Sqlite),
            OpenStore::Postgres(store) => {
                let plan = match manner {
                    TxManner::Steps => Plan::Steps,
                    TxManner::Alone => Plan::Alone,
                    TxManner::Joined { key } => Plan::Joined(JoinedStatement::new(store.joined_texts(), key.into())),
                };
                let link = if matches!(plan, Plan::Joined(_)) { Ok(None) } else { store.take().await.map(Some) };
                link.map(|link| OpenTx::Postgres(PostgresTx { store: store.clone(), link, plan }))
            }
        };
        let open = begun.inspect_err(|error| note(&self.writes, error))?;
        Ok(Tx { open, failed: false, writes: Arc::clone(&self.writes), span })
    }
}

impl Tx {
    /// Makes the transaction durable, and then hands `value` out.
    ///
    /// # Errors
    /// [`StoreError::Unmet`] where a joined statement touched another number of rows than it must: nothing was done. Any other
    /// [`StoreError`] when the commit is not confirmed. It may have happened: read again before acting.
    pub async fn commit<T>(self, value: T) -> Result<Committed<T>, StoreError> {
        // PostgreSQL would answer the COMMIT of a failed transaction with ROLLBACK, which the driver takes for success, and
        // SQLite would keep a part of it. Dropping the transaction rolls it back.
        if self.failed {
            return Err(StoreError::Unconfirmed);
        }
        let Self { open, span, writes, .. } = self;
        let committed = match open {
            OpenTx::Sqlite(tx) => tx.commit().await,
            OpenTx::SqliteLater(later) => later.commit().await,
            OpenTx::Postgres(tx) => {
                failpoint::pass("store", "before_commit");
                let committed = tx.commit().await;
                failpoint::pass("store", "after_commit");
                committed
            }
        };
        committed.inspect_err(|error| note(&writes, error))?;
        span.set(Attribute::Committed);
        Ok(Committed(value))
    }

    /// Rolls the transaction back. Dropping does so, too, but closes a connection to PostgreSQL; this keeps it.
    pub async fn undo(self) {
        match self.open {
            OpenTx::Sqlite(tx) => drop(tx),
            OpenTx::SqliteLater(later) => drop(later),
            OpenTx::Postgres(mut tx) => {
                if let Some(link) = &mut tx.link {
                    link.roll_back().await;
                }
            }
        }
    }

    /// This transaction again, unless what was asked for in it is refused: then it is rolled back and its connection kept.
    /// A caller who is refused may ask often. After a statement that failed, the connection may be silent, and is closed.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn or_undo<E>(self, asked: Result<(), E>) -> Result<Self, E> {
        let Err(refused) = asked else { return Ok(self) };
        if !self.failed {
            self.undo().await;
        }
        Err(refused)
    }

    /// The connection that the macros run statements on.
    pub(crate) async fn conn(&mut self) -> Result<Conn<'_>, StoreError> {
        if let OpenTx::SqliteLater(later) = &mut self.open {
            // On the heap: this is a part of every statement's future.
            match Box::pin(later.begin()).await {
                Ok(begun) => self.open = OpenTx::Sqlite(begun),
                Err(error) => {
                    self.failed = true;
                    note(&self.writes, &error);
                    return Err(error);
                }
            }
        }
        let conn = match &mut self.open {
            OpenTx::Sqlite(tx) => Ok(tx.conn()),
            OpenTx::SqliteLater(_) => Err(StoreError::Unconfirmed),
            OpenTx::Postgres(tx) => tx.conn().await,
        };
        conn.inspect_err(|error| {
            self.failed = true;
            note(&self.writes, error);
        })
    }

    /// Whether what `join!` adds waits for the end, so that its effect is not known before.
    pub(crate) const fn joins(&self) -> bool {
        matches!(&self.open, OpenTx::SqliteLater(_) | OpenTx::Postgres(PostgresTx { plan: Plan::Joined(_), .. }))
    }

    /// Where `join!` adds the statement; `None` where it runs at once.
    pub(crate) async fn joined(&mut self, sql: &'static Sql) -> Result<Option<Joined<'_>>, StoreError> {
        // SQLite runs the statements in their order, and each finds what those before it did.
        let meets = match &self.open {
            OpenTx::Postgres(PostgresTx { plan: Plan::Joined(joined), .. }) => joined.meets(sql),
            OpenTx::Postgres(_) | OpenTx::Sqlite(_) | OpenTx::SqliteLater(_) => false,
        };
        if meets {
            self.conn().await?;
        }
        Ok(match &mut self.open {
            OpenTx::Postgres(PostgresTx { plan: Plan::Joined(joined), .. }) => Some(Joined::Postgres(joined)),
            OpenTx::SqliteLater(later) => Some(Joined::Sqlite(&mut later.parts)),
            OpenTx::Postgres(_) | OpenTx::Sqlite(_) => None,
        })
    }

    /// Notes that a statement failed, and how.
    pub(crate) fn fail(&mut self, statement: &'static str, error: sqlx::Error) -> StoreError {
        self.failed = true;
        self.writes.failed(&error);
        StoreError::database(statement, error)
    }

    /// Commits what wrote for sure: from then on the database takes writes.
    ///
    /// # Errors
    /// [`StoreError`], as [`Tx::commit`].
    pub(crate) async fn prove_writes(self) -> Result<(), StoreError> {
        let writes = Arc::clone(&self.writes);
        self.commit(()).await.map(|_done| writes.succeeded())
    }
}

/// Notes what a failed step of a transaction says of the database's writes.
fn note(writes: &Writes, error: &StoreError) {
    if let StoreError::Database { source, .. } = error {
        writes.failed(source);
    }
}
