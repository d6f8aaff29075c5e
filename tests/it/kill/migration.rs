//! `kill -9` in the middle of a migration, of a new database and of one that holds rewards under the first schema: the next
//! start migrates it and serves, and what was there is there. On PostgreSQL a second replica waits for the first.

use std::process::{Child, Command};

use sqlx::{Executor, PgConnection};

use super::{Dice, count_of, print, seed, stage, start};
use crate::{
    process::{Served, noshi},
    support::{Answer, App, Backend, Database, database::migrations, on_each_backend, order, wait::until, with_json},
};

/// Deaths inside a migration.
const DEATHS: usize = 12;
/// More than SQLite's machine passes the place inside its migrations; how often it does, the run finds out.
const PASSES_SQLITE: usize = 2_000;
/// How often it passes it in the first of them that is missing, or less often: every other death is there.
const PASSES_EARLY: usize = 30;
/// What a migration of PostgreSQL makes, in its order: it is killed while it waits for this name.
const NAMES: [&str; 7] = ["clients", "api_keys", "rewards", "rewards_due", "reward_events", "balances", "upstream"];

on_each_backend! {
    async fn death_in_a_migration_leaves_a_database_that_the_next_start_migrates(backend: Backend) {
        let (seed, deaths) = (seed(), count_of("NOSHI_TEST_MIGRATION_KILLS", DEATHS));
        print(&format!("migrations, {backend:?}: NOSHI_TEST_SEED={seed}"));
        let (app, mut dice) = (stage(backend).await, Dice::new(seed));
        let (mut died, mut found, mut passes) = (0, [0; 3], [PASSES_SQLITE; 2]);
        for round in 0..deaths * 3 {
            let database = Database::fresh(backend).await;
            let old = round % 2 == 1;
            if old {
                age(&database).await;
            }
            let environment = environment(&app, &database);
            let dead = match backend {
                Backend::Sqlite => {
                    let early = round / 2 % 2 == 0;
                    let pass = 1 + dice.below(if early { PASSES_EARLY } else { passes[usize::from(old)] });
                    let dead = dies_at(&environment, &format!("migrate.step@{pass}")).await;
                    if !dead {
                        passes[usize::from(old)] = pass;
                    }
                    dead
                }
                Backend::Postgres => {
                    let name = if old { "upstream" } else { NAMES[round / 2 % NAMES.len()] };
                    dies_waiting_for(&database, &environment, name).await;
                    true
                }
            };
            if dead {
                died += 1;
                found[applied(&database).await.min(2)] += 1;
                comes_up(&app, &database, &environment, old).await;
            }
            database.remove().await;
            if died == deaths {
                break;
            }
        }
        print(&format!("migrations, {backend:?}: {died} deaths; they left 0, 1, or more migrations done: {found:?}"));
        assert!(died == deaths && found[0] > 0 && found[1] > 0, "the deaths missed a migration: {died}, {found:?}");
        app.end().await;
    }

    async fn death_before_and_after_the_migrations_too(backend: Backend) {
        let app = stage(backend).await;
        for (stage, old) in [("before", false), ("after", false), ("before", true), ("after", true)] {
            let database = Database::fresh(backend).await;
            if old {
                age(&database).await;
            }
            let environment = environment(&app, &database);
            assert!(dies_at(&environment, &format!("migrate.{stage}@1")).await, "{stage}");
            comes_up(&app, &database, &environment, old).await;
            database.remove().await;
        }
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_that_migrate_at_once_one_waits_however_long_the_other_takes() {
    let app = stage(Backend::Postgres).await;
    let database = Database::fresh(Backend::Postgres).await;
    let environment = environment(&app, &database);
    let mut holder = database.postgres().await;
    holder.execute("BEGIN; CREATE TABLE rewards (held INTEGER)").await.unwrap();
    let mut first = serve(&environment);
    until_waiting(&database, "transactionid").await;
    // It stands still with its migration half done, and its session keeps the lock until the server ends it.
    signal(&first, "STOP");
    let second = background(environment.clone());
    until_waiting(&database, "advisory").await;
    holder.execute("ROLLBACK").await.unwrap();
    let served = second.await.unwrap().unwrap_or_else(|status| panic!("the second did not wait: {status}"));
    signal(&first, "CONT");
    first.kill().unwrap();
    first.wait().unwrap();
    serves(&app, &served, &environment, false).await;
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    database.remove().await;
    app.end().await;
}

fn environment(app: &App, database: &Database) -> Vec<(String, String)> {
    let mut environment = app.environment().to_vec();
    environment.push(("NOSHI__STORE__URL".to_owned(), database.url().to_owned()));
    environment
}

/// The first schema, as it was released, with a client and a reward that came to its end.
async fn age(database: &Database) {
    let row = |uuid: &dyn Fn(&str) -> String, bytes: &dyn Fn(&str) -> String, no: &str| {
        let (client, id) = (uuid("01900000000070008000000000000001"), uuid("01900000000070008000000000000002"));
        let (at, intent) = ("'2026-01-02T03:04:05.000000+00:00'", bytes(&"ab".repeat(20)));
        format!(
            "INSERT INTO clients (id, name, created_at) VALUES ({client}, 'tests', {at}); \
             INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, kind, \
             amount_minor, currency, external_id, on_unresolved, state, version, ambiguous, cancel_requested, \
             cancel_doubt, attempts, deliveries, events, created_at, updated_at, canceled_at) VALUES ({id}, {client}, \
             {intent}, 'main', 'US', 'sandbox', 'Awssb{}', 'gift_code', 100, 'USD', 'old', 'keep', 'canceled', 2, {no}, \
             {no}, {no}, 1, 0, 1, {at}, {at}, {at}); \
             INSERT INTO reward_events (reward_id, seq, at, kind) VALUES ({id}, 1, {at}, 'reward.received')",
            "A".repeat(32),
        )
    };
    let hex = |text: &str| format!("X'{text}'");
    let rows = match database.backend {
        Backend::Sqlite => row(&hex, &hex, "0"),
        Backend::Postgres => row(&|text| format!("'{text}'"), &|text| format!("'\\x{text}'"), "FALSE"),
    };
    database.migrate_to(1).await;
    database.execute(&rows).await.unwrap();
}

async fn dies_at(environment: &[(String, String)], order: &str) -> bool {
    let mut environment = environment.to_vec();
    environment.push(("NOSHI_FAILPOINT".to_owned(), order.to_owned()));
    start(environment).await.map_or_else(super::points::is_ours, |_served| false)
}

fn serve(environment: &[(String, String)]) -> Child {
    let mut command = noshi();
    command.arg("serve").envs(environment.iter().cloned()).stderr(std::process::Stdio::null());
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
}

/// Someone else is making that name just now, so the migration waits in the middle of its transaction; and dies.
async fn dies_waiting_for(database: &Database, environment: &[(String, String)], name: &str) {
    let mut holder: PgConnection = database.postgres().await;
    let text = format!("BEGIN; CREATE TABLE {name} (held INTEGER)");
    holder.execute(sqlx::AssertSqlSafe(text)).await.unwrap();
    let mut child = serve(environment);
    until_waiting(database, "transactionid").await;
    child.kill().unwrap();
    child.wait().unwrap();
    holder.execute("ROLLBACK").await.unwrap();
}

async fn until_waiting(database: &Database, whereon: &str) {
    let waits = format!(
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'noshi' \
         AND wait_event_type = 'Lock' AND wait_event = '{whereon}'"
    );
    until(&format!("somebody waits for {whereon}"), async || database.number(&waits).await > 0).await;
}

/// Migrations that are done; none where not even the table of migrations is there.
async fn applied(database: &Database) -> usize {
    let tables = match database.backend {
        Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
        Backend::Postgres => "SELECT COUNT(*) FROM pg_class WHERE relname = '_sqlx_migrations'",
    };
    if database.number(tables).await == 0 {
        return 0;
    }
    usize::try_from(database.number("SELECT COUNT(*) FROM _sqlx_migrations").await).unwrap()
}

/// The next start migrates what is missing, and serves.
async fn comes_up(app: &App, database: &Database, environment: &[(String, String)], old: bool) {
    let served = start(environment.to_vec()).await.unwrap_or_else(|status| panic!("it does not come up: {status}"));
    assert_eq!(applied(database).await, migrations(database.backend).await.iter().count());
    serves(app, &served, environment, old).await;
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
}

/// A code can be bought, and what was there before can be read.
async fn serves(app: &App, served: &Served, environment: &[(String, String)], old: bool) {
    let arguments = ["keys", "create", "--client", "tests"];
    let made = noshi().args(arguments).envs(environment.iter().cloned()).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let base = &served.base;
    let post = app.http.post(format!("{base}/v1/rewards")).bearer_auth(&key).header("Idempotency-Key", "new");
    let bought = Answer::of(with_json(post, &order("1.00"))).await;
    assert_eq!(bought.status, 201, "{}", bought.text);
    let get = app.http.get(format!("{base}/v1/rewards?external_id=old")).bearer_auth(&key);
    let found = Answer::of(get).await;
    let states: Vec<_> = found.json["data"].as_array().unwrap().iter().map(|one| one["status"].as_str()).collect();
    assert_eq!(states, if old { vec![Some("canceled")] } else { Vec::new() }, "{}", found.text);
}

/// Starts beside the test.
fn background(environment: Vec<(String, String)>) -> tokio::task::JoinHandle<Result<Served, std::process::ExitStatus>> {
    tokio::task::spawn_blocking(move || Served::start_or_die(&environment))
}
