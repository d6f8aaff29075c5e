//! Whether Amazon takes a key pair.

use std::time::Duration;

use super::book::KeyProof;
use crate::{
    accounts::{Account, Purpose, Wanted},
    ambient::Ambient,
    provider::incentives::{Credentials, Outcome},
};

/// How long a question about a pair may wait for a slot of Amazon's rate.
const SLOT_PATIENCE: Duration = Duration::from_secs(5);
/// Amazon allows one question a second, over all replicas.
const NEXT_TURN: Duration = Duration::from_millis(1100);
/// Nobody asks but the service.
const LOOK: Wanted = Wanted { purpose: Purpose::Look, caller: None };

/// Asks Amazon for the balance, signed with this pair. `None` where the answer says nothing of the pair.
pub(super) async fn ask(
    account: &Account,
    ambient: &Ambient,
    credentials: &Credentials,
    in_force: bool,
) -> Option<KeyProof> {
    if !account.turns().take_funds(Duration::ZERO).await {
        tokio::time::sleep(NEXT_TURN).await;
        if !account.turns().take_funds(Duration::ZERO).await {
            return None;
        }
    }
    let _departure = account.rate().departure(LOOK, SLOT_PATIENCE).await.ok()?;
    let started = ambient.monotonic();
    let exchange = account.client().get_available_funds_with(credentials).await;
    let (class, reason) = (exchange.outcome.class(), exchange.outcome.reason());
    account.metrics().upstream(account.id(), "GetAvailableFunds", class, reason, started.elapsed());
    match exchange.outcome {
        Outcome::Proven(_funds) => Some(KeyProof::Accepted),
        Outcome::AuthRejected(why) if why.is_of_the_keys() => Some(KeyProof::Refused),
        // The pair of another partner. Of the pair in force the same answer says that the account has a problem.
        Outcome::Refused(_) if !in_force => Some(KeyProof::Refused),
        Outcome::Refused(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => None,
    }
}
