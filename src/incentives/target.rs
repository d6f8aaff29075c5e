//! What a reward acts on, in its row: sealed, and written in the transaction that records the intent; opened right before it
//! is sent; wiped by the update that makes it superfluous (`rewards.save`), or by [`Courier::wipe_targets`] once that time has
//! come. No list and no other look at rewards reads it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    courier::Courier,
    kind::{KeepsTarget, Kind, TargetEnding},
    model::Reward,
};
use crate::{
    config::KeyId,
    kernel::{Chain, RewardId, glyphs::repeats},
    provider::login::AccessToken,
    sealing::{Fingerprint, Keyring, Place, Sameness, Sealed, SealingError, SealingKeyUse, Target},
    store::{Snapshot, Sql, Store, StoreError, Tx, execute, fetch_all, fetch_optional, join, row, statements},
};

/// How often targets are looked for that have outlived their time.
const WIPE_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Rows that are wiped in one transaction.
const WIPE_MAX: i64 = 500;

/// Rows that have no use for their target any more: kind `$1`, issued ones that were first sent by `$2`. Those that were made
/// final by an update wiped it then, if the program that wrote it knew targets.
macro_rules! outlived {
    () => {
        "target_key IS NOT NULL AND kind = $1 AND (state IN ('failed', 'canceled') OR state = 'issued' AND first_send_at <= $2)"
    };
}

statements! {
    KEEP = Sql::same(
        "rewards.keep_target",
        "UPDATE rewards SET target_sealed = $3, target_key = $4, target_fingerprint = $5, target_ending = $6, \
         token_fingerprint = $7 WHERE id = $1 AND version = $2",
    );
    KEPT = Sql::same(
        "rewards.kept_target",
        "SELECT target_sealed, target_key, target_fingerprint, token_fingerprint FROM rewards WHERE id = $1",
    );
    WIPE = Sql::same(
        "rewards.wipe_targets",
        concat!(
            "UPDATE rewards SET target_sealed = NULL, target_key = NULL WHERE ", outlived!(),
            " AND id IN (SELECT id FROM rewards WHERE ", outlived!(), " LIMIT $3)"
        ),
    );
    SEALED_BY = Sql::same(
        "rewards.sealed_by",
        "SELECT target_key, COUNT(*) AS rewards FROM rewards WHERE target_key IS NOT NULL GROUP BY target_key \
         ORDER BY target_key",
    );
}

row! {
    struct TargetRow {
        target_sealed: Option<Vec<u8>>, target_key: Option<String>, target_fingerprint: Option<Vec<u8>>,
        token_fingerprint: Option<Vec<u8>>,
    }
}

row! {
    struct SealedByRow { target_key: String, rewards: i64 }
}

/// What a row keeps of a target.
#[derive(Clone)]
pub struct Kept {
    /// The target, until the outcome is final.
    pub sealed: Option<Sealed>,
    /// Says whether a request that comes again is the same.
    pub fingerprint: Fingerprint,
    /// Of the access token that the reward was made by, where it was made by one.
    pub token: Option<Fingerprint>,
}

/// Why a reward's target is not in hand.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTarget {
    /// The row has none, and its kind needs one.
    #[error("the row keeps no target")]
    NotKept,
    /// It does not open.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// The row cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn place_of(reward: &Reward) -> Place {
    Place { row: reward.id.uuid(), kind: reward.kind.as_str() }
}

/// Whether a text repeats what a reward acts on, as far as its row still keeps that and the keyring opens it.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn is_repeated(store: &Store, keyring: &Keyring, reward: &Reward, text: &str) -> Result<bool, StoreError> {
    let spec = reward.kind.spec();
    if !spec.acts() {
        return Ok(false);
    }
    let sealed = peek(&mut store.snapshot().await?, reward.id).await?.and_then(|kept| kept.sealed);
    let target = sealed.and_then(|sealed| keyring.open(&sealed, place_of(reward)).ok());
    Ok(target.as_ref().and_then(|target| spec.secret(target)).is_some_and(|secret| repeats(text, secret)))
}

