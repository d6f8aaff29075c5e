//! The metrics of every slice, in one registry.

use std::sync::Arc;

use crate::{
    accounts, audit, batches,
    config::{ServerSettings, Settings},
    http::{
        self,
        key_limits::{KeyLimits, KeyQuotas},
    },
    identity::{endings, refusals::KeyRefusals},
    incentives, ledger,
    membership::metrics::MembershipMetrics,
    pay::metrics::PayMetrics,
    server, store,
    telemetry::{LostLines, metrics::Registry, trace::Counters},
    treasury, webhooks,
};

/// The metrics of each slice, by the slice's name.
pub(super) struct AllMetrics {
    pub(super) accounts: Arc<accounts::Metrics>,
    pub(super) audit: Arc<audit::Metrics>,
    pub(super) http: Arc<http::Metrics>,
    /// The limits themselves: they count their refusals.
    pub(super) key_limits: KeyLimits,
    pub(super) identity: Arc<endings::Metrics>,
    pub(super) incentives: Arc<incentives::Metrics>,
    pub(super) refusals: KeyRefusals,
    pub(super) ledger: Arc<ledger::Metrics>,
    pub(super) memberships: Arc<MembershipMetrics>,
    pub(super) pay: Arc<PayMetrics>,
    pub(super) server: Arc<server::Metrics>,
    pub(super) spans: Counters,
    pub(super) store: Arc<store::Metrics>,
    pub(super) treasury: Arc<treasury::Metrics>,
    pub(super) webhooks: Arc<webhooks::Metrics>,
    pub(super) batches: Arc<batches::Metrics>,
}

impl AllMetrics {
    /// Registers the metrics of all slices. The accounts of the settings have their series from the start.
    pub(super) fn new(settings: &Settings, lost: LostLines) -> Result<Self, prometheus::Error> {
        let accounts: Vec<_> = settings
            .accounts
            .iter()
            .map(|(id, account)| (id.as_str(), account.marketplace.currency().code()))
            .collect();
        let sellers: Vec<_> = settings.pay.keys().map(String::as_str).collect();
        let registry = Registry::new()?;
        let operations: Vec<_> = incentives::kind::operations().collect();
        let ledger = Arc::new(ledger::Metrics::new(&registry)?);
        Ok(Self {
            accounts: Arc::new(accounts::Metrics::new(&registry, &accounts, &operations)?),
            audit: Arc::new(audit::Metrics::new(&registry)?),
            http: Arc::new(http::Metrics::new(&registry)?),
            key_limits: KeyLimits::new(quotas(&settings.server), &registry)?,
            identity: Arc::new(endings::Metrics::new(&registry)?),
            incentives: Arc::new(incentives::Metrics::new(&registry, &accounts, Arc::clone(&ledger))?),
            ledger,
            memberships: Arc::new(MembershipMetrics::new(&registry)?),
            pay: Arc::new(PayMetrics::new(&registry, &sellers)?),
            refusals: KeyRefusals::new(&registry)?,
            spans: Counters::new(&registry)?,
            store: Arc::new(store::Metrics::new(&registry)?),
            treasury: Arc::new(treasury::Metrics::new(&registry)?),
            webhooks: Arc::new(webhooks::Metrics::new(&registry)?),
            batches: Arc::new(batches::Metrics::new(&registry)?),
            server: Arc::new(server::Metrics::new(registry, lost)?),
        })
    }
}

const fn quotas(server: &ServerSettings) -> KeyQuotas {
    KeyQuotas {
        reads_per_minute: server.key_reads_per_minute,
        writes_per_minute: server.key_writes_per_minute,
        reveals_per_minute: server.key_reveals_per_minute,
        at_once: server.key_requests_at_once,
    }
}
