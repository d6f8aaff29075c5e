//! A database that has grown: rewards of a year, with what stands beside them, made by SQL. However many there are, a few are rare: of an
//! account, of a kind, in a state; and these are the oldest.

use crate::support::{Backend, Database, look::Look};

/// Midnight of 2026-01-01. Rewards are spread over the year that follows.
pub(super) const BEGIN: i64 = 1_767_225_600;
const YEAR: i64 = 31_536_000;
/// Rewards of one statement.
const STEP: i64 = 50_000;

/// The client of every second reward; the others are of nineteen more.
pub(super) fn client(backend: Backend) -> String {
    uuid(backend, "'00000000000070008000000000000100'")
}

fn uuid(backend: Backend, hex: &str) -> String {
    match backend {
        Backend::Sqlite => format!("unhex({hex})"),
        Backend::Postgres => format!("CAST({hex} AS UUID)"),
    }
}

/// What both databases write differently.
struct Dialect(Backend);

impl Dialect {
    /// A number as text of this width, with zeros before it.
    fn digits(&self, number: &str, width: u32) -> String {
        match self.0 {
            Backend::Sqlite => format!("printf('%0{width}d', {number})"),
            Backend::Postgres => format!("lpad(CAST({number} AS TEXT), {width}, '0')"),
        }
    }

    fn hex(&self, number: &str, width: u32) -> String {
        match self.0 {
            Backend::Sqlite => format!("printf('%0{width}x', {number})"),
            Backend::Postgres => format!("lpad(to_hex({number}), {width}, '0')"),
        }
    }

    fn bytes(&self, text: &str) -> String {
        match self.0 {
            Backend::Sqlite => format!("CAST({text} AS BLOB)"),
            Backend::Postgres => format!("convert_to({text}, 'UTF8')"),
        }
    }

    /// The instant of this second since 1970.
    fn instant(&self, second: &str) -> String {
        match self.0 {
            Backend::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%S+00:00', {second}, 'unixepoch')"),
            Backend::Postgres => format!("to_timestamp({second})"),
        }
    }

    /// The numbers from one up to another, as `numbers (n)`.
    fn numbers(&self, from: i64, to: i64) -> String {
        match self.0 {
            Backend::Sqlite => {
                format!(
                    "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {to})"
                )
            }
            Backend::Postgres => {
                format!(
                    "WITH numbers (n) AS (SELECT n FROM generate_series(CAST({from} AS BIGINT), {to} - 1) AS series (n))"
                )
            }
        }
    }

    /// The digits of an API key's id, which is a UUID: the service refuses to read a row with another one.
    fn key(&self, number: &str) -> String {
        format!("'00000000000070008000' || {}", self.digits(number, 12))
    }

    fn id(&self, rewards: i64) -> String {
        let millis = self.hex(&format!("(({BEGIN} + n * {YEAR} / {rewards}) * 1000)"), 12);
        uuid(self.0, &format!("{millis} || '70008000' || {}", self.hex("n", 12)))
    }

    fn client(&self) -> String {
        let number = self.digits("CASE WHEN n % 2 = 0 THEN 100 ELSE 100 + n % 20 END", 12);
        uuid(self.0, &format!("'00000000000070008000' || {number}"))
    }
}

const ACCOUNT: &str = "CASE WHEN n % 97 = 7 AND n < 2000 THEN 'rare' WHEN n % 10 = 3 THEN 'second' ELSE 'main' END";
const STATE: &str = "CASE WHEN n % 97 = 13 AND n < 2000 THEN 'needs_attention' WHEN n % 97 = 17 AND n < 2000 THEN 'unresolved' \
                     WHEN n % 50 = 18 THEN 'failed' WHEN n % 100 = 28 THEN 'canceled' ELSE 'issued' END";
const PROGRAM: &str = "CASE WHEN n % 3 = 0 THEN 'prg_' || (n % 10) END";

