//! A database of its own for each test: a new SQLite file, or a new database in the PostgreSQL cluster of `tests/run`.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use noshi::ambient::Ambient;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection, migrate::Migrator};
use tempfile::TempDir;

/// Where `tests/run` says its cluster is.
const URL_VARIABLE: &str = "NOSHI_TEST_POSTGRES_URL";

/// The migrations by themselves, for a database as an earlier release left it: read from the folder, past the program.
pub(crate) async fn migrations(backend: Backend) -> Migrator {
    let folder = match backend {
        Backend::Sqlite => "migrations/sqlite",
        Backend::Postgres => "migrations/postgres",
    };
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).await.unwrap()
}

static COUNT: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A fresh database.
pub(crate) struct Database {
    url: String,
    name: String,
    /// The cluster that it was made in; empty for a file.
    server: String,
    pub(crate) backend: Backend,
    pub(crate) folder: TempDir,
}

impl Database {
    pub(crate) async fn fresh(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = TempDir::new().unwrap();
                let url = format!("sqlite://{}", folder.path().join("noshi.db").display());
                Self { url, name: unique_name(), server: String::new(), backend, folder }
            }
            Backend::Postgres => Self::in_cluster(server_url()).await,
        }
    }

    /// A fresh database that is migrated: a copy of one that the first test migrates.
    pub(crate) async fn migrated(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let this = Self::fresh(backend).await;
                let file = this.folder.path().join("noshi.db");
                fs::copy(template_file().await, &file).unwrap();
                fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
                this
            }
            Backend::Postgres => {
                Self::made_by(server_url(), &format!("TEMPLATE {}", template(&server_url()).await)).await
            }
        }
    }

    /// In a PostgreSQL cluster that a test has for itself.
    pub(crate) async fn in_cluster(server: String) -> Self {
        Self::made_by(server, "").await
    }

    async fn made_by(server: String, how: &str) -> Self {
        let name = unique_name();
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name} {how}"))).await.unwrap();
        let (base, _database) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        Self { url, name, server, backend: Backend::Postgres, folder: TempDir::new().unwrap() }
    }

    /// Migrates as far as this schema and no further.
    pub(crate) async fn migrate_to(&self, schema: i64) {
        let migrations = migrations(self.backend).await;
        match self.backend {
            Backend::Sqlite => {
                File::create(self.url.trim_start_matches("sqlite://")).unwrap();
                migrations.run_to(schema, &mut self.sqlite().await).await.unwrap();
            }
            Backend::Postgres => migrations.run_to(schema, &mut self.postgres().await).await.unwrap(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection for looking at what is stored, past all our code.
    pub(crate) async fn postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// A connection for looking at what is stored, past all our code.
    pub(crate) async fn sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url).await.unwrap()
    }

    /// Runs statements past all our code.
    pub(crate) async fn execute(&self, text: &str) -> Result<u64, sqlx::Error> {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        match self.backend {
            Backend::Sqlite => self.sqlite().await.execute(text).await.map(|done| done.rows_affected()),
            Backend::Postgres => self.postgres().await.execute(text).await.map(|done| done.rows_affected()),
        }
    }

    /// A number that a statement answers, past all our code.
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    pub(crate) async fn number(&self, text: &str) -> i64 {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        match self.backend {
            Backend::Sqlite => sqlx::query_scalar(text).fetch_one(&mut self.sqlite().await).await.unwrap(),
            Backend::Postgres => sqlx::query_scalar(text).fetch_one(&mut self.postgres().await).await.unwrap(),
        }
    }

    /// A text that a statement answers, past all our code.
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    pub(crate) async fn text(&self, text: &str) -> String {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        match self.backend {
            Backend::Sqlite => sqlx::query_scalar(text).fetch_one(&mut self.sqlite().await).await.unwrap(),
            Backend::Postgres => sqlx::query_scalar(text).fetch_one(&mut self.postgres().await).await.unwrap(),
        }
    }

    /// Keeps everyone else from writing rewards; reading goes on.
    pub(crate) async fn hold_writes(&self) -> Hold {
        match self.backend {
            Backend::Sqlite => {
                let mut connection = self.sqlite().await;
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Hold::Sqlite(connection)
            }
            Backend::Postgres => {
                let mut connection = self.postgres().await;
                connection.execute("BEGIN").await.unwrap();
                connection.execute("LOCK TABLE rewards IN SHARE MODE").await.unwrap();
                Hold::Postgres(connection)
            }
        }
    }

    /// Keeps everyone else from reading what says whether the database is migrated, and from the rewards: readiness waits.
    pub(crate) async fn hold_everything(&self) -> Hold {
        let mut connection = self.postgres().await;
        connection.execute("BEGIN").await.unwrap();
        connection.execute("LOCK TABLE _sqlx_migrations, rewards IN ACCESS EXCLUSIVE MODE").await.unwrap();
        Hold::Postgres(connection)
    }

    pub(crate) async fn remove(self) {
        if self.backend == Backend::Postgres {
            let text = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            let mut connection = PgConnection::connect(&self.server).await.unwrap();
            connection.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
        }
    }
}

