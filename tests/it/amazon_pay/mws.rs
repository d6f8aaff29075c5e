//! The client of MWS against the sandbox, over real sockets: each operation of the two guides, each simulation string, each limit, and
//! every fault, after which the same key has the one charge.

use std::time::Duration;

use noshi::{
    ambient::Ambient,
    kernel::Money,
    provider::pay::{
        AmazonChargeId, AmazonPermissionId, ChargeState, DeclineKind, PayDoubt, PayEndpoint, PayOutcome, PayReason,
        PayRegion, PayTimeouts, PermissionState, RefundState, SimulationCode,
        mws::{
            MwsAgreementDetails, MwsAuthorize, MwsCall, MwsClient, MwsHealth, MwsKey, MwsNewOrder, MwsOrderDetails,
            MwsSeen, MwsSettings, MwsState,
        },
    },
    sandbox::{
        Control, Fault, FaultRule, MwsBuyerAct, NewMwsAgreement, NewMwsOrder, NewMwsSeller, PartnerAccount, Sandbox,
        SandboxOptions,
    },
};

use super::{asked, pay_key, seen, yen};

const SELLER: &str = "A1SELLER";

struct Seller {
    sandbox: Sandbox,
    control: Control,
    client: MwsClient,
}

fn client(sandbox: &Sandbox, secret: &str, timeouts: PayTimeouts) -> MwsClient {
    let endpoint = PayEndpoint::loopback(PayRegion::Jp, sandbox.gateway_addr()).unwrap();
    let key = MwsKey::new(SELLER, "AKIDMWS", &secret.to_owned().into()).unwrap();
    let clock = Ambient::system();
    MwsClient::new(MwsSettings { endpoint, key, timeouts, https_proxy: None }, move || clock.now()).unwrap()
}

impl Seller {
    async fn open() -> Self {
        Self::with(false, PayTimeouts::default()).await
    }

    async fn with(throttle: bool, timeouts: PayTimeouts) -> Self {
        let keys = vec![noshi::sandbox::AccessKey::active("AKID", "SECRET")];
        let account = PartnerAccount { partner_id: "Awssb".to_owned(), keys, ..PartnerAccount::default() };
        let options = SandboxOptions { throttle, ..SandboxOptions::on_any_port(vec![account]) };
        let sandbox = Sandbox::start(options).await.unwrap();
        let control = sandbox.control();
        let [seller_id, access_key_id, secret_access_key] = [SELLER, "AKIDMWS", "SECRET+/~"].map(str::to_owned);
        control.register_mws_seller(NewMwsSeller { seller_id, access_key_id, secret_access_key }).unwrap();
        let client = client(&sandbox, "SECRET+/~", timeouts);
        Self { sandbox, control, client }
    }

    fn order(&self, amount: Option<&str>) -> AmazonPermissionId {
        let new =
            NewMwsOrder { seller_id: SELLER.to_owned(), amount: amount.map(str::to_owned), currency: "JPY".to_owned() };
        AmazonPermissionId::parse(&self.control.mws_order(new).unwrap()).unwrap()
    }

    fn agreement(&self, limit: &str, open: bool) -> AmazonPermissionId {
        let [seller_id, limit, currency] = [SELLER, limit, "JPY"].map(str::to_owned);
        let new = NewMwsAgreement { seller_id, limit, open, currency };
        AmazonPermissionId::parse(&self.control.mws_agreement(new).unwrap()).unwrap()
    }

    fn act(&self, act: fn(String) -> MwsBuyerAct, id: &AmazonPermissionId) {
        self.control.act_in_mws(act(id.to_string())).unwrap();
    }

    fn simulating(&self, code: &str) -> MwsClient {
        self.client.simulating(SimulationCode::parse(code).unwrap()).unwrap()
    }

    async fn ask(&self, call: MwsCall) -> MwsSeen {
        seen(self.client.ask(&call).await)
    }

    async fn refused(&self, call: MwsCall) -> String {
        let outcome = self.client.ask(&call).await.outcome;
        assert!(!matches!(outcome, PayOutcome::Seen(_) | PayOutcome::Unknown(_)), "{outcome:?}");
        outcome.reason().to_owned()
    }
}

