//! Problem codes of webhooks.

use crate::http::{Code, Retry};

pub(super) const WEBHOOKS_NOT_SET_UP: Code = Code::new(
    "webhooks-not-set-up",
    503,
    Retry::AfterOperator,
    "The service has no key to seal the secrets of endpoints with",
);
pub(super) const WEBHOOK_ENDPOINT_CONFLICT: Code = Code::new(
    "webhook-endpoint-conflict",
    409,
    Retry::Never,
    "The client has such an endpoint, or as many as it may have",
);

/// All of them.
pub(crate) const CODES: &[Code] = &[WEBHOOKS_NOT_SET_UP, WEBHOOK_ENDPOINT_CONFLICT];
