//! A buyer's consent: the button that a page shows, and the session that the buyer comes back with.
//!
//! The buyer agrees on Amazon's page. Amazon sends the browser back with the session's id, and the consent holds once the session is
//! completed. Nothing is charged here, so nothing is recorded before the call: of a completion whose answer was lost a look at the session
//! shows what came of it, and one that is sent twice does nothing the second time. What a consent allows is charged by
//! [`MakePayment`](super::make::MakePayment), under a key of its own.

use super::{
    account::{NoPayAccount, PayAccount},
    courier::PayCourier,
};
use crate::{
    kernel::{AmazonPayId, Currency, Environment, Money},
    provider::pay::{
        AmazonSessionId, ButtonAsked, ButtonInterval, LiveKey, PageUrl, PayClient, PayExchange, PayOperation,
        PayOutcome, PayReason, SessionSeen, SessionStage, SignedButton, SimulationCode,
    },
    telemetry::trace::{self, Attribute},
};

/// Consents of buyers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Checkout {
    courier: PayCourier,
}

/// What a page's button is to ask a buyer for.
#[derive(Debug, Clone)]
pub(crate) struct ButtonCommand {
    /// Which account is paid, when the caller says so.
    pub(crate) account: Option<String>,
    /// What the buyer sees.
    pub(crate) value: Money,
    /// How often it is charged; `None` for one order.
    pub(crate) every: Option<ButtonInterval>,
    /// Where the buyer comes back to.
    pub(crate) result_url: String,
    /// Where a buyer comes back to who agrees to nothing.
    pub(crate) cancel_url: Option<String>,
    /// The caller's own reference.
    pub(crate) external_id: Option<String>,
}

/// What a page needs to show a button.
#[derive(Debug, Clone)]
pub(crate) struct PageConfig {
    pub(crate) account: String,
    pub(crate) environment: Environment,
    pub(crate) currency: Currency,
    pub(crate) merchant_id: Option<String>,
    pub(crate) store_id: Option<String>,
    /// Of Checkout v2: the key that buttons are signed with.
    pub(crate) public_key_id: Option<String>,
    /// Of Checkout v2: Amazon's script of the region.
    pub(crate) script_url: Option<&'static str>,
}

/// A session, as it stands at Amazon.
#[derive(Debug, Clone)]
pub(crate) struct SessionView {
    pub(crate) id: AmazonSessionId,
    pub(crate) stage: SessionWord,
    /// The consent, where the session is completed.
    pub(crate) consent: Option<AmazonPayId>,
    /// Whether the consent is for charges that recur.
    pub(crate) recurs: Option<bool>,
    /// What the buyer agreed to. Amazon shows it while the session is open.
    pub(crate) amount: Option<Money>,
    /// Why nothing came of it.
    pub(crate) reason: Option<PayReason>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionWord {
    /// It can be completed.
    Open,
    /// The consent holds.
    Completed,
    /// Nothing came of it.
    Canceled,
    /// In a word of Amazon's that we do not know.
    Unknown,
}

/// Why there is no consent, or no button. Nothing was charged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    /// No account can be chosen.
    #[error("no account can be chosen")]
    Account(CheckoutAccount),
    /// The account is of MWS, which has neither sessions nor signed buttons.
    #[error("the account is of MWS")]
    OtherGeneration,
    /// The settings do not name the page's id at Amazon.
    #[error("the settings name no store_id of the account {0}")]
    NoStore(String),
    /// A page that a browser cannot be sent to.
    #[error("the page cannot be reached")]
    Page(&'static str),
    /// More than the account's settings allow.
    #[error("at most {0}")]
    TooMuch(Money),
    /// Something is to be simulated, and the account is not of the sandbox; or the word is none.
    #[error("nothing can be simulated")]
    Simulation,
    /// Amazon knows no such session of this account.
    #[error("there is no such session")]
    NoSession,
    /// The buyer agreed to another amount.
    #[error("the buyer agreed to another amount")]
    OtherAmount,
    /// Nothing came of the session, for this reason.
    #[error("the session is canceled: {}", .0.as_str())]
    Canceled(PayReason),
    /// Amazon does not take the account's key.
    #[error("Amazon turns the account away")]
    TurnedAway,
    /// Amazon does not take the request, for this reason.
    #[error("Amazon does not take the request: {}", .0.as_str())]
    Rejected(PayReason),
    /// Amazon gave no answer that can be read.
    #[error("Amazon gave no answer that can be read: {0}")]
    NoAnswer(&'static str),
}

/// Why no account can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckoutAccount {
    /// There is none of that name.
    Unknown,
    /// Several would fit.
    Several,
    /// None is paid in the currency.
    Currency,
}

impl From<NoPayAccount> for CheckoutError {
    fn from(no: NoPayAccount) -> Self {
        Self::Account(match no {
            NoPayAccount::Unknown => CheckoutAccount::Unknown,
            NoPayAccount::Several => CheckoutAccount::Several,
            NoPayAccount::Currency => CheckoutAccount::Currency,
        })
    }
}

impl Checkout {
    pub(super) const fn new(courier: PayCourier) -> Self {
        Self { courier }
    }

