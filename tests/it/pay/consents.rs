//! What buyers consented to, as Amazon shows it; and nothing of who they are.

use noshi::sandbox::{ConsentAct, Fault, NewConsent, PayCall};
use serde_json::json;

use super::{charge, charge_of, consent, doubt::strike, shop};
use crate::support::{Backend, on_each_backend, seller::MERCHANT};

on_each_backend! {
    async fn a_consent_is_shown_with_its_state_and_what_it_still_allows(backend: Backend) {
        let app = shop(backend).await;
        let id = consent(&app);
        let path = format!("/v1/pay/agreements/{id}");
        let shown = app.get(&path).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        let yen = |amount: &str| json!({"amount": amount, "currency_code": "JPY"});
        assert_eq!((&shown.json["kind"], &shown.json["status"], &shown.json["reasons"]), (&json!("agreement"), &json!("usable"), &json!([])));
        assert_eq!((&shown.json["limit"], &shown.json["balance"], &shown.json["account_id"]), (&yen("100000"), &yen("100000"), &json!("shop")));
        assert!(shown.json["expires_at"].is_string(), "{}", shown.text);
        assert_eq!(charge(&app, "fee", &charge_of(&id, "980")).await.status, 201);
        assert_eq!(app.get(&path).await.json["balance"], yen("99020"));
        let act = |act| app.control.act_on_consent(act).unwrap();
        act(ConsentAct::Suspend { charge_permission_id: id.clone(), reason: "PaymentMethodExpired".to_owned() });
        let blocked = app.get(&path).await.json;
        assert_eq!((&blocked["status"], &blocked["reasons"]), (&json!("blocked"), &json!(["PaymentMethodExpired"])));
        act(ConsentAct::Mend { charge_permission_id: id.clone() });
        assert_eq!(app.get(&path).await.json["status"], "usable");
        act(ConsentAct::Close { charge_permission_id: id.clone(), reason: "BuyerClosed".to_owned() });
        let ended = app.get(&path).await.json;
        assert_eq!((&ended["status"], &ended["reasons"]), (&json!("ended"), &json!(["BuyerClosed"])));
        app.end().await;
    }

    async fn an_order_is_no_agreement_and_what_amazon_does_not_know_is_not_found(backend: Backend) {
        let app = shop(backend).await;
        let new = NewConsent {
            merchant_id: MERCHANT.to_owned(), limit: "5000".to_owned(), recurring: false, currency: "JPY".to_owned(),
            card: "1111".to_owned(), reference: None,
        };
        let order = app.control.consent(new).unwrap();
        let shown = app.get(&format!("/v1/pay/orders/{order}?account_id=shop")).await;
        assert_eq!((shown.status, &shown.json["kind"], &shown.json["limit"]["amount"]), (200, &json!("order"), &json!("5000")), "{}", shown.text);
        let calls = app.received("GetChargePermission").len();
        for (path, asked) in [
            (format!("/v1/pay/agreements/{order}"), 1),
            (format!("/v1/pay/orders/{}", consent(&app)), 1),
            ("/v1/pay/orders/S03-7654321-7654321".to_owned(), 1),
            // Of the production environment, and of no form of Amazon's.
            ("/v1/pay/orders/P03-7654321-7654321".to_owned(), 0),
            ("/v1/pay/orders/AB12-CD34EF-GH56".to_owned(), 0),
        ] {
            let before = app.received("GetChargePermission").len();
            app.get(&path).await.is_problem(404, "not-found");
            assert_eq!(app.received("GetChargePermission").len() - before, asked, "{path}");
        }
        assert_eq!(app.received("GetChargePermission").len(), calls + 3);
        for query in ["account_id=other", "buyer=true"] {
            app.get(&format!("/v1/pay/orders/{order}?{query}")).await.is_problem(400, "invalid-request");
        }
        app.end().await;
    }

    async fn what_amazon_does_not_answer_is_reported_as_that(backend: Backend) {
        let app = shop(backend).await;
        let path = format!("/v1/pay/agreements/{}", consent(&app));
        let reason = |status, code: &str| Fault::ReasonCode { status, reason_code: code.to_owned(), after_work: false };
        for (fault, status, code) in [
            (Fault::DropBeforeWork, 503, "dependency-unavailable"),
            (Fault::Garbage, 503, "dependency-unavailable"),
            (reason(500, "InternalServerError"), 503, "dependency-unavailable"),
            (reason(429, "TooManyRequests"), 429, "upstream-busy"),
            (reason(403, "UnauthorizedAccess"), 503, "account-problem"),
            (reason(400, "InvalidRequest"), 422, "upstream-rejected"),
        ] {
            app.control.clear_faults();
            app.control.script(strike(PayCall::GetChargePermission, fault, 1)).unwrap();
            let answer = app.get(&path).await;
            answer.is_problem(status, code);
            assert_eq!(answer.json["upstream"]["operation"], "GetChargePermission", "{}", answer.text);
        }
        assert_eq!(app.get(&path).await.status, 200);
        let page = app.metrics().await;
        assert!(page.contains("noshi_pay_upstream_requests_total{account=\"shop\",operation=\"GetChargePermission\",outcome=\"seen\"} 1"), "{page}");
        app.end().await;
    }

    /// Amazon shows who the buyer is. It is nowhere in an answer.
    async fn nothing_of_the_buyer_is_handed_on(backend: Backend) {
        let app = shop(backend).await;
        let id = consent(&app);
        let shown = app.get(&format!("/v1/pay/agreements/{id}")).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        assert_eq!(charge(&app, "fee", &charge_of(&id, "980")).await.status, 201);
        let charges = app.get("/v1/pay/charges").await;
        for word in ["Hanako", "hanako@", "Shimo-Meguro", "153-0064", "SANDBOXBUYER"] {
            assert!(!shown.text.contains(word) && !charges.text.contains(word), "{word}");
        }
        app.end().await;
    }
}
