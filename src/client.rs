//! A service as its callers see it: what `noshi rewards`, `noshi batch` and other commands that work through the REST API stand on.
//!
//! It knows the API by `http/API.md` alone and shares no type with the rooms that answer, so that a client of another release works
//! with this service, and this client with another.

pub(crate) mod pages;
pub(crate) mod refusal;
pub(crate) mod reward;
mod service;

pub(crate) use refusal::ProblemReply;
pub(crate) use service::{Ask, ServiceClient, ServiceError, ServiceReply};