    /// What a page needs.
    ///
    /// # Errors
    /// [`CheckoutError::Account`].
    pub(crate) fn page(&self, account: Option<&str>) -> Result<PageConfig, CheckoutError> {
        let account = self.courier.accounts.choose_any(account)?;
        Ok(PageConfig {
            account: account.id.clone(),
            environment: account.environment,
            currency: account.currency,
            merchant_id: account.merchant_id.clone(),
            store_id: account.store_id.clone(),
            public_key_id: account.client.checkout_v2().map(PayClient::public_key_id),
            script_url: account.client.checkout_v2().map(|client| client.endpoint().region().script_url()),
        })
    }

    /// A signed button.
    ///
    /// # Errors
    /// [`CheckoutError`]: what the page asks for cannot be asked of a buyer.
    pub(crate) fn button(&self, command: &ButtonCommand) -> Result<SignedButton, CheckoutError> {
        let account = self.account_for(command.account.as_deref(), command.value)?;
        let client = checkout_v2(account)?;
        let store_id = account.store_id.as_deref().ok_or_else(|| CheckoutError::NoStore(account.id.clone()))?;
        let page = |text: &str, name| PageUrl::parse(text, account.environment).ok_or(CheckoutError::Page(name));
        let result_url = page(&command.result_url, "/result_url")?;
        let cancel_url = command.cancel_url.as_deref().map(|text| page(text, "/cancel_url")).transpose()?;
        let asked = ButtonAsked {
            store_id,
            result_url: &result_url,
            cancel_url: cancel_url.as_ref(),
            amount: command.value,
            every: command.every,
            reference: command.external_id.as_deref(),
        };
        client.button(&asked).ok_or(CheckoutError::Account(CheckoutAccount::Currency))
    }

    /// A session as it stands.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub(crate) async fn look(&self, account: Option<&str>, id: &AmazonSessionId) -> Result<SessionView, CheckoutError> {
        let account = self.courier.accounts.choose_any(account)?;
        shown(self.get(account, checkout_v2(account)?, id).await)
    }

    /// Completes a session, and answers it with the buyer's consent. One that is completed already is answered as it is.
    ///
    /// # Errors
    /// [`CheckoutError`]: there is no consent, or it is not known whether there is. The same request again is safe.
    pub(crate) async fn complete(
        &self,
        account: Option<&str>,
        id: &AmazonSessionId,
        value: Money,
        simulation: Option<&str>,
    ) -> Result<SessionView, CheckoutError> {
        let account = self.account_for(account, value)?;
        let operation = PayOperation::CompleteCheckoutSession;
        let client = match simulation {
            None => checkout_v2(account)?.clone(),
            Some(code) => {
                let code = SimulationCode::parse(code).ok_or(CheckoutError::Simulation)?;
                checkout_v2(account)?.simulating(code).map_err(|LiveKey| CheckoutError::Simulation)?
            }
        };
        let completed = self.asked(account, operation, client.complete_checkout_session(id, value)).await;
        match completed {
            // A completed session shows its consent. Of every other one a look shows what it has become.
            PayOutcome::Seen(seen) if matches!(seen.stage, SessionStage::Completed(_)) => shown(PayOutcome::Seen(seen)),
            PayOutcome::Rejected(PayReason::AmountMismatch) => Err(CheckoutError::OtherAmount),
            refused @ (PayOutcome::Missing | PayOutcome::TurnedAway(_) | PayOutcome::Rejected(_)) => shown(refused),
            PayOutcome::Seen(_)
            | PayOutcome::Declined(_)
            | PayOutcome::Conflict(_)
            | PayOutcome::KeyConflict
            | PayOutcome::NotSent(_)
            | PayOutcome::Unknown(_) => {
                let view = shown(self.get(account, checkout_v2(account)?, id).await)?;
                match (view.stage, view.reason) {
                    (SessionWord::Completed, _) => Ok(view),
                    (SessionWord::Canceled, reason) => Err(CheckoutError::Canceled(reason.unwrap_or(PayReason::Other))),
                    (SessionWord::Open | SessionWord::Unknown, _) => Err(CheckoutError::NoAnswer("not_completed")),
                }
            }
        }
    }

