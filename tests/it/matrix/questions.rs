//! Each class at the first, second and third question for the balance, each for an account of its own: whatever does not
//! say the balance changes nothing that was known of it, and the next question does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use noshi::sandbox::{Fault, FaultRule, Operation, Received};

use super::{
    Ran,
    classes::{CLASSES, Class, Made, Means},
    front::Front,
    ground::{Ground, partner},
};
use crate::support::{Backend, Shape};

const ATTEMPTS: [usize; 3] = [1, 2, 3];
const FUNDS: i64 = 1234;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The account's number is that of its door.
struct Cell {
    class: &'static Class,
    attempt: usize,
    at: usize,
}

/// A balance as it was written, and from when it is.
type Written = BTreeMap<String, Vec<(i64, DateTime<Utc>)>>;

const SQLITE: &str = "CREATE TABLE balances_watched (n INTEGER PRIMARY KEY, account TEXT, minor INTEGER, as_of TEXT); \
     CREATE TRIGGER watch_insert AFTER INSERT ON balances BEGIN \
     INSERT INTO balances_watched (account, minor, as_of) VALUES (NEW.account, NEW.available_minor, NEW.as_of); END; \
     CREATE TRIGGER watch_update AFTER UPDATE ON balances BEGIN \
     INSERT INTO balances_watched (account, minor, as_of) VALUES (NEW.account, NEW.available_minor, NEW.as_of); END";
const POSTGRES: &str = "CREATE TABLE balances_watched (n BIGSERIAL, account TEXT, minor BIGINT, as_of TIMESTAMPTZ); \
     CREATE FUNCTION watch_balances() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO balances_watched (account, minor, as_of) VALUES (NEW.account, NEW.available_minor, NEW.as_of); \
     RETURN NEW; END $$; \
     CREATE TRIGGER watch AFTER INSERT OR UPDATE ON balances FOR EACH ROW EXECUTE FUNCTION watch_balances()";

pub(super) async fn run(backend: Backend) -> (Ran, Vec<String>) {
    let kinds = CLASSES.iter().filter(|class| class.funds.exists());
    let pairs = kinds.flat_map(|class| ATTEMPTS.map(|attempt| (class, attempt)));
    let cells: Vec<Cell> = pairs.enumerate().map(|(at, (class, attempt))| Cell { class, attempt, at }).collect();
    let doors: Vec<Arc<Front>> = cells.iter().map(|_| Front::new("POST /GetAvailableFunds")).collect();
    // All doors are shut: what is asked before the rules are set is not heard.
    let shape = Shape { funds: FUNDS, ..Shape::default() }.with("NOSHI__BALANCES__POLL_SECONDS", 2);
    let ground = Ground::new(backend, doors, shape).await;
    let watched = if backend == Backend::Sqlite { SQLITE } else { POSTGRES };
    ground.app.database.execute(watched).await.unwrap();
    for cell in &cells {
        let before = (1..cell.attempt).map(|_| Fault::DropBeforeWork);
        let rule = |fault| FaultRule {
            operation: Some(Operation::GetAvailableFunds),
            partner_id: Some(partner(cell.at)),
            ..FaultRule::once(fault)
        };
        let faults = before.chain(cell.class.funds.fault(cell.attempt));
        ground.app.control.script_all(faults.map(rule).collect()).unwrap();
        match cell.class.funds {
            Made::Refused => ground.fronts[cell.at].open_for(cell.attempt - 1),
            Made::By(_) | Made::Well | Made::AlreadyBought | Made::Abandoned | Made::Never(_) => {
                ground.fronts[cell.at].open();
            }
        }
    }
    let asked = tokio::time::timeout(Duration::from_secs(90), until_all_are_known(&ground, &cells)).await;
    assert!(asked.is_ok(), "some balances were never known: {:?}", written(&ground).await);
    let (written, metrics) = (written(&ground).await, ground.app.metrics().await);
    let (mut ran, mut wrong) = (Ran::new(), Vec::new());
    for cell in &cells {
        *ran.entry(cell.class.name).or_default() += 1;
        wrong.extend(check(&ground, cell, &written, &metrics));
    }
    ground.app.end().await;
    (ran, wrong)
}

fn account(cell: &Cell) -> String {
    partner(cell.at).to_lowercase()
}