fn details(order: &AmazonPermissionId, total: Option<Money>) -> MwsOrderDetails {
    MwsOrderDetails {
        order: order.clone(),
        total,
        seller_note: Some("月会費 & more".to_owned()),
        seller_order_id: noshi::provider::pay::PayReference::parse("order-1"),
        store_name: None,
        custom_information: None,
    }
}

fn hold(consent: &AmazonPermissionId, key: &str, amount: i64) -> MwsAuthorize {
    MwsAuthorize {
        consent: consent.clone(),
        key: pay_key(key),
        amount: yen(amount),
        may_wait: false,
        capture_now: false,
        note: None,
        soft_descriptor: None,
        seller_order_id: None,
    }
}

/// The guide for one-time payments, step by step.
#[tokio::test]
async fn an_order_is_set_confirmed_held_captured_given_back_and_closed() {
    let seller = Seller::open().await;
    let order = seller.order(None);
    assert_eq!(seller.refused(MwsCall::ConfirmOrderReference(order.clone())).await, "ConstraintsExist");
    let MwsSeen::Order(set) = seller.ask(MwsCall::SetOrderReferenceDetails(details(&order, Some(yen(1_000))))).await
    else {
        panic!()
    };
    assert_eq!((set.status.state, set.total), (MwsState::Draft, Some(yen(1_000))));
    seller.ask(MwsCall::ConfirmOrderReference(order.clone())).await;
    let again = MwsCall::SetOrderReferenceDetails(details(&order, Some(yen(2_000))));
    assert_eq!(seller.refused(again).await, "OrderReferenceNotModifiable");
    seller.ask(MwsCall::SetOrderAttributes(details(&order, None))).await;
    let held = seen(seller.client.create_charge(&pay_key("h1"), &asked(&order, 980, false)).await);
    assert_eq!((held.state, held.reference.unwrap().as_str()), (ChargeState::Authorized, "h1"));
    let captured = seen(seller.client.capture_charge(&pay_key("c1"), &held.id, yen(900)).await);
    assert_eq!((captured.state, captured.captured), (ChargeState::Paid, Some(yen(900))));
    assert_eq!(seen(seller.client.capture_charge(&pay_key("c1"), &held.id, yen(900)).await), captured);
    let second = seller.client.capture_charge(&pay_key("c2"), &held.id, yen(80)).await;
    assert_eq!(second.outcome, PayOutcome::Conflict(PayReason::InvalidAuthorizationStatus), "one capture");
    let refund = seen(seller.client.create_refund(&pay_key("r1"), &held.id, yen(80)).await);
    assert_eq!((refund.state, refund.reference.unwrap().as_str()), (RefundState::Pending, "r1"));
    seller.control.advance_clock(30).unwrap();
    assert_eq!(seen(seller.client.get_refund(&refund.id).await).state, RefundState::Done);
    assert_eq!(seen(seller.client.get_charge(&held.id).await).refunded, Some(yen(80)));
    let canceled = seller.refused(MwsCall::CancelOrderReference(order.clone(), "x".to_owned())).await;
    assert_eq!(canceled, "InvalidCancelAttempt", "something was taken");
    let closed = seen(seller.client.close_charge_permission(&order, "sent", false).await);
    assert_eq!(closed.state, PermissionState::Ended(vec![PayReason::SellerClosed]));
    assert_eq!(seller.ask(MwsCall::GetServiceStatus).await, MwsSeen::Health(MwsHealth::Green));
    let other = seller.order(Some("500"));
    let held = seen(seller.client.create_charge(&pay_key("h2"), &asked(&other, 500, false)).await);
    let void = seen(seller.client.cancel_charge(&held.id, "out of stock").await);
    assert_eq!(void.state, ChargeState::Voided(PayReason::SellerClosed));
    let held = seen(seller.client.create_charge(&pay_key("h3"), &asked(&other, 500, false)).await);
    let ended = seen(seller.client.close_charge_permission(&other, "x", true).await);
    assert_eq!(ended.state, PermissionState::Ended(vec![PayReason::SellerCanceled]));
    let void = seen(seller.client.get_charge(&held.id).await).state;
    assert_eq!(void, ChargeState::Voided(PayReason::OrderReferenceCanceled));
    seller.sandbox.stop().await;
}

