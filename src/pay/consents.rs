//! What buyers consented to: read at Amazon for whoever asks, and kept nowhere.

use std::time::Duration;

use super::{Payments, account::PayAccount};
use crate::{
    kernel::{AmazonPayId, Environment},
    lifecycle::workplaces,
    provider::pay::{AmazonPermissionId, PayDoubt, PayOperation, PayOutcome, PermissionSeen},
};

/// Longer than this no caller waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a consent is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsentKind {
    /// One order.
    Order,
    /// Charges that recur.
    Agreement,
}

/// A consent as Amazon shows it now, and whose it is.
pub(super) struct ConsentShown {
    pub(super) account: String,
    pub(super) seen: PermissionSeen,
}

/// Why there is none to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConsentError {
    /// There is no account of that name.
    #[error("there is no such account")]
    UnknownAccount,
    /// Several accounts are in the settings, and none was named.
    #[error("several accounts are in the settings")]
    AmbiguousAccount,
    /// The id is of the other environment than the account's.
    #[error("the account is of another environment")]
    OtherEnvironment(Environment),
    /// Amazon has no such consent of this account, or it is of the other kind.
    #[error("there is no such consent")]
    NotFound,
    /// Amazon does not take the account or its key.
    #[error("Amazon refuses the account")]
    Account(&'static str),
    /// Amazon's rate is used up.
    #[error("Amazon's rate is used up")]
    Throttled,
    /// Amazon refused the question.
    #[error("Amazon refused the question")]
    Rejected(&'static str),
    /// Amazon gave no usable answer.
    #[error("Amazon gave no usable answer")]
    Unusable(&'static str),
}

impl Payments {
    /// Asks Amazon for a consent of the named account, or of the only one that there is.
    pub(super) async fn consent(
        &self,
        kind: ConsentKind,
        account: Option<&str>,
        id: &AmazonPayId,
    ) -> Result<ConsentShown, ConsentError> {
        let account = self.account_of_consent(account)?;
        if id.environment().is_some_and(|of| of != account.environment) {
            return Err(ConsentError::OtherEnvironment(account.environment));
        }
        let asked = AmazonPermissionId::parse(id.as_str()).ok_or(ConsentError::NotFound)?;
        let (client, metrics, named) = (account.client.clone(), self.courier().metrics.clone(), account.id.clone());
        // The call goes on where the caller does not: it is counted in any case.
        let call = self.courier().tasks.run(workplaces::carry(async move {
            let outcome = client.get_charge_permission(&asked).await.outcome;
            metrics.counted(&named, PayOperation::GetChargePermission.as_str(), outcome.class());
            outcome
        }));
        let outcome = tokio::time::timeout(ANSWER_WITHIN, call).await;
        let outcome = outcome.map_err(|_late| ConsentError::Unusable(PayDoubt::Timeout.as_str()))?;
        let outcome = outcome.map_err(|_panicked| ConsentError::Unusable(PayDoubt::ConnectionLost.as_str()))?;
        let reason = outcome.reason();
        match outcome {
            PayOutcome::Seen(seen) if seen.recurs.is_none_or(|recurs| recurs == (kind == ConsentKind::Agreement)) => {
                Ok(ConsentShown { account: account.id.clone(), seen })
            }
            PayOutcome::Seen(_) | PayOutcome::Missing => Err(ConsentError::NotFound),
            PayOutcome::TurnedAway(_) => Err(ConsentError::Account(reason)),
            PayOutcome::Unknown(PayDoubt::Throttled) => Err(ConsentError::Throttled),
            PayOutcome::Declined(_) | PayOutcome::Conflict(_) | PayOutcome::KeyConflict | PayOutcome::Rejected(_) => {
                Err(ConsentError::Rejected(reason))
            }
            PayOutcome::NotSent(_) | PayOutcome::Unknown(_) => Err(ConsentError::Unusable(reason)),
        }
    }

    fn account_of_consent(&self, named: Option<&str>) -> Result<&PayAccount, ConsentError> {
        if let Some(id) = named {
            return self.accounts().get(id).ok_or(ConsentError::UnknownAccount);
        }
        let mut all = self.accounts().iter();
        match (all.next(), all.next()) {
            (Some(account), None) => Ok(account),
            (Some(_), Some(_)) => Err(ConsentError::AmbiguousAccount),
            (None, _) => Err(ConsentError::UnknownAccount),
        }
    }
}
