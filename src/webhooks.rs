//! What happened, sent to whoever wants to know: Standard Webhooks 1.0.
//!
//! A fact is written in the transaction that makes it true. The worker ([`deliver`]) passes facts on
//! ([`fan_out`]): each becomes one row for each endpoint that hears of it ([`event`]), and is sent from there, ten times at most. A message
//! ([`message`]) is signed ([`secret`]) and goes to an address that a caller chose. So the address is judged twice: when it is written
//! down ([`endpoint_url`]), and on each attempt, when its name is looked up ([`post`]). What comes of an attempt decides when the
//! next one is due ([`schedule`]).

pub mod address;
mod deliver;
pub mod deliveries;
pub mod endpoint_url;
pub mod endpoints;
mod event;
pub mod fan_out;
pub(crate) mod http;
mod message;
mod metrics;
pub(crate) mod operator;
pub mod post;
pub(crate) mod problems;
pub mod schedule;
pub(crate) mod scopes;
pub mod secret;
mod service;

pub use endpoint_url::{EndpointUrl, Reachable, UrlFault};
pub use post::{NoPoster, PostFault, PostOutcome, Poster, WebhookMessage};
pub use schedule::DeliveryVerdict;
pub use secret::{EndpointSecret, NoEndpointSecret, signature};
pub(crate) use {
    metrics::Metrics,
    service::{WebhookError, Webhooks},
};
