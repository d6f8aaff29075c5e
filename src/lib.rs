//! Noshi: buys Amazon gift codes exactly once, hands the claim code over, and forgets it.

pub mod reward;
pub mod amazon;
pub mod http;
pub mod store;
pub mod config;
pub mod lifecycle;
pub mod metrics;
pub mod telemetry;
pub mod ambient;
pub mod kernel;
