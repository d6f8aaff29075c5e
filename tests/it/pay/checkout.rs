//! A buyer's consent, from the button to the first charge.

use noshi::sandbox::{Fault, FaultRule, Operation, PayCall, PressedButton, SessionAct};
use serde_json::{Value, json};

use super::{captured, charge, charge_of, selling, shop};
use crate::support::{Answer, App, Backend, on_each_backend, seller};

fn yen(amount: &str) -> Value {
    json!({"amount": amount, "currency_code": "JPY"})
}

fn membership() -> Value {
    json!({
        "value": yen("980"), "every": {"unit": "month", "count": 1}, "result_url": "https://shop.example/joined?state=5f3a",
        "external_id": "member-4711"
    })
}

/// A buyer presses this button and agrees; the session's id.
async fn agreed(app: &App, button: &Value) -> String {
    let signed = app.post("/v1/pay/buttons", button.clone()).await;
    assert_eq!(signed.status, 200, "{}", signed.text);
    let text = |name: &str| signed.json[name].as_str().unwrap().to_owned();
    let pressed = PressedButton {
        public_key_id: text("public_key_id"),
        payload: text("payload"),
        signature: text("signature"),
        limit: None,
        card: "1111".to_owned(),
    };
    app.control.press_button(&pressed).unwrap().checkout_session_id
}

async fn complete(app: &App, session: &str, amount: &str) -> Answer {
    app.post(&format!("/v1/pay/checkout-sessions/{session}/complete"), json!({"value": yen(amount)})).await
}

async fn look(app: &App, session: &str) -> Answer {
    app.get(&format!("/v1/pay/checkout-sessions/{session}")).await
}

/// What the sandbox does to the next completion.
fn strike(app: &App, fault: Fault) {
    let operation = Some(Operation::Pay(PayCall::CompleteCheckoutSession));
    app.control.script(FaultRule { operation, ..FaultRule::once(fault) }).unwrap();
}

