//! What Amazon says of a buyer's consent, before a membership rests on it.

use super::service::MembershipError;
use crate::{
    kernel::{AmazonPayId, Money},
    pay::PayAccount,
    provider::pay::{AmazonPermissionId, PayOutcome, PermissionSeen, PermissionState},
};

/// Why nothing can be charged by a consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoConsent {
    /// Amazon knows none of this id, or it is no id of one.
    Unknown,
    /// It is of the other environment than the account.
    OtherEnvironment,
    /// It is for one order.
    Once,
    /// It allows less in a month than the plan costs.
    Limit {
        /// What it allows.
        allows: Money,
        /// What the plan costs.
        price: Money,
    },
    /// It cannot be charged now, for this reason of Amazon's: the buyer must act.
    Blocked(&'static str),
    /// It has ended.
    Over(&'static str),
    /// Amazon did not answer, or in a way that we do not know.
    NotSaid,
    /// Amazon does not take our key or our account.
    TurnedAway,
}

/// Reads the consent at Amazon. It must recur, be chargeable, and hold the price in a month.
pub(super) async fn check(account: &PayAccount, consent: &AmazonPayId, price: Money) -> Result<(), MembershipError> {
    if consent.environment().is_some_and(|of| of != account.environment) {
        return Err(NoConsent::OtherEnvironment.into());
    }
    let Some(id) = AmazonPermissionId::parse(consent.as_str()) else { return Err(NoConsent::Unknown.into()) };
    let no = match account.client.get_charge_permission(&id).await.outcome {
        PayOutcome::Seen(seen) => return judge(&seen, price).map_err(MembershipError::from),
        PayOutcome::Missing => NoConsent::Unknown,
        PayOutcome::Rejected(_) | PayOutcome::TurnedAway(_) => NoConsent::TurnedAway,
        PayOutcome::Declined(_)
        | PayOutcome::Conflict(_)
        | PayOutcome::KeyConflict
        | PayOutcome::NotSent(_)
        | PayOutcome::Unknown(_) => NoConsent::NotSaid,
    };
    Err(no.into())
}

fn judge(seen: &PermissionSeen, price: Money) -> Result<(), NoConsent> {
    match &seen.state {
        PermissionState::Ended(reasons) => {
            return Err(NoConsent::Over(reasons.first().map_or("none", |reason| reason.as_str())));
        }
        PermissionState::Odd => return Err(NoConsent::NotSaid),
        PermissionState::Usable | PermissionState::Blocked(_) => {}
    }
    if seen.recurs != Some(true) {
        return Err(NoConsent::Once);
    }
    // What Amazon does not report it checks itself, with each charge.
    if let Some(allows) = seen.limit
        && (allows.currency() != price.currency() || allows.minor() < price.minor())
    {
        return Err(NoConsent::Limit { allows, price });
    }
    match &seen.state {
        PermissionState::Blocked(reasons) => {
            Err(NoConsent::Blocked(reasons.first().map_or("none", |reason| reason.as_str())))
        }
        PermissionState::Usable | PermissionState::Ended(_) | PermissionState::Odd => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::Currency, provider::pay::PayReason};

    fn yen(minor: i64) -> Money {
        Money::from_minor(minor, Currency::Jpy)
    }

    fn seen(state: PermissionState, recurs: Option<bool>, limit: Option<Money>) -> PermissionSeen {
        let id = AmazonPermissionId::parse("C03-1234567-1234567").unwrap();
        PermissionSeen { id, state, recurs, limit, balance: None, expires_at: None, reference: None }
    }

    #[test]
    fn a_consent_must_recur_be_chargeable_and_hold_the_price() {
        let usable = |recurs, limit| judge(&seen(PermissionState::Usable, recurs, limit), yen(980));
        assert_eq!(usable(Some(true), Some(yen(980))), Ok(()));
        assert_eq!(usable(Some(true), None), Ok(()), "what Amazon does not report it checks itself");
        assert_eq!(usable(Some(true), Some(yen(979))), Err(NoConsent::Limit { allows: yen(979), price: yen(980) }));
        let dollars = Money::from_minor(100_000, Currency::Usd);
        assert!(matches!(usable(Some(true), Some(dollars)), Err(NoConsent::Limit { .. })));
        assert_eq!(usable(Some(false), None), Err(NoConsent::Once));
        assert_eq!(usable(None, None), Err(NoConsent::Once));
        let ended = PermissionState::Ended(vec![PayReason::ChargePermissionCanceled]);
        assert!(matches!(judge(&seen(ended, Some(true), None), yen(1)), Err(NoConsent::Over(_))));
        let blocked = PermissionState::Blocked(Vec::new());
        assert_eq!(judge(&seen(blocked, Some(true), None), yen(1)), Err(NoConsent::Blocked("none")));
        assert_eq!(judge(&seen(PermissionState::Odd, Some(true), None), yen(1)), Err(NoConsent::NotSaid));
    }
}
