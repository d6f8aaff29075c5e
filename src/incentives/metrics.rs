//! Metrics of rewards.

use std::sync::Arc;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::{Rewards, retention, reveal_count::RevealLevel, sql};
use crate::{
    kernel::{Money, horizon},
    ledger::{
        self,
        ceilings::Ceiling,
        floor::{FUNDS_FLOOR, FUNDS_UNKNOWN, FloorReached},
    },
    store::StoreError,
    telemetry::metrics::{Registry, at_zero, seconds},
};

const FINAL_STATES: [&str; 4] = ["issued", "failed", "canceled", "needs_attention"];
/// States of a reward that are gauges; finished ones are counters.
const OPEN_STATES: [&str; 5] = ["pending", "issuing", "unresolved", "canceling", "needs_attention"];
const RESOLUTIONS: [&str; 4] = ["kept", "canceled", "not_created", "needs_attention"];

/// What became of a request that named an idempotency key.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyUse {
    /// The key was new.
    New,
    /// The key's reward is final or answers for itself.
    Replayed,
    /// The key's reward is still being worked on.
    InProgress,
    /// The key was used for another command.
    Mismatch,
}

impl KeyUse {
    const ALL: [Self; 4] = [Self::New, Self::Replayed, Self::InProgress, Self::Mismatch];

    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replayed => "replayed",
            Self::InProgress => "in_progress",
            Self::Mismatch => "mismatch",
        }
    }
}

/// Counters are of this process; the gauges of unfinished rewards are set from the database.
pub struct Metrics {
    ledger: Arc<ledger::Metrics>,
    finished: IntCounterVec,
    resolutions: IntCounterVec,
    idempotent: IntCounterVec,
    pub(super) lease_lost: IntCounter,
    /// Requests that were refused because the database failed or was late.
    pub(super) unrecorded: IntCounter,
    ceilings: IntCounterVec,
    reveal_levels: IntCounterVec,
    archived: IntCounter,
    next_to_archive: GaugeVec,
    recovery_heartbeat: Gauge,
    parked: IntGaugeVec,
    in_state: IntGaugeVec,
    oldest_unresolved: GaugeVec,
}

impl Metrics {
    /// Registers them. `accounts` are the (account, currency) pairs of the settings; the ledger knows which programs have
    /// series of their own.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub fn new(
        registry: &Registry,
        accounts: &[(&str, &str)],
        ledger: Arc<ledger::Metrics>,
    ) -> Result<Self, prometheus::Error> {
        let by_status = ["account", "program", "currency", "status"];
        let finished = || {
            let states = accounts.iter().flat_map(|of| FINAL_STATES.map(|status| (of, status)));
            states.map(|((account, currency), status)| [*account, ledger::metrics::NO_PROGRAM, *currency, status])
        };
        Ok(Self {
            ledger,
            finished: at_zero(
                registry.counter_vec(
                    "rewards_total",
                    "Rewards that reached a final state in this process.",
                    &by_status,
                )?,
                finished(),
            )?,
            resolutions: at_zero(
                registry.counter_vec("resolutions_total", "How unproven outcomes ended.", &["outcome"])?,
                RESOLUTIONS.map(|outcome| [outcome]),
            )?,
            idempotent: at_zero(
                registry.counter_vec("idempotent_requests_total", "Requests by what their key named.", &["result"])?,
                KeyUse::ALL.map(|result| [result.as_str()]),
            )?,
            lease_lost: registry.counter("lease_lost_total", "Outcomes that came after another worker took over.")?,
            unrecorded: registry.counter(
                "requests_unrecorded_total",
                "Orders that were turned away because the database failed or was late.",
            )?,
            ceilings: ceilings(registry, accounts)?,
            reveal_levels: reveal_levels(registry)?,
            archived: registry.counter(
                "retention_archived_total",
                "Settled rewards that this process archived.",
            )?,
            next_to_archive: registry.gauge_vec(
                "retention_oldest_age_seconds",
                "Age of the oldest reward that the retention has not looked at, of the whole service; 0 without a retention.",
                &[],
            )?,
            recovery_heartbeat: registry
                .gauge("recovery_heartbeat_timestamp_seconds", "When due rewards were last looked for.")?,
            parked: at_zero(
                registry.int_gauge_vec(
                    "rewards_parked",
                    "Due rewards that this process lets rest because their row can be neither read nor written.",
                    &["account"],
                )?,
                accounts.iter().map(|(account, _currency)| [*account]),
            )?,
            in_state: registry.int_gauge_vec(
                "rewards_in_state",
                "Unfinished rewards of the whole service.",
                &["account", "state"],
            )?,
            oldest_unresolved: registry.gauge_vec(
                "oldest_unresolved_age_seconds",
                "Age of the oldest unproven outcome of the whole service.",
                &["account"],
            )?,
        })
    }

    /// A reward reached a final state.
    pub(super) fn finished(&self, account: &str, program: Option<&str>, value: Money, status: &str) {
        let labels = [account, self.ledger.program_label(program), value.currency().code(), status];
        self.finished.with_label_values(&labels).inc();
    }

    /// An unproven outcome was proven, or was given up.
    pub(super) fn resolved(&self, outcome: &str) {
        self.resolutions.with_label_values(&[outcome]).inc();
    }

    /// What a request's key named.
    pub(super) fn key_used(&self, how: KeyUse) {
        self.idempotent.with_label_values(&[how.as_str()]).inc();
    }

    /// A reward did not fit into a budget of its program.
    pub(super) fn budget_refused(&self, program: &str) {
        self.ledger.budget_refused(program);
    }

    /// A reward would have taken of the funds what is kept, or they are not known.
    pub(super) fn floor_refused(&self, reached: &FloorReached) {
        let word = if reached.known { FUNDS_FLOOR } else { FUNDS_UNKNOWN };
        self.ceilings.with_label_values(&[reached.account.as_str(), word]).inc();
    }

    /// A reward did not fit under a ceiling of its account's day.
    pub(super) fn ceiling_refused(&self, account: &str, ceiling: Ceiling) {
        self.ceilings.with_label_values(&[account, ceiling.as_str()]).inc();
    }

    /// So many settled rewards were archived.
    pub(super) fn archived(&self, rewards: u64) {
        self.archived.inc_by(rewards);
    }

    /// A key came to this level of what it may reveal in an hour.
    pub(super) fn many_reveals(&self, level: RevealLevel) {
        self.reveal_levels.with_label_values(&[level.as_str()]).inc();
    }

    /// The recovery loop is alive at this second.
    pub(super) fn heartbeat(&self, at: i64) {
        self.recovery_heartbeat.set(seconds(at));
    }

    /// So many rewards of an account rest.
    pub(super) fn parked(&self, account: &str, rewards: usize) {
        self.parked.with_label_values(&[account]).set(i64::try_from(rewards).unwrap_or(i64::MAX));
    }
}

