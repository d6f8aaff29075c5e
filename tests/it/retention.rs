//! Retention: an old reward leaves the big tables, and everything that asks for it is answered as before.

mod crash;
mod grown;
mod load;

use serde_json::{Value, json};

use crate::{
    reconciliation,
    support::{App, Backend, Database, Shape, books::books_match, on_each_backend, order},
};

const DAY: i64 = 24 * 3600;
const SETTING: &str = "NOSHI__REWARDS__RETENTION_DAYS";
const ARCHIVED: &str = "SELECT COUNT(*) FROM rewards WHERE archived_at IS NOT NULL";

fn shape() -> Shape {
    Shape::default().with(SETTING, 90)
}

/// A request with all that a caller may say.
fn full(metadata: &Value) -> Value {
    json!({
        "kind": "gift_code", "value": {"amount": "5.00", "currency_code": "USD"},
        "external_id": "order 1", "metadata": metadata
    })
}

/// The reward as callers see it, without what archiving takes or adds.
fn kept(mut reward: Value) -> Value {
    let fields = reward.as_object_mut().unwrap();
    for field in ["metadata", "archived_at", "claim_code"] {
        fields.remove(field);
    }
    reward
}

on_each_backend! {
    async fn an_archived_key_answers_as_before_and_buys_nothing(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        let body = full(&json!({"campaign": "spring"}));
        let issued = app.issue_body("one", body.clone()).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let before = app.read(issued.id()).await;
        app.advance(DAY * 50);
        let refused = app.reveal(issued.id()).await;
        assert_eq!(refused.status, 409, "it is too old to be shown: {}", refused.text);
        app.advance(DAY * 41);
        app.until_number(ARCHIVED, 1).await;
        let calls = app.money_calls();

        let again = app.issue_body("one", body.clone()).await;
        assert_eq!((again.status, again.id()), (200, issued.id()), "{}", again.text);
        assert_eq!(kept(again.json.clone()), kept(before.clone()));
        let read = app.read(issued.id()).await;
        assert_eq!(kept(read.clone()), kept(before.clone()));
        assert!(before.get("archived_at").is_none() && before["metadata"]["campaign"] == "spring", "{before}");
        assert!(read["archived_at"].is_string() && read.get("metadata").is_none(), "{read}");
        assert!(app.events(issued.id()).await.is_empty(), "its timeline has gone");
        for path in ["/v1/rewards", "/v1/rewards?external_id=order%201", "/v1/rewards?status=issued"] {
            assert_eq!(app.get(path).await.json["data"], json!([read]), "{path}");
        }
        let reveal = app.reveal(issued.id()).await;
        assert_eq!((reveal.status, &reveal.json["code"]), (refused.status, &refused.json["code"]));
        assert_eq!(app.cancel(issued.id()).await.status, 409, "its window is over");
        let other = app.issue_body("two", body).await;
        assert_eq!((other.status, other.json["code"].as_str()), (409, Some("external-id-conflict")), "{}", other.text);

        assert_eq!((app.money_calls(), app.control.book().len()), (calls, 1), "nothing was bought, nor asked for");
        let row = "SELECT COUNT(*) FROM rewards WHERE metadata IS NULL AND trace_context IS NULL AND metadata_digest IS NOT NULL";
        assert_eq!(app.database.number(row).await, 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn another_body_under_an_archived_key_is_refused(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        let body = full(&json!({"campaign": "spring"}));
        assert_eq!(app.issue_body("one", body.clone()).await.status, 201);
        assert_eq!(app.issue("plain", "6.00").await.status, 201);
        app.advance(DAY * 91);
        app.until_number(ARCHIVED, 2).await;
        let with = |path: &str, value: Value| {
            let mut other = body.clone();
            *other.pointer_mut(path).unwrap() = value;
            other
        };
        let mut bare = body.clone();
        bare.as_object_mut().unwrap().remove("metadata");
        let others = [
            with("/metadata", json!({"campaign": "summer"})),
            with("/metadata", json!({})),
            with("/value/amount", json!("5.01")),
            with("/external_id", json!("order 2")),
            bare,
        ];
        for other in others {
            let refused = app.issue_body("one", other.clone()).await;
            assert_eq!((refused.status, &refused.json["code"]), (422, &json!("idempotency-mismatch")), "{other}");
        }
        let mut more = order("6.00");
        more["metadata"] = json!({"campaign": "spring"});
        assert_eq!(app.issue_body("plain", more).await.status, 422, "it had no metadata");
        assert_eq!((app.issue("plain", "6.00").await.status, app.control.book().len()), (200, 2));
        books_match(&app).await;
        app.end().await;
    }

    async fn nothing_that_is_open_or_young_is_archived(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        let old = app.issue("old", "5.00").await;
        app.strike("odd", noshi::sandbox::Fault::WrongAmount, 1);
        let odd = app.issue("odd", "6.00").await;
        assert_eq!(odd.json["status"], "needs_attention", "{}", odd.text);
        app.advance(DAY * 3 / 2);
        assert_eq!(app.issue("next", "8.00").await.status, 201);
        app.advance(DAY * 117 / 2);
        let young = app.issue("young", "7.00").await;
        assert_eq!(young.status, 201);
        app.advance(DAY * 31);
        app.until_number(ARCHIVED, 1).await;
        let walked = "SELECT COUNT(*) FROM retention WHERE lease_token IS NULL AND archived = 1";
        app.until_number(walked, 1).await;
        let waiting = "SELECT COUNT(*) FROM retention_waiting";
        assert_eq!(app.database.number(waiting).await, 1, "the walk has passed it");
        for (reward, archived) in [(&old, true), (&odd, false), (&young, false)] {
            assert_eq!(app.read(reward.id()).await.get("archived_at").is_some(), archived, "{}", reward.text);
            assert_eq!(app.events(reward.id()).await.is_empty(), archived, "{}", reward.text);
        }

        // A person decides. From then on it is as old as that decision.
        let decide = "UPDATE rewards SET state = 'issued', attention = NULL, issued_at = first_send_at, \
                      updated_at = (SELECT MAX(other.updated_at) FROM rewards other) WHERE state = 'needs_attention'";
        assert_eq!(app.database.execute(decide).await.unwrap(), 1);
        app.advance(DAY);
        // The pass that archives the next one has looked at it before.
        app.until_number(ARCHIVED, 2).await;
        assert!(app.read(odd.id()).await.get("archived_at").is_none(), "it was changed of late");
        app.advance(DAY * 59);
        app.until_number(ARCHIVED, 4).await;
        app.until_number(waiting, 0).await;
        assert!(app.read(odd.id()).await["archived_at"].is_string());
        app.end().await;
    }

    async fn an_archived_refusal_is_tried_again_by_its_key_and_is_archived_anew(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        let body = full(&json!({"campaign": "spring"}));
        app.without_funds("one");
        let refused = app.issue_body("one", body.clone()).await;
        assert!(refused.status >= 400, "{}", refused.text);
        app.advance(DAY * 91);
        app.until_number(ARCHIVED, 1).await;
        app.control.clear_faults();
        let issued = app.issue_body("one", body.clone()).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        let read = app.read(issued.id()).await;
        assert!(read.get("archived_at").is_none() && read["status"] == "issued", "{read}");
        assert_eq!(read["metadata"]["campaign"], "spring", "the caller has brought it again");
        assert_eq!(app.events(issued.id()).await, ["attempt.sent", "reward.issued"], "since it lives again");
        assert_eq!(app.database.number(ARCHIVED).await, 0);
        let other = app.issue_body("one", full(&json!({"campaign": "summer"}))).await;
        assert_eq!(other.status, 422, "it is compared as before: {}", other.text);
        app.advance(DAY * 91);
        app.until_number(ARCHIVED, 1).await;
        assert_eq!(app.issue_body("one", body).await.id(), issued.id());
        assert!(app.events(issued.id()).await.is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn ledger_budgets_and_reconciliation_are_the_same_before_and_after(backend: Backend) {
        let mut app = App::on(Database::migrated(backend).await, Shape::default()).await;
        let limits = json!([{"span": "total", "hard": "500.00"}]);
        let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": limits});
        assert_eq!(app.post("/v1/programs", program).await.status, 201);
        let bought_on = app.ambient.now().date_naive();
        for key in ["one", "two", "three"] {
            let mut body = order("5.00");
            body["program_id"] = json!("prg_spring");
            body["external_id"] = json!(format!("order {key}"));
            assert_eq!(app.issue_body(key, body).await.status, 201);
        }
        let given_back = app.issue("back", "7.00").await;
        assert_eq!(app.cancel(given_back.id()).await.json["status"], "canceled");
        app.without_funds("none");
        assert!(app.issue("none", "8.00").await.status >= 400);
        app.advance(DAY * 91);
        // A day and the next: the test may begin before midnight.
        let (from, to) = (bought_on.to_string(), bought_on.succ_opt().unwrap().to_string());
        let before = books(&app).await;
        let compared = reconciliation::counts(&reconciliation::reconcile(&app, &from, &to).await);
        assert_eq!(compared[0], 4, "{compared:?}");
        assert_eq!(app.database.number(ARCHIVED).await, 0, "without the setting everything is kept");

        app.restart_with(SETTING, "90").await;
        app.until_number(ARCHIVED, 5).await;
        assert_eq!(books(&app).await, before);
        let run = reconciliation::reconcile(&app, &from, &to).await;
        assert_eq!(reconciliation::counts(&run), compared, "{run}");
        assert_eq!(reconciliation::items(&app, &run).await, Vec::<Value>::new());
        let entries = "SELECT COUNT(*) FROM facts WHERE subject_id IS NOT NULL";
        assert_eq!(app.database.number(entries).await, 0);
        books_match(&app).await;
        app.end().await;
    }

    async fn no_fact_is_deleted_but_the_timeline_of_an_archived_reward(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        assert_eq!(app.issue("old", "5.00").await.status, 201);
        app.advance(DAY * 91);
        app.until_number(ARCHIVED, 1).await;
        assert_eq!(app.issue("young", "5.00").await.status, 201);
        let limits = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": []});
        assert_eq!(app.post("/v1/programs", limits).await.status, 201);
        for delete in ["DELETE FROM facts WHERE subject_id IS NOT NULL", "DELETE FROM facts WHERE subject_kind = 'program'", "DELETE FROM facts"] {
            let error = app.database.execute(delete).await.unwrap_err().to_string();
            assert!(error.contains("append-only"), "{delete}: {error}");
        }
        assert!(app.database.execute("UPDATE facts SET kind = 'other'").await.is_err());
        app.end().await;
    }
}

/// All that the books say: the entries, the balance and the budgets.
async fn books(app: &App) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["/v1/ledger-entries?limit=200", "/v1/programs/prg_spring"] {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        all.push(answer.json);
    }
    let sums = "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM ledger_entries WHERE debit = ";
    for account in ["funds", "reserved", "issued"] {
        all.push(json!(app.database.number(&format!("{sums}'{account}'")).await));
    }
    all
}
