//! What names an Amazon account, and the token of a shopper, are nowhere: not while the account is sealed, not after a crash between the
//! seal and the wipe, not once it was wiped. The token is nowhere from the start.

use noshi::{
    incentives::target::peek,
    kernel::RewardId,
    sandbox::{Fault, FaultRule, NewToken, Operation},
};
use serde_json::{Value, json};

use super::{
    Places, Scanner,
    capture::log,
    search,
    target::{keys, leaks},
};
use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, on_each_backend, with_json},
};

const CLIENT: &str = "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef";
/// Marks that nothing else has.
const USER_ID: &str = "amzn1.account.CANARYQ7W8E9R2T3Y4U5";
const BARCODE: &str = "851973460285197346028519734602";
const PHONE: &str = "+818597346028519";
const TOKEN: &str = "Atza|IwEBCANARYx7Qm2Vw9Zk4Tn6Rb8Yd3Hf5Jg1Lp0Sa";

fn order(target: Value) -> Value {
    json!({"kind": "balance_load", "value": {"amount": "25.00", "currency_code": "USD"}, "target": target})
}

/// A shopper and a token that nobody else has.
fn plant(app: &App) {
    let shopper = json!([{"user_id": USER_ID, "barcode": BARCODE, "phone": PHONE}]);
    app.control.plant_shoppers(serde_json::from_value(shopper).unwrap()).unwrap();
    let (access_token, client_id, user_id) = (Some(TOKEN.to_owned()), CLIENT.to_owned(), USER_ID.to_owned());
    app.control.plant_token(NewToken { access_token, client_id, user_id, expires_in_seconds: 3_600 }).unwrap();
}

fn targets() -> [(&'static str, Value); 5] {
    [
        ("barcode", json!({"barcode": BARCODE})),
        ("phone", json!({"phone": PHONE})),
        ("account_id", json!({"account_id": USER_ID})),
        ("token", json!({"access_token": TOKEN})),
        ("encoded token", json!({"access_token": TOKEN.replace('|', "%7C")})),
    ]
}

async fn issue(app: &App, base: &str, key: &str, order: &Value) -> Answer {
    let request = app.http.post(format!("{base}/v1/rewards")).bearer_auth(&app.key);
    Answer::of(with_json(request.header("Idempotency-Key", key), order)).await
}

/// Each target's reward, whose answer is lost, and what its caller is answered.
async fn accepted(app: &App, base: &str) -> (Vec<String>, Places) {
    let (mut ids, mut places) = (Vec::new(), Places::new());
    for (key, target) in targets() {
        let lost = issue(app, base, key, &order(target)).await;
        lost.is_accepted();
        ids.push(lost.id().to_owned());
        places.insert(format!("the answer to {key}"), lost.text.into_bytes());
    }
    (ids, places)
}

/// What callers with a wrong target are answered.
async fn refused(app: &App, base: &str) -> Places {
    let mut places = Places::new();
    for (key, target) in [
        ("another", json!({"access_token": "Atza|CANARYx7Qm2Vw9Zk4Tn6Rb8Yd3Hf5Jg1Lp0Sb"})),
        ("wrong barcode", json!({"barcode": BARCODE.replace('8', "8 ")})),
        ("wrong phone", json!({"phone": format!("{PHONE}0")})),
        ("wrong id", json!({"account_id": format!("{USER_ID}!")})),
        ("both", json!({"account_id": USER_ID, "access_token": TOKEN})),
        ("barcode", json!({"phone": PHONE})),
    ] {
        let refused = issue(app, base, key, &order(target)).await;
        assert!(matches!(refused.status, 400 | 422), "{key}: {}", refused.text);
        places.insert(format!("the refusal of {key}"), refused.text.into_bytes());
    }
    places
}

on_each_backend! {
    async fn an_account_and_a_token_are_nowhere_also_after_a_crash_between_seal_and_wipe(backend: Backend) {
        log().start();
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape::default()
            .with("NOSHI__SEALING__KEYS", keys(&folder, &["2026-11"]))
            .with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"balance_load\"]")
            .with("NOSHI__ACCOUNTS__MAIN__VALIDATE_LOADS", true)
            .with("NOSHI__ACCOUNTS__MAIN__LOGIN_CLIENT_ID", CLIENT);
        let mut app = App::shaped(backend, shape).await;
        plant(&app);
        let secrets = [USER_ID, BARCODE, PHONE, TOKEN].map(str::to_owned);
        let scanner = Scanner::new(&secrets);
        assert!(app.stop().await);
        let mut rule = FaultRule::always(Fault::DropAfterWork);
        rule.operation = Operation::named("LoadAmazonBalance");
        app.control.script(rule).unwrap();
        let mut trace = app.environment().to_vec();
        trace.push(("NOSHI__LOG__FILTER".to_owned(), "trace".to_owned()));
        let served = Served::start(&trace);
        let (ids, mut places) = accepted(&app, &served.base).await;
        places.extend(refused(&app, &served.base).await);
        let said: String = served.log().iter().map(|line| format!("{line}\n")).collect();
        served.kill();
        places.insert("the log of the process that died".to_owned(), said.into_bytes());
        let store = app.open_store().await;
        for id in &ids {
            let id: RewardId = id.parse().unwrap();
            let kept = peek(&mut store.snapshot().await.unwrap(), id).await.unwrap().unwrap();
            assert!(kept.sealed.is_some(), "the other process must send it again");
        }
        let of_tokens = "SELECT COUNT(*) FROM rewards WHERE token_fingerprint IS NOT NULL";
        assert_eq!(app.database.number(of_tokens).await, 2);
        assert_eq!(search(&scanner, &places), [""; 0]);

        app.start().await;
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "while it is sealed");
        app.control.clear_faults();
        app.advance(60);
        let mut shown = Places::new();
        for id in &ids {
            shown.insert(format!("the reward {id}"), app.until(id, "issued").await.to_string().into_bytes());
        }
        app.advance(1_201);
        app.until_number("SELECT COUNT(*) FROM rewards WHERE target_key IS NOT NULL", 0).await;
        for id in &ids {
            let events = app.get(&format!("/v1/rewards/{id}/events")).await;
            shown.insert(format!("the timeline of {id}"), events.text.into_bytes());
        }
        for (key, target) in targets() {
            let again = app.issue_body(key, order(target)).await;
            assert_eq!(again.status, 200, "{}", again.text);
            shown.insert(format!("the answer to {key} again"), again.text.into_bytes());
        }
        assert_eq!(search(&scanner, &shown), [""; 0]);
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "after it was wiped");
        assert_eq!(app.live_cards().len(), ids.len(), "each was loaded once");
        store.close().await;
        app.end().await;
    }
}
