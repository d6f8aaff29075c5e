//! The database itself: what its columns refuse, that every statement of ours fits it, and what a transaction promises.

mod columns;
pub(crate) mod growth;
mod kinds;
mod lists;
mod plans;
mod reads;
mod roles;
mod start;
mod together;
mod transactions;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use noshi::{
    accounts, audit, batches,
    bootstrap::{self, StartError},
    console, events, identity, incentives,
    kernel::Chain,
    ledger, membership, pay,
    sandbox::{Fault, FaultRule, Operation},
    store::{
        self, Conn, Read, Sql, Store, StoreError, StoreOptions,
        migrate::{Schema, migrate, schema},
        sql::highest_parameter,
    },
    treasury, webhooks,
};
use secrecy::SecretString;
use sqlx::{Either, Executor, SqlSafeStr, Statement};

use crate::support::{Answer, App, Backend, Database, Shape, books::books_match, look::Look, on_each_backend};

/// Every list of statements and the file it stands in.
const LISTS: &[(&str, &[Sql])] = &[
    ("accounts/key_pairs/book.rs", accounts::key_pairs::book::STATEMENTS),
    ("accounts/limiter.rs", accounts::limiter::STATEMENTS),
    ("audit/sql.rs", audit::sql::STATEMENTS),
    ("batches/sql.rs", batches::sql::STATEMENTS),
    ("batches/sql/ends.rs", batches::sql::ends::STATEMENTS),
    ("console/sessions.rs", console::sessions::STATEMENTS),
    ("events/outbox.rs", events::outbox::STATEMENTS),
    ("events/stream.rs", events::stream::STATEMENTS),
    ("events/timeline.rs", events::timeline::STATEMENTS),
    ("identity/clients.rs", identity::clients::STATEMENTS),
    ("identity/endings.rs", identity::endings::STATEMENTS),
    ("identity/keys.rs", identity::keys::STATEMENTS),
    ("incentives/orphans.rs", incentives::orphans::STATEMENTS),
    ("incentives/restore_note.rs", incentives::restore_note::STATEMENTS),
    ("incentives/retention/book.rs", incentives::retention::book::STATEMENTS),
    ("incentives/reveal_count.rs", incentives::reveal_count::STATEMENTS),
    ("incentives/sql.rs", incentives::sql::STATEMENTS),
    ("incentives/sql/brief.rs", incentives::sql::brief::STATEMENTS),
    ("incentives/sql/recall.rs", incentives::sql::recall::STATEMENTS),
    ("incentives/sql/due.rs", incentives::sql::due::STATEMENTS),
    ("incentives/sql/list.rs", incentives::sql::list::STATEMENTS),
    ("incentives/sql/unproven.rs", incentives::sql::unproven::STATEMENTS),
    ("incentives/target.rs", incentives::target::STATEMENTS),
    ("ledger/budget.rs", ledger::budget::STATEMENTS),
    ("ledger/budget/usage.rs", ledger::budget::usage::STATEMENTS),
    ("ledger/ceilings.rs", ledger::ceilings::STATEMENTS),
    ("ledger/floor.rs", ledger::floor::STATEMENTS),
    ("ledger/journal.rs", ledger::journal::STATEMENTS),
    ("ledger/journal/page.rs", ledger::journal::page::STATEMENTS),
    ("ledger/moved.rs", ledger::moved::STATEMENTS),
    ("ledger/programs.rs", ledger::programs::STATEMENTS),
    ("ledger/statement.rs", ledger::statement::STATEMENTS),
    ("ledger/statement/export.rs", ledger::statement::export::STATEMENTS),
    ("ledger/totals.rs", ledger::totals::STATEMENTS),
    ("ledger/watch.rs", ledger::watch::STATEMENTS),
    ("membership/sql.rs", membership::sql::STATEMENTS),
    ("membership/sql/consents.rs", membership::sql::consents::STATEMENTS),
    ("membership/sql/periods.rs", membership::sql::periods::STATEMENTS),
    ("membership/sql/plans.rs", membership::sql::plans::STATEMENTS),
    ("pay/sql.rs", pay::sql::STATEMENTS),
    ("pay/sql/brief.rs", pay::sql::brief::STATEMENTS),
    ("pay/sql/due.rs", pay::sql::due::STATEMENTS),
    ("pay/sql/held.rs", pay::sql::held::STATEMENTS),
    ("pay/sql/list.rs", pay::sql::list::STATEMENTS),
    ("pay/sql/notices.rs", pay::sql::notices::STATEMENTS),
    ("store/clock.rs", store::clock::STATEMENTS),
    ("store/migrate.rs", store::migrate::STATEMENTS),
    ("treasury/balances.rs", treasury::balances::STATEMENTS),
    ("treasury/reconciliation/days.rs", treasury::reconciliation::days::STATEMENTS),
    ("treasury/reconciliation/findings.rs", treasury::reconciliation::findings::STATEMENTS),
    ("treasury/reconciliation/gap.rs", treasury::reconciliation::gap::STATEMENTS),
    ("treasury/reconciliation/join.rs", treasury::reconciliation::join::STATEMENTS),
    ("treasury/reconciliation/sql.rs", treasury::reconciliation::sql::STATEMENTS),
    ("treasury/position.rs", treasury::position::STATEMENTS),
    ("treasury/windows.rs", treasury::windows::STATEMENTS),
    ("webhooks/deliveries.rs", webhooks::deliveries::STATEMENTS),
    ("webhooks/endpoints.rs", webhooks::endpoints::STATEMENTS),
    ("webhooks/fan_out.rs", webhooks::fan_out::STATEMENTS),
];

