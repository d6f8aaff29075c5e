//! The console by plain HTTP: who gets in, what a form must show, what each key sees, and that a code is on one page alone.

mod browser;
mod canary;
pub(crate) mod desk;
mod million;
mod operations;
mod pages;
mod sessions;

use std::collections::BTreeMap;

use noshi::identity::Scopes;
use serde_json::json;

use crate::support::{Answer, App, Backend, Shape, but_for_all_rewards, on_each_backend, scope};
use desk::Desk;

/// A service that serves the console.
pub(super) async fn with_console(backend: Backend) -> App {
    App::shaped(backend, Shape::default().with("NOSHI__SERVER__CONSOLE", "true")).await
}

/// A gift code for this order.
pub(super) async fn issue(app: &App, order: &str) -> Answer {
    let value = json!({"amount": "5.00", "currency_code": "USD"});
    let issued = app.issue_body(order, json!({"kind": "gift_code", "value": value, "external_id": order})).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    issued
}

/// Each page, and the scope that it needs.
const PAGES: &[(&str, &str)] = &[
    ("/console", ""),
    ("/console/rewards", "rewards:read"),
    ("/console/rewards?q=nothing", "rewards:read"),
    ("/console/rewards/{id}", "rewards:read"),
    ("/console/balances", "balances:read"),
    ("/console/balances/main", "balances:read"),
    ("/console/months/main/{month}", "ledger:read"),
    ("/console/months/main/{month}.csv", "ledger:read"),
    ("/console/programs", "programs:read"),
    ("/console/batches", "rewards:read"),
    ("/console/reconciliations", "ledger:read"),
    ("/console/webhooks", "webhooks:read"),
    ("/console/keys", "clients:all"),
];