/// What the rewards of these numbers leave behind.
fn rewards(backend: Backend, from: i64, to: i64, all: i64) -> Vec<String> {
    let d = Dialect(backend);
    let (numbers, id, client) = (d.numbers(from, to), d.id(all), d.client());
    let at = d.instant(&format!("{BEGIN} + n * {YEAR} / {all}"));
    let (intent, request) = (d.bytes(&d.digits("n", 20)), d.digits("n", 32));
    let (key, day) = (d.key("n % 50"), format!("substr(CAST({} AS TEXT), 1, 10)", at));
    vec![
        format!(
            "{numbers} INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, kind, \
             amount_minor, currency, external_id, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, \
             attempts, deliveries, events, due_at, created_at, updated_at, first_send_at, issued_at, program_id, budget_key, \
             budget_day, booked) SELECT {id}, {client}, {intent}, {ACCOUNT}, 'US', 'sandbox', 'Awssb' || {request}, \
             CASE WHEN n % 97 = 11 AND n < 2000 THEN 'balance_load' ELSE 'gift_code' END, 500, 'USD', \
             CASE WHEN n % 2 = 0 THEN 'order_' || n END, 'keep', {STATE}, 1, FALSE, FALSE, FALSE, 1, 0, 2, \
             CASE WHEN {STATE} = 'unresolved' THEN {at} END, {at}, {at}, {at}, \
             CASE WHEN {STATE} IN ('issued', 'canceled') THEN {at} END, {PROGRAM}, \
             CASE WHEN n % 3 = 0 THEN 'key_' || {key} END, CASE WHEN n % 3 = 0 THEN {day} END, 'issued' FROM numbers"
        ),
        format!(
            "{numbers} INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor, reward_id, program_id) \
             SELECT {at}, {ACCOUNT}, 'USD', kinds.kind, kinds.debit, kinds.credit, 500, {id}, {PROGRAM} FROM numbers \
             CROSS JOIN (SELECT 1 AS place, 'reserved' AS kind, 'reserved' AS debit, 'funds' AS credit \
             UNION ALL SELECT 2, 'issued', 'issued', 'reserved') AS kinds ORDER BY n, place"
        ),
        format!(
            "{numbers} INSERT INTO facts (at, seq, subject_id, client_id, subject_kind, account, kind) SELECT {at}, kinds.seq, {id}, \
             {client}, 'reward', {ACCOUNT}, kinds.kind FROM numbers CROSS JOIN (SELECT 1 AS seq, 'reward.created' AS kind \
             UNION ALL SELECT 2, 'reward.issued') AS kinds ORDER BY n, seq"
        ),
        format!(
            "{numbers} INSERT INTO facts (at, kind, subject_kind, subject) SELECT {at}, \
             CASE WHEN n = 100 THEN 'program.changed' ELSE 'budget.' || substr('abcdefghijklmn', CAST(n / 100 % 14 + 1 AS INTEGER), 1) END, 'program', 'prg_' || (n % 9) FROM numbers \
             WHERE n % 100 = 0"
        ),
    ]
}

