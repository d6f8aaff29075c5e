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
//! | `client` | the API as a caller sees it: what commands that work through it stand on |
//! | [`bootstrap`] | settings → store → providers → services → servers and loops, and the way back |
//! | [`server`] | the two ports; gathers the routes, scopes and problem codes that the slices offer |
//! | [`console`] | the operator's pages: search, a reward, balances, months, budgets; calls the slices' use cases in process |
//! | [`batches`] | many rewards that are bought one after the other, while others are served |
//! | [`membership`] | members who pay period by period, and get a reward for each: the only room where payments meet rewards |
//! | [`treasury`] | balances, deposits, runway, reconciliation: looks at accounts and the ledger from above |
//! | [`incentives`] | product 1: the kinds of rewards and their use cases |
//! | [`pay`] | product 2: what buyers pay by Amazon Pay, and what they get back |
//! | [`ledger`] | the journal, programs and their budgets |
//! | [`engine`] | carries a remote effect under an id of ours; knows no Amazon, no HTTP, no SQL text |
//! | [`accounts`] | partner accounts, their key pairs, the shared rate, the breaker |
//! | [`events`] | the outbox: one table of facts, the timelines of rewards included |
//! | [`identity`] | clients, API keys, scopes |
//! | [`provider`] | Amazon's APIs, a leaf each: wire, signature, classification |
//! | [`http`] | bodies, paging, the problem frame, observation |
//! | [`audit`] | who changed what: records, each with the hash of the one before |
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
//!     ▲                  │ │ │              ▲                  │
//!     │ proven unsent    │ │ │ ambiguous    │ proven           │ too late, or claimed: proven by a read
//!     └──────────────────┘ │ ▼              │                  ▼
//!                          │ unresolved ────┘              issued, with the reason
//!                  refused │
//!                          ▼
//!                        failed, which can be tried again or cannot
//! ```
//!
//! Four ways are not in the picture. A wish to cancel that comes before anything reached Amazon makes `pending` `canceled`. One
//! that comes while the outcome is unknown is carried out once the card is proven: from `unresolved` to `canceling`. The same key
//! sends a `failed` reward again that can be tried again: to `issuing`. And `unresolved`, `issued` and `canceling` become
//! `needs_attention` where automation ends: after 24 hours of tries, when an answer shows another card than was asked for, or
//! a dead one that nobody here canceled, when a card in doubt proves to be somebody else's, and when what nobody has could not be
//! canceled.
//!
//! In the code a state is a variant of [`engine::Stage`] that owns its data; the flat row exists in `incentives/sql` alone. A
//! row that fits no variant is refused when it is read.
//!
//! # The way of one purchase
//!
//! `POST /v1/rewards` with an `Idempotency-Key`, from the route to the 201. Each step names the file that it enters, and what
//! to read there; `tests/it/house` holds the list against the source. What is not listed says by its name all that a reader
//! needs: a getter, a counter, a span, one statement of SQL, the flat form of a row, an entry's words, the bytes of a request
//! and their signature, and whatever lies in the rooms from [`store`] down.
//!
//! 1. `http/observe.rs` (`observe()`): the middleware opens the request's span, and writes its one log line at the end.
//! 2. `incentives/http.rs` (`issue()`): the handler opens the call in a fixed order, which is that of steps 3 to 5.
//! 3. `identity/principal.rs` (`of()`, `of_any_scope()`): the one `Authorization` header names a key,
//!    `identity/keys.rs` (`parse()`, `find()`, `matches()`) finds its row and compares the hashes. The principal is the client
//!    and this key, which must have the scope.
//! 4. `http/body.rs` (`body()`): the body is read, within its limits of time and bytes. Then the `Idempotency-Key` is taken
//!    from its header: it comes once, and is well-formed.
//! 5. `incentives/dto.rs` (`into_command()`): body, key and principal become a command, or a problem that names the field.
//! 6. `incentives/issue.rs` (`run_in_time()`, `carry_out()`): the work is spawned on the main runtime, and the handler waits
//!    for it. A caller that hangs up stops nothing. The intent is looked up by client and key. If it is there, the reward of
//!    then is the answer.
//! 7. `incentives/admission.rs` (`admit()`, `check()`): texts that can be a claim code are refused, the account is chosen,
//!    its limits and the budgets are looked at, the breaker lets the reward pass, and `accounts/rate.rs` (`slot()`) gives a
//!    slot of Amazon's rate. A refusal here makes no row.
//! 8. `engine/schedule.rs` (`begin()`) makes the order, leased and about to be sent; `incentives/issue.rs` (`draft()`) derives
//!    Amazon's id from partner and intent. Then **T1**, one transaction (in `write_intent` of the same file): `incentives/sql.rs`
//!    (`insert()`) writes the row and the first fact of its timeline; `ledger/status.rs` (`change()`) reserves the value;
//!    `incentives/admission.rs` (`reserve()`) does so in the budgets.
//! 9. `engine/run.rs` (`carry()`, `run()`): the loop asks the driver what comes next, until it is done. At first
//!    `engine/drive.rs` (`next()`) answers: send.
//! 10. `incentives/courier.rs` (`send()`) sends through the reward's kind, `incentives/kinds/gift_code.rs` (`call()`), and
//!     `provider/incentives/client.rs` (`create_gift_card()`): signed, six seconds. `provider/incentives/classify.rs`
//!     (`create()`) classifies the answer: proven, refused, rejected at the door, not sent, or unknown.
//! 11. `incentives/answer.rs` (`of()`) keeps what the timeline may show, and lets `incentives/kinds/gift_code.rs`
//!     (`event_of_create()`) turn the rest into the engine's event and, where the card is live, its code.
//! 12. `engine/drive.rs` (`settle()`): `engine/step.rs` (`apply()`) decides what the event makes of the stage,
//!     `engine/schedule.rs` (`apply()`) when the row is due again. The driver asks for a commit. Once that is confirmed, the
//!     drive is done, and the code may be delivered.
//! 13. **T2**, one transaction: `incentives/courier.rs` (`write()`) writes the change, `incentives/sql.rs` (`save()`) by
//!     compare-and-set on the version that was sent. `ledger/status.rs` (`change()`) follows, and so do budgets and timeline.
//! 14. `incentives/dto.rs` (`issued()`): the handler writes 201 with the code from memory, and the variable is wiped.
//!
//! Before step 1, `http/let_in.rs` asks for room. Where too much is to be done already the request is refused, and nothing is looked up.
//!
//! A reward that a program pays for also enters `ledger/programs.rs` and `ledger/budget.rs`, from steps 7, 8 and 13. Each new one is
//! counted by `ledger/ceilings.rs`, at the end of T1.
//!
//! If step 10 ends unknown while the caller waits, the driver holds the lease, pauses, and sends the same bytes again. If the
//! caller's time is up, the answer is 202, and recovery (`engine/recover.rs`) runs the same driver when the row is due.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | order | what the engine knows of one remote effect: stage, lease, schedule, version |
//! | kind | what is bought, and its [rules](engine::Rules): the window for reversals, what a refusal does to the id, how it is read |
//! | target | what a reward acts on (a card number, an account), where its kind acts on something; its row keeps it sealed |
//! | aim | what a request names: a target, or the access token of a shopper, whose account becomes the target |
//! | errand | one call to Amazon for a reward, as its kind is given it |
//! | driver | the pure function that says what comes next ([`engine::Drive`]) |
//! | courier | what the engine needs of this product ([`incentives::courier::Courier`]) |
//! | waiter | a request that waits for an order, until its deadline |
//! | instruction | what the driver asks the loop to do: commit, send, read, wait |
//! | milestone | what a timeline shows of a change that the driver made |
//! | fact | a row of the outbox: what happened, written in the transaction that makes it true |
//! | principal | the client and key behind a request |
//! | caller | who asks, and whose things the key deals with: its client's, of those one program's, or everybody's |
//! | ceiling | what may be bought with an account on one of its days, whatever programs allow |
//! | intent | the fingerprint of client and idempotency key; Amazon's request id derives from it |
//! | lease | the right to work on a row until an instant, under a random token |
//! | proven, ambiguous | what Amazon's answer shows, or that it shows nothing |
//! | slot | one place in an account's request rate, which all replicas share |
//! | departure | the right to send one request now: a slot that was fresh when it was spent |
//! | window | how long Amazon cancels a purchase, and until when a refused cancel is no verdict (`kernel::window`); in treasury: observations of a balance that differ from the ledger, until they have agreed for some minutes |
//! | lane | due orders of one account that are carried beside those of others |
//! | hand | the right to carry one due order of a lane; no caller has all of a lane's |
//! | key pair | the id and the secret that Amazon gave for signing. It lies in the files of a *key slot*, `primary` or `second` |
//! | in force | of the key pairs of an account, the one that every replica that holds it signs with |
//! | breaker | refuses new rewards while Amazon refuses the account |
//! | orphan card | a card that only Amazon knows, because its row was lost with a restored back-up |
//! | resolution | what a person found out about a reward that needs attention |
//! | statement | a month's books of an account, in months of its time zone |
//! | runway | how long a balance lasts at the present spending |
//! | deed, actor, scribe | what was done by hand, who did it, and who writes it into the audit in that name |
//! | head | the newest record of the audit; kept elsewhere, it finds a cut tail |
//! | batch, item | rewards that are bought one after the other, for which nobody waits; one of them |
//! | endpoint | of webhooks: where a client listens. A delivery is one fact on its way to one endpoint |
//! | payment | a charge, or a refund, of Amazon Pay |
//! | consent | what a buyer agreed to at Amazon: a charge permission. A charge is made against one |
//! | plan, membership, period | what a period costs and what a member gets for it; one member; one price and one reward |
//! | entitlement | the reward that a paid period owes its member |
//! | canary | a value that must be found nowhere; the tests look everywhere for it |

pub mod cli;

pub mod bootstrap;
pub mod server;

pub mod console;

pub mod webhooks;

pub mod batches;
pub mod membership;

pub mod treasury;

pub mod incentives;

pub mod pay;

pub mod ledger;

pub mod engine;

pub mod accounts;
pub mod events;

pub mod identity;

pub mod http;
pub mod provider;

pub mod audit;

pub mod store;

pub mod sealing;

pub(crate) mod client;
pub mod config;
pub mod lifecycle;
pub mod telemetry;

pub mod ambient;
mod failpoint;
pub mod kernel;

pub mod sandbox;
