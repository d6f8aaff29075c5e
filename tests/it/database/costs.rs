//! What a purchase costs a database: how often it waits for PostgreSQL and how many statements that executes, and how often SQLite
//! commits. Exact counts: a change that adds one is seen here.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::cut::behind_a_proxy;
use crate::support::{App, Backend, Shape, books::books_match, on_each_backend, order};

/// Beside a purchase the service's loops look at the database now and then. So the least of some purchases counts.
const PURCHASES: usize = 20;
/// Callers at once, and what each of them buys.
const CALLERS: usize = 16;
const OF_EACH: usize = 25;

/// What the server is asked, by a purchase that nothing else comes between.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    round_trips: usize,
    statements: usize,
}

async fn least(body: Value) -> Cost {
    let (app, proxy) = behind_a_proxy().await;
    let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": []});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let mut least = Cost { round_trips: usize::MAX, statements: usize::MAX };
    for round in 0..PURCHASES {
        let before = (proxy.round_trips(), proxy.statements());
        let answer = app.issue_body(&format!("round-{round}"), body.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        least.round_trips = least.round_trips.min(proxy.round_trips() - before.0);
        least.statements = least.statements.min(proxy.statements() - before.1);
    }
    app.end().await;
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_waits_four_times_for_four_statements() {
    // For its key, for what the idempotency key named before, for the intent and for the outcome.
    assert_eq!(least(order("1.00")).await, Cost { round_trips: 4, statements: 4 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_of_a_program_waits_eleven_times() {
    // Besides for the program and for what its budgets have left. The intent's transaction looks at the program again and takes from the
    // budgets, so that it has a beginning, a row, these two, the ceilings and an end.
    let mut body = order("1.00");
    body["program_id"] = json!("prg_spring");
    assert_eq!(least(body).await, Cost { round_trips: 11, statements: 11 });
}

/// The commits that SQLite's log holds, each by its place in the log of this beginning.
async fn commits(app: &App) -> BTreeMap<(Vec<u8>, usize), u32> {
    const HEAD: usize = 32;
    const FRAME_HEAD: usize = 24;
    let path = app.database.url().strip_prefix("sqlite://").unwrap().to_owned();
    let log = tokio::fs::read(format!("{path}-wal")).await.unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let page = usize::try_from(number(8)).unwrap();
    let salts = log[16..24].to_vec();
    let places = (HEAD..).step_by(FRAME_HEAD + page).take_while(|at| at + FRAME_HEAD + page <= log.len());
    // What was written before the log began anew has other salts. A commit is a frame that says how large the file is.
    let of_now = places.filter(|at| log[at + 8..at + 16] == salts);
    of_now.map(|at| ((salts.clone(), at), number(at + 4))).filter(|(_place, size)| *size > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_two_commits_of_sqlite() {
    let app = App::spawn(Backend::Sqlite).await;
    let mut least = usize::MAX;
    for round in 0..PURCHASES {
        let before = commits(&app).await;
        assert_eq!(app.issue(&format!("round-{round}"), "1.00").await.status, 201);
        let after = commits(&app).await;
        let new = after.keys().filter(|place| !before.contains_key(place)).count();
        // Where the log began anew meanwhile, what was before is not seen.
        if after.keys().next().map(|place| &place.0) == before.keys().next().map(|place| &place.0) {
            least = least.min(new);
        }
    }
    assert_eq!(least, 2, "the intent's and the outcome's");
    app.end().await;
}

on_each_backend! {
    /// The bench in small (`benches/README.md`): nothing is timed.
    async fn what_many_buy_at_once_is_in_every_book(backend: Backend) {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_MAXIMUM", "unlimited");
        let app = App::shaped(backend, shape.with("NOSHI__LOG__FILTER", "off")).await;
        let bought = join_all((0..CALLERS).map(async |caller| {
            let mut codes = Vec::new();
            for number in 0..OF_EACH {
                let answer = app.issue(&format!("{caller}-{number}"), "1.00").await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                codes.push(answer.code().to_owned());
            }
            codes
        }))
        .await;
        let mut codes: Vec<String> = bought.into_iter().flatten().collect();
        let mut sold: Vec<String> = app.live_cards().into_iter().map(|card| card.claim_code).collect();
        codes.sort();
        sold.sort();
        assert_eq!(codes.len(), CALLERS * OF_EACH);
        assert!(codes == sold, "each caller has the code of a card of their own");
        let errors = r#"status="5"#;
        let page = app.metrics().await;
        assert!(!page.contains(errors), "{page}");
        books_match(&app).await;
        app.end().await;
    }
}

/// However many programs there are, a list of them asks as often as for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_programs_asks_no_more_of_the_database_the_more_there_are() {
    const MANY: usize = 40;
    let (app, proxy) = behind_a_proxy().await;
    let mut costs = Vec::new();
    for number in 0..MANY {
        let limits = json!([{"span": "day", "hard": "90.00"}, {"span": "month", "hard": "900.00"}]);
        let program = json!({"id": format!("prg_{number}"), "name": "Spring", "account_id": "main", "limits": limits});
        assert_eq!(app.post("/v1/programs", program).await.status, 201);
        if number == 0 || number + 1 == MANY {
            let mut least = usize::MAX;
            for _ in 0..PURCHASES {
                let before = proxy.round_trips();
                let listed = app.get("/v1/programs").await;
                assert_eq!(listed.json["data"].as_array().unwrap().len(), number + 1);
                least = least.min(proxy.round_trips() - before);
            }
            costs.push(least);
        }
    }
    assert_eq!(costs[0], costs[1], "round trips for one program, and for {MANY}");
    app.end().await;
}
