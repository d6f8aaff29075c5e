//! No column can hold a claim code (SEC-01): every column that the catalogue knows is tried with codes of every shape.

use std::collections::{BTreeMap, BTreeSet};

use noshi::sandbox::Activity;
use sqlx::error::DatabaseError;

use crate::support::{
    App, Backend,
    look::{Column, Look},
    on_each_backend,
};

/// Codes as Amazon writes them (4-6-4, 4-6-5), of letters, digits and both, and as a hand may retype them.
const HYPHENED: [&str; 7] = [
    "AB12-CD34EF-GH56",
    "ABCD-EFGHJK-LMNP",
    "AB12-CD34EF-GH567",
    "ABCD-EFGHJK-LMNPQ",
    "1234-567890-12A4",
    ORDER,
    "ab12-cd34ef-gh56",
];
/// The shape of a code, and digits alone behind the first group: an order number.
const ORDER: &str = "1234-567890-1234";
/// The columns that may hold one.
const OF_ORDERS: [(&str, &str); 11] = [
    ("membership_plans", "name"),
    ("memberships", "reference"),
    ("payments", "external_id"),
    ("batches", "name"),
    ("batch_items", "external_id"),
    ("batch_items", "metadata"),
    ("rewards", "external_id"),
    ("rewards", "metadata"),
    ("rewards", "create_members"),
    ("facts", "data"),
    ("ledger_entries", "note"),
];
/// Codes that lost their hyphens, and the shape of Amazon's mock code.
const BARE: [&str; 5] = ["AB12CD34EFGH56", "ABCDEFGHJKLMNP", "AB12CD34EFGH567", "ABCDEFGHJKLMNPQ", "ZYXW-VUTS-RQPO"];

/// Where people write what they like: the hyphened forms are refused there, bare ones cannot be told from a word, an
/// order number or a JSON value.
const FREE: [(&str, &str, &str); 20] = [
    ("membership_plans", "name", "the client's words for a plan"),
    ("memberships", "reference", "the caller's own reference"),
    ("payments", "external_id", "the caller's own reference"),
    ("audit_records", "actor", "JSON of ours with the names of a user and a machine in it"),
    ("audit_records", "details", "JSON of ours with the operator's words in it"),
    ("facts", "data", "JSON of ours with the caller's reason in it"),
    ("ledger_entries", "made_by", "who corrected the funds"),
    ("ledger_entries", "note", "why"),
    ("programs", "name", "the operator's words for a program"),
    ("api_keys", "name", "the operator's words for a key"),
    ("clients", "name", "the operator's name for a client"),
    ("early_reward_events", "detail", "JSON of ours with the caller's reason in it"),
    ("rewards", "external_id", "the caller's own reference"),
    ("rewards", "metadata", "the caller's own words as JSON"),
    ("rewards", "create_members", "JSON of ours with the caller's reference in it"),
    ("batches", "name", "the client's words for a batch"),
    ("batch_items", "external_id", "the caller's own reference"),
    ("batch_items", "metadata", "the caller's own words as JSON"),
    ("webhook_endpoints", "url", "where the client wants its events"),
    ("webhook_endpoints", "description", "the client's words for an endpoint"),
];

fn is_free(column: &Column) -> bool {
    FREE.iter().any(|(table, name, _why)| *table == column.table && *name == column.name)
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The ways to write a code into a column, as SQL: as text, inside text, as bytes, as the bytes of a UUID.
fn writings(code: &str, backend: Backend, kind: &str) -> Vec<String> {
    let mut padded = code.as_bytes().to_vec();
    padded.resize(16, 0);
    let padded = hex(padded.get(..16).unwrap());
    let inside = [code.to_owned(), format!("see {code}."), format!("x\n{code}"), format!("{{\"a\":\"{code}\"}}")];
    // In bytes only a length is checked: text around a code may happen to have it.
    let ways = if matches!(kind, "bytea" | "blob") { 1 } else { inside.len() };
    let mut all: Vec<String> = inside.iter().take(ways).map(|text| format!("'{text}'")).collect();
    if ways > 1 {
        // An instant with a code for a time of day.
        all.push(format!("'2026-01-01T{code}'"));
    }
    match (backend, kind) {
        (Backend::Sqlite, _) => all.extend([format!("X'{}'", hex(code.as_bytes())), format!("X'{padded}'")]),
        (Backend::Postgres, "uuid") => all.push(format!("'{padded}'::uuid")),
        (Backend::Postgres, "bytea") => {
            all.extend([format!("'\\x{}'::bytea", hex(code.as_bytes())), format!("'\\x{padded}'::bytea")]);
        }
        // Elsewhere bytes would be written as their digits.
        (Backend::Postgres, _) => {}
    }
    all
}

/// Whether the database refused the value for what it is: by a check or by its type. A foreign key or a unique index
/// that happens to be in the way is no protection.
fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    match code.as_deref() {
        // SQLite: a CHECK; the type of a STRICT table's column; that of its integer key. NOT NULL is not among them.
        Some("275" | "3091" | "20") => true,
        // PostgreSQL: a CHECK; not of the type; no such cast; malformed instant; out of range; too long.
        Some("23514" | "22P02" | "42804" | "22007" | "22008" | "22009" | "22023" | "22003" | "22001") => true,
        Some(_) | None => false,
    }
}

