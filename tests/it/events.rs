//! One table of facts: the timelines of rewards and what finance hears of, as this release and the one before read and
//! write them.

mod feeds;

use chrono::{DateTime, Utc};
use noshi::{
    events::{
        Named, Subject,
        outbox::{self, FactFilter},
        timeline::{self, Fact, TimelineOrder},
    },
    identity::OwnedBy,
    kernel::{ClientId, RewardId},
    store::{Store, StoreError, StoreOptions, migrate::migrate},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    ledger::upgrade::insert,
    support::{App, Backend, Database, look::Look, on_each_backend},
};

/// The schema of the release before.
const BEFORE: i64 = 7;
const AT: &str = "2026-01-02T03:04:05.000000+00:00";
const CLIENT: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;
const REWARD: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// The statements of the release before, as they were written there.
mod before {
    pub(super) const ENTRY_INSERT: &str =
        "INSERT INTO reward_events (reward_id, seq, at, kind, detail) VALUES ($1, $2, $3, $4, $5)";
    pub(super) const ADOPTED: &str =
        "INSERT INTO reward_events (reward_id, seq, at, kind, detail) VALUES ($1, 1, $2, 'reward.adopted', NULL)";
    pub(super) const ENTRIES_OF: &str =
        "SELECT seq, at, kind, detail FROM reward_events WHERE reward_id = $1 ORDER BY seq LIMIT 1000";
    pub(super) const INSERT: &str = "INSERT INTO events (at, kind, subject, data) VALUES ($1, $2, $3, $4)";
    pub(super) const PAGE: &str = "SELECT id, at, kind, subject, data FROM events WHERE id > $1 AND (CAST($2 AS TEXT) IS NULL OR kind = $2) \
         ORDER BY id LIMIT $3";
    pub(super) const LAST_RESTORED: &str =
        "SELECT id, at, data FROM events WHERE kind = 'database.restored' ORDER BY id DESC LIMIT 1";
    pub(super) const RECONCILED_SINCE: &str =
        "SELECT id, at, data FROM events WHERE id > $1 AND kind = 'database.reconciled' AND subject = $2 LIMIT 1";
    pub(super) const SIGNS_OF_LIFE: &str = "SELECT MAX(updated_at) AS at FROM rewards UNION ALL SELECT MAX(as_of) FROM balances \
         UNION ALL SELECT MAX(at) FROM events UNION ALL SELECT MAX(created_at) FROM api_keys";
}

#[derive(Debug, PartialEq)]
struct Entry {
    seq: i64,
    at: DateTime<Utc>,
    kind: String,
    detail: Option<String>,
}

type EventColumns = (i64, DateTime<Utc>, String, String, Option<String>);

#[derive(Debug, PartialEq)]
struct Event {
    id: i64,
    kind: String,
    subject: String,
    data: Option<String>,
}

fn at() -> DateTime<Utc> {
    AT.parse().unwrap()
}

/// The release before: its statements, run on a connection of its own that outlives the migration.
struct Previous(Look);

macro_rules! on_either {
    ($look:expr, $connection:ident => $run:expr) => {
        match &mut $look {
            Look::Sqlite($connection) => $run,
            Look::Postgres($connection) => $run,
        }
    };
}

#[expect(clippy::disallowed_methods, reason = "what another program sends")]
impl Previous {
    async fn writes_entry(&mut self, reward: Uuid, seq: i64, kind: &str) -> Result<(), sqlx::Error> {
        let detail = format!("{{\"attempt\":{seq}}}");
        on_either!(self.0, c => sqlx::query(before::ENTRY_INSERT).bind(reward).bind(seq).bind(at()).bind(kind)
            .bind(Some(detail)).execute(c).await.map(drop))
    }

    async fn adopts(&mut self, reward: Uuid) -> Result<(), sqlx::Error> {
        on_either!(self.0, c => sqlx::query(before::ADOPTED).bind(reward).bind(at()).execute(c).await.map(drop))
    }

    async fn entries(&mut self, reward: Uuid) -> Vec<Entry> {
        let rows: Vec<(i64, DateTime<Utc>, String, Option<String>)> =
            on_either!(self.0, c => sqlx::query_as(before::ENTRIES_OF).bind(reward).fetch_all(c).await.unwrap());
        rows.into_iter().map(|(seq, at, kind, detail)| Entry { seq, at, kind, detail }).collect()
    }

    async fn writes(&mut self, kind: &str, subject: &str, data: Option<&Value>) {
        let data = data.map(Value::to_string);
        on_either!(self.0, c => sqlx::query(before::INSERT).bind(at()).bind(kind).bind(subject).bind(data)
            .execute(c).await.map(drop).unwrap());
    }

