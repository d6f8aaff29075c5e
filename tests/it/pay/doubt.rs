//! What is lost on the way: the same key proves it, and a buyer pays once.

use noshi::sandbox::{Fault, FaultRule, MwsAction, Operation, PayCall};

use super::{Generation, captured, charge, charge_of, consent, given_back, refund, refund_of, shop, until};
use crate::support::{Backend, on_each_backend};

/// What can go wrong with a call whose work may have been done.
pub(super) fn faults(of: Generation) -> Vec<(&'static str, Fault)> {
    let reason =
        |status, code: &str, after_work| Fault::ReasonCode { status, reason_code: code.to_owned(), after_work };
    let throttled = match of {
        Generation::CheckoutV2 => reason(429, "TooManyRequests", false),
        Generation::Mws => reason(503, "RequestThrottled", false),
    };
    vec![
        ("lost before", Fault::DropBeforeWork),
        ("lost after", Fault::DropAfterWork),
        ("reset before", Fault::ResetBeforeWork),
        ("reset after", Fault::ResetAfterWork),
        ("reset in the body", Fault::ResetInBody),
        ("cut", Fault::TruncatedBody),
        ("garbage", Fault::Garbage),
        ("empty", Fault::EmptyBody),
        ("too large", Fault::OversizedBody),
        ("a page and nothing done", Fault::HtmlError { status: 502, after_work: false }),
        ("a page and done", Fault::HtmlError { status: 504, after_work: true }),
        ("busy", reason(500, "ProcessingFailure", false)),
        ("500 and done", reason(500, "InternalServerError", true)),
        ("503", reason(503, "ServiceUnavailable", false)),
        ("408 and done", reason(408, "RequestTimeout", true)),
        ("throttled", throttled),
    ]
}

pub(super) fn strike(call: PayCall, fault: Fault, times: u32) -> FaultRule {
    FaultRule { operation: Some(Operation::Pay(call)), times: Some(times), ..FaultRule::always(fault) }
}

/// The same call of either generation, once.
fn in_either(of: Generation, call: PayCall, fault: Fault) -> FaultRule {
    let action = if call == PayCall::CreateRefund { MwsAction::Refund } else { MwsAction::AuthorizeOnBillingAgreement };
    match of {
        Generation::CheckoutV2 => strike(call, fault, 1),
        Generation::Mws => FaultRule { operation: Some(Operation::Mws(action)), ..FaultRule::once(fault) },
    }
}

on_each_backend! {
    async fn whatever_becomes_of_an_answer_a_buyer_pays_once(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend).await;
            for (name, fault) in faults(generation) {
                let consent = generation.consent(&app);
                app.control.clear_faults();
                app.control.script(in_either(generation, PayCall::CreateCharge, fault)).unwrap();
                let answer = charge(&app, name, &charge_of(&consent, "980")).await;
                assert!([201, 202].contains(&answer.status), "{generation:?} {name}: {}", answer.text);
                until(&app, "/v1/pay/charges", answer.id(), "paid").await;
                assert_eq!(captured(&app, &consent), ["980"], "{generation:?} {name}");
            }
            app.end().await;
        }
    }

    async fn whatever_becomes_of_an_answer_money_goes_back_once(backend: Backend) {
        for generation in Generation::ALL {
            let mut app = generation.shop(backend).await;
            let consent = generation.consent(&app);
            for (name, fault) in faults(generation) {
                let paid = charge(&app, &format!("charge {name}"), &charge_of(&consent, "980")).await;
                assert_eq!(paid.status, 201, "{}", paid.text);
                app.control.clear_faults();
                app.control.script(in_either(generation, PayCall::CreateRefund, fault)).unwrap();
                let answer = refund(&app, name, &refund_of(paid.id(), "980")).await;
                assert_eq!(answer.status, 202, "{generation:?} {name}: {}", answer.text);
                until(&app, "/v1/pay/refunds", answer.id(), "pending").await;
                app.advance(31);
                until(&app, "/v1/pay/refunds", answer.id(), "refunded").await;
                let of_it = paid.json["amazon_id"].as_str().unwrap();
                assert_eq!(given_back(&app, of_it), ["980"], "{generation:?} {name}");
            }
            app.end().await;
        }
    }

    /// Reads that come to nothing decide nothing.
    async fn what_is_pending_stays_so_until_a_read_shows_the_decision(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        let not_found = Fault::ReasonCode { status: 404, reason_code: "ResourceNotFound".to_owned(), after_work: false };
        app.control.script(strike(PayCall::GetRefund, not_found, 2)).unwrap();
        app.control.script(strike(PayCall::GetRefund, Fault::DropBeforeWork, 1)).unwrap();
        let begun = refund(&app, "back", &refund_of(paid.id(), "980")).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        app.advance(31);
        until(&app, "/v1/pay/refunds", begun.id(), "refunded").await;
        assert_eq!(app.control.refunds().len(), 1);
        app.end().await;
    }

    /// Whatever Amazon shows under our id, only what was asked for is paid.
    async fn a_read_that_shows_another_amount_is_not_reported_as_paid_and_needs_a_person(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = crate::support::seller::consent(&app.control, 100_000, "0701");
        let mut body = charge_of(&consent, "980");
        body["may_wait"] = serde_json::json!(true);
        app.control.script(strike(PayCall::GetCharge, Fault::WrongAmount, 100)).unwrap();
        let begun = charge(&app, "fee", &body).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        app.advance(31);
        until(&app, "/v1/pay/charges", begun.id(), "needs_attention").await;
        app.end().await;
    }

    async fn a_caller_whose_time_is_up_is_answered_202_and_the_payment_goes_on(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        app.control.script(strike(PayCall::CreateCharge, Fault::Delay { milliseconds: 3_000 }, 1)).unwrap();
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "wait=1");
        let answer = crate::support::Answer::of(crate::support::with_json(request, &charge_of(&consent, "980"))).await;
        assert_eq!((answer.status, answer.json["status"].as_str()), (202, Some("sent")), "{}", answer.text);
        assert_eq!(answer.header("preference-applied"), "wait");
        until(&app, "/v1/pay/charges", answer.id(), "paid").await;
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }
}
