//! A span as it is recorded: the closed list of its attributes, and its place in its trace.

use chrono::{DateTime, Utc};

use crate::kernel::{
    CreationRequestId, RewardId,
    trace_context::{SpanId, TraceContext},
};

/// One fact about a span. The list is closed and its values are typed, so that no body, header, key or claim code fits
/// in: a leak through a trace is a leak (`tests/RELIABILITY.md`, SEC-02). Names are OpenTelemetry's semantic conventions
/// (HTTP and database, stable), or dotted ones of ours, as in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// The HTTP method, one of the known ones.
    Method(&'static str),
    /// The route's pattern, never the path.
    Route(String),
    /// The HTTP status of the answer.
    Status(u16),
    /// Why the work failed, as a word of ours. It makes the span a failed one.
    Error(&'static str),
    /// Amazon's host that was called.
    Server(&'static str),
    /// The kind of database.
    Database(&'static str),
    /// The transaction is committed. Without this attribute it was rolled back, or its outcome is unknown.
    Committed,
    /// The id of the reward that the work is about.
    Reward(RewardId),
    /// The state that the reward came to.
    State(&'static str),
    /// The number of the attempt, counted from 1.
    Attempt(i64),
    /// Amazon's name for the reward.
    CreationRequestId(CreationRequestId),
    /// The class of the outcome of a call to Amazon.
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
    /// The attribute's name in an export.
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

    /// The attribute's value in an export.
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

/// Which side of an exchange a span measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Neither: work inside the process.
    Internal,
    /// The server's: a caller's request.
    Server,
    /// The client's: a call of ours.
    Client,
}

/// A span that has ended.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Its trace and its own id.
    pub context: TraceContext,
    /// The span that it is part of, in the same trace.
    pub parent: Option<SpanId>,
    /// Whether the parent belongs to another process.
    pub parent_is_remote: bool,
    /// The name of the work, from a small set.
    pub name: String,
    /// Which side of an exchange it measures.
    pub kind: SpanKind,
    /// When it began.
    pub began: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Its attributes, each name once.
    pub attributes: Vec<Attribute>,
    /// Spans of other traces that it is linked to.
    pub links: Vec<TraceContext>,
}

impl SpanRecord {
    /// Whether the work failed.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Error(_)))
    }
}
