//! What the service does for its audit: the record of its start, the head each hour and at the end, a verification each day, and each
//! hour while the audit is not whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    AuditAction, AuditActor, AuditHead, Deed, Metrics, Scribe, sql,
    verify::{AuditFault, KeptHeads, Misfit, WholeAudit, verify},
};
use crate::{
    ambient::Ambient,
    kernel::Chain,
    lifecycle::Tasks,
    store::{Store, StoreError},
};

/// How often to check what is due.
const LOOK: Duration = Duration::from_secs(60);
/// How often the head is printed.
const HEAD: TimeDelta = TimeDelta::hours(1);
/// Starts that are looked through for one of this machine.
const STARTS_MAX: i64 = 50;
/// Bytes of a setting's digest that are kept.
const DIGEST_BYTES: usize = 6;

/// The service's part in the audit.
#[derive(Clone)]
pub(crate) struct AuditWatch {
    pub(crate) store: Store,
    pub(crate) ambient: Ambient,
    pub(crate) scribe: Scribe,
    pub(crate) metrics: Arc<Metrics>,
    /// The hour of the day (UTC) from which on a day's verification is due.
    pub(crate) hour: u32,
}

/// The log's filter from now on, and the one before.
#[derive(Debug)]
pub(crate) struct FilterChange {
    pub(crate) filter: String,
    pub(crate) before: String,
}

/// What was done last.
#[derive(Default)]
struct WatchDone {
    head: Option<DateTime<Utc>>,
    /// What this process saw since its last verification: whatever becomes of the database, these records were there. Somebody who
    /// changes records between two verifications, and hashes all behind them anew, meets them.
    kept: KeptHeads,
    verified: Option<DateTime<Utc>>,
    /// The last verification found a record that does not fit.
    broken: bool,
}

impl AuditWatch {
    /// Records a start: the digest of the settings, and which of them differ from the last start on this machine, or else from
    /// the last one anywhere. `settings`: each with its value, secrets left out.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn started(&self, settings: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let digests: BTreeMap<&str, String> =
            settings.iter().map(|(name, value)| (name.as_str(), digest(value))).collect();
        let mut tx = self.store.begin().await?;
        self.scribe.wait_turn(&mut tx).await?;
        let starts = sql::newest_of(&mut tx, AuditAction::ServiceStarted.as_str(), STARTS_MAX).await?;
        let host = match AuditActor::service() {
            AuditActor::Service { host, .. } => host,
            AuditActor::ApiKey { .. } | AuditActor::AdminPort { .. } | AuditActor::Command { .. } => String::new(),
        };
        let here = starts.iter().find(|start| read(&start.actor).get("host").and_then(Value::as_str) == Some(&host));
        let before = here.or(starts.first()).map(|start| read(&start.details));
        let details = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "changed": before.map(|before| changed(&before, &digests)),
            "settings": digests,
        });
        let deed = Deed { action: AuditAction::ServiceStarted, subject: "service", details };
        self.scribe.write(&mut tx, deed, self.ambient.now()).await?;
        tx.commit(()).await.map(drop)
    }

    /// Records that somebody who showed the admin port's token changed the log's filter.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn filter_changed(&self, peer: Option<IpAddr>, change: FilterChange) -> Result<(), StoreError> {
        let details = json!({"filter": change.filter, "before": change.before});
        let scribe = self.scribe.of(AuditActor::AdminPort { peer });
        let mut tx = self.store.begin().await?;
        let deed = Deed { action: AuditAction::LogFilterChanged, subject: "log_filter", details };
        scribe.write(&mut tx, deed, self.ambient.now()).await?;
        tx.commit(()).await.map(drop)
    }

    /// Prints the head each hour and verifies each day, until the process stops.
    pub(crate) async fn watch_until(&self, tasks: Tasks) {
        let mut done = WatchDone::default();
        while !tasks.stopping().is_cancelled() {
            let looked = tokio::select! {
                looked = self.look(&mut done) => looked,
                // A verification reads all there is; a stop does not wait for it.
                () = tasks.stopping().cancelled() => Ok(()),
            };
            if let Err(error) = looked {
                tracing::warn!(error = %Chain(&error), "the audit could not be verified");
            }
            tokio::select! {
                () = tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&self, done: &mut WatchDone) -> Result<(), StoreError> {
        let now = self.ambient.now();
        if done.head.is_none_or(|at| now - at >= HEAD) {
            // A head that cannot be read keeps no verification from being tried.
            match self.print_head().await {
                Ok(head) => {
                    done.head = Some(now);
                    done.saw(head);
                }
                Err(error) => tracing::warn!(error = %Chain(&error), "the audit's head could not be read"),
            }
        }
        // The first look of the process, and then the first one of each day behind the hour.
        let today = now.date_naive().and_hms_opt(self.hour, 0, 0).map(|due| due.and_utc());
        let due = today.map(|due| if due > now { due - TimeDelta::days(1) } else { due });
        let is_due = |at: DateTime<Utc>| due.is_some_and(|due| at < due) || (done.broken && now - at >= HEAD);
        if done.verified.is_none_or(is_due) {
            let verified = self.verify(done.kept.clone()).await?;
            done.verified = Some(now);
            done.judged(verified);
        }
        Ok(())
    }

    /// Prints the head, so that a store of logs elsewhere keeps what the database held.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn print_head(&self) -> Result<AuditHead, StoreError> {
        let head = sql::head(&self.store).await?;
        tracing::info!(audit.sequence = head.sequence, audit.hash = %head.hash, "the audit's head");
        Ok(head)
    }

    async fn verify(&self, kept: KeptHeads) -> Result<Result<WholeAudit, AuditFault>, StoreError> {
        self.metrics.counted(&sql::counts(&mut self.store.snapshot().await?).await?);
        let verified = verify(&self.store, self.scribe.keys(), kept).await?;
        self.metrics.verified(verified.is_err(), self.ambient.now());
        match &verified {
            Ok(whole) => {
                tracing::info!(
                    audit.sequence = whole.head.sequence,
                    audit.unkeyed = whole.unkeyed,
                    "the audit is whole"
                );
            }
            Err(fault) => tracing::error!(audit.fault = %fault, "the audit is not whole: see `noshi audit verify`"),
        }
        Ok(verified)
    }
}

