//! What a message about a payment says of it: what never changes, and no more.

use uuid::Uuid;

use crate::{
    kernel::{Currency, Money, PaymentId},
    pay::kind::PaymentKind,
    store::{Read, Sql, StoreError, fetch_optional, row, statements},
};

statements! {
    BRIEF = Sql::same(
        "payments.brief",
        "SELECT id, account, kind, amount_minor, currency, external_id FROM payments WHERE id = $1",
    );
}

row! {
    struct PaymentBriefRow {
        id: Uuid, account: String, kind: String, amount_minor: i64, currency: String, external_id: Option<String>,
    }
}

/// What never changes of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PaymentBrief {
    pub(crate) id: PaymentId,
    /// The account that is paid, or pays back.
    pub(crate) account: String,
    pub(crate) kind: PaymentKind,
    pub(crate) value: Money,
    /// The caller's own reference.
    pub(crate) external_id: Option<String>,
}

/// The payment of this id, if it is there.
///
/// # Errors
/// [`StoreError`] from the database, also where the row cannot be read.
pub(crate) async fn payment_brief(on: &mut impl Read, id: PaymentId) -> Result<Option<PaymentBrief>, StoreError> {
    let Some(row) = fetch_optional!(PaymentBriefRow, on, BRIEF, id.uuid())? else { return Ok(None) };
    let bad = |column| StoreError::Inconsistent { table: "payments", column };
    let currency = row.currency.parse::<Currency>().map_err(|_unknown| bad("currency"))?;
    Ok(Some(PaymentBrief {
        id: PaymentId::new(row.id),
        account: row.account,
        kind: PaymentKind::from_word(&row.kind).ok_or_else(|| bad("kind"))?,
        value: Money::from_minor(row.amount_minor, currency),
        external_id: row.external_id,
    }))
}
