//! Rewards and records of Amazon's in bulk, past all our code: a day of ten thousand is not bought one by one.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use noshi::{
    ambient::Ambient,
    kernel::{CreationRequestId, IdempotencyKey, Intent},
    sandbox::{Activity, ActivityType},
};
use rust_decimal::Decimal;

use super::super::support::{App, Backend, PARTNER};

/// The kind of gift codes that say more than their value, in their rows.
pub(super) const EXTENDED: &str = "gift_code_extended";
/// The kind of loads, in their rows.
pub(super) const LOAD: &str = "balance_load";

/// Rows of one statement.
const ROWS: usize = 500;

/// A reward, as it is planted.
#[derive(Debug, Clone)]
pub(super) struct Planted {
    pub(super) number: u64,
    pub(super) intent: Intent,
    pub(super) id: String,
    pub(super) amount: i64,
    /// The word of its kind in its row.
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    pub(super) sent_at: DateTime<Utc>,
    pub(super) canceled_at: Option<DateTime<Utc>>,
}

impl Planted {
    /// An issued reward of this client's key `plant-NUMBER`.
    pub(super) fn issued(app: &App, number: u64, amount: i64, sent_at: DateTime<Utc>) -> Self {
        let key = IdempotencyKey::parse(&format!("plant-{number}")).unwrap();
        let intent = Intent::derive(app.client, &key);
        let id = CreationRequestId::derive(PARTNER, &intent).to_string();
        Self { number, intent, id, amount, kind: "gift_code", state: "issued", sent_at, canceled_at: None }
    }

    pub(super) fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn is_activation(&self) -> bool {
        self.kind == "card_activation"
    }

    pub(super) fn canceled(mut self) -> Self {
        self.state = "canceled";
        self.canceled_at = Some(self.sent_at + TimeDelta::minutes(2));
        self
    }

    pub(super) fn in_state(mut self, state: &'static str) -> Self {
        self.state = state;
        self
    }

    /// Amazon's record of its create, a second later.
    pub(super) fn record(&self) -> Activity {
        Activity {
            partner_id: PARTNER.to_owned(),
            request_id: self.id.clone(),
            activity_type: if self.is_activation() { ActivityType::GCActivation } else { ActivityType::GCCreation },
            failure_code: None,
            at: self.sent_at + TimeDelta::seconds(1),
            amount: Some(Decimal::new(self.amount, 2)),
            currency: Some("USD".to_owned()),
            gc_id: Some("A2GCN9BRX5QS76".to_owned()),
            real_op: true,
        }
    }

    /// Amazon's record of a cancel of it.
    pub(super) fn cancel_record(&self) -> Activity {
        let at = self.sent_at + TimeDelta::minutes(2);
        let canceled = if self.is_activation() { ActivityType::GCDeactivation } else { ActivityType::GCCancellation };
        Activity { activity_type: canceled, at, amount: None, currency: None, ..self.record() }
    }

    fn row(&self, app: &App) -> String {
        let sqlite = app.database.backend == Backend::Sqlite;
        let hex = data_encoding::HEXLOWER.encode(self.intent.as_bytes());
        let client = app.client.uuid();
        let reward = format!("01900000-0000-7000-8000-{:012x}", self.number);
        let uuid = |text: &str| if sqlite { format!("X'{}'", text.replace('-', "")) } else { format!("'{text}'") };
        let intent = if sqlite { format!("X'{hex}'") } else { format!("'\\x{hex}'") };
        let time = |at: DateTime<Utc>| format!("'{}'", at.to_rfc3339_opts(SecondsFormat::AutoSi, false));
        let proven = matches!(self.state, "issued" | "canceled");
        let issued_at = if proven { time(self.sent_at + TimeDelta::seconds(2)) } else { "NULL".to_owned() };
        let canceled_at = self.canceled_at.map_or("NULL".to_owned(), time);
        // Open rewards would be replayed. As far ahead as the ladder waits they are left alone; further ahead they are stray.
        let open = matches!(self.state, "unresolved" | "issuing" | "pending");
        let due_at = if open { time(Ambient::system().now() + TimeDelta::minutes(14)) } else { "NULL".to_owned() };
        let sent = time(self.sent_at);
        let members = if self.kind == EXTENDED { "'{\"programId\":\"PROG123\"}'" } else { "NULL" };
        format!(
            "({}, {}, {intent}, 'main', 'US', 'sandbox', '{}', '{}', {}, 'USD', 'keep', '{}', 1, FALSE, FALSE, FALSE, \
             1, 0, 0, {sent}, {sent}, {sent}, {issued_at}, {canceled_at}, {due_at}, {members})",
            uuid(&reward),
            uuid(&client.to_string()),
            self.id,
            self.kind,
            self.amount,
            self.state
        )
    }
}

/// Plants rewards.
pub(super) async fn plant(app: &App, rewards: &[Planted]) {
    for some in rewards.chunks(ROWS) {
        let mut text =
            "INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, \
                        kind, amount_minor, currency, on_unresolved, state, version, ambiguous, cancel_requested, \
                        cancel_doubt, attempts, deliveries, events, created_at, updated_at, first_send_at, issued_at, \
                        canceled_at, due_at, create_members) VALUES "
                .to_owned();
        for (at, reward) in some.iter().enumerate() {
            write!(text, "{}{}", if at == 0 { "" } else { ", " }, reward.row(app)).unwrap();
        }
        assert_eq!(app.database.execute(&text).await.unwrap(), some.len() as u64);
    }
}

/// Lists records at Amazon.
pub(super) fn list(app: &App, records: impl IntoIterator<Item = Activity>) {
    app.control.edit_activity(|all| {
        all.extend(records);
        all.sort_by_key(|record| record.at);
    });
}

pub(super) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
