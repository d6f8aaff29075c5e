//! One integration binary: everything here talks over real sockets to real databases and a real (sandbox) gateway.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a helper of a test fails the test, and figures are for whoever runs it"
)]

mod activation;
mod amazon_client;
mod amazon_pay;
mod answers;
mod audit;
mod bad_input;
mod batches;
mod canary;
mod cancel;
mod certification;
mod clock;
mod commands;
mod console;
mod database;
mod door;
mod events;
mod house;
mod key_limits;
mod key_pairs;
mod kill;
mod ledger;
mod loads;
mod manners;
mod matrix;
mod members;
mod membership;
mod model;
mod monitoring;
mod notifications;
mod openapi;
mod partition;
mod patience;
mod pay;
mod process;
mod queues;
mod quota;
mod reach;
mod reconciliation;
mod refusals;
mod restore;
mod retention;
mod rollout;
mod sandbox;
mod schema;
mod seeded;
mod simulation;
mod support;
mod traces;
mod treasury;
mod unknown_outcomes;
mod webhooks;
