//! Many rewards that are bought one after the other: a campaign.
//!
//! A batch is up to 1,000 items ([`model`]) that arrive together ([`service`]) and are written down before the answer. The runner ([`runner`])
//! hands each to the one use case that buys, [`Issue`](crate::incentives::issue::Issue), under an idempotency key that derives from the item. So an item
//! that is taken up twice, by whichever replica, is the same reward. An item takes its slot of Amazon's rate after whoever waits for an answer.
//!
//! A batch that cannot go on, because funds, a ceiling or the account do not allow it, waits and loses no item. [`finish`] sees when nothing is
//! left to do, and removes what is old.

mod finish;
pub(crate) mod http;
mod metrics;
pub mod model;
pub(crate) mod problems;
mod runner;
mod service;
pub mod sql;

pub(crate) use {
    metrics::Metrics,
    service::{BatchAsker, BatchDependencies, BatchError, BatchWish, Batches, CountedBatch},
};
