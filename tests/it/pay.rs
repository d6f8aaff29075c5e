//! Amazon Pay: a buyer pays once, whatever is lost, declined, pending or killed on the way, and gets back no more than Amazon gives.

mod caps;
mod checkout;
mod consents;
mod crash;
mod declines;
mod doubt;
mod held;
mod mws;
mod off;
mod once;
mod person;
mod restored;
mod words;

use serde_json::{Value, json};

use crate::support::{Answer, App, Backend, Shape, seller, wait, with_json};

/// What a buyer consents to in most tests, in yen a month.
const LIMIT: u32 = 100_000;

/// A service with a seller's account.
pub(crate) fn selling() -> Shape {
    Shape { sells: true, ..Shape::default() }
}

async fn shop(backend: Backend) -> App {
    App::shaped(backend, selling()).await
}

/// The generations of Amazon Pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    CheckoutV2,
    Mws,
}

impl Generation {
    pub(crate) const ALL: [Self; 2] = [Self::CheckoutV2, Self::Mws];

    async fn shop(self, backend: Backend) -> App {
        App::shaped(backend, Shape { mws: self == Self::Mws, ..selling() }).await
    }

    pub(crate) fn consent(self, app: &App) -> String {
        match self {
            Self::CheckoutV2 => consent(app),
            Self::Mws => seller::agreement(&app.control, LIMIT),
        }
    }
}

/// A charge as a caller asks for it.
pub(crate) fn charge_of(consent: &str, amount: &str) -> Value {
    json!({"consent_id": consent, "value": {"amount": amount, "currency_code": "JPY"}})
}

fn refund_of(charge: &str, amount: &str) -> Value {
    json!({"charge_id": charge, "value": {"amount": amount, "currency_code": "JPY"}})
}

/// Asks for a payment under this key, of charges or refunds.
pub(crate) async fn make(app: &App, path: &str, key: &str, body: &Value) -> Answer {
    Answer::of(with_json(app.request("POST", path).header("Idempotency-Key", key), body)).await
}

async fn charge(app: &App, key: &str, body: &Value) -> Answer {
    make(app, "/v1/pay/charges", key, body).await
}

async fn refund(app: &App, key: &str, body: &Value) -> Answer {
    make(app, "/v1/pay/refunds", key, body).await
}

/// Waits until a payment has this status.
async fn until(app: &App, path: &str, id: &str, status: &str) -> Value {
    let mut last = Value::Null;
    wait::until(&format!("{id} is {status}"), async || {
        last = app.get(&format!("{path}/{id}")).await.json;
        last["status"] == status
    })
    .await;
    last
}

/// The kinds of a payment's timeline, in order.
async fn events(app: &App, path: &str, id: &str) -> Vec<String> {
    let events = app.get(&format!("{path}/{id}/events")).await;
    assert_eq!(events.status, 200, "{}", events.text);
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    events.json["data"].as_array().unwrap().iter().map(kind).collect()
}

/// What Amazon took of a consent, by the sandbox's book.
fn captured(app: &App, consent: &str) -> Vec<String> {
    let charges = app.control.charges().into_iter().filter(|charge| charge.charge_permission_id == consent);
    let charges = charges.filter(|charge| charge.state == "Captured").map(|charge| charge.captured);
    let captures = app.control.mws_captures().into_iter().filter(|capture| capture.consent_id == consent);
    let paid = captures.filter(|capture| ["Completed", "Closed"].contains(&capture.state.as_str()));
    charges.chain(paid.map(|capture| capture.amount)).collect()
}

/// What Amazon gave back of a charge, or began to, by the sandbox's book.
fn given_back(app: &App, charge: &str) -> Vec<String> {
    let refunds = app.control.refunds().into_iter().filter(|refund| refund.charge_id == charge);
    let older = app.control.mws_refunds().into_iter().filter(|refund| refund.authorization_id == charge);
    refunds.map(|refund| refund.amount).chain(older.map(|refund| refund.amount)).collect()
}

fn consent(app: &App) -> String {
    seller::consent(&app.control, LIMIT, "1111")
}