impl Courier {
    /// What the row of a reward is to keep of its target, and of the token that showed it.
    pub(super) fn seal(
        &self,
        reward: &Reward,
        target: &Target,
        token: Option<&AccessToken>,
    ) -> Result<NewlySealed, SealingError> {
        let place = place_of(reward);
        let sealed = self.keyring.seal(target, place, &self.ambient)?;
        let fingerprint = self.keyring.fingerprint(target, place)?;
        let token = token.map(|token| self.keyring.fingerprint_token(&token.digest(), place)).transpose()?;
        let kept = Kept { sealed: Some(sealed), fingerprint, token };
        Ok(NewlySealed { kept, ending: reward.target_ending })
    }

    /// Whether this is the token that the reward was made by. `false` also where the key of then is not listed.
    pub(super) async fn same_token(&self, reward: &Reward, token: &AccessToken) -> Result<bool, StoreError> {
        let kept = peek(&mut self.store.snapshot().await?, reward.id).await?.and_then(|kept| kept.token);
        let compare = |kept| self.keyring.compare_token(&kept, &token.digest(), place_of(reward));
        Ok(kept.map(compare) == Some(Sameness::Same))
    }

    /// Whether this is the target that the reward was made for.
    pub(super) async fn same_target(&self, reward: &Reward, given: Option<&Target>) -> Result<Sameness, StoreError> {
        let kept = peek(&mut self.store.snapshot().await?, reward.id).await?;
        let same = match (kept, given) {
            (Some(kept), Some(given)) => self.keyring.compare(&kept.fingerprint, given, place_of(reward)),
            (None, None) => Sameness::Same,
            (Some(_), None) | (None, Some(_)) => Sameness::Different,
        };
        if same == Sameness::Unknown {
            tracing::error!(
                reward.id = %reward.id,
                "a caller came back with the key of a reward whose target was fingerprinted by a sealing key that is not listed"
            );
        }
        Ok(same)
    }

    /// The target of a reward, in the clear, to be sent.
    ///
    /// Where there is none in hand, nothing may be sent, and the reward waits as if no connection could be had: it is tried
    /// again on the ladder, an operator who lists the key again is all it needs, and after a day a person decides. To give it
    /// up at once would make a slip in the settings final.
    pub(super) async fn target_of(&self, reward: &Reward) -> Result<Target, NoTarget> {
        self.open_target(reward).await.inspect_err(|error| {
            tracing::error!(
                reward.id = %reward.id, reward.account = reward.account, error = %Chain(error),
                "what a reward acts on cannot be opened; nothing is sent for it until it can"
            );
        })
    }

    async fn open_target(&self, reward: &Reward) -> Result<Target, NoTarget> {
        let kept = peek(&mut self.store.snapshot().await?, reward.id).await?;
        let sealed = kept.and_then(|kept| kept.sealed).ok_or(NoTarget::NotKept)?;
        Ok(self.keyring.open(&sealed, place_of(reward))?)
    }