/// Tables that take no change at all: their triggers are lifted while the checks are tried.
fn guards(table: &str, backend: Backend) -> Vec<String> {
    match (table, backend) {
        ("ledger_entries", Backend::Sqlite) => vec!["DROP TRIGGER ledger_entries_no_update".to_owned()],
        ("ledger_entries", Backend::Postgres) => {
            vec!["DROP TRIGGER ledger_entries_no_change ON ledger_entries".to_owned()]
        }
        ("audit_records", Backend::Sqlite) => vec!["DROP TRIGGER audit_records_no_update".to_owned()],
        ("audit_records", Backend::Postgres) => {
            vec!["DROP TRIGGER audit_records_no_change ON audit_records".to_owned()]
        }
        ("facts", Backend::Sqlite) => vec!["DROP TRIGGER facts_no_update".to_owned()],
        ("facts", Backend::Postgres) => vec!["DROP TRIGGER facts_no_change ON facts".to_owned()],
        _ => Vec::new(),
    }
}

/// The writes that bring a value into a column: into the rows that are there and, for one code, with a row that is new. A trigger may be
/// of one of them alone.
fn writes(code: &str, writing: &str, column: &Column, columns: &[Column], backend: Backend) -> Vec<String> {
    let Column { table, name, .. } = column;
    let mut writes = vec![format!("UPDATE \"{table}\" SET \"{name}\" = {writing}")];
    if Some(code) == HYPHENED.first().copied() {
        let named = columns.iter().filter(|other| other.table == *table).map(|other| format!("\"{}\"", other.name));
        let named: Vec<String> = named.collect();
        let values: Vec<&str> =
            named.iter().map(|other| if *other == format!("\"{name}\"") { writing } else { other }).collect();
        let given = if backend == Backend::Postgres { "OVERRIDING SYSTEM VALUE " } else { "" };
        let (named, values) = (named.join(", "), values.join(", "));
        writes.push(format!("INSERT INTO \"{table}\" ({named}) {given}SELECT {values} FROM \"{table}\""));
    }
    writes
}

/// What a column took, by code.
async fn taken(look: &mut Look, column: &Column, columns: &[Column], backend: Backend) -> Vec<(&'static str, String)> {
    let mut taken = Vec::new();
    for code in HYPHENED.into_iter().chain(BARE) {
        for writing in writings(code, backend, &column.kind) {
            for text in writes(code, &writing, column, columns, backend) {
                look.run("BEGIN").await.unwrap();
                for guard in guards(&column.table, backend) {
                    look.run(&guard).await.unwrap();
                }
                let done = look.run(&text).await;
                look.run("ROLLBACK").await.unwrap();
                match done {
                    Err(error) if is_refusal(&error) => {}
                    Err(error) => taken.push((code, format!("{text}: only {error}"))),
                    Ok(rows) => {
                        assert!(rows > 0, "{column:?}: there was no row to write to");
                        taken.push((code, text));
                    }
                }
            }
        }
    }
    taken
}

/// Every place where a code fits that must not, and every table that could not be tried.
async fn holes(look: &mut Look, backend: Backend) -> BTreeSet<String> {
    let mut holes = BTreeSet::new();
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    let columns = look.columns().await;
    for column in &columns {
        if look.count(&column.table).await == 0 {
            holes.insert(format!("{}: no row to try", column.table));
            continue;
        }
        *tried.entry(column.table.clone()).or_default() += 1;
        let taken = taken(look, column, &columns, backend).await;
        if is_free(column) {
            let bare: BTreeSet<_> = taken.iter().map(|(code, _)| *code).filter(|code| BARE.contains(code)).collect();
            if bare.len() != BARE.len() {
                holes.insert(format!("{}.{} is no free text: strike it off the list", column.table, column.name));
            }
        }
        for (code, writing) in taken {
            let of_orders = OF_ORDERS.contains(&(column.table.as_str(), column.name.as_str()));
            if !(is_free(column) && BARE.contains(&code) || of_orders && code == ORDER) {
                holes.insert(format!("{}.{} takes {code} by {writing}", column.table, column.name));
            }
        }
    }
    assert!(tried.len() >= 5 && tried.values().sum::<usize>() > 40, "the catalogue was not read: {tried:?}");
    holes
}

