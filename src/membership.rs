//! Memberships: money in, reward out. The only room where payments meet rewards.
//!
//! A *plan* says what a period costs and what a member gets for it. A *membership* is one member of a plan; a *period* is one price and one
//! reward. The rule: no reward for money that did not arrive, no paid period without its reward, never twice.
//!
//! 1. A period that begins is opened by the runner, and its charge is asked for under a key that derives from membership, period and try. The
//!    charge's intent stands in the period before it is asked for.
//! 2. The transaction that proves the charge calls [`follow`]: the period is paid and its reward is owed, in one commit.
//! 3. After the hold days the runner asks for the reward under a key that derives from Amazon's id of the charge. Whatever dies on the way, the
//!    same key finds the same reward.
//! 4. A decline for now is tried again within the grace, under another key. What is unknown goes on under the same.
//! 5. A refund of the whole price takes the reward back where Amazon still cancels it. Where Amazon does not, the membership waits for its caller.
//! 6. A consent serves one membership. That of a membership that was ended is closed at Amazon.
//!
//! | file | subject |
//! |---|---|
//! | `calendar`, `state`, `model` | when periods begin, what may become of a membership, what they are |
//! | `consent` | what Amazon says of a buyer's consent |
//! | `service`, `wishes` | the use cases |
//! | `follow` | what a membership makes of its payments, in their transactions |
//! | `runner`, `charging`, `rewarding` | the loop: opens periods, charges them, issues and cancels their rewards |
//! | `closing` | the consents of memberships that were ended are closed at Amazon |
//! | `again` | what an operator does about a reward that was refused for good |
//! | `sql`, `facts`, `http`, `metrics`, `scopes`, `problems` | rows, facts, the REST face, figures |

pub(crate) mod again;
pub mod calendar;
mod charging;
mod closing;
mod consent;
mod facts;
pub(crate) mod follow;
pub(crate) mod http;
pub(crate) mod metrics;
pub mod model;
pub(crate) mod problems;
mod rewarding;
mod runner;
pub(crate) mod scopes;
mod service;
pub mod sql;
pub mod state;
mod wishes;

pub(crate) use service::{MembershipDependencies, Memberships};
