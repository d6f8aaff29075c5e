//! The parameters of each operation, as the two guides name them.

use super::*;
use crate::{
    kernel::Currency,
    provider::pay::{
        ids::{AmazonChargeId, AmazonPermissionId, AmazonRefundId, PayKey, PayReference},
        mws::call::MwsCaptureId,
    },
};

fn order() -> AmazonPermissionId {
    AmazonPermissionId::parse("S03-1234567-1234567").unwrap()
}

fn agreement() -> AmazonPermissionId {
    AmazonPermissionId::parse("C03-1234567-1234567").unwrap()
}

fn yen(minor: i64) -> Money {
    Money::from_minor(minor, Currency::Jpy)
}

fn details(total: Option<Money>) -> MwsOrderDetails {
    MwsOrderDetails {
        order: order(),
        total,
        seller_note: Some("note".to_owned()),
        seller_order_id: PayReference::parse("A-1"),
        store_name: Some("店".to_owned()),
        custom_information: None,
    }
}

fn authorize(consent: AmazonPermissionId) -> MwsAuthorize {
    MwsAuthorize {
        consent,
        key: PayKey::parse("k1").unwrap(),
        amount: yen(980),
        may_wait: false,
        capture_now: true,
        note: None,
        soft_descriptor: Some("NOSHI".to_owned()),
        seller_order_id: PayReference::parse("A-1"),
    }
}