fn reveal_levels(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let help = "How often an API key came to the half, or to all, of the codes that it may reveal in an hour.";
    let levels = RevealLevel::ALL.iter().map(|level| [level.as_str()]);
    at_zero(registry.counter_vec("reveal_levels_total", help, &["level"])?, levels)
}

fn ceilings(registry: &Registry, accounts: &[(&str, &str)]) -> Result<IntCounterVec, prometheus::Error> {
    let help = "Rewards refused because a ceiling of the account's day, or the floor of its funds, is reached.";
    let words = || Ceiling::ALL.iter().map(|ceiling| ceiling.as_str()).chain([FUNDS_FLOOR, FUNDS_UNKNOWN]);
    at_zero(
        registry.counter_vec("ceiling_refusals_total", help, &["account", "ceiling"])?,
        accounts.iter().flat_map(|(account, _currency)| words().map(|word| [*account, word])),
    )
}

impl Rewards {
    /// Sets the gauges of unfinished rewards, and of the accounts' breakers, from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let (metrics, now) = (&self.courier().metrics, self.courier().ambient.now());
        let open = sql::unfinished(&mut self.courier().store.snapshot().await?).await?;
        for account in self.accounts().iter() {
            for state in OPEN_STATES {
                metrics.in_state.with_label_values(&[account.id(), state]).set(0);
            }
            let mut oldest = 0;
            for open in open.iter().filter(|open| open.account == account.id()) {
                metrics.in_state.with_label_values(&[account.id(), open.state.as_str()]).set(open.rewards);
                let age = open.unproven_since.map_or(0, |since| horizon::age(since, now).num_seconds());
                oldest = oldest.max(age);
            }
            metrics.oldest_unresolved.with_label_values(&[account.id()]).set(seconds(oldest));
        }
        let mut unseen = 0;
        if self.courier().limits.retention.is_some() {
            let standing = retention::book::standing(&mut self.courier().store.snapshot().await?).await?;
            unseen = standing.next_at.map_or(0, |made| horizon::age(made, now).num_seconds());
        }
        metrics.next_to_archive.with_label_values::<&str>(&[]).set(seconds(unseen));
        // What a breaker is was read with the account's rate, every second.
        self.accounts().publish();
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        let metrics = &self.courier().metrics;
        metrics.in_state.reset();
        metrics.oldest_unresolved.reset();
        metrics.next_to_archive.reset();
        self.accounts().retract();
    }
}
