//! Amazon's key pairs of an account: two slots of files, and which pair signs.
//!
//! Amazon takes two pairs of a partner at a time, so that one can be exchanged for another while rewards are issued. Every few
//! seconds each replica reads the files of both slots, says in the database which pairs it holds, and does what
//! [`decide`] finds:
//!
//! - A pair that Amazon has not been asked about signs one request, `GetAvailableFunds`. Only a pair that Amazon takes so comes in
//!   force. One that it refuses is reported and never taken.
//! - One pair is in force, in all replicas or in none: the database says which. A new one comes in force once every replica that
//!   lives holds it. Each replica then signs with it at its next look.
//! - If Amazon turns away the pair in force, a pair of before that Amazon still takes comes back.
//! - A replica that begins without the pair in force signs with what lies in its files until it knows better. If Amazon refuses that while
//!   other replicas hold the pair in force, it is not ready, and what Amazon says of its signatures closes the account to nobody.
//!
//! Requests under way are not disturbed: each attempt is signed anew, under the same Amazon request id.

pub mod book;
pub(crate) mod commands;
mod decide;
mod files;
pub(crate) mod gauges;
mod proof;
pub mod status;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use self::{
    book::{KeyProof, PairHolding},
    decide::{ChangeReason, HeldPair, NextStep, PairChange, PairSituation, ThisReplica},
    files::SlotFiles,
};
use super::Account;
use crate::{
    ambient::Ambient,
    audit::Scribe,
    config::KeyFiles,
    kernel::{Chain, word_methods},
    lifecycle::Tasks,
    provider::incentives::{Credentials, PairFingerprint},
    store::{Store, StoreError},
};

const EVERY: Duration = Duration::from_secs(2);
/// How often a replica says that it lives, where nothing has changed.
const HOLD_EVERY_US: i64 = 6_000_000;
/// How long the turn to ask is good: a wait for a slot, a call, and then some.
const ASKING_US: i64 = 15_000_000;
/// After a question that came to nothing, the next one waits so long.
const PAUSE_US: i64 = 5_000_000;
/// Steps of one look. Each leads to the next, and none leads back.
const STEPS_MAX: usize = 8;

/// Where an account's key pair lies. Amazon lets a partner have two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeySlot {
    /// `access_key_id_file` and `secret_access_key_file`.
    Primary,
    /// `second_access_key_id_file` and `second_secret_access_key_file`.
    Second,
}
word_methods!(KeySlot);

/// What the settings say of an account's key pairs.
#[derive(Debug, Clone)]
pub struct KeyPairSettings {
    /// The first slot.
    pub primary: SlotSettings,
    /// The second slot. Its files may be missing.
    pub second: Option<SlotSettings>,
    /// An operator puts a pair in force, once Amazon has taken it.
    pub by_hand: bool,
}

/// What the settings say of one slot.
#[derive(Debug, Clone)]
pub struct SlotSettings {
    /// Its files.
    pub files: KeyFiles,
    /// When the pair in it was made, in seconds since 1970.
    pub made_at: Option<i64>,
}

/// The key pairs of one account, as this replica sees them.
pub struct KeyPairs {
    replica: Uuid,
    by_hand: bool,
    store: Store,
    ambient: Ambient,
    /// Writes down which pair comes in force, in the name of this process.
    scribe: Scribe,
    /// Held while Amazon is asked about a pair because an operator wants to know.
    verifying: tokio::sync::Mutex<()>,
    /// This replica signs with another pair than the one in force, which another replica holds.
    out_of_step: AtomicBool,
    /// And Amazon refuses that pair.
    stranded: AtomicBool,
    state: Mutex<PairState>,
}

struct PairState {
    slots: Vec<(KeySlot, SlotFiles)>,
    /// Pairs that have gone from the files since this process began.
    memory: Vec<Credentials>,
    /// The rejections that the client had counted when Amazon was last asked about the pair in force, or when that changed.
    rejections: u64,
    /// What the database was last given, and when.
    held: (Vec<PairHolding>, i64),
}

/// A pair that this replica could sign with.
struct OwnPair {
    credentials: Credentials,
    /// Where it lies; `None` where it has gone from the files.
    slot: Option<KeySlot>,
}

impl KeyPairs {
    /// The pairs of an account whose first slot holds `primary` at the start. Reads the files of the second slot.
    #[must_use]
    pub fn new(
        settings: KeyPairSettings,
        primary: Credentials,
        replica: Uuid,
        store: Store,
        ambient: Ambient,
        scribe: Scribe,
    ) -> Self {
        let KeyPairSettings { primary: first, second, by_hand } = settings;
        let mut slots = vec![(KeySlot::Primary, SlotFiles::new(first, false, Some(primary)))];
        if let Some(second) = second {
            // What is wrong with them is reported by the first look.
            let settled = second.files.read_if_there().ok().flatten();
            let settled = settled.map(|(id, secret)| Credentials::new(id, secret));
            slots.push((KeySlot::Second, SlotFiles::new(second, true, settled)));
        }
        let state = PairState { slots, memory: Vec::new(), rejections: 0, held: (Vec::new(), 0) };
        let (out_of_step, stranded) = (AtomicBool::new(false), AtomicBool::new(false));
        let verifying = tokio::sync::Mutex::new(());
        Self { replica, by_hand, store, ambient, scribe, verifying, out_of_step, stranded, state: Mutex::new(state) }
    }

