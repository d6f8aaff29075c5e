//! What a page, a look-up and a gauge read, however much there is: pages of the database's memory on PostgreSQL, steps of the virtual machine
//! on SQLite. Both are counts, so they are the same on every machine.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use noshi::ambient::Ambient;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use super::{
    LISTS,
    growth::{BEGIN, client, grow},
    kinds::bound,
};
use crate::support::{Backend, Database, look::Look, on_each_backend};

const KINDS: &str = "'[\"gift_code\",\"balance_load\"]'";
const STATES: &str =
    "'[\"pending\",\"issuing\",\"unresolved\",\"issued\",\"failed\",\"canceling\",\"canceled\",\"needs_attention\"]'";
/// Steps of SQLite that are counted as one.
const STEPS: i32 = 10;

/// A statement with its parameters, and what it stands for.
struct Asked {
    what: &'static str,
    statement: &'static str,
    parameters: Vec<String>,
}

fn asked(what: &'static str, statement: &'static str, parameters: &[&str]) -> Asked {
    Asked { what, statement, parameters: parameters.iter().map(|&text| text.to_owned()).collect() }
}

/// Clients as lists are asked for them. The first has the half of the rewards.
fn listed(numbers: Range<u32>) -> String {
    let ids: Vec<String> = numbers.map(|number| format!("00000000000070008000{number:012}")).collect();
    format!("'{}'", json!(ids))
}

/// Lists of the rewards of every client.
fn lists_of_everyone(backend: Backend) -> Vec<Asked> {
    let id = |hex: &str| match backend {
        Backend::Sqlite => format!("X'{hex}'"),
        Backend::Postgres => format!("CAST('{hex}' AS UUID)"),
    };
    let (none, last, everyone) = (&id(&"0".repeat(32)), &id(&"f".repeat(32)), &listed(100..120));
    let (rare, waiting, pending) = ("'rare'", "'[\"needs_attention\"]'", "'[\"pending\"]'");
    vec![
        asked("of everyone", "rewards.list", &[everyone, last, none, "5", KINDS, STATES]),
        asked("rare state of everyone", "rewards.list", &[everyone, last, none, "5", KINDS, waiting]),
        asked("rare account of everyone", "rewards.list_of_account", &[everyone, last, none, "5", KINDS, STATES, rare]),
        asked(
            "no state of everyone's program",
            "rewards.list_of_program",
            &[everyone, last, none, "5", KINDS, pending, "'prg_4'"],
        ),
        asked("external id of everyone", "rewards.by_external_id", &[everyone, "'order_1000'"]),
        asked("Amazon's id", "rewards.by_creation_request_id", &["'AwssbA1000'"]),
    ]
}

/// Whatever finds much, little and nothing. The pages are so small that the smaller database fills them as well.
fn asked_of_one(backend: Backend) -> Vec<Asked> {
    let client = &client(backend);
    let id = |hex: &str| match backend {
        Backend::Sqlite => format!("X'{hex}'"),
        Backend::Postgres => format!("CAST('{hex}' AS UUID)"),
    };
    let at = |day: i64| match backend {
        Backend::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%S+00:00', {BEGIN} + {day} * 86400, 'unixepoch')"),
        Backend::Postgres => format!("to_timestamp({BEGIN} + {day} * 86400)"),
    };
    let hour = |day: i64| ((BEGIN + day * 86_400) / 3600).to_string();
    let (none, last) = (&id(&"0".repeat(32)), &id(&"f".repeat(32)));
    // The fifth of January.
    let (from, to) = (&id("019b8b74180070008000000000000000"), &id("019b909a740070008000000000000000"));
    let (begin, end) = (&at(0), &at(4000));
    let (rare, failed) = ("'rare'", "'[\"failed\"]'");
    let waiting = "'[\"needs_attention\"]'";
    let pending = "'[\"pending\"]'";
    let load = "'[\"balance_load\"]'";
    let ever = "9223372036854775807";
    let key = "'key_00000000000070008000000000000003'";
    let one = &listed(100..101);
    vec![
        asked("all", "rewards.list", &[one, last, none, "5", KINDS, STATES]),
        asked("often a state", "rewards.list", &[one, last, none, "5", KINDS, failed]),
        asked("rare state", "rewards.list", &[one, last, none, "5", KINDS, waiting]),
        asked("no such state", "rewards.list", &[one, last, none, "5", KINDS, pending]),
        asked("rare kind", "rewards.list", &[one, last, none, "5", load, STATES]),
        asked("old day", "rewards.list", &[one, to, from, "5", KINDS, STATES]),
        asked("account", "rewards.list_of_account", &[one, last, none, "5", KINDS, STATES, "'main'"]),
        asked("rare account", "rewards.list_of_account", &[one, last, none, "5", KINDS, STATES, rare]),
        asked("rare state of an account", "rewards.list_of_account", &[one, last, none, "5", KINDS, waiting, "'main'"]),
        asked("program", "rewards.list_of_program", &[one, last, none, "5", KINDS, STATES, "'prg_4'"]),
        asked("no state of a program", "rewards.list_of_program", &[one, last, none, "5", KINDS, pending, "'prg_4'"]),
        asked(
            "rare account of a program",
            "rewards.list_of_program_and_account",
            &[one, last, none, "5", KINDS, STATES, "'prg_4'", rare],
        ),
        asked("external id", "rewards.by_external_id", &[one, "'order_1000'"]),
        asked("unfinished", "rewards.unfinished", &[]),
        asked("unproven", "rewards.unproven", &["'main'", "'USD'"]),
        asked("due", "rewards.due_lanes", &[begin, "'[\"main\",\"second\",\"rare\"]'"]),
        asked("position", "ledger_entries.standing", &["'main'", "'USD'"]),
        asked("events", "facts.page_named", &["0", "5", ever]),
        asked("rare event", "facts.page_of_kind", &["0", "5", ever, "'program.changed'"]),
        asked("no such event", "facts.page_of_kind", &["0", "5", ever, "'balance.low'"]),
        asked("last event", "facts.latest_named", &["'program.changed'"]),
        asked("events of a client", "facts.page_of_client", &["0", "2", ever, client, "'cli_0'"]),
        asked(
            "rare event of a client",
            "facts.page_of_client_and_kind",
            &["0", "2", ever, client, "'cli_0'", "'program.changed'"],
        ),
        asked("ledger", "ledger_entries.page", &["0", begin, end, "5", ever, "NULL", "NULL"]),
        asked(
            "ledger of a rare account",
            "ledger_entries.page_of_account",
            &["0", begin, end, "5", ever, "NULL", "NULL", rare],
        ),
        asked("balance at an instant", "ledger_entries.balance_at", &["'main'", "'USD'", &at(31), &hour(31), &at(31)]),
        asked("deposits of a month", "ledger_entries.funded", &["'main'", "'USD'", begin, &at(31)]),
        asked("rare runs", "reconciliations.list_of_account", &[last, "5", rare]),
        asked("budgets of a reward", "budget_usage.of_key", &["'prg_3'", "'2026-01-05'", "'2026-01'", key]),
    ]
}

