//! What a span can say of itself, and nothing else.

use chrono::{DateTime, Utc};

use crate::kernel::{
    CreationRequestId, RewardId,
    trace_context::{SpanId, TraceContext},
};

/// One fact about a span. The list is closed and its values are typed, so that no body, header, key or claim code fits
/// in: a leak through a trace is a leak (SEC-02). Names are OpenTelemetry's semantic conventions (HTTP and database,
/// stable), or dotted ones of ours, as in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// The method, one of the known ones.
    Method(&'static str),
    /// The route's pattern, never the path.
    Route(String),
    /// The status that was answered.
    Status(u16),
    /// Why it failed: a word of ours. The span then counts as failed.
    Error(&'static str),
    /// The host of Amazon's that was called.
    Server(&'static str),
    /// Which database it is.
    Database(&'static str),
    /// The transaction is committed. Without this it is not, or nobody knows.
    Committed,
    /// The reward.
    Reward(RewardId),
    /// The state that it came to.
    State(&'static str),
    /// Which attempt it was, counted from 1.
    Attempt(i64),
    /// Amazon's name for the reward.
    CreationRequestId(CreationRequestId),
    /// What the call to Amazon came to: a word of ours.
    Outcome(&'static str),
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl Attribute {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Method(_) => "http.request.method",
            Self::Route(_) => "http.route",
            Self::Status(_) => "http.response.status_code",
            Self::Error(_) => "error.type",
            Self::Server(_) => "server.address",
            Self::Database(_) => "db.system.name",
            Self::Committed => "db.committed",
            Self::Reward(_) => "reward.id",
            Self::State(_) => "reward.state",
            Self::Attempt(_) => "reward.attempt",
            Self::CreationRequestId(_) => "reward.creation_request_id",
            Self::Outcome(_) => "upstream.outcome",
        }
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> AttributeValue {
        match self {
            Self::Method(word)
            | Self::Server(word)
            | Self::Error(word)
            | Self::Database(word)
            | Self::State(word)
            | Self::Outcome(word) => AttributeValue::Text((*word).to_owned()),
            Self::Route(text) => AttributeValue::Text(text.clone()),
            Self::Status(status) => AttributeValue::Number((*status).into()),
            Self::Committed => AttributeValue::Flag(true),
            Self::Reward(id) => AttributeValue::Text(id.to_string()),
            Self::Attempt(number) => AttributeValue::Number(*number),
            Self::CreationRequestId(id) => AttributeValue::Text(id.as_str().to_owned()),
        }
    }
}

/// Which end of an exchange a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work between the two.
    Internal,
    /// A request of a caller's.
    Server,
    /// A call of ours.
    Client,
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Itself.
    pub context: TraceContext,
    /// The span that it is part of, in the same trace.
    pub parent: Option<SpanId>,
    /// Whether that one is someone else's.
    pub parent_is_remote: bool,
    /// What was done: few names.
    pub name: String,
    /// Which end.
    pub kind: SpanKind,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// More about it.
    pub attributes: Vec<Attribute>,
    /// Spans of other traces that it has to do with.
    pub links: Vec<TraceContext>,
}

impl SpanRecord {
    /// Whether it failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Error(_)))
    }
}
