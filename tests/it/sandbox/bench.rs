//! A running sandbox with one partner, and short names for what tests do to it.

#![expect(clippy::unwrap_used, reason = "a helper of tests")]

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use noshi::sandbox::{AccessKey, Card, Control, Fault, FaultRule, PartnerAccount, Received, Sandbox, SandboxOptions};
use rust_decimal::Decimal;

use super::signer::{Call, Seen, exchange};

pub(crate) const PARTNER: &str = "Awssb";
pub(crate) const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) control: Control,
}

pub(crate) fn account(partner_id: &str, key_id: &str, currency: Option<&str>, funds: i64) -> PartnerAccount {
    PartnerAccount {
        partner_id: partner_id.to_owned(),
        keys: vec![AccessKey::active(key_id, SECRET)],
        currency: currency.map(str::to_owned),
        funds: Decimal::from(funds),
        ..PartnerAccount::default()
    }
}

impl Bench {
    /// A partner with USD 10,000, no rate limit, and a second partner with another key.
    pub(crate) async fn start() -> Self {
        Self::with(SandboxOptions { throttle: false, ..Self::options() }).await
    }

    pub(crate) fn options() -> SandboxOptions {
        SandboxOptions::on_any_port(vec![
            account(PARTNER, KEY_ID, None, 10_000),
            account("Other", "AKIDOTHER", None, 10_000),
        ])
    }

    pub(crate) async fn with(options: SandboxOptions) -> Self {
        let sandbox = Sandbox::start(options).await.unwrap();
        let control = sandbox.control();
        Self { sandbox, control }
    }

    pub(crate) async fn with_file(path: &Path) -> Self {
        Self::with(SandboxOptions { book_file: Some(path.to_owned()), throttle: false, ..Self::options() }).await
    }

    /// The time to sign for: real, whatever the sandbox clock says.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let clock = self.control.clock();
        clock.now - TimeDelta::seconds(clock.offset_seconds)
    }

    pub(crate) fn call(&self, operation: &str, body: &str) -> Call {
        Call::new(operation, body, self.now())
    }

    pub(crate) async fn send(&self, call: &Call) -> Seen {
        self.send_bytes(&call.bytes()).await
    }

    pub(crate) async fn send_bytes(&self, request: &[u8]) -> Seen {
        exchange(self.sandbox.gateway_addr(), request, PATIENCE).await
    }

    pub(crate) async fn post(&self, operation: &str, body: &str) -> Seen {
        self.send(&self.call(operation, body)).await
    }

    pub(crate) async fn create(&self, request_id: &str, amount: &str) -> Seen {
        self.post("CreateGiftCard", &create_body(request_id, amount, "USD")).await
    }

    pub(crate) async fn cancel(&self, request_id: &str) -> Seen {
        let body = format!(r#"{{"creationRequestId":"{request_id}","partnerId":"{PARTNER}"}}"#);
        self.post("CancelGiftCard", &body).await
    }

    pub(crate) async fn funds(&self) -> Seen {
        self.post("GetAvailableFunds", &format!(r#"{{"partnerId":"{PARTNER}"}}"#)).await
    }

    /// One create under a fault that strikes once.
    pub(crate) async fn create_under(&self, fault: Fault) -> Seen {
        self.control.script(FaultRule::once(fault)).unwrap();
        self.create("AwssbF", "25.00").await
    }

    pub(crate) fn card(&self, request_id: &str) -> Option<Card> {
        self.control.book().into_iter().find(|card| card.creation_request_id == request_id)
    }

    pub(crate) fn left(&self) -> Decimal {
        self.control.funds_in(PARTNER, "USD").unwrap()
    }

    pub(crate) fn last(&self) -> Received {
        self.control.requests().pop().unwrap()
    }

    /// A call of the control port: status and JSON.
    pub(crate) async fn ctl(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let seen = exchange(self.sandbox.control_addr(), request.as_bytes(), PATIENCE).await;
        (seen.status.unwrap(), seen.json())
    }
}

pub(crate) fn create_body(request_id: &str, amount: &str, currency: &str) -> String {
    format!(
        r#"{{"creationRequestId":"{request_id}","partnerId":"{PARTNER}","value":{{"currencyCode":"{currency}","amount":{amount}}}}}"#
    )
}
