//! Campaigns, webhooks, reconciliations and keys, by plain HTTP. Their use cases are shown on both databases elsewhere.

use std::net::SocketAddr;

use chrono::TimeDelta;
use noshi::identity::Scopes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{desk::Desk, issue, with_console};
use crate::{
    process::noshi,
    reconciliation::reconcile,
    support::{Answer, App, Backend, Shape, but_for_all_rewards, scope, wait, with_json},
    webhooks,
};

/// A campaign of twelve items, of which the funds buy three.
pub(super) async fn waiting_campaign(app: &mut App) -> String {
    app.set_funds(3);
    let item =
        |at: usize| json!({"external_id": format!("thanks-{at}"), "value": {"amount": "1.00", "currency_code": "USD"}});
    let body = json!({"name": "Spring thanks", "items": (0..12).map(item).collect::<Vec<_>>()});
    let taken =
        Answer::of(with_json(app.request("POST", "/v1/batches").header("Idempotency-Key", "campaign"), &body)).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let path = format!("/v1/batches/{}", taken.id());
    wait::until("it waits", async || app.get(&path).await.json["waiting_for"] == "insufficient-funds").await;
    wait::until("all are back", async || app.get(&path).await.json["counts"]["sent"] == 0).await;
    taken.id().to_owned()
}

