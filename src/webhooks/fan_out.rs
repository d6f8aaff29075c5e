//! Facts become deliveries: one for each endpoint that hears of them.
//!
//! Every replica tries. It reads how far the facts have been passed on, the next of them, and who listens; then one transaction takes the
//! mark from where it was to where it shall be, and puts the deliveries down. The replica that finds the mark elsewhere has lost, and writes
//! nothing. A fact is passed on only once no smaller id can be committed any more, so none is skipped.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    deliveries::{self, NewDelivery},
    endpoints::{self, WebhookEndpoint},
    event::{Known, hears, is_event, program_of},
    message::subject_of_named,
};
use crate::{
    ambient::Ambient,
    events::stream::{self, About, StreamedFact},
    failpoint,
    incentives::sql::brief::{RewardBrief, brief},
    kernel::{ClientId, ProgramId, RewardId},
    ledger::programs,
    store::{Read, Snapshot, Sql, Store, StoreError, Tx, execute, fetch_optional, row, statements},
};

/// Ids of one step, and deliveries that it puts down; those of its last fact may exceed them.
const WINDOW: i64 = 200;
const DELIVERIES_MAX: usize = 400;
/// Windows without a fact that the metrics page looks through.
const GAPS_MAX: usize = 20;

statements! {
    THROUGH = Sql::same("webhook_feed.through", "SELECT through FROM webhook_feed WHERE id = 1");
    ADVANCE = Sql::same(
        "webhook_feed.advance",
        "UPDATE webhook_feed SET through = $2 WHERE id = 1 AND through = $1",
    );
    /// While nobody listens the mark stays behind: the first endpoint hears of what comes after it.
    SKIP = Sql::same(
        "webhook_feed.skip",
        "UPDATE webhook_feed SET through = $1 WHERE id = 1 AND through < $1 \
         AND NOT EXISTS (SELECT 1 FROM webhook_endpoints WHERE state <> 'deleted')",
    );
}