/// The guide for recurring payments, step by step.
#[tokio::test]
async fn an_agreement_is_set_agreed_confirmed_validated_charged_and_closed() {
    let seller = Seller::open().await;
    let agreement = seller.agreement("50000", false);
    let id = || agreement.clone();
    let terms = MwsAgreementDetails {
        agreement: id(),
        seller_note: Some("note".to_owned()),
        seller_agreement_id: noshi::provider::pay::PayReference::parse("member-1"),
        store_name: None,
        custom_information: None,
    };
    seller.ask(MwsCall::SetBillingAgreementDetails(terms.clone())).await;
    let reason = seller.refused(MwsCall::ConfirmBillingAgreement(id())).await;
    assert_eq!(reason, "BillingAgreementConstraintsExist");
    let draft = seen(seller.client.get_charge_permission(&agreement).await);
    assert_eq!(draft.state, PermissionState::Blocked(vec![PayReason::BuyerConsentNotSet]));
    seller.act(|id| MwsBuyerAct::Agree { id }, &agreement);
    assert_eq!(seller.ask(MwsCall::ConfirmBillingAgreement(id())).await, MwsSeen::Done);
    assert_eq!(seller.refused(MwsCall::SetBillingAgreementDetails(terms)).await, "BillingAgreementNotModifiable");
    let MwsSeen::Validation(valid) = seller.ask(MwsCall::ValidateBillingAgreement(id())).await else { panic!() };
    assert!(valid.valid);
    let charge = seen(seller.client.create_charge(&pay_key("m1"), &asked(&agreement, 980, true)).await);
    assert_eq!((charge.state, charge.captured), (ChargeState::Paid, Some(yen(980))));
    assert!(!charge.id.as_str().starts_with(agreement.as_str()), "the order that it made has an id of its own");
    let open = seen(seller.client.get_charge_permission(&agreement).await);
    assert_eq!((open.state, open.limit, open.balance), (PermissionState::Usable, Some(yen(50_000)), Some(yen(49_020))));
    let over = seller.client.create_charge(&pay_key("m2"), &asked(&agreement, 49_021, true)).await.outcome;
    assert!(matches!(over, PayOutcome::Declined(decline) if decline.kind == DeclineKind::Cap), "{over:?}");
    let new = MwsNewOrder { agreement: id(), total: Some(yen(500)), inherit_shipping_address: false };
    let MwsSeen::Order(order) = seller.ask(MwsCall::CreateOrderReferenceForId(new)).await else { panic!() };
    assert_eq!((order.status.state, order.parent), (MwsState::Open, Some(id())));
    seller.act(|id| MwsBuyerAct::Suspend { id }, &agreement);
    let state = seen(seller.client.get_charge_permission(&agreement).await).state;
    assert_eq!(state, PermissionState::Blocked(vec![PayReason::InvalidPaymentMethod]));
    let suspended = seller.client.create_charge(&pay_key("m3"), &asked(&agreement, 1, true)).await.outcome;
    assert_eq!(suspended, PayOutcome::Conflict(PayReason::InvalidBillingAgreementStatus));
    seller.act(|id| MwsBuyerAct::Mend { id }, &agreement);
    let closed = seen(seller.client.close_charge_permission(&agreement, "解約", false).await);
    assert_eq!(closed.state, PermissionState::Ended(vec![PayReason::SellerClosed]));
    let refund = seen(seller.client.create_refund(&pay_key("r1"), &charge.id, yen(80)).await);
    assert_eq!(refund.state, RefundState::Pending, "what was taken can be given back");
    seller.sandbox.stop().await;
}

