//! Webhooks: what happened reaches whoever wants to know, at least once, in its order, signed, and never with a code.
//!
//! Receivers are real sockets of the test. Time is moved, so that three days of attempts take a second.

mod crash;
mod delivery;
mod endpoints;
mod flood;
mod payments;
mod receiver;
mod replicas;
mod verifier;

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;
use noshi::{
    identity::Scopes,
    webhooks::{EndpointSecret, signature},
};
use serde_json::{Value, json};

use self::receiver::{Receiver, Sent};
use crate::support::{Answer, App, Backend, Shape, wait, with_json};

/// Settings with which a service seals secrets and sends to this machine.
pub(crate) fn shape(folder: &tempfile::TempDir) -> Shape {
    let path = folder.path().join("sealing");
    let bytes: Vec<u8> = (0..32).map(|at: u8| at.wrapping_mul(11) ^ 0x3a).collect();
    std::fs::write(&path, data_encoding::HEXLOWER.encode(&bytes)).unwrap();
    Shape::default()
        .with("NOSHI__SEALING__KEYS", format!("[{{ id = \"one\", file = \"{}\" }}]", path.display()))
        .with("NOSHI__WEBHOOKS__ALLOW_PRIVATE_NETWORKS", true)
        .with("NOSHI__WEBHOOKS__ALLOW_PLAIN_HTTP", true)
}

/// A service that sends, for how long its clocks were moved, and the folder of its sealing key.
struct Sender {
    app: App,
    moved: AtomicI64,
    _folder: tempfile::TempDir,
}

/// An endpoint as its maker knows it.
struct Listener {
    id: String,
    secret: EndpointSecret,
}

impl Sender {
    async fn open(backend: Backend) -> Self {
        Self::shaped(backend, |shape| shape).await
    }

    async fn shaped(backend: Backend, change: impl FnOnce(Shape) -> Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { app: App::shaped(backend, change(shape(&folder))).await, moved: AtomicI64::new(0), _folder: folder }
    }

    /// Makes an endpoint at a receiver, for these types.
    async fn listen(&self, receiver: &Receiver, types: &[&str]) -> Listener {
        self.listen_by(&self.app.key, receiver, types).await
    }

    async fn listen_by(&self, key: &str, receiver: &Receiver, types: &[&str]) -> Listener {
        let body = json!({"url": receiver.url(), "event_types": types});
        let made = self.ask(key, "POST", "/v1/webhook-endpoints", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let secret = EndpointSecret::parse(made.json["secret"].as_str().unwrap()).unwrap();
        Listener { id: made.json["id"].as_str().unwrap().to_owned(), secret }
    }

    /// Moves every clock, as [`App::advance`] does.
    fn advance(&self, seconds: i64) {
        let moved = self.moved.fetch_add(seconds, Ordering::AcqRel) + seconds;
        self.app.ambient.advance(TimeDelta::seconds(seconds));
        self.app.control.advance_clock(seconds).unwrap();
        self.app.control.set_signature_skew(moved).unwrap();
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.app.anonymous(method, path).bearer_auth(key);
        match body {
            Some(body) => Answer::of(with_json(request, &body)).await,
            None => Answer::of(request).await,
        }
    }

    async fn patch(&self, listener: &Listener, body: Value) -> Answer {
        self.ask(&self.app.key, "PATCH", &format!("/v1/webhook-endpoints/{}", listener.id), Some(body)).await
    }

    async fn endpoint(&self, listener: &Listener) -> Value {
        self.app.get(&format!("/v1/webhook-endpoints/{}", listener.id)).await.json
    }

    async fn deliveries(&self, listener: &Listener, query: &str) -> Vec<Value> {
        let page = self.app.get(&format!("/v1/webhook-endpoints/{}/deliveries{query}", listener.id)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.json["data"].as_array().unwrap().clone()
    }

    /// Waits until the endpoint's deliveries have been sent so often in all.
    async fn until_attempts(&self, listener: &Listener, attempts: i64) {
        wait::until(&format!("{attempts} attempts"), async || {
            let all = self.deliveries(listener, "").await;
            let counted: i64 = all.iter().map(|one| one["attempts"].as_i64().unwrap()).sum();
            let ended = |one: &&Value| one["attempts"] != 0 && one["state"] == "pending";
            let settled =
                all.iter().filter(ended).all(|one| !one["last_status"].is_null() || !one["last_failure"].is_null());
            counted >= attempts && settled
        })
        .await;
    }

    async fn end(self) {
        self.app.end().await;
    }
}

/// A client's key without an operator's reach.
async fn own_key(app: &App, client: &str) -> String {
    let scopes = noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all"));
    app.mint_key(client, Scopes::new(scopes)).await.1
}

/// Whether the message is signed with this secret.
fn is_signed(sent: &Sent, secret: &EndpointSecret) -> bool {
    let at = chrono::DateTime::from_timestamp(sent.header("webhook-timestamp").parse().unwrap(), 0).unwrap();
    let expected = signature(&[secret], sent.header("webhook-id"), at, sent.body.as_bytes());
    sent.header("webhook-signature").split(' ').any(|one| one == expected)
}
