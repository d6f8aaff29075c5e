//! What a stolen key can spend: ceilings of the account's day, whatever programs say. They refuse new rewards and nothing else.

use serde_json::json;

use super::{command, every_scope_of_a_client};
use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, books::books_match, on_each_backend, order, with_json},
};

fn ceilings(settings: &[(&str, &str)]) -> Shape {
    let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__REWARD_MAXIMUM", "10.00");
    settings.iter().fold(shape, |shape, (name, value)| shape.with(format!("NOSHI__ACCOUNTS__MAIN__{name}"), value))
}

fn refused(answer: &Answer, ceiling: &str) {
    answer.is_problem(403, "ceiling-reached");
    assert!(answer.json["detail"].as_str().unwrap().starts_with(&format!("{ceiling} of the account, until ")));
    assert_eq!((&answer.json["retryable"], &answer.json["money_moved"]), (&json!(true), &json!("no")));
}

async fn events(app: &App) -> Vec<serde_json::Value> {
    app.get("/v1/events?type=ceiling.reached").await.json["data"].as_array().unwrap().clone()
}

on_each_backend! {
    async fn a_client_spends_its_ceiling_and_what_exists_is_answered_as_ever(backend: Backend) {
        let mut app = App::shaped(backend, ceilings(&[("CLIENT_DAY_MAXIMUM", "20.00")])).await;
        let first = app.issue("first", "10.00").await;
        assert_eq!((first.status, app.issue("second", "9.90").await.status), (201, 201));
        let rows = app.database.number("SELECT COUNT(*) FROM rewards").await;
        for key in ["third", "third", "fourth"] {
            let answer = app.issue(key, "0.15").await;
            refused(&answer, "client_day_maximum");
            // The next midnight in New York, which is 04:00 or 05:00 UTC, or up to a minute later.
            let seconds = answer.header("retry-after").parse().unwrap();
            let end = app.ambient.now() + chrono::TimeDelta::seconds(seconds);
            let minute = end.format("%H:%M").to_string();
            assert!(end > app.ambient.now() && ["04:00", "04:01", "05:00", "05:01"].contains(&minute.as_str()), "{end}");
        }
        refused(&app.post("/v1/rewards/validate", order("0.15")).await, "client_day_maximum");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, rows, "a refusal makes no row");
        assert_eq!(app.received("Create").len(), 2, "and sends nothing");
        // What exists: the same key, the code, the cancel.
        let again = app.issue("first", "10.00").await;
        assert_eq!((again.status, again.code()), (200, first.code()));
        assert_eq!(app.reveal(first.id()).await.code(), first.code());
        // What was given back does not count less: who buys and cancels in turns comes to the same end.
        assert_eq!(app.cancel(first.id()).await.json["status"], "canceled");
        refused(&app.issue("fifth", "10.00").await, "client_day_maximum");
        assert_eq!(app.issue("exactly", "0.10").await.status, 422, "below the smallest reward");
        // Counted and told, once a day.
        let told = events(&app).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["data"]["ceiling"], &told[0]["data"]["account_id"]), (&json!("client_day_maximum"), &json!("main")));
        assert_eq!(told[0]["subject"], json!(app.client.to_string()));
        let counted = "noshi_ceiling_refusals_total{account=\"main\",ceiling=\"client_day_maximum\"} 4";
        assert!(app.metrics().await.contains(counted), "{}", app.metrics().await);
        // Another client has its own, and tomorrow everyone has all of it.
        let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
        let own = std::mem::replace(&mut app.key, other);
        assert_eq!(app.issue("other", "10.00").await.status, 201);
        assert_eq!(events(&app).await, Vec::<serde_json::Value>::new(), "another client's");
        app.key = own;
        app.advance(24 * 3600);
        assert_eq!(app.issue("third", "0.15").await.status, 201);
        books_match(&app).await;
        app.end().await;
    }

    async fn rewards_are_counted_and_all_clients_together_have_a_ceiling(backend: Backend) {
        let settings = [("CLIENT_DAY_REWARDS", "3"), ("ACCOUNT_DAY_MAXIMUM", "15.00")];
        let mut app = App::shaped(backend, ceilings(&settings)).await;
        for key in ["a", "b", "c"] {
            assert_eq!(app.issue(key, "2.00").await.status, 201);
        }
        refused(&app.issue("d", "2.00").await, "client_day_rewards");
        let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
        let own = std::mem::replace(&mut app.key, other);
        assert_eq!(app.issue("e", "9.00").await.status, 201);
        refused(&app.issue("f", "0.15").await, "account_day_maximum");
        app.key = own;
        let told: Vec<_> = events(&app).await.into_iter().map(|event| event["subject"].clone()).collect();
        assert_eq!(told, [json!(app.client.to_string()), json!("main")]);
        app.end().await;
    }

    /// Amazon refuses, for want of funds: the reward was counted with its row, and its next try counts nothing.
    async fn another_try_of_a_refused_reward_is_no_new_one(backend: Backend) {
        let app = App::shaped(backend, ceilings(&[("CLIENT_DAY_MAXIMUM", "10.00")])).await;
        app.without_funds("one");
        app.issue("one", "10.00").await.is_problem(402, "insufficient-funds");
        refused(&app.issue("two", "0.15").await, "client_day_maximum");
        assert_eq!(app.issue("one", "10.00").await.status, 201);
        assert_eq!(app.database.number("SELECT spent_minor FROM day_spending WHERE holder = 'all'").await, 1000);
        app.end().await;
    }
}

