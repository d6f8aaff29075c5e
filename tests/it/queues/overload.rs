//! More is asked for than Amazon takes: whoever is let in is answered, and the others hear so at once.

use std::time::Duration;

use futures_util::future::{join, join_all};
use noshi::sandbox::{Fault, FaultRule, Operation};

use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, books::books_match, order, rounds, with_json},
};

/// Orders a second, and how long. Everyday there are more of them, so that the line is full sooner.
const EVERYDAY: Offer = Offer { per_second: 24, seconds: 6 };
const WHOLE_PER_SECOND: u32 = 12;
/// What Amazon takes for an order.
const CALL_MILLISECONDS: u64 = 700;

#[derive(Clone, Copy)]
struct Offer {
    per_second: u32,
    seconds: u32,
}

impl Offer {
    fn of_this_run() -> Self {
        match rounds::set_by_hand("NOSHI_OVERLOAD_SECONDS") {
            Some(seconds) => Self { per_second: WHOLE_PER_SECOND, seconds: seconds.try_into().unwrap() },
            None => EVERYDAY,
        }
    }
}

/// What an order was answered, and after how long.
struct Told {
    status: u16,
    took: Duration,
}

/// Sends orders at a steady pace, however long the answers take, to one replica after the other.
async fn offer(app: &App, bases: &[String], offer: Offer) -> Vec<Told> {
    let one = async |at: u32| {
        tokio::time::sleep(Duration::from_secs(1) * at / offer.per_second).await;
        let base = &bases[at as usize % bases.len()];
        let request = app.http.post(format!("{base}/v1/rewards")).bearer_auth(&app.key);
        let began = app.ambient.monotonic();
        let answer =
            Answer::of(with_json(request.header("Idempotency-Key", format!("offer-{at}")), &order("1.00"))).await;
        if answer.status == 429 {
            answer.is_problem(429, "upstream-busy");
        }
        Told { status: answer.status, took: began.elapsed() }
    };
    join_all((0..offer.per_second * offer.seconds).map(one)).await
}

/// Asks for a code again all the while; answers how often, and what the slowest took.
async fn reveal_beside(app: &App, id: &str, seconds: u32) -> (u32, Duration) {
    let (mut times, mut slowest) = (0, Duration::ZERO);
    for _second in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = app.ambient.monotonic();
        let shown = app.reveal(id).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        times += 1;
        slowest = slowest.max(began.elapsed());
    }
    (times, slowest)
}

async fn whoever_is_let_in_is_answered(backend: Backend, replicas: usize) {
    let this = Offer::of_this_run();
    let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 10);
    let app = App::shaped(backend, shape.with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info")).await;
    let bought = app.issue("bought", "1.00").await;
    app.control.set_throttle(true);
    let slow = Fault::Delay { milliseconds: CALL_MILLISECONDS };
    app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..FaultRule::always(slow) }).unwrap();
    let others: Vec<Served> = (1..replicas).map(|_at| Served::start(app.environment())).collect();
    let bases: Vec<String> = [app.base.clone()].into_iter().chain(others.iter().map(|one| one.base.clone())).collect();

    let (told, (reveals, slowest)) =
        join(offer(&app, &bases, this), reveal_beside(&app, bought.id(), this.seconds.min(90))).await;
    let count = |status| told.iter().filter(|told| told.status == status).count();
    let (issued, accepted, refused) = (count(201), count(202), count(429));
    let longest = told.iter().filter(|told| told.status == 429).map(|told| told.took).max().unwrap_or_default();
    let longest_issued = told.iter().filter(|told| told.status == 201).map(|told| told.took).max().unwrap_or_default();
    let rows = app.database.number("SELECT COUNT(*) FROM rewards").await - 1;
    rounds::print(&format!(
        "overload, {backend:?}, {replicas} replica(s), {}/s for {} s: {rows} rows, {issued} answered 201, {accepted} 202, \
         {refused} refused; slowest refusal {longest:?}, slowest 201 {longest_issued:?}; {reveals} reveals, slowest {slowest:?}",
        this.per_second, this.seconds
    ));
    assert_eq!(told.len(), issued + accepted + refused, "something else was answered");
    assert_eq!(usize::try_from(rows).unwrap(), issued + accepted, "a refusal made a row");
    assert!(issued * 10 >= (issued + accepted) * 9, "{issued} of {rows} rows were answered 201");
    assert!(refused > 0, "no more was offered than Amazon takes");
    assert!(longest < Duration::from_secs(1), "somebody waited {longest:?} to be refused");
    assert!(issued >= 7 * this.seconds as usize, "Amazon's rate is not used: {issued} in {} s", this.seconds);
    for served in others {
        assert!(served.terminate().success());
    }
    app.control.clear_faults();
    books_match(&app).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_overload_whoever_is_let_in_is_answered_by_sqlite() {
    whoever_is_let_in_is_answered(Backend::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_overload_whoever_is_let_in_is_answered_by_postgres() {
    whoever_is_let_in_is_answered(Backend::Postgres, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_overload_whoever_is_let_in_is_answered_by_three_replicas() {
    whoever_is_let_in_is_answered(Backend::Postgres, 3).await;
}
