//! Traces: which request a piece of work belongs to, and how long each part of it took.
//!
//! A [`Span`] is a part of a trace. Code that runs in its scope can name it, on any task: `lifecycle::Tasks` carries
//! the span to the tasks that it spawns ([`carry`]), log lines name it ([`current`]), and the row of a reward keeps it.
//! This works with and without an export. Without an export a span is only its ids.
//!
//! These spans are not built on `tracing`'s. A span of `tracing` lasts until its last child has ended, so the span of
//! an answered request would last as long as the money work that outlives the request. An export of them would also
//! contain what libraries log within them. Here a span ends when its owner drops it, and holds only what [`Attribute`]
//! can hold.

#[cfg(feature = "otlp")]
pub mod export;
#[cfg(feature = "otlp")]
mod otlp;
mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::future::Either;
use prometheus::IntCounter;
use tokio::sync::mpsc;

pub use record::{Attribute, AttributeValue, SpanKind, SpanRecord};

use crate::{
    ambient::Ambient,
    kernel::{
        TraceContext,
        trace_context::{SpanId, TraceId},
    },
    telemetry::metrics::Registry,
};

/// The most links of a span. Only a loop could make more. Attributes need no limit: each name is kept once.
const LINKS_MAX: usize = 32;

tokio::task_local! {
    /// The innermost span in whose scope the task works.
    static HERE: Arc<Active>;
}

/// Begins traces. Cheap to clone.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    ambient: Ambient,
    /// How many of a million traces that begin here are recorded.
    millionths: u32,
    sink: Option<Sink>,
}

/// Where spans go when they have ended.
pub struct Sink {
    /// Bounded: a full queue loses spans, so that the work never waits for it.
    pub queue: mpsc::Sender<SpanRecord>,
    /// Counts the spans that a full queue loses.
    pub lost: IntCounter,
}

/// What becomes of spans.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Taken by the collector.
    pub exported: IntCounter,
    /// Lost because the queue was full, or the process stopped.
    pub queue_full: IntCounter,
    /// Lost because the collector did not take them in a few tries.
    pub not_sent: IntCounter,
    /// Refused by the collector, which took others.
    pub refused: IntCounter,
}

impl Counters {
    /// Registers the counters. Without an export they stay at zero.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dropped = registry.counter_vec(
            "trace_spans_dropped_total",
            "Spans that were lost on their way to the collector.",
            &["reason"],
        )?;
        let dropped = |reason: &str| dropped.get_metric_with_label_values(&[reason]);
        Ok(Self {
            exported: registry.counter("trace_spans_exported_total", "Spans that the collector took.")?,
            queue_full: dropped("queue_full")?,
            not_sent: dropped("not_sent")?,
            refused: dropped("refused")?,
        })
    }
}

/// A span under way. It ends when this value is dropped. An empty one ([`Span::none`]) does nothing.
#[must_use]
pub struct Span(Option<Arc<Active>>);

struct Active {
    traces: Traces,
    state: Mutex<SpanState>,
}

struct SpanState {
    context: TraceContext,
    began: DateTime<Utc>,
    /// `None` when the span is not recorded, or has ended.
    record: Option<SpanRecord>,
}

impl Traces {
    /// Traces without an export.
    #[must_use]
    pub fn silent(ambient: Ambient) -> Self {
        Self(Arc::new(Inner { ambient, millionths: 0, sink: None }))
    }

    /// Traces with an export: a known caller's trace if the caller records it, and `millionths` of a million of our own.
    #[must_use]
    pub fn recorded(ambient: Ambient, millionths: u32, sink: Sink) -> Self {
        Self(Arc::new(Inner { ambient, millionths, sink: Some(sink) }))
    }

    /// The span of a request that we serve, in a trace of its own: what a stranger's request names decides nothing. A caller's trace
    /// is continued once its key is known ([`continue_from`]).
    pub fn request(&self) -> Span {
        let Some((trace, span)) = self.new_trace().zip(self.new_span()) else { return Span(None) };
        let context = TraceContext::new(trace, span, trace.is_among(self.0.millionths));
        self.open(context, None, "request", SpanKind::Server)
    }

    /// A new trace for work that no request waits for, such as a recovery. It is linked to the trace that caused the
    /// work, and is recorded if that one was.
    pub fn resume(&self, name: &'static str, cause: Option<TraceContext>) -> Span {
        let Some((trace, span)) = self.new_trace().zip(self.new_span()) else { return Span(None) };
        let sampled = cause.map_or_else(|| trace.is_among(self.0.millionths), TraceContext::is_sampled);
        let span = self.open(TraceContext::new(trace, span, sampled), None, name, SpanKind::Internal);
        if let Some(cause) = cause {
            span.link(cause);
        }
        span
    }

    fn open(&self, context: TraceContext, parent: Option<SpanId>, name: &'static str, kind: SpanKind) -> Span {
        let began = self.0.ambient.now();
        let is_recorded = context.is_sampled() && self.0.sink.is_some();
        let record = is_recorded.then(|| begun(context, parent, name, kind, began));
        Span(Some(Arc::new(Active { traces: self.clone(), state: Mutex::new(SpanState { context, began, record }) })))
    }

