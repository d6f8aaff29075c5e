//! How the databases carry out each statement once they have grown: none may read a table of what happened from end to end.
//!
//! The plans are those of ten million rewards. A smaller database is filled, and its statistics are multiplied. On SQLite the plans
//! without statistics are looked at as well: nobody gathers them there, unless an operator does. On PostgreSQL they are the plans that
//! are made without knowing the parameters, because a connection may come to keep such a plan.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};

use super::{LISTS, growth};
use crate::support::{Backend, Database, look::Look, on_each_backend};

/// Rewards that are there, and by how much the statistics exceed them.
pub(super) const REWARDS: i64 = 20_000;
const TIMES: i64 = 500;

/// Tables with rows of what happened.
const GROWING: &[&str] = &[
    "rewards",
    "facts",
    "early_reward_events",
    "ledger_entries",
    "reconciliations",
    "reconciliation_items",
    "reconciliation_seen",
    "audit_records",
    "budget_usage",
    "day_spending",
    "hourly_spending",
    "webhook_deliveries",
    "batch_items",
    "batches",
    "payments",
    "membership_plans",
    "memberships",
    "membership_consents",
    "membership_periods",
];

/// Indexes of what is unfinished: they do not grow with what happened.
const SMALL: &[&str] = &[
    "rewards_due",
    "rewards_due_reversals",
    "rewards_attention",
    "rewards_targets",
    "reconciliations_running",
    "webhook_deliveries_due",
    "webhook_deliveries_in_order",
    "webhook_deliveries_waiting",
    "batches_open",
    "batches_aged",
    "batch_items_due",
    "memberships_open",
    "memberships_due",
    "memberships_to_open",
    "membership_consents_closing",
    "membership_periods_due",
    "membership_periods_owed",
    "membership_periods_failed",
    "payments_due",
    "payments_attention",
    "payments_look",
];

/// On which database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Both,
    Sqlite,
    Postgres,
}

/// Statements that may, and why.
const EXCEPTIONS: &[(&str, On, &str)] = &[
    ("payments.of_remote", On::Postgres, "a charge of Amazon's and its capture"),
    ("payments.noticed_by_id", On::Postgres, "a charge of Amazon's and its capture"),
    ("payments.noticed_by_key", On::Postgres, "a key names one payment"),
    ("payments.taken_of_consent", On::Postgres, "the charges of one consent: one a month"),
    ("payments.noticed_by_consent", On::Postgres, "the charges of one consent: one a month"),
    ("payments.captures", On::Postgres, "the refunds and captures of one charge"),
    ("memberships.page_named", On::Postgres, "a reference names one membership of a client"),
    (
        "membership_consents.other",
        On::Postgres,
        "the memberships of one consent: one, but for those of a program that knew no claims",
    ),
    ("memberships.page_of_plan_in_state", On::Postgres, "the members of one plan"),
    ("payments.returned", On::Postgres, "the refunds of one charge: ten at most"),
    ("payments.list_of_parent", On::Postgres, "the refunds of one charge: ten at most"),
    ("batches.page_named", On::Postgres, "the batches of one name"),
    ("batch_items.cancel", On::Postgres, "the items of one batch"),
    ("batch_items.take_up_again", On::Postgres, "the items of one batch"),
    ("audit_records.newest", On::Sqlite, "one row, the last by its key: SQLite calls it a scan"),
    ("webhook_deliveries.remove_aged", On::Postgres, "passes over those that were to be sent again within a month"),
    ("audit_records.hashed_by", On::Both, "an operator's command, `check --targets`"),
    ("audit_records.counts", On::Both, "stands beside the check of every record, once a day"),
    ("rewards.youngest", On::Both, "asked once, by the first start after a restore"),
    ("facts.youngest_named", On::Both, "asked once, by the first start after a restore"),
    ("ledger_entries.sums", On::Both, "an operator's command: what proves the marks does not go by them"),
    ("ledger_entries.page", On::Postgres, "the ids are bounded beside the time"),
    ("ledger_entries.page_of_account", On::Postgres, "the ids are bounded beside the time"),
    ("ledger_entries.page_of_client", On::Postgres, "the entries of one window"),
    ("ledger_entries.page_of_client_and_account", On::Postgres, "the entries of one window"),
    ("hourly_spending.moved", On::Postgres, "behind the mark, and an account has one currency"),
    ("ledger_entries.balance_at", On::Postgres, "behind the mark, and an account has one currency"),
    ("ledger_entries.bought_by_client", On::Postgres, "the entries of one window"),
    ("ledger_entries.standing", On::Postgres, "behind the mark, and an account has one currency"),
    ("ledger_entries.spent_since", On::Postgres, "since the last balance of the account"),
    ("reconciliation_items.of_reward", On::Postgres, "the findings about one reward"),
    ("reconciliation_items.strangers", On::Postgres, "the findings of one run"),
    ("reconciliation_seen.compare", On::Postgres, "one reward by its id at Amazon, and a second look at whose it is"),
    ("reconciliations.periods", On::Postgres, "asked while a restore is not yet reconciled"),
    ("reconciliations.leftovers", On::Both, "the first entry of an index; the failed runs of one account"),
];