fn heard(ground: &Ground, cell: &Cell) -> Vec<Received> {
    let of = |request: &Received| request.partner_id == Some(partner(cell.at));
    ground.app.control.requests().into_iter().filter(of).collect()
}

/// How often questions of this account came to something with this in its line of the metrics page.
fn counted(metrics: &str, cell: &Cell, label: &str) -> u64 {
    let start = format!("noshi_upstream_requests_total{{account=\"{}\",", account(cell));
    let lines = metrics.lines().filter(|line| line.starts_with(&start) && line.contains("\"GetAvailableFunds\""));
    let counts = lines.filter(|line| line.contains(label)).map(|line| line.rsplit_once(' ').unwrap().1);
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

/// How often this account has asked and heard something, or nothing for good.
fn asked(metrics: &str, cell: &Cell) -> u64 {
    counted(metrics, cell, "")
}

/// Waits for one good answer after the fault of each cell. A door that has refused a question opens then.
async fn until_all_are_known(ground: &Ground, cells: &[Cell]) {
    let mut ended_before: BTreeMap<usize, u64> = BTreeMap::new();
    loop {
        let (known, metrics) = (written(ground).await, ground.app.metrics().await);
        for cell in cells.iter().filter(|cell| matches!(cell.class.funds, Made::Refused)) {
            let ended = asked(&metrics, cell);
            // The one after those that were heard is the one that is refused. A question is heard a moment before it has
            // ended: one of those that is counted late must not be taken for it.
            let heard = heard(ground, cell).len();
            let all_ended = counted(&metrics, cell, "error_code=\"connection_lost\"") >= u64::try_from(heard).unwrap();
            if heard + 1 == cell.attempt && all_ended {
                let before = *ended_before.entry(cell.at).or_insert(ended);
                if ended > before {
                    ground.fronts[cell.at].open();
                }
            }
        }
        if cells.iter().all(|cell| known.contains_key(&account(cell)) && heard(ground, cell).len() >= cell.attempt) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
async fn written(ground: &Ground) -> Written {
    const ALL: &str = "SELECT account, minor, as_of FROM balances_watched ORDER BY n";
    let database = &ground.app.database;
    let rows: Vec<(String, i64, DateTime<Utc>)> = match database.backend {
        Backend::Sqlite => sqlx::query_as(ALL).fetch_all(&mut database.sqlite().await).await.unwrap(),
        Backend::Postgres => sqlx::query_as(ALL).fetch_all(&mut database.postgres().await).await.unwrap(),
    };
    let mut written = Written::new();
    for (account, minor, as_of) in rows {
        written.entry(account).or_default().push((minor, as_of));
    }
    written
}

/// A balance is as old as the instant before its question, so the first one that was written says which question it is.
fn check(ground: &Ground, cell: &Cell, written: &Written, metrics: &str) -> Vec<String> {
    let name = format!("{} at {}", cell.class.name, cell.attempt);
    let heard = heard(ground, cell);
    let (minor, as_of) = written[&account(cell)][0];
    let answers = match cell.class.means {
        // The question itself was answered; or it was not heard, and the one heard next was.
        Means::Card | Means::NotSent if !matches!(cell.class.funds, Made::By(_)) => cell.attempt - 1,
        Means::Card
        | Means::NotSent
        | Means::KeysRejected
        | Means::Unknown
        | Means::Odd(_)
        | Means::Definite
        | Means::Abandoned => cell.attempt,
    };
    let mut wrong = Vec::new();
    let after_the_last = answers == 0 || as_of > heard[answers - 1].at;
    let before_the_next = heard.get(answers).is_none_or(|request| as_of <= request.at);
    if !after_the_last || !before_the_next || minor != FUNDS * 100 {
        wrong.push(format!("{name}: {minor} of {as_of} was written, and {heard:?} heard"));
    }
    let named = cell.class.words.iter().any(|word| counted(metrics, cell, &format!("error_code=\"{word}\"")) > 0);
    if named == cell.class.words.is_empty() {
        wrong.push(format!("{name}: was called none of {:?}", cell.class.words));
    }
    let fault = heard.get(cell.attempt - 1).map(|request| request.fault.clone());
    if matches!(cell.class.funds, Made::By(_)) && fault != Some(cell.class.funds.fault(cell.attempt)) {
        wrong.push(format!("{name}: met {fault:?}"));
    }
    wrong
}
