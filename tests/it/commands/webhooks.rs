//! Endpoints for events.

use super::run;
use crate::{
    support::{App, Backend, wait},
    webhooks::shape,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_made_tried_replayed_given_another_secret_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::shaped(Backend::Sqlite, shape(&folder)).await;
    let since = app.ambient.now().to_rfc3339();
    let made = run(
        &app,
        &["webhooks", "add", "http://127.0.0.1:1024/hook", "--event-type", "reward.issued", "--description", "shop"],
    )
    .good();
    let (id, secret) = (made.lines().next().unwrap().to_owned(), super::line(&made, "secret"));
    assert!(id.starts_with("whe_") && secret.starts_with("whsec_"), "{made}");
    app.issue("one", "1.00").await;
    wait::until("the event is on its way", async || {
        run(&app, &["webhooks", "deliveries", &id]).good().contains("reward.issued")
    })
    .await;
    let listed = run(&app, &["webhooks", "endpoints"]).good();
    assert!(
        listed.contains(&id) && listed.contains("http://127.0.0.1:1024/hook") && !listed.contains("whsec_"),
        "{listed}"
    );
    let test = run(&app, &["webhooks", "test", &id]).good();
    assert!(test.starts_with("whd_") && test.contains("is on its way"), "{test}");
    let delivery = test.split_whitespace().next().unwrap();
    let deliveries = run(&app, &["webhooks", "deliveries", &id]).good();
    assert!(deliveries.contains(delivery) && deliveries.contains("webhook_endpoint.test"), "{deliveries}");
    run(&app, &["webhooks", "redeliver", &id, delivery]).good();
    // Nobody listens there, so all of them still wait to be sent, and none is sent twice.
    let replayed = run(&app, &["webhooks", "replay", &id, "--from", &since]).good();
    assert!(replayed.starts_with("0 events"), "{replayed}");
    let rotated = run(&app, &["webhooks", "rotate-secret", &id, "--overlap-hours", "1"]).good();
    assert_ne!(super::line(&rotated, "secret"), secret);
    assert!(run(&app, &["webhooks", "remove", &id]).good().ends_with("is removed\n"));
    let gone = run(&app, &["webhooks", "test", &id]);
    assert!(gone.code == 3 && gone.err.contains("404 not-found"), "{}", gone.err);
    app.end().await;
}
