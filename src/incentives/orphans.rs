//! Orphan cards: only Amazon knew of them, because their rows were lost with a restored back-up. A reconciliation finds
//! them.
//!
//! Such a row is made as `needs_attention`, under a client that has no keys. Its intent is read out of Amazon's id, which
//! was derived from it, so it stands exactly where the lost row stood: `UNIQUE (intent)` lets no second one in. Nothing is
//! ever sent for it, until a caller comes back with the key that the intent was derived from. A hash of 160 bits cannot be
//! met otherwise: that proves whose it is, the row becomes the caller's, and the replay finds the same card.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{
    admission::{Admitted, budget_of},
    create_members::{members_asked, members_of},
    issue::{Accepted, Issue},
    issue_error::IssueError,
    kind::Kind,
    metrics::KeyUse,
    model::{Command, OnUnresolved, Reward},
    sql,
    timeline::TimelineEntry,
};
use crate::{
    accounts::Purpose,
    engine::{AttentionReason, Order, State, schedule},
    events::{
        Subject,
        timeline::{self, Fact},
    },
    kernel::{ClientId, CreationRequestId, Environment, Intent, Marketplace, Money, RewardId},
    store::{Sql, StoreError, Tx, execute, statements},
};

/// The name of the client that adopted rewards belong to; no key is made for it.
pub const CLIENT_NAME: &str = "noshi:adopted";

statements! {
    CLIENT = Sql::same(
        "clients.adopted",
        "INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    ADOPT = Sql::same(
        "rewards.adopt",
        "INSERT INTO rewards (id, client_id, intent, account, marketplace, environment, creation_request_id, kind, \
         amount_minor, currency, on_unresolved, state, version, ambiguous, cancel_requested, cancel_doubt, attention, \
         attempts, deliveries, events, created_at, updated_at, first_send_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
         $10, $11, $12, 1, FALSE, FALSE, FALSE, $13, 0, 0, 1, $14, $14, $15) ON CONFLICT DO NOTHING",
    );
    RECLAIM = Sql::same(
        "rewards.reclaim",
        "UPDATE rewards SET client_id = $3, external_id = $4, metadata = $5, on_unresolved = $6, program_id = $7 \
         WHERE id = $1 AND client_id = $2 AND NOT EXISTS \
         (SELECT 1 FROM rewards other WHERE other.client_id = $3 AND other.external_id = $4)",
    );
}

/// A card that only Amazon knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanCard {
    /// Amazon's id of it.
    pub creation_request_id: CreationRequestId,
    /// What the id was derived from.
    pub intent: Intent,
    /// What the report calls it.
    pub kind: Kind,
    /// The account that paid.
    pub account: String,
    /// Where.
    pub marketplace: Marketplace,
    /// Sandbox or production.
    pub environment: Environment,
    /// What it is worth.
    pub value: Money,
    /// When Amazon made it: the cancel window and the age limit of replays count from here.
    pub created_at: DateTime<Utc>,
}

/// Makes the row of a card that only Amazon knew of; `false` when a row of its intent is there meanwhile, or when its kind
/// acts on something: no report has the target, and without it the same bytes cannot be sent again.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn adopt(tx: &mut Tx, found: &OrphanCard, id: RewardId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    if found.kind.spec().acts() {
        tracing::error!(
            account = found.account,
            reward.kind = found.kind.as_str(),
            "what only Amazon knows is of a kind that cannot be adopted: a person must look at the reconciliation"
        );
        return Ok(false);
    }
    execute!(tx, CLIENT, ClientId::ADOPTED.uuid(), CLIENT_NAME, now)?;
    let made = execute!(
        tx,
        ADOPT,
        id.uuid(),
        ClientId::ADOPTED.uuid(),
        found.intent.as_bytes().as_slice(),
        found.account.as_str(),
        found.marketplace.code(),
        found.environment.as_str(),
        found.creation_request_id.as_str(),
        found.kind.as_str(),
        found.value.minor(),
        found.value.currency().code(),
        OnUnresolved::Keep.as_str(),
        State::NeedsAttention.as_str(),
        AttentionReason::Adopted.as_str(),
        now,
        found.created_at
    )?;
    if made == 1 {
        let fact = Fact {
            subject: Subject::Reward(id),
            seq: 1,
            client: ClientId::ADOPTED,
            account: &found.account,
            kind: "reward.adopted",
            data: None,
        };
        timeline::write(tx, fact, now).await?;
    }
    Ok(made == 1)
}

impl Issue {
    /// Whether a key of this account without a row may be one whose row was lost with a restored back-up.
    pub(super) async fn is_row_lost(&self, account: &str) -> Result<bool, StoreError> {
        // Nobody restores under a running service.
        let Some(restored) = &self.restored else { return Ok(false) };
        restored.is_open(&mut self.courier.store.snapshot().await?, account).await
    }

