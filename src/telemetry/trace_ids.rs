//! Ends each log line with the trace and the span that it was written in, as `trace_id` and `span_id`: log collectors
//! look for these names. A line outside of any trace stays as it is.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

use super::trace;

/// How a line ends.
#[derive(Clone, Copy)]
enum Ending {
    /// As one more field of ours: `name=value`.
    Text,
    /// As members of the line's object.
    Json,
}

/// The format `F`, with the ids of the trace at the end of each line.
pub(super) struct WithTraceIds<F> {
    plain: Format<F>,
    /// The same format for a terminal. The library takes colours from the writer, and a line is first written to a
    /// buffer.
    coloured: Format<F>,
    ending: Ending,
}

/// Lines of JSON.
pub(super) fn json(lines: Format<Json>) -> WithTraceIds<Json> {
    WithTraceIds { plain: lines.clone(), coloured: lines, ending: Ending::Json }
}

/// Lines for people.
pub(super) fn text(lines: Format<Full>) -> WithTraceIds<Full> {
    WithTraceIds { plain: lines.clone(), coloured: lines.with_ansi(true), ending: Ending::Text }
}

impl<S, N, F> FormatEvent<S, N> for WithTraceIds<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    Format<F>: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(current) = trace::current() else { return self.plain.format_event(context, out, event) };
        let lines = if out.has_ansi_escapes() { &self.coloured } else { &self.plain };
        let mut line = String::new();
        lines.format_event(context, Writer::new(&mut line), event)?;
        let (trace, span) = (current.trace(), current.span());
        // The ids are hexadecimal digits: there is nothing to escape.
        match (self.ending, line.strip_suffix("}\n"), line.strip_suffix('\n')) {
            (Ending::Json, Some(open), _) => {
                writeln!(out, "{open},\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}")
            }
            (Ending::Text, _, Some(line)) => writeln!(out, "{line} trace_id={trace} span_id={span}"),
            _ => out.write_str(&line),
        }
    }
}
