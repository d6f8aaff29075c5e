//! What all replicas know of an account's key pairs: what Amazon said of each, which is in force, and which replica holds which.
//!
//! A pair is known by a fingerprint. Neither its id nor its secret is stored.

use chrono::{DateTime, Utc};
use serde_json::json;
use strum::{EnumString, IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::{
    KeySlot,
    decide::{ChangeReason, PairChange},
};
use crate::{
    audit::{AuditAction, Deed, Scribe},
    events::{Named, outbox},
    kernel::{horizon::STRAY_US, word_methods},
    provider::incentives::PairFingerprint,
    store::{Committed, Read, Sql, Store, StoreError, Tx, execute, fetch_all, row, statements},
};

/// A replica that has not been seen for so long is gone.
pub(super) const LIVES_US: i64 = 20_000_000;
/// No question is asked later than another by more than that, but by a clock that has gone back since: a replica that stood still for
/// longer has no answer any more, because its connection is closed.
const AHEAD_US: i64 = 3_600_000_000;
/// Rows of replicas that are gone are kept for so long.
const KEPT_US: i64 = 600_000_000;

statements! {
    MEET = Sql::same(
        "key_pairs.meet",
        "INSERT INTO key_pairs (account, fingerprint, met_us) VALUES ($1, $2, $3) ON CONFLICT (account, fingerprint) DO NOTHING",
    );
    ALL = Sql::same(
        "key_pairs.all",
        "SELECT fingerprint, met_us, verdict, asked_us, asking_until_us, in_force, in_force_us FROM key_pairs \
         WHERE account = $1 ORDER BY met_us, fingerprint",
    );
    /// Takes the turn to ask Amazon about a pair. A turn that lies farther ahead than any was taken by a clock that has gone
    /// back since.
    CLAIM = Sql::same(
        "key_pairs.claim",
        "UPDATE key_pairs SET asking_until_us = $4 WHERE account = $1 AND fingerprint = $2 \
         AND (asking_until_us <= $3 OR asking_until_us > $4 + 10000000)",
    );
    PAUSE = Sql::same(
        "key_pairs.pause",
        "UPDATE key_pairs SET asking_until_us = $3 WHERE account = $1 AND fingerprint = $2",
    );
    /// A replica that stood still after it had asked does not overwrite what another has learnt since. What was asked later
    /// than $5 was asked by a clock that has gone back.
    ANSWERED = Sql::same(
        "key_pairs.answered",
        "UPDATE key_pairs SET verdict = $3, asked_us = $4, asking_until_us = 0 WHERE account = $1 AND fingerprint = $2 \
         AND (asked_us <= $4 OR asked_us > $5)",
    );
    /// A pair that Amazon turned away ($3) is a new one again: once Amazon takes it, it may come back in force.
    LEAVE = Sql::same(
        "key_pairs.leave",
        "UPDATE key_pairs SET in_force = FALSE, in_force_us = CASE WHEN $3 THEN 0 ELSE in_force_us END \
         WHERE account = $1 AND fingerprint = $2 AND in_force",
    );
    /// At most one is in force: there is an index for it.
    ENTER = Sql::same(
        "key_pairs.enter",
        "UPDATE key_pairs SET in_force = TRUE, in_force_us = $3 WHERE account = $1 AND fingerprint = $2 \
         AND verdict = 'accepted' AND NOT EXISTS \
         (SELECT 1 FROM key_pairs AS other WHERE other.account = $1 AND other.in_force)",
    );
    HOLD = Sql::same(
        "key_pair_holders.hold",
        "INSERT INTO key_pair_holders (account, replica, fingerprint, slot, signs, seen_us) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (account, replica, fingerprint) \
         DO UPDATE SET slot = excluded.slot, signs = excluded.signs, seen_us = excluded.seen_us",
    );
    /// What this replica holds no more, and those that are gone.
    FORGET = Sql::same(
        "key_pair_holders.forget",
        "DELETE FROM key_pair_holders WHERE account = $1 AND (replica = $2 AND seen_us <> $3 OR seen_us < $4 OR seen_us > $5)",
    );
    HOLDERS = Sql::same(
        "key_pair_holders.all",
        "SELECT replica, fingerprint, slot, signs FROM key_pair_holders WHERE account = $1 AND seen_us > $2 ORDER BY replica",
    );
}

row! {
    struct KeyPairRow {
        fingerprint: Vec<u8>, met_us: i64, verdict: Option<String>, asked_us: i64, asking_until_us: i64, in_force: bool,
        in_force_us: i64,
    }
}

row! {
    struct HolderRow { replica: Uuid, fingerprint: Vec<u8>, slot: Option<String>, signs: bool }
}

/// What Amazon said of a pair when it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum KeyProof {
    /// It reported the balance to a request that the pair had signed.
    Accepted,
    /// It turned the pair away, or refused the partner's account to it.
    Refused,
}
word_methods!(KeyProof);

