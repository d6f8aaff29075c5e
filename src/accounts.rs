//! Amazon partner accounts: their terms, their key pairs, the request rate that all replicas share, and the breaker that
//! refuses new rewards while Amazon refuses the account.

pub mod account;
pub mod breaker;
pub(crate) mod http;
pub mod key_pairs;
pub mod limiter;
mod metrics;
mod no_slot;
mod pace;
pub mod quota;
pub mod rate;
pub(crate) mod scopes;
pub mod slot;
pub mod turns;
mod waiting;

pub use account::{Account, Accounts, CardLimits, FundingPolicy, Terms};
pub(crate) use breaker::{Asking, Breaker, Verdict};
pub use breaker::{BreakerCause, Paced};
pub use key_pairs::{KeyPairSettings, KeyPairs, KeySlot, KeyState, SlotSettings};
pub use metrics::Metrics;
pub use no_slot::NoSlot;
pub(crate) use pace::Lately;
pub use quota::{Quota, RequestRate};
pub(crate) use rate::Rate;
pub(crate) use slot::Departure;
pub use slot::Slot;
pub(crate) use turns::Turns;
pub use waiting::Purpose;
pub(crate) use waiting::Wanted;
