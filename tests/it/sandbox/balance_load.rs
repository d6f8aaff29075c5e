//! Loads of the balances of Amazon accounts: which accounts exist, how they are validated, loaded and voided, and what is refused by
//! which word.

use noshi::sandbox::{Fault, FaultRule, Product, Shopper};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    bench::{Bench, PARTNER},
    signer::Seen,
};

const VALIDATE: &str = "ValidateAccountForAmazonBalanceLoad";
const LOAD: &str = "LoadAmazonBalance";
const VOID: &str = "VoidAmazonBalanceLoad";

fn shopper(bench: &Bench) -> Shopper {
    bench.control.shoppers().remove(0)
}

fn barcode(bench: &Bench) -> Value {
    json!({"id": shopper(bench).barcode, "type": 1})
}

fn body(id: &str, account: &Value, minor: i64) -> Value {
    let amount = json!({"currencyCode": "USD", "value": minor});
    json!({"loadBalanceRequestId": id, "partnerId": PARTNER, "account": account, "amount": amount})
}

async fn call(bench: &Bench, operation: &str, id: &str, account: &Value, minor: i64) -> Seen {
    bench.post(operation, &body(id, account, minor).to_string()).await
}

async fn validate(bench: &Bench, account: &Value, minor: i64) -> Seen {
    let mut body = body("", account, minor);
    body.as_object_mut().unwrap().remove("loadBalanceRequestId");
    bench.post(VALIDATE, &body.to_string()).await
}

#[tokio::test]
async fn an_account_is_validated_loaded_and_the_load_voided_and_the_funds_follow() {
    let bench = Bench::start().await;
    let account = barcode(&bench);
    let valid = validate(&bench, &account, 2_500).await;
    assert_eq!((valid.status, bench.left()), (Some(200), Decimal::from(10_000)), "{valid:?}");

    let (id, kind) = (account["id"].as_str().unwrap(), 1);
    let shown = |status: &str| {
        format!(
            "{{\"account\":{{\"id\":\"{id}\",\"type\":{kind}}},\"amount\":{{\"currencyCode\":\"USD\",\"value\":2500}},\
             \"loadBalanceRequestId\":\"AwssbA\",\"loadStatus\":\"{status}\",\"status\":\"SUCCESS\"}}\n"
        )
    };
    for real_op in [true, false] {
        let seen = call(&bench, LOAD, "AwssbA", &account, 2_500).await;
        assert_eq!((seen.status, seen.text()), (Some(200), shown("Loaded").as_str()));
        assert_eq!((bench.last().real_op, bench.left()), (real_op, Decimal::from(9_975)));
    }
    let card = bench.card("AwssbA").unwrap();
    assert_eq!((card.product, card.amount, card.gc_id.as_str()), (Product::BalanceLoad, Decimal::from(25), id));

    for real_op in [true, false] {
        let seen = call(&bench, VOID, "AwssbA", &account, 2_500).await;
        assert_eq!((seen.status, seen.text()), (Some(200), shown("Voided").as_str()));
        assert_eq!((bench.last().real_op, bench.left()), (real_op, Decimal::from(10_000)));
    }
    let again = call(&bench, LOAD, "AwssbA", &account, 2_500).await;
    assert_eq!(
        (again.text(), bench.left()),
        (shown("Voided").as_str(), Decimal::from(10_000)),
        "nothing is loaded twice"
    );
    assert_eq!(bench.last().creation_request_id.as_deref(), Some("AwssbA"));
    assert!(bench.control.activity().is_empty(), "no report is known to list loads");
}

#[tokio::test]
async fn an_account_is_named_by_its_barcode_its_phone_or_its_id() {
    let bench = Bench::start().await;
    let Shopper { user_id, barcode, phone, .. } = shopper(&bench);
    let accounts =
        [json!({"id": barcode, "type": 1}), json!({"id": phone, "type": 2}), json!({"id": user_id, "type": 3})];
    for (at, account) in accounts.iter().enumerate() {
        let seen = call(&bench, LOAD, &format!("Awssb{at}"), account, 100).await;
        assert_eq!((seen.status, &seen.json()["account"]), (Some(200), account));
        for kind in [1, 2, 3] {
            let mut other = account.clone();
            other["type"] = json!(kind);
            if other != *account {
                assert_eq!(call(&bench, LOAD, "AwssbX", &other, 100).await.error_type(), "AccountNotFound", "{other}");
            }
        }
    }
    assert_eq!(bench.left(), Decimal::from(9_997));
}

