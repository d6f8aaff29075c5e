//! A notification only wakes: what has become of the payment is read at Amazon. Here the service's clock stands still, so nothing but a
//! notification makes a look due.

use noshi::sandbox::{NoticeAct, PaySettlement};
use serde_json::json;

use super::{Generation, LIMIT, counted, peek, post, rest, settled, signed, until};
use crate::{
    pay::{charge_of, make},
    support::{Answer, App, Backend, on_each_backend, seller, with_json},
};

const CHARGES: &str = "/v1/pay/charges";

/// A charge that Amazon decides about later, and its id at Amazon.
async fn pending(app: &App, generation: Generation, key: &str, declined: bool) -> (String, String) {
    let card = if declined { "4354" } else { "0701" };
    let consent = match generation {
        Generation::CheckoutV2 => seller::consent(&app.control, LIMIT, card),
        Generation::Mws => seller::agreement(&app.control, LIMIT),
    };
    let mut body = charge_of(&consent, "980");
    body["may_wait"] = json!(true);
    if declined && generation == Generation::Mws {
        body["simulation"] = json!("HardDeclined");
    }
    let request = app.request("POST", CHARGES).header("Idempotency-Key", key).header("Prefer", "respond-async");
    let begun = Answer::of(with_json(request, &body)).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let id = begun.id().to_owned();
    let shown = until(app, CHARGES, &id, "pending").await;
    (id, shown["amazon_id"].as_str().unwrap().to_owned())
}

on_each_backend! {
    async fn an_asynchronous_charge_is_paid_or_declined_by_the_wake_and_not_by_the_poll(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            app.control.act_on_notices(NoticeAct::Hold).unwrap();
            let (paid, _) = pending(&app, generation, "paid", false).await;
            let (declined, _) = pending(&app, generation, "declined", true).await;
            rest(&app).await;
            app.control.advance_clock(31).unwrap();
            app.control.act_on_notices(NoticeAct::Release { shuffled: false }).unwrap();
            until(&app, CHARGES, &paid, "paid").await;
            until(&app, CHARGES, &declined, "declined").await;
            assert!(counted(&app, "taken").await >= 2, "{generation:?}");
            app.end().await;
        }
    }

    async fn a_refund_is_done_by_the_wake(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "2").await;
            let consent = match generation {
                Generation::CheckoutV2 => seller::consent(&app.control, LIMIT, "1111"),
                Generation::Mws => seller::agreement(&app.control, LIMIT),
            };
            let paid = make(&app, CHARGES, "fee", &charge_of(&consent, "980")).await;
            assert_eq!(paid.json["status"], "paid", "{}", paid.text);
            let back = json!({"charge_id": paid.id(), "value": {"amount": "980", "currency_code": "JPY"}});
            let back = make(&app, "/v1/pay/refunds", "back", &back).await;
            until(&app, "/v1/pay/refunds", back.id(), "pending").await;
            rest(&app).await;
            app.control.advance_clock(31).unwrap();
            until(&app, "/v1/pay/refunds", back.id(), "refunded").await;
            app.end().await;
        }
    }

    /// A held charge whose money Amazon gave back is looked at in two days; by a notification at once.
    async fn held_money_that_is_gone_is_noticed_by_the_wake(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        let consent = seller::consent(&app.control, LIMIT, "1111");
        let mut body = charge_of(&consent, "980");
        body["capture"] = json!(false);
        let held = make(&app, CHARGES, "held", &body).await;
        assert_eq!(held.json["status"], "authorized", "{}", held.text);
        let charge_id = held.json["amazon_id"].as_str().unwrap().to_owned();
        app.control.act_on_charge(&noshi::sandbox::SellerAct::Cancel { charge_id }).unwrap();
        until(&app, CHARGES, held.id(), "voided").await;
        app.end().await;
    }

    /// The state that a notification names is not believed, and neither is its order.
    async fn whatever_a_notification_says_the_read_is_the_truth(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        app.control.act_on_notices(NoticeAct::Hold).unwrap();
        let (id, amazon_id) = pending(&app, Generation::CheckoutV2, "fee", false).await;
        rest(&app).await;
        let reads = app.received("GetCharge").len();
        let mut lie = Generation::CheckoutV2.message(&amazon_id, "a lie");
        lie["State"] = json!("Captured");
        assert_eq!(post(&app, signed(&app, &lie)).await.status, 200);
        app.until_received("GetCharge", reads + 1).await;
        rest(&app).await;
        assert_eq!(peek(&app, CHARGES, &id).await["status"], "pending");
        app.control.decline_pending(&PaySettlement { id: amazon_id, reason: "HardDeclined".to_owned() }).unwrap();
        // Out of order: first that of the decline, then those of before.
        app.control.act_on_notices(NoticeAct::Release { shuffled: true }).unwrap();
        until(&app, CHARGES, &id, "declined").await;
        settled(&app).await;
        app.control.act_on_notices(NoticeAct::Repeat).unwrap();
        settled(&app).await;
        assert!(counted(&app, "repeated").await > 0);
        assert_eq!(peek(&app, CHARGES, &id).await["status"], "declined");
        app.end().await;
    }

    /// MWS repeats our own key, which is committed before anything is sent.
    async fn one_that_comes_before_amazons_id_is_known_is_kept_and_polling_does_the_rest(backend: Backend) {
        for generation in Generation::ALL {
            let mut app = generation.shop(backend, "1").await;
            app.control.act_on_notices(NoticeAct::Hold).unwrap();
            let early = generation.message("S03-7654321-7654321-C000001", "early");
            assert_eq!(post(&app, signed(&app, &early)).await.status, 200);
            assert_eq!(app.database.number("SELECT COUNT(*) FROM pay_notifications WHERE payment_id IS NULL").await, 1);
            let (id, _) = pending(&app, generation, "fee", false).await;
            // None comes: the next look finds it.
            app.advance(3_600);
            until(&app, CHARGES, &id, "paid").await;
            app.end().await;
        }
    }
}
