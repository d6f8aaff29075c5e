//! A second process that writes to the same SQLite file, as `noshi keys create` does beside `serve`: the service waits
//! for it and refuses nobody.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule};
use sqlx::Executor;

use super::Served;
use crate::{
    seeded,
    support::{App, Backend},
};

const ROUNDS: usize = 5;
/// How long the neighbour keeps the write lock: time enough for a request to come as far as it can without it.
const HOLDS: Duration = Duration::from_millis(300);

/// Cancels one reward and retries another while a neighbour is in the middle of writing. Returns what was refused. A retry
/// reads its row and then writes it. If it took the write lock only for the second, it would find that what it has read is
/// old, and no waiting would help it.
pub(crate) async fn refused_beside_a_writer(bug: Option<&str>) -> Vec<String> {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let served = Served::start(&seeded::with(bug, app.environment()));
    app.base.clone_from(&served.base);
    let mut refused = Vec::new();
    for round in 0..ROUNDS {
        let issued = app.issue(&format!("beside-{round}"), "1.00").await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let refusal =
            Fault::FCode { code: "F300".to_owned(), error_type: "AccessDenied".to_owned(), after_work: false };
        app.control.script(FaultRule::once(refusal)).unwrap();
        let failed = app.issue(&format!("again-{round}"), "1.00").await;
        assert_eq!(app.read(failed.reward_id()).await["status"], "failed");
        let mut neighbour = app.database.sqlite().await;
        neighbour.execute("BEGIN IMMEDIATE; UPDATE clients SET name = name").await.unwrap();
        let writes = async {
            tokio::time::sleep(HOLDS).await;
            neighbour.execute("COMMIT").await.unwrap();
        };
        let again = format!("again-{round}");
        let (canceled, retried, ()) = tokio::join!(app.cancel(issued.id()), app.issue(&again, "1.00"), writes);
        if (canceled.status, canceled.json["status"].as_str()) != (200, Some("canceled")) {
            refused.push(canceled.text);
        }
        if retried.status != 201 {
            refused.push(retried.text);
        }
    }
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    app.end().await;
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_that_writes_to_the_file_makes_us_refuse_nobody() {
    assert_eq!(refused_beside_a_writer(None).await, [""; 0]);
}
