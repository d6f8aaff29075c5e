//! What an operator asks of an account's key pairs, and what there is to be done.

use chrono::{DateTime, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{
    KeySlot, KeyState,
    book::{KeyProof, KnownPair, PairHolder},
};
use crate::{kernel::word_methods, provider::incentives::PairFingerprint};

/// After an exchange, calls of before may be under way for so long at most.
const UNDER_WAY_US: i64 = 60_000_000;

/// The pair of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// The slot.
    pub slot: KeySlot,
    /// Names the pair, in the log and the events too; `None` in an empty slot.
    pub key: Option<String>,
    /// How it stands.
    pub state: KeyState,
    /// When Amazon was last asked about it.
    pub asked_at: Option<DateTime<Utc>>,
    /// Since when it is in force, or when it last came in force.
    pub in_force_at: Option<DateTime<Utc>>,
    /// How many replicas hold it.
    pub held_by: usize,
    /// How many replicas sign with it.
    pub signed_by: usize,
    /// What is to be done.
    pub advice: KeyAdvice,
}

/// What is to be done about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeyAdvice {
    /// Nothing.
    None,
    /// Wait: Amazon has not been asked yet.
    WaitForAmazon,
    /// Wait: a replica does not hold it yet.
    WaitForReplicas,
    /// Put it in force: the settings leave that to an operator.
    Activate,
    /// Compare it with Amazon's portal.
    Correct,
    /// Wait: requests that it has signed may be under way.
    WaitForRequests,
    /// Make it inactive in Amazon's portal.
    Deactivate,
    /// Delete it in Amazon's portal and take it out of the files.
    Delete,
}

word_methods!(KeyAdvice);

/// What is known of an account.
pub struct KnownPairs<'a> {
    /// Its pairs.
    pub pairs: &'a [KnownPair],
    /// Who holds them.
    pub holders: &'a [PairHolder],
    /// An operator puts pairs in force.
    pub by_hand: bool,
    /// The present, in microseconds since 1970.
    pub now_us: i64,
}

impl KnownPairs<'_> {
    /// The status of a slot that holds this pair.
    #[must_use]
    pub fn of(&self, slot: KeySlot, fingerprint: Option<PairFingerprint>) -> SlotStatus {
        let known = self.pairs.iter().find(|pair| Some(pair.fingerprint) == fingerprint);
        let holders = || self.holders.iter().filter(|holder| Some(holder.fingerprint) == fingerprint);
        let at = |us: i64| (us > 0).then(|| DateTime::from_timestamp_micros(us)).flatten();
        let (held_by, signed_by) = (holders().count(), holders().filter(|holder| holder.signs).count());
        SlotStatus {
            slot,
            key: fingerprint.map(PairFingerprint::short),
            state: KeyState::of(fingerprint.is_some(), known),
            asked_at: known.and_then(|pair| at(pair.asked_us)),
            in_force_at: known.and_then(|pair| at(pair.in_force_us)),
            held_by,
            signed_by,
            advice: known
                .map_or(if fingerprint.is_some() { KeyAdvice::WaitForAmazon } else { KeyAdvice::None }, |pair| {
                    self.advice(pair, held_by, signed_by)
                }),
        }
    }

    /// How many replicas live.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.holders.chunk_by(|one, next| one.replica == next.replica).count()
    }

    fn advice(&self, pair: &KnownPair, held_by: usize, signed_by: usize) -> KeyAdvice {
        let was_in_force = pair.in_force_us > 0;
        let current = self.pairs.iter().find(|other| other.in_force);
        let settled = current.is_some_and(|other| self.now_us.saturating_sub(other.in_force_us) >= UNDER_WAY_US);
        match pair.verdict {
            None => KeyAdvice::WaitForAmazon,
            Some(KeyProof::Refused) if pair.in_force || !was_in_force => KeyAdvice::Correct,
            Some(KeyProof::Refused) => KeyAdvice::Delete,
            Some(KeyProof::Accepted) if pair.in_force => KeyAdvice::None,
            Some(KeyProof::Accepted) if was_in_force && (signed_by > 0 || !settled) => KeyAdvice::WaitForRequests,
            Some(KeyProof::Accepted) if was_in_force => KeyAdvice::Deactivate,
            Some(KeyProof::Accepted) if held_by < self.replicas() => KeyAdvice::WaitForReplicas,
            Some(KeyProof::Accepted) if self.by_hand => KeyAdvice::Activate,
            Some(KeyProof::Accepted) => KeyAdvice::WaitForReplicas,
        }
    }
}
