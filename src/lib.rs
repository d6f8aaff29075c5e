//! Noshi: buys Amazon gift codes exactly once, hands the claim code over, and forgets it.

pub mod store;
pub mod lifecycle;
pub mod ambient;
pub mod kernel;
