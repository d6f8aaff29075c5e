//! Drives a service through everything that has a code or a secret in its hands, and keeps every answer.

mod hostile;

use std::time::Duration;

use futures_util::future::join_all;
use noshi::{
    identity::Scopes,
    sandbox::{Fault, Operation},
};
use rust_decimal::Decimal;
use serde_json::json;

use crate::support::{
    ACCESS_KEY_ID, Answer, App, PARTNER, SECRET_ACCESS_KEY,
    faults::{of, of_cancel},
    rounds::count_of,
};

/// Rewards that nothing is wrong with, everyday: what makes 2,000 canaries, two of a card.
const PLAIN: usize = 896;
/// Requests at once; strikes of each fault; keys.
const BATCH: usize = 32;
const STRIKES: u32 = 6;
const KEYS: usize = 40;

/// Texts that a gateway slips into members that we read: shaped like codes, and to be found nowhere.
const SLIPPED: [&str; 3] = ["ODDS-CANARY-STAT", "ERRT-CANARY-TYPE", "LOCA-CANARY-TION"];

/// A fault's name and how to make it.
type Class = (&'static str, fn() -> Fault);

/// Every fault whose answer carries a code, or stands for one that was lost, or quotes what a gateway likes.
pub(super) const FAULTS: [Class; 22] = [
    ("reset_in_body", || Fault::ResetInBody),
    ("truncated_body", || Fault::TruncatedBody),
    ("cut_chunk", || Fault::CutChunk),
    ("short_close_delimited", || Fault::ShortCloseDelimited),
    ("wrong_amount", || Fault::WrongAmount),
    ("wrong_currency", || Fault::WrongCurrency),
    ("wrong_request_id", || Fault::WrongRequestId),
    ("dead_card", || Fault::DeadCard),
    ("odd_card_status", || Fault::OddCardStatus { status: SLIPPED[0].to_owned() }),
    ("null_claim_code", || Fault::NullClaimCode),
    ("malformed_claim_code", || Fault::MalformedClaimCode),
    ("wrong_content_type", || Fault::WrongContentType),
    ("oversized_body", || Fault::OversizedBody),
    ("garbage", || Fault::Garbage),
    ("empty_body", || Fault::EmptyBody),
    ("html_error", || Fault::HtmlError { status: 502, after_work: true }),
    ("drop_after_work", || Fault::DropAfterWork),
    ("reset_after_work", || Fault::ResetAfterWork),
    ("resend", || Fault::Resend { after_work: true }),
    ("f_code", || Fault::FCode { code: "F100".to_owned(), error_type: SLIPPED[1].to_owned(), after_work: true }),
    ("redirect", || Fault::Redirect { location: format!("http://127.0.0.1:9/{}", SLIPPED[2]) }),
    ("bad_key", || Fault::BadKey),
];
/// Those of them that do no work: there is no card behind them.
const WITHOUT_WORK: [&str; 2] = ["redirect", "bad_key"];

/// What was asked for and answered.
#[derive(Default)]
pub(super) struct Drive {
    bare: Vec<u8>,
    stripped: Vec<u8>,
    answers: usize,
    handed_over: usize,
    keys: Vec<String>,
    /// Code-shaped texts and secrets that callers put where they do not belong.
    planted: Vec<String>,
}

impl Drive {
    /// Keeps an answer that may have no code.
    pub(super) fn bare(&mut self, answer: &Answer) {
        self.answers += 1;
        self.bare.extend_from_slice(format!("{:?}\n{}\n", answer.headers, answer.text).as_bytes());
    }

    /// Keeps an answer that may hand its code over: once, in its place, and with a success.
    fn may_carry(&mut self, answer: &Answer) {
        match answer.json["claim_code"].as_str() {
            Some(code) if matches!(answer.status, 200 | 201) => {
                assert_eq!(answer.text.matches(code).count(), 1, "{}", answer.text);
                self.answers += 1;
                self.handed_over += 1;
                let rest = answer.text.replacen(code, "", 1);
                self.stripped.extend_from_slice(format!("{:?}\n{rest}\n", answer.headers).as_bytes());
            }
            Some(_) | None => self.bare(answer),
        }
    }

    pub(super) fn bare_answers(&self) -> Vec<u8> {
        self.bare.clone()
    }

    pub(super) fn stripped_answers(&self) -> Vec<u8> {
        self.stripped.clone()
    }

    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Everything that must turn up nowhere: codes and card ids of the book, the key pair, the secrets of API keys good
    /// and bad, and what was planted.
    pub(super) fn canaries(&self, app: &App) -> Vec<String> {
        let book = app.control.book();
        assert!(book.len() >= plain_count(), "{} cards", book.len());
        let mut canaries: Vec<String> = book.into_iter().flat_map(|card| [card.claim_code, card.gc_id]).collect();
        canaries.extend([ACCESS_KEY_ID, SECRET_ACCESS_KEY, "AWS4-HMAC-SHA256"].map(str::to_owned));
        canaries.extend(SLIPPED.map(str::to_owned));
        canaries.extend(self.keys.iter().map(|key| key.rsplit_once('_').unwrap().1.to_owned()));
        canaries.extend(self.planted.iter().cloned());
        canaries
    }

    /// Fails when a class of fault was left out, or had no card behind it.
    pub(super) fn every_class_was_hit(&self, app: &App) {
        let (requests, book) = (app.control.requests(), app.control.book());
        for (name, fault) in FAULTS {
            let struck: Vec<_> = requests.iter().filter(|request| request.fault == Some(fault())).collect();
            let creates = struck.iter().filter(|request| request.operation == "CreateGiftCard");
            assert!(creates.clone().count() >= STRIKES as usize, "{name} struck {} creates", creates.count());
            let cancels = struck.iter().filter(|request| request.operation == "CancelGiftCard").count();
            assert!(cancels >= 1, "{name} struck no cancel");
            let of_a_card =
                |id: &Option<String>| book.iter().any(|card| Some(&card.creation_request_id) == id.as_ref());
            let carried = creates.filter(|request| of_a_card(&request.creation_request_id)).count();
            assert!(carried > 0 || WITHOUT_WORK.contains(&name), "{name} had no code behind it");
        }
        assert!(self.handed_over > plain_count(), "{} codes were handed over", self.handed_over);
        assert!(self.answers > 3 * plain_count(), "{} answers", self.answers);
    }
}

/// The whole run.
pub(super) async fn run(app: &mut App) -> Drive {
    let mut drive = Drive { keys: vec![app.key.clone()], ..Drive::default() };
    mint_keys(app, &mut drive).await;
    let ids = plain(app, &mut drive).await;
    faults(app, &mut drive, &ids).await;
    refusals(app, &mut drive).await;
    hostile::callers(app, &mut drive).await;
    settle(app).await;
    timelines(app, &mut drive).await;
    drive
}

async fn mint_keys(app: &App, drive: &mut Drive) {
    for at in 0..KEYS {
        let (_client, key) = app.mint_key(&format!("client {}", at % 7), Scopes::new(noshi::server::scopes())).await;
        let answer = Answer::of(app.http.get(format!("{}/v1/ping", app.base)).bearer_auth(&key)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        drive.bare(&answer);
        drive.keys.push(key);
    }
}

/// How many there are in this run: whole batches.
fn plain_count() -> usize {
    count_of("NOSHI_TEST_CANARY_CODES", PLAIN).next_multiple_of(BATCH)
}

/// Rewards that nothing is wrong with: issued, some asked for again, revealed or canceled.
async fn plain(app: &App, drive: &mut Drive) -> Vec<String> {
    let mut ids = Vec::new();
    for batch in 0..plain_count() / BATCH {
        let keys: Vec<String> = (0..BATCH).map(|at| format!("plain-{batch}-{at}")).collect();
        for answer in join_all(keys.iter().map(|key| app.issue(key, "5.00"))).await {
            assert_eq!(answer.status, 201, "{}", answer.text);
            drive.may_carry(&answer);
            ids.push(answer.id().to_owned());
        }
        let of_batch = &ids[batch * BATCH..];
        for answer in join_all(keys.iter().step_by(4).map(|key| app.issue(key, "5.00"))).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            drive.may_carry(&answer);
        }
        for answer in join_all(of_batch.iter().step_by(5).map(|id| app.reveal(id))).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            drive.may_carry(&answer);
        }
        // The first is one that was revealed as well.
        for answer in join_all(of_batch.iter().step_by(10).map(|id| app.cancel(id))).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            drive.bare(&answer);
        }
    }
    ids
}

