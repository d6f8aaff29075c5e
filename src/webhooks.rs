//! What happened, sent to whoever wants to know: Standard Webhooks 1.0.
//!
//! A message is signed ([`secret`]) and goes to an address that a caller chose. So the address is judged twice: when it is written
//! down ([`endpoint_url`]), and on each attempt, when its name is looked up ([`post`]). What comes of an attempt decides when the
//! next one is due ([`schedule`]).

pub mod address;
pub mod endpoint_url;
pub mod post;
pub mod schedule;
pub mod secret;

pub use endpoint_url::{EndpointUrl, Reachable, UrlFault};
pub use post::{NoPoster, PostFault, PostOutcome, Poster, WebhookMessage};
pub use schedule::DeliveryVerdict;
pub use secret::{EndpointSecret, NoEndpointSecret, signature};