/// An endpoint of webhooks, and a delivery to it.
async fn with_webhooks(app: &App, sealed: &str) {
    let endpoint = format!(
        "INSERT INTO webhook_endpoints SELECT id, client_id, program_id, {}, 'https://example.com/', 'Points', 'reward.issued', 0, \
         'disabled', 'gone', '2026-11', {sealed}, '2026-11', {sealed}, created_at, 0, created_at, created_at, created_at, created_at FROM rewards",
        if app.database.backend == Backend::Sqlite { "1" } else { "TRUE" }
    );
    assert_eq!(app.database.execute(&endpoint).await.unwrap(), 1);
    let delivery = "INSERT INTO webhook_deliveries (endpoint_id, fact_id, event_type, subject, sequence, happened_at, state, attempts, claims, \
                    due_at, last_status, last_failure, created_at, pending_since, done_at) SELECT id, 1, 'reward.issued', 'rwd_1', 1, created_at, \
                    'failed', 10, 10, created_at, 500, 'timeout', created_at, created_at, created_at FROM webhook_endpoints";
    assert_eq!(app.database.execute(delivery).await.unwrap(), 1);
    with_batches(app, sealed).await;
    with_payment(app).await;
    with_membership(app).await;
}

/// A batch that was held up and has ended, and an item of it that was refused.
async fn with_batches(app: &App, sealed: &str) {
    let batch = format!(
        "INSERT INTO batches SELECT id, client_id, id, 'prg_spring', account, 'Points', intent, substr({sealed}, 1, 32), 1, 'canceled', 'lapsed', \
                 created_at, 0, created_at, created_at, created_at, created_at, created_at FROM rewards"
    );
    assert_eq!(app.database.execute(&batch).await.unwrap(), 1);
    let item = "INSERT INTO batch_items SELECT id, 0, 'order-1', 'gift_code', 100, 'USD', '{}', 'refused', created_at, id, 'lapsed', '/value', 1 \
                FROM batches";
    assert_eq!(app.database.execute(item).await.unwrap(), 1);
}

/// A refund that needs a person, with whatever a payment can have; it is its own charge.
async fn with_payment(app: &App) {
    let key = "0123456789abcdef0123456789abcdef";
    let payment = format!(
        "INSERT INTO payments (id, client_id, intent, account, environment, kind, pay_key, against, parent_id, amount_minor, currency, \
         external_id, may_wait, simulation, state, version, doubt, refusals, reversal_wanted, reversal_doubt, reversal_failure, attention, \
         retryable, done, first_sent_at, unproven_since, proven_at, reversed_at, remote_id, decline, error_code, attempts, \
         attempts_before, events, lease_token, due_at, created_at, updated_at, trace_context) SELECT id, client_id, intent, 'shop', \
         'sandbox', 'refund', '{key}', 'P03-1234567-1234567-C123456', id, 100, 'JPY', 'order-1', TRUE, 'SoftDeclined', \
         'needs_attention', 1, TRUE, 0, FALSE, FALSE, 'too_late', 'unproven', FALSE, TRUE, created_at, created_at, created_at, \
         created_at, 'P03-1234567-1234567-R123456', 'soft', 'SoftDeclined', 1, 0, 1, id, created_at, created_at, created_at, \
         '00-{key}-0123456789abcdef-01' FROM rewards"
    );
    assert_eq!(app.database.execute(&payment).await.unwrap(), 1);
    let notice = "INSERT INTO pay_notifications SELECT id, 'shop', id, id, 'charge', 'P03-1234567-1234567-C123456', id, created_at FROM rewards";
    assert_eq!(app.database.execute(notice).await.unwrap(), 1);
    let asked = "INSERT INTO pay_subscriptions SELECT id, 'shop', id, 'arn:aws:sns:us-east-1:291180941288:A1MARKETA1SELLER', '0123456789abcdef', \
                 created_at, created_at FROM rewards";
    assert_eq!(app.database.execute(asked).await.unwrap(), 1);
}