on_each_backend! {
    async fn what_a_buyer_agrees_to_can_be_charged_once_the_session_is_completed(backend: Backend) {
        let app = shop(backend).await;
        let page = app.get("/v1/pay/page-config").await;
        assert_eq!((&page.json["merchant_id"], &page.json["store_id"]), (&json!(seller::MERCHANT), &json!(seller::STORE_ID)));
        assert_eq!(page.json["script_url"], "https://static-fe.payments-amazon.com/checkout.js");
        let session = agreed(&app, &membership()).await;
        let opened = app.control.pay_sessions().pop().unwrap();
        let back = format!("https://shop.example/joined?state=5f3a&amazonCheckoutSessionId={session}");
        assert_eq!((opened.return_url, opened.recurring), (back, true));
        let open = look(&app, &session).await;
        assert_eq!((&open.json["status"], &open.json["value"], &open.json["kind"]), (&json!("open"), &yen("980"), &json!("agreement")));
        assert!(open.json.get("consent_id").is_none() && app.control.pay_permissions().is_empty(), "nothing can be charged");
        let done = complete(&app, &session, "980").await;
        assert_eq!((done.status, &done.json["status"]), (200, &json!("completed")), "{}", done.text);
        let consent = done.json["consent_id"].as_str().unwrap().to_owned();
        let again = complete(&app, &session, "980").await;
        assert_eq!((again.status, &again.json["consent_id"]), (200, &json!(consent)), "{}", again.text);
        assert_eq!(look(&app, &session).await.json, again.json);
        assert_eq!(app.control.pay_permissions().len(), 1, "one consent");
        assert_eq!(charge(&app, "fee", &charge_of(&consent, "980")).await.status, 201);
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn a_consent_to_one_order_is_of_the_orders_amount(backend: Backend) {
        let app = shop(backend).await;
        let order = json!({"value": yen("1200"), "result_url": "http://localhost:3000/done", "cancel_url": "https://shop.example/cart"});
        let session = agreed(&app, &order).await;
        let done = complete(&app, &session, "1200").await;
        assert_eq!((&done.json["kind"], done.status), (&json!("order"), 200), "{}", done.text);
        let consent = app.control.pay_permissions().pop().unwrap();
        assert_eq!((consent.recurring, consent.limit.as_str()), (false, "1200"));
        app.end().await;
    }

    async fn a_completion_whose_answer_is_lost_is_shown_as_it_stands(backend: Backend) {
        let app = shop(backend).await;
        let page = |after_work| Fault::HtmlError { status: 502, after_work };
        for (lost, arrives) in
            [(Fault::DropAfterWork, true), (Fault::Garbage, true), (page(true), true), (Fault::DropBeforeWork, false), (page(false), false)]
        {
            let session = agreed(&app, &membership()).await;
            let before = app.control.pay_permissions().len();
            strike(&app, lost.clone());
            let first = complete(&app, &session, "980").await;
            if arrives {
                assert_eq!((first.status, &first.json["status"]), (200, &json!("completed")), "{lost:?}: {}", first.text);
            } else {
                first.is_problem(503, "dependency-unavailable");
                assert_eq!(first.json["money_moved"], "no", "{}", first.text);
            }
            let second = complete(&app, &session, "980").await;
            assert_eq!((second.status, &second.json["status"]), (200, &json!("completed")), "{lost:?}: {}", second.text);
            assert_eq!(app.control.pay_permissions().len(), before + 1, "{lost:?}: one consent");
        }
        app.end().await;
    }

    async fn a_buyer_who_goes_back_and_one_who_never_comes_agreed_to_nothing(backend: Backend) {
        let app = shop(backend).await;
        let left = agreed(&app, &membership()).await;
        app.control.act_on_session(SessionAct::Leave { checkout_session_id: left.clone() }).unwrap();
        let refused = complete(&app, &left, "980").await;
        refused.is_problem(409, "invalid-state");
        assert!(refused.text.contains("BuyerCanceled"), "{}", refused.text);
        let late = agreed(&app, &membership()).await;
        app.control.advance_clock(24 * 60 * 60).unwrap();
        let refused = complete(&app, &late, "980").await;
        refused.is_problem(409, "invalid-state");
        assert!(refused.text.contains("Expired"), "{}", refused.text);
        for code in ["BuyerCanceled", "AmazonCanceled", "Declined"] {
            let session = agreed(&app, &membership()).await;
            let body = json!({"value": yen("980"), "simulation": code});
            let refused = app.post(&format!("/v1/pay/checkout-sessions/{session}/complete"), body).await;
            refused.is_problem(409, "invalid-state");
            let shown = look(&app, &session).await;
            assert_eq!((&shown.json["status"], shown.json["reason"].as_str().unwrap()), (&json!("canceled"), if code == "Declined" { "Other" } else { code }));
        }
        assert!(app.control.pay_permissions().is_empty());
        app.end().await;
    }

    async fn another_amount_than_the_buyers_and_a_session_of_nobody_are_refused(backend: Backend) {
        let app = shop(backend).await;
        let session = agreed(&app, &membership()).await;
        let other = complete(&app, &session, "981").await;
        other.is_problem(422, "upstream-rejected");
        assert_eq!(other.json["errors"][0]["pointer"], "/value/amount", "{}", other.text);
        assert_eq!(look(&app, &session).await.json["status"], "open", "it can still be completed");
        for nobody in ["11111111-2222-3333-4444-555555555555", "not.an.id"] {
            look(&app, nobody).await.is_problem(404, "not-found");
            complete(&app, nobody, "980").await.is_problem(404, "not-found");
        }
        app.end().await;
    }

    async fn what_a_button_cannot_ask_a_buyer_for_is_named(backend: Backend) {
        let app = shop(backend).await;
        for (change, pointer) in [
            (json!({"result_url": "http://shop.example/joined"}), "/result_url"),
            (json!({"result_url": "javascript:alert(1)"}), "/result_url"),
            (json!({"cancel_url": "/cart"}), "/cancel_url"),
            (json!({"every": {"unit": "month"}}), "/every/count"),
            (json!({"every": {"unit": "variable", "count": 1}}), "/every/count"),
            (json!({"every": {"unit": "moon", "count": 1}}), "/every/unit"),
            (json!({"account_id": "nobody"}), "/account_id"),
            (json!({"value": {"amount": "980.00", "currency_code": "JPY"}}), "/value/amount"),
            (json!({"value": yen("10000001")}), "/value/amount"),
            (json!({"value": {"amount": "9.80", "currency_code": "USD"}}), "/value/currency_code"),
        ] {
            let mut button = membership();
            for (name, value) in change.as_object().unwrap() {
                button[name] = value.clone();
            }
            let refused = app.post("/v1/pay/buttons", button).await;
            assert!(matches!(refused.status, 400 | 422), "{change}: {}", refused.text);
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{change}: {}", refused.text);
        }
        app.end().await;
    }

    async fn a_button_that_somebody_changed_opens_nothing(backend: Backend) {
        let app = shop(backend).await;
        let signed = app.post("/v1/pay/buttons", membership()).await;
        let text = |name: &str| signed.json[name].as_str().unwrap().to_owned();
        let pressed = PressedButton {
            public_key_id: text("public_key_id"),
            payload: text("payload").replace("980", "98"),
            signature: text("signature"),
            limit: None,
            card: "1111".to_owned(),
        };
        let refused = app.control.press_button(&pressed).unwrap_err().to_string();
        assert!(refused.contains("InvalidRequestSignature"), "{refused}");
        assert!(app.control.pay_sessions().is_empty());
        app.end().await;
    }

    async fn an_account_without_a_page_has_no_button(backend: Backend) {
        let other = [
            ("REGION", "na"),
            ("ENVIRONMENT", "sandbox"),
            ("PUBLIC_KEY_ID", seller::PUBLIC_KEY_ID),
            ("PRIVATE_KEY", seller::private_key()),
        ];
        let shape = other.into_iter().fold(selling(), |shape, (name, value)| shape.with(format!("NOSHI__PAY__OTHER__{name}"), value));
        let app = App::shaped(backend, shape).await;
        let dollars = json!({"value": {"amount": "9.80", "currency_code": "USD"}, "result_url": "https://shop.example/joined"});
        let refused = app.post("/v1/pay/buttons", dollars).await;
        refused.is_problem(503, "account-problem");
        assert!(refused.text.contains("pay.other.store_id"), "{}", refused.text);
        let page = app.get("/v1/pay/page-config?account_id=other").await;
        assert!(page.status == 200 && page.json.get("store_id").is_none(), "{}", page.text);
        app.get("/v1/pay/page-config").await.is_problem(400, "invalid-request");
        assert_eq!(app.post("/v1/pay/buttons", membership()).await.status, 200, "the currency says which");
        app.end().await;
    }
}