/// Section 6 of the guide, each string that Amazon's sandbox knows.
#[tokio::test]
async fn every_simulation_string_of_the_guide() {
    let seller = Seller::open().await;
    for (code, kind, reason, left) in [
        ("SoftDeclined", DeclineKind::Soft, PayReason::InvalidPaymentMethod, "Open"),
        ("HardDeclined", DeclineKind::Method, PayReason::InvalidPaymentMethod, "Suspended"),
        ("InvalidPaymentMethod", DeclineKind::Method, PayReason::InvalidPaymentMethod, "Suspended"),
        ("AmazonRejected", DeclineKind::Final, PayReason::AmazonRejected, "Open"),
        ("TransactionTimedOut", DeclineKind::Timeout, PayReason::TransactionTimedOut, "Open"),
    ] {
        let agreement = seller.agreement("50000", true);
        let charge = seen(seller.simulating(code).create_charge(&pay_key(code), &asked(&agreement, 980, true)).await);
        let ChargeState::Declined(decline) = charge.state else { panic!("{code}: {charge:?}") };
        assert_eq!((decline.kind, decline.reason), (kind, reason), "{code}");
        // A decline uses its reference id up: the same again is the same decline.
        let again = seller.simulating(code).create_charge(&pay_key(code), &asked(&agreement, 980, true)).await;
        assert_eq!(seen(again).id, charge.id);
        let stands =
            || seller.control.mws_consents().into_iter().find(|one| one.id == agreement.as_str()).unwrap().state;
        assert_eq!(stands(), left, "{code}");
        if code == "InvalidPaymentMethod" {
            seller.control.advance_clock(5 * 60).unwrap();
            assert_eq!(stands(), "Open", "as if the buyer had mended it");
        }
    }
    let order = seller.order(Some("10000"));
    let held = seller.simulating("ExpiredUnused").create_charge(&pay_key("e1"), &asked(&order, 500, false)).await;
    let held = seen(held);
    assert_eq!(held.state, ChargeState::Authorized);
    seller.control.advance_clock(60).unwrap();
    let ended = seen(seller.client.get_charge(&held.id).await).state;
    assert_eq!(ended, ChargeState::Voided(PayReason::ExpiredUnused));
    for (code, state) in [("CaptureInitiated", ChargeState::Capturing), ("AmazonClosed", ChargeState::Paid)] {
        let held = seen(seller.client.create_charge(&pay_key(&format!("h{code}")), &asked(&order, 500, false)).await);
        let taken = seller.simulating(code).capture_charge(&pay_key(&format!("c{code}")), &held.id, yen(500)).await;
        assert_eq!(seen(taken).state, state, "{code}");
    }
    let held = seen(seller.client.create_charge(&pay_key("h9"), &asked(&order, 500, false)).await);
    let declined = seen(seller.simulating("AmazonRejected").capture_charge(&pay_key("c9"), &held.id, yen(500)).await);
    assert!(matches!(declined.state, ChargeState::Declined(decline) if decline.kind == DeclineKind::Final));
    let paid = seen(seller.client.create_charge(&pay_key("p1"), &asked(&order, 500, true)).await);
    let refund = seen(seller.simulating("AmazonRejected").create_refund(&pay_key("r1"), &paid.id, yen(100)).await);
    seller.control.advance_clock(30).unwrap();
    let refund = seen(seller.client.get_refund(&refund.id).await);
    assert!(matches!(refund.state, RefundState::Declined(decline) if decline.kind == DeclineKind::Final));
    let ended = seen(seller.simulating("AmazonClosed").close_charge_permission(&order, "x", false).await);
    assert_eq!(ended.state, PermissionState::Ended(vec![PayReason::AmazonClosed]));
    seller.sandbox.stop().await;
}

/// The strings of a validation stand in the agreement's own note, and what the sandbox cannot play is refused.
#[tokio::test]
async fn every_simulation_string_of_a_validation() {
    let seller = Seller::open().await;
    let note = |reason: &str| {
        Some(format!("{{\"SandboxSimulation\":{{\"Operation\":\"ValidateBillingAgreement\",{reason}}}}}"))
    };
    for (inside, reason) in [
        (
            "\"ReasonCode\":\"InvalidPaymentMethod\",\"PaymentMethodUpdateTimeInMins\":5",
            PayReason::InvalidPaymentMethod,
        ),
        ("\"ReasonCode\":\"ValidationTimedOut\",\"State\":\"Declined\"", PayReason::ValidationTimedOut),
    ] {
        let agreement = seller.agreement("50000", false);
        let terms = MwsAgreementDetails {
            agreement: agreement.clone(),
            seller_note: note(inside),
            seller_agreement_id: None,
            store_name: None,
            custom_information: None,
        };
        seller.ask(MwsCall::SetBillingAgreementDetails(terms)).await;
        seller.act(|id| MwsBuyerAct::Agree { id }, &agreement);
        seller.ask(MwsCall::ConfirmBillingAgreement(agreement.clone())).await;
        let MwsSeen::Validation(seen) = seller.ask(MwsCall::ValidateBillingAgreement(agreement)).await else {
            panic!()
        };
        assert_eq!((seen.valid, seen.reason), (false, Some(reason)));
    }
    let odd = MwsAuthorize {
        note: Some("{\"SandboxSimulation\":{\"State\":\"Declined\",\"ReasonCode\":\"ProcessingFailure\"}}".to_owned()),
        ..hold(&seller.order(Some("1")), "odd", 1)
    };
    assert_eq!(seller.refused(MwsCall::Authorize(odd)).await, "InvalidSandboxSimulationSpecified");
    seller.sandbox.stop().await;
}

