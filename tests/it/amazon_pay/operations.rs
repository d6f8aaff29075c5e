//! Each operation, and how each refusal is read.

use chrono::TimeDelta;
use noshi::{
    provider::pay::{
        ChargeState, Decline, DeclineKind, MerchantKey, PayDoubt, PayOutcome, PayReason, PermissionState, RefundState,
    },
    sandbox::{ConsentAct, PaySettlement},
};

use super::{Checkout, KEY_ID, PayTimeouts, asked, client, key_pair, pay_key, seen, unknown_charge, yen};

#[tokio::test]
async fn a_charge_is_made_seen_and_given_back() {
    for key_id in [KEY_ID, "AOLDERKEYNAMESNOENVIRONMENT"] {
        let checkout = Checkout::with(key_id, PayTimeouts::default()).await;
        let permission = checkout.consent("100000", true, "1111");
        let exchange = checkout.client.create_charge(&pay_key("k1"), &asked(&permission, 980, true)).await;
        assert_eq!((exchange.http_status, exchange.signed_the_same), (Some(201), None));
        assert_eq!(exchange.request_id.as_ref().unwrap().as_str().len(), 36);
        let charge = seen(exchange);
        assert_eq!((charge.state, charge.amount, charge.captured), (ChargeState::Paid, yen(980), Some(yen(980))));
        assert_eq!((&charge.permission, charge.reference.unwrap().as_str()), (&Some(permission.clone()), "chg_1"));
        let again = seen(checkout.client.get_charge(&charge.id).await);
        assert_eq!((again.state, again.refunded), (ChargeState::Paid, None));

        let seen_permission = seen(checkout.client.get_charge_permission(&permission).await);
        assert_eq!(seen_permission.state, PermissionState::Usable);
        assert_eq!((seen_permission.limit, seen_permission.balance), (Some(yen(100_000)), Some(yen(99_020))));
        assert_eq!((seen_permission.recurs, seen_permission.reference.unwrap().as_str()), (Some(true), "agr_1"));

        let refund = seen(checkout.client.create_refund(&pay_key("r1"), &charge.id, yen(80)).await);
        assert_eq!(
            (refund.state, refund.amount, &refund.charge),
            (RefundState::Pending, yen(80), &Some(charge.id.clone()))
        );
        checkout.control.advance_clock(30).unwrap();
        assert_eq!(seen(checkout.client.get_refund(&refund.id).await).state, RefundState::Done);
        assert_eq!(seen(checkout.client.get_charge(&charge.id).await).refunded, Some(yen(80)));

        let closed = seen(checkout.client.close_charge_permission(&permission, "解約", false).await);
        assert_eq!(closed.state, PermissionState::Ended(vec![PayReason::MerchantClosed]));
        checkout.sandbox.stop().await;
    }
}

#[tokio::test]
async fn an_authorization_is_captured_once_and_another_cancelled() {
    let checkout = Checkout::open().await;
    let permission = checkout.consent("100000", false, "1111");
    let held = checkout.charged("k1", &asked(&permission, 980, false)).await;
    assert_eq!((held.state, held.captured), (ChargeState::Authorized, None));
    let ends = held.expires_at.unwrap() - checkout.control.clock().now;
    assert!((TimeDelta::hours(47)..=TimeDelta::hours(48)).contains(&ends), "{ends}");
    let captured = seen(checkout.client.capture_charge(&pay_key("c1"), &held.id, yen(900)).await);
    assert_eq!((captured.state, captured.captured), (ChargeState::Paid, Some(yen(900))));
    let again = seen(checkout.client.capture_charge(&pay_key("c1"), &held.id, yen(900)).await);
    assert_eq!(again, captured, "the same key shows the same answer");
    let second = checkout.client.capture_charge(&pay_key("c2"), &held.id, yen(80)).await;
    assert_eq!(second.outcome, PayOutcome::Conflict(PayReason::InvalidChargeStatus));

    let other = checkout.charged("k2", &asked(&permission, 50, false)).await;
    let cancelled = seen(checkout.client.cancel_charge(&other.id, "out of stock").await);
    assert_eq!(cancelled.state, ChargeState::Voided(PayReason::MerchantCanceled));
    checkout.control.advance_clock(2 * 86_400).unwrap();
    let unused = checkout.charged("k3", &asked(&permission, 50, false)).await;
    checkout.control.advance_clock(2 * 86_400).unwrap();
    let unused = seen(checkout.client.get_charge(&unused.id).await);
    assert_eq!(unused.state, ChargeState::Voided(PayReason::ExpiredUnused));
}