/// The default: five of the largest reward for a client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_key_is_stopped_at_the_ceiling_and_the_account_is_not_empty() {
    let app = App::spawn(Backend::Sqlite).await;
    let mut bought = 0;
    for at in 0..40 {
        bought += usize::from(app.issue(&format!("stolen-{at}"), "2000.00").await.status == 201);
    }
    assert_eq!((bought, app.live_cards().len()), (5, 5));
    assert_eq!(app.control.funds(crate::support::PARTNER).unwrap(), rust_decimal::Decimal::from(90_000));
    app.end().await;
}

/// Every replica counts in the same rows: racing callers come to the ceiling and not beyond.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_together_spend_exactly_the_ceiling() {
    let settings = [("CLIENT_DAY_MAXIMUM", "40.00"), ("ACCOUNT_DAY_MAXIMUM", "60.00")];
    let app = App::shaped(Backend::Postgres, ceilings(&settings)).await;
    let replicas = [Served::start(app.environment()), Served::start(app.environment())];
    let mut bases: Vec<String> = replicas.iter().map(|served| served.base.clone()).collect();
    bases.push(app.base.clone());
    let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
    let keys = [app.key.clone(), other];
    let caller = async |at: usize| {
        let mut bought = 0;
        for round in 0..8 {
            let request = app.http.post(format!("{}/v1/rewards", bases[at % 3])).bearer_auth(&keys[at % 2]);
            let name = format!("race-{at}-{round}");
            let answer = Answer::of(with_json(request.header("Idempotency-Key", name), &order("1.00"))).await;
            match answer.status {
                201 => bought += 1,
                _ => answer.is_problem(403, "ceiling-reached"),
            }
        }
        bought
    };
    let bought: Vec<usize> = futures_util::future::join_all((0..12).map(caller)).await;
    assert_eq!((bought.iter().sum::<usize>(), app.live_cards().len()), (60, 60), "{bought:?}");
    let most = "SELECT CAST(MAX(spent_minor) AS BIGINT) FROM day_spending WHERE holder <> 'all'";
    assert!(app.database.number(most).await <= 4000);
    let all = "SELECT spent_minor FROM day_spending WHERE holder = 'all'";
    assert_eq!(app.database.number(all).await, 6000, "what was refused is not counted");
    assert_eq!(command(&app, &["ledger", "sums"]).0, Some(0));
    for served in replicas {
        assert!(served.terminate().success());
    }
    app.end().await;
}