    fn account_for(&self, named: Option<&str>, value: Money) -> Result<&PayAccount, CheckoutError> {
        let account = self.courier.accounts.choose(named, value.currency())?;
        if value.minor() > account.charge_maximum.minor() {
            return Err(CheckoutError::TooMuch(account.charge_maximum));
        }
        Ok(account)
    }

    async fn get(&self, account: &PayAccount, client: &PayClient, id: &AmazonSessionId) -> PayOutcome<SessionSeen> {
        self.asked(account, PayOperation::GetCheckoutSession, client.get_checkout_session(id)).await
    }

    /// One call, traced and counted.
    async fn asked(
        &self,
        account: &PayAccount,
        operation: PayOperation,
        call: impl Future<Output = PayExchange<SessionSeen>>,
    ) -> PayOutcome<SessionSeen> {
        let span = trace::call(operation.as_str());
        let PayExchange { outcome, http_status, .. } = call.await;
        span.set(Attribute::Outcome(outcome.class()));
        if let Some(status) = http_status {
            span.set(Attribute::Status(status));
        }
        self.courier.metrics.asked(&account.id, operation, outcome.class());
        if !matches!(outcome, PayOutcome::Seen(_)) {
            tracing::warn!(
                payment.account = account.id,
                upstream.operation = operation.as_str(),
                upstream.outcome = outcome.class(),
                upstream.error = outcome.reason(),
                upstream.status = http_status,
                "a call to Amazon Pay about a checkout session did not show it"
            );
        }
        outcome
    }
}

/// Sessions are Checkout v2's.
fn checkout_v2(account: &PayAccount) -> Result<&PayClient, CheckoutError> {
    account.client.checkout_v2().ok_or(CheckoutError::OtherGeneration)
}

fn shown(outcome: PayOutcome<SessionSeen>) -> Result<SessionView, CheckoutError> {
    let reason = outcome.reason();
    let seen = match outcome {
        PayOutcome::Seen(seen) => seen,
        PayOutcome::Missing => return Err(CheckoutError::NoSession),
        PayOutcome::TurnedAway(_) => return Err(CheckoutError::TurnedAway),
        PayOutcome::Rejected(reason) => return Err(CheckoutError::Rejected(reason)),
        PayOutcome::Declined(_)
        | PayOutcome::Conflict(_)
        | PayOutcome::KeyConflict
        | PayOutcome::NotSent(_)
        | PayOutcome::Unknown(_) => return Err(CheckoutError::NoAnswer(reason)),
    };
    let SessionSeen { id, stage, recurs, amount, expires_at: _ } = seen;
    let (word, consent, reason) = match stage {
        SessionStage::Open => (SessionWord::Open, None, None),
        SessionStage::Completed(permission) => {
            // A charge is made against it, and our row keeps an id of this form alone.
            let consent = permission.as_str().parse::<AmazonPayId>();
            (SessionWord::Completed, Some(consent.map_err(|_odd| CheckoutError::NoAnswer("odd_id"))?), None)
        }
        SessionStage::Canceled(reason) => (SessionWord::Canceled, None, Some(reason)),
        SessionStage::Odd => (SessionWord::Unknown, None, None),
    };
    Ok(SessionView { id, stage: word, consent, recurs, amount, reason })
}