/// Section 1.6 of the guide.
#[tokio::test]
async fn every_limit_of_the_guide() {
    let seller = Seller::open().await;
    // What is held of an order: 15 % more at most, and the smaller of that and 8,400 yen.
    for (total, most) in [("10000", 11_500), ("60000", 68_400)] {
        let order = seller.order(Some(total));
        let key = |at: &str| format!("{total}{at}");
        let over = seller.refused(MwsCall::Authorize(hold(&order, &key("a"), most + 1))).await;
        assert_eq!(over, "TransactionAmountExceeded");
        let paid = seen(seller.client.create_charge(&pay_key(&key("b")), &asked(&order, most, true)).await);
        assert_eq!(paid.state, ChargeState::Paid);
        let state = seen(seller.client.get_charge_permission(&order).await).state;
        assert_eq!(state, PermissionState::Ended(vec![PayReason::MaxAmountCharged]));
    }
    let order = seller.order(Some("10000"));
    let paid = seen(seller.client.create_charge(&pay_key("p"), &asked(&order, 10_000, true)).await);
    let over = seller.client.create_refund(&pay_key("r0"), &paid.id, yen(11_501)).await.outcome;
    assert!(matches!(over, PayOutcome::Declined(decline) if decline.kind == DeclineKind::Cap), "{over:?}");
    for at in 1..=10 {
        let refund = seen(seller.client.create_refund(&pay_key(&format!("r{at}")), &paid.id, yen(1)).await);
        assert_eq!(refund.state, RefundState::Pending);
    }
    let eleventh = seller.client.create_refund(&pay_key("r11"), &paid.id, yen(1)).await.outcome;
    assert_eq!(eleventh, PayOutcome::Conflict(PayReason::CaptureNotRefundable), "ten refunds");
    assert_eq!(seen(seller.client.get_charge(&paid.id).await).state, ChargeState::Paid, "a closed capture was paid");
    // An authorization is held for two days, a draft lasts three hours, and an open order 180 days.
    let held = seen(seller.client.create_charge(&pay_key("h"), &asked(&seller.order(Some("5")), 5, false)).await);
    let (draft, agreement, open) = (seller.order(None), seller.agreement("5", false), seller.order(Some("5")));
    let mut after = 0;
    let mut pass = |seconds: i64| {
        seller.control.advance_clock(seconds - after).unwrap();
        after = seconds;
    };
    pass(3 * 3_600 + 1);
    for draft in [&draft, &agreement] {
        let state = seen(seller.client.get_charge_permission(draft).await).state;
        assert_eq!(state, PermissionState::Ended(vec![PayReason::Stale]));
    }
    assert_eq!(seen(seller.client.get_charge(&held.id).await).state, ChargeState::Authorized);
    pass(2 * 86_400 + 1);
    assert_eq!(seen(seller.client.get_charge(&held.id).await).state, ChargeState::Voided(PayReason::ExpiredUnused));
    assert_eq!(seen(seller.client.get_charge_permission(&open).await).state, PermissionState::Usable);
    pass(180 * 86_400 + 1);
    let state = seen(seller.client.get_charge_permission(&open).await).state;
    assert_eq!(state, PermissionState::Ended(vec![PayReason::Expired]));
    seller.sandbox.stop().await;
}