/// A pair of an account.
#[derive(Debug, Clone, Copy)]
pub struct KnownPair {
    /// Which it is.
    pub fingerprint: PairFingerprint,
    /// When a replica first held it, in microseconds since 1970.
    pub met_us: i64,
    /// `None` before Amazon has said anything.
    pub verdict: Option<KeyProof>,
    /// When Amazon said it, in microseconds since 1970; 0 without a verdict.
    pub asked_us: i64,
    /// A replica is asking, until this instant at the latest.
    pub asking_until_us: i64,
    /// Every replica that holds it signs with it, from its next look on.
    pub in_force: bool,
    /// When it last came in force; 0 where it never was, or where Amazon turned it away then.
    pub in_force_us: i64,
}

impl KnownPair {
    /// How long ago Amazon was asked. What lies ahead was written by a clock that has gone back since.
    pub(super) const fn age_us(&self, now_us: i64) -> i64 {
        if self.asked_us > now_us.saturating_add(STRAY_US) { i64::MAX } else { now_us.saturating_sub(self.asked_us) }
    }

    pub(super) fn refused_at_us(&self) -> Option<i64> {
        (self.verdict == Some(KeyProof::Refused)).then_some(self.asked_us)
    }
}

/// A replica that lives and could sign with a pair.
#[derive(Debug, Clone, Copy)]
pub struct PairHolder {
    /// The process.
    pub replica: Uuid,
    /// The pair.
    pub fingerprint: PairFingerprint,
    /// The slot whose files it has read it from; `None` where it has gone from the files.
    pub slot: Option<KeySlot>,
    /// It signs with this pair.
    pub signs: bool,
}

/// What a replica has to say of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PairHolding {
    pub(super) fingerprint: PairFingerprint,
    pub(super) slot: Option<KeySlot>,
    pub(super) signs: bool,
}

/// Makes a pair's row, unless it exists.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn meet(store: &Store, account: &str, pair: PairFingerprint, now_us: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, MEET, account, pair.as_bytes(), now_us)?;
    tx.commit(()).await.map(Committed::into_inner)
}

/// Says what a replica holds at this instant, and forgets what it held before.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn hold(
    store: &Store,
    account: &str,
    replica: Uuid,
    holdings: &[PairHolding],
    now_us: i64,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    for PairHolding { fingerprint, slot, signs } in holdings {
        execute!(tx, MEET, account, fingerprint.as_bytes(), now_us)?;
        let slot = slot.map(KeySlot::as_str);
        execute!(tx, HOLD, account, replica, fingerprint.as_bytes(), slot, *signs, now_us)?;
    }
    let (gone, stray) = (now_us.saturating_sub(KEPT_US), now_us.saturating_add(STRAY_US));
    execute!(tx, FORGET, account, replica, now_us, gone, stray)?;
    tx.commit(()).await.map(Committed::into_inner)
}

/// The pairs of an account.
///
/// # Errors
/// [`StoreError`] from the database, also for a row that this program does not understand.
pub async fn pairs(on: &mut impl Read, account: &str) -> Result<Vec<KnownPair>, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "key_pairs", column };
    let read = |row: KeyPairRow| {
        let fingerprint = PairFingerprint::from_bytes(&row.fingerprint).ok_or_else(|| bad("fingerprint"))?;
        let verdict = row.verdict.map(|word| KeyProof::from_word(&word).ok_or_else(|| bad("verdict"))).transpose()?;
        let KeyPairRow { met_us, asked_us, asking_until_us, in_force, in_force_us, .. } = row;
        Ok(KnownPair { fingerprint, met_us, verdict, asked_us, asking_until_us, in_force, in_force_us })
    };
    fetch_all!(KeyPairRow, on, ALL, account)?.into_iter().map(read).collect()
}

/// The replicas that live, and what they hold.
///
/// # Errors
/// As [`pairs`].
pub async fn holders(on: &mut impl Read, account: &str, now_us: i64) -> Result<Vec<PairHolder>, StoreError> {
    let bad = |column| StoreError::Inconsistent { table: "key_pair_holders", column };
    let read = |row: HolderRow| {
        let fingerprint = PairFingerprint::from_bytes(&row.fingerprint).ok_or_else(|| bad("fingerprint"))?;
        let slot = row.slot.map(|word| KeySlot::from_word(&word).ok_or_else(|| bad("slot"))).transpose()?;
        Ok(PairHolder { replica: row.replica, fingerprint, slot, signs: row.signs })
    };
    let since = now_us.saturating_sub(LIVES_US);
    fetch_all!(HolderRow, on, HOLDERS, account, since)?.into_iter().map(read).collect()
}

/// Takes the turn to ask Amazon about a pair. It is good until `until_us`, or until [`answered`].
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn claim(
    store: &Store,
    account: &str,
    pair: PairFingerprint,
    now_us: i64,
    until_us: i64,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let taken = execute!(tx, CLAIM, account, pair.as_bytes(), now_us, until_us)? == 1;
    tx.commit(taken).await.map(Committed::into_inner)
}

