//! Money that Amazon holds: a capture takes it once, or it is given back; never both.

use futures_util::future::{join, join_all};
use noshi::sandbox::{Fault, PayCall, PaySettlement, SellerAct};
use serde_json::{Value, json};

use super::{
    Generation, charge, charge_of, consent,
    doubt::{faults, strike},
    events, refund, refund_of, shop, until,
};
use crate::support::{Answer, App, Backend, on_each_backend, seller, with_json};

const CHARGES: &str = "/v1/pay/charges";

fn hold_of(consent: &str, amount: &str) -> Value {
    let mut body = charge_of(consent, amount);
    body["capture"] = json!(false);
    body
}

async fn change(app: &App, id: &str, what: &str, body: &Value) -> Answer {
    Answer::of(with_json(app.request("POST", &format!("{CHARGES}/{id}/{what}")), body)).await
}

async fn capture(app: &App, id: &str) -> Answer {
    change(app, id, "capture", &json!({})).await
}

async fn cancel(app: &App, id: &str) -> Answer {
    change(app, id, "cancel", &json!({"reason": "out of stock"})).await
}

fn yen(amount: &str) -> Value {
    json!({"value": {"amount": amount, "currency_code": "JPY"}})
}

/// A charge of 980 yen that is authorized.
async fn authorized(app: &App, consent: &str, key: &str) -> String {
    let held = charge(app, key, &hold_of(consent, "980")).await;
    assert_eq!((held.status, held.json["status"].as_str()), (201, Some("authorized")), "{}", held.text);
    held.id().to_owned()
}

/// Where Amazon's charges of a consent stand, and what each took, by the sandbox's book.
fn book(app: &App, consent: &str) -> Vec<(String, String)> {
    let charges = app.control.charges().into_iter().filter(|charge| charge.charge_permission_id == consent);
    charges.map(|charge| (charge.state, charge.captured)).collect()
}

fn one(state: &str, captured: &str) -> Vec<(String, String)> {
    vec![(state.to_owned(), captured.to_owned())]
}

