//! The engine: it carries remote effects, and knows no Amazon, no HTTP and no SQL text.
//!
//! A *remote effect* is one thing that a remote service does for us under an id that we made: it is planned, sent,
//! perhaps unknown, proven or refused, perhaps reversed. An [`Order`] is what the engine knows of one.
//!
//! - [`step`] decides what an event makes of a [`Stage`]; [`schedule`] decides when the order is taken up again. Both
//!   are pure: the caller brings the instant and the random number.
//! - [`Drive`] answers what comes next after each input. It does no I/O, so the simulation and the model check run the
//!   very driver that production runs.
//! - [`run()`] is the one loop that awaits: it does what the driver asks for, through a product's [`Effects`]. What it
//!   commits while a request waits, it shows the request's [`Waiter`].
//! - [`mod@recover`] finds orders that are due and runs them the same way.
//!
//! What differs between kinds of effects is data: [`Rules`]. What a row keeps of a stage is a [`FlatStage`].

pub mod drive;
pub mod event;
pub mod flat;
pub mod ladder;
pub mod order;
pub mod recover;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod step;

pub use drive::{Drive, DriveLimits, End, Input, Instruction};
pub use event::{Event, RefusalClass, Sight};
pub use flat::FlatStage;
pub use order::{Action, AttentionReason, OnUnproven, Order, ReversalFailure, Stage, State, Wisher};
pub use rules::Rules;
pub use run::{Effects, Ran, Waiter, carry, run};
pub use step::{Rejected, Wake};