    /// Whether this replica signs with another pair than the one in force, because it does not hold that: what Amazon says of its
    /// requests' signatures says nothing of the account.
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.out_of_step.load(Ordering::Relaxed)
    }

    /// Whether Amazon refuses the pair that this replica signs with, and takes the one in force.
    pub(crate) fn is_stranded(&self) -> bool {
        self.stranded.load(Ordering::Relaxed)
    }

    /// Signs with the pair in force if it is held here. To be called before anything else signs.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn adopt(&self, account: &Account) -> Result<(), StoreError> {
        let now_us = self.ambient.now().timestamp_micros();
        let mut snapshot = self.store.snapshot().await?;
        let pairs = book::pairs(&mut snapshot, account.id()).await?;
        let holders = book::holders(&mut snapshot, account.id(), now_us).await?;
        let in_force = pairs.iter().find(|pair| pair.in_force).map(|pair| pair.fingerprint);
        let own = self.own(account);
        if let Some(own) = own.into_iter().find(|own| Some(own.credentials.fingerprint()) == in_force) {
            account.client().sign_with(own.credentials);
        }
        let signs_with = account.client().credentials().fingerprint();
        let elsewhere = holders.iter().any(|holder| Some(holder.fingerprint) == in_force);
        self.out_of_step.store(in_force.is_some_and(|pair| pair != signs_with) && elsewhere, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the files and does what is to be done, until the process stops.
    pub(crate) async fn watch(&self, account: &Account, tasks: &Tasks) {
        while !tasks.stopping().is_cancelled() {
            // A stop waits neither for a read nor for Amazon: what a look has begun, the next one begins again.
            let look = async {
                self.look(account).await;
                tokio::time::sleep(EVERY).await;
            };
            tokio::select! {
                () = tasks.stopping().cancelled() => return,
                () = look => {}
            }
        }
    }

    async fn look(&self, account: &Account) {
        self.read_files(account).await;
        if let Err(error) = self.act(account).await {
            tracing::warn!(account = account.id(), error = %Chain(&error), "the account's key pairs could not be looked after");
        }
    }

    async fn read_files(&self, account: &Account) {
        let files: Vec<_> = self.state().slots.iter().map(|(slot, files)| (*slot, files.files.clone())).collect();
        for (slot, files) in files {
            let Ok(read) = tokio::task::spawn_blocking(move || files.read_if_there()).await else { return };
            let read = read.map(|pair| pair.map(|(id, secret)| Credentials::new(id, secret)));
            if let Some(why) = self.state().take_over(slot, read) {
                tracing::error!(
                    account = account.id(),
                    pair.slot = slot.as_str(),
                    error = why,
                    "the account's key pair cannot be read again"
                );
            }
        }
    }

    async fn act(&self, account: &Account) -> Result<(), StoreError> {
        for _step in 0..STEPS_MAX {
            let situation = self.situation(account).await?;
            self.out_of_step.store(situation.is_out_of_step(), Ordering::Relaxed);
            self.stranded.store(situation.is_stranded(), Ordering::Relaxed);
            match situation.next() {
                NextStep::Rest => {
                    self.show(account, &situation);
                    return Ok(());
                }
                NextStep::Sign(pair) => self.sign(account, pair).await,
                NextStep::Ask(pair) => self.ask(account, &situation, pair).await?,
                NextStep::PutInForce(change) => {
                    let changed =
                        book::put_in_force(&self.store, account.id(), change, &self.scribe, self.ambient.now()).await?;
                    log_change(account, changed.then_some(change));
                }
            }
        }
        Ok(())
    }

    async fn situation(&self, account: &Account) -> Result<PairSituation, StoreError> {
        let now_us = self.ambient.now().timestamp_micros();
        let signs_with = account.client().credentials().fingerprint();
        let own = self.own(account);
        self.report(account, &own, signs_with, now_us).await?;
        let mut snapshot = self.store.snapshot().await?;
        let pairs = book::pairs(&mut snapshot, account.id()).await?;
        let mut others: Vec<(Uuid, Vec<HeldPair>)> = Vec::new();
        for holder in book::holders(&mut snapshot, account.id(), now_us).await? {
            let held = HeldPair { pair: holder.fingerprint, in_files: holder.slot.is_some() };
            match others.last_mut() {
                Some((replica, pairs)) if *replica == holder.replica => pairs.push(held),
                Some(_) | None => others.push((holder.replica, vec![held])),
            }
        }
        others.retain(|(replica, _pairs)| *replica != self.replica);
        let others = others.into_iter().map(|(_replica, pairs)| pairs).collect();
        let turned_away = account.client().rejections() != self.state().rejections;
        let held = own.iter().map(|own| HeldPair { pair: own.credentials.fingerprint(), in_files: own.slot.is_some() });
        let replica = ThisReplica { held: held.collect(), signs_with, turned_away };
        self.state().forget_refused(&pairs, signs_with);
        Ok(PairSituation { replica, pairs, others, by_hand: self.by_hand, now_us })
    }

    /// Says in the database what this replica holds, if that has changed or was said some time ago.
    async fn report(
        &self,
        account: &Account,
        own: &[OwnPair],
        signs_with: PairFingerprint,
        now_us: i64,
    ) -> Result<(), StoreError> {
        let holdings = own.iter().map(|own| {
            let fingerprint = own.credentials.fingerprint();
            PairHolding { fingerprint, slot: own.slot, signs: fingerprint == signs_with }
        });
        let mut holdings: Vec<_> = holdings.collect();
        // In one order in all replicas, so that none waits for another crosswise.
        holdings.sort_unstable_by_key(|holding| holding.fingerprint);
        let is_news = {
            let (before, at_us) = &self.state().held;
            *before != holdings || !(0..HOLD_EVERY_US).contains(&now_us.saturating_sub(*at_us))
        };
        if is_news {
            book::hold(&self.store, account.id(), self.replica, &holdings, now_us).await?;
            self.state().held = (holdings, now_us);
        }
        Ok(())
    }

    async fn sign(&self, account: &Account, pair: PairFingerprint) {
        let Some(own) = self.own(account).into_iter().find(|own| own.credentials.fingerprint() == pair) else { return };
        account.client().sign_with(own.credentials);
        self.state().rejections = account.client().rejections();
        if account.breaker().keys_changed().await {
            tracing::info!(account = account.id(), "Amazon takes the account's keys again: new rewards are issued");
        }
        tracing::info!(account = account.id(), pair.fingerprint = pair.short(), "the account's key pair was exchanged");
    }

    async fn ask(&self, account: &Account, situation: &PairSituation, pair: PairFingerprint) -> Result<(), StoreError> {
        let Some(before) = situation.pairs.iter().find(|known| known.fingerprint == pair) else { return Ok(()) };
        let own = self.own(account).into_iter().find(|own| own.credentials.fingerprint() == pair);
        let Some(own) = own else { return Ok(()) };
        let until_us = situation.now_us.saturating_add(ASKING_US);
        if !book::claim(&self.store, account.id(), pair, situation.now_us, until_us).await? {
            return Ok(());
        }
        let (rejections, asked_at) = (account.client().rejections(), self.ambient.now());
        let Some(verdict) = proof::ask(account, &self.ambient, &own.credentials, before).await else {
            let until_us = self.ambient.now().timestamp_micros().saturating_add(PAUSE_US);
            return book::pause(&self.store, account.id(), pair, until_us).await;
        };
        if pair == situation.replica.signs_with {
            self.state().rejections = rejections;
            // Calls of before, signed with another pair, may have come back after the exchange.
            if verdict == KeyProof::Accepted && before.in_force {
                account.breaker().keys_changed().await;
            }
        }
        log_verdict(account, &own, before, verdict);
        book::answered(&self.store, account.id(), before, verdict, asked_at).await
    }

    /// The pairs that this replica could sign with: of the slots in their order, then those in memory.
    fn own(&self, account: &Account) -> Vec<OwnPair> {
        let state = self.state();
        let of_slots = state.slots.iter().filter_map(|(slot, files)| Some((Some(*slot), files.settled.clone()?)));
        let in_memory = state.memory.iter().cloned().map(|pair| (None, pair));
        let in_use = (None, account.client().credentials());
        let mut own: Vec<OwnPair> = Vec::new();
        for (slot, credentials) in of_slots.chain(in_memory).chain([in_use]) {
            if own.iter().all(|own| own.credentials.shares(&credentials) != (true, true)) {
                own.push(OwnPair { credentials, slot });
            }
        }
        own
    }

    fn show(&self, account: &Account, situation: &PairSituation) {
        for (slot, files) in &self.state().slots {
            let pair = files.settled.as_ref().map(Credentials::fingerprint);
            let known = situation.pairs.iter().find(|known| Some(known.fingerprint) == pair);
            account.metrics().keys().state(account.id(), *slot, KeyState::of(pair.is_some(), known));
            // The age of a slot is not that of a pair which nothing will be signed with.
            if known.is_some_and(|known| known.verdict != Some(KeyProof::Accepted)) {
                continue;
            }
            // A pair that came after another is as old as that. Of the first one the settings must say it.
            let came = known.filter(|known| situation.pairs.iter().any(|other| other.met_us < known.met_us));
            let came_at = came.map(|known| known.met_us.div_euclid(1_000_000));
            let made = files.made.filter(|(made, _at)| Some(*made) == pair).map(|(_pair, at)| at).or(came_at);
            account.metrics().keys().created(account.id(), *slot, made);
        }
    }

    fn state(&self) -> MutexGuard<'_, PairState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PairState {
    /// Takes over what a slot's files hold. A pair that goes from them is kept in memory: it may be the one in force.
    fn take_over(&mut self, slot: KeySlot, read: Result<Option<Credentials>, String>) -> Option<String> {
        let (_slot, files) = self.slots.iter_mut().find(|(of, _files)| *of == slot)?;
        let before = files.settled.clone();
        let wrong = files.read(read);
        let stays = |pair: &Credentials| files.settled.as_ref().is_some_and(|now| now.shares(pair) == (true, true));
        let replaced = before.filter(|before| !stays(before));
        let is_kept = |pair: &Credentials| self.memory.iter().any(|kept| kept.shares(pair) == (true, true));
        let new = replaced.filter(|pair| !is_kept(pair));
        self.memory.extend(new);
        wrong
    }

    /// A pair that has gone from the files and that Amazon refuses is of no use any more.
    fn forget_refused(&mut self, pairs: &[book::KnownPair], signs_with: PairFingerprint) {
        let refused = |pair: PairFingerprint| {
            let known = pairs.iter().find(|known| known.fingerprint == pair);
            known.is_some_and(|known| known.verdict == Some(KeyProof::Refused) && !known.in_force)
        };
        self.memory.retain(|pair| pair.fingerprint() == signs_with || !refused(pair.fingerprint()));
    }
}