/// What grows beside rewards.
fn beside(backend: Backend, all: i64) -> Vec<String> {
    let d = Dialect(backend);
    let at = d.instant(&format!("{BEGIN} + n * 60"));
    let listed = all.min(15_000);
    let (many, few, seen) = (d.numbers(0, 15_000), d.numbers(0, 2_000), d.numbers(0, listed));
    let (key, request) = (d.key("n / 30 % 50"), d.digits(&format!("n * {all} / {listed}"), 32));
    let run = uuid(backend, &format!("'0190000000007000800000000000' || {}", d.hex("n", 4)));
    let running = uuid(backend, "'0190000000007000800000000000ffff'");
    let (hash, of_day) = (uuid_bytes(&d), d.digits("1 + n % 28", 2));
    let (sealed, no) = match backend {
        Backend::Sqlite => (format!("X'{}'", "01".repeat(40)), "0"),
        Backend::Postgres => (format!("'\\x{}'::bytea", "01".repeat(40)), "FALSE"),
    };
    let run_columns = "INSERT INTO reconciliations (id, account, partner_id, currency, source, daily, period_from, period_to, state, \
                       started_at, ended_at)";
    vec![
        format!(
            "INSERT INTO early_reward_events (reward_id, seq, at, kind) SELECT r.id, places.place, r.created_at, 'reward.created' \
             FROM (SELECT id, created_at FROM rewards ORDER BY id LIMIT 5000) AS r CROSS JOIN (SELECT 1 AS place UNION ALL SELECT 2) AS places"
        ),
        format!(
            "{many} INSERT INTO budget_usage (program_id, holder, span, period, reserved_minor, reserved_count, used_minor, \
             used_count) SELECT 'prg_' || (n / 1500), CASE WHEN n / 30 % 50 = 0 THEN 'all' ELSE 'key_' || {key} END, 'day', '2026-01-' || {}, 0, 0, 500, 1 FROM numbers \
             WHERE n % 30 < 28",
            d.digits("1 + n % 30", 2)
        ),
        format!(
            "{few} {run_columns} SELECT {run}, CASE WHEN n = 7 THEN 'rare' ELSE 'main' END, 'Awssb', 'USD', 'csv', FALSE, {at}, \
             {at}, CASE WHEN n % 50 = 3 THEN 'failed' ELSE 'finished' END, {at}, {at} FROM numbers"
        ),
        format!(
            "{run_columns} VALUES ({running}, 'main', 'Awssb', 'USD', 'csv', FALSE, {0}, {0}, 'running', {0}, NULL)",
            d.instant("0")
        ),
        format!(
            "{seen} INSERT INTO reconciliation_seen (reconciliation_id, partner_id, request_id) \
             SELECT {running}, 'Awssb', 'Awssb' || {request} FROM numbers"
        ),
        format!(
            "{few} INSERT INTO reconciliation_items (reconciliation_id, seq, class, partner_id, request_id, at) \
             SELECT {run}, place, 'ours_only', 'Awssb', 'Awssb' || {request}, {at} FROM numbers \
             CROSS JOIN (SELECT 1 AS place UNION ALL SELECT 2 UNION ALL SELECT 3) AS places"
        ),
        format!(
            "{few} INSERT INTO audit_records (sequence, at_us, actor, action, subject, details, previous_hash, hash) \
             SELECT n + 1, n, '{{}}', CASE WHEN n % 500 = 3 THEN 'audit.verified' ELSE 'code.revealed' END, 'main', '{{}}', {hash}, \
             {hash} FROM numbers"
        ),
        format!(
            "{few} INSERT INTO webhook_endpoints (id, client_id, everyone, url, event_types, since, state, secret_key, secret_sealed, \
             failures, created_at, updated_at) SELECT {run}, c.id, {no}, 'https://example.com/', '', 0, 'enabled', 'one', {sealed}, 0, {at}, {at} \
             FROM numbers CROSS JOIN (SELECT id FROM clients ORDER BY id LIMIT 1) AS c WHERE n < 40"
        ),
        format!(
            "{many} INSERT INTO webhook_deliveries (endpoint_id, fact_id, event_type, subject, sequence, happened_at, state, attempts, claims, \
             due_at, created_at, pending_since) SELECT e.id, n, 'reward.issued', 'rwd_' || n, 2, {at}, \
             CASE WHEN n % 1000 = 7 THEN 'pending' WHEN n % 100 = 3 THEN 'failed' ELSE 'delivered' END, 1, 1, {at}, {at}, {at} FROM numbers \
             CROSS JOIN (SELECT id FROM webhook_endpoints ORDER BY id LIMIT 2) AS e"
        ),
        format!(
            "{few} INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) \
             SELECT 'main', 'USD', n, 0, 0, 1 FROM numbers"
        ),
        format!(
            "{few} INSERT INTO day_spending (account, holder, day, spent_minor, rewards) \
             SELECT 'main', 'cli_' || {}, '2026-02-' || {of_day}, 0, 1 FROM numbers",
            d.digits("n", 32)
        ),
    ]
}

