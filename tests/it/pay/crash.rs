//! Death at every named place on the way of a payment: a buyer pays once, and nothing is lost.

use std::{collections::BTreeSet, os::unix::process::ExitStatusExt};

use noshi::sandbox::{Fault, PayCall};
use serde_json::{Value, json};

use super::{charge_of, doubt::strike, make, refund_of, selling, until};
use crate::{
    kill::start,
    support::{Answer, App, Backend, on_each_backend, seller, wait, with_json},
};

/// Every place on the way of a payment whose first answer decides.
const PLACES: [&str; 9] = [
    "pay.before_t1",
    "pay.in_t1",
    "pay.after_t1",
    "pay.before_send",
    "pay.after_answer",
    "pay.before_t2",
    "pay.in_t2",
    "pay.after_t2",
    "pay.before_answer",
];

/// The signal of `abort`.
const ABORTED: i32 = 6;

/// Every place on the way of a second attempt, after a first one that did not arrive.
const PLACES_OF_A_REPLAY: [&str; 3] = ["pay.before_replay", "pay.in_replay", "pay.after_replay"];

/// Every place on the way of a capture.
const PLACES_OF_A_CAPTURE: [&str; 9] = [
    "capture.before_t1",
    "capture.in_t1",
    "capture.after_t1",
    "pay.before_send",
    "pay.after_answer",
    "pay.before_t2",
    "pay.in_t2",
    "pay.after_t2",
    "capture.before_answer",
];

/// Every place on the way of a cancel.
const PLACES_OF_A_CANCEL: [&str; 9] = [
    "pay.before_wish",
    "pay.in_wish",
    "pay.after_wish",
    "pay.before_send",
    "pay.after_answer",
    "pay.before_t2",
    "pay.in_t2",
    "pay.after_t2",
    "capture.before_answer",
];

/// Asks a service that dies of it; whether it answered nevertheless.
async fn ask_in_vain(app: &App, place: &str, path: &str, key: &str, body: &Value) -> bool {
    let mut environment = app.environment().to_vec();
    environment.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@1")));
    let mut served = start(environment).await.unwrap();
    let request = app.http.post(format!("{}{path}", served.base)).bearer_auth(&app.key).header("Idempotency-Key", key);
    let answered = Answer::try_of(with_json(request, body)).await.is_some();
    let mut died = None;
    wait::until(&format!("the death at {place}"), async || {
        died = served.ended();
        died.is_some()
    })
    .await;
    assert_eq!(died.and_then(|status| status.signal()), Some(ABORTED), "it did not die at {place}");
    answered
}

on_each_backend! {
    async fn death_at_every_place_of_a_first_attempt_loses_and_doubles_nothing(backend: Backend) {
        let mut app = App::shaped(backend, selling()).await;
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        let paid = make(&app, "/v1/pay/charges", "paid", &charge_of(&consent, "1000")).await;
        assert!(app.stop().await);
        let mut asked = Vec::new();
        for (at, place) in PLACES.into_iter().enumerate() {
            for (path, body) in [
                ("/v1/pay/charges", charge_of(&consent, &format!("{}", 2_000 + at))),
                ("/v1/pay/refunds", refund_of(paid.id(), &format!("{}", 1 + at))),
            ] {
                let key = format!("{place} {path}");
                assert!(!ask_in_vain(&app, place, path, &key, &body).await, "{place}");
                asked.push((path, key, body));
            }
        }
        app.start().await;
        let mut ids = BTreeSet::new();
        for (path, key, body) in &asked {
            // Their callers ask again.
            let answer = make(&app, path, key, body).await;
            assert!([200, 201, 202].contains(&answer.status), "{key}: {}", answer.text);
            assert!(ids.insert(answer.id().to_owned()));
        }
        app.advance(60);
        for (path, key, body) in &asked {
            let id = make(&app, path, key, body).await.id().to_owned();
            until(&app, path, &id, if path.ends_with("charges") { "paid" } else { "refunded" }).await;
        }
        let mut taken: Vec<String> = app.control.charges().into_iter().map(|charge| charge.captured).collect();
        taken.sort();
        let expected: Vec<String> = std::iter::once(1_000).chain(2_000..2_009).map(|yen: i32| yen.to_string()).collect();
        assert_eq!(taken, expected, "each once");
        let mut back: Vec<i32> = app.control.refunds().into_iter().map(|refund| refund.amount.parse().unwrap()).collect();
        back.sort_unstable();
        assert_eq!(back, (1..=9).collect::<Vec<_>>(), "each once");
        app.end().await;
    }

    async fn death_at_every_place_of_a_second_attempt_loses_and_doubles_nothing(backend: Backend) {
        let mut app = App::shaped(backend, selling()).await;
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        assert!(app.stop().await);
        for place in PLACES_OF_A_REPLAY {
            app.control.script(strike(PayCall::CreateCharge, Fault::DropBeforeWork, 100)).unwrap();
            assert!(!ask_in_vain(&app, place, "/v1/pay/charges", place, &charge_of(&consent, "1000")).await, "{place}");
            app.control.clear_faults();
        }
        app.start().await;
        for place in PLACES_OF_A_REPLAY {
            let answer = make(&app, "/v1/pay/charges", place, &charge_of(&consent, "1000")).await;
            assert!([200, 202].contains(&answer.status), "{place}: {}", answer.text);
        }
        app.advance(60);
        for place in PLACES_OF_A_REPLAY {
            let id = make(&app, "/v1/pay/charges", place, &charge_of(&consent, "1000")).await.id().to_owned();
            until(&app, "/v1/pay/charges", &id, "paid").await;
        }
        let taken: Vec<String> = app.control.charges().into_iter().map(|charge| charge.captured).collect();
        assert_eq!(taken, ["1000"; 3], "each once");
        app.end().await;
    }

    async fn death_at_every_place_takes_held_money_once_or_gives_it_back(backend: Backend) {
        let mut app = App::shaped(backend, selling()).await;
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        let mut body = charge_of(&consent, "1000");
        body["capture"] = json!(false);
        let of_captures = PLACES_OF_A_CAPTURE.map(|place| (place, "capture", json!({}), "paid"));
        let of_cancels = PLACES_OF_A_CANCEL.map(|place| (place, "cancel", json!({"reason": "out of stock"}), "voided"));
        let mut held = Vec::new();
        for (place, what, asked, end) in of_captures.into_iter().chain(of_cancels) {
            let answer = make(&app, "/v1/pay/charges", &format!("{what} {place}"), &body).await;
            assert_eq!(answer.json["status"], "authorized", "{}", answer.text);
            held.push((place, format!("/v1/pay/charges/{}/{what}", answer.id()), asked, answer.id().to_owned(), end));
        }
        assert!(app.stop().await);
        for (place, path, asked, ..) in &held {
            assert!(!ask_in_vain(&app, place, path, "unused", asked).await, "{place} {path}");
        }
        app.start().await;
        // Their callers ask again.
        for (place, path, asked, ..) in &held {
            let answer = Answer::of(with_json(app.request("POST", path), asked)).await;
            assert!([200, 202].contains(&answer.status), "{place} {path}: {}", answer.text);
        }
        app.advance(60);
        for (_place, _path, _asked, id, end) in &held {
            until(&app, "/v1/pay/charges", id, end).await;
        }
        let mut states: Vec<String> = app.control.charges().into_iter().map(|charge| charge.state).collect();
        states.sort();
        assert_eq!(states, [["Canceled"; 9], ["Captured"; 9]].concat());
        app.end().await;
    }
}
