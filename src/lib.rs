//! Noshi: buys Amazon gift codes exactly once, hands the claim code over, and forgets it.

pub mod kernel;