/// A plan, a membership of it that waits, and a period of that whose reward was kept, with whatever each can have.
async fn with_membership(app: &App) {
    let plan = "INSERT INTO membership_plans SELECT id, client_id, id, intent, 'Gold', 'shop', 980, 'JPY', 'months', 1, account, 'prg_spring', 500, \
                'USD', 0, 6, 3, created_at, created_at FROM rewards";
    assert_eq!(app.database.execute(plan).await.unwrap(), 1);
    let membership = "INSERT INTO memberships SELECT id, client_id, id, intent, id, id, 'C03-1234567-1234567', 'member-1', 'paused', 'refunded', \
                      '2026-11-30', 1, 1, created_at, 'SoftDeclined', 1, created_at, created_at, created_at, created_at, 1, 31 FROM membership_plans";
    let membership = if app.database.backend == Backend::Postgres {
        membership.replace("'2026-11-30'", "DATE '2026-11-30'")
    } else {
        membership.to_owned()
    };
    assert_eq!(app.database.execute(&membership).await.unwrap(), 1);
    let period = "INSERT INTO membership_periods SELECT id, 1, client_id, id, created_at, created_at, 'refunded', 2, 1, 'soft', 'insufficient-funds', \
                  intent, 'SoftDeclined', id, 980, created_at, created_at, 'kept', 'membership:C03-1234567-1234567-C123456', id, created_at, created_at, 1, \
                  created_at, created_at, 1 FROM membership_plans";
    assert_eq!(app.database.execute(period).await.unwrap(), 1);
    let claim = "INSERT INTO membership_consents SELECT consent_id, id, created_at, created_at, 1, created_at, created_at FROM memberships";
    assert_eq!(app.database.execute(claim).await.unwrap(), 1);
}

/// A key pair, and a replica that holds it.
async fn with_key_pair(app: &App, fingerprint: &str) {
    let pair = format!("INSERT INTO key_pairs (account, fingerprint, met_us) VALUES ('main', {fingerprint}, 1)");
    assert_eq!(app.database.execute(&pair).await.unwrap(), 1);
    let holder = "INSERT INTO key_pair_holders (account, replica, fingerprint, signs, seen_us) \
                  SELECT 'main', rewards.id, fingerprint, TRUE, 1 FROM key_pairs, rewards";
    assert_eq!(app.database.execute(holder).await.unwrap(), 1);
}

/// Somebody who is logged in to the console.
async fn with_console_session(app: &App, hash: &str) {
    let session =
        format!("INSERT INTO console_sessions SELECT {hash}, id, created_at, created_at FROM api_keys LIMIT 1");
    assert_eq!(app.database.execute(&session).await.unwrap(), 1);
}

