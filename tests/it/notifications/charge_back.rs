//! A charge-back is written down on its charge, once, and heard of.

use noshi::sandbox::NoticeAct;
use serde_json::Value;

use super::{Generation, LIMIT, counted, peek, post, settled, signed};
use crate::{
    pay::{charge_of, make},
    support::{App, Backend, on_each_backend, seller, wait},
};

const CHARGES: &str = "/v1/pay/charges";

async fn paid(app: &App, generation: Generation, consent: &str, key: &str) -> (String, String) {
    let paid = make(app, CHARGES, key, &charge_of(consent, "980")).await;
    assert_eq!(paid.json["status"], "paid", "{generation:?} {}", paid.text);
    (paid.id().to_owned(), paid.json["amazon_id"].as_str().unwrap().to_owned())
}

fn take_back(app: &App, charge_id: &str) {
    let (merchant_id, charge_id) = (seller::MERCHANT.to_owned(), charge_id.to_owned());
    app.control.act_on_notices(NoticeAct::ChargeBack { merchant_id, charge_id }).unwrap();
}

async fn kinds(app: &App, id: &str) -> Vec<String> {
    let events = app.get(&format!("{CHARGES}/{id}/events")).await.json;
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    events["data"].as_array().unwrap().iter().map(kind).collect()
}

on_each_backend! {
    async fn a_charge_back_is_in_the_charge_its_timeline_and_the_events_and_once(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            let consent = match generation {
                Generation::CheckoutV2 => seller::consent(&app.control, LIMIT, "1111"),
                Generation::Mws => seller::agreement(&app.control, LIMIT),
            };
            // Under one consent there are several: the right one is found.
            let (other, _) = paid(&app, generation, &consent, "other").await;
            let (id, amazon_id) = paid(&app, generation, &consent, "fee").await;
            assert!(peek(&app, CHARGES, &id).await["charged_back_at"].is_null());
            take_back(&app, &amazon_id);
            wait::until("the charge is taken back", async || peek(&app, CHARGES, &id).await["charged_back_at"].is_string()).await;
            assert_eq!(peek(&app, CHARGES, &id).await["status"], "paid", "what was paid was paid");
            assert!(peek(&app, CHARGES, &other).await["charged_back_at"].is_null());
            // Another state of the same, and everything once more.
            take_back(&app, &amazon_id);
            settled(&app).await;
            app.control.act_on_notices(NoticeAct::Repeat).unwrap();
            settled(&app).await;
            assert!(counted(&app, "repeated").await >= 2);
            let times = kinds(&app, &id).await.iter().filter(|kind| *kind == "charge.charged_back").count();
            assert_eq!(times, 1, "{generation:?}");
            let events = app.database.number("SELECT COUNT(*) FROM facts WHERE kind = 'charge.charged_back'").await;
            assert_eq!(events, 1);
            app.end().await;
        }
    }

    async fn a_charge_back_of_a_charge_that_nobody_knows_is_kept_and_breaks_nothing(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        let mut message = Generation::CheckoutV2.message("S03-7654321-7654321-B000001", "one");
        message["ObjectType"] = serde_json::json!("CHARGEBACK");
        assert_eq!(post(&app, signed(&app, &message)).await.status, 200);
        assert_eq!(app.database.text("SELECT kind FROM pay_notifications").await, "charge_back");
        app.end().await;
    }
}
