//! What happens to payments reaches the endpoints that name it, and nothing of a buyer with it.

use noshi::identity::Scopes;
use serde_json::{Value, json};

use super::{
    Sender, is_signed, own_key,
    receiver::{Receiver, Sent},
};
use crate::{
    pay::{charge_of, make},
    support::{Answer, Backend, Shape, on_each_backend, seller, with_json},
};

const TYPES: [&str; 6] =
    ["charge.authorized", "charge.paid", "charge.declined", "charge.voided", "refund.refunded", "refund.declined"];

async fn shop(backend: Backend) -> Sender {
    Sender::shaped(backend, |shape| Shape { sells: true, ..shape }).await
}

on_each_backend! {
    async fn what_becomes_of_a_payment_is_sent_signed_in_its_order(backend: Backend) {
        let (sender, receiver) = (shop(backend).await, Receiver::start().await);
        let app = &sender.app;
        let consent = seller::consent(&app.control, 100_000, "1111");
        let listener = sender.listen(&receiver, &TYPES).await;
        let mut body = charge_of(&consent, "980");
        body["external_id"] = json!("fee-2026-11");
        body["capture"] = json!(false);
        let held = make(app, "/v1/pay/charges", "held", &body).await;
        assert_eq!(held.json["status"], "authorized", "{}", held.text);
        receiver.until(1).await;
        let taken = json!({"value": {"amount": "700", "currency_code": "JPY"}});
        let captured = Answer::of(with_json(app.request("POST", &format!("/v1/pay/charges/{}/capture", held.id())), &taken)).await;
        assert_eq!(captured.json["status"], "paid", "{}", captured.text);
        receiver.until(2).await;
        let back = json!({"charge_id": held.id(), "value": {"amount": "700", "currency_code": "JPY"}});
        let back = make(app, "/v1/pay/refunds", "back", &back).await;
        sender.advance(31);
        receiver.until(3).await;
        let mut declined = charge_of(&consent, "980");
        declined["simulation"] = json!("SoftDeclined");
        let declined = make(app, "/v1/pay/charges", "declined", &declined).await.json["payment_id"].as_str().unwrap().to_owned();
        let sent = receiver.until(4).await;
        let value = |amount: &str| json!({"amount": amount, "currency_code": "JPY"});
        let data = |one: &Sent| one.json()["data"].clone();
        let of = |id: &str, sequence: u64, kind: &str, amount: &str| -> Value {
            json!({"payment_id": id, "sequence": sequence, "account_id": "shop", "kind": kind, "value": value(amount)})
        };
        let named = |mut data: Value| {
            data["external_id"] = json!("fee-2026-11");
            data
        };
        assert_eq!(sent.iter().map(Sent::event_type).collect::<Vec<_>>(), ["charge.authorized", "charge.paid", "refund.refunded", "charge.declined"]);
        assert_eq!(data(&sent[0]), named(of(held.id(), 2, "charge", "980")));
        assert_eq!(data(&sent[1]), named(of(held.id(), 4, "charge", "980")));
        assert_eq!((&data(&sent[2])["payment_id"], &data(&sent[2])["value"]), (&json!(back.id()), &value("700")));
        assert_eq!(data(&sent[3]), of(&declined, 2, "charge", "980"));
        assert!(sent.iter().all(|one| is_signed(one, &listener.secret)));
        // The consent stands for the buyer.
        assert!(!sent.iter().any(|one| format!("{one:?}").contains(&consent)));
        sender.end().await;
    }

    /// Whoever made an endpoint without types may not be allowed to read payments, and one of release 0.1.0 knows of none.
    async fn an_endpoint_that_names_no_payments_hears_of_none(backend: Backend) {
        let (sender, receiver, other) = (shop(backend).await, Receiver::start().await, Receiver::start().await);
        let app = &sender.app;
        let consent = seller::consent(&app.control, 100_000, "1111");
        sender.listen(&receiver, &[]).await;
        sender.listen(&other, &["charge.paid"]).await;
        assert_eq!(make(app, "/v1/pay/charges", "fee", &charge_of(&consent, "980")).await.status, 201);
        assert_eq!(app.issue("one", "5.00").await.status, 201);
        assert_eq!(other.until(1).await[0].event_type(), "charge.paid");
        assert_eq!(receiver.until(1).await[0].event_type(), "reward.issued");
        assert_eq!((receiver.sent().len(), other.sent().len()), (1, 1));
        sender.end().await;
    }

    async fn a_key_that_may_not_read_payments_makes_no_endpoint_for_them_and_another_client_hears_of_none(backend: Backend) {
        let (sender, receiver, other) = (shop(backend).await, Receiver::start().await, Receiver::start().await);
        let app = &sender.app;
        let consent = seller::consent(&app.control, 100_000, "1111");
        let few = noshi::server::scopes().into_iter().filter(|scope| scope.as_str() != "pay:read");
        let unread = app.mint_key("unread", Scopes::new(few)).await.1;
        let asked = json!({"url": receiver.url(), "event_types": ["charge.paid"]});
        sender.ask(&unread, "POST", "/v1/webhook-endpoints", Some(asked)).await.is_problem(403, "insufficient-scope");
        let foreign = own_key(app, "someone else").await;
        sender.listen_by(&foreign, &other, &["charge.paid"]).await;
        sender.listen(&receiver, &["charge.paid"]).await;
        assert_eq!(make(app, "/v1/pay/charges", "fee", &charge_of(&consent, "980")).await.status, 201);
        receiver.until(1).await;
        assert_eq!(other.sent().len(), 0);
        sender.end().await;
    }
}
