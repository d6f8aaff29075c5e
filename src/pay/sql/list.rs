//! Pages of a client's charges or refunds, newest first. A page is asked for by one thing at most, and each has its index: whoever asks
//! waits for the page alone.

use uuid::Uuid;

use super::PaymentRow;
use crate::{
    kernel::ClientId,
    pay::{kind::PaymentKind, model::Payment},
    store::{Snapshot, Sql, StoreError, fetch_all, statements},
};

/// `$1`: the client; `$2`: the kind; `$3`: before this id; `$4`: how many.
macro_rules! page {
    ($by:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM payments WHERE client_id = $1 AND kind = $2 AND id < $3",
            $by,
            " ORDER BY id DESC LIMIT $4"
        )
    };
}

statements! {
    OF_CLIENT = Sql::same("payments.list", page!(""));
    NAMED = Sql::same("payments.list_named", page!(" AND external_id = $5"));
    AGAINST = Sql::same("payments.list_against", page!(" AND against = $5"));
    OF_PARENT = Sql::same("payments.list_of_parent", page!(" AND parent_id = $5"));
}

/// What a page is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListedBy {
    /// All of the client's.
    Client,
    /// The caller's own reference.
    ExternalId(String),
    /// Amazon's id of what it is made against.
    Against(String),
    /// Of refunds: the charge.
    Charge(Uuid),
}

/// Which page a caller wants.
#[derive(Debug, Clone)]
pub(crate) struct PaymentPage {
    pub(crate) kind: PaymentKind,
    pub(crate) by: ListedBy,
    /// Older than this one: the last of the page before.
    pub(crate) before: Uuid,
    /// At most so many.
    pub(crate) limit: i64,
}

/// A page of this client's payments.
pub(crate) async fn list(
    snapshot: &mut Snapshot,
    client: ClientId,
    asked: &PaymentPage,
) -> Result<Vec<Payment>, StoreError> {
    let (client, kind, before, limit) = (client.uuid(), asked.kind.as_str(), asked.before, asked.limit);
    let rows = match &asked.by {
        ListedBy::Client => fetch_all!(PaymentRow, snapshot, OF_CLIENT, client, kind, before, limit)?,
        ListedBy::ExternalId(id) => fetch_all!(PaymentRow, snapshot, NAMED, client, kind, before, limit, id.as_str())?,
        ListedBy::Against(id) => fetch_all!(PaymentRow, snapshot, AGAINST, client, kind, before, limit, id.as_str())?,
        ListedBy::Charge(id) => fetch_all!(PaymentRow, snapshot, OF_PARENT, client, kind, before, limit, *id)?,
    };
    rows.into_iter().map(Payment::try_from).collect()
}