fn all_asked(backend: Backend) -> Vec<Asked> {
    lists_of_everyone(backend).into_iter().chain(asked_of_one(backend)).collect()
}

fn text_of(backend: Backend, asked: &Asked) -> String {
    let sql = LISTS.iter().flat_map(|(_file, list)| *list).find(|sql| sql.name == asked.statement);
    let sql = sql.unwrap_or_else(|| panic!("{}: no such statement", asked.statement));
    let values: Vec<&str> = asked.parameters.iter().map(String::as_str).collect();
    match backend {
        Backend::Sqlite => bound(sql.sqlite, &values),
        Backend::Postgres => sql.postgres.to_owned(),
    }
}

/// What each reads, and how long it takes.
async fn reads(database: &Database) -> Vec<(u64, Duration)> {
    let backend = database.backend;
    let mut look = Look::at(database).await;
    if backend == Backend::Postgres {
        look.run("SET plan_cache_mode = force_generic_plan; SET jit = off").await.unwrap();
    }
    let mut found = Vec::new();
    for asked in all_asked(backend) {
        let text = text_of(backend, &asked);
        found.push(match &mut look {
            Look::Sqlite(connection) => {
                let count = Arc::new(AtomicU64::new(0));
                let counted = Arc::clone(&count);
                connection.lock_handle().await.unwrap().set_progress_handler(STEPS, move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    true
                });
                let clock = Ambient::system();
                let began = clock.monotonic();
                connection.fetch_all(AssertSqlSafe(text)).await.unwrap();
                (count.load(Ordering::Relaxed), began.elapsed())
            }
            Look::Postgres(_) => on_postgres(&mut look, &text, &asked).await,
        });
    }
    found
}

async fn on_postgres(look: &mut Look, text: &str, asked: &Asked) -> (u64, Duration) {
    look.run(&format!("PREPARE one AS {text}")).await.unwrap();
    let values = if asked.parameters.is_empty() { String::new() } else { format!("({})", asked.parameters.join(", ")) };
    // Once for the database's memory, and once for the figure.
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS) EXECUTE one{values}");
    look.plan(&explain).await;
    let plan = look.plan(&explain).await;
    look.run("DEALLOCATE one").await.unwrap();
    // A time has three digits behind its point.
    let after = |mark: &str, text: &str| -> u64 {
        let (_before, rest) = text.split_once(mark).unwrap_or_default();
        let number = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.');
        number.filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    // The first line of buffers is the whole statement's.
    let buffers = plan.lines().find(|line| line.contains("Buffers:")).unwrap_or_default();
    let pages = after("hit=", buffers) + after("read=", buffers);
    (pages, Duration::from_micros(after("Execution Time: ", &plan)))
}

async fn compare(backend: Backend, small: i64, large: i64) {
    let mut figures = Vec::new();
    for rewards in [small, large] {
        let database = Database::migrated(backend).await;
        grow(&database, rewards).await;
        figures.push(reads(&database).await);
        database.remove().await;
    }
    let mut wrong = Vec::new();
    for (at, asked) in all_asked(backend).iter().enumerate() {
        let ((few, quick), (many, slow)) = (figures[0][at], figures[1][at]);
        println!(
            "{backend:?}: {:28} {:36} {few:6} reads {:8} µs at {small}, {many:6} reads {:8} µs at {large}",
            asked.what,
            asked.statement,
            quick.as_micros(),
            slow.as_micros()
        );
        // A tree gets a little higher.
        if many > few * 2 + 60 {
            wrong.push(format!("{} ({}): {few} became {many}", asked.what, asked.statement));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

on_each_backend! {
    async fn what_is_asked_reads_no_more_of_ten_times_as_much(backend: Backend) {
        compare(backend, 2_000, 20_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn a_million_rewards_are_listed_as_ten_thousand_on_sqlite() {
    compare(Backend::Sqlite, 10_000, 1_000_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn a_million_rewards_are_listed_as_ten_thousand_on_postgres() {
    compare(Backend::Postgres, 10_000, 1_000_000).await;
}
