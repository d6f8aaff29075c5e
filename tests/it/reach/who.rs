//! Who did it: the log line of each request and the timelines name the key.

use noshi::identity::Scopes;
use serde_json::{Value, json};

use crate::{
    process::Served,
    support::{App, Backend, scope, wait::found},
};

/// The log line of the request with this id.
async fn line(served: &Served, id: &str) -> Value {
    found("the request is logged", async || {
        served.log().into_iter().find(|line| line["message"] == "request" && line["http.request.id"] == id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_and_the_timelines_name_the_key() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let (_client, second) = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await;
    let (_client, narrow) = app.mint_key("tests", Scopes::new([scope("programs:read")])).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    let id_of = async |app: &App| app.get("/v1/ping").await.json["key_id"].clone();
    let first_id = id_of(&app).await;
    let issued = app.issue("one", "5.00").await;
    let first = std::mem::replace(&mut app.key, second);
    let second_id = id_of(&app).await;
    let again = app.issue("one", "5.00").await;
    assert_eq!(again.code(), issued.code());
    app.reveal(issued.id()).await;
    app.key = first;
    assert_eq!(app.cancel(issued.id()).await.json["status"], "canceled");
    let timeline = app.get(&format!("/v1/rewards/{}/events", issued.id())).await;
    let named: Vec<(Value, Value)> = timeline.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| !entry["detail"]["api_key_id"].is_null())
        .map(|entry| (entry["kind"].clone(), entry["detail"]["api_key_id"].clone()))
        .collect();
    let by = |kind: &str, key: &Value| (json!(kind), key.clone());
    assert_eq!(
        named,
        [
            by("reward.received", &first_id),
            by("claim_code.redelivered", &second_id),
            by("claim_code.revealed", &second_id),
            by("cancel.requested", &first_id),
        ]
    );
    let bought = line(&served, issued.header("x-request-id")).await;
    assert_eq!((&bought["api_key.id"], &bought["client.id"]), (&first_id, &json!(app.client.to_string())), "{bought}");
    assert_eq!(bought["network.peer.address"], "127.0.0.1");
    assert_eq!(line(&served, again.header("x-request-id")).await["api_key.id"], second_id);
    // Refused for its scope: it is known whose it was. A stranger's is not.
    app.key = narrow;
    let refused = app.get("/v1/rewards").await;
    assert_eq!(line(&served, refused.header("x-request-id")).await["client.id"], bought["client.id"]);
    app.key = "nsk_nobody".to_owned();
    let strange = line(&served, app.get("/v1/rewards").await.header("x-request-id")).await;
    assert!(strange["api_key.id"].is_null() && strange["network.peer.address"] == "127.0.0.1", "{strange}");
    assert!(served.terminate().success());
    app.end().await;
}