    fn new_trace(&self) -> Option<TraceId> {
        let mut bytes = [0; 16];
        self.0.ambient.fill_random(&mut bytes).ok()?;
        TraceId::new(bytes)
    }

    fn new_span(&self) -> Option<SpanId> {
        let mut bytes = [0; 8];
        self.0.ambient.fill_random(&mut bytes).ok()?;
        SpanId::new(bytes)
    }
}

fn begun(
    context: TraceContext,
    parent: Option<SpanId>,
    name: &'static str,
    kind: SpanKind,
    began: DateTime<Utc>,
) -> SpanRecord {
    SpanRecord {
        context,
        parent,
        parent_is_remote: false,
        name: name.to_owned(),
        kind,
        began,
        ended: began,
        attributes: Vec::new(),
        links: Vec::new(),
    }
}

impl Active {
    fn state(&self) -> MutexGuard<'_, SpanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn context(&self) -> TraceContext {
        self.state().context
    }

    fn change(&self, change: impl FnOnce(&mut SpanRecord)) {
        if let Some(record) = self.state().record.as_mut() {
            change(record);
        }
    }

    /// Makes the span a part of the caller's trace, which says whether it is recorded.
    fn continue_from(&self, theirs: TraceContext) {
        let mut state = self.state();
        let context = TraceContext::new(theirs.trace(), state.context.span(), theirs.is_sampled());
        let (began, parent) = (state.began, Some(theirs.span()));
        let is_recorded = theirs.is_sampled() && self.traces.0.sink.is_some();
        let record = is_recorded.then(|| {
            let record =
                state.record.take().unwrap_or_else(|| begun(context, None, "request", SpanKind::Server, began));
            SpanRecord { context, parent, parent_is_remote: true, ..record }
        });
        *state = SpanState { context, began, record };
    }

    fn set(&self, attribute: Attribute) {
        self.change(|record| {
            // A later value of an attribute replaces the earlier one.
            record.attributes.retain(|said| said.name() != attribute.name());
            record.attributes.push(attribute);
        });
    }

    fn link(&self, other: TraceContext) {
        self.change(|record| {
            let own = other == record.context;
            if !own && record.links.len() < LINKS_MAX && !record.links.contains(&other) {
                record.links.push(other);
            }
        });
    }

    fn child(&self, name: &'static str, kind: SpanKind) -> Span {
        let traces = &self.traces;
        let parent = self.context();
        if !parent.is_sampled() || traces.0.sink.is_none() {
            return Span(None);
        }
        let Some(span) = traces.new_span() else { return Span(None) };
        traces.open(TraceContext::new(parent.trace(), span, true), Some(parent.span()), name, kind)
    }

    fn end(&self) {
        let ended = self.state().record.take();
        let Some((mut record, sink)) = ended.zip(self.traces.0.sink.as_ref()) else { return };
        record.ended = self.traces.0.ambient.now();
        if sink.queue.try_send(record).is_err() {
            sink.lost.inc();
        }
    }
}

impl Span {
    /// An empty span.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The span's trace and its own id.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|active| active.context())
    }

    /// Runs `work` in this span's scope. The span lasts longer than `work`: until it is dropped.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        match &self.0 {
            Some(active) => Either::Left(HERE.scope(Arc::clone(active), work)),
            None => Either::Right(work),
        }
    }

    /// Sets an attribute.
    pub fn set(&self, attribute: Attribute) {
        if let Some(active) = &self.0 {
            active.set(attribute);
        }
    }

    /// Links the span to a span of another trace.
    pub fn link(&self, other: TraceContext) {
        if let Some(active) = &self.0 {
            active.link(other);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(active) = &self.0 {
            active.end();
        }
    }
}

/// The span in whose scope this runs.
#[must_use]
pub fn current() -> Option<TraceContext> {
    HERE.try_with(|active| active.context()).ok()
}

/// A child of the current span; empty where that is not recorded.
pub fn child(name: &'static str) -> Span {
    HERE.try_with(|active| active.child(name, SpanKind::Internal)).unwrap_or(Span(None))
}

/// A call of ours, as a child of the current span.
pub fn call(name: &'static str) -> Span {
    HERE.try_with(|active| active.child(name, SpanKind::Client)).unwrap_or(Span(None))
}

/// Sets an attribute of the current span.
pub fn note(attribute: Attribute) {
    HERE.try_with(|active| active.set(attribute)).unwrap_or_default();
}

/// Makes the current span a part of the trace that its caller's request names. For a request whose caller is known.
pub fn continue_from(theirs: TraceContext) {
    HERE.try_with(|active| active.continue_from(theirs)).unwrap_or_default();
}

/// Names the current span, where the name is known only after it began.
pub fn name(name: impl FnOnce() -> String) {
    HERE.try_with(|active| active.change(|record| record.name = name())).unwrap_or_default();
}

/// Links the current span to a span of another trace.
pub fn link(other: Option<TraceContext>) {
    if let Some(other) = other {
        HERE.try_with(|active| active.link(other)).unwrap_or_default();
    }
}

/// Wraps `work` for another task, so that it runs in the present scope.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    match HERE.try_with(Arc::clone) {
        Ok(active) => Either::Left(HERE.scope(active, work)),
        Err(_no_scope) => Either::Right(work),
    }
}

#[cfg(test)]
mod tests;