/// An endpoint where nobody listens: its id and its address.
pub(super) async fn deaf_endpoint(app: &App) -> (String, SocketAddr) {
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{deaf}/hook?secret=of-the-receiver");
    let body = json!({"url": url, "event_types": ["reward.issued"]});
    let made = app.post("/v1/webhook-endpoints", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (made.id().to_owned(), deaf)
}

async fn deliveries(app: &App, endpoint: &str) -> Vec<serde_json::Value> {
    let page = app.get(&format!("/v1/webhook-endpoints/{endpoint}/deliveries")).await;
    page.json["data"].as_array().unwrap().clone()
}

pub(super) async fn until_tried(app: &App, endpoint: &str) {
    wait::until("it was tried", async || {
        deliveries(app, endpoint).await.iter().any(|one| !one["last_failure"].is_null())
    })
    .await;
}

/// What the service reconciles with: Amazon lists nothing of the day before.
pub(super) async fn reconciled(app: &App, days_ago: i64) -> String {
    app.control.edit_activity(Vec::clear);
    let day = (app.ambient.now() - TimeDelta::days(days_ago)).date_naive().to_string();
    reconcile(app, &day, &day).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_campaign_shows_its_progress_and_is_paused_resumed_and_ended_by_the_key_of_its_client() {
    let mut app = with_console(Backend::Sqlite).await;
    let id = waiting_campaign(&mut app).await;
    let desk = Desk::log_in(&app, &app.key).await;
    let (list, page) =
        (desk.get("/console/batches").await.text, desk.get(&format!("/console/batches/{id}")).await.text);
    for (what, text) in [("the list", &list), ("its page", &page)] {
        assert!(text.contains("3 of 12 done") && text.contains("funds do not suffice"), "{what}: {text}");
    }
    assert!(!list.contains("<td>tests</td>"), "whose it is, to whoever sees those of one client alone");
    let words = ["rewards:read", "rewards:all"].map(scope);
    let (_client, support) = app.mint_key("support", Scopes::new(words)).await;
    let all = Desk::log_in(&app, &support).await.get("/console/batches").await.text;
    assert!(all.contains("<td>tests</td>"), "{all}");
    assert!(page.contains("thanks-5") && page.contains("/console/rewards/rwd_"), "{page}");
    assert!(desk.get("/console").await.text.contains("Campaign Spring thanks waits: "), "an alarm");

    let path = format!("/console/batches/{id}");
    let (_client, other) = app.mint_key("other", but_for_all_rewards()).await;
    let (_client, reader) = app.mint_key("tests", Scopes::new([scope("rewards:read")])).await;
    let stranger = Desk::log_in(&app, &other).await;
    assert_eq!(stranger.get(&path).await.status, 404);
    assert_eq!(stranger.send(&path, &[("wish", "cancel")]).await.status, 404);
    let reader = Desk::log_in(&app, &reader).await;
    assert!(!reader.get(&path).await.text.contains("name=\"wish\""), "no button for what the key may not");
    assert_eq!(reader.send(&path, &[("wish", "cancel")]).await.status, 403);
    assert_eq!(desk.send(&path, &[("wish", "sell")]).await.status, 400);
    assert_eq!(app.get(&format!("/v1/batches/{id}")).await.json["state"], "running", "nobody did anything");

    for (wish, state, note) in [
        ("pause", "paused", "batch-paused"),
        ("resume", "running", "batch-resumed"),
        ("cancel", "canceled", "batch-canceled"),
    ] {
        let sent = desk.send(&path, &[("wish", wish)]).await;
        assert_eq!(
            (sent.status, sent.header("location")),
            (303, format!("{path}?done={note}").as_str()),
            "{}",
            sent.text
        );
        assert_eq!(app.get(&format!("/v1/batches/{id}")).await.json["state"], state);
    }
    assert_eq!(desk.send(&path, &[("wish", "pause")]).await.status, 409, "it has ended");
    app.end().await;
}

#[tokio::test]
async fn what_a_receiver_did_not_take_is_sent_again_and_its_address_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::shaped(Backend::Sqlite, webhooks::shape(&folder).with("NOSHI__SERVER__CONSOLE", "true")).await;
    let (endpoint, deaf) = deaf_endpoint(&app).await;
    issue(&app, "4711").await;
    until_tried(&app, &endpoint).await;
    let desk = Desk::log_in(&app, &app.key).await;
    let page = desk.get("/console/webhooks").await.text;
    assert!(page.contains("127.0.0.1") && page.contains("reward.issued") && page.contains("To be sent"), "{page}");
    assert!(!page.contains("of-the-receiver"), "a receiver's own secret: {page}");

    let path =
        page.split("action=\"").find_map(|text| text.split('"').next().filter(|path| path.ends_with("/redeliver")));
    let path = path.unwrap().to_owned();
    let (_client, other) = app.mint_key("other", but_for_all_rewards()).await;
    let (_client, reader) = app.mint_key("tests", Scopes::new([scope("webhooks:read")])).await;
    let reader = Desk::log_in(&app, &reader).await;
    assert!(!reader.get("/console/webhooks").await.text.contains("/redeliver"), "no button for what the key may not");
    assert_eq!(reader.send(&path, &[]).await.status, 403);
    let stranger = Desk::log_in(&app, &other).await;
    assert!(!stranger.get("/console/webhooks").await.text.contains(&endpoint));
    assert_eq!(stranger.send(&path, &[]).await.status, 404);
    let receiver = tokio::net::TcpListener::bind(deaf).await.unwrap();
    assert_eq!(deliveries(&app, &endpoint).await[0]["attempts"], 1, "nobody had it sent again");
    // The first one takes it. What was taken comes a second time by a redelivery alone.
    for _ in 0..2 {
        let again = desk.send(&path, &[]).await;
        assert_eq!(
            (again.status, again.header("location")),
            (303, "/console/webhooks?done=redelivered"),
            "{}",
            again.text
        );
        let (mut connection, _peer) = receiver.accept().await.unwrap();
        connection.read_u8().await.unwrap();
        connection.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        wait::until("it was taken", async || deliveries(&app, &endpoint).await[0]["state"] == "delivered").await;
    }
    assert!(desk.get("/console/webhooks").await.text.contains("All was delivered."));
    let off = app.anonymous("PATCH", &format!("/v1/webhook-endpoints/{endpoint}")).bearer_auth(&app.key);
    assert_eq!(Answer::of(with_json(off, &json!({"state": "disabled"}))).await.status, 200);
    assert!(desk.get("/console").await.text.contains("Webhook endpoint at 127.0.0.1"), "an alarm");
    app.end().await;
}

#[tokio::test]
async fn a_reconciliation_shows_what_differs_to_whoever_may_see_it() {
    let mut app = with_console(Backend::Sqlite).await;
    let id = issue(&app, "4711").await.id().to_owned();
    app.advance(2 * 24 * 3600);
    let run = reconciled(&app, 2).await;
    let desk = Desk::log_in(&app, &app.key).await;
    let list = desk.get("/console/reconciliations").await.text;
    assert!(list.contains(&run) && list.contains("Something differs") && list.contains("USD -5.00"), "{list}");
    let path = format!("/console/reconciliations/{run}");
    let page = desk.get(&path).await.text;
    assert!(page.contains("Amazon does not list it") && page.contains(&format!("/console/rewards/{id}")), "{page}");
    let (_client, other) = app.mint_key("other", Scopes::new(["ledger:read", "rewards:read"].map(scope))).await;
    let stranger = Desk::log_in(&app, &other).await;
    for path in [path.as_str(), "/console/reconciliations"] {
        let page = stranger.get(path).await;
        assert!(page.status == 200 && !page.text.contains(&id) && !page.text.contains("5.00"), "{}", page.text);
    }
    assert_eq!(desk.get("/console/reconciliations/rec_none").await.status, 404);
    app.end().await;
}

#[tokio::test]
async fn keys_are_shown_to_an_operator_with_their_ends_and_without_a_secret() {
    let app = with_console(Backend::Sqlite).await;
    let soon = app.ambient.now() + TimeDelta::days(12) + TimeDelta::hours(1);
    let (_client, ending) = app.mint_key_until("shop", Scopes::new([scope("rewards:read")]), Some(soon)).await;
    let desk = Desk::log_in(&app, &app.key).await;
    let page = desk.get("/console/keys").await.text;
    assert!(page.contains("in 12 days") && page.contains("shop") && page.contains("rewards:read"), "{page}");
    for key in [&app.key, &ending] {
        assert!(!page.contains(key.rsplit('_').next().unwrap()), "a secret");
    }
    assert!(desk.get("/console").await.text.contains("ends in 12 days."), "an alarm to an operator");
    let own = Desk::log_in(&app, &ending).await;
    assert!(own.get("/console").await.text.contains("ends in 12 days."), "an alarm to its holder");
    assert_eq!(own.get("/console/keys").await.status, 403);
    app.end().await;
}

#[tokio::test]
async fn a_month_is_the_same_sheet_as_the_api_gives() {
    let app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__CONSOLE", "true")).await;
    issue(&app, "4711").await;
    let month = app.ambient.now().format("%Y-%m").to_string();
    let desk = Desk::log_in(&app, &app.key).await;
    let page = desk.get(&format!("/console/months/main/{month}")).await.text;
    let link = format!("/console/months/main/{month}.csv");
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let sheet = desk.get(&link).await;
    let by_key = app.request("GET", &format!("/v1/statements/main/{month}")).header("Accept", "text/csv");
    assert_eq!((sheet.status, &sheet.text), (200, &Answer::of(by_key).await.text));
    assert_eq!(sheet.header("content-disposition"), format!("attachment; filename=\"main-{month}.csv\""));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_linked_for_accounting_programs_as_the_command_writes_it() {
    let app = with_console(Backend::Sqlite).await;
    app.cancel(issue(&app, "4711").await.id()).await;
    issue(&app, "4712").await;
    let month = app.ambient.now().format("%Y-%m").to_string();
    let (desk, here) = (Desk::log_in(&app, &app.key).await, format!("/console/months/main/{month}"));
    let (_client, other) = app.mint_key("other", Scopes::new([scope("ledger:read")])).await;
    let client = Desk::log_in(&app, &other).await;
    let (page, others) = (desk.get(&here).await.text, client.get(&here).await);
    assert!(others.status == 200 && !others.text.contains("hledger"), "{}", others.text);
    for (format, ending) in [("hledger", "journal"), ("beancount", "beancount")] {
        let link = format!("{here}.{ending}");
        assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
        let book = desk.get(&link).await;
        let words = ["ledger", "export", "--account", "main", "--month", &month, "--format", format];
        let written = noshi().args(words).envs(app.environment().iter().cloned()).output().unwrap();
        assert_eq!((book.status, book.text.as_bytes()), (200, written.stdout.as_slice()), "{}", book.text);
        assert!(book.text.contains("4712") && book.text.matches("Expenses:Rewards:None").count() == 3, "{}", book.text);
        assert_eq!(book.header("content-disposition"), format!("attachment; filename=\"main-{month}.{ending}\""));
        let refused = client.get(&link).await;
        assert!(refused.status == 403 && refused.text.contains("<code>clients:all</code>"), "{}", refused.text);
        assert_eq!(desk.get(&format!("/console/months/main/2099-01.{ending}")).await.status, 404);
    }
    app.end().await;
}
