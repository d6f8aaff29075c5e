//! What never reaches the wire. What does is tried against the sandbox (`tests/it/pay`).

use chrono::DateTime;

use super::*;
use crate::{
    kernel::Currency,
    provider::pay::{PayReference, PayRegion, key::tests::rsa_pem},
};

fn client(id: &str, endpoint: PayEndpoint) -> Result<PayClient, PayBuildError> {
    let key = MerchantKey::new(id, &rsa_pem().into()).unwrap();
    let settings = PaySettings { endpoint, key, timeouts: PayTimeouts::default(), https_proxy: None };
    PayClient::new(settings, || DateTime::UNIX_EPOCH)
}

#[test]
fn a_key_of_one_environment_signs_nothing_for_the_other() {
    let [live, sandbox] =
        [Environment::Production, Environment::Sandbox].map(|one| PayEndpoint::amazon(PayRegion::Jp, one));
    assert!(matches!(client("SANDBOX-A", live.clone()), Err(PayBuildError::Environment { .. })));
    let of_sandbox = client("SANDBOX-A", sandbox).unwrap();
    let other = MerchantKey::new("LIVE-A", &rsa_pem().into()).unwrap();
    let refused = of_sandbox.sign_with(other).unwrap_err();
    assert_eq!(refused.to_string(), "the public key id begins with production, and the endpoint is sandbox");
    assert!(client("NAMESNONE", live).is_ok());
}

#[test]
fn nothing_is_simulated_with_real_money() {
    let code = SimulationCode::parse("SoftDeclined").unwrap();
    for id in ["LIVE-A", "NAMESNONE"] {
        let live = client(id, PayEndpoint::amazon(PayRegion::Jp, Environment::Production)).unwrap();
        assert_eq!(live.simulating(code.clone()).err(), Some(LiveKey));
    }
    let sandbox = client("SANDBOX-A", PayEndpoint::amazon(PayRegion::Jp, Environment::Sandbox)).unwrap();
    assert!(sandbox.simulating(code).is_ok());
}

#[tokio::test]
async fn what_cannot_be_written_is_not_sent() {
    // Nobody listens there: what is tried ends as `connect`, what is not tried as `build`.
    let nobody = PayEndpoint::loopback(PayRegion::Jp, "127.0.0.1:1".parse().unwrap()).unwrap();
    let client = client("SANDBOX-A", nobody).unwrap();
    let key = PayKey::parse("k").unwrap();
    let permission = AmazonPermissionId::parse("C03-1-2").unwrap();
    let reference = PayReference::parse("r").unwrap();
    for (minor, currency, why) in [
        (980, Currency::Jpy, NotSent::Connect),
        (0, Currency::Jpy, NotSent::Build),
        (980, Currency::Usd, NotSent::Build),
    ] {
        let amount = Money::from_minor(minor, currency);
        let (permission, reference) = (permission.clone(), reference.clone());
        let asked = ChargeAsked { permission, amount, capture_now: true, may_wait: false, reference };
        let exchange = client.create_charge(&key, &asked).await;
        assert_eq!(exchange.outcome, PayOutcome::NotSent(why), "{amount}");
        assert_eq!((exchange.http_status, exchange.signed_at), (None, DateTime::UNIX_EPOCH));
    }
}

#[test]
fn a_call_that_asks_a_bank_has_twenty_seconds_and_any_other_ten() {
    for operation in PayOperation::ALL {
        let seconds = if operation.method() == Method::POST { 20 } else { 10 };
        assert_eq!(operation.timeout(PayTimeouts::default()).as_secs(), seconds, "{}", operation.as_str());
    }
}

#[test]
fn a_request_id_of_another_form_is_not_kept() {
    assert!(AmazonPayRequestId::parse("1b4e28ba-2fa1-11d2-883f-0016d3cca427").is_some());
    for text in ["", "a b", "<x>", &"a".repeat(65)] {
        assert_eq!(AmazonPayRequestId::parse(text), None, "{text:?}");
    }
}
