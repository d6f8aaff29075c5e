//! Kinds in the schema: a file of schema 7 with rewards in every state is taken over, what a program of schema 7 writes is
//! read right and the other way round, and the worker's look for what is due keeps its index.

use noshi::{
    incentives::{attention, sql::due, target},
    ledger::moved,
};
use sqlx::Executor;

use super::{App, Backend, Database, Shape, migrated, on_each_backend};
use crate::support::{PARTNER, look::Look};

/// Before there were columns for kinds.
const BEFORE: i64 = 7;
/// Each state of schema 7, its error, and whether that schema's program calls it retryable.
const REWARDS: [(&str, &str, bool); 10] = [
    ("pending", "NULL", false),
    ("issuing", "NULL", false),
    ("unresolved", "'F100'", false),
    ("issued", "NULL", false),
    ("failed", "'F200'", false),
    ("failed", "'F300'", true),
    ("failed", "NULL", true),
    ("canceling", "NULL", false),
    ("canceled", "NULL", false),
    ("needs_attention", "'F300'", false),
];
const AT: &str = "'2026-01-02T03:04:05.000000+00:00'";
/// What a program of schema 7 writes when it inserts and when it saves, word for word; its values are put in by [`bound`].
const INSERT_OF_SCHEMA_7: &str = "INSERT INTO rewards (id, client_id, intent, account, creation_request_id, kind, amount_minor, currency, \
     external_id, metadata, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, \
     deliveries, events, lease_token, due_at, created_at, updated_at, first_send_at, unproven_since, marketplace, \
     environment, program_id, budget_key, budget_day, booked, trace_context) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
     $12, 1, $25, FALSE, FALSE, 1, 0, $13, $14, $15, $16, $16, $17, $17, $18, $19, $20, $21, $22, $23, $24) \
     ON CONFLICT DO NOTHING";
const SAVE_OF_SCHEMA_7: &str = "UPDATE rewards SET state = $3, ambiguous = $4, cancel_requested = $5, cancel_doubt = $6, cancel_failure = $7, \
     attention = $8, error_code = $9, error_type = $10, attempts = $11, deliveries = $12, events = $13, \
     lease_token = $14, due_at = $15, updated_at = $16, first_send_at = $17, unproven_since = $18, issued_at = $19, \
     canceled_at = $20, refusals = $21, budget_key = $22, budget_day = $23, booked = $24, \
     version = $2 + 1 WHERE id = $1 AND version = $2";
const DUE_OF_SCHEMA_7: &str = "SELECT id, client_id, intent, account, marketplace, environment, creation_request_id, kind, amount_minor, currency, external_id, metadata, \
     on_unresolved, state, version, ambiguous, refusals, cancel_requested, cancel_doubt, cancel_failure, attention, \
     error_code, error_type, attempts, deliveries, events, lease_token, due_at, created_at, updated_at, \
     first_send_at, unproven_since, issued_at, canceled_at, program_id, budget_key, budget_day, booked, trace_context \
     FROM rewards WHERE due_at <= $1 AND state IN ('pending', 'issuing', 'unresolved', 'canceling') \
     AND kind = 'gift_code' ORDER BY due_at LIMIT $2";

/// The text with its values in it.
pub(super) fn bound(text: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(text.to_owned(), |text, (at, value)| text.replace(&format!("${}", at + 1), value))
}

fn uuid(backend: Backend, last: usize) -> String {
    let hex = format!("019000000000700080000000000000{last:02x}");
    if backend == Backend::Sqlite { format!("X'{hex}'") } else { format!("'{hex}'::uuid") }
}

