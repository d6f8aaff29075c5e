//! An old back-up of a service that activated cards and loaded accounts since. Rows that were lost come back with their callers' keys and
//! buy nothing again; another target under such a key is not acted on; what was reversed since is not taken for standing.

use noshi::sandbox::CardState;
use serde_json::{Value, json};

use super::doubt::{restored_without, rewind};
use crate::{
    kill::sold::{Sold, selling_all},
    reconciliation::{items, reconcile},
    support::{Answer, App, Backend, books::books_match, on_each_backend},
};

const KINDS: [Sold; 2] = [Sold::Card, Sold::Load];

fn order(app: &App, sold: Sold, number: usize) -> Value {
    sold.order(sold.target(app, number).as_deref(), "25.00")
}

fn key(sold: Sold, what: &str) -> String {
    format!("{what}-{sold:?}")
}

async fn issue(app: &App, sold: Sold, what: &str, number: usize) -> Answer {
    let issued = app.issue_body(&key(sold, what), order(app, sold, number)).await;
    assert_eq!(issued.status, 201, "{sold:?} {what}: {}", issued.text);
    issued
}

/// How often an operation was asked for under this key.
fn asked(app: &App, sold: Sold, what: &str) -> usize {
    let id = app.amazon_id(&key(sold, what));
    let calls = app.received(sold.forward());
    calls.iter().filter(|call| call.creation_request_id.as_deref() == Some(id.as_str())).count()
}

on_each_backend! {
    async fn a_lost_card_or_load_comes_back_with_its_key_and_is_bought_once(backend: Backend) {
        let (_folder, shape) = selling_all();
        let mut app = App::shaped(backend, shape).await;
        for sold in KINDS {
            issue(&app, sold, "lost", 0).await;
            issue(&app, sold, "other", 1).await;
        }
        let lost: Vec<String> = KINDS.iter().flat_map(|sold| [key(*sold, "lost"), key(*sold, "other")]).collect();
        restored_without(&mut app, &lost.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for sold in KINDS {
            let again = app.issue_body(&key(sold, "lost"), order(&app, sold, 0)).await;
            assert!(matches!(again.status, 201 | 202), "{sold:?}: {}", again.text);
            app.until(again.id(), "issued").await;
            assert_eq!((app.cards_of(&key(sold, "lost")).len(), asked(&app, sold, "lost")), (1, 2), "{sold:?}");
            // By mistake, about another card or account: Amazon refuses the id, and that proves nothing while the gap is open.
            let wrong = app.issue_body(&key(sold, "other"), order(&app, sold, 2)).await;
            wrong.is_accepted();
            let ended = app.until(wrong.id(), "needs_attention").await;
            assert_eq!(ended["attention"], "refused_in_doubt", "{sold:?}: {ended}");
            let book = app.cards_of(&key(sold, "other"));
            let target = sold.target(&app, 1);
            assert_eq!((book.len(), Some(&book[0].gc_id)), (1, target.as_ref()), "{sold:?}: nothing on the wrong target");
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn what_was_reversed_since_the_back_up_is_not_taken_for_standing(backend: Backend) {
        let (_folder, shape) = selling_all();
        let mut app = App::shaped(backend, shape).await;
        let mut ids = Vec::new();
        for sold in KINDS {
            let issued = issue(&app, sold, "reversed", 0).await;
            ids.push(issued.id().to_owned());
        }
        // A back-up of now holds what they act on.
        const KEEP: &str = "CREATE TABLE kept AS SELECT id, target_sealed, target_key FROM rewards";
        app.database.execute(KEEP).await.unwrap();
        for id in &ids {
            assert_eq!(app.cancel(id).await.json["status"], "canceled");
        }
        let day = app.ambient.now().date_naive().to_string();
        assert!(app.stop().await);
        for sold in KINDS {
            let issued = "state = 'issued', booked = 'issued', canceled_at = NULL, cancel_requested = FALSE, \
                          target_sealed = (SELECT target_sealed FROM kept WHERE kept.id = rewards.id), \
                          target_key = (SELECT target_key FROM kept WHERE kept.id = rewards.id)";
            rewind(&app, &key(sold, "reversed"), "kind = 'canceled'", issued).await;
        }
        app.database.execute("DROP TABLE kept").await.unwrap();
        app.start().await;
        // A caller who cancels again hears what is true, from Amazon.
        let canceled = app.cancel(&ids[1]).await;
        assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
        let told = if canceled.status == 200 { canceled.json } else { app.until(&ids[1], "canceled").await };
        assert_eq!(told["status"], "canceled", "{told}");
        // Of a card the report of the day says so; of a load no report is known.
        app.advance(3 * 86_400);
        let run = reconcile(&app, &day, &day).await;
        let found = items(&app, &run).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["class"], &found[0]["reward_id"]), (&json!("state_differs"), &json!(ids[0])));
        assert!(app.control.book().iter().all(|card| card.state == CardState::Refunded));
        app.end().await;
    }
}
