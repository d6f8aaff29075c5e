//! Support: a customer on the phone knows an order's number, and no client.

use noshi::identity::Scopes;
use serde_json::{Value, json};

use super::{charged, every_scope_of_a_client};
use crate::support::{Answer, App, Backend, on_each_backend, scope};

/// The ids of a list, with whose each is.
fn found(list: &Answer) -> Vec<(String, Value)> {
    assert_eq!(list.status, 200, "{}", list.text);
    let data = list.json["data"].as_array().unwrap();
    data.iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one["client"].clone())).collect()
}

fn order(external_id: &str) -> Value {
    let mut body = charged(None);
    body["external_id"] = json!(external_id);
    body
}

on_each_backend! {
    async fn a_key_for_the_rewards_of_all_finds_an_order_and_cancels_it_and_the_timeline_names_it(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (_client, shop) = app.mint_key("shop", every_scope_of_a_client()).await;
        let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
        let words = ["rewards:read", "rewards:cancel", "claim_codes:reveal", "rewards:all"];
        let (_client, support) = app.mint_key("support", Scopes::new(words.map(scope))).await;
        let (_client, finance) = app.mint_key("finance", Scopes::new(["rewards:read", "clients:all"].map(scope))).await;
        app.key.clone_from(&shop);
        let theirs = app.issue_body("a", order("4711")).await;
        let (id, amazon) = (theirs.id().to_owned(), theirs.json["creation_request_id"].as_str().unwrap().to_owned());
        assert_eq!(theirs.json["client"], Value::Null, "a client knows who it is");
        app.key.clone_from(&other);
        let same_number = app.issue_body("b", order("4711")).await.id().to_owned();
        app.issue_body("c", charged(None)).await;

        app.key = support;
        let (shops, others) = ((id.clone(), json!("shop")), (same_number, json!("other")));
        let by_number = found(&app.get("/v1/rewards?external_id=4711").await);
        assert_eq!(by_number, [others, shops.clone()], "two clients may use one number");
        let of_shop = "/v1/rewards?client=shop";
        for path in [format!("{of_shop}&external_id=4711"), of_shop.to_owned(), format!("{of_shop}&status=issued&account_id=main")] {
            assert_eq!(found(&app.get(&path).await), std::slice::from_ref(&shops), "{path}");
        }
        assert_eq!(found(&app.get(&format!("/v1/rewards?creation_request_id={amazon}")).await), [shops]);
        assert_eq!(found(&app.get("/v1/rewards").await).len(), 3);
        let first = app.get("/v1/rewards?limit=2").await;
        let next = app.get(&format!("/v1/rewards?limit=2&cursor={}", first.json["next_cursor"].as_str().unwrap())).await;
        assert_eq!((found(&first).len(), found(&next).len()), (2, 1), "pages of all clients together");
        assert_eq!(found(&app.get("/v1/rewards?client=nobody").await), []);
        assert_eq!(app.reveal(&id).await.json["client"], "shop");
        let canceled = app.cancel(&id).await;
        assert_eq!((&canceled.json["status"], &canceled.json["client"]), (&json!("canceled"), &json!("shop")));
        let support_key = app.get("/v1/ping").await.json["key_id"].clone();
        let timeline = app.get(&format!("/v1/rewards/{id}/events")).await;
        let entries = timeline.json["data"].as_array().unwrap();
        for kind in ["cancel.requested", "claim_code.revealed"] {
            let entry = entries.iter().find(|entry| entry["kind"] == kind).unwrap();
            assert_eq!(entry["detail"]["api_key_id"], support_key, "{kind}");
        }

        // What migrations gave to keys of before opens no reward of another client's, and a client's own filter neither.
        for key in [finance, other] {
            app.key = key;
            app.get(&format!("/v1/rewards/{id}")).await.is_problem(404, "not-found");
            for filter in ["client=shop", "client=shop&external_id=4711", &format!("creation_request_id={amazon}")] {
                assert_eq!(found(&app.get(&format!("/v1/rewards?{filter}")).await), [], "{filter}");
            }
        }
        app.end().await;
    }
}
