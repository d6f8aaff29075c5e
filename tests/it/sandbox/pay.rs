//! Amazon Pay on the control port, and on the wire as somebody who is no client of ours sends it.

use std::process::Command;

use noshi::sandbox::{Fault, FaultRule, ShownCharge, ShownConsent, ShownPayMerchant, ShownRefund};
use serde_json::{Value, json};

use super::bench::Bench;

const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtiV40AMuJdNO3297gqi9
IkgEFvGHlmIVMaKz5TcMOkHXSsBTZHph3+olfy81065oiV/CaDf13NhpCx9tisq3
JIj5nWhBzrnEWFgiyhM5psXHGqeiwF0E2yDL5R0layCGWLgQ7WlMoxGk61PtRsma
/7Y4VYM4yIz2pDqNIRfCKurPS4kc0V2MUctVjshwh7Io4DmWk2f5T6xzA5HSYX3F
16N6XVC6bJppTv9njFYAptNHoqNKk9apvc9JS+ecAwB+L9+GXQPJHtlyvE0JE5h1
oaHjtOia5FZCAh2v/kLDjaTtLEPJt3vnFr/2sPOyIhaUeXy9r8kPZoKbljTEGrFK
ywIDAQAB
-----END PUBLIC KEY-----
";

async fn ctl<T: serde::de::DeserializeOwned>(bench: &Bench, method: &str, path: &str, body: Value) -> T {
    let (status, shown) = bench.ctl(method, path, &body.to_string()).await;
    assert_eq!(status, 200, "{method} {path} {body}: {shown}");
    serde_json::from_value(shown).unwrap()
}

#[tokio::test]
async fn the_control_port_registers_keys_and_stands_for_the_buyer() {
    let bench = Bench::start().await;
    let key = json!({"merchant_id": "M", "public_key_id": "SANDBOX-A", "public_key": PUBLIC_KEY});
    let keys: Vec<ShownPayMerchant> = ctl(&bench, "POST", "/pay/merchants", key).await;
    assert_eq!((keys.len(), keys[0].public_key_id.as_str()), (1, "SANDBOX-A"));

    let wanted = json!({"merchant_id": "M", "limit": "5000", "recurring": true});
    let made: ShownConsent = ctl(&bench, "POST", "/pay/permissions", wanted).await;
    assert_eq!((made.state.as_str(), made.currency.as_str(), made.balance.as_str()), ("Chargeable", "JPY", "5000"));
    let id = &made.charge_permission_id;
    assert!(id.starts_with("C03-"), "{id}");
    for (act, state, reason) in [
        (json!({"act": "suspend", "charge_permission_id": id}), "NonChargeable", Some("PaymentMethodInvalid")),
        (json!({"act": "mend", "charge_permission_id": id}), "Chargeable", None),
        (json!({"act": "close", "charge_permission_id": id}), "Closed", Some("BuyerClosed")),
    ] {
        let shown: Vec<ShownConsent> = ctl(&bench, "PUT", "/pay/permissions", act).await;
        assert_eq!((shown[0].state.as_str(), shown[0].reason.as_deref()), (state, reason));
    }
    assert!(ctl::<Vec<ShownCharge>>(&bench, "GET", "/pay/charges", Value::Null).await.is_empty());
    assert!(ctl::<Vec<ShownRefund>>(&bench, "GET", "/pay/refunds", Value::Null).await.is_empty());
}

#[tokio::test]
async fn what_the_control_port_cannot_do_it_says() {
    let bench = Bench::start().await;
    for (method, path, body, said) in [
        ("POST", "/pay/merchants", json!({"merchant_id": "M", "public_key_id": "A", "public_key": "x"}), "PEM"),
        (
            "POST",
            "/pay/merchants",
            json!({"merchant_id": "M", "public_key_id": "LIVE-A", "public_key": PUBLIC_KEY}),
            "live",
        ),
        ("POST", "/pay/permissions", json!({"merchant_id": "M", "limit": "10.5"}), "limit"),
        ("POST", "/pay/permissions", json!({"merchant_id": "M", "limit": "10", "card": "1"}), "card"),
        ("POST", "/pay/permissions", json!({"merchant_id": "M", "limit": "10", "more": 1}), "more"),
        ("PUT", "/pay/permissions", json!({"act": "mend", "charge_permission_id": "C"}), "no charge permission"),
        ("PUT", "/pay/permissions", json!({"act": "sell", "charge_permission_id": "C"}), "sell"),
        ("PUT", "/pay/pending", json!({"id": "C", "reason": "AmazonRejected"}), "nothing of the id"),
    ] {
        let (status, shown) = bench.ctl(method, path, &body.to_string()).await;
        let message = shown["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(said), "{path} {body}: {status} {message}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_signed_is_answered_in_amazon_pays_words() {
    let bench = Bench::start().await;
    for (head, status, reason) in [
        ("POST /v2/charges", 401, "UnauthorizedAccess"),
        ("GET /v2/wallets/1", 404, "ResourceNotFound"),
        ("GET /live/v2/charges/C", 404, "ResourceNotFound"),
        ("PUT /v2/charges", 405, "UnsupportedOperation"),
    ] {
        let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
        let seen = bench.send_bytes(request.as_bytes()).await;
        assert_eq!((seen.status, seen.json()["reasonCode"].as_str()), (Some(status), Some(reason)), "{head}");
    }
    let received = bench.control.requests();
    assert_eq!(received.len(), 4);
    assert_eq!((received[0].operation.as_str(), received[0].signature_accepted), ("CreateCharge", false));
    assert_eq!(received[0].error_code.as_deref(), Some("UnauthorizedAccess"));
    // A fault of Amazon Pay alone strikes no other call, and leaves it as it is.
    let fault = Fault::ReasonCode { status: 422, reason_code: "SoftDeclined".to_owned(), after_work: false };
    bench.control.script(FaultRule::once(fault)).unwrap();
    assert_eq!(bench.create("AwssbPAY1", "5.00").await.status, Some(200));
}

/// The first lines of the page that a person copies: a charge by openssl and curl alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_makes_a_charge() {
    let Some((bench, out)) = copied("## Amazon Pay\n").await else { return };
    assert!(out.contains(r#""state":"Captured""#), "{out}");
    let charges = bench.control.charges();
    assert_eq!((charges.len(), charges[0].amount.as_str()), (1, "980"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_of_mws_makes_a_charge() {
    let Some((bench, out)) = copied("## Amazon Pay by MWS\n").await else { return };
    assert!(out.contains("<ReasonCode>MaxCapturesProcessed</ReasonCode>"), "{out}");
    assert!(out.contains("xmlns=\"http://mws.amazonservices.com/schema/OffAmazonPayments/2013-01-01\""), "{out}");
    let captures = bench.control.mws_captures();
    assert_eq!((captures.len(), captures[0].amount.as_str()), (1, "980"));
}

/// Runs the first lines of a section of the page, and what they print.
async fn copied(section: &str) -> Option<(Bench, String)> {
    for program in ["jq", "curl", "openssl"] {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: {program} is not here");
            return None;
        }
    }
    let page = include_str!("../../../src/sandbox/SANDBOX.md");
    let section = page.split_once(section).unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let bench = Bench::start().await;
    let script = block
        .replace("127.0.0.1:8081", &bench.sandbox.gateway_addr().to_string())
        .replace("127.0.0.1:8082", &bench.sandbox.control_addr().to_string());
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new("bash").args(["-euc", &script]).current_dir(folder.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}\n{err}");
    Some((bench, out.into_owned()))
}