/// Our store on a test's database.
async fn open(database: &Database) -> Store {
    let url = SecretString::from(database.url().to_owned());
    Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url, 8) }).await.unwrap()
}

/// The same, migrated.
async fn migrated(database: &Database) -> Store {
    let store = open(database).await;
    migrate(&store).await.unwrap();
    store
}

/// Prepares a text on the database, and says how many parameters that found.
async fn prepare(look: &mut Look, text: &'static str) -> Result<usize, sqlx::Error> {
    let count = |parameters: Option<Either<usize, usize>>| match parameters {
        Some(Either::Left(count) | Either::Right(count)) => count,
        None => 0,
    };
    Ok(match look {
        Look::Sqlite(connection) => {
            let statement = connection.prepare(text.into_sql_str()).await?;
            count(statement.parameters().map(|found| found.map_left(<[_]>::len)))
        }
        Look::Postgres(connection) => {
            let statement = connection.prepare(text.into_sql_str()).await?;
            count(statement.parameters().map(|found| found.map_left(<[_]>::len)))
        }
    })
}

/// Whether a source file declares statements: the macro is named, and not where it is made or imported.
fn declares_statements(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("statements!"))
}

fn files_that_declare(folder: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_that_declare(&path, below, found);
        } else if declares_statements(&fs::read_to_string(&path).unwrap()) {
            found.insert(path.strip_prefix(below).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn no_statement_hides_from_the_test_that_prepares_them_all() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    files_that_declare(&folder, &folder, &mut found);
    assert_eq!(found, LISTS.iter().map(|(file, _list)| (*file).to_owned()).collect());
    assert!(declares_statements("use x;\nstatements! {\n    A = B;\n}"));
    assert!(!declares_statements("macro_rules! statements { () => {} }\nuse store::statements;"));
}

/// PostgreSQL only: SQLite leaves no index half built. An operator may build those of 0029 beforehand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_left_invalid_is_not_taken_for_one_that_is_there() {
    let database = kinds::of_schema_7(Backend::Postgres).await;
    database.execute("CREATE INDEX rewards_listed ON rewards (client_id, account, kind, state, id)").await.unwrap();
    let invalid = "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'rewards_listed'::regclass";
    assert_eq!(database.execute(invalid).await.unwrap(), 1);
    let store = open(&database).await;
    let refused = Chain(&migrate(&store).await.unwrap_err()).to_string();
    assert!(refused.contains("left invalid") && refused.contains("rewards_listed"), "{refused}");
    database.execute("DROP INDEX rewards_listed").await.unwrap();
    migrate(&store).await.unwrap();
    assert_eq!(schema(&store).await.unwrap(), Schema::Current);
    store.close().await;
    database.remove().await;
}