/// Each fault strikes first issues, replays by key, reveals and a cancel.
async fn faults(app: &App, drive: &mut Drive, ids: &[String]) {
    for (at, (name, fault)) in FAULTS.iter().enumerate() {
        app.control.script(of(Operation::CreateGiftCard, fault(), STRIKES)).unwrap();
        let keys: Vec<String> = (0..STRIKES - 2).map(|at| format!("{name}-{at}")).collect();
        for answer in join_all(keys.iter().map(|key| app.issue(key, "7.00"))).await {
            drive.may_carry(&answer);
        }
        // None of these was revealed or canceled before: by tens, and never the first.
        let fresh = &ids[at * 20 + 1];
        drive.may_carry(&app.reveal(fresh).await);
        let key = format!("plain-{}-{}", (at * 20 + 2) / BATCH, (at * 20 + 2) % BATCH);
        drive.may_carry(&app.issue(&key, "5.00").await);
        // What recovery was struck by instead of us.
        for more in 0..20 {
            if spent(app) {
                break;
            }
            drive.may_carry(&app.issue(&format!("{name}-more-{more}"), "7.00").await);
        }
        app.control.script(of_cancel(fault())).unwrap();
        drive.bare(&app.cancel(&ids[at * 20 + 3]).await);
        assert!(spent(app), "{name}: {:?}", app.control.faults());
        app.control.clear_faults();
    }
}