    async fn page(&mut self, after: i64, kind: Option<&str>) -> Vec<Event> {
        let rows: Vec<EventColumns> = on_either!(self.0, c =>
            sqlx::query_as(before::PAGE).bind(after).bind(kind).bind(50_i64).fetch_all(c).await.unwrap());
        rows.into_iter().map(|(id, _at, kind, subject, data)| Event { id, kind, subject, data }).collect()
    }

    /// The ids of the last restore and of the end of the gap of an account.
    async fn restored(&mut self, account: &str) -> (i64, Option<i64>) {
        let (last,): (i64,) =
            on_either!(self.0, c => sqlx::query_as(before::LAST_RESTORED).fetch_one(c).await.unwrap());
        let since: Option<(i64,)> = on_either!(self.0, c => sqlx::query_as(before::RECONCILED_SINCE).bind(last)
            .bind(account).fetch_optional(c).await.unwrap());
        (last, since.map(|(id,)| id))
    }

    async fn signs_of_life(&mut self) -> usize {
        let signs: Vec<(Option<DateTime<Utc>>,)> =
            on_either!(self.0, c => sqlx::query_as(before::SIGNS_OF_LIFE).fetch_all(c).await.unwrap());
        signs.into_iter().filter(|(sign,)| sign.is_some()).count()
    }
}

/// This release.
struct This(Store);

impl This {
    async fn writes_entry(&self, reward: Uuid, seq: i64, kind: &'static str) -> Result<(), StoreError> {
        let mut tx = self.0.begin().await?;
        let fact = Fact {
            subject: Subject::Reward(RewardId::new(reward)),
            seq,
            client: ClientId::new(Uuid::from_u128(CLIENT)),
            account: "main",
            kind,
            data: Some(format!("{{\"attempt\":{seq}}}")),
        };
        timeline::write(&mut tx, fact, at()).await?;
        tx.commit(()).await.map(drop)
    }

    async fn writes(&self, kind: &'static str, subject: Named<'_>) {
        let mut tx = self.0.begin().await.unwrap();
        outbox::write(&mut tx, kind, subject, Some(&json!({"by": "this"})), at()).await.unwrap();
        tx.commit(()).await.unwrap();
    }

    /// A timeline, page by page.
    async fn entries(&self, reward: Uuid, limit: i64) -> Vec<Entry> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let mut snapshot = self.0.snapshot().await.unwrap();
            let page = timeline::page(
                &mut snapshot,
                Subject::Reward(RewardId::new(reward)),
                TimelineOrder::Oldest,
                Some(after),
                limit,
            )
            .await
            .unwrap();
            let Some(last) = page.last() else { return entries };
            after = last.seq;
            entries.extend(page.into_iter().map(|row| Entry {
                seq: row.seq,
                at: row.at,
                kind: row.kind,
                detail: row.detail,
            }));
        }
    }

    async fn page(&self, after: i64, kind: Option<&str>) -> Vec<Event> {
        let filter = FactFilter { after, kind, limit: 50, shown: OwnedBy::default() };
        let rows = outbox::page(&mut self.0.snapshot().await.unwrap(), &filter).await.unwrap();
        rows.into_iter().map(|row| Event { id: row.id, kind: row.kind, subject: row.subject, data: row.data }).collect()
    }
}

/// A database of the release before, with two rewards.
async fn database_of_before(backend: Backend) -> Database {
    let database = Database::fresh(backend).await;
    database.migrate_to(BEFORE).await;
    let client = match backend {
        Backend::Sqlite => "X'01900000000070008000000000000001'",
        Backend::Postgres => "'01900000000070008000000000000001'",
    };
    let made = format!("INSERT INTO clients (id, name, created_at) VALUES ({client}, 'tests', '{AT}')");
    database.execute(&made).await.unwrap();
    for at in [1, 2] {
        database.execute(&insert(backend, at, "issued", 32)).await.unwrap();
    }
    database
}

async fn migrated(database: &Database) -> This {
    let options = StoreOptions { create: true, ..StoreOptions::of_command(database.url().to_owned().into(), 4) };
    let store = Store::open(&options).await.unwrap();
    migrate(&store).await.unwrap();
    This(store)
}

fn kinds(events: &[Event]) -> Vec<(i64, &str, &str)> {
    events.iter().map(|event| (event.id, event.kind.as_str(), event.subject.as_str())).collect()
}