    /// The caller of an orphan has come back: the key proves it. The row becomes theirs, and is replayed unless a person has
    /// settled it meanwhile or Amazon may have forgotten its id.
    pub(super) async fn reclaim(
        &self,
        orphan: Reward,
        client: ClientId,
        command: &Command,
        arrived: Instant,
    ) -> Result<Accepted, IssueError> {
        let courier = &self.courier;
        let same_account = command.account.as_ref().is_none_or(|account| *account == orphan.account);
        let same = [
            ("/kind", command.kind == orphan.kind),
            ("/value", command.value == orphan.value),
            ("/account_id", same_account),
        ];
        if let Some((pointer, _same)) = same.into_iter().find(|(_pointer, same)| !same) {
            courier.metrics.key_used(KeyUse::Mismatch);
            return Err(IssueError::Mismatch { reward: orphan.id, pointer });
        }
        let theirs = Reward { client, ..orphan.clone() };
        let too_old = schedule::is_too_old(&orphan.order, courier.limits.replay_age, courier.ambient.now());
        let account = courier.account_of(&theirs).filter(|_account| !too_old);
        let admitted = match account {
            Some(account) => {
                let slot = self.take_slot(account, client, Purpose::Look, arrived).await?;
                // Only what acts on nothing is adopted.
                Some(Admitted { account, slot, target: None })
            }
            None => None,
        };
        let program = command.program.as_ref();
        let members = match account {
            Some(account) => members_of(account, command, program)?,
            None => members_asked(command)?,
        };
        let orphan = Reward { members, ..orphan };
        self.take_over(&orphan, client, command, admitted).await
    }

    /// One transaction: the row is the caller's, and leased where it is to be replayed.
    async fn take_over(
        &self,
        orphan: &Reward,
        client: ClientId,
        command: &Command,
        admitted: Option<Admitted<'_>>,
    ) -> Result<Accepted, IssueError> {
        let courier = &self.courier;
        let (account, slot) = admitted.map(|Admitted { account, slot, .. }| (account, slot)).unzip();
        let now = courier.ambient.now();
        let mut tx = courier.store.begin_as("reward.reclaim").await?;
        let Some(mut reward) = sql::lock(&mut tx, orphan.id).await? else {
            return Err(StoreError::Unconfirmed.into());
        };
        if reward.client != ClientId::ADOPTED {
            // The same request came twice at once, and the other one was quicker. Committed like everything that is answered.
            return Ok(Accepted::Known(tx.commit(reward).await?.into_inner()));
        }
        let replayed = account.zip(schedule::reclaim(reward.order, courier.lease()?, now));
        let budget = replayed.and_then(|(account, _order)| budget_of(account, command, now));
        let metadata = command.metadata_json();
        let taken = execute!(
            tx,
            RECLAIM,
            reward.id.uuid(),
            ClientId::ADOPTED.uuid(),
            client.uuid(),
            command.external_id.as_deref(),
            metadata.as_deref(),
            command.on_unresolved.as_str(),
            budget.as_ref().map(|budget| budget.program.as_str())
        )?;
        let unique = if taken == 1 { Ok(()) } else { Err(IssueError::ExternalIdConflict) };
        tx = tx.or_undo(unique).await?;
        (reward.client, reward.external_id, reward.metadata) = (client, command.external_id.clone(), metadata);
        reward.members.clone_from(&orphan.members);
        reward.order.on_unproven = command.on_unresolved.into();
        if let Some((account, order)) = replayed {
            // What it was charged to was lost with the row, so it is charged again. Refused, everything stays as it is.
            reward.budget = budget;
            let reserved = self.reserve(&mut tx, account, &reward, now).await;
            tx = tx.or_undo(reserved).await?;
            reward.order = Order { on_unproven: command.on_unresolved.into(), ..order };
        }
        let entry = TimelineEntry::new("reward.reclaimed");
        if !sql::save(&mut tx, &mut reward, &[entry], now).await? {
            return Err(StoreError::Unconfirmed.into());
        }
        sql::keep_members(&mut tx, &reward).await?;
        let committed = tx.commit(reward).await?;
        courier.metrics.key_used(if replayed.is_some() { KeyUse::InProgress } else { KeyUse::Replayed });
        Ok(match replayed {
            Some(_) => Accepted::Attempt(committed, slot),
            None => Accepted::Known(committed.into_inner()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions, migrate::migrate};

    #[tokio::test]
    async fn a_card_is_adopted_as_the_kind_that_it_is_and_one_that_acts_on_something_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}", folder.path().join("noshi.db").display()).into();
        let options = StoreOptions { create: true, ..StoreOptions::of_command(url, 1) };
        let store = Store::open(&options).await.unwrap();
        migrate(&store).await.unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let intent = Intent::from_stored([7; 20]);
        let gift_code = OrphanCard {
            creation_request_id: CreationRequestId::from_stored("AwssbA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYH".to_owned()),
            intent,
            kind: Kind::GiftCode,
            account: "main".to_owned(),
            marketplace: Marketplace::Us,
            environment: Environment::Sandbox,
            value: Money::from_minor(500, crate::kernel::Currency::Usd),
            created_at: now,
        };
        let activation = OrphanCard { kind: Kind::CardActivation, ..gift_code.clone() };
        for (card, adopted) in [(&activation, false), (&gift_code, true), (&gift_code, false)] {
            let id = RewardId::new(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
            let mut tx = store.begin().await.unwrap();
            assert_eq!(adopt(&mut tx, card, id, now).await.unwrap(), adopted, "{}", card.kind.as_str());
            tx.commit(()).await.unwrap();
        }
        let mut tx = store.begin().await.unwrap();
        let row = sql::lock(&mut tx, RewardId::new(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.kind, Kind::GiftCode);
        tx.commit(()).await.unwrap();
        store.close().await;
    }
}