/// Batches, and five items of each.
fn batches(backend: Backend) -> Vec<String> {
    let d = Dialect(backend);
    let (at, few) = (d.instant(&format!("{BEGIN} + n * 60")), d.numbers(0, 2_000));
    let id = uuid(backend, &format!("'0190000000007000800000000000' || {}", d.hex("n", 4)));
    let client = uuid(backend, &format!("'00000000000070008000' || {}", d.digits("100 + n % 20", 12)));
    let (intent, hash) = (d.bytes(&d.digits("n", 20)), uuid_bytes(&d));
    vec![
        format!(
            "{few} INSERT INTO batches (id, client_id, api_key_id, account, intent, digest, items, state, setbacks, moved_at, created_at, updated_at, \
             ended_at) SELECT {id}, {client}, {id}, 'main', {intent}, {hash}, 10, CASE WHEN n % 100 = 3 THEN 'running' ELSE 'finished' END, 0, {at}, {at}, \
             {at}, CASE WHEN n % 100 <> 3 THEN {at} END FROM numbers"
        ),
        format!(
            "{few} INSERT INTO batch_items (batch_id, place, external_id, kind, amount_minor, currency, state, due_at, claims) \
             SELECT {id}, places.place, 'order_' || n, 'gift_code', 500, 'USD', CASE WHEN n % 100 = 3 THEN 'waiting' ELSE 'done' END, \
             CASE WHEN n % 100 = 3 THEN {at} END, 0 FROM numbers CROSS JOIN (SELECT 0 AS place UNION ALL SELECT 1 UNION ALL SELECT 2 \
             UNION ALL SELECT 3 UNION ALL SELECT 4) AS places"
        ),
    ]
}

/// Memberships, a plan of each, and five periods: some are to be charged, some to be rewarded, some memberships to be renewed.
fn memberships(backend: Backend) -> Vec<String> {
    let d = Dialect(backend);
    let (at, few) = (d.instant(&format!("{BEGIN} + n * 60")), d.numbers(0, 2_000));
    let id = uuid(backend, &format!("'0190000000007000800000000001' || {}", d.hex("n", 4)));
    let client = uuid(backend, &format!("'00000000000070008000' || {}", d.digits("100 + n % 20", 12)));
    let (intent, charge) = (d.bytes(&d.digits("n", 20)), d.bytes(&d.digits("n * 10 + places.place", 20)));
    let day = if backend == Backend::Postgres { "DATE '2026-11-30'" } else { "'2026-11-30'" };
    vec![
        format!(
            "{few} INSERT INTO membership_plans (id, client_id, api_key_id, intent, name, pay_account, price_minor, price_currency, span, span_length, \
             account, reward_minor, reward_currency, hold_days, grace_days, retries, created_at) SELECT {id}, {client}, {id}, {intent}, 'Gold', 'shop', \
             980, 'JPY', 'months', 1, 'main', 500, 'USD', 0, 6, 3, {at} FROM numbers"
        ),
        format!(
            "{few} INSERT INTO memberships (id, client_id, api_key_id, intent, plan_id, consent_id, reference, state, anchor_on, anchor_number, periods, \
             due_at, version, created_at, updated_at, ended_at) SELECT {id}, {client}, {id}, {intent}, {id}, 'C03-1234567-' || {}, 'member_' || n, \
             CASE WHEN n % 10 = 3 THEN 'active' ELSE 'ended' END, {day}, 1, 5, CASE WHEN n % 100 = 3 THEN {at} END, 1, {at}, {at}, \
             CASE WHEN n % 10 <> 3 THEN {at} END FROM numbers",
            d.digits("n", 7)
        ),
        format!(
            "{few} INSERT INTO membership_consents (consent_id, membership_id, close_since, close_at, tries, created_at, updated_at) \
             SELECT 'C03-1234567-' || {}, {id}, CASE WHEN n % 10 <> 3 THEN {at} END, CASE WHEN n % 100 = 5 THEN {at} END, 1, {at}, {at} FROM numbers",
            d.digits("n", 7)
        ),
        format!(
            "{few} INSERT INTO membership_periods (membership_id, number, client_id, plan_id, starts_at, ends_at, state, tries, setbacks, refunded_minor, \
             intent, payment_id, due_at, entitlement, reward_due_at, claims, created_at, updated_at) SELECT {id}, places.place, {client}, {id}, {at}, {at}, \
             CASE WHEN n % 100 = 3 THEN 'charging' ELSE 'paid' END, 1, 0, 0, {charge}, {id}, CASE WHEN n % 100 = 3 THEN {at} END, \
             CASE WHEN n % 100 = 5 THEN 'issuing' ELSE 'issued' END, CASE WHEN n % 100 = 5 THEN {at} END, 1, {at}, {at} FROM numbers \
             CROSS JOIN (SELECT 1 AS place UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) AS places"
        ),
    ]
}