#[tokio::test]
async fn what_is_no_account_or_no_amount_for_it_is_refused_by_its_word() {
    let bench = Bench::start().await;
    let account = barcode(&bench);
    let gone = bench.control.shoppers().into_iter().find(|shopper| !shopper.active).unwrap();
    let gone = json!({"id": gone.barcode, "type": 1});
    for (account, minor, word) in [
        (json!({"id": "1".repeat(30), "type": 1}), 2_500, "AccountNotFound"),
        (gone.clone(), 2_500, "AccountNotActive"),
        (json!({"id": "", "type": 1}), 2_500, "InvalidAccountInput"),
        (json!({"id": account["id"]}), 2_500, "InvalidAccountInput"),
        (json!({"id": account["id"], "type": 4}), 2_500, "InvalidAccountInput"),
        (Value::Null, 2_500, "InvalidAccountInput"),
        (account.clone(), 0, "InvalidAmountValue"),
        (account.clone(), 14, "AmountBelowMinThreshold"),
        (account.clone(), 200_001, "MaxAmountExceeded"),
    ] {
        for operation in [VALIDATE, LOAD, VOID] {
            let seen = call(&bench, operation, "AwssbA", &account, minor).await;
            assert_eq!((seen.status, seen.error_type().as_str()), (Some(400), word), "{operation} {account} {minor}");
        }
    }
    let mut odd = body("AwssbA", &account, 1);
    for (value, word) in [(json!(25.5), "FractionalAmountNotAllowed"), (Value::Null, "InvalidAmountInput")] {
        odd["amount"]["value"] = value;
        assert_eq!(bench.post(LOAD, &odd.to_string()).await.error_type(), word);
    }
    assert_eq!(validate(&bench, &gone, 2_500).await.error_type(), "AccountNotActive");
    assert_eq!(call(&bench, LOAD, "", &account, 100).await.error_type(), "InvalidRequestIdInput");
    bench.control.set_funds_in(PARTNER, "USD", 1.into()).unwrap();
    assert_eq!(call(&bench, LOAD, "AwssbPoor", &account, 2_500).await.error_type(), "InsufficientFunds");
    assert_eq!((bench.left(), bench.control.book().len()), (Decimal::ONE, 0));
}

#[tokio::test]
async fn a_load_is_bought_once_under_its_id_and_voided_by_all_that_it_named() {
    let bench = Bench::start().await;
    let account = barcode(&bench);
    let other = json!({"id": bench.control.shoppers()[1].barcode, "type": 1});
    call(&bench, LOAD, "AwssbA", &account, 2_500).await;
    for (operation, id, account, minor, word) in [
        (LOAD, "AwssbA", &account, 2_600, "RequestedDenominationMismatch"),
        (LOAD, "AwssbA", &other, 2_500, "LoadBalanceRequestIdAlreadyBeenUsed"),
        (VOID, "AwssbA", &account, 2_600, "RequestedDenominationMismatch"),
        (VOID, "AwssbA", &other, 2_500, "WrongLoadBalanceRequestId"),
        (VOID, "AwssbB", &account, 2_500, "NonExistingLoadBalanceRequestId"),
    ] {
        assert_eq!(call(&bench, operation, id, account, minor).await.error_type(), word, "{operation} {id} {minor}");
    }
    assert_eq!(bench.cancel("AwssbA").await.error_type(), "OperationNotPermitted", "a gift code's cancel is for codes");
    assert_eq!(bench.create("AwssbA", "25").await.error_type(), "OperationNotPermitted");
    bench.control.advance_clock(901).unwrap();
    let late = call(&bench, VOID, "AwssbA", &account, 2_500).await;
    assert_eq!((late.error_type().as_str(), bench.left()), ("CancelRequestArrivedAfterTimeLimit", 9_975.into()));
}

#[tokio::test]
async fn each_mock_id_answers_as_the_request_id_and_as_the_accounts() {
    let bench = Bench::start().await;
    let account = barcode(&bench);
    for (id, code, word) in [
        ("F1000", "F100", "GeneralError"),
        ("F2003", "F200", "InvalidAmountInput"),
        ("F3003", "F300", "InsufficientFunds"),
        ("F4000", "F400", "SystemTemporarilyUnavailable"),
        ("F5000", "F500", "GeneralError"),
    ] {
        let mock = json!({"id": id, "type": 3});
        for seen in [
            call(&bench, LOAD, id, &account, 2_500).await,
            call(&bench, VOID, id, &account, 2_500).await,
            call(&bench, LOAD, "AwssbA", &mock, 2_500).await,
            call(&bench, VOID, "AwssbA", &mock, 2_500).await,
            validate(&bench, &mock, 2_500).await,
        ] {
            let json = seen.json();
            assert_eq!((&json["errorCode"], &json["errorType"]), (&json!(code), &json!(word)), "{id}");
        }
    }
    let mock = json!({"id": "F0000", "type": 3});
    assert_eq!(call(&bench, LOAD, "F0000", &account, 2_500).await.json()["loadStatus"], "Loaded");
    assert_eq!(call(&bench, VOID, "AwssbA", &mock, 2_500).await.json()["loadStatus"], "Voided");
    assert_eq!(validate(&bench, &mock, 2_500).await.status, Some(200));
    assert_eq!((bench.left(), bench.control.book().len()), (Decimal::from(10_000), 0));
}

