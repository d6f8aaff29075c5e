//! A line of the log for each request that was refused, and for each other for who wants to see it.
//!
//! No line has a body, a claim code, a card's number or a secret.

use super::distort::Say;
use crate::sandbox::record::Received;

/// The most characters of a caller's own text in a line.
const TEXT_MAX: usize = 80;

/// Which requests have a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RequestLines {
    /// None: a sandbox inside another program, whose log is its own.
    #[default]
    None,
    /// Those that were refused.
    Refused,
    /// All of them.
    All,
}

impl RequestLines {
    /// Whether an exchange that was answered like this has a line.
    pub(super) fn has(self, status: Option<u16>) -> bool {
        match self {
            Self::None => false,
            Self::Refused => is_refusal(status),
            Self::All => true,
        }
    }
}

fn is_refusal(status: Option<u16>) -> bool {
    status.is_some_and(|status| status >= 400)
}

/// Writes the line of an exchange that is over.
pub(super) fn exchanged(received: &Received, say: &Say) {
    let line = line(received, say);
    let refused = if is_refusal(received.http_status) { "refused " } else { "" };
    tracing::info!("{refused}{line}");
}

fn line(received: &Received, say: &Say) -> String {
    let Received { operation, creation_request_id, partner_id, http_status, error_code, error_type, .. } = received;
    let mut line = shown(operation);
    if let Some(id) = creation_request_id {
        line.push_str(&format!(" {}", shown(id)));
    }
    if let Some(partner_id) = partner_id {
        line.push_str(&format!(" of {}", shown(partner_id)));
    }
    match http_status {
        Some(status) => line.push_str(&format!(": {status}")),
        None => line.push_str(": no answer"),
    }
    for word in [error_code, error_type].into_iter().flatten() {
        line.push_str(&format!(" {word}"));
    }
    // The first line says what is wrong; what a wrong signature should have been is for the caller alone.
    if let Some(message) = say.message().and_then(|message| message.lines().next()) {
        line.push_str(&format!(
            ": {}",
            message.chars().filter(|character| !character.is_control()).collect::<String>()
        ));
    }
    if let Some(member) = say.unread_member() {
        line.push_str(&format!(": {} is null, or not what it must be", shown(member)));
    }
    if let Some(fault) = &received.fault {
        let kind: &'static str = fault.into();
        line.push_str(&format!(" (by the fault {kind})"));
    }
    line
}

/// A caller's text, short and in one line.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_MAX).collect()
}