#[tokio::test]
async fn a_charge_that_may_wait_is_decided_later() {
    for (card, capture_now, then) in [
        ("0701", true, ChargeState::Paid),
        ("0701", false, ChargeState::Authorized),
        ("4354", true, declined(DeclineKind::Method, PayReason::HardDeclined)),
    ] {
        let checkout = Checkout::open().await;
        let permission = checkout.consent("100000", true, card);
        let mut asked = asked(&permission, 980, capture_now);
        asked.may_wait = true;
        let charge = checkout.charged("k1", &asked).await;
        assert_eq!(charge.state, ChargeState::Pending);
        checkout.control.advance_clock(30).unwrap();
        assert_eq!(seen(checkout.client.get_charge(&charge.id).await).state, then, "{card}");
        assert_eq!(checkout.charged("k1", &asked).await.state, ChargeState::Pending, "the first answer again");
    }
}

fn declined(kind: DeclineKind, reason: PayReason) -> ChargeState {
    ChargeState::Declined(Decline { kind, reason })
}

#[tokio::test]
async fn each_simulated_decline_is_read_and_makes_no_charge() {
    for (code, kind, reason, then) in [
        ("SoftDeclined", DeclineKind::Soft, PayReason::SoftDeclined, PermissionState::Usable),
        (
            "HardDeclined",
            DeclineKind::Method,
            PayReason::HardDeclined,
            PermissionState::Blocked(vec![PayReason::PaymentMethodInvalid]),
        ),
        (
            "AmazonRejected",
            DeclineKind::Final,
            PayReason::AmazonRejected,
            PermissionState::Ended(vec![PayReason::AmazonCanceled]),
        ),
        ("TransactionTimedOut", DeclineKind::Timeout, PayReason::TransactionTimedOut, PermissionState::Usable),
    ] {
        let checkout = Checkout::open().await;
        let permission = checkout.consent("100000", true, "1111");
        let client = checkout.simulating(code);
        let exchange = client.create_charge(&pay_key("k1"), &asked(&permission, 980, true)).await;
        assert_eq!(exchange.outcome, PayOutcome::Declined(Decline { kind, reason }));
        assert_eq!(seen(checkout.client.get_charge_permission(&permission).await).state, then);
        assert!(checkout.control.charges().is_empty());
    }
    let checkout = Checkout::open().await;
    let permission = checkout.consent("100000", true, "1111");
    let late =
        checkout.simulating("CaptureInitiated").create_charge(&pay_key("k"), &asked(&permission, 980, true)).await;
    let late = seen(late);
    assert_eq!(late.state, ChargeState::Capturing);
    let settlement = PaySettlement { id: late.id.to_string(), reason: "ProcessingFailure".to_owned() };
    checkout.control.decline_pending(&settlement).unwrap();
    let late = seen(checkout.client.get_charge(&late.id).await);
    assert_eq!(late.state, declined(DeclineKind::Busy, PayReason::ProcessingFailure));
}