    /// Wipes every target that has outlived its time.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(super) async fn wipe_targets(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut wiped = 0_u64;
        for kind in Kind::ALL {
            let sent_by = match kind.spec().keeps_target() {
                KeepsTarget::Never => continue,
                KeepsTarget::UntilFinal => now,
                KeepsTarget::UntilIrreversible => {
                    now.checked_sub_signed(kind.rules().verdict_after).unwrap_or(DateTime::UNIX_EPOCH)
                }
            };
            loop {
                let mut tx = self.store.begin_as("reward.wipe_targets").await?;
                let rows = execute!(tx, WIPE, kind.as_str(), sent_by, WIPE_MAX)?;
                wiped = wiped.saturating_add(tx.commit(rows).await?.into_inner());
                if i64::try_from(rows).unwrap_or(0) < WIPE_MAX {
                    break;
                }
            }
        }
        Ok(wiped)
    }

    /// Wipes what has outlived its time until the process stops. Every replica does: what one has wiped, the other does not
    /// find.
    pub(crate) async fn wipe_targets_until_stopped(self, poll: Duration) {
        let mut wiped_at: Option<DateTime<Utc>> = None;
        while !self.tasks.stopping().is_cancelled() {
            let now = self.ambient.now();
            // By the clock that the rows go by; also when that was set back.
            if wiped_at.is_none_or(|at| now.signed_duration_since(at).abs() >= WIPE_EVERY) {
                match self.wipe_targets(now).await {
                    Ok(_rows) => wiped_at = Some(now),
                    Err(error) => tracing::warn!(error = %Chain(&error), "targets could not be wiped; tried again"),
                }
            }
            tokio::select! {
                () = self.tasks.stopping().cancelled() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }
}

/// What was just sealed for a reward, and is not in its row yet.
pub(super) struct NewlySealed {
    kept: Kept,
    ending: Option<TargetEnding>,
}

impl NewlySealed {
    /// Puts it into the row, at the version that this transaction has just written.
    pub(super) async fn keep(&self, tx: &mut Tx, reward: &Reward) -> Result<(), StoreError> {
        match keep(tx, reward.id, reward.order.version, &self.kept, self.ending).await? {
            true => Ok(()),
            false => Err(StoreError::Inconsistent { table: "rewards", column: "version" }),
        }
    }
}

/// Which keys sealed the targets that rewards still hold.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn sealed_by(snapshot: &mut Snapshot) -> Result<Vec<SealingKeyUse>, StoreError> {
    let rows = fetch_all!(SealedByRow, snapshot, SEALED_BY)?;
    let read = |row: SealedByRow| match row.target_key.parse() {
        Ok(key) => Ok(SealingKeyUse { key, count: row.rewards }),
        Err(_malformed) => Err(StoreError::Inconsistent { table: "rewards", column: "target_key" }),
    };
    rows.into_iter().map(read).collect()
}

/// Keeps a target in the row of a reward at this version; `false` when the row has changed since. A
/// transaction that joins its statements finds that out at its end.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn keep(
    tx: &mut Tx,
    id: RewardId,
    version: i64,
    kept: &Kept,
    ending: Option<TargetEnding>,
) -> Result<bool, StoreError> {
    join!(
        tx,
        KEEP,
        1,
        id.uuid(),
        version,
        kept.sealed.as_ref().map(Sealed::as_bytes),
        kept.sealed.as_ref().map(|sealed| sealed.key().as_str()),
        kept.fingerprint.as_bytes().as_slice(),
        ending.map(TargetEnding::number),
        kept.token.as_ref().map(|token| token.as_bytes().as_slice())
    )
}

/// What the row keeps, if it ever kept something.
///
/// # Errors
/// [`StoreError`] from the database; `Inconsistent` for what no program of ours writes.
pub async fn kept(tx: &mut Tx, id: RewardId) -> Result<Option<Kept>, StoreError> {
    fetch_optional!(TargetRow, tx, KEPT, id.uuid())?.map_or(Ok(None), Kept::read)
}

/// The same, read outside any transaction.
///
/// # Errors
/// As [`kept`].
pub async fn peek(snapshot: &mut Snapshot, id: RewardId) -> Result<Option<Kept>, StoreError> {
    fetch_optional!(TargetRow, snapshot, KEPT, id.uuid())?.map_or(Ok(None), Kept::read)
}

impl Kept {
    fn read(row: TargetRow) -> Result<Option<Self>, StoreError> {
        let bad = |column| StoreError::Inconsistent { table: "rewards", column };
        let Some(bytes) = row.target_fingerprint else { return Ok(None) };
        let read = |bytes: Vec<u8>, column| match bytes.try_into() {
            Ok(bytes) => Ok(Fingerprint::from_stored(bytes)),
            Err(_length) => Err(bad(column)),
        };
        let fingerprint = read(bytes, "target_fingerprint")?;
        let token = row.token_fingerprint.map(|bytes| read(bytes, "token_fingerprint")).transpose()?;
        let sealed = match (row.target_key, row.target_sealed) {
            (Some(key), Some(bytes)) => {
                let key: KeyId = key.parse().map_err(|_malformed| bad("target_key"))?;
                Some(Sealed::from_stored(key, bytes))
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(bad("target_sealed")),
        };
        Ok(Some(Self { sealed, fingerprint, token }))
    }
}
