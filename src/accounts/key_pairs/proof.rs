//! Whether Amazon takes a key pair.

use std::time::Duration;

use super::book::{KeyProof, KnownPair};
use crate::{
    accounts::{Account, Purpose, Wanted},
    ambient::Ambient,
    provider::incentives::{Credentials, Outcome},
};

/// How long a question about a pair may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(4);
/// How long a question may take, all in all: less than a replica's turn to ask and its sign of life hold.
const QUESTION_MAX: Duration = Duration::from_secs(12);
/// Nobody asks but the service.
const LOOK: Wanted = Wanted { purpose: Purpose::Look, caller: None };

/// Asks Amazon for the balance, signed with this pair. `None` where the answer says nothing of the pair.
pub(super) async fn ask(
    account: &Account,
    ambient: &Ambient,
    credentials: &Credentials,
    before: &KnownPair,
) -> Option<KeyProof> {
    tokio::time::timeout(QUESTION_MAX, ask_in_turn(account, ambient, credentials, before)).await.ok().flatten()
}

async fn ask_in_turn(
    account: &Account,
    ambient: &Ambient,
    credentials: &Credentials,
    before: &KnownPair,
) -> Option<KeyProof> {
    if !account.turns().take_question().await {
        return None;
    }
    let _departure = account.rate().departure(LOOK, SLOT_PATIENCE).await.ok()?;
    let started = ambient.monotonic();
    let exchange = account.client().get_available_funds_with(credentials).await;
    let (class, reason) = (exchange.outcome.class(), exchange.outcome.reason());
    account.metrics().upstream(account.id(), "GetAvailableFunds", class, reason, started.elapsed());
    match exchange.outcome {
        Outcome::Proven(_funds) => Some(KeyProof::Accepted),
        Outcome::AuthRejected(why) if why.is_of_the_keys() => Some(KeyProof::Refused),
        // The pair of another partner. Of a pair that Amazon has taken the same answer says that the account has a problem.
        Outcome::Refused(_) if before.verdict != Some(KeyProof::Accepted) && !before.in_force => {
            Some(KeyProof::Refused)
        }
        Outcome::Refused(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
    }
}
