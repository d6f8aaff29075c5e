//! A change of a program: an event for finance, a line of the log, and a record of the audit.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    audit::{AuditAction, Deed, Scribe},
    events::{Named, outbox},
    kernel::ProgramId,
    store::{StoreError, Tx},
};

/// Who changes a program.
#[derive(Debug, Clone)]
pub(crate) struct ChangedBy {
    /// An operator's name, or an API key.
    pub(crate) name: String,
    /// Writes the change down.
    pub(crate) scribe: Scribe,
}

/// A change of a program.
pub(super) struct ProgramDeed<'a> {
    pub(super) action: AuditAction,
    pub(super) id: &'a ProgramId,
    /// What the event says.
    pub(super) data: Value,
    /// What the audit holds besides.
    pub(super) details: Value,
}

pub(super) async fn report_change(
    tx: &mut Tx,
    deed: ProgramDeed<'_>,
    by: &ChangedBy,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ProgramDeed { action, id, mut data, details: mut more } = deed;
    if let Some(members) = data.as_object_mut() {
        members.insert("by".to_owned(), json!(by.name));
    }
    let event = action.as_str();
    tracing::info!(program = %id, program.changed_by = by.name, "{event}");
    outbox::write(tx, event, Named::Program(id), Some(&data), now).await?;
    let mut details = data;
    if let (Some(members), Some(more)) = (details.as_object_mut(), more.as_object_mut()) {
        members.append(more);
    }
    by.scribe.write(tx, Deed { action, subject: id.as_str(), details }, now).await
}
