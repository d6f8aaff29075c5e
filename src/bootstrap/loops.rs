//! The background loops: what runs without a request that waits for it.
//!
//! | loop | runs | does | at a stop |
//! |---|---|---|---|
//! | `slots` | for each account | hands out the slots of Amazon's request rate | goes on until the last request has ended |
//! | `recovery` | always | takes up rewards that are due | takes no more; what it carries is waited for |
//! | `payments` | always | takes up charges and refunds of Amazon Pay that are due, and those that an account left behind | takes no more; what it carries is waited for |
//! | `targets` | always | wipes what rewards no longer have to act on | ends |
//! | `retention` | if `rewards.retention_days` is set | archives settled rewards, one replica at a time | ends after its batch |
//! | `webhooks` | always | passes facts on to endpoints of clients, and sends what is due | takes no more; what it sends is waited for, 2 seconds |
//! | `memberships` | where the settings name an account at Amazon Pay | opens and charges periods, and issues their rewards | takes up no more; what it carries is waited for |
//! | `batches` | always | buys what waits in batches, and ends those that are over | takes up no more; what it carries is waited for |
//! | `balances` | always | asks Amazon for the balances | ends |
//! | `key_pairs` | for each account with key files | reads the files again, asks Amazon about a new pair, and exchanges it | ends |
//! | `log_filter` | always | brings the log's filter of the settings back a quarter of an hour after it was changed | ends |
//! | `database` | always | looks whether the database is still the one that was opened, takes writes, and could be restored | ends |
//! | `audit` | always | prints the audit's head each hour, and verifies it each day | ends; the stop prints the head |
//! | `tls` | if the API's port speaks TLS | reads its files again, and takes another certificate | ends |
//! | `clock` | on PostgreSQL | compares the clock with the database server's | ends |
//! | `reconciliation` | if `reconciliation.daily` is set | compares each day with Amazon's report | ends; the next start runs it again |
//!
//! Every loop is watched alike. A loop ends only when the process stops, so the process stops when a loop ends by
//! itself ([`Loops::first_end`]). A fresh process is better than one that recovers nothing, or sends nothing.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::select_all;
use tokio::task::JoinHandle;

use super::{clock, filter, watch};
use crate::{
    config::Settings,
    engine::recover::recover,
    server::{ApiTls, AppState},
    store::{self, StoreError},
};

/// A loop that is running.
struct Loop {
    /// Its name in the table above.
    name: &'static str,
    ended: JoinHandle<()>,
    at_stop: AtStop,
}

/// What becomes of a loop when the process stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtStop {
    /// The loop sees the stop and ends. The stop waits for it.
    Ends,
    /// The last requests need the loop, so it is ended after them.
    GoesOn,
}

/// Every loop of the service.
pub(super) struct Loops(Vec<Loop>);

/// Starts every loop.
///
/// # Errors
/// [`StoreError`] when an account's row in the database cannot be made; without it the account has no slots.
pub(super) async fn start(
    state: &AppState,
    settings: &Settings,
    of_store: &Arc<store::Metrics>,
    tls: Option<ApiTls>,
) -> Result<Loops, StoreError> {
    let Loops(mut loops) = start_slots(state).await?;
    let tasks = &state.http.tasks;
    let mut begin = |name, ended| loops.push(Loop { name, ended, at_stop: AtStop::Ends });

    let rewards = &state.rewards;
    let poll = settings.rewards.recovery_poll;
    begin("recovery", tasks.spawn(recover(rewards.recovery(), tasks.clone(), rewards.wake(), poll)));

    let payments = &state.payments;
    begin("payments", tasks.spawn(recover(payments.recovery(), tasks.clone(), payments.wake(), poll)));

    begin("targets", tasks.spawn(rewards.courier().clone().wipe_targets_until_stopped(poll)));

    if let Some(keep) = settings.rewards.retention {
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        begin("retention", tasks.spawn(rewards.retention().pass_until_stopped(keep, poll)));
    }

    begin("webhooks", tasks.spawn(state.webhooks.clone().deliver_until_stopped()));

    begin("batches", tasks.spawn(state.batches.clone().run_until_stopped()));

    if !payments.accounts().is_empty() {
        begin("memberships", tasks.spawn(state.memberships.clone().run_until_stopped()));
    }

    let (balances, own) = (state.balances.clone(), tasks.clone());
    begin("balances", tasks.spawn(async move { balances.poll_until(own).await }));

    for (id, _key_pairs) in rewards.accounts().iter().filter_map(|account| Some((account.id(), account.key_pairs()?))) {
        let (id, accounts, tasks_of_it) = (id.to_owned(), rewards.accounts().clone(), tasks.clone());
        begin("key_pairs", tasks.spawn(async move { accounts.watch_key_pairs(&id, &tasks_of_it).await }));
    }
    begin("log_filter", tasks.spawn(filter::run(state.log.clone(), state.http.ambient.clone(), tasks.clone())));
    begin(
        "database",
        tasks.spawn(watch::run(
            state.http.store.clone(),
            rewards.accounts().clone(),
            Arc::clone(of_store),
            tasks.clone(),
        )),
    );
    if let Some(clock) = state.clock.clone() {
        begin("clock", tasks.spawn(clock::run(clock, tasks.clone())));
    }
    let (audit, own) = (state.audit.clone(), tasks.clone());
    begin("audit", tasks.spawn(async move { audit.watch_until(own).await }));
    if let Some(tls) = tls {
        begin("tls", tasks.spawn(tls.read_until(tasks.clone())));
    }
    if settings.reconciliation.daily {
        let reconciliations = state.reconciliations.clone();
        begin("reconciliation", tasks.spawn(async move { reconciliations.daily_until_stopped().await }));
    }
    Ok(Loops(loops))
}

/// Starts only the loops that hand out slots: a command that asks Amazon needs no others. They run on when the handles
/// are dropped.
///
/// # Errors
/// As [`start`].
pub(super) async fn start_slots(state: &AppState) -> Result<Loops, StoreError> {
    let mut loops = Vec::new();
    for account in state.rewards.accounts().iter() {
        account.prepare().await?;
        let ended = state.http.tasks.attend(account.rate().clone().dispatch());
        loops.push(Loop { name: "slots", ended, at_stop: AtStop::GoesOn });
    }
    Ok(Loops(loops))
}

impl Loops {
    /// Resolves when a loop has ended, with its name.
    pub(super) async fn first_end(&mut self) -> &'static str {
        let (_ended, at, _others) = select_all(self.0.iter_mut().map(|one| &mut one.ended)).await;
        self.0.get(at).map_or("unknown", |one| one.name)
    }

    /// Ends the loops that went on for the last requests.
    pub(super) fn end(&self) {
        let left = self.0.iter().filter(|one| one.at_stop == AtStop::GoesOn);
        left.map(|one| &one.ended).for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use tokio::runtime::Handle;

    use super::*;
    use crate::lifecycle::Tasks;

    /// What hands out slots is attended, not waited for, and is watched all the same.
    #[tokio::test]
    async fn a_dispatcher_of_slots_that_dies_is_noticed_like_every_loop() {
        let tasks = Tasks::on(Handle::current());
        let begun = |name, ended, at_stop| Loop { name, ended, at_stop };
        let mut loops = Loops(vec![
            begun("recovery", tasks.spawn(future::pending()), AtStop::Ends),
            begun("slots", tasks.attend(async { panic!("as a bug would") }), AtStop::GoesOn),
        ]);
        assert_eq!(loops.first_end().await, "slots");
    }
}