fn spent(app: &App) -> bool {
    app.control.faults().iter().all(|scripted| Some(scripted.fired) == scripted.rule.times)
}

/// What is refused, by Amazon and by us, with the codes of other rewards at hand.
async fn refusals(app: &App, drive: &mut Drive) {
    let funds = app.control.funds(PARTNER).unwrap();
    app.control.set_funds(PARTNER, Decimal::ZERO).unwrap();
    let poor = app.issue("poor", "9.00").await;
    poor.is_problem(402, "insufficient-funds");
    drive.bare(&poor);
    app.control.set_funds(PARTNER, funds).unwrap();
    for (amount, currency) in [("0.00", "USD"), ("1.234", "USD"), ("99999999.00", "USD"), ("5", "JPY"), ("5.00", "XXX")]
    {
        let body = json!({"kind": "gift_code", "value": {"amount": amount, "currency_code": currency}});
        let answer = app.issue_body("refused", body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        drive.bare(&answer);
    }
    let mismatch = app.issue("plain-0-0", "6.00").await;
    mismatch.is_problem(422, "idempotency-mismatch");
    drive.bare(&mismatch);
}

/// Waits until nothing is under way any more: what was struck is proven or needs a person.
async fn settle(app: &mut App) {
    const OPEN: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
    for _ in 0..100 {
        if app.database.number(OPEN).await == 0 {
            return;
        }
        // Back-offs are over sooner.
        app.advance(4);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    panic!("{} rewards are still open", app.database.number(OPEN).await);
}

/// Reads every reward, its timeline, and every page.
async fn timelines(app: &App, drive: &mut Drive) {
    let mut path = "/v1/rewards?limit=100".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = app.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        drive.bare(&page);
        ids.extend(
            page.json["data"].as_array().unwrap().iter().map(|reward| reward["id"].as_str().unwrap().to_owned()),
        );
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/rewards?limit=100&cursor={cursor}"),
            None => break,
        }
    }
    assert!(ids.len() > plain_count(), "{} rewards", ids.len());
    for batch in ids.chunks(BATCH) {
        for answer in join_all(batch.iter().map(|id| app.get_events(id))).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
            drive.bare(&answer);
        }
        for answer in join_all(batch.iter().map(|id| app.get_one(id))).await {
            drive.bare(&answer);
        }
    }
    for path in ["/v1/balances", "/v1/catalog", "/v1/ping", "/v1/nowhere"] {
        drive.bare(&app.get(path).await);
    }
    for path in ["/livez", "/readyz", "/nowhere"] {
        drive.bare(&Answer::of(app.http.get(format!("{}{path}", app.admin))).await);
    }
}

impl App {
    async fn get_events(&self, id: &str) -> Answer {
        self.get(&format!("/v1/rewards/{id}/events")).await
    }

    async fn get_one(&self, id: &str) -> Answer {
        self.get(&format!("/v1/rewards/{id}")).await
    }
}
