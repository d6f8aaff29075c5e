//! What happened, sent to whoever wants to know: Standard Webhooks 1.0.

pub mod address;
pub mod endpoint_url;
pub mod post;
pub mod secret;

pub use endpoint_url::{EndpointUrl, Reachable, UrlFault};
pub use post::{NoPoster, PostFault, PostOutcome, Poster, WebhookMessage};
pub use secret::{EndpointSecret, NoEndpointSecret, signature};