/// Names what these migrations make: others make another one.
fn template_name(migrations: &Migrator) -> String {
    let checksums = migrations.iter().flat_map(|migration| migration.checksum.iter());
    let version = checksums.fold(0_u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("noshi_template_{version:016x}")
}

/// The migrated SQLite file that others are copied from. It has its name once it is complete; a lock says who makes it.
async fn template_file() -> PathBuf {
    let (folder, migrations) = (Path::new(env!("CARGO_TARGET_TMPDIR")), migrations(Backend::Sqlite).await);
    let file = folder.join(template_name(&migrations)).with_extension("db");
    if !file.exists() {
        let lock = File::create(folder.join("noshi_template.lock")).unwrap();
        // Not on a thread of the runtime: another test of this process may hold the lock, and has to go on.
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
        if !file.exists() {
            let unfinished = file.with_extension("unfinished");
            File::create(&unfinished).unwrap();
            let mut connection =
                SqliteConnection::connect(&format!("sqlite://{}", unfinished.display())).await.unwrap();
            migrations.run(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            fs::rename(unfinished, &file).unwrap();
        }
        lock.unlock().unwrap();
    }
    file
}

/// The migrated database of a cluster that others are copied from, by its name. Each test is a process of its own, so the server
/// says who makes it. It has its name once it is complete.
async fn template(server: &str) -> String {
    let migrations = migrations(Backend::Postgres).await;
    let name = template_name(&migrations);
    let unfinished = format!("{name}_unfinished");
    let mut maker = PgConnection::connect(server).await.unwrap();
    if !is_there(&mut maker, &name).await {
        maker.execute("SELECT pg_advisory_lock(20261126)").await.unwrap();
        if !is_there(&mut maker, &name).await {
            let mut run = async |text: String| maker.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
            run(format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
            run(format!("CREATE DATABASE {unfinished}")).await;
            let (base, _database) = server.rsplit_once('/').unwrap();
            let mut connection = PgConnection::connect(&format!("{base}/{unfinished}")).await.unwrap();
            migrations.run(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            run(format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
        }
    }
    // The lock goes with the connection.
    maker.close().await.unwrap();
    name
}

#[expect(clippy::disallowed_methods, reason = "a look at the cluster past all our code")]
async fn is_there(connection: &mut PgConnection, name: &str) -> bool {
    let text = "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)";
    sqlx::query_scalar(text).bind(name).fetch_one(connection).await.unwrap()
}

/// A lock on the database until it is released.
pub(crate) enum Hold {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Hold {
    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(mut connection) => connection.execute("ROLLBACK").await.map(drop).unwrap(),
            Self::Postgres(mut connection) => connection.execute("ROLLBACK").await.map(drop).unwrap(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests/run tells the cluster by a variable")]
fn server_url() -> String {
    std::env::var(URL_VARIABLE)
        .unwrap_or_else(|_unset| panic!("these tests need PostgreSQL: use tests/run, or set {URL_VARIABLE}"))
}

fn unique_name() -> String {
    let token = Ambient::system().token().unwrap().simple().to_string();
    format!("noshi_{}_{token}", COUNT.fetch_add(1, Ordering::Relaxed))
}