row! {
    struct ThroughRow { through: i64 }
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FanOutStep {
    /// Nobody listens.
    NobodyListens,
    /// No fact waits, or the first that does can still be preceded by another.
    Idle,
    /// Another replica was faster.
    Lost,
    /// Facts were passed on, and there may be more.
    Moved,
}

/// Passes the next facts on.
pub(super) async fn step(store: &Store, ambient: &Ambient) -> Result<FanOutStep, StoreError> {
    let mut snapshot = store.snapshot().await?;
    if endpoints::listening(&mut snapshot).await?.is_empty() {
        return Ok(FanOutStep::NobodyListens);
    }
    let through = fetch_optional!(ThroughRow, snapshot, THROUGH)?.map_or(0, |row| row.through);
    let given = stream::given(&mut snapshot).await?;
    if given <= through {
        return Ok(FanOutStep::Idle);
    }
    let target = stream::settled(&mut snapshot, given).await?.min(through.saturating_add(WINDOW));
    if target <= through {
        return Ok(FanOutStep::Idle);
    }
    // Read the endpoints after the mark: one that is missing here was made after these facts. The first read only asks whether anybody listens.
    let listening = endpoints::listening(&mut snapshot).await?;
    let facts = stream::window(&mut snapshot, through, target).await?;
    let mut new = heard(&mut snapshot, &listening, facts).await?;
    drop(snapshot);
    let target = cut(&mut new).unwrap_or(target);
    let now = ambient.now();
    let mut tx = store.begin_as("webhooks.fan_out").await?;
    // First: whoever is slower waits here, and finds the mark elsewhere.
    if execute!(tx, ADVANCE, through, target)? == 0 {
        tx.undo().await;
        return Ok(FanOutStep::Lost);
    }
    for delivery in &new {
        deliveries::insert(&mut tx, delivery, now).await?;
    }
    failpoint::pass("webhooks", "before_fan_out");
    tx.commit(()).await?;
    failpoint::pass("webhooks", "after_fan_out");
    Ok(FanOutStep::Moved)
}

/// Leaves out what is too much for one step. Returns the last fact that is left, where something was left out.
fn cut(new: &mut Vec<NewDelivery>) -> Option<i64> {
    let last = new.get(DELIVERIES_MAX.saturating_sub(1))?.fact;
    let kept = new.iter().take_while(|delivery| delivery.fact <= last).count();
    let is_cut = kept < new.len();
    new.truncate(kept);
    is_cut.then_some(last)
}

/// When the first fact was written that has not been passed on, while somebody listens. Ids have gaps.
pub(super) async fn behind_since(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut through = fetch_optional!(ThroughRow, snapshot, THROUGH)?.map_or(0, |row| row.through);
    let given = stream::given(snapshot).await?;
    for _ in 0..GAPS_MAX {
        if through >= given {
            break;
        }
        let next = through.saturating_add(WINDOW);
        if let Some(first) = stream::window(snapshot, through, next).await?.first() {
            return Ok(Some(first.at));
        }
        through = next;
    }
    Ok(None)
}

/// Begins behind the facts that are there, where nobody has listened. The transaction has the audit's turn: no two do so at once.
pub(super) async fn begin_behind(tx: &mut Tx, given: i64) -> Result<(), StoreError> {
    execute!(tx, SKIP, given).map(drop)
}

/// The deliveries that these facts become, in the order of the facts.
async fn heard(
    on: &mut impl Read,
    listening: &[WebhookEndpoint],
    facts: Vec<StreamedFact>,
) -> Result<Vec<NewDelivery>, StoreError> {
    let facts: Vec<StreamedFact> = facts.into_iter().filter(|fact| is_event(&fact.kind)).collect();
    let clients: BTreeSet<ClientId> = listening.iter().map(|endpoint| endpoint.client).collect();
    let rewards = rewards_of(on, &facts, &clients).await?;
    let owners = owners_of(on, &facts).await?;
    let mut new = Vec::new();
    for fact in &facts {
        let (known, subject, sequence) = match &fact.about {
            About::Reward { id, seq, .. } => match rewards.get(id) {
                Some(reward) => (Known::Reward(reward), id.to_string(), Some(*seq)),
                None => continue,
            },
            About::Payment { id, seq, .. } => (Known::Named, id.to_string(), Some(*seq)),
            About::Named { kind, name } => {
                let owner = program_of(fact).and_then(|program| owners.get(&program).copied());
                (owner.map_or(Known::Named, Known::Program), subject_of_named(kind, name), None)
            }
            About::Other => continue,
        };
        for endpoint in listening.iter().filter(|endpoint| hears(endpoint, fact, &known)) {
            new.push(NewDelivery {
                endpoint: endpoint.id,
                fact: fact.id,
                event_type: fact.kind.clone(),
                subject: subject.clone(),
                sequence,
                happened_at: fact.at,
            });
        }
    }
    Ok(new)
}

/// The rewards that the facts are about, as far as their clients listen.
async fn rewards_of(
    on: &mut impl Read,
    facts: &[StreamedFact],
    clients: &BTreeSet<ClientId>,
) -> Result<BTreeMap<RewardId, RewardBrief>, StoreError> {
    let of_clients = facts.iter().filter_map(|fact| match &fact.about {
        About::Reward { id, client, .. } if clients.contains(client) => Some(*id),
        About::Reward { .. } | About::Payment { .. } | About::Named { .. } | About::Other => None,
    });
    let ids: BTreeSet<RewardId> = of_clients.collect();
    let ids: Vec<RewardId> = ids.into_iter().collect();
    Ok(brief(on, &ids).await?.into_iter().map(|reward| (reward.id, reward)).collect())
}

/// Whose the programs are that the facts are about.
async fn owners_of(
    on: &mut impl Read,
    facts: &[StreamedFact],
) -> Result<BTreeMap<ProgramId, Option<ClientId>>, StoreError> {
    let named: BTreeSet<ProgramId> = facts.iter().filter_map(program_of).collect();
    let mut owners = BTreeMap::new();
    for id in named {
        match programs::find(on, &id).await {
            Ok(Some(program)) => drop(owners.insert(id, program.owner.map(|owner| owner.client))),
            Ok(None) => {}
            // It must not hold up the events of all others.
            Err(error) if error.is_about_the_row() => {
                tracing::error!(program = %id, error = %error, "a program cannot be read for its events");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(owners)
}
