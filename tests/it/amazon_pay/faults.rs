//! Each fault of the wire and of Amazon's service: how it is read, and that the same key then finds or makes the one charge.

use noshi::{
    provider::pay::{ChargeState, PayDoubt, PayOutcome, PayReason, RefundState},
    sandbox::{Fault, FaultRule, Operation, PayCall},
};

use super::{Checkout, asked, impatient, pay_key, seen, yen};

fn rule(call: PayCall, key: &str, fault: Fault) -> FaultRule {
    let (operation, creation_request_id) = (Some(Operation::Pay(call)), Some(key.to_owned()));
    FaultRule { operation, creation_request_id, ..FaultRule::once(fault) }
}

fn refusal(status: u16, reason_code: &str, after_work: bool) -> Fault {
    Fault::ReasonCode { status, reason_code: reason_code.to_owned(), after_work }
}

fn page(status: u16, after_work: bool) -> Fault {
    Fault::HtmlError { status, after_work }
}

/// A fault, what is known after it, and whether the charge was made.
fn doubts() -> Vec<(Fault, PayDoubt, bool)> {
    use PayDoubt::{
        Busy, ConnectionLost, Mismatch, NotJson, Redirect, ServerError, Throttled, Timeout, TooLarge, Unlisted,
    };
    let location = "http://127.0.0.1:1/v2/charges".to_owned();
    vec![
        (Fault::Delay { milliseconds: 1_500 }, Timeout, true),
        (Fault::DropBeforeWork, ConnectionLost, false),
        (Fault::DropAfterWork, ConnectionLost, true),
        (Fault::ResetBeforeWork, ConnectionLost, false),
        (Fault::ResetAfterWork, ConnectionLost, true),
        (Fault::ResetInBody, ConnectionLost, true),
        (Fault::HangInBody, Timeout, true),
        (Fault::TruncatedBody, ConnectionLost, true),
        (Fault::CutChunk, ConnectionLost, true),
        (Fault::ShortCloseDelimited, NotJson, true),
        (Fault::Garbage, NotJson, true),
        (Fault::EmptyBody, NotJson, true),
        (Fault::WrongContentType, NotJson, true),
        (Fault::OversizedBody, TooLarge, true),
        (page(502, false), ServerError, false),
        (page(504, true), ServerError, true),
        (page(404, false), Unlisted, false),
        (page(403, true), Unlisted, true),
        (page(200, true), NotJson, true),
        (Fault::Redirect { location }, Redirect, false),
        (Fault::WrongAmount, Mismatch, true),
        (Fault::WrongCurrency, Mismatch, true),
        (Fault::WrongRequestId, Mismatch, true),
        (Fault::Resend { after_work: false }, ServerError, false),
        (Fault::Resend { after_work: true }, ServerError, true),
        (Fault::Throttle, Throttled, false),
        (refusal(500, "ProcessingFailure", true), Busy, true),
        (refusal(500, "ProcessingFailure", false), Busy, false),
        (refusal(500, "InternalServerError", true), ServerError, true),
        (refusal(408, "RequestTimeout", true), Timeout, true),
        (refusal(425, "TooEarly", false), Throttled, false),
        (refusal(422, "SomethingNew", true), Unlisted, true),
        (Fault::Hang, Timeout, false),
    ]
}

#[tokio::test]
async fn after_any_doubt_the_same_key_has_the_one_charge() {
    let checkout = Checkout::with(super::KEY_ID, impatient()).await;
    let permission = checkout.consent("10000000", true, "1111");
    for (index, (fault, doubt, made)) in doubts().into_iter().enumerate() {
        let key = format!("charge-{index}");
        checkout.control.script(rule(PayCall::CreateCharge, &key, fault.clone())).unwrap();
        let before = checkout.control.charges().len();
        let exchange = checkout.client.create_charge(&pay_key(&key), &asked(&permission, 980, true)).await;
        assert_eq!(exchange.outcome, PayOutcome::Unknown(doubt), "{fault:?}");
        assert_eq!(checkout.control.charges().len() - before, usize::from(made), "{fault:?}");
        let charge = checkout.charged(&key, &asked(&permission, 980, true)).await;
        assert_eq!((charge.state, charge.captured), (ChargeState::Paid, Some(yen(980))), "{fault:?}");
        assert_eq!(checkout.control.charges().len() - before, 1, "{fault:?}");
    }
    checkout.sandbox.stop().await;
}