async fn ready(app: &App) -> (u16, String) {
    let answer = Answer::of(app.http.get(format!("{}/readyz", app.admin))).await;
    (answer.status, answer.text)
}

/// PostgreSQL only: on SQLite writers wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_others_keep_from_a_table_is_begun_again() {
    // Many of the migrations after it need the table.
    let database = kinds::of_schema_7(Backend::Postgres).await;
    let store = open(&database).await;
    assert_eq!(schema(&store).await.unwrap(), Schema::Older);
    let mut writer = database.postgres().await;
    writer.execute("BEGIN; LOCK TABLE rewards IN ROW EXCLUSIVE MODE").await.unwrap();
    // Longer than a migration waits for a table.
    let ends = async {
        tokio::time::sleep(std::time::Duration::from_millis(3300)).await;
        writer.execute("ROLLBACK").await.unwrap();
    };
    let (migrated, ()) = tokio::join!(migrate(&store), ends);
    migrated.unwrap();
    assert_eq!(schema(&store).await.unwrap(), Schema::Current);
    store.close().await;
    database.remove().await;
}

on_each_backend! {
    async fn every_statement_fits_the_schema(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await.close().await;
        let mut look = Look::at(&database).await;
        for (file, list) in LISTS {
            assert!(!list.is_empty(), "{file}");
            for sql in *list {
                let text = if backend == Backend::Sqlite { sql.sqlite } else { sql.postgres };
                match prepare(&mut look, text).await {
                    Ok(count) => assert_eq!(count, highest_parameter(text), "{}: {text}", sql.name),
                    Err(error) => panic!("{} does not fit: {error}", sql.name),
                }
            }
        }
        for bad in ["SELECT claim_code FROM rewards", "SELECT 1 FROM codes", "SELEC 1"] {
            assert!(prepare(&mut look, bad).await.is_err(), "{bad} was prepared");
        }
        drop(look);
        database.remove().await;
    }

    async fn migrating_again_changes_nothing(backend: Backend) {
        let database = Database::fresh(backend).await;
        let store = open(&database).await;
        assert_eq!(schema(&store).await.unwrap(), Schema::Older, "a new database is told to be old");
        migrate(&store).await.unwrap();
        let before = Look::at(&database).await.columns().await;
        migrate(&store).await.unwrap();
        assert_eq!(schema(&store).await.unwrap(), Schema::Current);
        assert_eq!(Look::at(&database).await.columns().await, before);
        assert!(before.iter().any(|column| column.table == "rewards"), "{before:?}");
        store.close().await;
        database.remove().await;
    }

    async fn replicas_that_start_at_once_migrate_once(backend: Backend) {
        let database = Database::fresh(backend).await;
        // One process serves a SQLite file; there, it is one store that is asked several times.
        let first = open(&database).await;
        let mut stores = vec![first.clone(), first.clone(), first];
        if backend == Backend::Postgres {
            stores = vec![open(&database).await, open(&database).await, open(&database).await];
        }
        for done in futures_util::future::join_all(stores.iter().map(migrate)).await {
            done.unwrap();
        }
        let applied = database.number("SELECT COUNT(*) FROM _sqlx_migrations").await;
        assert_eq!(applied, database.number("SELECT COUNT(DISTINCT version) FROM _sqlx_migrations").await);
        for store in &stores {
            assert_eq!(schema(store).await.unwrap(), Schema::Current);
        }
        futures_util::future::join_all(stores.iter().map(Store::close)).await;
        database.remove().await;
    }

    async fn an_older_or_a_too_new_schema_is_told_and_the_service_is_not_ready(backend: Backend) {
        // On SQLite a second service is refused for the first one's lock, and need not wait for it.
        let app = App::shaped(backend, Shape::default().with("NOSHI__STORE__LOCK_WAIT_SECONDS", 0)).await;
        let store = open(&app.database).await;
        assert_eq!(ready(&app).await, (200, "ok\n".to_owned()));

        let ours = app.database.number("SELECT MAX(version) FROM _sqlx_migrations").await;
        for since in [None, Some(ours + 1), Some(9999)] {
            later(&app.database, ours + 2, since).await;
            assert_eq!(schema(&store).await.unwrap(), Schema::Newer, "{since:?}");
            assert_eq!(ready(&app).await, (503, "the database is too new for this program\n".to_owned()));
            assert!(matches!(migrate(&store).await, Err(StoreError::Schema(_))), "{since:?}");
            let second = bootstrap::start(&app.settings, app.ambient.clone()).await.err().unwrap();
            if backend == Backend::Postgres {
                assert!(matches!(second, StartError::Store(StoreError::Schema(_))), "{second:?}");
            }
            app.database.execute(&format!("DELETE FROM _sqlx_migrations WHERE version > {ours}")).await.unwrap();
            assert_eq!(ready(&app).await.0, 200);
        }

        app.database.execute("UPDATE _sqlx_migrations SET success = FALSE").await.unwrap();
        assert_eq!(schema(&store).await.unwrap(), Schema::Older, "what was begun and not ended is not there");
        app.database.execute("DELETE FROM _sqlx_migrations").await.unwrap();
        assert_eq!(schema(&store).await.unwrap(), Schema::Older);
        assert_eq!(ready(&app).await, (503, "the database must be migrated\n".to_owned()));
        app.database.execute("DROP TABLE _sqlx_migrations").await.unwrap();
        assert_eq!(schema(&store).await.unwrap(), Schema::Older);
        assert_eq!(ready(&app).await.0, 503);
        let live = Answer::of(app.http.get(format!("{}/livez", app.admin))).await;
        assert_eq!(live.status, 200, "a restart would not help");
        store.close().await;
        app.end().await;
    }

    async fn a_schema_that_a_later_version_only_added_to_is_worked_with(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let before = app.issue("before", "5.00").await;
        let ours = app.database.number("SELECT MAX(version) FROM _sqlx_migrations").await;
        app.database.execute("ALTER TABLE rewards ADD COLUMN later TEXT").await.unwrap();
        later(&app.database, ours + 1, Some(ours)).await;
        later(&app.database, ours + 2, Some(ours - 1)).await;
        let store = open(&app.database).await;
        assert_eq!(schema(&store).await.unwrap(), Schema::Ahead);
        assert_eq!(ready(&app).await.0, 200);
        migrate(&store).await.unwrap();
        store.close().await;
        assert!(app.stop().await);
        app.start().await;
        assert_eq!(app.issue("before", "5.00").await.code(), before.code());
        assert_eq!(app.issue("after", "5.00").await.status, 201);
        assert_eq!(app.cancel(before.id()).await.status, 200);
        books_match(&app).await;

        // And one that took nothing but lacks one of ours.
        app.database.execute(&format!("DELETE FROM _sqlx_migrations WHERE version = {ours}")).await.unwrap();
        assert_eq!(ready(&app).await, (503, "the database must be migrated\n".to_owned()));
        app.end().await;
    }

    async fn a_reward_in_a_state_of_a_later_version_is_left_alone(backend: Backend) {
        let app = App::shaped(backend, Shape::default()).await;
        let mut rule = FaultRule::always(Fault::DropAfterWork);
        rule.operation = Some(Operation::CreateGiftCard);
        app.control.script(rule).unwrap();
        let theirs = app.issue("theirs", "5.00").await;
        let ours = app.issue("ours", "6.00").await;
        assert_eq!((theirs.status, ours.status), (202, 202));
        let unchecked = match backend {
            Backend::Sqlite => "PRAGMA ignore_check_constraints = ON",
            Backend::Postgres => "ALTER TABLE rewards DISABLE TRIGGER rewards_state_has_shape",
        };
        let later = "UPDATE rewards SET state = 'escrowed', lease_token = NULL, due_at = created_at WHERE amount_minor = 500";
        assert_eq!(app.database.execute(&format!("{unchecked}; {later}")).await.unwrap(), 1);
        app.control.clear_faults();
        app.until(ours.id(), "issued").await;
        let untouched = "SELECT COUNT(*) FROM rewards WHERE state = 'escrowed' AND due_at = created_at";
        assert_eq!(app.database.number(untouched).await, 1, "it was taken up, or put off");
        app.end().await;
    }

    async fn a_second_service_starts_beside_the_first_only_where_replicas_are_meant(backend: Backend) {
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__STORE__LOCK_WAIT_SECONDS", 2)).await;
        let second = bootstrap::start(&app.settings, app.ambient.clone()).await;
        match (backend, second) {
            (Backend::Sqlite, Err(StartError::Store(StoreError::Open(why)))) => assert!(why.contains("another"), "{why}"),
            (Backend::Postgres, Ok(service)) => assert!(service.run_until(async {}).await),
            (_, Ok(_)) => panic!("two services serve one file"),
            (_, Err(error)) => panic!("{error:?}"),
        }
        assert_eq!(app.issue("still-there", "5.00").await.status, 201, "the first does not mind");
        assert!(app.stop().await);
        app.start().await;
        assert_eq!(app.issue("again", "5.00").await.status, 201, "a stopped service lets go of the file");
        app.end().await;
    }

    async fn what_is_committed_is_on_the_disk_and_nobody_elses_to_read(backend: Backend) {
        let app = App::spawn(backend).await;
        app.issue("one", "5.00").await;
        let store = match backend {
            Backend::Sqlite => open(&app.database).await,
            Backend::Postgres => bootstrap::open_store(&app.settings.store, bootstrap::Opening::Serve).await.unwrap(),
        };
        match Read::conn(&mut store.snapshot().await.unwrap()).await.unwrap() {
            Conn::Sqlite(connection) => {
                assert_eq!(setting(connection, "PRAGMA journal_mode").await, "wal");
                let folder = app.database.folder.path();
                for name in ["noshi.db", "noshi.db-wal", "noshi.db-shm", "noshi.db.lock"] {
                    let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
                    assert_eq!(mode & 0o7777, 0o600, "{name}");
                }
                assert_eq!(fs::read_dir(folder).unwrap().count(), 4, "no other file lies there");
            }
            Conn::Postgres { connection, .. } => {
                for (name, value) in [
                    ("synchronous_commit", "on"),
                    ("statement_timeout", "5s"),
                    ("lock_timeout", "3s"),
                    ("idle_in_transaction_session_timeout", "10s"),
                ] {
                    let text = format!("SHOW {name}");
                    let found: String = scalar(sqlx::AssertSqlSafe(text), &mut *connection).await;
                    assert_eq!(found, value, "{name}");
                }
            }
        }
        store.close().await;
        app.end().await;
    }
}

/// Says that a later version has migrated, and since which schema programs can live with that.
async fn later(database: &Database, version: i64, since: Option<i64>) {
    let name = since.map_or("later".to_owned(), |since| format!("from {since:04} later"));
    let text = format!(
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
         SELECT {version}, '{name}', installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1"
    );
    database.execute(&text).await.unwrap();
}

async fn setting(connection: &mut sqlx::SqliteConnection, text: &'static str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    let query = sqlx::query_scalar(text);
    query.fetch_one(connection).await.unwrap()
}

async fn scalar(text: sqlx::AssertSqlSafe<String>, connection: &mut sqlx::PgConnection) -> String {
    #[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
    let query = sqlx::query_scalar(text);
    query.fetch_one(connection).await.unwrap()
}
