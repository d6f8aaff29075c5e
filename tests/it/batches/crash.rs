//! Death at each named place of the runner: no item is lost, and none is bought twice.

use serde_json::json;

use super::{each_once, items, until_ended};
use crate::{
    kill::start,
    support::{Answer, App, Backend, on_each_backend, wait::found, with_json},
};

/// Every place of the runner, and at which pass the process dies there.
const PLACES: [(&str, u32); 6] = [
    ("batches.claimed", 1),
    ("issue.after_t1", 2),
    ("batches.bought", 1),
    ("batches.bought", 3),
    ("batches.settled", 2),
    ("batches.in_finish", 1),
];
/// Enough for a death at each place.
const ITEMS: usize = 12;
/// What a process that died had taken up is taken up again once its time is over: nobody waits for that here.
const DUE: &str = "UPDATE batch_items SET due_at = (SELECT created_at FROM batches) WHERE due_at IS NOT NULL";

on_each_backend! {
    async fn a_crash_at_any_line_of_the_runner_loses_no_item_and_buys_none_twice(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert!(app.stop().await);
        let mut sent = false;
        for (place, pass) in PLACES {
            let mut armed = app.environment().to_vec();
            armed.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@{pass}")));
            if let Ok(mut served) = start(armed).await {
                if !sent {
                    app.base.clone_from(&served.base);
                    let body = json!({"items": items("order", ITEMS)});
                    let request = app.request("POST", "/v1/batches").header("Idempotency-Key", "one");
                    let _ = Answer::try_of(with_json(request, &body)).await;
                    sent = true;
                }
                found(&format!("it dies at {place}"), async || served.ended()).await;
            }
            app.database.execute(DUE).await.unwrap();
        }
        let served = start(app.environment().to_vec()).await.unwrap();
        app.base.clone_from(&served.base);
        let list = app.get("/v1/batches").await;
        let id = list.json["data"][0]["id"].as_str().unwrap().to_owned();
        let ended = until_ended(&app, &id).await;
        assert_eq!((&ended["state"], &ended["counts"]["issued"]), (&json!("finished"), &json!(ITEMS)));
        each_once(&app, ITEMS);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM facts WHERE kind = 'batch.finished'").await, 1, "it is said once");
        drop(served);
        app.end().await;
    }
}
