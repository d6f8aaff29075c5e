//! Rewards for which nobody waits, those of batches: they take the same way as all others, and nobody is handed a code.

use std::time::Instant;

use super::{
    issue::{Issue, Issued},
    issue_error::IssueError,
    model::{Command, Reward},
};
use crate::{
    engine::Stage,
    kernel::{ClientId, IdempotencyKey, Intent},
    store::StoreError,
};

impl Issue {
    /// Issues a reward, or finds the one that this key named before. A code is wiped unseen. One that was bought before is not asked for at Amazon
    /// again.
    ///
    /// # Errors
    /// [`IssueError`], as [`Issue::run`].
    pub(crate) async fn run_unawaited(
        &self,
        client: ClientId,
        command: Command,
        arrived: Instant,
    ) -> Result<Reward, IssueError> {
        if let Some(known) = self.known(client, &command.key).await?
            && known.order.stage != (Stage::Refused { retryable: true })
        {
            return match known.differs_in(&command) {
                None => Ok(known),
                Some(pointer) => Err(IssueError::Mismatch { reward: known.id, pointer }),
            };
        }
        let Issued { reward, code, replayed: _ } = self.run(client, command, None, arrived).await?;
        drop(code);
        Ok(reward)
    }

    /// The reward that this client's key named before.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn known(&self, client: ClientId, key: &IdempotencyKey) -> Result<Option<Reward>, StoreError> {
        let found = self.find_intent(&Intent::derive(client, key)).await?;
        // What a restore lost is taken over by the one who asks for it.
        Ok(found.filter(|reward| reward.client == client))
    }
}
