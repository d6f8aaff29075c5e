//! Commands on a database that nobody has prepared: each says what to do first, and leaves no file behind.

use std::process::Output;

use super::noshi;
use crate::support::{App, Backend, Database, Shape};

/// What a command does on a database that is not prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unprepared {
    /// It refuses, with one line that says what to do first.
    Refuses,
    /// It has no use for the tables, or it is the one that makes them.
    Has(&'static str),
}
use Unprepared::{Has, Refuses};

/// A command, arguments where it needs some, and what it does.
struct Row(&'static str, &'static [&'static str], Unprepared);

/// Every command, as `--help` lists them. A command without a row fails.
const COMMANDS: &[Row] = &[
    Row("serve", &[], Has("it migrates SQLite itself, and has a test of its own on PostgreSQL")),
    Row("migrate", &[], Has("it prepares")),
    Row("backup", &["--to", "-"], Has("it copies a file of SQLite's, and has words of its own: below")),
    Row("restore", &["--from", "/nowhere"], Has("it brings the tables along")),
    Row("restored", &[], Refuses),
    Row("check", &["--targets"], Refuses),
    Row("doctor", &[], Has("it reports all that is wrong, this too")),
    Row("healthcheck", &[], Has("it asks a service")),
    Row("accounts keys status", &[], Refuses),
    Row("accounts keys verify", &["--account", "main", "--slot", "primary"], Refuses),
    Row("accounts keys activate", &["--account", "main", "--slot", "primary"], Refuses),
    Row("keys create", &["--client", "shop"], Refuses),
    Row("keys list", &[], Refuses),
    Row("keys rotate", &[KEY], Refuses),
    Row("keys revoke", &[KEY], Refuses),
    Row("rewards issue", &["--key", "a", "--amount", "1.00", "--currency", "USD"], Has(ASKS)),
    Row("rewards find", &["4711"], Has(ASKS)),
    Row("rewards show", &[REWARD], Has(ASKS)),
    Row("rewards reveal", &[REWARD, "--reason", "seen"], Has(ASKS)),
    Row("rewards cancel", &[REWARD, "--reason", "seen"], Has(ASKS)),
    Row("rewards list", &[], Has(ASKS)),
    Row("rewards export", &[], Has(ASKS)),
    Row("batch run", &["campaign.csv"], Has(ASKS)),
    Row("batch list", &[], Has(ASKS)),
    Row("batch show", &["bat_1"], Has(ASKS)),
    Row("batch items", &["bat_1"], Has(ASKS)),
    Row("batch pause", &["bat_1"], Has(ASKS)),
    Row("batch resume", &["bat_1"], Has(ASKS)),
    Row("batch cancel", &["bat_1"], Has(ASKS)),
    Row("balance", &[], Has(ASKS)),
    Row("report month", &[], Has(ASKS)),
    Row("rewards attention list", &[], Refuses),
    Row("rewards attention settle", &[REWARD, "--as", "issued", "--reason", "seen", "--by", "kim"], Refuses),
    Row("programs create", &["prg_spring", "--account", "main", "--name", "Spring", "--any-client"], Refuses),
    Row("programs list", &[], Refuses),
    Row("programs own", &["prg_spring", "--client", "shop", "--by", "kim"], Refuses),
    Row("programs suspend", &["prg_spring", "--by", "kim"], Refuses),
    Row("programs resume", &["prg_spring", "--by", "kim"], Refuses),
    Row("audit verify", &[], Refuses),
    Row("audit list", &[], Refuses),
    Row("ledger sums", &[], Refuses),
    Row("ledger statement", &["--month", "2026-10"], Refuses),
    Row("ledger export", &["--account", "main", "--month", "2026-10", "--format", "hledger"], Refuses),
    Row("ledger adjust", &["--account", "main", "--amount", "1.00", "--reason", "found", "--by", "kim"], Refuses),
    Row("reconcile", &["--account", "main", "--from", "2026-11-01", "--to", "2026-11-01"], Refuses),
    Row("reconcile days", &["--account", "main"], Refuses),
    Row(
        "reconcile accept",
        &["--account", "main", "--from", "2026-11-01", "--to", "2026-11-01", "--reason", "seen", "--by", "kim"],
        Refuses,
    ),
    Row("pay attention", &[], Refuses),
    Row(
        "pay settle",
        &["pmt_01990000000070008000000000000000", "--as", "not-made", "--reason", "seen", "--by", "kim"],
        Refuses,
    ),
    Row("pay notifications list", &[], Refuses),
    Row("pay notifications confirm", &["sub_01990000000070008000000000000000", "--by", "kim"], Refuses),
    Row("membership list", &[], Has(ASKS)),
    Row("membership show", &["mbr_01990000000070008000000000000000"], Has(ASKS)),
    Row(
        "membership ask-reward-again",
        &["mbr_01990000000070008000000000000000", "1", "--reason", "seen", "--by", "kim"],
        Refuses,
    ),
    Row("retention status", &[], Refuses),
    Row("retention run", &[], Refuses),
    Row("webhooks endpoints", &[], Has(ASKS)),
    Row("webhooks add", &["https://example.com"], Has(ASKS)),
    Row("webhooks test", &[ENDPOINT], Has(ASKS)),
    Row("webhooks deliveries", &[ENDPOINT], Has(ASKS)),
    Row("webhooks redeliver", &[ENDPOINT, "whd_1"], Has(ASKS)),
    Row("webhooks replay", &[ENDPOINT, "--from", "2026-11-28T09:00:00Z"], Has(ASKS)),
    Row("webhooks rotate-secret", &[ENDPOINT], Has(ASKS)),
    Row("webhooks remove", &[ENDPOINT], Has(ASKS)),
    Row("webhooks list", &[], Refuses),
    Row("webhooks disable", &[ENDPOINT], Refuses),
    Row("sandbox", &[], Has("it has no database")),
    Row("openapi", &[], Has("it prints what is built in")),
    Row("completion", &["bash"], Has("it prints what is built in")),
    Row("man", &[], Has("it prints what is built in")),
    Row("demo", &[], Has("it makes its own")),
];
/// A command that works through the API.
const ASKS: &str = "it asks a service";
const KEY: &str = "key_01907000800070008000000000000001";
const ENDPOINT: &str = "whe_01907000800070008000000000000001";
const REWARD: &str = "rwd_01907000800070008000000000000001";

/// The commands that refuse, as their words.
fn refusing() -> impl Iterator<Item = Vec<&'static str>> {
    let refusing = COMMANDS.iter().filter(|Row(_name, _arguments, does)| *does == Refuses);
    refusing.map(|Row(name, arguments, _does)| name.split(' ').chain(arguments.iter().copied()).collect())
}

/// The commands below one, from what clap prints of itself.
fn listed(above: &[String]) -> Vec<Vec<String>> {
    let help = noshi().args(above).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let is_a_command_itself = help
        .lines()
        .any(|line| line.starts_with("Usage: ") && (line.contains("[COMMAND]") || !line.contains("COMMAND")));
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = below.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    let mut all = Vec::new();
    if is_a_command_itself && !above.is_empty() {
        all.push(above.to_vec());
    }
    for name in names.into_iter().filter(|name| name != "help") {
        let words: Vec<String> = above.iter().cloned().chain([name]).collect();
        all.extend(listed(&words));
    }
    all
}

#[test]
fn every_command_that_there_is_has_a_row() {
    let mut there: Vec<String> = listed(&[]).iter().map(|words| words.join(" ")).collect();
    let mut rows: Vec<&str> = COMMANDS.iter().map(|Row(name, _arguments, _does)| *name).collect();
    there.sort();
    rows.sort_unstable();
    assert_eq!(there, rows);
    assert!(refusing().count() >= 12);
}

fn run(app: &App, words: &[&str]) -> Output {
    noshi().args(words).envs(app.environment().iter().cloned()).output().unwrap()
}

/// The one line that the command ends with, once it has failed.
fn refused(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    err.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_a_command_makes_none() {
    let app = App::not_started(Database::fresh(Backend::Sqlite).await, Shape::default()).await;
    let file = app.database.folder.path().join("noshi.db");
    let place = format!("there is no such file as {}: `noshi migrate` makes it", file.display());
    for words in &refusing().collect::<Vec<_>>() {
        let said = refused(&run(&app, words));
        assert!(said.ends_with(&place), "{words:?}: {said}");
        let left: Vec<_> = std::fs::read_dir(app.database.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{words:?} left {left:?}");
    }
    let said = refused(&run(&app, &["backup", "--to", "-"]));
    let (first, place) = ("run `noshi migrate` first", format!("there is no database at {}", file.display()));
    assert!(said.contains(first) && said.ends_with(&place), "{said}");
    assert!(!file.exists());
    assert!(run(&app, &["migrate"]).status.success());
    assert!(file.exists(), "a migration makes it");
    assert!(run(&app, &["ledger", "sums"]).status.success());
    app.end().await;
}

async fn every_command_asks_for_the_migration(backend: Backend) {
    let app = App::not_started(Database::fresh(backend).await, Shape::default()).await;
    if backend == Backend::Sqlite {
        std::fs::write(app.database.folder.path().join("noshi.db"), "").unwrap();
    }
    for words in &refusing().collect::<Vec<_>>() {
        let said = refused(&run(&app, words));
        assert_eq!(said, "noshi: the database must be migrated first: run `noshi migrate`", "{words:?}");
    }
    if backend == Backend::Sqlite {
        let said = refused(&run(&app, &["backup", "--to", "-"]));
        assert!(said.contains("run `noshi migrate` first"), "{said}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_for_the_migration_on_sqlite() {
    every_command_asks_for_the_migration(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_asks_for_the_migration_on_postgres() {
    every_command_asks_for_the_migration(Backend::Postgres).await;
}

/// The role of the service has no right to change tables, so a migration under it is a mistake of the operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_change_the_schema_is_named_as_the_reason() {
    let app = App::not_started(Database::fresh(Backend::Postgres).await, Shape::default()).await;
    let (base, database) = app.database.url().rsplit_once('/').unwrap();
    let role = format!("{database}_serving");
    app.database.execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    let (scheme, server) = base.split_once("://").unwrap();
    let server = server.rsplit_once('@').map_or(server, |(_user, server)| server);
    let url = format!("{scheme}://{role}@{server}/{database}");
    let migrate_as = || {
        let mut command = noshi();
        command.arg("migrate").envs(app.environment().iter().cloned()).env("NOSHI__STORE__URL", &url);
        refused(&command.output().unwrap())
    };
    let expected = "noshi: this role may not change the schema: run the command as the role that owns the tables";
    assert_eq!(migrate_as(), expected, "an empty database");
    assert!(run(&app, &["migrate"]).status.success());
    app.database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    assert_eq!(migrate_as(), expected, "a migrated one");
    app.database.execute("DELETE FROM _sqlx_migrations WHERE version > 1").await.unwrap();
    assert_eq!(migrate_as(), expected, "an older one");
    app.database.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
    app.database.execute(&format!("DROP ROLE {role}")).await.unwrap();
    app.end().await;
}