#[tokio::test]
async fn a_charge_that_is_made_after_the_caller_gave_up_is_found() {
    let checkout = Checkout::with(super::KEY_ID, impatient()).await;
    let permission = checkout.consent("10000000", true, "1111");
    checkout.control.script(rule(PayCall::CreateCharge, "late", Fault::DelayWork { milliseconds: 1_200 })).unwrap();
    let exchange = checkout.client.create_charge(&pay_key("late"), &asked(&permission, 980, true)).await;
    assert_eq!(exchange.outcome, PayOutcome::Unknown(PayDoubt::Timeout));
    // The repetition may come before the first one's work, or after it.
    let charge = checkout.charged("late", &asked(&permission, 980, true)).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let charges = checkout.control.charges();
    assert_eq!(charges.len(), 1, "{charges:?}");
    assert_eq!(charges[0].charge_id, charge.id.as_str());
}

#[tokio::test]
async fn after_any_doubt_the_same_key_has_the_one_refund() {
    let checkout = Checkout::with(super::KEY_ID, impatient()).await;
    let permission = checkout.consent("10000000", true, "1111");
    for (index, (fault, doubt, made)) in doubts().into_iter().enumerate() {
        let charge = checkout.charged(&format!("charge-{index}"), &asked(&permission, 980, true)).await;
        let key = format!("refund-{index}");
        checkout.control.script(rule(PayCall::CreateRefund, &key, fault.clone())).unwrap();
        let exchange = checkout.client.create_refund(&pay_key(&key), &charge.id, yen(980)).await;
        assert_eq!(exchange.outcome, PayOutcome::Unknown(doubt), "{fault:?}");
        let of_charge = || {
            let refunds = checkout.control.refunds();
            refunds.iter().filter(|refund| refund.charge_id == charge.id.as_str()).count()
        };
        assert_eq!(of_charge(), usize::from(made), "{fault:?}");
        let refund = seen(checkout.client.create_refund(&pay_key(&key), &charge.id, yen(980)).await);
        assert_eq!((refund.state, of_charge()), (RefundState::Pending, 1), "{fault:?}");
    }
    checkout.sandbox.stop().await;
}

#[tokio::test]
async fn what_is_no_doubt_is_none_and_a_wrong_state_is_seen() {
    let checkout = Checkout::open().await;
    let permission = checkout.consent("10000000", true, "1111");
    let odd = Fault::OddCardStatus { status: "Resting".to_owned() };
    for (fault, expected) in [
        (Fault::SignatureExpired, PayOutcome::TurnedAway(PayReason::InvalidRequestSignature)),
        (Fault::BadKey, PayOutcome::TurnedAway(PayReason::InvalidAuthentication)),
        (refusal(400, "DuplicateIdempotencyKey", true), PayOutcome::KeyConflict),
        (refusal(400, "InvalidParameterValue", false), PayOutcome::Rejected(PayReason::InvalidParameterValue)),
        (odd, PayOutcome::Seen(ChargeState::Odd)),
        (Fault::DeadCard, PayOutcome::Seen(ChargeState::Voided(PayReason::Other))),
        (Fault::Delay { milliseconds: 20 }, PayOutcome::Seen(ChargeState::Paid)),
    ] {
        checkout.control.script(FaultRule::once(fault.clone())).unwrap();
        let key = pay_key(&format!("k-{}", checkout.control.requests().len()));
        let exchange = checkout.client.create_charge(&key, &asked(&permission, 980, true)).await;
        assert_eq!(exchange.outcome.map(|charge| charge.state), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_look_at_a_charge_or_a_permission_in_doubt_shows_nothing() {
    let checkout = Checkout::with(super::KEY_ID, impatient()).await;
    let permission = checkout.consent("10000000", true, "1111");
    let charge = checkout.charged("k1", &asked(&permission, 980, true)).await;
    for (fault, doubt) in [
        (Fault::DropAfterWork, PayDoubt::ConnectionLost),
        (Fault::Hang, PayDoubt::Timeout),
        (Fault::Garbage, PayDoubt::NotJson),
        (Fault::WrongCardId, PayDoubt::Mismatch),
        (page(503, false), PayDoubt::ServerError),
    ] {
        let script = |call| {
            let operation = Some(Operation::Pay(call));
            checkout.control.script(FaultRule { operation, ..FaultRule::once(fault.clone()) }).unwrap();
        };
        script(PayCall::GetCharge);
        assert_eq!(checkout.client.get_charge(&charge.id).await.outcome, PayOutcome::Unknown(doubt), "{fault:?}");
        script(PayCall::GetChargePermission);
        let looked = checkout.client.get_charge_permission(&permission).await;
        assert_eq!(looked.outcome, PayOutcome::Unknown(doubt), "{fault:?}");
        script(PayCall::CancelCharge);
        let cancelled = checkout.client.cancel_charge(&charge.id, "x").await;
        // A charge that is taken is not cancelled, and a refusal has no id that a fault could change.
        let conflict = PayOutcome::Conflict(PayReason::InvalidChargeStatus);
        let expected = if doubt == PayDoubt::Mismatch { conflict } else { PayOutcome::Unknown(doubt) };
        assert_eq!(cancelled.outcome, expected, "{fault:?}");
    }
}