impl WatchDone {
    /// The first hash that was seen for a number stays. A head behind one that was seen is another chain's, and so is every head of
    /// an audit that is known to be broken: none of them says what was there.
    fn saw(&mut self, AuditHead { sequence, hash }: AuditHead) {
        let newest = self.kept.last_key_value().map_or(0, |(newest, _hash)| *newest);
        if sequence > newest && !self.broken {
            self.kept.insert(sequence, hash);
        }
    }

    /// Takes what a verification came to. Of an audit that is not whole, those heads are kept that it contradicts and those before
    /// them: once the records are put right, they fit. Heads behind were seen after the records were changed.
    fn judged(&mut self, verified: Result<WholeAudit, AuditFault>) {
        self.broken = verified.is_err();
        match verified {
            Ok(WholeAudit { head, .. }) => {
                self.kept.clear();
                self.saw(head);
            }
            Err(AuditFault { sequence, misfit: Misfit::Head, .. }) => {
                self.kept.retain(|kept, _hash| *kept <= sequence);
            }
            Err(AuditFault {
                misfit:
                    Misfit::Number | Misfit::Previous | Misfit::Hash | Misfit::Unkeyed | Misfit::UnknownKey | Misfit::Cut,
                ..
            }) => {}
        }
    }
}

/// A start of the one before whose JSON was changed compares with nothing: the verification is what finds it.
fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn digest(value: &str) -> String {
    let hash = Sha256::digest(value.as_bytes());
    data_encoding::HEXLOWER.encode(hash.get(..DIGEST_BYTES).unwrap_or_default())
}

/// Settings whose value is another one than before, or that are there in one of both only.
fn changed(before: &Value, now: &BTreeMap<&str, String>) -> Vec<String> {
    let empty = serde_json::Map::new();
    let before = before.get("settings").and_then(Value::as_object).unwrap_or(&empty);
    let differs = |name: &&str| before.get(*name).and_then(Value::as_str) != now.get(*name).map(String::as_str);
    let names: BTreeSet<&str> = before.keys().map(String::as_str).chain(now.keys().copied()).collect();
    names.into_iter().filter(differs).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