/// Lets the next question about a pair wait: Amazon's answer said nothing of it.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn pause(
    store: &Store,
    account: &str,
    pair: PairFingerprint,
    until_us: i64,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, PAUSE, account, pair.as_bytes(), until_us)?;
    tx.commit(()).await.map(Committed::into_inner)
}

/// What Amazon said of a pair, of which the database had `before`, to a question of `asked_at`. A verdict that is new is a fact. One
/// that is older than what the database has is dropped.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn answered(
    store: &Store,
    account: &str,
    before: &KnownPair,
    verdict: KeyProof,
    asked_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let pair = before.fingerprint;
    let (asked_us, ahead_us) = (asked_at.timestamp_micros(), asked_at.timestamp_micros().saturating_add(AHEAD_US));
    if execute!(tx, ANSWERED, account, pair.as_bytes(), verdict.as_str(), asked_us, ahead_us)? != 1 {
        return Ok(());
    }
    let kind = match verdict {
        _ if before.verdict == Some(verdict) => None,
        KeyProof::Accepted => Some("account.key_accepted"),
        // Amazon took it before: someone has made it inactive, as the last step of an exchange, or too early.
        KeyProof::Refused if before.verdict.is_some() => Some("account.key_ended"),
        KeyProof::Refused => Some("account.key_refused"),
    };
    if let Some(kind) = kind {
        let data = json!({ "key": pair.short(), "in_force": before.in_force });
        outbox::write(&mut tx, kind, Named::Account(account), Some(&data), asked_at).await?;
    }
    tx.commit(()).await.map(Committed::into_inner)
}

/// Puts another pair in force, in all replicas, unless the one in force has changed meanwhile. Returns whether it did.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn put_in_force(
    store: &Store,
    account: &str,
    change: PairChange,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    if !put_in_force_in(&mut tx, account, change, scribe, now).await? {
        // The pair of before may have left already.
        tx.undo().await;
        return Ok(false);
    }
    tx.commit(true).await.map(Committed::into_inner)
}

/// The same in a transaction of the caller's, which must not be committed if this returns `false`.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn put_in_force_in(
    tx: &mut Tx,
    account: &str,
    change: PairChange,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let entered = enter(tx, account, change, now).await?;
    if !entered {
        return Ok(false);
    }
    let why = match change.why {
        ChangeReason::Proven => "proven",
        ChangeReason::Ordered => "ordered",
        ChangeReason::Return => "returned",
    };
    let before = change.from.map(PairFingerprint::short);
    let details = json!({"fingerprint": change.to.short(), "before": before, "why": why});
    let deed = Deed { action: AuditAction::KeyPairActivated, subject: account, details };
    match change.why {
        ChangeReason::Ordered => scribe.write(tx, deed, now).await.map(|()| true)?,
        // The account sells nothing if the pair in force is refused and no other comes in force.
        ChangeReason::Proven | ChangeReason::Return => scribe.write_or_log(tx, deed, now).await?,
    };
    Ok(true)
}

async fn enter(tx: &mut Tx, account: &str, change: PairChange, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if let Some(from) = change.from {
        let turned_away = change.why == ChangeReason::Return;
        if execute!(tx, LEAVE, account, from.as_bytes(), turned_away)? != 1 {
            return Ok(false);
        }
    }
    if execute!(tx, ENTER, account, change.to.as_bytes(), now.timestamp_micros())? != 1 {
        return Ok(false);
    }
    let kind = match change.why {
        ChangeReason::Proven | ChangeReason::Ordered => "account.key_changed",
        ChangeReason::Return => "account.key_returned",
    };
    let data = json!({ "key": change.to.short(), "before": change.from.map(PairFingerprint::short) });
    outbox::write(tx, kind, Named::Account(account), Some(&data), now).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::store::{StoreOptions, migrate::migrate};

    async fn verdict(store: &Store) -> Option<KeyProof> {
        pairs(&mut store.snapshot().await.unwrap(), "main").await.unwrap()[0].verdict
    }

    #[tokio::test]
    async fn an_answer_that_is_older_than_what_is_known_is_dropped_and_one_of_a_clock_that_was_ahead_gives_way() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display()).into();
        let store = Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url, 1) }).await.unwrap();
        migrate(&store).await.unwrap();
        let (pair, now) =
            (PairFingerprint::from_bytes(&[7; 32]).unwrap(), DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        meet(&store, "main", pair, now.timestamp_micros()).await.unwrap();
        let before = pairs(&mut store.snapshot().await.unwrap(), "main").await.unwrap()[0];
        let at = |minutes| now + TimeDelta::minutes(minutes);
        answered(&store, "main", &before, KeyProof::Accepted, at(5)).await.unwrap();
        answered(&store, "main", &before, KeyProof::Refused, at(0)).await.unwrap();
        assert_eq!(
            verdict(&store).await,
            Some(KeyProof::Accepted),
            "a replica stood still between question and answer"
        );
        answered(&store, "main", &before, KeyProof::Refused, at(-120)).await.unwrap();
        assert_eq!(verdict(&store).await, Some(KeyProof::Refused), "the clock has gone back");
    }
}
