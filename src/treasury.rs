//! The money room: what each Amazon account holds, how long that lasts, and whether Amazon's books are ours.
//!
//! 1. **What it knows.** The room reads the ledger ([`position`]), asks Amazon for the balance of each account
//!    ([`balances`]) and reads Amazon's activity report, or the portal's CSV file ([`reconciliation`]). It knows rewards
//!    only by what `incentives::statement` publishes about them, and it never changes one.
//! 2. **Balance check.** The ledger says what Amazon must still hold for an account:
//!
//!    ```text
//!    expected = opening + deposits + adjustments - issued + canceled
//!    ```
//!
//!    `opening` is what the account held when the ledger began. `issued` and `canceled` are the values of proven purchases
//!    and proven cancels. A purchase that is reserved, but not proven, is *on the way*: Amazon may have deducted it or not,
//!    so the reported balance may lie between `expected` and `expected - on the way`. A reconciliation shows the sums of
//!    this formula beside its result (`reconciliation::balance_check`).
//! 3. **Deposits.** Amazon reports no deposits. If Amazon reports more money than the ledger can explain, the difference is
//!    booked as a deposit, and `funds.deposit_detected` reports it. If Amazon reports less, nothing is booked;
//!    `balance.unexplained` reports what is missing. Either waits until the observations of some minutes agree, because
//!    one answer may lag ([`windows`]). While purchases are on the way only the certain part is booked (`deposits`).
//!    Amazon's own sandbox always reports 0, so nothing follows from it.
//! 4. **Observation.** One answer of Amazon's, its bookings and its alarms are one transaction, and of two replicas only one
//!    writes it (`observe`). Sums up to a mark keep the question cheap ([`crate::ledger::totals`]).
//! 5. **Runway.** [`Runway`](runway::Runway) estimates from up to eight weeks of our own spending when the
//!    balance is used up: a median and a pessimistic estimate. With less than a week of spending there is none.
//! 6. **Value date.** Money that finance orders today is at Amazon at the end of a later business day (`value_date`).
//!    `balance.runway_short` is sent early enough that a transfer ordered within 12 hours arrives before the pessimistic
//!    runway ends. `balance.low` is sent when the balance falls below the account's `low_balance`.
//! 7. **Reconciliation.** Amazon's report is compared with our rewards, id by id. Each id falls into one class
//!    (`reconciliation::compare`):
//!
//!    | class | meaning |
//!    |---|---|
//!    | matched | both sides agree |
//!    | `ours_only` | we hold the card as bought, Amazon does not list it |
//!    | `theirs_only` | Amazon lists a card that we do not know; if its id can only be ours, it becomes a row for an operator |
//!    | `amount_differs` | both have the card, with different amounts |
//!    | `state_differs` | live on one side, canceled or never bought on the other; or bought twice |
//!    | `unproven` | our reward is still open: no finding |
//!    | unchecked | the edge of the period hides one side |
//!
//!    Nothing is corrected silently: a finding is written down, and an operator decides.
//! 8. **Days.** What is reconciled is a set of days: a day counts once a finished run of any source covers it. The daily
//!    run catches up what is missing, oldest first; a day that fails rests and holds up no other; a day beyond the reach of
//!    Amazon's report is named until an operator accepts it (`reconciliation::days`).

pub mod balances;
mod deposits;
pub(crate) mod http;
mod metrics;
mod observe;
pub mod position;
pub(crate) mod problems;
pub mod reconciliation;
pub(crate) mod runway;
pub(crate) mod scopes;
mod silence;
pub(crate) mod value_date;
pub mod windows;

pub(crate) use balances::Balances;
pub(crate) use metrics::Metrics;
pub(crate) use reconciliation::Reconciliations;
