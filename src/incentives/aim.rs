//! What a reward is to act on, found out before the reward has a row.
//!
//! A caller names a target, or hands over the access token of a shopper who signed in with Login with Amazon. Then the target is the
//! shopper's account: it is what is sealed, what is loaded, and what a request that comes again is compared by. The token is asked
//! about and dropped. Nothing keeps it, not even sealed: it opens a shopper's profile, and is good for an hour.
//!
//! **A key that was used before** must find its reward again, whatever has become of the token: a caller whose answer was lost sends
//! the same body again, perhaps hours later, when the token has expired and Login with Amazon would refuse it, or while Login with
//! Amazon is away. So the row keeps a keyed fingerprint of the token that made it (see [`crate::sealing`]; a token has far more randomness
//! than could be tried, and the fingerprint opens nothing). The same token is the same shopper: that is decided here, and nobody is
//! asked. Another token may be another shopper's: to answer with the reward unasked would call a shopper paid who was not. So that is
//! found out at Login with Amazon. Where that does not say so, the answer names the reward and leaves open whether money has moved:
//! the reward may be this shopper's, and the refusal of a new key would invite the caller to load twice.
//!
//! Only a refused reward that is tried again needs the account once more, because its row forgot it when it failed.

use std::{sync::Arc, time::Instant};

use super::{
    courier::Courier,
    issue::Issue,
    issue_error::IssueError,
    kind::{Aim, Kind},
    model::{Command, Reward},
};
use crate::{
    accounts::Account,
    provider::login::{AccessToken, LoginError},
    sealing::{Sameness, Target},
};

/// What is known of the target of a request whose key was used before.
pub(super) enum Recognized {
    /// It is the reward's. In hand, unless the token alone showed it.
    Same(Option<Arc<Target>>),
    /// It is another's, or another member of the body differs: this one, as a JSON Pointer.
    Different(&'static str),
    /// Whether it is, only a sealing key that is not listed would show.
    Unknown,
}

impl Aim {
    /// The token, where it is one.
    pub(super) const fn token(&self) -> Option<&AccessToken> {
        match self {
            Self::SignedIn(token) => Some(token),
            Self::Nothing | Self::Target(_) => None,
        }
    }
}

impl Courier {
    /// Refuses a token that the account has no client id for.
    pub(super) fn check_aim(account: &Account, command: &Command) -> Result<(), IssueError> {
        match (&command.aim, account.login()) {
            (Aim::SignedIn(_), None) => Err(IssueError::NoLogin),
            (Aim::SignedIn(_) | Aim::Nothing | Aim::Target(_), _) => Ok(()),
        }
    }

    /// What a command's reward acts on. Login with Amazon is asked where the command has a token.
    ///
    /// # Errors
    /// [`LoginError`].
    pub(super) async fn target_of_command(
        &self,
        account: &Account,
        command: &Command,
        arrived: Instant,
    ) -> Result<Option<Arc<Target>>, LoginError> {
        match &command.aim {
            Aim::Nothing => Ok(None),
            Aim::Target(target) => Ok(Some(Arc::clone(target))),
            Aim::SignedIn(token) => self.shopper(account, command.kind, token, arrived).await.map(Some),
        }
    }

    /// The account of whoever signed in, as a target.
    async fn shopper(
        &self,
        account: &Account,
        kind: Kind,
        token: &AccessToken,
        arrived: Instant,
    ) -> Result<Arc<Target>, LoginError> {
        let Some(login) = account.login() else {
            tracing::warn!(account = account.id(), "the account has no client id at Login with Amazon to ask with");
            return Err(LoginError::Away);
        };
        let heard = |heard| account.metrics().login(account.id(), heard);
        let asked = tokio::time::timeout(self.left(arrived), login.shopper(token, heard)).await;
        let shopper = asked.unwrap_or(Err(LoginError::Away)).inspect_err(|error| {
            tracing::warn!(account = account.id(), error = %error, "nobody is known to have signed in");
        });
        kind.spec().target_of_shopper(shopper?).map(Arc::new).ok_or(LoginError::Away)
    }
}

impl Issue {
    /// Whether a command is about the target that the reward of its key was made for.
    pub(super) async fn recognize(
        &self,
        existing: &Reward,
        command: &Command,
        arrived: Instant,
    ) -> Result<Recognized, IssueError> {
        let courier = &self.courier;
        if let Aim::SignedIn(token) = &command.aim
            && courier.same_token(existing, token).await?
        {
            return Ok(Recognized::Same(None));
        }
        let target = match &command.aim {
            Aim::Nothing => None,
            Aim::Target(target) => Some(Arc::clone(target)),
            Aim::SignedIn(token) => {
                let shopper = match courier.accounts.get(&existing.account) {
                    Some(account) => courier.shopper(account, existing.kind, token, arrived).await,
                    None => Err(LoginError::Away),
                };
                Some(shopper.map_err(|why| IssueError::Unrecognized { reward: existing.id, why })?)
            }
        };
        Ok(match courier.same_target(existing, target.as_deref()).await? {
            Sameness::Same => Recognized::Same(target),
            Sameness::Different => Recognized::Different("/target"),
            Sameness::Unknown => Recognized::Unknown,
        })
    }

    /// The target of a reward that has forgotten it, by the token that was recognised. What Login with Amazon says of it now must
    /// still be what it said then.
    pub(super) async fn found_again(
        &self,
        account: &Account,
        existing: &Reward,
        command: &Command,
        arrived: Instant,
    ) -> Result<Option<Arc<Target>>, IssueError> {
        let target = self.courier.target_of_command(account, command, arrived).await;
        let target = target.map_err(|why| IssueError::Unrecognized { reward: existing.id, why })?;
        if !existing.kind.spec().acts() {
            return Ok(target);
        }
        match self.courier.same_target(existing, target.as_deref()).await? {
            Sameness::Same => Ok(target),
            Sameness::Different => Err(IssueError::Mismatch { reward: existing.id, pointer: "/target" }),
            Sameness::Unknown => Err(IssueError::TargetUnknown),
        }
    }
}
