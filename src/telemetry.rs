//! Logging: each event is a line on standard error, as JSON or as text for people. A reader who is slow, or has stopped,
//! holds nobody up: lines that find no place are dropped and counted.
//!
//! Libraries that would print a request, a header or a body stay muted under every log filter: an operator who turns
//! `trace` on must not bring a claim code or a key into the log. Each value is escaped, so that it cannot break a line
//! or drive a terminal. The text of a panic is dropped, because it may quote anything.
//!
//! `main` calls [`init`] once. Tests capture a log through [`dispatch`]. There is no bridge from the `log` crate,
//! because it would need these rules, too.

pub mod filter;
pub mod metrics;
mod text_fields;
pub mod trace;
mod trace_ids;
mod writer;

use std::{
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing::{Dispatch, Metadata, Subscriber, dispatcher, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, ParseError, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
};

pub use filter::LogFilter;
pub(crate) use text_fields::visible;
pub use writer::{LogWriter, LostLines};

use crate::config::{LogFormat, LogSettings};

/// The least severe level at which each of these targets may ever log. A name covers every target that begins with it:
/// `hyper` covers `hyper_util`. Where two names cover a target, both limits hold.
pub const MUTED: [(&str, LevelFilter); 16] = [
    ("actix_http", LevelFilter::WARN),
    // It reports as its error what a caller sends that is no HTTP.
    ("actix_http::h1::dispatcher", LevelFilter::OFF),
    ("actix_web", LevelFilter::WARN),
    ("aws_credential_types", LevelFilter::OFF),
    // At `trace` it prints the key's id and the body, as decimal bytes that no search finds.
    ("aws_sigv4", LevelFilter::OFF),
    ("aws_smithy", LevelFilter::OFF),
    ("h2", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("mio", LevelFilter::WARN),
    // With `connection_verbose` it prints every byte.
    ("reqwest", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("sqlx", LevelFilter::WARN),
    ("tokio", LevelFilter::WARN),
    ("tower", LevelFilter::WARN),
    ("want", LevelFilter::WARN),
    ("webpki", LevelFilter::WARN),
];

/// The limit for every other library: an update may bring one that the list does not name yet.
pub const FOREIGN: LevelFilter = LevelFilter::INFO;

/// Our own targets are this word, or begin with it and `::`.
const OURS: &str = "noshi";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed. The settings refuse such a filter earlier.
    #[error("the log filter cannot be read")]
    Filter(#[source] ParseError),
    /// This process has set logging up already.
    #[error("logging is set up already")]
    Repeated(#[source] dispatcher::SetGlobalDefaultError),
}

/// What can be known and changed of a process's log while it runs. Cheap to clone.
#[derive(Clone)]
pub struct LogControls {
    /// Which events are logged.
    pub filter: LogFilter,
    /// The lines that could not be written.
    pub lost: LostLines,
}

impl LogControls {
    /// Of a log that another part of the process set up, as in tests that start a service.
    #[must_use]
    pub fn fixed(log: &LogSettings) -> Self {
        Self { filter: LogFilter::fixed(&log.filter), lost: LostLines::default() }
    }
}

/// The process's log. When it is dropped, the last lines are written.
pub struct Log {
    /// What can be known and changed of it.
    pub controls: LogControls,
    _writer: LogWriter,
}

/// Logs to standard error from now on, panics included. A process may call it once. Text at a terminal is coloured
/// unless NO_COLOR is set.
///
/// # Errors
/// [`TelemetryError`]: a bad filter, or a second call.
pub fn init(log: &LogSettings) -> Result<Log, TelemetryError> {
    let (lines, writer, lost) = writer::queued(io::stderr());
    let (dispatch, filter) = build(log, lines, io::stderr().is_terminal())?;
    dispatcher::set_global_default(dispatch).map_err(TelemetryError::Repeated)?;
    panic::set_hook(Box::new(report_panic));
    Ok(Log { controls: LogControls { filter, lost }, _writer: writer })
}

/// The same log into `writer`, for `tracing::dispatcher::with_default`. It leaves the process's own log alone.
///
/// # Errors
/// [`TelemetryError::Filter`]: a bad filter.
pub fn dispatch<W>(log: &LogSettings, writer: W) -> Result<Dispatch, TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    build(log, writer, false).map(|(dispatch, _filter)| dispatch)
}

fn build<W>(log: &LogSettings, writer: W, at_terminal: bool) -> Result<(Dispatch, LogFilter), TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let wanted = filter::parse(&log.filter).map_err(TelemetryError::Filter)?;
    let (wanted, handle) = reload::Layer::new(wanted);
    // A line must pass both filters, so that even a specific directive cannot override the limits.
    let filter = filter_fn(may_log).and(wanted);
    let lines = match log.format {
        LogFormat::Json => json_lines(writer),
        LogFormat::Human => human_lines(writer, at_terminal),
    };
    let dispatch = Dispatch::new(Registry::default().with(lines.with_filter(filter)));
    // An error means that the log has ended.
    Ok((dispatch, LogFilter::new(&log.filter, move |filter| handle.reload(filter).is_ok())))
}

/// Times are RFC 3339 in UTC; the fields of an event stand beside its level and target, and so does the trace.
fn json_lines<S, W>(writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().json().map_event_format(|lines| {
        trace_ids::json(lines.flatten_event(true).with_current_span(true).with_span_list(false))
    });
    // The library would report a failed write on standard error, and panic where that is closed.
    lines.with_writer(writer).log_internal_errors(false).boxed()
}

fn human_lines<S, W>(writer: W, at_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().fmt_fields(text_fields::fields()).with_writer(writer).log_internal_errors(false);
    let lines = lines.map_event_format(trace_ids::text);
    // The default is coloured, unless NO_COLOR is set.
    if at_terminal { lines.boxed() } else { lines.with_ansi(false).boxed() }
}

/// Whether the limits let an event of this target and level pass.
fn may_log(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    if target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")) {
        return true;
    }
    let mut limits = MUTED.iter().filter(|(name, _limit)| target.starts_with(name)).map(|(_name, limit)| limit);
    *metadata.level() <= FOREIGN && limits.all(|limit| metadata.level() <= limit)
}

/// Logs where a thread panicked, without the panic's text.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.location = location, "a thread panicked");
}

#[cfg(test)]
mod tests;
