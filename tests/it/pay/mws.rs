//! What is particular to an account of MWS, through the whole service.

use noshi::sandbox::{Fault, FaultRule, MwsAction, Operation};
use serde_json::json;

use super::{Generation, captured, charge, charge_of, given_back, refund, refund_of, selling, until};
use crate::support::{Backend, Shape, on_each_backend};

fn of_mws() -> Shape {
    Shape { mws: true, ..selling() }
}

on_each_backend! {
    /// The words are those of callers, whichever generation their account is of.
    async fn a_decline_of_mws_says_what_must_happen_next(backend: Backend) {
        let app = Generation::Mws.shop(backend).await;
        for (code, kind, reason) in [
            ("SoftDeclined", "soft", "InvalidPaymentMethod"),
            ("HardDeclined", "method", "InvalidPaymentMethod"),
            ("AmazonRejected", "final", "AmazonRejected"),
            ("TransactionTimedOut", "timeout", "TransactionTimedOut"),
        ] {
            let consent = Generation::Mws.consent(&app);
            let mut body = charge_of(&consent, "980");
            body["simulation"] = json!(code);
            let refused = charge(&app, code, &body).await;
            refused.is_problem(402, "payment-declined");
            assert_eq!((&refused.json["errors"][0]["code"], &refused.json["money_moved"]), (&json!(kind), &json!("no")));
            assert_eq!(refused.json["upstream"]["error_code"], reason);
            assert_eq!(captured(&app, &consent), [""; 0]);
        }
        let mut body = charge_of(&Generation::Mws.consent(&app), "980");
        body["simulation"] = json!("CaptureInitiated");
        let refused = charge(&app, "unplayable", &body).await;
        refused.is_problem(400, "invalid-request");
        assert_eq!(refused.json["errors"][0]["pointer"], "/simulation");
        app.end().await;
    }

    async fn a_charge_of_mws_that_amazon_decides_later_is_paid_and_given_back(backend: Backend) {
        let mut app = Generation::Mws.shop(backend).await;
        let consent = Generation::Mws.consent(&app);
        let mut body = charge_of(&consent, "980");
        body["may_wait"] = json!(true);
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "wait=2");
        let pending = crate::support::Answer::of(crate::support::with_json(request, &body)).await;
        assert_eq!((pending.status, pending.json["status"].as_str()), (202, Some("pending")), "{}", pending.text);
        app.advance(31);
        let paid = until(&app, "/v1/pay/charges", pending.id(), "paid").await;
        assert_eq!(captured(&app, &consent), ["980"]);
        let back = refund(&app, "back", &refund_of(pending.id(), "980")).await;
        assert_eq!(back.status, 202, "{}", back.text);
        app.advance(31);
        until(&app, "/v1/pay/refunds", back.id(), "refunded").await;
        assert_eq!(given_back(&app, paid["amazon_id"].as_str().unwrap()), ["980"]);
        app.end().await;
    }

    /// The other generation does not know the key: the payment would be made a second time there.
    async fn what_is_unproven_in_the_one_generation_is_never_made_in_the_other(backend: Backend) {
        let mut app = Generation::Mws.shop(backend).await;
        let consent = Generation::Mws.consent(&app);
        let lost = FaultRule {
            operation: Some(Operation::Mws(MwsAction::AuthorizeOnBillingAgreement)),
            ..FaultRule::always(Fault::DropAfterWork)
        };
        app.control.script(lost).unwrap();
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "respond-async");
        let begun = crate::support::Answer::of(crate::support::with_json(request, &charge_of(&consent, "980"))).await;
        until(&app, "/v1/pay/charges", begun.id(), "unknown").await;
        app.control.clear_faults();
        app.restart_in(selling()).await;
        app.advance(3_600);
        let again = charge(&app, "fee", &charge_of(&consent, "980")).await;
        assert_eq!(again.json["status"], "unknown", "{}", again.text);
        assert_eq!((app.received("CreateCharge").len(), captured(&app, &consent).len()), (0, 1));
        app.restart_in(of_mws()).await;
        app.advance(3_600);
        until(&app, "/v1/pay/charges", begun.id(), "paid").await;
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn a_charge_of_checkout_v2_cannot_be_given_back_by_mws(backend: Backend) {
        let mut app = Generation::CheckoutV2.shop(backend).await;
        let consent = Generation::CheckoutV2.consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        app.restart_in(of_mws()).await;
        let refused = refund(&app, "back", &refund_of(paid.id(), "980")).await;
        assert!(refused.status >= 400, "{}", refused.text);
        assert!(refused.json["detail"].as_str().unwrap().contains("driver is mws"), "{}", refused.text);
        assert_eq!(app.received("GetAuthorizationDetails").len(), 0);
        app.end().await;
    }
}