/// The tables of this text that go by this name in it.
fn table_of<'a>(text: &str, name: &'a str) -> &'a str {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let named = words.windows(3).find_map(|three| match three {
        [table, "AS", alias] | [table, alias, _] if *alias == name => GROWING.iter().find(|one| *one == table),
        _ => None,
    });
    named.copied().unwrap_or(name)
}

/// What a plan of SQLite reads from end to end.
fn walks_of_sqlite(text: &str, plan: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in plan.lines() {
        if line.contains("AUTOMATIC") {
            found.insert(format!("makes an index: {line}"));
        }
        // The least or greatest of a column that no index is ordered by is called a search for nothing.
        let for_nothing = !line.contains('(') && !text.contains("MAX(id)");
        let scan = line.strip_prefix("SCAN ").or_else(|| line.strip_prefix("SEARCH ").filter(|_rest| for_nothing));
        let Some(name) = scan.and_then(|rest| rest.split(' ').next()) else { continue };
        let table = table_of(text, name);
        let by_small = SMALL.iter().any(|index| line.ends_with(&format!("INDEX {index}")));
        if GROWING.contains(&table) && !by_small {
            found.insert(format!("{table}: {line}"));
        }
    }
    found
}

/// What a plan of PostgreSQL reads from end to end, or reads and throws away.
pub(super) fn walks_of_postgres(
    node: &Value,
    under: Option<&str>,
    unique: &[(String, Vec<String>)],
    found: &mut BTreeSet<String>,
) {
    let text = |name: &str| node.get(name).and_then(Value::as_str);
    let kind = text("Node Type").unwrap_or_default();
    let condition = text("Index Cond");
    let (table, index) = (text("Relation Name").unwrap_or_default(), text("Index Name"));
    if kind == "Seq Scan" && GROWING.contains(&table) {
        found.insert(format!("{table}: Seq Scan"));
    }
    if let Some(index) = index.filter(|index| !SMALL.contains(index)) {
        let one = unique.iter().any(|(name, columns)| {
            name == index
                && columns.iter().all(|column| condition.is_some_and(|text| text.contains(&format!("({column} = "))))
        });
        let grows = kind == "Bitmap Index Scan" || GROWING.contains(&table);
        let first = condition.is_none() && under == Some("Limit") && text("Filter").is_none();
        if grows && condition.is_none() && !first {
            found.insert(format!("{table}: {kind} of all of {index}"));
        } else if let (true, false, Some(filter)) = (grows, one, text("Filter")) {
            found.insert(format!("{table}: {index} {} throws away by {filter}", condition.unwrap_or_default()));
        }
    }
    for child in node.get("Plans").and_then(Value::as_array).into_iter().flatten() {
        let of_child = |node: &Value, name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let table = of_child(child, "Relation Name");
        let index = of_child(child.pointer("/Plans/0").unwrap_or(child), "Index Name");
        let by_small = SMALL.contains(&index.as_str()) || SMALL.contains(&of_child(child, "Index Name").as_str());
        // The first by an order that no index has: all are read, and one page is kept.
        if kind == "Sort" && under == Some("Limit") && GROWING.contains(&table.as_str()) && !by_small {
            found.insert(format!("{table}: sorts what {index} finds"));
        }
        walks_of_postgres(child, Some(kind), unique, found);
    }
}

/// Multiplies the statistics of what grows.
pub(super) async fn pretend_on_postgres(look: &mut Look) {
    let list = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
    let text = format!(
        "UPDATE pg_class SET reltuples = reltuples * {TIMES} WHERE reltuples > 0 AND relname NOT IN ({small}) AND (relname IN ({all}) \
         OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid::regclass::text IN ({all})))",
        small = list(SMALL),
        all = list(GROWING)
    );
    assert!(look.run(&text).await.unwrap() > 10);
}

