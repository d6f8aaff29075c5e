//! What a create says of a card besides its value: the program of a reseller, the product of a voucher, the partner's own reference,
//! and the till.
//!
//! No refusal of any of them was ever recorded: the types are of Amazon's list, and the choice among them is ours. A partner whose terms
//! list no programs is no reseller, and may name any; one whose terms list no products may name any.

use serde::{Deserialize, Serialize};

use super::answer::{Echo, GatewayAnswer};
use super::errors;
use super::fields::{BadBody, Fields};
use super::operations::{refused, unread};
use super::partners::PartnerTerms;

/// The longest `externalReference`.
pub(super) const EXTERNAL_REFERENCE_CHARACTERS_MAX: usize = 100;
/// The longest `programId`: letters and digits.
const PROGRAM_ID_CHARACTERS_MAX: usize = 100;
/// The longest `productType`: letters and digits.
const PRODUCT_TYPE_CHARACTERS_MAX: usize = 50;
/// The longest members of `transactionSource`, as client code has them.
const SOURCE_CHARACTERS_MAX: [usize; 3] = [40, 40, 200];

/// What a create said of its card besides the value.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardMembers {
    /// The reseller's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_id: Option<String>,
    /// The voucher's product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_type: Option<String>,
    /// The partner's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// The till.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_source: Option<CardSource>,
}

/// A till, as it names itself.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardSource {
    /// The till.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub institution_id: Option<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_details: Option<String>,
}

impl CardMembers {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those of a create, checked against the partner's terms.
    pub(super) fn read(fields: &Fields, terms: &PartnerTerms, echo: &Echo) -> Result<Self, GatewayAnswer> {
        let text = |name| fields.text(name).map_err(|bad| unread(bad, echo));
        let external_reference = text("externalReference")?;
        let too_long = |reference: &String| reference.chars().count() > EXTERNAL_REFERENCE_CHARACTERS_MAX;
        if external_reference.as_ref().is_some_and(too_long) {
            return Err(refused(errors::EXTERNAL_REFERENCE_TOO_LONG, echo));
        }
        let program_id = text("programId")?;
        if program_id.as_ref().is_some_and(|program| !is_word(program, PROGRAM_ID_CHARACTERS_MAX)) {
            return Err(refused(errors::INVALID_PROGRAM_ID, echo));
        }
        match (&terms.program_ids, &program_id) {
            (Some(_approved), None) => return Err(refused(errors::PROGRAM_ID_NOT_PRESENT, echo)),
            (Some(approved), Some(program)) if !approved.contains(program) => {
                return Err(refused(errors::INVALID_PROGRAM_ID, echo));
            }
            (_, _) => {}
        }
        let product_type = text("productType")?;
        if product_type.as_ref().is_some_and(|product| !is_word(product, PRODUCT_TYPE_CHARACTERS_MAX)) {
            return Err(refused(errors::BAD_INPUT, echo));
        }
        if let (Some(authorised), Some(product)) = (&terms.product_types, &product_type)
            && !authorised.contains(product)
        {
            return Err(refused(errors::OPERATION_NOT_PERMITTED, echo));
        }
        let transaction_source = CardSource::read(fields, echo)?;
        Ok(Self { program_id, product_type, external_reference, transaction_source })
    }
}

impl CardSource {
    /// The till that a request names, if it names one. Nothing hangs on it.
    pub(super) fn read(fields: &Fields, echo: &Echo) -> Result<Option<Self>, GatewayAnswer> {
        let unread = |bad: BadBody| unread(bad, echo);
        let Some(source) = fields.object("transactionSource").map_err(unread)? else { return Ok(None) };
        let text = |name| source.text(name).map_err(unread);
        let parts = [text("sourceId")?, text("institutionId")?, text("sourceDetails")?];
        let fits = |(part, longest): (&Option<String>, usize)| {
            part.as_ref().is_none_or(|part| part.chars().count() <= longest)
        };
        if !parts.iter().zip(SOURCE_CHARACTERS_MAX).all(fits) {
            return Err(refused(errors::INVALID_REQUEST_INPUT, echo));
        }
        let [source_id, institution_id, source_details] = parts;
        Ok(Some(Self { source_id, institution_id, source_details }))
    }
}

/// Letters and digits, as Amazon has them.
pub(super) fn is_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.chars().all(|character| character.is_ascii_alphanumeric())
}