on_each_backend! {
    async fn support_finds_an_order_by_any_of_its_numbers_and_cancels_it_and_the_timeline_names_the_key(backend: Backend) {
        let app = with_console(backend).await;
        let issued = issue(&app, "4711").await;
        let (id, amazon) = (issued.id().to_owned(), issued.json["creation_request_id"].as_str().unwrap().to_owned());
        let desk = Desk::log_in(&app, &app.key).await;
        for number in ["4711", id.as_str(), amazon.as_str(), "%204711%20"] {
            let found = desk.get(&format!("/console/rewards?q={number}")).await;
            assert_eq!((found.status, found.header("location")), (303, format!("/console/rewards/{id}").as_str()), "{number}");
        }
        for number in ["471", "nothing", "", &"9".repeat(200), "%00"] {
            assert_eq!(desk.get(&format!("/console/rewards?q={number}")).await.status, 200, "{number}");
        }
        let page = desk.get(&format!("/console/rewards/{id}")).await;
        assert!(page.text.contains("Amazon issued the gift") && page.text.contains("class=\"countdown\""), "{}", page.text);

        let canceled = desk.send(&format!("/console/rewards/{id}/cancel"), &[("reason", "returned")]).await;
        assert_eq!((canceled.status, canceled.header("location")), (303, format!("/console/rewards/{id}?done=canceled").as_str()), "{}", canceled.text);
        assert_eq!(app.read(&id).await["status"], "canceled");
        let timeline = app.get(&format!("/v1/rewards/{id}/events")).await;
        let entries = timeline.json["data"].as_array().unwrap();
        let wish = entries.iter().find(|entry| entry["kind"] == "cancel.requested").unwrap();
        let key = app.get("/v1/ping").await.json["key_id"].clone();
        assert_eq!((&wish["detail"]["reason"], &wish["detail"]["api_key_id"]), (&json!("returned"), &key));
        let after = desk.get(&format!("/console/rewards/{id}?done=canceled")).await;
        assert!(after.text.contains("The reward is canceled.") && !after.text.contains("/cancel\""), "{}", after.text);
        app.end().await;
    }

    async fn a_code_is_on_the_page_of_its_reveal_alone(backend: Backend) {
        let app = with_console(backend).await;
        let issued = issue(&app, "4711").await;
        let (id, code) = (issued.id().to_owned(), issued.code().to_owned());
        let desk = Desk::log_in(&app, &app.key).await;
        let shown = desk.send(&format!("/console/rewards/{id}/reveal"), &[("reason", "lost")]).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        assert_eq!(shown.text.matches(&code).count(), 1);
        assert_eq!(shown.header("cache-control"), "no-store");
        assert!(app.events(&id).await.contains(&"claim_code.revealed".to_owned()));
        for (path, _scope) in PAGES {
            let page = desk.get(&desk::filled(&app, path, &id)).await;
            assert!(!page.text.contains(&code), "{path}");
        }
        let again = desk.get(&format!("/console/rewards/{id}/reveal")).await;
        assert_eq!(again.status, 405, "it cannot be got");
        app.end().await;
    }

    async fn a_page_is_shown_to_a_key_with_its_scope_and_to_no_other(backend: Backend) {
        let app = with_console(backend).await;
        let id = issue(&app, "4711").await.id().to_owned();
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for held in noshi::server::scopes() {
            let (_client, key) = app.mint_key("tests", Scopes::new([held])).await;
            let desk = Desk::log_in(&app, &key).await;
            let home = desk.get("/console").await;
            for (path, needed) in PAGES {
                let page = desk.get(&desk::filled(&app, path, &id)).await;
                let may = needed.is_empty() || *needed == held.as_str();
                assert_eq!(page.status, if may { 200 } else { 403 }, "{path} with {held}: {}", page.text);
                if may {
                    *shown.entry(path).or_default() += 1;
                } else {
                    assert!(page.text.contains(&format!("<code>{needed}</code>")), "{path} with {held}: {}", page.text);
                }
                let link = format!("href=\"{path}\"");
                let is_in_navigation = !needed.is_empty() && !path.contains(['?', '{']);
                assert!(!is_in_navigation || home.text.contains(&link) == may, "{path} with {held}: {}", home.text);
            }
            for action in ["cancel", "reveal"] {
                let may = [("cancel", "rewards:cancel"), ("reveal", "claim_codes:reveal")].contains(&(action, held.as_str()));
                let refused = desk.send(&format!("/console/rewards/{id}/{action}"), &[("reason", "")]).await;
                assert_eq!(refused.status, if may { 400 } else { 403 }, "{action} with {held}: {}", refused.text);
            }
        }
        assert_eq!(shown.len(), PAGES.len());
        assert_eq!(app.read(&id).await["status"], "issued", "nothing was done");
        app.end().await;
    }

    async fn the_reward_of_another_client_is_not_found(backend: Backend) {
        let app = with_console(backend).await;
        let id = issue(&app, "4711").await.id().to_owned();
        let (_client, other) = app.mint_key("other", but_for_all_rewards()).await;
        let desk = Desk::log_in(&app, &other).await;
        assert_eq!(desk.get(&format!("/console/rewards/{id}")).await.status, 404);
        let none = desk.get("/console/rewards?q=4711").await;
        assert!(none.status == 200 && none.text.contains("No reward has this number"), "{}", none.text);
        for action in ["cancel", "reveal"] {
            assert_eq!(desk.send(&format!("/console/rewards/{id}/{action}"), &[("reason", "x")]).await.status, 404);
        }
        let words = ["rewards:read", "rewards:all"];
        let (_client, support) = app.mint_key("support", Scopes::new(words.map(scope))).await;
        let page = Desk::log_in(&app, &support).await.get(&format!("/console/rewards/{id}")).await;
        assert!(page.status == 200 && page.text.contains("<dd>tests</dd>"), "{}", page.text);
        app.end().await;
    }

    async fn what_callers_wrote_is_text_on_a_page(backend: Backend) {
        let app = with_console(backend).await;
        let order = "<script>alert(1)</script>\"'&";
        let id = issue(&app, order).await.id().to_owned();
        let desk = Desk::log_in(&app, &app.key).await;
        for path in ["/console/rewards".to_owned(), format!("/console/rewards/{id}"), "/console/rewards?q=%3Cscript%3E%22x".to_owned()] {
            let page = desk.get(&path).await;
            assert!(page.status == 200 && !page.text.contains("<script>alert") && !page.text.contains("<script>\"x"), "{path}: {}", page.text);
        }
        assert!(desk.get(&format!("/console/rewards/{id}")).await.text.contains("&#60;script&#62;alert(1)"), "it is shown");
        app.end().await;
    }
}

#[tokio::test]
async fn the_console_is_served_where_the_settings_say_so_alone() {
    let app = App::spawn(Backend::Sqlite).await;
    let none = Answer::of(app.http.get(format!("{}/console/login", app.admin))).await;
    assert_eq!(none.status, 404);
    app.end().await;
}