/// Charges of consents that have many each, some of them unfinished, and a refund of every fifth.
fn payments(backend: Backend, all: i64) -> Vec<String> {
    let d = Dialect(backend);
    let (numbers, client) = (d.numbers(0, all), d.client());
    // Of neither a reward nor each other: a timeline belongs to one id.
    let id_of = |kind: &str| {
        let milliseconds = d.hex(&format!("(({BEGIN} + n * {YEAR} / {all}) * 1000)"), 12);
        uuid(backend, &format!("{milliseconds} || '{kind}' || {}", d.hex("n", 12)))
    };
    let (id, refund) = (id_of("7000b000"), id_of("7000a000"));
    let at = d.instant(&format!("{BEGIN} + n * {YEAR} / {all}"));
    let made = |kind: &str, id: &str, against: &str, parent: &str, number: &str, which: &str| {
        let (intent, key) = (d.bytes(&d.digits(number, 20)), d.hex(number, 32));
        let state = "CASE WHEN n % 97 = 13 AND n < 2000 THEN 'needs_attention' WHEN n % 97 = 17 AND n < 2000 THEN 'unresolved' \
                     WHEN n % 50 = 18 THEN 'failed' ELSE 'issued' END";
        format!(
            "{numbers} INSERT INTO payments (id, client_id, intent, account, environment, kind, pay_key, against, parent_id, amount_minor, \
             currency, external_id, may_wait, state, version, doubt, refusals, reversal_wanted, reversal_doubt, first_sent_at, \
             unproven_since, proven_at, attempts, attempts_before, events, due_at, created_at, updated_at) SELECT {id}, {client}, {intent}, \
             'shop', 'sandbox', '{kind}', {key}, {against}, {parent}, 500, 'JPY', CASE WHEN n % 2 = 0 THEN 'order_' || n END, FALSE, {state}, \
             1, FALSE, 0, FALSE, FALSE, {at}, CASE WHEN {state} = 'unresolved' THEN {at} END, CASE WHEN {state} = 'issued' THEN {at} END, \
             1, 0, 2, CASE WHEN {state} = 'unresolved' THEN {at} END, {at}, {at} FROM numbers WHERE {which}"
        )
    };
    let consent = format!("'C03-1234567-' || {}", d.digits("n % 1000", 7));
    let charge = format!("'P03-1234567-' || {} || '-C123456'", d.digits("n", 7));
    vec![
        made("charge", &id, &consent, "NULL", "n", "n >= 0"),
        made("refund", &refund, &charge, &id, &format!("n + {all}"), "n % 5 = 0"),
    ]
}

fn uuid_bytes(d: &Dialect) -> String {
    d.bytes(&d.digits("n", 32))
}

/// Fills a migrated database with so many rewards.
pub(crate) async fn grow(database: &Database, all: i64) {
    let backend = database.backend;
    let d = Dialect(backend);
    let at = d.instant(&BEGIN.to_string());
    let mut texts = vec![
        format!(
            "{} INSERT INTO clients (id, name, created_at) SELECT {}, 'client ' || n, {at} FROM numbers",
            d.numbers(0, 20),
            uuid(backend, &format!("'00000000000070008000' || {}", d.digits("100 + n", 12)))
        ),
        format!(
            "{} INSERT INTO programs (id, name, account, state, version, created_at, updated_at) \
             SELECT 'prg_' || n, 'program', 'main', 'active', 1, {at}, {at} FROM numbers",
            d.numbers(0, 10)
        ),
    ];
    for from in (0..all).step_by(usize::try_from(STEP).unwrap()) {
        texts.extend(rewards(backend, from, all.min(from + STEP), all));
    }
    texts.extend(beside(backend, all));
    texts.extend(batches(backend));
    texts.extend(memberships(backend));
    texts.extend(payments(backend, all.min(20_000)));
    for account in ["main", "second", "rare"] {
        texts.push(format!(
            "INSERT INTO ledger_marks (account, currency, through_id, through_at, mark_id, mark_at) \
             SELECT '{account}', 'USD', MAX(id), MAX(at), MAX(id), MAX(at) FROM ledger_entries"
        ));
    }
    let mut look = Look::at(database).await;
    for text in texts {
        look.run(&text).await.unwrap_or_else(|error| panic!("{error}: {text}"));
    }
    look.run(if backend == Backend::Postgres { "VACUUM ANALYZE" } else { "ANALYZE" }).await.unwrap();
}