#[tokio::test]
async fn each_limit_conflict_and_absence_is_read_as_what_it_is() {
    let checkout = Checkout::open().await;
    let (recurring, order) = (checkout.consent("1000", true, "1111"), checkout.consent("1000", false, "1111"));
    let cap = |reason| PayOutcome::Declined(Decline { kind: DeclineKind::Cap, reason });
    let over = checkout.client.create_charge(&pay_key("k1"), &asked(&recurring, 1_001, true)).await;
    assert_eq!(over.outcome, cap(PayReason::PeriodicAmountExceeded));
    let over = checkout.client.create_charge(&pay_key("k2"), &asked(&order, 1_001, true)).await;
    assert_eq!(over.outcome, cap(PayReason::TransactionAmountExceeded));

    let charge = checkout.charged("k3", &asked(&recurring, 1_000, true)).await;
    let too_much = checkout.client.create_refund(&pay_key("r1"), &charge.id, yen(1_151)).await;
    assert_eq!(
        too_much.outcome,
        PayOutcome::Declined(Decline { kind: DeclineKind::Cap, reason: PayReason::TransactionAmountExceeded })
    );
    assert_eq!(seen(checkout.client.create_refund(&pay_key("r2"), &charge.id, yen(1_150)).await).amount, yen(1_150));

    let changed = checkout.client.create_charge(&pay_key("k3"), &asked(&recurring, 999, true)).await;
    assert_eq!(changed.outcome, PayOutcome::KeyConflict);
    assert_eq!(checkout.client.get_charge(&unknown_charge()).await.outcome, PayOutcome::Missing);
    let cancelled = checkout.client.cancel_charge(&charge.id, "late").await;
    assert_eq!(cancelled.outcome, PayOutcome::Conflict(PayReason::InvalidChargeStatus));

    let charge_permission_id = recurring.to_string();
    let reason = "BuyerClosed".to_owned();
    checkout.control.act_on_consent(ConsentAct::Close { charge_permission_id, reason }).unwrap();
    let closed = checkout.client.create_charge(&pay_key("k4"), &asked(&recurring, 1, true)).await;
    assert_eq!(closed.outcome, PayOutcome::Conflict(PayReason::InvalidChargePermissionStatus));
    let misplaced = checkout.simulating("SoftDeclined").get_charge(&charge.id).await;
    assert_eq!(misplaced.outcome, PayOutcome::Rejected(PayReason::InvalidSandboxSimulationSpecified));
}

#[tokio::test]
async fn a_wrong_key_is_turned_away_and_known_by_its_equal_string() {
    let checkout = Checkout::open().await;
    let permission = checkout.consent("1000", true, "1111");
    let stranger = MerchantKey::new(KEY_ID, &key_pair().0.into()).unwrap();
    let client = client(&checkout.sandbox, stranger, PayTimeouts::default());
    let exchange = client.create_charge(&pay_key("k1"), &asked(&permission, 980, true)).await;
    assert_eq!(exchange.outcome, PayOutcome::TurnedAway(PayReason::InvalidRequestSignature));
    assert_eq!((exchange.signed_the_same, client.rejections()), (Some(true), 1));
    let unregistered = MerchantKey::new("SANDBOX-NOBODY", &key_pair().0.into()).unwrap();
    client.sign_with(unregistered).unwrap();
    let exchange = client.get_charge_permission(&permission).await;
    assert_eq!(exchange.outcome, PayOutcome::TurnedAway(PayReason::InvalidAuthentication));
    assert_eq!((exchange.signed_the_same, client.rejections()), (None, 2));
    assert!(checkout.control.charges().is_empty());
}

#[tokio::test]
async fn a_call_over_the_sandboxs_rate_is_throttled_and_made_later() {
    let checkout = Checkout::open().await;
    checkout.control.set_throttle(true);
    let permission = checkout.consent("1000", true, "1111");
    let mut outcomes = Vec::new();
    for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
        outcomes.push(checkout.client.create_charge(&pay_key(key), &asked(&permission, 1, true)).await.outcome);
    }
    let throttled = PayOutcome::Unknown(PayDoubt::Throttled);
    assert!(outcomes.contains(&throttled), "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|one| **one != throttled).count(), checkout.control.charges().len());
    checkout.control.set_throttle(false);
    for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
        checkout.charged(key, &asked(&permission, 1, true)).await;
    }
    assert_eq!(checkout.control.charges().len(), 6);
}