/// A service that has written to every table, stopped again.
async fn with_rows(backend: Backend) -> App {
    let mut app = App::spawn(backend).await;
    let limits = serde_json::json!([{"span": "day", "hard": "50.00", "soft": "5.00"}]);
    let program = serde_json::json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": limits});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let body = serde_json::json!({
        "kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"}, "program_id": "prg_spring",
        "external_id": "order 1", "metadata": {"campaign": "spring"}
    });
    let issued = app.issue_body("one", body).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    assert_eq!(app.reveal(issued.id()).await.status, 200);
    for _ in 0..200 {
        // What was spent is counted once it has settled: the mark is noted, and taken later.
        app.advance(700);
        assert_eq!(app.post("/v1/balances/main/refresh", serde_json::json!({})).await.status, 200);
        if app.database.number("SELECT COUNT(*) FROM hourly_spending").await > 0 {
            break;
        }
    }
    let elsewhere = |records: &mut Vec<Activity>| {
        let stranger = Activity { request_id: "AwssbElsewhere".to_owned(), ..records[0].clone() };
        records.push(stranger);
    };
    app.control.edit_activity(elsewhere);
    let day = app.ambient.now().date_naive().to_string();
    app.advance(2 * 24 * 3600);
    let body = serde_json::json!({"account_id": "main", "from": day, "to": day});
    assert_eq!(app.post("/v1/reconciliations", body).await.status, 202);
    app.until_number("SELECT COUNT(*) FROM reconciliations WHERE state = 'finished'", 1).await;
    assert!(app.stop().await);
    // A run's own rows are gone when it has ended.
    let seen = "INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id, created_at, amount_minor, canceled_at) \
                SELECT reconciliation_id, partner_id, request_id, at, theirs_minor, at FROM reconciliation_items";
    assert_eq!(app.database.execute(seen).await.unwrap(), 1);
    // A target that is whole, so that each of its columns is refused for its own shape.
    let bytes = |bytes: &[u8]| match backend {
        Backend::Sqlite => format!("X'{}'", hex(bytes)),
        Backend::Postgres => format!("'\\x{}'::bytea", hex(bytes)),
    };
    let kept = format!(
        "UPDATE rewards SET target_sealed = {}, target_key = '2026-11', target_fingerprint = {}",
        bytes(&[1; 40]),
        bytes(&[2; 32])
    );
    assert_eq!(app.database.execute(&kept).await.unwrap(), 1);
    // A day that a person accepted, and observations that have not agreed yet.
    let accepted =
        "INSERT INTO reconciliation_accepted_days SELECT account, period_from, started_at FROM reconciliations";
    assert_eq!(app.database.execute(accepted).await.unwrap(), 1);
    app.database.execute("DELETE FROM balance_windows").await.unwrap();
    let window =
        "INSERT INTO balance_windows SELECT account, currency, as_of, as_of, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM balances";
    assert_eq!(app.database.execute(window).await.unwrap(), 1);
    let spent = "INSERT INTO day_spending VALUES ('main', 'all', '2026-11-26', 1, 1, NULL)";
    assert_eq!(app.database.execute(spent).await.unwrap(), 1);
    assert_eq!(app.database.execute("UPDATE api_keys SET replaces = id").await.unwrap(), 1);
    let floor =
        "INSERT INTO funds_floors SELECT account, currency, 'Awssb', 0, 0, as_of, 0, as_of, as_of, as_of FROM balances";
    assert_eq!(app.database.execute(floor).await.unwrap(), 1);
    with_key_pair(&app, &bytes(&[3; 32])).await;
    // A hash's key, which these settings lack. A record takes no change: this is another one.
    let keyed = "INSERT INTO audit_records SELECT sequence + 1000, at_us, actor, action, subject, details, '2026-11', previous_hash, hash \
                 FROM audit_records WHERE sequence = 1";
    assert_eq!(app.database.execute(keyed).await.unwrap(), 1);
    assert_eq!(app.database.execute("INSERT INTO retention_waiting SELECT id FROM rewards").await.unwrap(), 1);
    with_webhooks(&app, &bytes(&[1; 40])).await;
    with_console_session(&app, &bytes(&[1; 32])).await;
    // Entries of timelines from before the outbox.
    let early = "INSERT INTO early_reward_events SELECT id, 1, created_at, 'reward.received', '{}' FROM rewards";
    assert!(app.database.execute(early).await.unwrap() > 0);
    app
}

on_each_backend! {
    async fn no_column_of_any_table_can_hold_a_claim_code(backend: Backend) {
        let app = with_rows(backend).await;
        let mut look = Look::at(&app.database).await;
        let holes = holes(&mut look, backend).await;
        assert!(holes.is_empty(), "{} holes:\n{}", holes.len(), holes.into_iter().collect::<Vec<_>>().join("\n"));
        drop(look);
        app.end().await;
    }

    async fn a_column_or_a_table_that_is_added_without_a_check_is_found(backend: Backend) {
        let app = with_rows(backend).await;
        let mut look = Look::at(&app.database).await;
        let before = holes(&mut look, backend).await;
        let bytes = if backend == Backend::Sqlite { "BLOB" } else { "BYTEA" };
        look.run("ALTER TABLE rewards ADD COLUMN note TEXT").await.unwrap();
        look.run(&format!("ALTER TABLE rewards ADD COLUMN stamp {bytes}")).await.unwrap();
        look.run(&format!("ALTER TABLE clients ADD COLUMN mark {bytes}")).await.unwrap();
        look.run("CREATE TABLE queue (id BIGINT PRIMARY KEY, payload TEXT)").await.unwrap();
        if backend == Backend::Postgres {
            look.run("ALTER TABLE balances ADD COLUMN token UUID").await.unwrap();
            look.run("ALTER TABLE balances ADD COLUMN extra JSONB").await.unwrap();
        }
        let new: BTreeSet<String> = holes(&mut look, backend).await.difference(&before).cloned().collect();
        let mut wanted = vec!["rewards.note takes", "rewards.stamp takes", "clients.mark takes", "queue: no row"];
        if backend == Backend::Postgres {
            wanted.extend(["balances.token takes", "balances.extra takes"]);
        }
        for wanted in wanted {
            assert!(new.iter().any(|hole| hole.starts_with(wanted)), "{wanted}: {new:?}");
        }
        drop(look);
        app.end().await;
    }
}
