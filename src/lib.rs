//! Noshi: buys Amazon gift codes exactly once, hands the claim code over, and forgets it.
//!
//! This page is the architecture: the rooms, the states of a reward, the way of one purchase, and the words. What Amazon does
//! on the wire stands in `src/provider/PROTOCOL.md`, the failure model in `tests/RELIABILITY.md`, the REST surface in
//! `src/http/API.md`, operations in `k8s/README.md`.
//!
//! # Rooms
//!
//! Each room imports only from rooms further down; `tests/it/house.rs` keeps it so.
//!
//! | room | subject |
//! |---|---|
//! | [`cli`] | commands, the demo |
//! | [`bootstrap`] | settings → store → providers → services → servers and loops, and the way back |
//! | [`server`] | the two ports; gathers the routes, scopes and problem codes that the slices offer |
//! | [`treasury`] | balances, deposits, runway, reconciliation: looks at accounts and the ledger from above |
//! | [`incentives`] | product 1: the kinds of rewards and their use cases |
//! | [`ledger`] | the journal, programs and their budgets |
//! | [`engine`] | carries a remote effect under an id of ours; knows no Amazon, no HTTP, no SQL text |
//! | [`accounts`] | partner accounts, the shared rate, the breaker |
//! | [`events`] | the outbox: one table of facts, the timelines of rewards included |
//! | [`identity`] | clients, API keys, scopes |
//! | [`provider`] | Amazon's APIs, a leaf each: wire, signature, classification |
//! | [`http`] | bodies, paging, the problem frame, observation |
//! | [`store`] | two databases, one SQL text; the only room that names sqlx |
//! | [`sealing`] | what must be kept to act on it, and must not be read |
//! | [`lifecycle`] [`telemetry`] [`config`] [`ambient`] [`kernel`] | tasks and the stop; logs, metrics, traces; settings; time and randomness; money, ids, outcomes |
//! | [`sandbox`] | Amazon on loopback; shares no code with the provider |
//!
//! # The states of a reward
//!
//! ```text
//!             begin              proven                 cancel            proven
//!  pending ───────────▶ issuing ────────▶ issued ───────────▶ canceling ────────▶ canceled
//!     ▲                  │   │              ▲                  │
//!     │ proven unsent    │   │ ambiguous    │ proven           │ too late, or claimed: proven by a read
//!     └──────────────────┘   ▼              │                  ▼
//!                        unresolved ────────┘              issued, with the reason
//!                            │  refused, and never ambiguous before ─▶ failed (retryable or not)
//!                            └─ automation gives up (24 hours, mismatch, dead card) ─▶ needs_attention
//! ```
//!
//! In the code a state is a variant of [`engine::Stage`] that owns its data; the flat row exists in `incentives/sql` alone. A
//! row that fits no variant is refused when it is read.
//!
//! # The way of one purchase
//!
//! `POST /v1/rewards` with an `Idempotency-Key`:
//!
//! 1. `http/observe.rs` opens the request's span and its one log line.
//! 2. `incentives/http.rs` opens the call in a fixed order: the key (`identity/principal.rs`), the body (`http/body.rs`), the
//!    idempotency key (`http/headers.rs`), the command (`incentives/dto.rs`).
//! 3. `incentives/issue.rs` spawns the work on the main runtime and waits. A caller that hangs up stops nothing.
//! 4. The intent is looked up by client and key. If it is there, the reward of then is the answer.
//! 5. Otherwise the account is chosen, the budgets are looked at (`incentives/budgets.rs`, `ledger/budget.rs`), and a slot of
//!    Amazon's rate is waited for (`accounts/rate.rs`). A refusal here makes no row.
//! 6. **T1**, one transaction (`incentives/sql.rs`): the row, leased and about to be sent; the reservation in the ledger and
//!    in the budgets; the first fact of the timeline.
//! 7. `engine/run.rs` asks the driver (`engine/drive.rs`) what comes next. It answers: send.
//! 8. `incentives/courier.rs` sends through the reward's kind (`incentives/kinds/gift_code.rs`) and the provider
//!    (`provider/incentives/client.rs`: signed, six seconds). The answer is classified: proven, refused, rejected at the
//!    door, not sent, or unknown.
//! 9. The driver decides what the answer makes of the stage (`engine/step.rs`) and when the row is due again
//!    (`engine/schedule.rs`), and asks for a commit.
//! 10. **T2**, one transaction: compare-and-set on the version that was sent; ledger, budgets and timeline follow.
//! 11. The driver says that the code may be delivered. The handler writes 201 with the code from memory, and the variable is
//!     wiped.
//!
//! If step 8 ends unknown while the caller waits, the driver holds the lease, pauses, and sends the same bytes again. If the
//! caller's time is up, the answer is 202, and recovery (`engine/recover.rs`) runs the same driver when the row is due.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | order | what the engine knows of one remote effect: stage, lease, schedule, version |
//! | kind | what is bought, and its [rules](engine::Rules): the window for reversals, what a refusal does to the id, how it is read |
//! | driver | the pure function that says what comes next ([`engine::Drive`]) |
//! | courier | what the engine needs of this product ([`incentives::courier::Courier`]) |
//! | waiter | a request that waits for an order, until its deadline |
//! | principal | the client and key behind a request |
//! | intent | the fingerprint of client and idempotency key; Amazon's request id derives from it |
//! | lease | the right to work on a row until an instant, under a random token |
//! | proven, ambiguous | what Amazon's answer shows, or that it shows nothing |
//! | slot | one place in an account's request rate, which all replicas share |
//! | breaker | refuses new rewards while Amazon refuses the account |
//! | orphan card | a card that only Amazon knows, because its row was lost with a restored back-up |
//! | resolution | what a person found out about a reward that needs attention |
//! | runway | how long a balance lasts at the present spending |
//! | canary | a value that must be found nowhere; the tests look everywhere for it |

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
