//! An item of a batch, as callers send it: a request for a reward, less what all items of the batch have in common.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{IssueBody, Texts};
use crate::http::value::ValueBody;
use crate::{
    http::Problem,
    identity::Principal,
    incentives::{kind::Kind, model::Command},
    kernel::{IdempotencyKey, ProgramId},
};

/// What is bought where an item does not say.
const DEFAULT_KIND: &str = "gift_code";

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = BatchItemRequest,
    example = json!({"external_id": "order-4711", "value": {"amount": "25.00", "currency_code": "USD"}})
)]
pub(crate) struct BatchItemBody {
    /// Your own reference, unique for the client: printable ASCII, no blank at its ends. The same one is bought once, in whichever batch it stands.
    #[schema(min_length = 1, max_length = 128, example = "order-4711")]
    pub(crate) external_id: String,
    /// What it is worth.
    value: ValueBody,
    /// What to buy: a kind that acts on nothing, so `gift_code`.
    #[schema(example = "gift_code")]
    kind: Option<String>,
    /// As of a single reward.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    metadata: Option<Texts>,
}

impl BatchItemBody {
    /// The command of this caller, checked for shape.
    ///
    /// # Errors
    /// The problem that names the field, within the item.
    pub(crate) fn into_command(
        self,
        key: IdempotencyKey,
        program: Option<&ProgramId>,
        account: Option<&str>,
        principal: &Principal,
    ) -> Result<Command, Problem> {
        let kind = self.kind.unwrap_or_else(|| DEFAULT_KIND.to_owned());
        if Kind::from_word(&kind).is_some_and(|kind| kind.spec().acts()) {
            return Err(super::invalid("/kind", "a batch buys what acts on nothing: gift_code"));
        }
        let single = IssueBody {
            program_id: program.map(|id| id.as_str().to_owned()),
            account_id: account.map(str::to_owned),
            kind,
            value: self.value,
            external_id: Some(self.external_id),
            metadata: self.metadata,
            on_unresolved: None,
            target: None,
            transaction_source: None,
            product_type: None,
        };
        single.into_command(key, principal)
    }
}