fn insert(backend: Backend, at: usize, state: &str) -> String {
    let intent = format!("{}{at:02x}", "ab".repeat(19));
    let intent = if backend == Backend::Sqlite { format!("X'{intent}'") } else { format!("'\\x{intent}'") };
    let (id, client, amount) = (uuid(backend, at + 16), uuid(backend, 1), (1_i64 << at).to_string());
    let (amazon, external) = (format!("'Awssb{}{at:02}'", "A".repeat(30)), format!("'old {at}'"));
    let state = format!("'{state}'");
    bound(
        INSERT_OF_SCHEMA_7,
        &[
            &id,
            &client,
            &intent,
            "'main'",
            &amazon,
            "'gift_code'",
            &amount,
            "'USD'",
            &external,
            "NULL",
            "'keep'",
            &state,
            "1",
            "NULL",
            "NULL",
            AT,
            AT,
            "'US'",
            "'sandbox'",
            "NULL",
            "NULL",
            "NULL",
            "'none'",
            "NULL",
            "FALSE",
        ],
    )
}

/// So many more rewards like the only one.
fn copies(backend: Backend, many: usize) -> String {
    let (numbers, id, intent) = match backend {
        Backend::Sqlite => (
            format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})"),
            "CAST(unhex(printf('01910000000070008000%012x', i)) AS BLOB)",
            "CAST(unhex(printf('%040x', i)) AS BLOB)",
        ),
        Backend::Postgres => (
            format!("WITH n(i) AS (SELECT generate_series(1, {many}))"),
            "CAST('01910000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') AS UUID)",
            "decode(lpad(to_hex(i), 40, '0'), 'hex')",
        ),
    };
    format!(
        "{numbers} INSERT INTO rewards (id, client_id, intent, account, creation_request_id, kind, amount_minor, \
         currency, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, deliveries, \
         events, created_at, updated_at, marketplace, environment, booked) \
         SELECT {id}, client_id, {intent}, account, 'AwssbAAAAAAAAAAAAAAAAAAAAAAAAAA' || (1000000 + i), kind, amount_minor, currency, \
         on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attempts, deliveries, events, \
         created_at, updated_at, marketplace, environment, booked FROM rewards, n"
    )
}

/// A change of the one reward to this state, as a program of schema 7 makes it.
async fn save(app: &App, state: &str, error: &str) {
    let id = "(SELECT id FROM rewards)";
    let version = app.database.number("SELECT version FROM rewards").await.to_string();
    let (state, no) = (format!("'{state}'"), "FALSE");
    let values = [
        id,
        &version,
        &state,
        no,
        no,
        no,
        "NULL",
        "NULL",
        error,
        "NULL",
        "2",
        "0",
        "(SELECT events FROM rewards)",
        "NULL",
        "NULL",
        AT,
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "0",
        "NULL",
        "NULL",
        "'none'",
    ];
    assert_eq!(app.database.execute(&bound(SAVE_OF_SCHEMA_7, &values)).await.unwrap(), 1);
}

pub(super) async fn of_schema_7(backend: Backend) -> Database {
    let database = Database::fresh(backend).await;
    database.migrate_to(BEFORE).await;
    let client = format!("INSERT INTO clients (id, name, created_at) VALUES ({}, 'tests', {AT})", uuid(backend, 1));
    database.execute(&client).await.unwrap();
    for (at, (state, error, _retryable)) in REWARDS.into_iter().enumerate() {
        database.execute(&insert(backend, at, state)).await.unwrap();
        let issued_at = if matches!(state, "issued" | "canceling" | "canceled") { AT } else { "NULL" };
        let error = format!(
            "UPDATE rewards SET error_code = {error}, issued_at = {issued_at} WHERE amount_minor = {}",
            1 << at
        );
        database.execute(&error).await.unwrap();
        let entry = format!(
            "INSERT INTO reward_events (reward_id, seq, at, kind) VALUES ({}, 1, {AT}, 'reward.received')",
            uuid(backend, at + 16)
        );
        database.execute(&entry).await.unwrap();
    }
    database
}

