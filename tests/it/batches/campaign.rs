//! A campaign of many batches at the account's rate, three replicas of which one dies again and again, and single requests beside it.
//! Its figures are the machine's, so it is left to the soak.

use std::time::Duration;

use serde_json::json;

use super::items;
use crate::{
    kill::start,
    support::{Answer, App, Backend, Shape, rounds, wait, with_json},
};

/// The usual number of items, of a batch's items, and Amazon's rate.
const ITEMS: usize = 3_000;
const OF_BATCH: usize = 1_000;
const PER_SECOND: usize = 30;
const KILLS: usize = 10;
/// Of the slots that the rate has: one each 120 % of its part of a second.
const SPREAD_PERCENT: usize = 120;

/// Asks for single rewards, one after the other, until it is told to stop; how long each was waited for.
async fn singles(
    app: &App,
    bases: &std::sync::Mutex<Vec<String>>,
    over: &tokio::sync::Notify,
) -> (Vec<Duration>, usize) {
    let (mut waits, mut at) = (Vec::new(), 0);
    let asking = async {
        loop {
            let base = {
                let bases = bases.lock().unwrap();
                bases[at % bases.len()].clone()
            };
            let began = app.ambient.monotonic();
            // One that dies meanwhile is asked again, under the same key.
            if let Some(answer) = app.try_issue_at(&base, &format!("single-{at}"), "2.00").await
                && answer.status < 300
            {
                waits.push(began.elapsed());
                at += 1;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = over.notified() => {}
    }
    (waits, at)
}

/// Sends so many items, as whole batches.
async fn send_all(app: &App, all: usize) {
    for batch in 0..all.div_ceil(OF_BATCH) {
        let body =
            json!({"name": "campaign", "items": items(&format!("b{batch}"), OF_BATCH.min(all - batch * OF_BATCH))});
        let request = app.request("POST", "/v1/batches").header("Idempotency-Key", format!("b{batch}"));
        let answer = Answer::of(with_json(request, &body)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; its figures are the machine's (tests/soak)"]
async fn a_campaign_uses_the_rate_beside_single_requests_though_replicas_die() {
    let (all, per_second, kills) = (
        rounds::count_of("NOSHI_TEST_CAMPAIGN_ITEMS", ITEMS),
        rounds::count_of("NOSHI_TEST_CAMPAIGN_RATE", PER_SECOND),
        rounds::count_of("NOSHI_TEST_CAMPAIGN_KILLS", KILLS),
    );
    let shape = Shape { funds: 100_000_000, ..Shape::default() }
        .with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", per_second)
        .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_REWARDS", "unlimited")
        .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_MAXIMUM", "unlimited")
        .with("NOSHI__ACCOUNTS__MAIN__ACCOUNT_DAY_MAXIMUM", "unlimited")
        .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
        .with("NOSHI__REWARDS__LEASE_SECONDS", 11)
        .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let mut app = App::shaped(Backend::Postgres, shape).await;
    assert!(app.stop().await);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(start(app.environment().to_vec()).await.unwrap());
    }
    app.base.clone_from(&replicas[0].base);
    let began = app.ambient.monotonic();
    send_all(&app, all).await;
    let bases = std::sync::Mutex::new(replicas.iter().map(|one| one.base.clone()).collect::<Vec<_>>());
    let over = tokio::sync::Notify::new();
    let open = "SELECT COUNT(*) FROM batch_items WHERE due_at IS NOT NULL";
    let campaign = async {
        let mut last = 0;
        for kill in 1..=kills {
            wait_for_cards(&app, all * kill / (kills + 1)).await;
            let doomed = replicas.remove(0);
            drop(doomed);
            replicas.push(start(app.environment().to_vec()).await.unwrap());
            *bases.lock().unwrap() = replicas.iter().map(|one| one.base.clone()).collect();
            last = kill;
        }
        // What a dead replica had taken up comes back after its lease: the rate is judged by what was left to do until then.
        wait_for_cards(&app, all * 95 / 100).await;
        let (sent, took) = (app.control.requests().len(), began.elapsed());
        while app.database.number(open).await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        over.notify_one();
        (sent, took, last)
    };
    let ((sent, took, killed), (mut waits, alone)) = tokio::join!(campaign, singles(&app, &bases, &over));
    waits.sort();
    let slots =
        took.as_millis() * u128::try_from(per_second).unwrap() * 100 / (1000 * u128::try_from(SPREAD_PERCENT).unwrap());
    let used = u128::try_from(sent).unwrap() * 100 / slots.max(1);
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_millis();
    let cards = app.control.book().len();
    rounds::print(&format!(
        "campaign: {all} items at {per_second}/s, {killed} kills, {used} % of the slots used; {} single requests: p50 {} ms, p99 {} ms; doubles {}",
        waits.len(),
        at(50),
        at(99),
        cards.saturating_sub(all + alone)
    ));
    wait::until("all are settled", async || {
        app.database.number("SELECT COUNT(*) FROM rewards WHERE state <> 'issued'").await == 0
    })
    .await;
    let bought = app.control.book().iter().filter(|card| card.amount == 1.into()).count();
    assert_eq!(bought, all, "an item was bought twice, or is lost");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM batch_items WHERE state <> 'done'").await, 0);
    assert!(used >= 95, "{used} % of the slots");
    drop(replicas);
    app.end().await;
}

async fn wait_for_cards(app: &App, cards: usize) {
    while app.control.book().len() < cards {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
