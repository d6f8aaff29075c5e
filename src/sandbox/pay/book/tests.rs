//! The states of permissions, charges and refunds, their limits, and idempotency.

use chrono::{TimeDelta, TimeZone};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sandbox::pay::route::PayCall;

const MERCHANT: &str = "M";

/// A book, its clock, and short names for what a merchant does.
struct Till {
    book: PayBook,
    now: DateTime<Utc>,
    chance: Chance,
    keys: u32,
    simulation: Option<&'static str>,
}

impl Till {
    fn new() -> Self {
        let now = Utc.with_ymd_and_hms(2026, 1, 15, 0, 0, 0).unwrap();
        Self { book: PayBook::default(), now, chance: Chance::new(), keys: 0, simulation: None }
    }

    fn later(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    fn consent(&self, limit: &str, recurring: bool, card: &str) -> String {
        let [merchant_id, limit, currency, card] = [MERCHANT, limit, "JPY", card].map(str::to_owned);
        let new = NewConsent { merchant_id, limit, recurring, currency, card, reference: None };
        self.book.consent(new, self.now, &self.chance).unwrap()
    }

    fn send(&self, call: PayCall, id: &str, key: &str, body: &Value) -> PayShown {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("x-amz-pay-idempotency-key", key.parse().unwrap());
        if let Some(code) = self.simulation {
            headers.insert("x-amz-pay-simulation-code", code.parse().unwrap());
        }
        let order = PayOrder::read(call, Some(id.to_owned()), &headers, body.to_string().as_bytes());
        let done = order.and_then(|order| self.book.perform(MERCHANT, &order, self.now, &self.chance));
        done.unwrap_or_else(PayRefused::shown)
    }

    fn fresh(&mut self, call: PayCall, id: &str, body: &Value) -> PayShown {
        self.keys += 1;
        self.send(call, id, &format!("k{}", self.keys), body)
    }

    fn charge(&mut self, permission: &str, amount: &str, capture_now: bool, may_wait: bool) -> PayShown {
        let body = json!({"chargePermissionId": permission, "chargeAmount": yen(amount), "captureNow": capture_now,
            "canHandlePendingAuthorization": may_wait});
        self.fresh(PayCall::CreateCharge, "", &body)
    }

    fn act(&mut self, act: &str, id: &str) -> PayShown {
        let (call, body) = match act {
            "capture" => (PayCall::CaptureCharge, json!({"captureAmount": yen("100")})),
            "cancel" => (PayCall::CancelCharge, json!({"cancellationReason": "x"})),
            "refund" => (PayCall::CreateRefund, json!({"chargeId": id, "refundAmount": yen("10")})),
            _ => (PayCall::GetCharge, Value::Null),
        };
        self.fresh(call, id, &body)
    }

    fn refund(&mut self, charge: &str, amount: &str) -> PayShown {
        self.fresh(PayCall::CreateRefund, "", &json!({"chargeId": charge, "refundAmount": yen(amount)}))
    }

    fn permission(&mut self, id: &str) -> PayShown {
        self.fresh(PayCall::GetChargePermission, id, &Value::Null)
    }

    fn close(&mut self, id: &str, cancel_pending: bool) -> PayShown {
        let body = json!({"closureReason": "x", "cancelPendingCharges": cancel_pending});
        self.fresh(PayCall::CloseChargePermission, id, &body)
    }

    /// What a charge shows: its state, and why.
    fn state(&mut self, id: &str) -> String {
        state(&self.act("get", id))
    }
}

fn yen(amount: &str) -> Value {
    json!({"amount": amount, "currencyCode": "JPY"})
}

/// Status and reason of a refusal; state and reason of an object.
fn state(shown: &PayShown) -> String {
    if let Some(reason) = &shown.reason {
        return format!("{} {reason}", shown.status.as_str());
    }
    let status = &shown.json["statusDetails"];
    let listed = status["reasons"][0]["reasonCode"].as_str();
    let words = [status["state"].as_str(), status["reasonCode"].as_str(), listed];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn id_of(shown: &PayShown, member: &str) -> String {
    shown.json[member].as_str().unwrap_or_else(|| panic!("{shown:?}")).to_owned()
}

/// A charge that is brought into a state: card, captures now, may wait, what happens then.
fn brought(till: &mut Till, stage: &str) -> String {
    let card = match stage {
        "AuthorizationInitiated" => CARD_THAT_WAITS,
        "Declined" => CARD_THAT_WAITS_AND_IS_DECLINED,
        _ => "1111",
    };
    let permission = till.consent("1000", true, card);
    till.simulation = (stage == "CaptureInitiated").then_some("CaptureInitiated");
    let shown = till.charge(&permission, "100", stage.starts_with("Capture"), card != "1111");
    till.simulation = None;
    let id = id_of(&shown, "chargeId");
    if stage == "Declined" {
        till.later(30);
    }
    if stage == "Canceled" {
        till.act("cancel", &id);
    }
    assert_eq!(till.state(&id).split(' ').next().unwrap(), stage);
    id
}

#[test]
fn each_state_of_a_charge_takes_what_it_may_and_refuses_the_rest() {
    let conflict = "422 InvalidChargeStatus";
    for (stage, capture, cancel, refund) in [
        ("AuthorizationInitiated", conflict, "Canceled MerchantCanceled", conflict),
        ("Authorized", "Captured", "Canceled MerchantCanceled", conflict),
        ("CaptureInitiated", conflict, conflict, conflict),
        ("Captured", conflict, conflict, "RefundInitiated"),
        ("Declined", conflict, conflict, conflict),
        ("Canceled", conflict, conflict, conflict),
    ] {
        for (act, expected) in [("capture", capture), ("cancel", cancel), ("refund", refund)] {
            let mut till = Till::new();
            let id = brought(&mut till, stage);
            assert_eq!(state(&till.act(act, &id)), expected, "{act} of a charge that is {stage}");
        }
    }
}

#[test]
fn time_moves_a_charge_on() {
    for (card, capture_now, seconds, expected) in [
        (CARD_THAT_WAITS, false, 29, "AuthorizationInitiated"),
        (CARD_THAT_WAITS, false, 30, "Authorized"),
        (CARD_THAT_WAITS, true, 30, "Captured"),
        (CARD_THAT_WAITS, false, 2 * 86_400, "Canceled ExpiredUnused"),
        (CARD_THAT_WAITS_AND_IS_DECLINED, true, 29, "AuthorizationInitiated"),
        (CARD_THAT_WAITS_AND_IS_DECLINED, true, 30, "Declined HardDeclined"),
        ("1111", false, 2 * 86_400 - 1, "Authorized"),
        ("1111", false, 2 * 86_400, "Canceled ExpiredUnused"),
        ("1111", true, 400, "Captured"),
    ] {
        let mut till = Till::new();
        let permission = till.consent("1000", true, card);
        let id = id_of(&till.charge(&permission, "100", capture_now, true), "chargeId");
        till.later(seconds);
        assert_eq!(till.state(&id), expected, "{card} {capture_now} {seconds}");
        let blocked = expected == "Declined HardDeclined";
        let expected = if blocked { "NonChargeable PaymentMethodInvalid" } else { "Chargeable" };
        assert_eq!(state(&till.permission(&permission)), expected);
    }
}

#[test]
fn a_card_that_waits_needs_a_charge_that_may() {
    let mut till = Till::new();
    let permission = till.consent("1000", true, CARD_THAT_WAITS);
    assert_eq!(state(&till.charge(&permission, "100", true, false)), "400 InvalidParameterCombination");
}

#[test]
fn each_simulation_code_does_what_it_says_where_it_may() {
    for (code, expected, then) in [
        ("SoftDeclined", "422 SoftDeclined", "Chargeable"),
        ("HardDeclined", "422 HardDeclined", "NonChargeable PaymentMethodInvalid"),
        ("AmazonRejected", "422 AmazonRejected", "Closed AmazonCanceled"),
        ("TransactionTimedOut", "422 TransactionTimedOut", "Chargeable"),
        ("CaptureInitiated", "CaptureInitiated", "Chargeable"),
        ("AmazonClosed", "400 InvalidSandboxSimulationSpecified", "Chargeable"),
        ("Nonsense", "400 InvalidSandboxSimulationSpecified", "Chargeable"),
    ] {
        let mut till = Till::new();
        let permission = till.consent("1000", true, "1111");
        till.simulation = Some(code);
        assert_eq!(state(&till.charge(&permission, "100", true, false)), expected, "{code}");
        assert_eq!(state(&till.permission(&permission)), "400 InvalidSandboxSimulationSpecified");
        till.simulation = None;
        assert_eq!(state(&till.permission(&permission)), then, "{code}");
    }
    let mut till = Till::new();
    let permission = till.consent("1000", true, "1111");
    till.simulation = Some("AmazonClosed");
    assert_eq!(state(&till.close(&permission, false)), "Closed AmazonClosed");
}

#[test]
fn a_permission_that_cannot_be_charged_refuses_and_a_closed_one_stays_closed() {
    let mut till = Till::new();
    let id = till.consent("1000", true, "1111");
    let act = |till: &Till, act| till.book.act(act, till.now);
    let charge_permission_id = id.clone();
    let reason = "PaymentMethodExpired".to_owned();
    act(&till, ConsentAct::Suspend { charge_permission_id: charge_permission_id.clone(), reason }).unwrap();
    assert_eq!(state(&till.permission(&id)), "NonChargeable PaymentMethodExpired");
    assert_eq!(state(&till.charge(&id, "1", true, false)), "422 InvalidChargePermissionStatus");
    act(&till, ConsentAct::Mend { charge_permission_id: charge_permission_id.clone() }).unwrap();
    assert_eq!(state(&till.charge(&id, "1", true, false)), "Captured");
    let reason = "BuyerClosed".to_owned();
    act(&till, ConsentAct::Close { charge_permission_id: charge_permission_id.clone(), reason }).unwrap();
    assert_eq!(state(&till.charge(&id, "1", true, false)), "422 InvalidChargePermissionStatus");
    assert_eq!(state(&till.close(&id, false)), "422 InvalidChargePermissionStatus");
    assert!(act(&till, ConsentAct::Mend { charge_permission_id }).is_err());
    assert_eq!(state(&till.permission(&id)), "Closed BuyerClosed");
}

#[test]
fn what_is_pending_ends_with_its_permission_only_where_that_is_asked() {
    for (cancel_pending, expected) in [(false, "Authorized"), (true, "Canceled ChargePermissionCanceled")] {
        let mut till = Till::new();
        let permission = till.consent("1000", true, "1111");
        let held = id_of(&till.charge(&permission, "100", false, false), "chargeId");
        let paid = id_of(&till.charge(&permission, "100", true, false), "chargeId");
        assert_eq!(state(&till.close(&permission, cancel_pending)), "Closed MerchantClosed");
        assert_eq!((till.state(&held).as_str(), till.state(&paid).as_str()), (expected, "Captured"));
    }
}

#[test]
fn a_recurring_permission_has_its_limit_each_calendar_month_and_one_order_once() {
    let mut till = Till::new();
    let balance = |till: &mut Till, id: &str| {
        till.permission(id).json["limits"]["amountBalance"]["amount"].as_str().unwrap().to_owned()
    };
    let recurring = till.consent("1000", true, "1111");
    assert_eq!(state(&till.charge(&recurring, "700", true, false)), "Captured");
    assert_eq!(state(&till.charge(&recurring, "301", true, false)), "400 PeriodicAmountExceeded");
    assert_eq!(state(&till.charge(&recurring, "300", false, false)), "Authorized");
    assert_eq!(balance(&mut till, &recurring), "0");
    till.later(17 * 86_400);
    assert_eq!(balance(&mut till, &recurring), "1000", "the first of February");
    till.later(395 * 86_400);
    assert_eq!(state(&till.permission(&recurring)), "Closed Expired");

    let order = till.consent("1000", false, "1111");
    let held = id_of(&till.charge(&order, "600", false, false), "chargeId");
    assert_eq!(state(&till.charge(&order, "401", true, false)), "400 TransactionAmountExceeded");
    till.act("cancel", &held);
    assert_eq!(balance(&mut till, &order), "1000", "what was given back can be charged again");
    assert_eq!(state(&till.charge(&order, "1000", true, false)), "Captured");
    assert_eq!(state(&till.permission(&order)), "Closed AmazonClosed", "all of it is taken");
    let large = till.consent("20000000", false, "1111");
    assert_eq!(state(&till.charge(&large, "10000001", true, false)), "400 TransactionAmountExceeded");
    assert_eq!(state(&till.charge(&large, "10000000", true, false)), "Captured");
}

#[test]
fn a_key_has_one_answer_for_ever() {
    let mut till = Till::new();
    let permission = till.consent("100000", true, "1111");
    let body = |amount| json!({"chargePermissionId": permission, "chargeAmount": yen(amount), "captureNow": true});
    let first = till.send(PayCall::CreateCharge, "", "key", &body("980"));
    till.later(400 * 86_400);
    assert_eq!(till.send(PayCall::CreateCharge, "", "key", &body("980")), first, "even of a permission that ended");
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "key", &body("981"))), "400 DuplicateIdempotencyKey");
    let id = id_of(&first, "chargeId");
    let refund = json!({"chargeId": id, "refundAmount": yen("980")});
    assert_eq!(state(&till.send(PayCall::CreateRefund, "", "key", &refund)), "400 DuplicateIdempotencyKey");
    assert_eq!(till.book.shown_charges(till.now).len(), 1);
    assert_eq!(till.book.shown_refunds(till.now).len(), 0);
}

