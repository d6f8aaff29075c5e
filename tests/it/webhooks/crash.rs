//! Death at each named place of the worker: every event arrives, whatever was written before.

use std::collections::BTreeSet;

use super::{Receiver, shape};
use crate::{
    kill::start,
    support::{App, Backend, Shape, on_each_backend, wait, wait::found},
};
use serde_json::json;

/// Every place of the worker, and at which pass the process dies there.
const PLACES: [(&str, u32); 6] = [
    ("webhooks.before_fan_out", 1),
    ("webhooks.after_fan_out", 1),
    ("webhooks.claimed", 1),
    ("webhooks.sent", 1),
    ("webhooks.sent", 2),
    ("webhooks.settled", 1),
];
const PER_DEATH: usize = 3;

/// The ids of all events that an endpoint for `reward.issued` is to hear of.
const FACTS: &str = "SELECT COUNT(*) FROM facts WHERE kind = 'reward.issued'";
/// The place of a process that died is taken again once its time is over: nobody waits for that here.
const DUE: &str = "UPDATE webhook_deliveries SET due_at = created_at WHERE state = 'pending'";

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.sent().iter().map(|sent| sent.header("webhook-id").to_owned()).collect()
}

on_each_backend! {
    async fn a_crash_at_any_line_of_the_worker_loses_no_event(backend: Backend) {
        let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
        let mut app = App::shaped(backend, Shape { funds: 1_000_000, ..shape(&folder) }).await;
        let body = json!({"url": receiver.url(), "event_types": ["reward.issued"]});
        assert_eq!(app.post("/v1/webhook-endpoints", body).await.status, 201);
        assert!(app.stop().await);
        for (at, (place, pass)) in PLACES.into_iter().enumerate() {
            let mut armed = app.environment().to_vec();
            armed.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@{pass}")));
            if let Ok(mut served) = start(armed).await {
                for number in 0..PER_DEATH {
                    let _ = app.try_issue_at(&served.base, &format!("{at}-{number}"), "1.00").await;
                }
                found(&format!("it dies at {place}"), async || served.ended()).await;
            }
            app.database.execute(DUE).await.unwrap();
        }
        let served = start(app.environment().to_vec()).await.unwrap();
        for (at, _place) in PLACES.into_iter().enumerate() {
            for number in 0..PER_DEATH {
                let answer = app.try_issue_at(&served.base, &format!("{at}-{number}"), "1.00").await.unwrap();
                assert!(answer.status < 300, "{}", answer.text);
            }
        }
        wait::until("every event arrived", async || {
            let facts = app.database.number(FACTS).await;
            facts >= i64::try_from(PLACES.len() * PER_DEATH).unwrap() && ids(&receiver).len() == usize::try_from(facts).unwrap()
        })
        .await;
        wait::until("every delivery is settled", async || {
            app.database.number("SELECT COUNT(*) FROM webhook_deliveries WHERE state <> 'delivered'").await == 0
        })
        .await;
        drop(served);
        app.end().await;
    }
}