on_each_backend! {
    async fn a_database_of_schema_7_is_taken_over_whole(backend: Backend) {
        let database = of_schema_7(backend).await;
        let mut open = Look::at(&database).await;
        let before = open.count("rewards").await;
        migrated(&database).await.close().await;
        // Also by who had it open: a new kind, and what no kind is called.
        assert_eq!((open.count("rewards").await, before), (REWARDS.len(), REWARDS.len()));
        let first = "UPDATE rewards SET kind = 'balance_load', retryable_version = 3 WHERE amount_minor = 1";
        assert_eq!(open.run(first).await.unwrap(), 1);
        for bad in ["''", "'Gift'", "'gift-code'", "'_x'", "'gift code'", &format!("'{}'", "a".repeat(33))] {
            assert!(open.run(&format!("UPDATE rewards SET kind = {bad}")).await.is_err(), "{bad}");
        }
        for half in ["target_key = '2026-11'", "target_key = '2026-11', target_sealed = NULL"] {
            assert!(open.run(&format!("UPDATE rewards SET {half}")).await.is_err(), "{half}");
        }
        let dangling = format!("UPDATE rewards SET client_id = {}", uuid(backend, 9));
        let twice = "UPDATE rewards SET external_id = 'one'";
        for broken in [dangling.as_str(), twice, "UPDATE rewards SET state = 'escrowed'"] {
            assert!(open.run(broken).await.is_err(), "{broken}");
        }
        // What a program of schema 7 goes on to write and to ask.
        assert_eq!(open.run(&insert(backend, 20, "issuing")).await.unwrap(), 1);
        assert_eq!(open.run(&insert(backend, 20, "issuing")).await.unwrap(), 0);
        open.run(&bound(DUE_OF_SCHEMA_7, &[AT, "5"])).await.unwrap();
        assert_eq!(open.run("ALTER TABLE rewards ADD COLUMN later TEXT").await.unwrap_or_default(), 0);
        if backend == Backend::Sqlite {
            assert_eq!(database.text("PRAGMA integrity_check").await, "ok");
            assert_eq!(database.number("SELECT COUNT(*) FROM pragma_foreign_key_check").await, 0);
            assert_eq!(database.number("SELECT COUNT(*) FROM pragma_foreign_key_list('early_reward_events')").await, 1);
            assert_eq!(database.number("SELECT COUNT(*) FROM pragma_index_list('rewards')").await, 12);
        }
        drop(open);
        database.remove().await;
    }

    async fn rewards_of_schema_7_are_read_in_every_state(backend: Backend) {
        let app = App::on(of_schema_7(backend).await, Shape::default()).await;
        let found = app.get("/v1/rewards?limit=100").await;
        assert_eq!(found.status, 200, "{}", found.text);
        for (at, (state, _error, _retryable)) in REWARDS.into_iter().enumerate() {
            let one = found.json["data"].as_array().unwrap().iter().find(|one| one["external_id"] == format!("old {at}"));
            let one = one.unwrap_or_else(|| panic!("{state} is not there: {}", found.text));
            assert_eq!(one["status"], state, "{one}");
        }
        app.end().await;
    }

    /// A caller comes back with the key of a failed reward: what may be tried again is.
    async fn whoever_wrote_a_failure_it_is_known_whether_to_try_again(backend: Backend) {
        for (before, write, again) in [
            // By a program of schema 7 alone.
            ("retryable = NULL, retryable_version = NULL", Some("'F300'"), true),
            ("retryable = NULL, retryable_version = NULL", Some("'F200'"), false),
            // By it, after this one had written the opposite.
            ("retryable = TRUE, retryable_version = version", Some("'F200'"), false),
            ("retryable = FALSE, retryable_version = version", Some("'F300'"), true),
            // By this one last: its word counts, whatever the error.
            ("retryable = FALSE, retryable_version = version", None, false),
            ("retryable = TRUE, retryable_version = version, error_code = 'F200'", None, true),
        ] {
            let app = App::spawn(backend).await;
            app.control.set_funds(PARTNER, 0.into()).unwrap();
            assert_ne!(app.issue("one", "5.00").await.status, 201);
            app.control.set_funds(PARTNER, 1_000.into()).unwrap();
            let ours = "SELECT COUNT(*) FROM rewards WHERE state = 'failed' AND retryable AND retryable_version = version";
            assert_eq!(app.database.number(ours).await, 1, "this program did not say it");
            app.database.execute(&format!("UPDATE rewards SET {before}")).await.unwrap();
            if let Some(error) = write {
                save(&app, "issuing", "NULL").await;
                save(&app, "failed", error).await;
            }
            let answer = app.issue("one", "5.00").await;
            assert_eq!(answer.status == 201, again, "{before}, {write:?}: {}", answer.text);
            app.end().await;
        }
    }

    async fn the_sweep_of_targets_reads_the_rows_that_hold_one(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await.close().await;
        let wipe = target::STATEMENTS.iter().find(|sql| sql.name == "rewards.wipe_targets").unwrap();
        let plan = match backend {
            Backend::Sqlite => {
                let plan = format!("EXPLAIN QUERY PLAN {}", bound(wipe.sqlite, &["'trial'", AT, "500"]));
                Look::at(&database).await.plan(&plan).await
            }
            Backend::Postgres => {
                // Of an empty table every index costs the same.
                crate::schema::growth::grow(&database, 2_000).await;
                let mut connection = database.postgres().await;
                connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
                let plan = format!("EXPLAIN {}", bound(wipe.postgres, &["'trial'", AT, "500"]));
                Look::Postgres(connection).plan(&plan).await
            }
        };
        assert!(plan.contains("rewards_targets"), "{plan}");
        database.remove().await;
    }

    /// A caller's list during a roll-out, and the operator's: what this version knows is there.
    async fn a_kind_that_only_a_later_version_knows_is_left_out_of_every_list(backend: Backend) {
        let app = App::spawn(backend).await;
        let (known, later) = (app.issue("known", "1.00").await, app.issue("later", "2.00").await);
        assert_eq!((known.status, later.status), (201, 201));
        let unknown = "UPDATE rewards SET kind = 'of_tomorrow' WHERE amount_minor = 200";
        assert_eq!(app.database.execute(unknown).await.unwrap(), 1);
        for list in ["/v1/rewards", "/v1/rewards?status=issued"] {
            let found = app.get(list).await;
            assert_eq!(found.status, 200, "{}", found.text);
            let ids: Vec<_> = found.json["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
            assert_eq!(ids, [known.id()], "{list}");
        }
        let named = "UPDATE rewards SET external_id = 'order-1' WHERE amount_minor = 200";
        assert_eq!(app.database.execute(named).await.unwrap(), 1);
        let found = app.get("/v1/rewards?external_id=order-1").await;
        assert_eq!((found.status, &found.json["data"]), (200, &serde_json::json!([])), "{}", found.text);
        let waits = "UPDATE rewards SET state = 'needs_attention', attention = 'adopted', issued_at = NULL";
        assert_eq!(app.database.execute(waits).await.unwrap(), 2);
        let store = app.open_store().await;
        let waiting = attention::list(&store).await.unwrap();
        assert_eq!(waiting.iter().map(|one| one.id.to_string()).collect::<Vec<_>>(), [known.id()]);
        store.close().await;
        app.end().await;
    }

    async fn a_state_that_only_a_later_version_knows_is_left_out_of_every_list(backend: Backend) {
        let app = App::spawn(backend).await;
        let known = app.issue("known", "1.00").await;
        assert_eq!(app.issue("later", "2.00").await.status, 201);
        // That version has another check.
        let mut look = Look::at(&app.database).await;
        look.run(match backend {
            Backend::Sqlite => "PRAGMA ignore_check_constraints = ON",
            Backend::Postgres => "ALTER TABLE rewards DISABLE TRIGGER rewards_state_has_shape",
        }).await.unwrap();
        look.run("UPDATE rewards SET state = 'of_tomorrow', external_id = 'order-1' WHERE amount_minor = 200").await.unwrap();
        drop(look);
        for (list, wanted) in [("/v1/rewards", vec![known.id()]), ("/v1/rewards?external_id=order-1", vec![])] {
            let found = app.get(list).await;
            assert_eq!(found.status, 200, "{list}: {}", found.text);
            let ids: Vec<_> = found.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
            assert_eq!(ids, wanted, "{list}");
        }
        app.end().await;
    }

    /// More than one statement reads.
    async fn the_operators_list_is_whole_however_long_it_is(backend: Backend) {
        let database = Database::fresh(backend).await;
        let store = migrated(&database).await;
        let client = format!("INSERT INTO clients (id, name, created_at) VALUES ({}, 'tests', {AT})", uuid(backend, 1));
        database.execute(&client).await.unwrap();
        database.execute(&insert(backend, 0, "issuing")).await.unwrap();
        database.execute(&copies(backend, 2_000)).await.unwrap();
        let waits = format!("UPDATE rewards SET state = 'needs_attention', attention = 'adopted', first_send_at = {AT}");
        assert_eq!(database.execute(&waits).await.unwrap(), 2_001);
        let waiting = attention::list(&store).await.unwrap();
        assert!(waiting.is_sorted_by(|one, next| one.id.uuid() < next.id.uuid()), "oldest first, and each once");
        assert_eq!(waiting.len(), 2_001);
        store.close().await;
        database.remove().await;
    }

    async fn the_look_for_what_is_due_keeps_its_index(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await.close().await;
        let kinds = "'[\"gift_code\",\"balance_load\"]'";
        let parameters = [AT, "64", kinds, "'[]'", "'[]'", "'main'"];
        // The one lane's index has what it asks for, and no other.
        for (name, index) in [("rewards.due", "rewards_due"), ("rewards.due_reversals", "rewards_due")] {
            let due = due::STATEMENTS.iter().find(|sql| sql.name == name).unwrap();
            match backend {
                Backend::Sqlite => {
                    let plan = format!("EXPLAIN QUERY PLAN {}", bound(due.sqlite, &parameters));
                    let plan = Look::at(&database).await.plan(&plan).await;
                    assert!(plan.contains(&format!("USING INDEX {index}")), "{name}: {plan}");
                    let unsorted = !plan.contains("SCAN rewards") && !plan.contains("TEMP B-TREE FOR ORDER BY");
                    assert!(unsorted && plan.contains("(account=? AND due_at<?)"), "{name}: {plan}");
                }
                Backend::Postgres => {
                    let mut connection = database.postgres().await;
                    // An empty table is scanned, whatever its indexes.
                    connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
                    let plan = format!("EXPLAIN {}", bound(due.postgres, &parameters));
                    let plan = Look::Postgres(connection).plan(&plan).await;
                    assert!(plan.contains(&format!("Index Scan using {index}")) && !plan.contains("Sort"), "{name}: {plan}");
                }
            }
        }
        database.remove().await;
    }

    /// The metrics page asks for it every few seconds: it must not read a month of entries.
    async fn what_was_moved_is_read_by_its_indexes(backend: Backend) {
        let database = Database::fresh(backend).await;
        migrated(&database).await.close().await;
        let parameters = ["'main'", "'USD'", "495000", "495024", "494900", "495600", "494180", "494900"];
        let between = ["'main'", "'USD'", AT, AT];
        for (name, parameters, index) in [
            ("hourly_spending.moved", parameters.as_slice(), "ledger_entries_of_account"),
            ("ledger_entries.moved", between.as_slice(), "ledger_entries_moved"),
        ] {
            let sql = moved::STATEMENTS.iter().find(|sql| sql.name == name).unwrap();
            let plan = match backend {
                Backend::Sqlite => {
                    let plan = format!("EXPLAIN QUERY PLAN {}", bound(sql.sqlite, parameters));
                    Look::at(&database).await.plan(&plan).await
                }
                Backend::Postgres => {
                    let mut connection = database.postgres().await;
                    connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
                    let plan = format!("EXPLAIN {}", bound(sql.postgres, parameters));
                    Look::Postgres(connection).plan(&plan).await
                }
            };
            assert!(plan.contains(index) && !plan.contains("SCAN ledger_entries"), "{name}: {plan}");
        }
        database.remove().await;
    }
}