#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
async fn pretend_on_sqlite(connection: &mut SqliteConnection) {
    let rows: Vec<(i64, String, Option<String>, String)> =
        sqlx::query_as("SELECT rowid, tbl, idx, stat FROM sqlite_stat1").fetch_all(&mut *connection).await.unwrap();
    for (row, table, index, stat) in rows {
        if !GROWING.contains(&table.as_str()) || index.is_some_and(|index| SMALL.contains(&index.as_str())) {
            continue;
        }
        let numbers = stat.split(' ').map(|number| match number.parse::<i64>() {
            // What is unique stays so.
            Ok(1) => "1".to_owned(),
            Ok(number) => (number * TIMES).to_string(),
            Err(_word) => number.to_owned(),
        });
        let stat = numbers.collect::<Vec<_>>().join(" ");
        sqlx::query("UPDATE sqlite_stat1 SET stat = $1 WHERE rowid = $2")
            .bind(stat)
            .bind(row)
            .execute(&mut *connection)
            .await
            .unwrap();
    }
}

/// The unique indexes and their columns.
#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
pub(super) async fn unique_indexes(look: &mut Look) -> Vec<(String, Vec<String>)> {
    let Look::Postgres(connection) = look else { return Vec::new() };
    sqlx::query_as(
        "SELECT i.indexrelid::regclass::text, array_agg(a.attname::text) FROM pg_index i \
         JOIN pg_attribute a ON a.attrelid = i.indexrelid WHERE i.indisunique GROUP BY i.indexrelid",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

pub(super) async fn json_plan(look: &mut Look, explain: &str) -> Value {
    let Look::Postgres(connection) = look else { panic!("SQLite has no plan in JSON") };
    let row = connection.fetch_one(AssertSqlSafe(explain.to_owned())).await.unwrap();
    // The driver is built without its type for JSON, which is text on the wire.
    serde_json::from_str(&row.try_get_unchecked::<String, _>(0).unwrap()).unwrap()
}

/// The plans of all statements on a grown database: each with its name, and what it walks through.
async fn walks_on_postgres(database: &Database) -> Vec<(&'static str, BTreeSet<String>)> {
    let mut look = Look::at(database).await;
    pretend_on_postgres(&mut look).await;
    let unique = unique_indexes(&mut look).await;
    look.run("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let mut all = Vec::new();
    for sql in LISTS.iter().flat_map(|(_file, list)| *list) {
        look.run(&format!("PREPARE one AS {}", sql.postgres))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", sql.name));
        let count = noshi::store::sql::highest_parameter(sql.postgres);
        let nulls = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
        let plan = json_plan(&mut look, &format!("EXPLAIN (FORMAT JSON) EXECUTE one{nulls}")).await;
        look.run("DEALLOCATE one").await.unwrap();
        let mut found = BTreeSet::new();
        walks_of_postgres(&plan[0]["Plan"], None, &unique, &mut found);
        all.push((sql.name, found));
    }
    all
}

async fn walks_on_sqlite(database: &Database) -> Vec<(&'static str, BTreeSet<String>)> {
    let mut all = Vec::new();
    for known in [true, false] {
        let mut connection = database.sqlite().await;
        if known {
            pretend_on_sqlite(&mut connection).await;
        } else {
            Look::Sqlite(database.sqlite().await).run("DELETE FROM sqlite_stat1").await.unwrap();
        }
        connection.close().await.unwrap();
        // The statistics are read when the file is opened.
        let mut look = Look::at(database).await;
        for sql in LISTS.iter().flat_map(|(_file, list)| *list) {
            let plan = look.plan(&format!("EXPLAIN QUERY PLAN {}", sql.sqlite)).await;
            all.push((sql.name, walks_of_sqlite(sql.sqlite, &plan)));
        }
    }
    all
}

on_each_backend! {
    async fn no_statement_reads_a_table_that_grows_from_end_to_end(backend: Backend) {
        let database = Database::migrated(backend).await;
        growth::grow(&database, REWARDS).await;
        let all = match backend {
            Backend::Sqlite => walks_on_sqlite(&database).await,
            Backend::Postgres => walks_on_postgres(&database).await,
        };
        let ours = if backend == Backend::Sqlite { On::Sqlite } else { On::Postgres };
        let here = |on: On| on == On::Both || on == ours;
        let (mut wrong, mut excused) = (Vec::new(), BTreeSet::new());
        for (name, found) in &all {
            match EXCEPTIONS.iter().find(|(excepted, on, _why)| excepted == name && here(*on)) {
                Some(_) if !found.is_empty() => drop(excused.insert(*name)),
                Some(_) => {}
                None => wrong.extend(found.iter().map(|walk| format!("{name}: {walk}"))),
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        let known: BTreeSet<&str> = EXCEPTIONS.iter().filter(|(_name, on, _why)| here(*on)).map(|(name, ..)| *name).collect();
        assert_eq!(excused, known, "an exception without a need");
        database.remove().await;
    }
}
