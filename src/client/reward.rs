//! A reward as the service answers it.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::kernel::ClaimCode;

/// What a command shows of a reward. What a later release adds is passed over.
#[derive(Deserialize)]
pub(crate) struct RewardReply {
    pub(crate) id: String,
    /// Whose it is, where the key deals with the rewards of several clients.
    pub(crate) client: Option<String>,
    pub(crate) status: String,
    pub(crate) kind: String,
    pub(crate) value: ValueReply,
    pub(crate) account_id: String,
    pub(crate) program_id: Option<String>,
    pub(crate) creation_request_id: String,
    pub(crate) external_id: Option<String>,
    pub(crate) cancelable_until: Option<String>,
    pub(crate) cancel_failure: Option<String>,
    pub(crate) attention: Option<String>,
    pub(crate) last_error: Option<ErrorReply>,
    pub(crate) created_at: String,
    pub(crate) issued_at: Option<String>,
    pub(crate) canceled_at: Option<String>,
    pub(crate) archived_at: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "code")]
    pub(crate) claim_code: Option<ClaimCode>,
}

#[derive(Deserialize)]
pub(crate) struct ValueReply {
    pub(crate) amount: String,
    pub(crate) currency_code: String,
}

#[derive(Deserialize)]
pub(crate) struct ErrorReply {
    pub(crate) error_code: String,
    pub(crate) error_type: Option<String>,
}

impl RewardReply {
    /// Whether nothing more becomes of it by itself.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.status.as_str(), "issued" | "failed" | "canceled" | "needs_attention")
    }
}

/// A code goes from the answer's buffer, which is wiped, straight into its type.
fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ClaimCode>, D::Error> {
    let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
    Ok(ClaimCode::parse(&text))
}
