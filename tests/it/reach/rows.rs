//! Every route with its scope, and what it deals with.

/// What a route deals with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Whoever asks, or what is the same for all.
    Anyone,
    /// The reward that the path names.
    Reward,
    /// The program that the path names.
    Program,
    /// A reward that is charged to the program of `prg_spring`.
    Charge,
    /// A new program for its maker.
    NewProgram,
    Rewards,
    Programs,
    Entries,
    /// A month's statement: the lines of the holder's own rewards; an account's funds are over all clients.
    Statement,
    Events,
    /// What a reconciliation found.
    Items,
    /// Amazon's key pairs: an operator's alone.
    KeyPairs,
    /// Reconciliations: their totals are over all clients.
    Totals,
    /// An endpoint of webhooks that the path names.
    Endpoint,
    /// A new one for its maker.
    NewEndpoint,
    Endpoints,
    /// A batch that the path names.
    Batch,
    /// The same for whoever changes it.
    OwnBatch,
    Batches,
    /// A charge or a refund that the path names.
    Payment,
    /// A new one for its maker.
    NewPayment,
    Payments,
    /// A buyer's consent: it is nobody's before it is charged.
    Consent,
    /// Plans and memberships.
    Memberships,
}

/// Each route: its method, its scope, what it deals with. `HEAD` is `GET` without a body.
pub(crate) const ROWS: &[(&str, &str, &str, Subject)] = &[
    ("GET", "/v1/ping", "", Subject::Anyone),
    ("GET", "/v1/catalog", "rewards:read", Subject::Anyone),
    ("GET", "/v1/rewards", "rewards:read", Subject::Rewards),
    ("POST", "/v1/rewards", "rewards:write", Subject::Charge),
    ("POST", "/v1/rewards/validate", "rewards:write", Subject::Charge),
    ("GET", "/v1/rewards/{id}", "rewards:read", Subject::Reward),
    ("GET", "/v1/rewards/{id}/events", "rewards:read", Subject::Reward),
    ("POST", "/v1/rewards/{id}/reveal", "claim_codes:reveal", Subject::Reward),
    ("POST", "/v1/rewards/{id}/cancel", "rewards:cancel", Subject::Reward),
    ("POST", "/v1/rewards/{id}/check", "rewards:read", Subject::Reward),
    ("GET", "/v1/balances", "balances:read", Subject::Anyone),
    ("GET", "/v1/balances/{account_id}", "balances:read", Subject::Anyone),
    ("POST", "/v1/balances/{account_id}/refresh", "balances:read", Subject::Anyone),
    ("GET", "/v1/key-pairs", "key_pairs:read", Subject::KeyPairs),
    ("GET", "/v1/key-pairs/{account_id}", "key_pairs:read", Subject::KeyPairs),
    ("POST", "/v1/key-pairs/{account_id}/{slot}/verify", "key_pairs:write", Subject::KeyPairs),
    ("POST", "/v1/key-pairs/{account_id}/{slot}/activate", "key_pairs:write", Subject::KeyPairs),
    ("GET", "/v1/programs", "programs:read", Subject::Programs),
    ("POST", "/v1/programs", "programs:write", Subject::NewProgram),
    ("GET", "/v1/programs/{id}", "programs:read", Subject::Program),
    ("PATCH", "/v1/programs/{id}", "programs:write", Subject::Program),
    ("GET", "/v1/programs/{id}/budget", "programs:read", Subject::Program),
    ("POST", "/v1/programs/{id}/suspend", "programs:write", Subject::Program),
    ("POST", "/v1/programs/{id}/resume", "programs:write", Subject::Program),
    ("GET", "/v1/ledger-entries", "ledger:read", Subject::Entries),
    ("GET", "/v1/statements/{account_id}/{month}", "ledger:read", Subject::Statement),
    ("GET", "/v1/events", "ledger:read", Subject::Events),
    ("GET", "/v1/reconciliation-days", "ledger:read", Subject::Anyone),
    ("GET", "/v1/reconciliations", "ledger:read", Subject::Totals),
    ("POST", "/v1/reconciliations", "reconciliations:write", Subject::Totals),
    ("GET", "/v1/reconciliations/{id}", "ledger:read", Subject::Totals),
    ("GET", "/v1/reconciliations/{id}/items", "ledger:read", Subject::Items),
    ("GET", "/v1/webhook-endpoints", "webhooks:read", Subject::Endpoints),
    ("POST", "/v1/webhook-endpoints", "webhooks:write", Subject::NewEndpoint),
    ("GET", "/v1/webhook-endpoints/{id}", "webhooks:read", Subject::Endpoint),
    ("PATCH", "/v1/webhook-endpoints/{id}", "webhooks:write", Subject::Endpoint),
    ("DELETE", "/v1/webhook-endpoints/{id}", "webhooks:write", Subject::Endpoint),
    ("POST", "/v1/webhook-endpoints/{id}/test", "webhooks:write", Subject::Endpoint),
    ("POST", "/v1/webhook-endpoints/{id}/rotate-secret", "webhooks:write", Subject::Endpoint),
    ("GET", "/v1/webhook-endpoints/{id}/deliveries", "webhooks:read", Subject::Endpoint),
    ("POST", "/v1/webhook-endpoints/{id}/deliveries/{delivery}/redeliver", "webhooks:write", Subject::Endpoint),
    ("POST", "/v1/webhook-endpoints/{id}/replay", "webhooks:write", Subject::Endpoint),
    ("GET", "/v1/pay/page-config", "pay:read", Subject::Consent),
    ("POST", "/v1/pay/buttons", "pay:write", Subject::Consent),
    ("GET", "/v1/pay/checkout-sessions/{id}", "pay:read", Subject::Consent),
    ("POST", "/v1/pay/checkout-sessions/{id}/complete", "pay:write", Subject::Consent),
    ("GET", "/v1/pay/charges", "pay:read", Subject::Payments),
    ("POST", "/v1/pay/charges", "pay:write", Subject::NewPayment),
    ("GET", "/v1/pay/charges/{id}", "pay:read", Subject::Payment),
    ("GET", "/v1/pay/charges/{id}/events", "pay:read", Subject::Payment),
    ("POST", "/v1/pay/charges/{id}/capture", "pay:write", Subject::Payment),
    ("POST", "/v1/pay/charges/{id}/cancel", "pay:write", Subject::Payment),
    ("GET", "/v1/pay/orders/{id}", "pay:read", Subject::Payment),
    ("GET", "/v1/pay/agreements/{id}", "pay:read", Subject::Payment),
    ("GET", "/v1/pay/refunds", "pay:read", Subject::Payments),
    ("POST", "/v1/pay/refunds", "pay:refund", Subject::NewPayment),
    ("GET", "/v1/pay/refunds/{id}", "pay:read", Subject::Payment),
    ("GET", "/v1/pay/refunds/{id}/events", "pay:read", Subject::Payment),
    ("GET", "/v1/membership/plans", "membership:read", Subject::Memberships),
    ("POST", "/v1/membership/plans", "membership:write", Subject::Memberships),
    ("GET", "/v1/membership/plans/{id}", "membership:read", Subject::Memberships),
    ("POST", "/v1/membership/plans/{id}/close", "membership:write", Subject::Memberships),
    ("GET", "/v1/memberships", "membership:read", Subject::Memberships),
    ("POST", "/v1/memberships", "membership:write", Subject::Memberships),
    ("GET", "/v1/memberships/{id}", "membership:read", Subject::Memberships),
    ("GET", "/v1/memberships/{id}/periods", "membership:read", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/pause", "membership:write", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/resume", "membership:write", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/retry", "membership:write", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/change_plan", "membership:write", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/simulate", "membership:write", Subject::Memberships),
    ("POST", "/v1/memberships/{id}/end", "membership:write", Subject::Memberships),
    ("GET", "/v1/batches", "rewards:read", Subject::Batches),
    ("POST", "/v1/batches", "rewards:write", Subject::Charge),
    ("GET", "/v1/batches/{id}", "rewards:read", Subject::Batch),
    ("GET", "/v1/batches/{id}/items", "rewards:read", Subject::Batch),
    ("POST", "/v1/batches/{id}/pause", "rewards:write", Subject::OwnBatch),
    ("POST", "/v1/batches/{id}/resume", "rewards:write", Subject::OwnBatch),
    ("POST", "/v1/batches/{id}/cancel", "rewards:write", Subject::OwnBatch),
];