#[test]
fn a_decline_is_kept_under_its_key_and_a_refused_form_is_not() {
    let mut till = Till::new();
    let permission = till.consent("1000", true, "1111");
    let body = json!({"chargePermissionId": permission, "chargeAmount": yen("980"), "captureNow": true});
    till.simulation = Some("SoftDeclined");
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "key", &body)), "422 SoftDeclined");
    till.simulation = None;
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "key", &body)), "422 SoftDeclined");
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "other", &body)), "Captured");
    let wrong = json!({"chargePermissionId": permission, "chargeAmount": yen("20.5")});
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "third", &wrong)), "400 InvalidParameterValue");
    let right = json!({"chargePermissionId": permission, "chargeAmount": yen("20"), "captureNow": true});
    assert_eq!(state(&till.send(PayCall::CreateCharge, "", "third", &right)), "Captured");
}

#[test]
fn a_refund_is_pending_half_a_minute_unless_it_is_declined() {
    let mut till = Till::new();
    let permission = till.consent("1000", true, "1111");
    let charge = id_of(&till.charge(&permission, "1000", true, false), "chargeId");
    let [one, other] = [1, 2].map(|_| id_of(&till.refund(&charge, "100"), "refundId"));
    let settlement = PaySettlement { id: other.clone(), reason: "AmazonRejected".to_owned() };
    till.book.decline(&settlement, till.now).unwrap();
    till.later(29);
    let seen = |till: &mut Till, id: &str| state(&till.fresh(PayCall::GetRefund, id, &Value::Null));
    assert_eq!(seen(&mut till, &one), "RefundInitiated");
    till.later(1);
    assert_eq!(
        (seen(&mut till, &one), seen(&mut till, &other)),
        ("Refunded".to_owned(), "Declined AmazonRejected".to_owned())
    );
    assert!(till.book.decline(&settlement, till.now).is_err(), "nothing is pending");
    assert_eq!(till.act("get", &charge).json["refundedAmount"], yen("100"), "what was declined is not given back");
    for _ in 2..REFUNDS_MAX {
        assert_eq!(state(&till.refund(&charge, "1")), "RefundInitiated");
    }
    assert_eq!(state(&till.refund(&charge, "1")), "422 TransactionCountExceeded");
}