#[tokio::test]
async fn a_fault_falsifies_what_it_names_of_a_load() {
    let bench = Bench::start().await;
    let account = barcode(&bench);
    let changed = format!("{}1", account["id"].as_str().unwrap().get(..29).unwrap());
    for (fault, pointer, shown) in [
        (Fault::WrongAmount, "/amount/value", json!(2_501)),
        (Fault::WrongCurrency, "/amount/currencyCode", json!("EUR")),
        (Fault::WrongRequestId, "/loadBalanceRequestId", json!("Awssb0")),
        (Fault::WrongCard, "/account/id", json!(changed)),
        (Fault::DeadCard, "/loadStatus", json!("Voided")),
        (Fault::OddCardStatus { status: "Lost".to_owned() }, "/loadStatus", json!("Lost")),
    ] {
        let rule = FaultRule { creation_request_id: Some("AwssbA".to_owned()), ..FaultRule::once(fault.clone()) };
        bench.control.script(rule).unwrap();
        let seen = call(&bench, LOAD, "AwssbA", &account, 2_500).await.json();
        assert_eq!(seen.pointer(pointer), Some(&shown), "{fault:?}: {seen}");
    }
}

#[tokio::test]
async fn loads_outlive_a_restart_and_each_partner_has_its_own() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("book.jsonl");
    let bench = Bench::with_file(&path).await;
    let account = barcode(&bench);
    call(&bench, LOAD, "AwssbA", &account, 2_500).await;
    bench.sandbox.stop().await;
    let bench = Bench::with_file(&path).await;
    assert_eq!(call(&bench, LOAD, "AwssbA", &account, 2_500).await.json()["loadStatus"], "Loaded");
    assert_eq!(bench.left(), Decimal::from(9_975));
    let mut theirs = body("OtherA", &account, 300);
    theirs["partnerId"] = json!("Other");
    let mut signed = bench.call(LOAD, &theirs.to_string());
    signed.key_id = "AKIDOTHER".to_owned();
    assert_eq!(bench.send(&signed).await.status, Some(200));
    assert_eq!((bench.left(), bench.control.funds_in("Other", "USD").unwrap()), (9_975.into(), 9_997.into()));
}

#[tokio::test]
async fn accounts_are_planted_on_the_control_port_and_what_is_no_account_is_refused() {
    let bench = Bench::start().await;
    let (_, before) = bench.ctl("GET", "/shoppers", "").await;
    assert_eq!(before, serde_json::to_value(bench.control.shoppers()).unwrap());
    let planted = json!([{"user_id": "amzn1.account.PLANTED", "phone": "+819012345678"}]);
    assert_eq!(bench.ctl("POST", "/shoppers", &planted.to_string()).await.0, 200);
    let seen = call(&bench, LOAD, "AwssbA", &json!({"id": "+819012345678", "type": 2}), 100).await;
    assert_eq!(seen.status, Some(200), "{seen:?}");
    for bad in [
        r#"[{"user_id":"PLANTED"}]"#,
        r#"[{"user_id":"amzn1.account.PLANTED"}]"#,
        r#"[{"user_id":"amzn1.account.B","phone":"+819012345678"}]"#,
        r#"[{"user_id":"amzn1.account.B","phone":"0901"}]"#,
        r#"[{"user_id":"amzn1.account.B","barcode":"123"}]"#,
        r#"[{"user_id":"amzn1.account.B","card":"123"}]"#,
        r#"[{"user_id":"amzn1.account.B"},{"user_id":"amzn1.account.B"}]"#,
    ] {
        assert_eq!(bench.ctl("POST", "/shoppers", bad).await.0, 400, "{bad}");
    }
    assert_eq!(bench.control.shoppers().len(), before.as_array().unwrap().len() + 1);
}

#[tokio::test]
async fn loads_are_spoken_in_xml_as_in_json() {
    let bench = Bench::start().await;
    let id = shopper(&bench).barcode.unwrap();
    let members = format!(
        "<loadBalanceRequestId>AwssbA</loadBalanceRequestId><partnerId>{PARTNER}</partnerId><account><id>{id}</id>\
         <type>1</type></account><amount><currencyCode>USD</currencyCode><value>2500</value></amount>"
    );
    for (operation, status) in [(LOAD, "Loaded"), (VOID, "Voided")] {
        let mut call = bench.call(operation, &format!("<{operation}Request>{members}</{operation}Request>"));
        call.headers.retain(|(name, ..)| name == "x-amz-target");
        let seen = bench.send(&call).await;
        let shown = format!("<loadStatus>{status}</loadStatus>");
        assert!(seen.status == Some(200) && seen.text().contains(&shown), "{seen:?}");
        assert!(seen.text().starts_with(&format!("<{operation}Response>\n")), "{seen:?}");
    }
}
