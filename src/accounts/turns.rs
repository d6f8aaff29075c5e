//! Questions that one replica asks for all: which of them may ask now.

use std::time::Duration;

use super::{
    limiter,
    quota::{RequestRate, Shared, micros},
};
use crate::store::StoreError;

/// How far apart questions for a partner's balances lie: of its accounts, and about their key pairs. Amazon answers a partner once a
/// second, and one of the questions may be longer on its way.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(1_200);
/// How long an account waits for the others.
const PATIENCE: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(100);

/// The turns of one account.
pub(crate) struct Turns {
    shared: Shared,
    /// The row in which all accounts of the partner take turns to ask for a balance.
    balances: String,
    /// The row in which they take turns to ask for a page of the activity report.
    activity: String,
}

impl Turns {
    pub(super) fn new(shared: Shared, rate: &RequestRate) -> Self {
        // Longer than any account's name, so it is none.
        let balances = format!("balances_of_the_partner_of_the_account_{}", rate.account);
        Self { shared, balances, activity: rate.account.clone() }
    }

    /// Makes the row that no account has.
    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        limiter::ensure(&self.shared.store, &self.balances).await
    }

    /// Takes the turn to ask for the balance: no replica has asked for `every`, nor in the last second, nor has any for another
    /// account of the partner.
    pub(crate) async fn take_funds(&self, every: Duration) -> bool {
        // A little less than the period, or the poll that comes just in time would be a period late.
        let every = every.saturating_sub(every / 10);
        if !self.take_funds_in(&self.shared.account, every).await {
            return false;
        }
        let taken = self.take_question().await;
        if !taken {
            // Nobody asks, so the next poll need not wait.
            let Shared { store, account, .. } = &self.shared;
            limiter::return_funds(store, account).await.unwrap_or_default();
        }
        taken
    }

    /// Takes the partner's turn for one question for a balance, whatever is due for the account: a question about a key pair leaves
    /// its polls alone.
    pub(crate) async fn take_question(&self) -> bool {
        let began = self.shared.ambient.monotonic();
        while !self.take_funds_in(&self.balances, BETWEEN_QUESTIONS).await {
            if began.elapsed() >= PATIENCE {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    async fn take_funds_in(&self, row: &str, every: Duration) -> bool {
        let Shared { store, .. } = &self.shared;
        limiter::take_funds(store, row, self.shared.now_us(), micros(every)).await.unwrap_or(false)
    }

    /// Takes the turn to ask for a page of the activity report: once in `every` over all replicas and accounts of the partner.
    ///
    /// # Errors
    /// [`StoreError`] from the database: without it nothing may be sent.
    pub(crate) async fn take_activity(&self, every: Duration) -> Result<bool, StoreError> {
        limiter::take_activity(&self.shared.store, &self.activity, self.shared.now_us(), micros(every)).await
    }
}