#[test]
fn another_merchants_objects_are_not_found() {
    let mut till = Till::new();
    let permission = till.consent("1000", true, "1111");
    let charge = id_of(&till.charge(&permission, "100", true, false), "chargeId");
    for (wish, what) in [(PayWish::GetCharge(charge), "charge"), (PayWish::GetPermission(permission), "permission")] {
        let order = PayOrder { key: None, simulation: None, wish };
        let refused = till.book.perform("Other", &order, till.now, &till.chance).unwrap_err();
        assert_eq!(refused.reason, "ResourceNotFound", "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is refunded in whatever parts: what fits is taken, what does not is refused, and the sum stays within what was
    /// taken, 15 % more rounded down, and 8,400 yen more.
    #[test]
    fn no_more_is_given_back_than_may_be(
        captured in 1_i64..200_000, parts in proptest::collection::vec((1_i64..60_000, any::<bool>()), 1..9),
    ) {
        let mut till = Till::new();
        let permission = till.consent("10000000", true, "1111");
        let charge = id_of(&till.charge(&permission, &captured.to_string(), true, false), "chargeId");
        let most = captured + (captured * 15 / 100).min(8_400);
        let mut given = 0;
        for (part, declined) in parts {
            let shown = till.refund(&charge, &part.to_string());
            prop_assert_eq!(shown.status == StatusCode::CREATED, given + part <= most, "{} of {}", part, most);
            if shown.status != StatusCode::CREATED {
                prop_assert_eq!(shown.reason.as_deref(), Some("TransactionAmountExceeded"));
            } else if declined {
                let (id, reason) = (id_of(&shown, "refundId"), "ProcessingFailure".to_owned());
                till.book.decline(&PaySettlement { id, reason }, till.now).unwrap();
            } else {
                given += part;
            }
        }
        let seen = till.act("get", &charge).json["refundedAmount"]["amount"].as_str().unwrap_or("0").to_owned();
        prop_assert_eq!(seen, given.to_string());
    }

    /// Of authorizations, captures and cancels in any order, a permission never has more under way than its limit.
    #[test]
    fn no_more_is_held_and_taken_than_was_consented(
        limit in 1_i64..5_000, acts in proptest::collection::vec((0_u8..4, 1_i64..3_000), 1..20),
    ) {
        let mut till = Till::new();
        let permission = till.consent(&limit.to_string(), false, "1111");
        let mut held: Vec<String> = Vec::new();
        for (act, amount) in acts {
            let last = held.last().cloned().unwrap_or_default();
            match act {
                0 | 1 => {
                    let shown = till.charge(&permission, &amount.to_string(), act == 1, false);
                    held.extend(shown.json["chargeId"].as_str().map(str::to_owned));
                }
                2 => drop(till.act("cancel", &last)),
                _ => drop(till.act("capture", &last)),
            }
            let sum = |what: fn(&ShownCharge) -> &str, of: &[&str]| -> i64 {
                let charges = till.book.shown_charges(till.now);
                charges.iter().filter(|one| of.contains(&one.state.as_str())).map(|one| what(one).parse::<i64>().unwrap()).sum()
            };
            let under_way = sum(|one| &one.amount, &["Authorized"]) + sum(|one| &one.captured, &["Captured"]);
            prop_assert!(under_way <= limit, "{} of {}", under_way, limit);
            let balance = till.permission(&permission).json["limits"]["amountBalance"]["amount"].as_str().unwrap().to_owned();
            prop_assert_eq!(balance, (limit - under_way).to_string());
        }
    }
}
