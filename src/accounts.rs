//! Amazon partner accounts: their terms, their key pairs, the request rate that all replicas share, and the breaker that
//! refuses new rewards while Amazon refuses the account.

pub mod account;
pub mod breaker;
pub mod key_pairs;
pub mod limiter;
mod metrics;
pub mod quota;
pub mod rate;
pub mod turns;

pub use account::{Account, Accounts, CardLimits, FundingPolicy, Terms};
pub(crate) use breaker::Breaker;
pub use breaker::BreakerCause;
pub use metrics::Metrics;
pub use quota::Quota;
pub use rate::NoSlot;
pub(crate) use rate::{Priority, Rate};
pub(crate) use turns::Turns;
