//! Declines, each by what it asks for; and what the caller is to do next.

use serde_json::json;

use super::{captured, charge, charge_of, consent, shop, until};
use crate::support::{Backend, on_each_backend};

on_each_backend! {
    /// Amazon's simulation codes of Create Charge, each.
    async fn a_simulated_decline_takes_nothing_and_says_what_must_happen_next(backend: Backend) {
        let app = shop(backend).await;
        for (code, kind, next) in [
            ("SoftDeclined", "soft", "Send another charge later"),
            ("HardDeclined", "method", "choose another payment method"),
            ("AmazonRejected", "final", "pay in another way"),
            ("TransactionTimedOut", "timeout", "on another day"),
        ] {
            let consent = consent(&app);
            let mut body = charge_of(&consent, "980");
            body["simulation"] = json!(code);
            let refused = charge(&app, code, &body).await;
            refused.is_problem(402, "payment-declined");
            assert_eq!(refused.json["money_moved"], "no");
            assert_eq!(refused.json["upstream"], json!({"operation": "CreateCharge", "error_code": code}));
            assert_eq!(refused.json["errors"][0]["code"], kind);
            let id = refused.json["payment_id"].as_str().unwrap();
            let shown = app.get(&format!("/v1/pay/charges/{id}")).await.json;
            assert_eq!((&shown["status"], &shown["decline"]["kind"]), (&json!("declined"), &json!(kind)));
            assert_eq!(shown["decline"]["reason"], code);
            assert_eq!(shown["decline"]["next"], refused.json["detail"]);
            assert!(refused.json["detail"].as_str().unwrap().contains(next), "{}", refused.text);
            // The key is used up: the same request is answered the same, and Amazon is not asked again.
            let calls = app.received("CreateCharge").len();
            charge(&app, code, &body).await.is_problem(402, "payment-declined");
            assert_eq!(app.received("CreateCharge").len(), calls);
            assert_eq!(captured(&app, &consent), [""; 0]);
        }
        app.end().await;
    }

    async fn after_a_soft_decline_another_key_charges(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let mut body = charge_of(&consent, "980");
        body["simulation"] = json!("SoftDeclined");
        charge(&app, "first", &body).await.is_problem(402, "payment-declined");
        assert_eq!(charge(&app, "second", &charge_of(&consent, "980")).await.status, 201);
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn a_charge_over_what_the_buyer_consented_to_is_declined_for_that(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        assert_eq!(charge(&app, "first", &charge_of(&consent, "60000")).await.status, 201);
        let refused = charge(&app, "second", &charge_of(&consent, "60000")).await;
        refused.is_problem(402, "payment-declined");
        assert_eq!(refused.json["errors"][0]["code"], "cap", "{}", refused.text);
        assert_eq!(captured(&app, &consent), ["60000"]);
        app.end().await;
    }

    async fn a_capture_that_takes_its_time_is_pending_and_then_paid(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let mut body = charge_of(&consent, "980");
        body["simulation"] = json!("CaptureInitiated");
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "respond-async");
        let begun = crate::support::Answer::of(crate::support::with_json(request, &body)).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        until(&app, "/v1/pay/charges", begun.id(), "pending").await;
        app.advance(31);
        until(&app, "/v1/pay/charges", begun.id(), "paid").await;
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn a_consent_that_is_not_there_fails_and_a_new_key_is_needed(backend: Backend) {
        let app = shop(backend).await;
        let refused = charge(&app, "fee", &charge_of("C03-7654321-7654321", "980")).await;
        refused.is_problem(422, "upstream-rejected");
        assert_eq!(refused.json["upstream"]["error_code"], "ResourceNotFound", "{}", refused.text);
        assert_eq!(refused.json["money_moved"], "no");
        app.end().await;
    }
}
