//! What an operator asks of an account's key pairs and does with them.

use super::{
    ChangeReason, KeyPairs, KeySlot, PairChange,
    book::{self, KeyProof},
    decide::BELIEVED_US,
    proof,
    status::{KnownPairs, SlotStatus},
};
use crate::{
    accounts::Account,
    audit::Scribe,
    provider::incentives::Credentials,
    store::{Read, StoreError},
};

/// The key pairs of an account, and who holds them.
#[derive(Debug)]
pub(crate) struct KeyPairStatus {
    /// Of each slot that the settings name, in their order.
    pub(crate) slots: Vec<SlotStatus>,
    /// How many replicas live.
    pub(crate) replicas: usize,
}

/// Which pair is to come in force.
pub(crate) struct PairOrder<'a> {
    pub(crate) slot: KeySlot,
    /// The name of the pair that is meant. A replica may hold another in the slot for a moment.
    pub(crate) key: Option<&'a str>,
}

/// Why a pair does not come in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotActivated {
    #[error("there is no pair in this slot: put one into its files")]
    Empty,
    #[error("there is another pair in this slot: look at the status")]
    Another,
    #[error("Amazon has not taken this pair lately: verify it first")]
    Unproven,
    #[error("this pair is in force already")]
    InForce,
    #[error("a replica does not hold this pair yet, or none lives: look at the status, and wait")]
    NotHeld,
    #[error("another pair came in force meanwhile: look at the status")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What Amazon said of a slot's pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// It takes it, or refuses it.
    Answered(KeyProof),
    /// Its answer said nothing of the pair, or there was none.
    Unanswered,
    /// This process is asking already.
    Asking,
    /// There is no pair in the slot.
    Empty,
}

impl KeyPairs {
    /// How the pairs stand, those of this process's files.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn status(&self, account: &Account) -> Result<KeyPairStatus, StoreError> {
        self.status_on(&mut self.store.snapshot().await?, account).await
    }

    async fn status_on(&self, on: &mut impl Read, account: &Account) -> Result<KeyPairStatus, StoreError> {
        let now_us = self.ambient.now().timestamp_micros();
        let pairs = book::pairs(on, account.id()).await?;
        let holders = book::holders(on, account.id(), now_us).await?;
        let known = KnownPairs { pairs: &pairs, holders: &holders, by_hand: self.by_hand, now_us };
        let slots =
            self.slots().into_iter().map(|(slot, pair)| known.of(slot, pair.as_ref().map(Credentials::fingerprint)));
        Ok(KeyPairStatus { slots: slots.collect(), replicas: known.replicas() })
    }

    /// Asks Amazon whether it takes the pair of a slot, and keeps what it says.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn verify(&self, account: &Account, slot: KeySlot) -> Result<Verified, StoreError> {
        let Some(pair) = self.pair_of(slot) else { return Ok(Verified::Empty) };
        // A question takes a turn of the partner's, for which its balance polls wait as well.
        let Ok(_asking) = self.verifying.try_lock() else { return Ok(Verified::Asking) };
        let fingerprint = pair.fingerprint();
        let now_us = self.ambient.now().timestamp_micros();
        book::meet(&self.store, account.id(), fingerprint, now_us).await?;
        let pairs = book::pairs(&mut self.store.snapshot().await?, account.id()).await?;
        let Some(before) = pairs.into_iter().find(|known| known.fingerprint == fingerprint) else {
            return Ok(Verified::Unanswered);
        };
        let asked_at = self.ambient.now();
        let Some(verdict) = proof::ask(account, &self.ambient, &pair, &before).await else {
            return Ok(Verified::Unanswered);
        };
        book::answered(&self.store, account.id(), &before, verdict, asked_at).await?;
        Ok(Verified::Answered(verdict))
    }

    /// Writes down what is done with the pairs, in this process's name.
    pub(crate) const fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// Puts the pair of a slot in force, and writes down by whom. Every replica that holds it signs with it at its next look. How the
    /// pairs stand then is read before the commit: whoever is answered by an error may believe that nothing was done.
    ///
    /// # Errors
    /// [`NotActivated`]; nothing was put in force.
    pub(crate) async fn activate(
        &self,
        account: &Account,
        order: &PairOrder<'_>,
        by: &Scribe,
    ) -> Result<KeyPairStatus, NotActivated> {
        let to = self.pair_of(order.slot).ok_or(NotActivated::Empty)?.fingerprint();
        if order.key.is_some_and(|key| key != to.short()) {
            return Err(NotActivated::Another);
        }
        let now_us = self.ambient.now().timestamp_micros();
        let pairs = book::pairs(&mut self.store.snapshot().await?, account.id()).await?;
        let from = pairs.iter().find(|pair| pair.in_force).map(|pair| pair.fingerprint);
        if from == Some(to) {
            return Err(NotActivated::InForce);
        }
        // An answer of long ago says nothing: the pair may have been made inactive since.
        let accepted = |pair: &book::KnownPair| {
            pair.fingerprint == to && pair.verdict == Some(KeyProof::Accepted) && pair.age_us(now_us) < BELIEVED_US
        };
        if !pairs.iter().any(accepted) {
            return Err(NotActivated::Unproven);
        }
        let holders = book::holders(&mut self.store.snapshot().await?, account.id(), now_us).await?;
        let mut replicas = holders.chunk_by(|one, next| one.replica == next.replica);
        if holders.is_empty() || !replicas.all(|pairs| pairs.iter().any(|holder| holder.fingerprint == to)) {
            return Err(NotActivated::NotHeld);
        }
        let change = PairChange { from, to, why: ChangeReason::Ordered };
        let mut tx = self.store.begin().await?;
        let changed = book::put_in_force_in(&mut tx, account.id(), change, by, self.ambient.now()).await?;
        tx = tx.or_undo(if changed { Ok(()) } else { Err(NotActivated::Overtaken) }).await?;
        let status = self.status_on(&mut tx, account).await?;
        Ok(tx.commit(status).await?.into_inner())
    }

    fn pair_of(&self, slot: KeySlot) -> Option<Credentials> {
        self.slots().into_iter().find(|(of, _pair)| *of == slot)?.1
    }

    fn slots(&self) -> Vec<(KeySlot, Option<Credentials>)> {
        self.state().slots.iter().map(|(slot, files)| (*slot, files.settled.clone())).collect()
    }
}
