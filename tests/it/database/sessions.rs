//! What a connection to PostgreSQL must be like, behind poolers and under roles with settings of their own: what promises rest on
//! is set and read back, or the connection is refused, and the reason is said.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use noshi::{
    bootstrap::{self, Opening},
    config::Settings,
    kernel::Chain,
    store::{Conn, Read, Store, migrate::schema},
};
use sqlx::Connection;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::support::{Answer, App, Backend, Database, wait::until};

/// Where `tests/run` says that pgbouncer is.
const PROGRAM_VARIABLE: &str = "NOSHI_TEST_PGBOUNCER";

/// A running PgBouncer, on a socket of its own.
struct Pooler {
    process: Child,
    folder: TempDir,
}

impl Pooler {
    /// In front of the database's server, to which it connects under this role.
    async fn start(database: &Database, role: &str, settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // Run by root, it becomes another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (server, _name) = database.url().rsplit_once('/').unwrap();
        let (host, port) = server.rsplit_once('@').unwrap().1.split_once(':').unwrap();
        let shown = folder.path().display();
        let text = format!(
            "[databases]\n* = host={host} port={port} user={role}\n[pgbouncer]\nlisten_addr =\nlisten_port = 5432\n\
             unix_socket_dir = {shown}\nauth_type = any\n{settings}\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program());
        if rustix_is_root() {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&file).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let pooler = Self { process, folder };
        let socket = pooler.folder.path().join(".s.PGSQL.5432");
        until("pgbouncer listens", async || UnixStream::connect(&socket).await.is_ok()).await;
        pooler
    }

    fn url(&self, database: &Database, more: &str) -> String {
        let name = database.url().rsplit_once('/').unwrap().1;
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://noshi@{folder}/{name}{more}")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

#[expect(clippy::disallowed_methods, reason = "tests/run tells the program by a variable")]
fn program() -> String {
    std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_unset| {
        let found = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pgbouncer")).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

/// A role of the test's own, with settings that undo what promises rest on.
async fn role(database: &Database, rights: &str, settings: &[&str]) -> String {
    let name = format!("{}_role", database.url().rsplit_once('/').unwrap().1);
    database.execute(&format!("CREATE ROLE {name} LOGIN {rights}")).await.unwrap();
    for setting in settings {
        database.execute(&format!("ALTER ROLE {name} SET {setting}")).await.unwrap();
    }
    name
}

async fn remove(database: Database, role: &str) {
    let server = database.url().rsplit_once('/').unwrap().0.to_owned();
    database.remove().await;
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let text = format!("DROP ROLE {role}");
    sqlx::Executor::execute(&mut connection, sqlx::AssertSqlSafe(text)).await.unwrap();
}

const HOSTILE: [&str; 6] = [
    "synchronous_commit = off",
    "statement_timeout = 0",
    "default_transaction_isolation = serializable",
    "default_transaction_read_only = on",
    "standard_conforming_strings = off",
    "TimeZone = 'Asia/Tokyo'",
];

async fn open(url: &str, why: Opening) -> Result<Store, String> {
    let variables = [("NOSHI__STORE__URL".to_owned(), url.to_owned())];
    let settings = Settings::load(None, variables).unwrap();
    bootstrap::open_store(&settings.store, why).await.map_err(|error| Chain(&error).to_string())
}

/// A setting, as a connection of the store has it.
#[expect(clippy::disallowed_methods, reason = "a look at the connection past all our code")]
async fn setting(store: &Store, name: &str) -> String {
    let mut snapshot = store.snapshot().await.unwrap();
    let Conn::Postgres { connection, .. } = Read::conn(&mut snapshot).await.unwrap() else {
        panic!("another database")
    };
    sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(connection).await.unwrap()
}

/// What every connection must have.
async fn holds(store: &Store) {
    for (name, wanted) in [
        ("synchronous_commit", "on"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("default_transaction_isolation", "read committed"),
        ("default_transaction_read_only", "off"),
        ("standard_conforming_strings", "on"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(setting(store, name).await, wanted, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_durable_whatever_a_role_and_a_pooler_of_sessions_say() {
    let mut app = App::spawn(Backend::Postgres).await;
    let role = role(&app.database, "SUPERUSER", &HOSTILE).await;
    let url = app.database.url().to_owned();
    let direct = url.replace("//noshi@", &format!("//{role}@"));
    let store = open(&direct, Opening::Serve).await.unwrap();
    holds(&store).await;
    store.close().await;
    for dropped in ["", "ignore_startup_parameters = options,extra_float_digits"] {
        let pooler = Pooler::start(&app.database, &role, &format!("pool_mode = session\n{dropped}")).await;
        let behind = pooler.url(&app.database, "");
        let store = open(&behind, Opening::Serve).await.unwrap();
        holds(&store).await;
        store.close().await;
        app.restart_with("NOSHI__STORE__URL", &behind).await;
        assert_eq!(app.issue(&format!("key{}", dropped.len()), "1.00").await.status, 201);
        app.restart_with("NOSHI__STORE__URL", &url).await;
    }
    assert!(app.stop().await);
    let database = std::mem::replace(&mut app.database, Database::fresh(Backend::Sqlite).await);
    remove(database, &role).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_keeps_no_session_is_refused_by_name() {
    let database = Database::fresh(Backend::Postgres).await;
    for more in ["", "server_round_robin = 1", "ignore_startup_parameters = options,extra_float_digits"] {
        let pooler = Pooler::start(&database, "noshi", &format!("pool_mode = transaction\n{more}")).await;
        let refused = open(&pooler.url(&database, ""), Opening::Serve).await.unwrap_err();
        assert!(refused.contains("pool_mode = session"), "{more}: {refused}");
    }
    // What a pooler does not take is named, with the way out.
    let pooler = Pooler::start(&database, "noshi", "pool_mode = session").await;
    let refused = open(&pooler.url(&database, "?options=-cgeqo%3Doff"), Opening::Use).await.unwrap_err();
    assert!(
        refused.contains("start-up parameter options") && refused.contains("ignore_startup_parameters"),
        "{refused}"
    );
    drop(pooler);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_under_which_no_trigger_fires_is_refused() {
    let database = Database::fresh(Backend::Postgres).await;
    let role = role(&database, "SUPERUSER", &["session_replication_role = replica"]).await;
    let url = database.url().replace("//noshi@", &format!("//{role}@"));
    let refused = open(&url, Opening::Use).await.unwrap_err();
    assert!(refused.contains("session_replication_role = replica"), "{refused}");
    remove(database, &role).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_the_bad_day_has_an_hour_for_a_statement() {
    let database = Database::fresh(Backend::Postgres).await;
    let store = open(database.url(), Opening::Use).await.unwrap();
    for (name, wanted) in [("statement_timeout", "1h"), ("lock_timeout", "1min"), ("synchronous_commit", "on")] {
        assert_eq!(setting(&store, name).await, wanted, "{name}");
    }
    store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_the_server_refuses_a_connection_is_said() {
    let mut app = App::spawn(Backend::Postgres).await;
    let role = role(&app.database, "", &[]).await;
    let url = app.database.url().to_owned();
    for missing in [url.replace("//noshi@", "//nobody_of_ours@"), format!("{url}_missing")] {
        let refused = open(&missing, Opening::Serve).await.unwrap_err();
        assert!(refused.contains("refuses the connection") && refused.contains("does not exist"), "{refused}");
    }
    let direct = url.replace("//noshi@", &format!("//{role}@"));
    let none_left = format!("ALTER ROLE {role} CONNECTION LIMIT 0");
    app.database.execute(&none_left).await.unwrap();
    let refused = open(&direct, Opening::Serve).await.unwrap_err();
    assert!(refused.contains("too many connections for role"), "{refused}");
    // The same while the service runs: a pool would only say that time is up.
    app.database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 40")).await.unwrap();
    app.database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    app.restart_with("NOSHI__STORE__MIGRATE_ON_START", "false").await;
    app.restart_with("NOSHI__STORE__URL", &direct).await;
    assert_eq!(app.issue("before", "1.00").await.status, 201);
    app.database.execute(&none_left).await.unwrap();
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    app.database.execute(&cut).await.unwrap();
    until("the probe says why", async || {
        let ready = Answer::of(app.http.get(format!("{}/readyz", app.admin))).await;
        ready.status == 503 && ready.text.contains("refuses the connection")
    })
    .await;
    app.database.execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 40")).await.unwrap();
    until("it goes on", async || app.try_issue("after", "1.00").await.is_some_and(|answer| answer.status == 201)).await;
    app.restart_with("NOSHI__STORE__URL", &url).await;
    app.database.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
    app.database.execute(&format!("DROP ROLE {role}")).await.unwrap();
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_under_the_same_address_is_not_written_to() {
    let database = Database::fresh(Backend::Postgres).await;
    let store = open(database.url(), Opening::Serve).await.unwrap();
    drop(store.snapshot().await.unwrap());
    let (server, name) = database.url().rsplit_once('/').unwrap();
    let mut other = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    for text in [
        format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        format!("ALTER DATABASE {name} RENAME TO {name}_old"),
        format!("CREATE DATABASE {name}"),
    ] {
        sqlx::Executor::execute(&mut other, sqlx::AssertSqlSafe(text)).await.unwrap();
    }
    // The connection of a moment ago is not asked whether it is alive: its next use finds that out.
    schema(&store).await.unwrap_err();
    let refused = store.begin().await.err().map(|error| Chain(&error).to_string()).unwrap();
    assert!(refused.contains("another database"), "{refused}");
    store.close().await;
    let text = format!("DROP DATABASE {name}_old WITH (FORCE)");
    sqlx::Executor::execute(&mut other, sqlx::AssertSqlSafe(text)).await.unwrap();
    database.remove().await;
}
