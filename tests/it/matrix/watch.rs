//! What became of each reward, attempt by attempt, written down by the database itself: a trigger on the timeline notes
//! the row as it is in the same transaction, past all our code. So nothing is missed and nothing is waited for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{App, Backend};

/// The row when an entry of its timeline was written.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kind: String,
    pub(super) detail: Value,
    pub(super) state: String,
    pub(super) ambiguous: bool,
    pub(super) attention: Option<String>,
    pub(super) cancel_failure: Option<String>,
}

/// Columns of a watched row.
type Noted = (String, String, Option<String>, String, i64, Option<String>, Option<String>);

const SQLITE: &str = "CREATE TABLE watched (n INTEGER PRIMARY KEY, amazon_id TEXT, kind TEXT, detail TEXT, state TEXT, \
     ambiguous INTEGER, attention TEXT, cancel_failure TEXT); \
     CREATE TRIGGER watch AFTER INSERT ON facts WHEN NEW.subject_kind = 'reward' BEGIN \
     INSERT INTO watched (amazon_id, kind, detail, state, ambiguous, attention, cancel_failure) \
     SELECT creation_request_id, NEW.kind, NEW.data, state, ambiguous, attention, cancel_failure \
     FROM rewards WHERE id = NEW.subject_id; END";
const POSTGRES: &str = "CREATE TABLE watched (n BIGSERIAL, amazon_id TEXT, kind TEXT, detail TEXT, state TEXT, \
     ambiguous BIGINT, attention TEXT, cancel_failure TEXT); \
     CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO watched (amazon_id, kind, detail, state, ambiguous, attention, cancel_failure) \
     SELECT creation_request_id, NEW.kind, NEW.data, state, ambiguous::int, attention, cancel_failure \
     FROM rewards WHERE id = NEW.subject_id; RETURN NEW; END $$; \
     CREATE TRIGGER watch AFTER INSERT ON facts FOR EACH ROW EXECUTE FUNCTION watch()";

/// Begins to watch.
pub(super) async fn begin(app: &App) {
    let text = if app.database.backend == Backend::Sqlite { SQLITE } else { POSTGRES };
    app.database.execute(text).await.unwrap();
}

/// Everything so far, by Amazon's id.
#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
pub(super) async fn seen(app: &App) -> BTreeMap<String, Vec<Seen>> {
    const ALL: &str =
        "SELECT amazon_id, kind, detail, state, ambiguous, attention, cancel_failure FROM watched ORDER BY n";
    let rows: Vec<Noted> = match app.database.backend {
        Backend::Sqlite => sqlx::query_as(ALL).fetch_all(&mut app.database.sqlite().await).await.unwrap(),
        Backend::Postgres => sqlx::query_as(ALL).fetch_all(&mut app.database.postgres().await).await.unwrap(),
    };
    let mut seen: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for (id, kind, detail, state, ambiguous, attention, cancel_failure) in rows {
        let detail = detail.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        let one = Seen { kind, detail, state, ambiguous: ambiguous == 1, attention, cancel_failure };
        seen.entry(id).or_default().push(one);
    }
    seen
}

/// What became of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// What the timeline calls the trouble; nothing where a card was proven, or nothing was ever heard.
    pub(super) word: Option<String>,
    pub(super) row: Seen,
}

impl Step {
    pub(super) fn is_refused_connection(&self) -> bool {
        self.word.as_deref() == Some("connect")
    }
}

/// The attempts in order, and the row right after each. An attempt that ended in nothing is known by the next one.
pub(super) fn steps(seen: &[Seen]) -> Vec<Step> {
    let (mut steps, mut under_way) = (Vec::new(), false);
    for row in seen {
        let text = |name: &str| row.detail[name].as_str().map(str::to_owned);
        if text("operation").is_some() {
            steps.push(Step { word: text("error"), row: row.clone() });
            // What is proven and wanted back is canceled at once.
            under_way = matches!(row.kind.as_str(), "reward.proven" | "cancel.refused");
        } else if matches!(row.kind.as_str(), "reward.received" | "attempt.sent" | "cancel.requested") {
            if under_way {
                steps.push(Step { word: None, row: row.clone() });
            }
            under_way = true;
        }
    }
    steps
}
