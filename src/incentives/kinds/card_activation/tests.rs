//! What a kind that acts on something must keep: a whole service, with a real file, real sockets and a gateway that answers,
//! carries cards, and their numbers are looked for wherever it writes.

mod around;

use std::{fs, time::Duration};

use serde_json::{Value, json};

use self::around::{Around, CARD, OTHER_CARD, PARTNER, Reply, log};
use crate::{
    bootstrap::{self, StartError},
    incentives::target::{self, Kept},
    sandbox::{Fault, Received},
    store::Store,
};

/// From then on no deactivation can land.
const IRREVERSIBLE: i64 = 1_200;

async fn kept(store: &Store, reward: &Reply) -> Kept {
    let mut snapshot = store.snapshot().await.unwrap();
    target::peek(&mut snapshot, reward.reward()).await.unwrap().unwrap()
}

/// Until a condition holds; fails after 20 seconds.
macro_rules! until {
    ($condition:expr, $what:literal) => {
        let mut waited = 0;
        while !$condition {
            assert!(waited < 800, $what);
            waited += 1;
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
}

fn number_in(request: &Received) -> Value {
    serde_json::from_str::<Value>(&request.body).unwrap()["cardNumber"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_activated_and_its_number_makes_the_request_the_same() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let (api, store) = (service.api_address(), service.store().clone());
    let at_work = async {
        let issued = around.issue(api, "one", CARD).await;
        assert_eq!((issued.status, &issued.json["status"]), (201, &json!("issued")), "{}", issued.text);
        assert_eq!(issued.json.get("claim_code"), None);
        assert_eq!(around.operations(), ["ActivateGiftCard"]);
        assert_eq!(number_in(&around.received()[0]), CARD);
        assert_eq!(around.sandbox.control().funds(PARTNER).unwrap(), 975.into());
        assert!(kept(&store, &issued).await.sealed.is_some(), "a deactivation would send it again");

        let again = around.issue(api, "one", CARD).await;
        assert_eq!((again.status, &again.json["id"]), (200, &issued.json["id"]), "{}", again.text);
        let other = around.issue(api, "one", OTHER_CARD).await;
        assert_eq!((other.status, &other.json["code"]), (422, &json!("idempotency-mismatch")), "{}", other.text);
        let reveal = format!("POST /v1/rewards/{}/reveal", issued.reward());
        let shown = around.ask(api, &reveal, "none", &json!({"reason": "x"})).await;
        assert_eq!((shown.status, &shown.json["code"]), (409, &json!("invalid-state")), "{}", shown.text);
        assert_eq!(around.operations(), ["ActivateGiftCard"], "nothing more was sent");
        around.nothing_shows_a_card(&[&issued, &again, &other, &shown]);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_card_is_refused_by_its_place_and_never_quoted() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let api = service.api_address();
    let at_work = async {
        let short = CARD.get(..15).unwrap();
        let mut answers = Vec::new();
        for (kind, target, pointer) in [
            ("card_activation", Value::Null, "/target"),
            ("card_activation", json!({}), "/target"),
            ("card_activation", json!(CARD), "/target"),
            ("card_activation", json!({ CARD: CARD }), "/target"),
            ("card_activation", json!({"card_number": CARD, "pin": CARD}), "/target"),
            ("card_activation", json!({"card_number": {"card_number": CARD}}), "/target"),
            ("card_activation", json!({"card_number": short}), "/target/card_number"),
            ("card_activation", json!({"card_number": format!("{CARD} ")}), "/target/card_number"),
            ("gift_code", json!({"card_number": CARD}), "/target"),
            ("card", json!({"card_number": CARD}), "/kind"),
        ] {
            let value = json!({"amount": "25.00", "currency_code": "USD"});
            let body = json!({"kind": kind, "value": value, "target": target});
            for line in ["POST /v1/rewards", "POST /v1/rewards/validate"] {
                let refused = around.ask(api, line, "one", &body).await;
                let said = (refused.status, &refused.json["code"], &refused.json["errors"][0]["pointer"]);
                assert_eq!(said, (400, &json!("invalid-request"), &json!(pointer)), "{body}: {}", refused.text);
                answers.push(refused);
            }
        }
        assert!(answers.last().unwrap().text.contains("expected: gift_code or card_activation or balance_load"));
        assert_eq!(around.operations(), [""; 0]);
        // A file that was only opened has no WAL yet.
        assert_eq!(around.issue(api, "one", CARD).await.status, 201);
        around.nothing_shows_a_card(&answers.iter().collect::<Vec<_>>());
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_proven_by_the_status_check_and_the_same_bytes_leave_only_where_it_shows_nothing() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let api = service.api_address();
    let at_work = async {
        around.script("ActivateGiftCard", Fault::DropAfterWork, Some(1));
        let proven = around.issue(api, "one", CARD).await;
        assert_eq!((proven.status, &proven.json["status"]), (201, &json!("issued")), "{}", proven.text);
        let four = ["ActivateGiftCard", "ActivationStatusCheck", "ActivateGiftCard", "ActivationStatusCheck"];
        assert_eq!(around.operations(), four);
        assert_eq!(around.sandbox.control().book().len(), 1);

        around.sandbox.control().clear_requests();
        around.script("ActivateGiftCard", Fault::DropBeforeWork, Some(1));
        let late = around.issue(api, "two", OTHER_CARD).await;
        assert_eq!((late.status, &late.json["status"]), (201, &json!("issued")), "{}", late.text);
        let received = around.received();
        assert_eq!(around.operations(), four);
        assert_eq!(received[0].body, received[2].body, "the same bytes");
        assert_eq!(around.sandbox.control().book().len(), 2);
        around.nothing_shows_a_card(&[&proven, &late]);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_sends_the_number_again_and_wipes_it() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let (api, store) = (service.api_address(), service.store().clone());
    let at_work = async {
        let issued = around.issue(api, "one", CARD).await;
        around.script("DeactivateGiftCard", Fault::DropBeforeWork, Some(1));
        let cancel = format!("POST /v1/rewards/{}/cancel", issued.reward());
        let canceled = around.ask(api, &cancel, "none", &json!({"reason": "returned"})).await;
        assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
        until!(around.read(api, &issued).await.json["status"] == "canceled", "it was not canceled");
        let received = around.received();
        assert_eq!(around.operations(), ["ActivateGiftCard", "DeactivateGiftCard", "DeactivateGiftCard"]);
        assert!(received.iter().all(|request| number_in(request) == CARD));
        assert_eq!(received[1].body, received[2].body, "the same bytes");
        assert_eq!(around.sandbox.control().funds(PARTNER).unwrap(), 1_000.into());
        assert!(kept(&store, &issued).await.sealed.is_none(), "it was not wiped");
        around.nothing_shows_a_card(&[&issued, &canceled]);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_deactivation_can_land_any_more_the_number_is_gone_and_its_fingerprint_stays() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let (api, store) = (service.api_address(), service.store().clone());
    let at_work = async {
        let issued = around.issue(api, "one", CARD).await;
        around.advance(IRREVERSIBLE - 60);
        let cancel = format!("POST /v1/rewards/{}/cancel", issued.reward());
        let late = around.ask(api, &cancel, "none", &json!({"reason": "returned"})).await;
        assert_eq!((late.status, &late.json["code"]), (409, &json!("cancel-window-closed")), "{}", late.text);
        // Twenty looks of the sweep: it is not yet time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(kept(&store, &issued).await.sealed.is_some());
        around.advance(61);
        until!(kept(&store, &issued).await.sealed.is_none(), "it was not wiped");

        let again = around.issue(api, "one", CARD).await;
        assert_eq!((again.status, &again.json["id"]), (200, &issued.json["id"]), "{}", again.text);
        assert_eq!(around.issue(api, "one", OTHER_CARD).await.status, 422);
        assert_eq!(around.operations(), ["ActivateGiftCard"]);
        around.nothing_shows_a_card(&[&issued, &late, &again]);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_activation_is_tried_again_with_the_number_that_its_caller_brings() {
    let around = Around::new().await;
    let service = around.start(&["2026-11"]).await;
    let (api, store) = (service.api_address(), service.store().clone());
    let at_work = async {
        around.sandbox.control().set_funds(PARTNER, 0.into()).unwrap();
        let refused = around.issue(api, "one", CARD).await;
        assert_eq!((refused.status, &refused.json["code"]), (402, &json!("insufficient-funds")), "{}", refused.text);
        assert_eq!(refused.json["upstream"]["operation"], "ActivateGiftCard");
        let id = refused.json["reward_id"].as_str().unwrap().parse().unwrap();
        let row = target::peek(&mut store.snapshot().await.unwrap(), id).await.unwrap().unwrap();
        assert!(row.sealed.is_none(), "nothing is sent for it any more");

        around.sandbox.control().set_funds(PARTNER, 1_000.into()).unwrap();
        assert_eq!(around.issue(api, "one", OTHER_CARD).await.status, 422);
        let issued = around.issue(api, "one", CARD).await;
        assert_eq!((issued.status, issued.reward()), (201, id), "{}", issued.text);
        let received = around.received();
        assert_eq!(around.operations(), ["ActivateGiftCard", "ActivateGiftCard"]);
        assert_eq!(received[0].body, received[1].body, "the same bytes");
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

/// Nothing else is sent, the reward is not lost, and the same request is neither taken for another nor passed.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_reward_waits_and_goes_on_when_the_key_is_back() {
    let around = Around::new().await;
    let service = around.start(&["2026-05"]).await;
    let api = service.api_address();
    around.script("ActivateGiftCard", Fault::DropAfterWork, None);
    around.script("ActivationStatusCheck", Fault::DropBeforeWork, None);
    let mut reward = None;
    let at_work = async {
        let body = json!({
            "kind": "card_activation", "value": {"amount": "25.00", "currency_code": "USD"}, "target": {"card_number": CARD},
        });
        reward = Some(around.ask(api, "POST /v1/rewards", "one\r\nPrefer: respond-async", &body).await);
        until!(around.operations().len() > 1, "it was not sent");
    };
    assert!(service.run_until(at_work).await);
    let reward = reward.unwrap();
    assert_eq!(reward.status, 202, "{}", reward.text);

    let service = around.start(&["2026-11"]).await;
    around.sandbox.control().clear_faults();
    around.sandbox.control().clear_requests();
    let api = service.api_address();
    let at_work = async {
        let waits = |read: &Reply| read.json["last_error"]["error_code"] == "sealed";
        until!(waits(&around.read(api, &reward).await), "it did not find out");
        around.advance(60);
        let before = around.read(api, &reward).await.json["updated_at"].clone();
        until!(around.read(api, &reward).await.json["updated_at"] != before, "it was not tried again");
        let read = around.read(api, &reward).await;
        assert_eq!(read.json["status"], "unresolved", "{}", read.text);
        let again = around.issue(api, "one", CARD).await;
        assert_eq!((again.status, &again.json["money_moved"]), (503, &json!("unknown")), "{}", again.text);
        assert_eq!(around.operations(), [""; 0], "nothing was sent");
        around.nothing_shows_a_card(&[&read, &again]);
    };
    assert!(service.run_until(at_work).await);
    let log = log();
    let alarms = log.lines().filter(|line| line.contains("cannot be opened") && line.contains("\"ERROR\""));
    assert!(alarms.count() > 0, "nobody was alarmed");

    let service = around.start(&["2026-11", "2026-05"]).await;
    let api = service.api_address();
    let at_work = async {
        around.advance(60);
        until!(around.read(api, &reward).await.json["status"] == "issued", "it did not go on");
        let rest = ["ActivationStatusCheck", "ActivateGiftCard", "ActivationStatusCheck"];
        assert_eq!(around.operations(), rest);
        assert_eq!(around.issue(api, "one", CARD).await.status, 200);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_refused_where_the_kind_could_not_be_served() {
    let around = Around::new().await;
    let refused = bootstrap::start(&around.settings(&[]), around.ambient.clone()).await.err().unwrap();
    let named = matches!(&refused, StartError::NoSealingKey { account, kind: "card_activation" } if account == "main");
    assert!(named, "{refused}");
    let mut settings = around.settings(&["2026-11"]);
    settings.accounts.get_mut("main").unwrap().kinds.push("card".to_owned());
    let refused = bootstrap::start(&settings, around.ambient.clone()).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        "accounts.main.kinds lists a kind that this program does not know; it knows gift_code card_activation balance_load"
    );
    around.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sells_only_the_kinds_that_it_lists() {
    let around = Around::new().await;
    let mut settings = around.settings(&[]);
    settings.accounts.get_mut("main").unwrap().kinds = vec!["gift_code".to_owned()];
    let service = bootstrap::start(&settings, around.ambient.clone()).await.unwrap();
    let api = service.api_address();
    let at_work = async {
        let refused = around.issue(api, "one", CARD).await;
        let said = (refused.status, &refused.json["errors"][0]["pointer"], &refused.json["errors"][0]["code"]);
        assert_eq!(said, (400, &json!("/kind"), &json!("unsupported")), "{}", refused.text);
        assert!(refused.text.contains("deals in: gift_code"), "{}", refused.text);
        let shown = around.ask(api, "GET /v1/catalog", "none", &Value::Null).await;
        assert_eq!(shown.json["data"][0]["kinds"], json!(["gift_code"]), "{}", shown.text);
    };
    assert!(service.run_until(at_work).await);
    around.sandbox.stop().await;
}

/// The search of the tests above, on what it must find.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_somewhere_is_found() {
    const PLANTED: &str = "6035799999999999999";
    let around = Around::new().await;
    assert_eq!(around.places_of(&[PLANTED], &[]), [""; 0]);
    let answer = Reply { status: 400, json: Value::Null, text: format!("not a card: {PLANTED}") };
    tracing::trace!(target: "noshi::planted", digits = ?PLANTED.as_bytes(), "planted");
    fs::write(around.folder.path().join("noshi.db-wal"), data_encoding::BASE64.encode(PLANTED.as_bytes())).unwrap();
    assert_eq!(
        around.places_of(&[PLANTED], &[&answer]),
        ["an answer as text", "the log as list", "noshi.db-wal as base64"]
    );
    around.sandbox.stop().await;
}
