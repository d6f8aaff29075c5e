//! Builds the services.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::Notify;

use super::{StartError, accounts, metrics::AllMetrics, pay};
use crate::{
    accounts::Accounts,
    ambient::Ambient,
    audit::{AuditWatch, Scribe},
    batches::{BatchDependencies, Batches},
    config::Settings,
    http::{Http, stranger_lines::StrangerLines},
    identity::{AdminToken, endings::KeyEndings},
    incentives::{
        Rewards,
        courier::{CourierLimits, CourierParts},
        restore_note::{self, RestoreNote},
    },
    ledger::Ledger,
    lifecycle::{Tasks, workplaces::Workplaces},
    membership::{MembershipDependencies, Memberships, follow::MembershipFollower},
    pay::{
        Payments,
        courier::{PayParts, Restored},
    },
    sealing::{Keyring, SealingError},
    server::AppState,
    store::{Store, clock::ServerClock},
    telemetry::{LogFilter, trace::Traces},
    treasury::{Balances, Reconciliations, balances::BalanceDependencies, reconciliation::ReconciliationDependencies},
    webhooks::{Reachable, Webhooks},
};

/// The parts that every service needs.
pub(super) struct Ground<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: Store,
    pub(super) ambient: Ambient,
    pub(super) tasks: Tasks,
    pub(super) metrics: AllMetrics,
    pub(super) traces: Traces,
    /// Writes in the name of this process.
    pub(super) scribe: Scribe,
}

/// Builds what the servers and the loops share. Nothing runs yet.
///
/// # Errors
/// [`StartError`] when an account or a sealing key of the settings cannot be used, or the note of the last restore
/// cannot be read.
pub(super) async fn assemble(ground: &Ground<'_>, log: LogFilter) -> Result<AppState, StartError> {
    let restored = restore_note::last(&mut ground.store.snapshot().await?).await?;
    let accounts = accounts::build(ground)?;
    accounts::adopt_key_pairs(&accounts).await?;
    let of_payments = restored.as_ref().map(|note| Restored { lost_from: note.lost_from, at: note.restored_at });
    let rewards = ground.rewards(&accounts, restored)?;
    let payments = ground.payments(of_payments)?;
    Ok(AppState {
        http: ground.http(),
        batches: ground.batches(&rewards),
        memberships: ground.memberships(&payments, &rewards),
        rewards,
        payments,
        balances: ground.balances(&accounts),
        ledger: ground.ledger(&accounts),
        keys: KeyEndings {
            store: ground.store.clone(),
            ambient: ground.ambient.clone(),
            metrics: Arc::clone(&ground.metrics.identity),
        },
        refusals: ground.metrics.refusals.clone(),
        reconciliations: ground.reconciliations(&accounts),
        audit: ground.audit(),
        webhooks: ground.webhooks()?,
        clock: ServerClock::of(&ground.store, &ground.ambient, &ground.metrics.store),
        log,
        admin_token: AdminToken::new(ground.settings.server.admin_token.as_ref()),
        metrics: Arc::clone(&ground.metrics.server),
    })
}

impl Ground<'_> {
    fn http(&self) -> Http {
        Http {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            tasks: self.tasks.clone(),
            metrics: Arc::clone(&self.metrics.http),
            traces: self.traces.clone(),
            workplaces: Workplaces::new(self.settings.rewards.in_flight_max),
            limits: self.metrics.key_limits.clone(),
            stranger_lines: StrangerLines::default(),
            body_timeout: self.settings.server.body_timeout,
        }
    }

    fn rewards(&self, accounts: &Accounts, restored: Option<RestoreNote>) -> Result<Rewards, SealingError> {
        let limits = &self.settings.rewards;
        let parts = CourierParts {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            accounts: accounts.clone(),
            metrics: Arc::clone(&self.metrics.incentives),
            tasks: self.tasks.clone(),
            limits: CourierLimits {
                lease: limits.lease,
                upstream_timeout: limits.upstream_timeout,
                breaker: limits.breaker,
                answer_within: limits.answer_within,
                replay_while_waited: limits.replay_while_waited,
                replay_age: limits.replay_age_limit,
                redelivery: limits.redelivery,
                redelivery_max: limits.redelivery_max,
                retention: limits.retention,
            },
            wake: Arc::new(Notify::new()),
            traces: self.traces.clone(),
            keyring: Keyring::new(&self.settings.sealing)?,
        };
        Ok(Rewards::new(parts, limits.in_flight_max, limits.reveals_per_hour, restored))
    }

    fn payments(&self, restored: Option<Restored>) -> Result<Payments, StartError> {
        Ok(Payments::new(PayParts {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            accounts: pay::build(self)?,
            metrics: Arc::clone(&self.metrics.pay),
            tasks: self.tasks.clone(),
            wake: Arc::new(Notify::new()),
            traces: self.traces.clone(),
            restored,
            follower: Arc::new(MembershipFollower::new(Arc::clone(&self.metrics.memberships))),
        }))
    }

    fn ledger(&self, accounts: &Accounts) -> Ledger {
        Ledger {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            accounts: accounts.clone(),
            metrics: Arc::clone(&self.metrics.ledger),
            scribe: self.scribe.clone(),
        }
    }

    fn audit(&self) -> AuditWatch {
        AuditWatch {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            scribe: self.scribe.clone(),
            metrics: Arc::clone(&self.metrics.audit),
            hour: self.settings.reconciliation.hour,
        }
    }

    fn batches(&self, rewards: &Rewards) -> Batches {
        Batches::new(BatchDependencies {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            tasks: self.tasks.clone(),
            rewards: rewards.clone(),
            metrics: Arc::clone(&self.metrics.batches),
            scribe: self.scribe.clone(),
            lease: self.settings.rewards.lease,
            in_flight_max: self.settings.rewards.in_flight_max,
        })
    }

    fn memberships(&self, payments: &Payments, rewards: &Rewards) -> Memberships {
        Memberships::new(MembershipDependencies {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            tasks: self.tasks.clone(),
            payments: payments.clone(),
            rewards: rewards.clone(),
            metrics: Arc::clone(&self.metrics.memberships),
            lease: self.settings.rewards.lease,
        })
    }

    fn webhooks(&self) -> Result<Webhooks, SealingError> {
        let settings = self.settings.webhooks;
        let reachable =
            Reachable { private_networks: settings.allow_private_networks, plain_http: settings.allow_plain_http };
        Ok(Webhooks {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            tasks: self.tasks.clone(),
            keyring: Arc::new(Keyring::new(&self.settings.sealing)?),
            poster: Arc::default(),
            reachable,
            metrics: Arc::clone(&self.metrics.webhooks),
            scribe: self.scribe.clone(),
        })
    }

    fn reconciliations(&self, accounts: &Accounts) -> Reconciliations {
        Reconciliations::new(ReconciliationDependencies {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            accounts: accounts.clone(),
            metrics: Arc::clone(&self.metrics.treasury),
            tasks: self.tasks.clone(),
            page_spacing: self.settings.reconciliation.page_spacing,
            hour: self.settings.reconciliation.hour,
        })
    }

    fn balances(&self, accounts: &Accounts) -> Balances {
        Balances::new(BalanceDependencies {
            store: self.store.clone(),
            ambient: self.ambient.clone(),
            accounts: accounts.clone(),
            metrics: Arc::clone(&self.metrics.treasury),
            poll: self.settings.balances.poll,
            stale_after: self.settings.balances.stale_after,
            confirm: TimeDelta::from_std(self.settings.balances.confirm).unwrap_or(TimeDelta::MAX),
        })
    }
}
