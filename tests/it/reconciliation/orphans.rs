//! A row that was lost with a restored back-up (D6): a reconciliation finds its card, and the caller who bought it comes
//! back and gets the same card, once.

use futures_util::future::join_all;
use noshi::{
    engine::schedule::Resolution,
    incentives::attention::{self, SettleDecision},
    kernel::RewardId,
};
use serde_json::{Value, json};

use super::{counts, items, reconcile};
use crate::support::{
    Answer, App, Backend, books::books_match, but_for_all_rewards, on_each_backend, order, with_json,
};

const DAY_SECONDS: i64 = 24 * 3600;

/// Buys a card, loses its row, and reconciles the day two days later. The lost answer, and the run.
async fn lost_and_found(app: &mut App, key: &str) -> (Answer, Value) {
    let day = app.ambient.now().date_naive().to_string();
    let issued = app.issue(key, "5.00").await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    app.issue(&format!("{key}-kept"), "7.00").await;
    lose(app, key).await;
    app.advance(2 * DAY_SECONDS);
    let run = reconcile(app, &day, &day).await;
    assert_eq!(
        (&counts(&run)[1..5], &run["adopted"], &run["difference"]),
        (&[0, 1, 0, 0][..], &json!(1), &json!("5.00"))
    );
    (issued, run)
}

/// What a restored back-up does to a row.
pub(crate) async fn lose(app: &App, key: &str) {
    let id = app.amazon_id(key);
    let row = format!("SELECT id FROM rewards WHERE creation_request_id = '{id}'");
    forget_entries(app, &format!("reward_id IN ({row})")).await;
    forget_facts(app, &format!("subject_id IN ({row})")).await;
    assert_eq!(
        app.database.execute(&format!("DELETE FROM rewards WHERE creation_request_id = '{id}'")).await.unwrap(),
        1
    );
}

/// A back-up that is restored knows nothing of append-only.
pub(crate) async fn forget_facts(app: &App, which: &str) {
    let open = match app.database.backend {
        Backend::Sqlite => "DROP TRIGGER IF EXISTS facts_no_delete",
        Backend::Postgres => "ALTER TABLE facts DISABLE TRIGGER facts_no_delete",
    };
    app.database.execute(open).await.unwrap();
    app.database.execute(&format!("DELETE FROM facts WHERE {which}")).await.unwrap();
}

/// The same of the ledger.
pub(crate) async fn forget_entries(app: &App, which: &str) {
    let open = match app.database.backend {
        Backend::Sqlite => "DROP TRIGGER IF EXISTS ledger_entries_no_delete",
        Backend::Postgres => "ALTER TABLE ledger_entries DISABLE TRIGGER USER",
    };
    app.database.execute(open).await.unwrap();
    app.database.execute(&format!("DELETE FROM ledger_entries WHERE {which}")).await.unwrap();
}

/// The reward that a run made of its only finding.
async fn adopted(app: &App, run: &Value) -> RewardId {
    let found = items(app, run).await;
    assert_eq!(
        (found.len(), &found[0]["class"], &found[0]["theirs_status"]),
        (1, &json!("theirs_only"), &json!("live"))
    );
    found[0]["reward_id"].as_str().unwrap().parse().unwrap()
}

fn creates(app: &App) -> usize {
    app.received("CreateGiftCard").len()
}