/// Where nobody waits, Amazon decides after 30 seconds.
#[tokio::test]
async fn what_may_wait_is_pending_and_then_decided() {
    let seller = Seller::open().await;
    let agreement = seller.agreement("50000", true);
    for (code, paid) in [(None, true), (Some("HardDeclined"), false)] {
        let client = code.map_or(seller.client.clone(), |code| seller.simulating(code));
        let asked = noshi::provider::pay::ChargeAsked { may_wait: true, ..asked(&agreement, 980, true) };
        let key = pay_key(code.unwrap_or("good"));
        let charge = seen(client.create_charge(&key, &asked).await);
        assert_eq!(charge.state, ChargeState::Pending);
        assert_eq!(seen(client.create_charge(&key, &asked).await).id, charge.id);
        seller.control.advance_clock(30).unwrap();
        let state = seen(seller.client.get_charge(&charge.id).await).state;
        assert!(if paid { state == ChargeState::Paid } else { matches!(state, ChargeState::Declined(_)) }, "{state:?}");
    }
    seller.sandbox.stop().await;
}

#[tokio::test]
async fn a_reference_id_names_one_request_for_ever() {
    let seller = Seller::open().await;
    let (order, other) = (seller.order(Some("10000")), seller.order(Some("10000")));
    let made = seen(seller.client.create_charge(&pay_key("k"), &asked(&order, 500, true)).await);
    assert_eq!(seen(seller.client.create_charge(&pay_key("k"), &asked(&order, 500, true)).await), made);
    for other in [asked(&order, 501, true), asked(&other, 500, true)] {
        assert_eq!(seller.client.create_charge(&pay_key("k"), &other).await.outcome, PayOutcome::KeyConflict);
    }
    assert_eq!(seller.control.mws_captures().len(), 1);
    seller.sandbox.stop().await;
}

/// What cannot be meant is not sent, and what Amazon turns away is counted.
#[tokio::test]
async fn keys_rates_and_what_is_not_sent() {
    let seller = Seller::with(true, PayTimeouts::default()).await;
    let order = seller.order(Some("10000"));
    let wrong = client(&seller.sandbox, "ANOTHER", PayTimeouts::default());
    let outcome = wrong.create_charge(&pay_key("k"), &asked(&order, 1, true)).await.outcome;
    assert_eq!((outcome, wrong.rejections()), (PayOutcome::TurnedAway(PayReason::SignatureDoesNotMatch), 1));
    let live = AmazonPermissionId::parse("P03-1234567-1234567").unwrap();
    let before = seller.control.requests().len();
    let unsent = seller.client.create_charge(&pay_key("k"), &asked(&live, 1, true)).await.outcome;
    assert!(matches!(unsent, PayOutcome::NotSent(_)), "an id of the other environment: {unsent:?}");
    let unsent = seller.simulating("MadeUp").create_charge(&pay_key("k"), &asked(&order, 1, true)).await.outcome;
    assert!(matches!(unsent, PayOutcome::NotSent(_)), "{unsent:?}");
    assert_eq!(seller.control.requests().len(), before);
    let unknown = AmazonChargeId::parse("S03-0000001-0000002-A000003").unwrap();
    assert_eq!(seller.client.get_charge(&unknown).await.outcome, PayOutcome::Missing);
    let mut throttled = 0;
    for at in 0..4 {
        let outcome = seller.client.ask(&MwsCall::Authorize(hold(&order, &format!("k{at}"), 1))).await.outcome;
        throttled += usize::from(outcome == PayOutcome::Unknown(PayDoubt::Throttled));
    }
    assert!(throttled >= 1, "two at once, and one in two seconds");
    seller.sandbox.stop().await;
}

