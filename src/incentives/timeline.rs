//! The timeline's entries: what happened, in words and numbers of ours. Nothing of an answer's body can be put in.

use std::sync::Arc;

use serde::Serialize;

use super::{answer::Answer, kind::TargetEnding};
use crate::{
    engine::{
        Event, State,
        drive::{Change, Milestone},
    },
    kernel::ApiKeyId,
    sealing::Target,
};

/// One entry, to be written in the transaction that makes it true.
#[derive(Debug, Clone)]
pub(super) struct TimelineEntry {
    pub(super) kind: &'static str,
    pub(super) detail: Detail,
}

/// What an entry says besides its kind.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amazon_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_ending: Option<String>,
    /// The API key that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key_id: Option<String>,
    /// The caller's words, checked at the edge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl TimelineEntry {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, detail: Detail::default() }
    }

    pub(super) fn with_reason(kind: &'static str, reason: String) -> Self {
        Self { kind, detail: Detail { reason: Some(reason), ..Detail::default() } }
    }

    pub(super) fn received(target_ending: Option<TargetEnding>, key: ApiKeyId) -> Self {
        let (target_ending, api_key_id) = (target_ending.map(|ending| ending.to_string()), Some(key.to_string()));
        let detail = Detail { attempt: Some(1), target_ending, api_key_id, ..Detail::default() };
        Self { kind: "reward.received", detail }
    }

    pub(super) fn with_attempt(kind: &'static str, attempt: i64) -> Self {
        Self { kind, detail: Detail { attempt: Some(attempt), ..Detail::default() } }
    }

    pub(super) fn detail_json(&self) -> Option<String> {
        serde_json::to_string(&self.detail).ok().filter(|text| text != "{}")
    }
}

/// The entry of a change that the engine made, with what is known of the answer and the caller's reason.
pub(super) fn of_change(change: &Change, answer: Option<&Answer>, note: &Note) -> TimelineEntry {
    let after = change.order.state();
    match change.milestone {
        Milestone::Sent => TimelineEntry::with_attempt("attempt.sent", change.order.attempts),
        Milestone::Settled { event, attempt } => {
            let detail = answer.map(Answer::detail).unwrap_or_default();
            TimelineEntry {
                kind: kind_of(event, change.from, after),
                detail: Detail { attempt: Some(attempt), ..detail },
            }
        }
        Milestone::ReversalWanted => TimelineEntry { kind: "cancel.requested", detail: note.detail() },
        Milestone::Shown { deliver: false } => TimelineEntry::new("reward.needs_attention"),
        Milestone::Shown { deliver: true } => match note.reason {
            Some(_) => TimelineEntry { kind: "claim_code.revealed", detail: note.detail() },
            None => TimelineEntry { kind: "claim_code.redelivered", detail: note.detail() },
        },
    }
}

/// What the caller of a drive brings.
#[derive(Clone, Default)]
pub struct Note {
    /// The caller's reason.
    pub(super) reason: Option<String>,
    /// The caller's API key.
    pub(super) key: Option<ApiKeyId>,
    /// What the reward acts on, where its caller brings it again: it is not written.
    pub(super) target: Option<Arc<Target>>,
}

impl Note {
    fn detail(&self) -> Detail {
        let api_key_id = self.key.map(|key| key.to_string());
        Detail { reason: self.reason.clone(), api_key_id, ..Detail::default() }
    }
}

/// What an entry about an attempt is called: the state it led to, where it led to one, else what became of it.
pub(super) const fn kind_of(event: Event, before: State, after: State) -> &'static str {
    match (after, event) {
        (State::Issued, _) if matches!(before, State::Canceling) => "cancel.failed",
        (State::Issued, _) => "reward.issued",
        (State::Failed, _) => "reward.failed",
        (State::Canceled, _) => "reward.canceled",
        (State::NeedsAttention, _) => "reward.needs_attention",
        (State::Canceling, Event::Seen(_)) if !matches!(before, State::Canceling) => "reward.proven",
        (State::Canceling, Event::ReversalRefused(_)) => "cancel.refused",
        (State::Canceling, Event::ReversalLost) => "cancel.unknown",
        (_, Event::NotSent | Event::ReversalNotSent) => "attempt.not_sent",
        (_, Event::Refused(_)) => "attempt.refused",
        (_, Event::Seen(_)) => "attempt.read",
        (_, Event::Lost) => "attempt.unknown",
        (_, Event::Abandoned) => "attempt.abandoned",
        (
            _,
            Event::Begin
            | Event::ReversalAsked
            | Event::ReversalDone
            | Event::ReversalRefused(_)
            | Event::ReversalLost
            | Event::GiveUp,
        ) => "attempt.ended",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_for_callers_lists_every_word() {
        let page = include_str!("../http/API.md");
        let source = include_str!("timeline.rs").split("#[cfg(test)]").next().unwrap();
        let words: Vec<&str> = source.split('"').skip(1).step_by(2).filter(|word| word.contains('.')).collect();
        assert!(words.len() > 15, "{words:?}");
        // No drive settles with the events of these two.
        let unwritten = ["attempt.abandoned", "attempt.ended"];
        for word in words.into_iter().filter(|word| !unwritten.contains(word)) {
            assert!(page.contains(&format!("`{word}`")), "{word} is not in the page");
        }
    }
}