on_each_backend! {
    async fn the_caller_of_a_lost_row_gets_the_same_card_after_it_was_adopted(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (issued, run) = lost_and_found(&mut app, "lost").await;
        let id = adopted(&app, &run).await;
        let waiting = attention::list(&app.open_store().await).await.unwrap();
        assert_eq!((waiting.len(), waiting[0].id, waiting[0].order.stage.attention().unwrap().as_str()), (1, id, "adopted"));

        let again = app.issue("lost", "5.00").await;
        assert_eq!((again.status, again.code()), (201, issued.code()), "{}", again.text);
        assert_eq!(again.id(), id.to_string(), "the adopted row is the caller's now");
        assert_eq!(app.issue("lost", "5.00").await.code(), issued.code());
        assert_eq!(app.events(&id.to_string()).await[..2], ["reward.adopted", "reward.reclaimed"]);
        assert_eq!(app.live_cards().len(), 2, "no second card");
        books_match(&app).await;

        let day = run["from"].as_str().unwrap();
        let clean = reconcile(&app, day, day).await;
        assert_eq!((counts(&clean), &clean["difference"]), ([2, 0, 0, 0, 0, 0, 0], &json!("0.00")));
        app.end().await;
    }

    async fn nobody_else_gets_an_adopted_card_and_nothing_is_sent_for_it(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (_issued, run) = lost_and_found(&mut app, "lost").await;
        let id = adopted(&app, &run).await;
        let before = creates(&app);
        app.get(&format!("/v1/rewards/{id}")).await.is_problem(404, "not-found");
        app.reveal(&id.to_string()).await.is_problem(404, "not-found");
        app.cancel(&id.to_string()).await.is_problem(404, "not-found");
        app.issue("lost", "6.00").await.is_problem(422, "idempotency-mismatch");
        let store = app.open_store().await;
        attention::settle(&store, id, SettleDecision { resolution: Resolution::Issued, reason: "seen in the portal".to_owned() }, &app.scribe(), app.ambient.now()).await.unwrap();
        store.close().await;
        app.restart_with("NOSHI__REWARDS__BREAKER_SECONDS", "0").await;
        app.reveal(&id.to_string()).await.is_problem(404, "not-found");
        assert_eq!(creates(&app), before, "nothing was sent for it");

        // Another caller's key of the same text is another intent, and buys a card of its own.
        let (_other, key) = app.mint_key("another", but_for_all_rewards()).await;
        let request = app.http.post(format!("{}/v1/rewards", app.base)).bearer_auth(key).header("Idempotency-Key", "lost");
        let other = Answer::of(with_json(request, &order("5.00"))).await;
        assert_eq!(other.status, 201, "{}", other.text);
        assert_ne!(other.id(), id.to_string());
        assert_eq!(app.live_cards().len(), 3);
        app.end().await;
    }

    async fn many_retries_of_a_lost_row_at_once_are_one_card(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (issued, _run) = lost_and_found(&mut app, "lost").await;
        for answer in join_all((0..8).map(|_| app.issue("lost", "5.00"))).await {
            match answer.status {
                200 | 201 if answer.json["status"] == "issued" => assert_eq!(answer.code(), issued.code()),
                _ => answer.is_accepted(),
            }
        }
        assert_eq!(app.issue("lost", "5.00").await.code(), issued.code());
        assert_eq!(app.live_cards().len(), 2);
        books_match(&app).await;
        app.end().await;
    }

    async fn what_a_person_settled_meanwhile_holds(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (issued, run) = lost_and_found(&mut app, "lost").await;
        let id = adopted(&app, &run).await;
        let store = app.open_store().await;
        attention::settle(&store, id, SettleDecision { resolution: Resolution::Issued, reason: "seen in the portal".to_owned() }, &app.scribe(), app.ambient.now()).await.unwrap();
        assert_eq!(app.issue("lost", "5.00").await.code(), issued.code(), "theirs, and shown again");

        let (_issued, run) = lost_and_found(&mut app, "second").await;
        let id = adopted(&app, &run).await;
        attention::settle(&store, id, SettleDecision { resolution: Resolution::Canceled, reason: "given back".to_owned() }, &app.scribe(), app.ambient.now()).await.unwrap();
        let before = creates(&app);
        let canceled = app.issue("second", "5.00").await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert_eq!(creates(&app), before);
        store.close().await;
        app.end().await;
    }

    async fn an_adopted_card_whose_id_amazon_may_have_forgotten_is_not_replayed(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (_issued, run) = lost_and_found(&mut app, "lost").await;
        adopted(&app, &run).await;
        app.advance(31 * DAY_SECONDS);
        let before = creates(&app);
        let late = app.issue("lost", "5.00").await;
        assert_eq!(late.json["status"], "needs_attention", "{}", late.text);
        assert_eq!((creates(&app), app.live_cards().len()), (before, 2));
        app.end().await;
    }

    async fn an_external_id_that_is_taken_keeps_a_lost_row_adopted(backend: Backend) {
        let mut app = App::spawn(backend).await;
        lost_and_found(&mut app, "lost").await;
        let mut body = order("9.00");
        body["external_id"] = json!("order-1");
        assert_eq!(app.issue_body("taken", body.clone()).await.status, 201);
        body["value"]["amount"] = json!("5.00");
        let refused = app.issue_body("lost", body.clone()).await;
        refused.is_problem(409, "external-id-conflict");
        assert_eq!(refused.json["money_moved"], "unknown", "the card of the key stands");
        body["external_id"] = json!("order-2");
        let again = app.issue_body("lost", body).await;
        assert_eq!((again.status, &again.json["external_id"]), (201, &json!("order-2")), "{}", again.text);
        app.end().await;
    }
}