/// What there is to say of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeyState {
    /// There is no pair in it.
    Empty,
    /// Amazon has not said anything of its pair.
    Unproven,
    /// Amazon refuses its pair.
    Refused,
    /// Its pair was in force once, and Amazon no longer takes it.
    Ended,
    /// Amazon takes its pair, and another is in force.
    Accepted,
    /// Its pair signs.
    InForce,
}
word_methods!(KeyState);

impl KeyState {
    fn of(there: bool, known: Option<&book::KnownPair>) -> Self {
        let Some(pair) = known.filter(|_pair| there) else {
            return if there { Self::Unproven } else { Self::Empty };
        };
        match pair.verdict {
            Some(KeyProof::Refused) if !pair.in_force && pair.in_force_us > 0 => Self::Ended,
            // A pair in force that Amazon refuses is first of all refused.
            Some(KeyProof::Refused) => Self::Refused,
            _ if pair.in_force => Self::InForce,
            Some(KeyProof::Accepted) => Self::Accepted,
            None => Self::Unproven,
        }
    }
}

fn log_verdict(account: &Account, own: &OwnPair, before: &book::KnownPair, verdict: KeyProof) {
    if before.verdict == Some(verdict) {
        return;
    }
    let signs = account.client().credentials().shares(&own.credentials) == (true, true);
    let (account, pair) = (account.id(), before.fingerprint.short());
    let slot = own.slot.map_or("memory", KeySlot::as_str);
    match verdict {
        KeyProof::Accepted => {
            tracing::info!(account, pair.slot = slot, pair.fingerprint = pair, "Amazon takes the account's key pair");
        }
        KeyProof::Refused if signs => {
            tracing::error!(
                account,
                pair.slot = slot,
                pair.fingerprint = pair,
                "Amazon turns away the key pair that this replica signs with"
            );
        }
        KeyProof::Refused if before.verdict.is_some() => {
            tracing::info!(
                account,
                pair.slot = slot,
                pair.fingerprint = pair,
                "Amazon no longer takes this key pair, which nothing is signed with here"
            );
        }
        KeyProof::Refused => {
            tracing::error!(
                account,
                pair.slot = slot,
                pair.fingerprint = pair,
                "Amazon refuses the key pair: nothing is signed with it here"
            );
        }
    }
}

fn log_change(account: &Account, change: Option<PairChange>) {
    let Some(PairChange { from, to, why }) = change else { return };
    let (account, pair, before) = (account.id(), to.short(), from.map(PairFingerprint::short));
    match why {
        ChangeReason::Proven | ChangeReason::Ordered => {
            tracing::info!(account, pair.fingerprint = pair, pair.before = before, "another key pair is in force")
        }
        ChangeReason::Return => {
            tracing::error!(
                account,
                pair.fingerprint = pair,
                pair.before = before,
                "Amazon turned away the key pair in force: the one of before is back"
            );
        }
    }
}
