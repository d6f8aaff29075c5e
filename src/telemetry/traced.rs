//! Ends each line with the trace and the span that it was written in: `trace_id` and `span_id`, as log collectors look for
//! them. Lines that belong to no trace stay as they are.

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
    Human,
    /// As members of the line's object.
    Json,
}

/// Lines of `F`, each with its trace.
pub(super) struct Traced<F> {
    plain: Format<F>,
    /// The same for a terminal: colours go by the writer, and a line is first written to one that has none.
    coloured: Format<F>,
    ending: Ending,
}

/// Lines of JSON.
pub(super) fn json(lines: Format<Json>) -> Traced<Json> {
    Traced { plain: lines.clone(), coloured: lines, ending: Ending::Json }
}

/// Lines for people.
pub(super) fn human(lines: Format<Full>) -> Traced<Full> {
    Traced { plain: lines.clone(), coloured: lines.with_ansi(true), ending: Ending::Human }
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
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
            (Ending::Human, _, Some(line)) => writeln!(out, "{line} trace_id={trace} span_id={span}"),
            _ => out.write_str(&line),
        }
    }
}
