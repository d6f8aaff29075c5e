//! The end of a run: every key is driven to its end, then rows, book and what callers were told are compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use noshi::sandbox::CardState;

use super::{
    crowd::{Caller, Crowd, Wish},
    sold::Sold,
};
use crate::support::books::{books_match, rows};

/// How long recovery may take once nothing fails any more: a lease, and the longest step of the ladder that a run gets to.
const RECOVERY_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a run found. All three must be empty.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Money that moved twice, or under an id that no key has.
    pub(crate) double: Vec<String>,
    /// Cards that nobody will ever be told of, and answers that came to nothing.
    pub(crate) lost: Vec<String>,
    /// Codes that are not the book's, and anything else that a caller may never be told.
    pub(crate) wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn holds(&self) {
        let all = [&self.double, &self.lost, &self.wrong].map(|found| found.iter().take(5).collect::<Vec<_>>());
        let counts = (self.double.len(), self.lost.len(), self.wrong.len());
        assert_eq!(counts, (0, 0, 0), "double, lost, wrong; the first of each:\n{all:#?}");
    }
}

/// Shares of the ids that a kill touched.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Replays {
    pub(crate) touched: usize,
    pub(crate) replayed: usize,
}

/// Of the ids whose requests were cut off, those that Amazon was asked about more than once.
pub(crate) fn replays(crowd: &Crowd) -> Replays {
    let mut creates: BTreeMap<String, usize> = BTreeMap::new();
    for received in crowd.app.received("CreateGiftCard") {
        *creates.entry(received.creation_request_id.unwrap_or_default()).or_default() += 1;
    }
    let told = crowd.told();
    let touched: Vec<_> = told.callers.iter().filter(|caller| caller.touched).collect();
    let replayed = touched.iter().filter(|caller| creates.get(&caller.amazon_id).is_some_and(|count| *count > 1));
    Replays { touched: touched.len(), replayed: replayed.count() }
}

/// Waits until automation has nothing to do, lets every caller who has not given up ask until the end, and compares.
pub(crate) async fn judge(crowd: &Crowd, base: &str) -> Verdict {
    let mut verdict = Verdict::default();
    crowd.app.control.clear_faults();
    come_to_rest(crowd, &mut verdict).await;
    let count = crowd.told().callers.len();
    let ended: Vec<Option<String>> =
        stream::iter(0..count).map(|at| ask_to_the_end(crowd, base, at)).buffer_unordered(8).collect().await;
    verdict.lost.extend(ended.into_iter().flatten());
    come_to_rest(crowd, &mut verdict).await;
    let states = rows(&crowd.app).await.into_iter().map(|row| (row.creation_request_id, row.state)).collect();
    compare(crowd, &states, &mut verdict);
    if verdict.double.is_empty() && verdict.lost.is_empty() {
        // The same again by other code, and to the cent.
        books_match(&crowd.app).await;
    }
    verdict
}

async fn come_to_rest(crowd: &Crowd, verdict: &mut Verdict) {
    const DUE: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
    let mut waited = Duration::ZERO;
    while crowd.app.database.number(DUE).await > 0 {
        if waited >= RECOVERY_MAX {
            verdict.lost.push("recovery did not come to its end".to_owned());
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

/// Asks with the same key until the outcome is known; says what came instead.
async fn ask_to_the_end(crowd: &Crowd, base: &str, at: usize) -> Option<String> {
    if crowd.told().callers[at].gives_up {
        return None;
    }
    let request = |caller: &Caller| {
        let request = crowd.app.http.post(format!("{base}/v1/rewards")).header("Idempotency-Key", &caller.key);
        crate::support::with_json(request.bearer_auth(&crowd.app.key), &caller.order())
    };
    for _ in 0..100 {
        let caller = crowd.told().callers[at].clone();
        let answer = crate::support::Answer::of(request(&caller)).await;
        crowd.keep(at, Wish::Again(at), caller.is_gone(), &answer);
        match (answer.status, answer.json["status"].as_str()) {
            (201, _) | (200, Some("issued")) if !answer.json["claim_code"].is_null() => return None,
            (200 | 201, Some("issued")) if caller.sold != Sold::Code => return None,
            (200, Some("canceled")) if caller.cancel_asked => return None,
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    let caller = crowd.told().callers[at].clone();
    Some(format!("the outcome stays unknown: {caller:?}"))
}

fn compare(crowd: &Crowd, rows: &BTreeMap<String, String>, verdict: &mut Verdict) {
    let mut told = crowd.told();
    verdict.wrong.append(&mut told.wrong);
    let callers: BTreeMap<&str, _> = told.callers.iter().map(|caller| (caller.amazon_id.as_str(), caller)).collect();
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    for card in crowd.app.control.book() {
        let id = card.creation_request_id.clone();
        let state = rows.get(&id).map(String::as_str);
        if !callers.contains_key(id.as_str()) || codes.insert(id.clone(), card.claim_code).is_some() {
            verdict.double.push(format!("a card that no key asked for: {id}"));
        }
        if let Some(caller) = callers.get(id.as_str())
            && caller.target.as_ref().is_some_and(|target| *target != card.gc_id)
        {
            verdict.double.push(format!("{id} acted on another target than its key asked for"));
        }
        if (card.state == CardState::Live) != (state == Some("issued")) {
            verdict.lost.push(format!("{id} is {:?} at Amazon and {state:?} here", card.state));
        }
    }
    for caller in callers.values() {
        if caller.id.is_some() && !rows.contains_key(&caller.amazon_id) {
            verdict.lost.push(format!("the row of an answer has gone: {caller:?}"));
        }
        let book: BTreeSet<&String> = codes.get(&caller.amazon_id).into_iter().collect();
        if !caller.codes.iter().all(|code| book.contains(code)) {
            verdict.wrong.push(format!("not the book's code {book:?}: {caller:?}"));
        }
    }
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    for received in Sold::ALL.iter().flat_map(|sold| crowd.app.received(sold.forward())) {
        let id = received.creation_request_id.unwrap_or_default();
        if !callers.contains_key(id.as_str()) {
            verdict.double.push(format!("an id that no key has was sent: {id}"));
        }
        if *bodies.entry(id.clone()).or_insert_with(|| received.body.clone()) != received.body {
            verdict.double.push(format!("two bodies were sent under {id}"));
        }
    }
    for (id, state) in rows {
        if state == "issued" && !codes.contains_key(id) {
            verdict.lost.push(format!("{id} is issued here and unknown to Amazon"));
        }
    }
}