fn shown(call: &MwsCall) -> String {
    let pairs = call.parameters().unwrap();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, to be read as one")]
fn every_operation_has_the_parameters_of_the_guides() {
    let (charge, capture) = ("S03-1234567-1234567-A123456", "S03-1234567-1234567-C123456");
    let charge = || AmazonChargeId::parse(charge).unwrap();
    let capture = || MwsCaptureId::parse(capture).unwrap();
    let refund = || AmazonRefundId::parse("S03-1234567-1234567-R123456").unwrap();
    let (key, why) = (PayKey::parse("k1").unwrap(), || "why".to_owned());
    let (of_order, of_agreement) =
        ("AmazonOrderReferenceId=S03-1234567-1234567", "AmazonBillingAgreementId=C03-1234567-1234567");
    let money = "AuthorizationReferenceId=k1 AuthorizationAmount.Amount=980 AuthorizationAmount.CurrencyCode=JPY \
                 TransactionTimeout=0 CaptureNow=true SoftDescriptor=NOSHI";
    let attributes = |prefix: &str| {
        format!(
            "{of_order} {prefix}.OrderTotal.Amount=500 {prefix}.OrderTotal.CurrencyCode=JPY \
             {prefix}.SellerOrderAttributes.SellerOrderId=A-1 {prefix}.SellerNote=note {prefix}.SellerOrderAttributes.StoreName=店"
        )
    };
    let terms = MwsAgreementDetails {
        agreement: agreement(),
        seller_note: Some("note".to_owned()),
        seller_agreement_id: PayReference::parse("M-1"),
        store_name: None,
        custom_information: Some("x".to_owned()),
    };
    let cases: Vec<(MwsCall, String)> = vec![
        (MwsCall::SetOrderReferenceDetails(details(Some(yen(500)))), attributes("OrderReferenceAttributes")),
        (MwsCall::SetOrderAttributes(details(Some(yen(500)))), attributes("OrderAttributes")),
        (MwsCall::ConfirmOrderReference(order()), of_order.to_owned()),
        (MwsCall::GetOrderReferenceDetails(order()), of_order.to_owned()),
        (MwsCall::Authorize(authorize(order())), format!("{of_order} {money}")),
        (MwsCall::GetAuthorizationDetails(charge()), format!("AmazonAuthorizationId={}", charge())),
        (
            MwsCall::Capture(MwsCapture {
                authorization: charge(),
                key: key.clone(),
                amount: yen(980),
                note: Some("n".to_owned()),
                soft_descriptor: None,
            }),
            format!(
                "AmazonAuthorizationId={} CaptureReferenceId=k1 CaptureAmount.Amount=980 CaptureAmount.CurrencyCode=JPY SellerCaptureNote=n",
                charge()
            ),
        ),
        (MwsCall::GetCaptureDetails(capture()), format!("AmazonCaptureId={}", capture())),
        (
            MwsCall::Refund(MwsRefund { capture: capture(), key, amount: yen(80), note: None, soft_descriptor: None }),
            format!(
                "AmazonCaptureId={} RefundReferenceId=k1 RefundAmount.Amount=80 RefundAmount.CurrencyCode=JPY",
                capture()
            ),
        ),
        (MwsCall::GetRefundDetails(refund()), format!("AmazonRefundId={}", refund())),
        (MwsCall::CloseAuthorization(charge(), why()), format!("AmazonAuthorizationId={} ClosureReason=why", charge())),
        (MwsCall::CancelOrderReference(order(), why()), format!("{of_order} CancelationReason=why")),
        (MwsCall::CloseOrderReference(order(), why()), format!("{of_order} ClosureReason=why")),
        (MwsCall::GetServiceStatus, String::new()),
        (MwsCall::GetBillingAgreementDetails(agreement()), of_agreement.to_owned()),
        (
            MwsCall::SetBillingAgreementDetails(terms),
            format!(
                "{of_agreement} BillingAgreementAttributes.SellerBillingAgreementAttributes.SellerBillingAgreementId=M-1 \
                 BillingAgreementAttributes.SellerNote=note \
                 BillingAgreementAttributes.SellerBillingAgreementAttributes.CustomInformation=x"
            ),
        ),
        (MwsCall::ConfirmBillingAgreement(agreement()), of_agreement.to_owned()),
        (MwsCall::ValidateBillingAgreement(agreement()), of_agreement.to_owned()),
        (
            MwsCall::AuthorizeOnBillingAgreement(authorize(agreement())),
            format!("{of_agreement} {money} SellerOrderAttributes.SellerOrderId=A-1"),
        ),
        (
            MwsCall::CreateOrderReferenceForId(MwsNewOrder {
                agreement: agreement(),
                total: Some(yen(500)),
                inherit_shipping_address: false,
            }),
            "Id=C03-1234567-1234567 IdType=BillingAgreement InheritShippingAddress=false ConfirmNow=true \
             OrderReferenceAttributes.OrderTotal.Amount=500 OrderReferenceAttributes.OrderTotal.CurrencyCode=JPY"
                .to_owned(),
        ),
        (MwsCall::CloseBillingAgreement(agreement(), why()), format!("{of_agreement} ClosureReason=why")),
    ];
    for (call, expected) in &cases {
        assert_eq!(shown(call), *expected, "{}", call.operation().as_str());
    }
    let covered: Vec<_> = cases.iter().map(|(call, _expected)| call.operation()).collect();
    assert_eq!(covered, MwsOperation::ALL);
}

#[test]
fn where_nobody_waits_amazon_has_a_day() {
    let asked = MwsAuthorize { may_wait: true, capture_now: false, soft_descriptor: None, ..authorize(order()) };
    let shown = shown(&MwsCall::Authorize(asked));
    assert!(shown.contains("TransactionTimeout=1440 CaptureNow=false"), "{shown}");
}

/// Amazon's lengths, by characters and not by bytes; amounts above nothing; what one parameter needs of another.
#[test]
fn what_amazon_could_not_take_is_not_written() {
    let authorized = |change: &dyn Fn(&mut MwsAuthorize)| {
        let mut asked = authorize(order());
        change(&mut asked);
        MwsCall::Authorize(asked).parameters().is_ok()
    };
    let text = |characters: usize| Some("会".repeat(characters));
    assert!(authorized(&|asked| asked.note = text(255)));
    assert!(!authorized(&|asked| asked.note = text(256)));
    assert!(authorized(&|asked| asked.soft_descriptor = text(16)));
    assert!(!authorized(&|asked| asked.soft_descriptor = text(17)));
    assert!(!authorized(&|asked| asked.capture_now = false), "a soft descriptor needs CaptureNow");
    for minor in [0, -1] {
        assert!(!authorized(&|asked| asked.amount = yen(minor)));
    }
    let ended = |characters| MwsCall::CloseOrderReference(order(), "a".repeat(characters)).parameters().is_ok();
    assert_eq!((ended(1024), ended(1025)), (true, false));
    let closed = |characters| {
        let id = AmazonChargeId::parse("S03-1234567-1234567-A123456").unwrap();
        MwsCall::CloseAuthorization(id, "a".repeat(characters)).parameters().is_ok()
    };
    assert_eq!((closed(255), closed(256)), (true, false));
    assert!(MwsCall::SetOrderReferenceDetails(details(None)).parameters().is_err(), "an order has a total");
    assert!(MwsCall::SetOrderAttributes(details(None)).parameters().is_ok());
    let nothing = MwsAgreementDetails {
        agreement: agreement(),
        seller_note: None,
        seller_agreement_id: None,
        store_name: None,
        custom_information: None,
    };
    assert!(MwsCall::SetBillingAgreementDetails(nothing).parameters().is_err(), "one attribute at least");
}