/// Whatever becomes of an answer, the same key has the one charge.
#[tokio::test]
async fn every_fault_leaves_one_charge() {
    let (connect, brief) = (Duration::from_secs(2), Duration::from_secs(3));
    let seller = Seller::with(false, PayTimeouts { connect, money: brief, other: brief }).await;
    let word = |status, code: &str, after_work| Fault::ReasonCode { status, reason_code: code.to_owned(), after_work };
    for (at, (fault, doubt)) in [
        (Fault::DropBeforeWork, PayDoubt::ConnectionLost),
        (Fault::DropAfterWork, PayDoubt::ConnectionLost),
        (Fault::ResetInBody, PayDoubt::ConnectionLost),
        (Fault::TruncatedBody, PayDoubt::ConnectionLost),
        (Fault::Hang, PayDoubt::Timeout),
        (Fault::HangInBody, PayDoubt::Timeout),
        (Fault::Garbage, PayDoubt::NotXml),
        (Fault::EmptyBody, PayDoubt::NotXml),
        (Fault::OversizedBody, PayDoubt::TooLarge),
        (Fault::HtmlError { status: 502, after_work: true }, PayDoubt::ServerError),
        (Fault::Redirect { location: "http://127.0.0.1:1/".to_owned() }, PayDoubt::Redirect),
        (Fault::WrongAmount, PayDoubt::Mismatch),
        (Fault::WrongCurrency, PayDoubt::Mismatch),
        (Fault::WrongRequestId, PayDoubt::Mismatch),
        (word(500, "InternalServerError", true), PayDoubt::ServerError),
        (word(503, "ServiceUnavailable", false), PayDoubt::ServerError),
        (Fault::Throttle, PayDoubt::Throttled),
    ]
    .into_iter()
    .enumerate()
    {
        let order = seller.order(Some("10000"));
        let key = pay_key(&format!("f{at}"));
        let name = format!("{fault:?}");
        let operation = noshi::sandbox::Operation::named("Authorize");
        seller.control.script(FaultRule { operation, ..FaultRule::once(fault) }).unwrap();
        let outcome = seller.client.create_charge(&key, &asked(&order, 500, true)).await.outcome;
        assert_eq!(outcome, PayOutcome::Unknown(doubt), "{name}");
        let charge = seen(seller.client.create_charge(&key, &asked(&order, 500, true)).await);
        assert_eq!(charge.state, ChargeState::Paid, "{name}");
        let taken = seller.control.mws_captures().into_iter().filter(|one| one.consent_id == order.as_str());
        assert_eq!(taken.map(|one| one.amount).collect::<Vec<_>>(), ["500"], "{name}");
    }
    // A capture that cannot be read leaves the charge undecided, and the next look decides.
    let order = seller.order(Some("10000"));
    let operation = noshi::sandbox::Operation::named("GetCaptureDetails");
    seller.control.script(FaultRule { operation, ..FaultRule::once(Fault::DropBeforeWork) }).unwrap();
    let charge = seen(seller.client.create_charge(&pay_key("late"), &asked(&order, 500, true)).await);
    assert_eq!(charge.state, ChargeState::Capturing);
    assert_eq!(seen(seller.client.get_charge(&charge.id).await).state, ChargeState::Paid);
    seller.sandbox.stop().await;
}

/// What was taken is never said to be refused, or not sent, for a look that came to nothing.
#[tokio::test]
async fn a_look_that_fails_after_a_capture_leaves_it_in_doubt() {
    let seller = Seller::open().await;
    let word = |status, code: &str| Fault::ReasonCode { status, reason_code: code.to_owned(), after_work: false };
    for (at, fault) in
        [word(400, "InvalidParameterValue"), word(403, "AccessDenied"), Fault::Throttle, Fault::DropBeforeWork]
            .into_iter()
            .enumerate()
    {
        let order = seller.order(Some("10000"));
        let held = seen(seller.client.create_charge(&pay_key(&format!("h{at}")), &asked(&order, 980, false)).await);
        let (operation, name) = (noshi::sandbox::Operation::named("GetAuthorizationDetails"), format!("{fault:?}"));
        seller.control.script(FaultRule { operation, ..FaultRule::once(fault) }).unwrap();
        let key = pay_key(&format!("c{at}"));
        let first = seller.client.capture_charge(&key, &held.id, yen(980)).await.outcome;
        assert!(matches!(&first, PayOutcome::Unknown(doubt) if *doubt != PayDoubt::Throttled), "{name}: {first:?}");
        let again = seen(seller.client.capture_charge(&key, &held.id, yen(980)).await);
        assert_eq!((again.state, again.captured), (ChargeState::Paid, Some(yen(980))), "{name}");
    }
    seller.sandbox.stop().await;
}
