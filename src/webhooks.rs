//! What happened, sent to whoever wants to know: Standard Webhooks 1.0.

pub mod address;
pub mod secret;

pub use secret::{EndpointSecret, NoEndpointSecret, signature};
