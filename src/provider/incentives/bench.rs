//! What `benches/load` measures here and nothing else may reach: the signature of a call, and the reading of its answer.

use chrono::{DateTime, Utc};

use super::{
    classify::{self, WholeAnswer},
    endpoint::Endpoint,
    refusal::Outcome,
    sign::{CredentialScope, Credentials, signed_headers},
    wire::Operation,
};
use crate::kernel::{CardProof, CreationRequestId, Money};

/// Signs the body of a create: how many headers the request has then. `None` where it cannot be signed.
#[must_use]
pub fn signed(endpoint: &Endpoint, body: &[u8], credentials: &Credentials, at: DateTime<Utc>) -> Option<usize> {
    let (host, region) = (endpoint.host(), endpoint.region());
    let scope = CredentialScope { host, region, operation: Operation::CREATE_GIFT_CARD, at };
    signed_headers(scope, body, credentials).ok().map(|headers| headers.len())
}

/// Whether an answer to a create proves the card that was asked for.
#[must_use]
pub fn classified(body: &[u8], id: &CreationRequestId, asked: Money) -> bool {
    let reply = Ok(WholeAnswer { status: 200, content_type: Some("application/json"), exception: None, body });
    match classify::create(reply, id, asked) {
        Outcome::Proven(seen) => matches!(seen.proof, CardProof::Fulfilled(_)),
        Outcome::Refused(_) | Outcome::AuthRejected(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => false,
    }
}