on_each_backend! {
    async fn a_timeline_is_whole_and_in_order_whichever_release_wrote_its_entries(backend: Backend) {
        let database = database_of_before(backend).await;
        let mut previous = Previous(Look::at(&database).await);
        let (both, new) = (Uuid::from_u128(REWARD + 1), Uuid::from_u128(REWARD + 2));
        for (seq, kind) in [(1, "reward.received"), (2, "reward.issued")] {
            previous.writes_entry(both, seq, kind).await.unwrap();
        }
        assert_eq!(previous.entries(both).await.len(), 2);

        let this = migrated(&database).await;
        this.writes_entry(both, 3, "claim_code.revealed").await.unwrap();
        previous.writes_entry(both, 4, "claim_code.revealed").await.unwrap();
        this.writes_entry(both, 5, "cancel.requested").await.unwrap();
        previous.writes_entry(both, 6, "reward.canceled").await.unwrap();
        previous.adopts(new).await.unwrap();
        this.writes_entry(new, 2, "reward.reclaimed").await.unwrap();

        let entries = this.entries(both, 1000).await;
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        assert!(entries.iter().all(|entry| entry.at == at() && entry.detail == Some(format!("{{\"attempt\":{}}}", entry.seq))));
        assert_eq!(entries[1].kind, "reward.issued");
        assert_eq!(previous.entries(both).await, entries, "the release before sees another timeline");
        for limit in 1..=7 {
            assert_eq!(this.entries(both, limit).await, entries, "pages of {limit}");
        }
        let kinds: Vec<_> = this.entries(new, 10).await.into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, ["reward.adopted", "reward.reclaimed"]);
        assert_eq!(previous.entries(new).await, this.entries(new, 10).await);

        // A place is taken once, and only of a reward that is there.
        assert!(this.writes_entry(both, 4, "reward.issued").await.is_err(), "a place was taken twice");
        assert!(previous.writes_entry(both, 5, "reward.issued").await.is_err(), "a place was taken twice");
        let nobody = Uuid::from_u128(REWARD + 99);
        assert!(previous.writes_entry(nobody, 1, "reward.received").await.is_err(), "an entry of no reward");
        assert_eq!(this.entries(both, 1000).await, entries);

        // Both know whose it was.
        let owned = "SELECT COUNT(*) FROM facts WHERE subject_kind = 'reward' AND account = 'main' AND client_id IN \
                     (SELECT id FROM clients)";
        assert_eq!(database.number(owned).await, 6);
        this.0.close().await;
        drop(previous);
        database.remove().await;
    }

    async fn what_finance_hears_of_keeps_its_ids_and_no_entry_of_a_timeline_comes_between(backend: Backend) {
        let database = database_of_before(backend).await;
        let mut previous = Previous(Look::at(&database).await);
        previous.writes("program.created", "prg_spring", Some(&json!({"account": "main"}))).await;
        previous.writes("balance.low", "main", None).await;
        previous.writes("database.restored", "database", Some(&json!({"lost_from": AT}))).await;
        let early = previous.page(0, None).await;
        let (restored, none) = previous.restored("main").await;
        assert_eq!((early.len(), restored, none), (3, early[2].id, None));

        let this = migrated(&database).await;
        assert_eq!(this.page(0, None).await, early, "what callers have read is there under the same ids");
        assert_eq!(previous.page(0, None).await, early);
        // As after a restore: an entry of a timeline is no note of it.
        this.writes_entry(Uuid::from_u128(REWARD + 1), 1, "database.restored").await.unwrap();
        previous.writes_entry(Uuid::from_u128(REWARD + 2), 1, "database.restored").await.unwrap();
        this.writes("database.reconciled", Named::Account("main")).await;
        previous.writes("budget.exhausted", "prg_spring", None).await;
        this.writes("program.renamed", Named::Program(&"prg_spring".parse().unwrap())).await;

        let all = this.page(0, None).await;
        assert_eq!(all[..3], early);
        let later: Vec<_> = kinds(&all[3..]).into_iter().map(|(_id, kind, subject)| (kind, subject)).collect();
        let wanted = [("database.reconciled", "main"), ("budget.exhausted", "prg_spring"), ("program.renamed", "prg_spring")];
        assert_eq!(later, wanted);
        assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id), "{all:?}");
        assert_eq!(previous.page(0, None).await, all);
        // A cursor of before goes on where it stood.
        assert_eq!(this.page(early[1].id, None).await, all[2..]);
        assert_eq!(previous.page(early[2].id, None).await, all[3..]);
        assert_eq!(this.page(0, Some("budget.exhausted")).await, all[4..5]);
        assert_eq!(previous.page(0, Some("budget.exhausted")).await, all[4..5]);

        assert_eq!(previous.restored("main").await, (restored, Some(all[3].id)));
        assert_eq!(previous.restored("other").await, (restored, None));
        let mut snapshot = this.0.snapshot().await.unwrap();
        let latest = outbox::latest(&mut snapshot, "database.restored").await.unwrap().unwrap();
        assert_eq!((latest.id, latest.data), (restored, Some(json!({"lost_from": AT}).to_string())));
        let next = outbox::next(&mut snapshot, restored, "database.reconciled", Named::Account("main")).await.unwrap();
        assert_eq!(next.map(|row| row.id), Some(all[3].id));
        assert_eq!(outbox::youngest(&mut snapshot).await.unwrap(), Some(at()));
        drop(snapshot);
        assert_eq!(previous.signs_of_life().await, 2, "rewards and events");
        for (kind, count) in [("database", 1), ("account", 2), ("program", 3), ("reward", 2)] {
            let of = format!("SELECT COUNT(*) FROM facts WHERE subject_kind = '{kind}'");
            assert_eq!(database.number(&of).await, count, "{kind}");
        }
        this.0.close().await;
        drop(previous);
        database.remove().await;
    }

    async fn a_fact_is_never_changed(backend: Backend) {
        let app = App::spawn(backend).await;
        assert_eq!(app.issue("one", "5.00").await.status, 201);
        for change in ["UPDATE facts SET kind = 'reward.failed'", "DELETE FROM facts", "DELETE FROM facts WHERE seq = 2"] {
            let error = app.database.execute(change).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{change}: {error}");
        }
        app.end().await;
    }

    async fn a_long_timeline_is_read_page_by_page(backend: Backend) {
        let app = App::spawn(backend).await;
        let issued = app.issue("one", "5.00").await;
        let other = app.issue("other", "5.00").await;
        let path = format!("/v1/rewards/{}/events", issued.id());
        let short = app.get(&path).await;
        assert_eq!(short.json["data"].as_array().unwrap().len(), 2, "{}", short.text);
        assert!(short.json.get("next_cursor").is_none(), "there is no more: {}", short.text);

        let amazon = app.amazon_id("one");
        let long = format!(
            "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) \
             INSERT INTO reward_events (reward_id, seq, at, kind) SELECT id, i, created_at, 'claim_code.revealed' \
             FROM rewards, n WHERE creation_request_id = '{amazon}'"
        );
        app.database.execute(&long).await.unwrap();
        let seqs = |json: &Value| -> Vec<i64> {
            json["data"].as_array().unwrap().iter().map(|entry| entry["seq"].as_i64().unwrap()).collect()
        };
        let first = app.get(&path).await.json;
        assert_eq!((seqs(&first), &first["next_cursor"]), ((1..=1000).collect(), &json!("1000")));
        let rest = app.get(&format!("{path}?cursor=1000")).await.json;
        assert_eq!(seqs(&rest), (1001..=1200).collect::<Vec<_>>());
        assert!(rest.get("next_cursor").is_none());
        let few = app.get(&format!("{path}?limit=2")).await.json;
        assert_eq!((seqs(&few), &few["next_cursor"]), (vec![1, 2], &json!("2")));
        let last = app.get(&format!("{path}?limit=200&cursor=1000")).await.json;
        assert_eq!(seqs(&last), (1001..=1200).collect::<Vec<_>>());
        assert!(last.get("next_cursor").is_none(), "the page is full and there is no more");
        assert_eq!(seqs(&app.get(&format!("{path}?cursor=1200")).await.json), Vec::<i64>::new());
        // Whoever wants to know how it stands begins at the end.
        let newest = app.get(&format!("{path}?order=newest&limit=3")).await.json;
        assert_eq!((seqs(&newest), &newest["next_cursor"]), (vec![1200, 1199, 1198], &json!("1198")));
        let before = app.get(&format!("{path}?order=newest&cursor=3")).await.json;
        assert_eq!((seqs(&before), before.get("next_cursor")), (vec![2, 1], None));
        for bad in ["order=up", "limit=0", "limit=201", "limit=x", "cursor=-1", "cursor=x", "page=2"] {
            assert_eq!(app.get(&format!("{path}?{bad}")).await.status, 400, "{bad}");
        }
        assert_eq!(app.events(other.id()).await, ["reward.received", "reward.issued"]);
        // None of it is for finance.
        let events = app.get("/v1/events").await;
        assert_eq!(events.json["data"], json!([]), "{}", events.text);
        app.end().await;
    }
}
