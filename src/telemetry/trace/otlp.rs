//! Spans as OpenTelemetry's protocol writes them (opentelemetry-proto 1.x, `trace.proto`).

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span, status},
};
use prost::Message;

use super::{AttributeValue, SpanKind, SpanRecord};
use crate::kernel::TraceContext;

/// The resource that spans come from.
pub(super) fn resource(attributes: impl IntoIterator<Item = (String, String)>) -> Resource {
    let text = |(name, value): (String, String)| attribute(&name, AttributeValue::Text(value));
    Resource { attributes: attributes.into_iter().map(text).collect(), ..Resource::default() }
}

/// The request that sends spans, in protobuf.
pub(super) fn request(resource: &Resource, records: &[SpanRecord]) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = records.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let of_us = ResourceSpans { resource: Some(resource.clone()), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_us] }.encode_to_vec()
}

/// How many spans of a request the collector refused. If the answer is not of the protocol, the collector took all of
/// them, as its status says.
pub(super) fn refused(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).ok();
    let refused = answer.and_then(|answer| answer.partial_success).map_or(0, |partial| partial.rejected_spans);
    u64::try_from(refused).unwrap_or(0)
}

fn span(record: &SpanRecord) -> Span {
    let code = if record.is_failed() { status::StatusCode::Error } else { status::StatusCode::Unset };
    let kind = match record.kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
    };
    Span {
        trace_id: record.context.trace().bytes().to_vec(),
        span_id: record.context.span().bytes().to_vec(),
        parent_span_id: record.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        flags: flags(record.context, Some(record.parent_is_remote)),
        name: record.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(record.began),
        end_time_unix_nano: nanoseconds(record.ended.max(record.began)),
        attributes: record.attributes.iter().map(|fact| attribute(fact.name(), fact.value())).collect(),
        links: record.links.iter().map(|other| link(*other)).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..Span::default()
    }
}

fn link(other: TraceContext) -> span::Link {
    span::Link {
        trace_id: other.trace().bytes().to_vec(),
        span_id: other.span().bytes().to_vec(),
        flags: flags(other, None),
        ..span::Link::default()
    }
}

/// The W3C flags, and whether the parent belongs to another process, where that is known.
#[expect(clippy::as_conversions, reason = "the protocol's masks are an enumeration of i32, all of them positive")]
fn flags(context: TraceContext, parent_is_remote: Option<bool>) -> u32 {
    const KNOWN: u32 = SpanFlags::ContextHasIsRemoteMask as u32;
    const REMOTE: u32 = SpanFlags::ContextIsRemoteMask as u32;
    let remote = match parent_is_remote {
        Some(true) => KNOWN | REMOTE,
        Some(false) => KNOWN,
        None => 0,
    };
    u32::from(context.is_sampled()) | remote
}

fn attribute(name: &str, value: AttributeValue) -> KeyValue {
    let value = match value {
        AttributeValue::Text(text) => any_value::Value::StringValue(text),
        AttributeValue::Number(number) => any_value::Value::IntValue(number),
        AttributeValue::Flag(flag) => any_value::Value::BoolValue(flag),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Nanoseconds since 1970. An instant before 1970 or after 2262 becomes zero.
fn nanoseconds(at: DateTime<Utc>) -> u64 {
    at.timestamp_nanos_opt().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).unwrap_or(0)
}
