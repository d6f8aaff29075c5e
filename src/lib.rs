//! Noshi: buys Amazon gift codes exactly once, hands the claim code over, and forgets it.
//!
//! The rooms, from the top down; each imports only from rooms below it, and a test keeps it so.

pub mod cli;

pub mod bootstrap;
pub mod server;

pub mod treasury;

pub mod incentives;

pub mod ledger;

pub mod engine;

pub mod accounts;
pub mod events;

pub mod identity;

pub mod http;
pub mod provider;
pub mod store;

pub mod sealing;

pub mod config;
pub mod lifecycle;
pub mod telemetry;

pub mod ambient;
mod failpoint;
pub mod kernel;

pub mod sandbox;