on_each_backend! {
    async fn what_is_held_is_taken_once_and_can_be_given_back(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let held = charge(&app, "fee", &hold_of(&consent, "980")).await;
        assert_eq!((held.status, held.json["status"].as_str()), (201, Some("authorized")), "{}", held.text);
        assert!(held.json["expires_at"].is_string() && held.json["captured"].is_null(), "{}", held.text);
        assert_eq!(book(&app, &consent), one("Authorized", "0"));
        // Nothing is paid yet, and it may be.
        let early = refund(&app, "back", &refund_of(held.id(), "700")).await;
        early.is_problem(409, "payment-undecided");
        assert_eq!((&early.json["retry"], &early.json["retryable"]), (&json!("later"), &json!(true)), "{}", early.text);
        let paid = change(&app, held.id(), "capture", &yen("700")).await;
        assert_eq!((paid.status, paid.json["status"].as_str()), (200, Some("paid")), "{}", paid.text);
        assert_eq!(paid.json["captured"], yen("700")["value"]);
        assert!(paid.json["expires_at"].is_null());
        assert_eq!(book(&app, &consent), one("Captured", "700"));
        for body in [json!({}), yen("700")] {
            let again = change(&app, held.id(), "capture", &body).await;
            assert_eq!((again.status, again.json["status"].as_str()), (200, Some("paid")), "{}", again.text);
            assert_eq!(again.header("idempotent-replayed"), "true");
        }
        change(&app, held.id(), "capture", &yen("280")).await.is_problem(422, "idempotency-mismatch");
        cancel(&app, held.id()).await.is_problem(409, "invalid-state");
        assert_eq!(app.received("CaptureCharge").len(), 1);
        // The key of the charge shows the charge.
        let known = charge(&app, "fee", &hold_of(&consent, "980")).await;
        assert_eq!((known.status, known.json["status"].as_str()), (200, Some("paid")), "{}", known.text);
        charge(&app, "fee", &charge_of(&consent, "980")).await.is_problem(422, "idempotency-mismatch");
        // Given back is what was taken, not what was held.
        refund(&app, "most", &refund_of(held.id(), "806")).await.is_problem(409, "not-refundable");
        // The same key that was too early.
        assert_eq!(refund(&app, "back", &refund_of(held.id(), "700")).await.status, 202);
        app.advance(31);
        let kinds = events(&app, CHARGES, held.id()).await;
        assert_eq!(kinds, ["charge.received", "charge.authorized", "charge.capture_received", "charge.paid"]);
        app.end().await;
    }

    async fn what_is_held_is_given_back_and_cannot_be_taken_then(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        let voided = cancel(&app, &id).await;
        assert_eq!((voided.status, voided.json["status"].as_str()), (200, Some("voided")), "{}", voided.text);
        assert_eq!(book(&app, &consent), one("Canceled", "0"));
        assert_eq!(cancel(&app, &id).await.status, 200);
        capture(&app, &id).await.is_problem(409, "invalid-state");
        refund(&app, "back", &refund_of(&id, "980")).await.is_problem(409, "invalid-state");
        assert_eq!((app.received("CancelCharge").len(), app.received("CaptureCharge").len()), (1, 0));
        let kinds = events(&app, CHARGES, &id).await;
        assert_eq!(kinds, ["charge.received", "charge.authorized", "charge.void_received", "charge.voided"]);
        app.end().await;
    }

    async fn only_held_money_is_captured_or_canceled_and_no_more_than_is_held(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        capture(&app, paid.id()).await.is_problem(409, "invalid-state");
        cancel(&app, paid.id()).await.is_problem(409, "invalid-state");
        let back = refund(&app, "back", &refund_of(paid.id(), "1")).await;
        capture(&app, back.id()).await.is_problem(404, "not-found");
        cancel(&app, "pmt_01990000000070008000000000000000").await.is_problem(404, "not-found");
        let id = authorized(&app, &consent, "held").await;
        for (body, status, code) in [
            (yen("981"), 422, "amount-out-of-range"),
            (json!({"value": {"amount": "9.80", "currency_code": "USD"}}), 422, "amount-out-of-range"),
            (yen("9.8"), 422, "amount-precision"),
            (json!({"all": true}), 400, "invalid-request"),
        ] {
            change(&app, &id, "capture", &body).await.is_problem(status, code);
        }
        for reason in ["", "AB12-CD34EF-GH56"] {
            change(&app, &id, "cancel", &json!({"reason": reason})).await.is_problem(400, "invalid-request");
        }
        assert_eq!((app.received("CaptureCharge").len(), app.received("CancelCharge").len()), (0, 0));
        app.end().await;
    }

    async fn whatever_becomes_of_an_answer_held_money_is_taken_once(backend: Backend) {
        let app = shop(backend).await;
        for (name, fault) in faults(Generation::CheckoutV2) {
            let consent = consent(&app);
            let id = authorized(&app, &consent, name).await;
            app.control.clear_faults();
            app.control.script(strike(PayCall::CaptureCharge, fault, 1)).unwrap();
            let answer = capture(&app, &id).await;
            assert!([200, 202].contains(&answer.status), "{name}: {}", answer.text);
            until(&app, CHARGES, &id, "paid").await;
            assert_eq!(book(&app, &consent), one("Captured", "980"), "{name}");
        }
        app.end().await;
    }

    async fn whatever_becomes_of_an_answer_held_money_is_given_back(backend: Backend) {
        let app = shop(backend).await;
        for (name, fault) in faults(Generation::CheckoutV2) {
            let consent = consent(&app);
            let id = authorized(&app, &consent, name).await;
            app.control.clear_faults();
            app.control.script(strike(PayCall::CancelCharge, fault, 1)).unwrap();
            let answer = cancel(&app, &id).await;
            assert!([200, 202].contains(&answer.status), "{name}: {}", answer.text);
            until(&app, CHARGES, &id, "voided").await;
            assert_eq!(book(&app, &consent), one("Canceled", "0"), "{name}");
        }
        app.end().await;
    }

    async fn of_a_capture_and_a_cancel_at_once_one_is_done(backend: Backend) {
        let app = shop(backend).await;
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        let (mut taken, mut given_back) = (0, 0);
        for at in 0..12 {
            let id = authorized(&app, &consent, &format!("fee-{at}")).await;
            let (captured, canceled) = join(capture(&app, &id), cancel(&app, &id)).await;
            let end = if captured.status == 200 { "paid" } else { "voided" };
            let loser = if captured.status == 200 { &canceled } else { &captured };
            // It came too late, or while the capture was under way.
            assert_eq!(loser.status, 409, "{}", loser.text);
            until(&app, CHARGES, &id, end).await;
            (taken, given_back) = if end == "paid" { (taken + 1, given_back) } else { (taken, given_back + 1) };
        }
        let states: Vec<String> = book(&app, &consent).into_iter().map(|(state, _taken)| state).collect();
        assert_eq!(states.iter().filter(|state| *state == "Captured").count(), taken);
        assert_eq!(states.iter().filter(|state| *state == "Canceled").count(), given_back);
        assert_eq!(taken + given_back, 12);
        app.end().await;
    }

    async fn many_captures_at_once_are_one(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        let answers = join_all((0..10).map(|_at| capture(&app, &id))).await;
        assert!(answers.iter().all(|answer| [200, 202].contains(&answer.status)), "{answers:?}");
        until(&app, CHARGES, &id, "paid").await;
        assert_eq!(app.received("CaptureCharge").len(), 1);
        assert_eq!(book(&app, &consent), one("Captured", "980"));
        assert_eq!(app.database.number("SELECT COUNT(*) FROM payments WHERE kind = 'capture'").await, 1);
        app.end().await;
    }

    async fn a_capture_that_takes_its_time_is_capturing_and_then_paid_or_declined(backend: Backend) {
        let mut app = shop(backend).await;
        for end in ["paid", "declined"] {
            let consent = seller::consent(&app.control, 100_000, "0702");
            let id = authorized(&app, &consent, end).await;
            let begun = capture(&app, &id).await;
            assert_eq!((begun.status, begun.json["status"].as_str()), (202, Some("capturing")), "{}", begun.text);
            refund(&app, &format!("early {end}"), &refund_of(&id, "1")).await.is_problem(409, "payment-undecided");
            if end == "declined" {
                let amazon = begun.json["amazon_id"].as_str().unwrap().to_owned();
                app.control.decline_pending(&PaySettlement { id: amazon, reason: "AmazonRejected".to_owned() }).unwrap();
            }
            app.advance(31);
            let shown = until(&app, CHARGES, &id, end).await;
            assert_eq!(shown["decline"]["kind"].as_str(), (end == "declined").then_some("final"), "{shown}");
            if end == "declined" {
                capture(&app, &id).await.is_problem(402, "payment-declined");
                refund(&app, "late", &refund_of(&id, "1")).await.is_problem(409, "invalid-state");
            }
        }
        app.end().await;
    }

    /// Amazon's sandbox holds money two days.
    async fn what_amazon_gives_back_by_itself_is_voided(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        app.advance(86_400);
        assert_eq!(app.get(&format!("{CHARGES}/{id}")).await.json["status"], "authorized");
        app.advance(86_400 + 60);
        let shown = until(&app, CHARGES, &id, "voided").await;
        assert_eq!(shown["last_error"], "ExpiredUnused", "{shown}");
        assert_eq!(events(&app, CHARGES, &id).await.last().unwrap(), "charge.voided");
        capture(&app, &id).await.is_problem(409, "invalid-state");
        app.end().await;
    }

    /// Nothing of ours knows that yet: the capture runs into it, and Amazon is asked what it holds.
    async fn a_capture_of_what_amazon_gave_back_takes_nothing_and_finds_it_out(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        let charge_id = app.control.charges()[0].charge_id.clone();
        app.control.act_on_charge(&SellerAct::Cancel { charge_id }).unwrap();
        let answer = capture(&app, &id).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let shown = until(&app, CHARGES, &id, "voided").await;
        assert_eq!(shown["last_error"], "MerchantCanceled", "{shown}");
        assert_eq!(book(&app, &consent), one("Canceled", "0"));
        app.end().await;
    }

    async fn a_capture_that_amazon_turned_away_can_be_asked_for_again(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        let turned_away = Fault::ReasonCode { status: 403, reason_code: "UnauthorizedAccess".to_owned(), after_work: false };
        app.control.script(strike(PayCall::CaptureCharge, turned_away, 1)).unwrap();
        let refused = capture(&app, &id).await;
        assert_eq!((refused.status, refused.json["status"].as_str()), (202, Some("authorized")), "{}", refused.text);
        assert_eq!(refused.json["last_error"], "UnauthorizedAccess", "{}", refused.text);
        let paid = capture(&app, &id).await;
        assert_eq!((paid.status, paid.json["status"].as_str()), (200, Some("paid")), "{}", paid.text);
        let keys: Vec<_> = app.received("CaptureCharge").into_iter().map(|call| call.creation_request_id).collect();
        assert!(keys.len() == 2 && keys[0] != keys[1], "another try has another key: {keys:?}");
        assert_eq!(book(&app, &consent), one("Captured", "980"));
        app.end().await;
    }

    /// Amazon takes the cancel once the authorization is decided.
    async fn a_cancel_of_what_is_not_decided_is_done_once_it_is(backend: Backend) {
        let mut app = shop(backend).await;
        for (card, end) in [("0701", "Canceled"), ("4354", "Declined")] {
            let consent = seller::consent(&app.control, 100_000, card);
            let mut body = hold_of(&consent, "980");
            body["may_wait"] = json!(true);
            let pending = charge(&app, card, &body).await;
            assert_eq!((pending.status, pending.json["status"].as_str()), (202, Some("pending")), "{}", pending.text);
            capture(&app, pending.id()).await.is_problem(409, "payment-undecided");
            let wished = cancel(&app, pending.id()).await;
            assert_eq!((wished.status, wished.json["status"].as_str()), (202, Some("voiding")), "{}", wished.text);
            app.advance(31);
            until(&app, CHARGES, pending.id(), "voided").await;
            assert_eq!(book(&app, &consent), one(end, "0"));
        }
        app.end().await;
    }

    async fn money_that_somebody_took_at_amazon_needs_a_person(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let id = authorized(&app, &consent, "fee").await;
        let charge_id = app.control.charges()[0].charge_id.clone();
        app.control.act_on_charge(&SellerAct::Capture { charge_id }).unwrap();
        let answer = cancel(&app, &id).await;
        assert_eq!((answer.status, answer.json["status"].as_str()), (202, Some("needs_attention")), "{}", answer.text);
        assert_eq!(book(&app, &consent), one("Captured", "980"));
        app.end().await;
    }
}
