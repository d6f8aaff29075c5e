//! Metrics of payments. Without an account at Amazon Pay they have no series.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::{Payments, answer::PaymentAnswer, kind::PaymentKind, model::Payment, notices::NoticeFate, sql};
use crate::{
    engine::State,
    kernel::horizon,
    provider::pay::{DeclineKind, PayOperation},
    store::StoreError,
    telemetry::metrics::{Registry, at_zero, seconds},
};

/// How a payment can end, by its status.
const ENDS: [(PaymentKind, &[&str]); 3] = [
    (PaymentKind::Charge, &["paid", "authorized", "voided", "declined", "failed", "needs_attention"]),
    (PaymentKind::Capture, &["captured", "declined", "failed", "needs_attention"]),
    (PaymentKind::Refund, &["refunded", "declined", "failed", "needs_attention"]),
];
/// What can be known after a call (`PayOutcome::class`).
const CLASSES: [&str; 9] =
    ["seen", "declined", "conflict", "key_conflict", "missing", "rejected", "turned_away", "not_sent", "ambiguous"];
/// States of a payment that are gauges; finished ones are counters.
const OPEN_STATES: [State; 5] =
    [State::Pending, State::Issuing, State::Unresolved, State::Canceling, State::NeedsAttention];

/// Counters are of this process; the gauges of unfinished payments are set from the database.
pub(crate) struct PayMetrics {
    finished: IntCounterVec,
    declines: IntCounterVec,
    calls: IntCounterVec,
    notices: IntCounterVec,
    in_state: IntGaugeVec,
    oldest_unproven: GaugeVec,
    /// The accounts that have gauges: one whose last payment has ended shows none, not the last figure.
    shown: Mutex<BTreeSet<String>>,
}

impl PayMetrics {
    /// Registers them. `accounts` are those of the settings.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry, accounts: &[&str]) -> Result<Self, prometheus::Error> {
        let ends = accounts.iter().flat_map(|account| {
            ENDS.into_iter().flat_map(move |(kind, ends)| ends.iter().map(move |end| [*account, kind.as_str(), *end]))
        });
        let declines = accounts.iter().flat_map(|account| {
            let kinds = PaymentKind::ALL.iter().map(|kind| kind.as_str());
            kinds.flat_map(move |kind| DeclineKind::ALL.iter().map(move |decline| [*account, kind, decline.as_str()]))
        });
        let calls = accounts.iter().flat_map(|account| {
            let operations = PayOperation::ALL.into_iter().map(PayOperation::as_str);
            operations.flat_map(move |operation| CLASSES.map(|class| [*account, operation, class]))
        });
        let notices =
            accounts.iter().flat_map(|account| NoticeFate::ALL.iter().map(move |fate| [*account, fate.as_str()]));
        Ok(Self {
            notices: at_zero(
                registry.counter_vec(
                    "pay_notifications_total",
                    "Notifications that were posted for an account at Amazon Pay, by what became of them.",
                    &["account", "result"],
                )?,
                notices,
            )?,
            finished: at_zero(
                registry.counter_vec(
                    "payments_total",
                    "Charges, captures and refunds of Amazon Pay that reached a final status in this process.",
                    &["account", "kind", "status"],
                )?,
                ends,
            )?,
            declines: at_zero(
                registry.counter_vec(
                    "payment_declines_total",
                    "Charges, captures and refunds that Amazon Pay declined, by what the decline asks for.",
                    &["account", "kind", "decline"],
                )?,
                declines,
            )?,
            calls: at_zero(
                registry.counter_vec(
                    "pay_upstream_requests_total",
                    "Calls to Amazon Pay, by what is known after them.",
                    &["account", "operation", "outcome"],
                )?,
                calls,
            )?,
            in_state: registry.int_gauge_vec(
                "payments_in_state",
                "Unfinished charges, captures and refunds of the whole service.",
                &["account", "kind", "state"],
            )?,
            oldest_unproven: registry.gauge_vec(
                "payment_oldest_unproven_age_seconds",
                "Age of the oldest charge, capture or refund that Amazon has neither made nor refused, of the whole service.",
                &["account", "kind"],
            )?,
            shown: Mutex::default(),
        })
    }

    /// A payment came to its end, or needs a person.
    pub(super) fn finished(&self, payment: &Payment) {
        let (account, kind) = (payment.account.as_str(), payment.kind.as_str());
        self.finished.with_label_values(&[account, kind, payment.status()]).inc();
        if let Some(decline) = payment.decline {
            self.declines.with_label_values(&[account, kind, decline.as_str()]).inc();
        }
    }

    /// A notification was taken, or not.
    pub(super) fn notified(&self, account: &str, fate: NoticeFate) {
        self.notices.with_label_values(&[account, fate.as_str()]).inc();
    }

    /// A call about a checkout session was answered, or not.
    pub(super) fn asked(&self, account: &str, operation: PayOperation, class: &'static str) {
        self.calls.with_label_values(&[account, operation.as_str(), class]).inc();
    }

    /// A call to Amazon Pay was answered, or not.
    pub(super) fn called(&self, account: &str, answer: &PaymentAnswer) {
        self.counted(account, answer.call.operation, answer.call.class);
    }

    /// The same of a call that is about no payment.
    pub(super) fn counted(&self, account: &str, operation: &str, class: &str) {
        self.calls.with_label_values(&[account, operation, class]).inc();
    }
}

impl Payments {
    /// Sets the gauges of unfinished payments from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let (metrics, now) = (&self.courier().metrics, self.courier().ambient.now());
        let open = sql::unfinished(&mut self.courier().store.snapshot().await?).await?;
        // What an account left unfinished that the settings do not name any more nobody takes up: its age must be seen.
        let mut shown = metrics.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.extend(open.iter().map(|open| open.account.clone()));
        shown.extend(self.accounts().iter().map(|account| account.id.clone()));
        for account in shown.iter() {
            for kind in PaymentKind::ALL {
                let labels = [account.as_str(), kind.as_str()];
                let of_it = || open.iter().filter(|open| open.account == *account && open.kind == *kind);
                for state in OPEN_STATES {
                    let payments = of_it().filter(|open| open.state == state).map(|open| open.payments).sum();
                    metrics.in_state.with_label_values(&[labels[0], labels[1], state.as_str()]).set(payments);
                }
                let age = |since| horizon::age(since, now).num_seconds();
                let oldest = of_it().filter_map(|open| open.unproven_since).map(age).max().unwrap_or(0);
                metrics.oldest_unproven.with_label_values(&labels).set(seconds(oldest));
            }
        }
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.courier().metrics.in_state.reset();
        self.courier().metrics.oldest_unproven.reset();
    }
}
