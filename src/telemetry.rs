//! Logging: events to standard error, a line each, as JSON or for people.
//!
//! Whatever the filter in the settings says, libraries that would print a request, a header or a body stay muted: a
//! claim code or a key never reaches a log because someone turned `trace` on (SEC-02). No value can break a line or
//! drive a terminal (SEC-24), and the text of a panic, which may quote anything, is dropped (SEC-22).
//!
//! `main` calls [`init`] once; tests capture a log through [`dispatch`]. Records of the `log` crate go nowhere: there
//! is no bridge, and building one would need these rules too.

pub mod filter;
mod human;
pub mod metrics;
pub mod trace;
mod traced;

use std::{
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
};

use tracing::{Dispatch, Metadata, Subscriber, dispatcher, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, ParseError, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
};

pub use filter::LogFilter;

use crate::config::{Log, LogFormat};

/// The least severe level that each of these may ever log at. A name covers every target that begins with it: `hyper`
/// is `hyper_util` as well. Of two that fit, both hold.
pub const MUTED: [(&str, LevelFilter); 15] = [
    ("actix_http", LevelFilter::WARN),
    ("actix_web", LevelFilter::WARN),
    ("aws_credential_types", LevelFilter::OFF),
    // At `trace` it prints the key's id and the body, as decimal bytes that no search finds.
    ("aws_sigv4", LevelFilter::OFF),
    ("aws_smithy", LevelFilter::OFF),
    ("h2", LevelFilter::WARN),
    ("hyper", LevelFilter::WARN),
    ("mio", LevelFilter::WARN),
    // With `connection_verbose` it prints every byte (SEC-20).
    ("reqwest", LevelFilter::WARN),
    ("rustls", LevelFilter::WARN),
    ("sqlx", LevelFilter::WARN),
    ("tokio", LevelFilter::WARN),
    ("tower", LevelFilter::WARN),
    ("want", LevelFilter::WARN),
    ("webpki", LevelFilter::WARN),
];

/// The same for everybody else but us: a library that comes with an update is not in the list yet.
pub const FOREIGN: LevelFilter = LevelFilter::INFO;

/// Our own targets begin with this, on their own or before `::`.
const OURS: &str = "noshi";

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one; the settings refuse such.
    #[error("the log filter cannot be read")]
    Filter(#[source] ParseError),
    /// It was set up before.
    #[error("logging is set up already")]
    Repeated(#[source] dispatcher::SetGlobalDefaultError),
}

/// Logs to standard error from here on, panics too. Once in a process; coloured for people at a terminal, unless
/// NO_COLOR is set. The filter that is handed out changes what is logged.
///
/// # Errors
/// [`TelemetryError`]: a bad filter, or a second call.
pub fn init(log: &Log) -> Result<LogFilter, TelemetryError> {
    let (dispatch, filter) = build(log, io::stderr, io::stderr().is_terminal())?;
    dispatcher::set_global_default(dispatch).map_err(TelemetryError::Repeated)?;
    panic::set_hook(Box::new(report_panic));
    Ok(filter)
}

/// The same log into `writer`, for `tracing::dispatcher::with_default`: nothing global is touched.
///
/// # Errors
/// [`TelemetryError::Filter`]: a bad filter.
pub fn dispatch<W>(log: &Log, writer: W) -> Result<Dispatch, TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    build(log, writer, false).map(|(dispatch, _filter)| dispatch)
}

fn build<W>(log: &Log, writer: W, at_terminal: bool) -> Result<(Dispatch, LogFilter), TelemetryError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let wanted = EnvFilter::builder().parse(&log.filter).map_err(TelemetryError::Filter)?;
    let (wanted, handle) = reload::Layer::new(wanted);
    // Both must agree, so no directive, however specific, wins over ours.
    let filter = filter_fn(may_log).and(wanted);
    let lines = match log.format {
        LogFormat::Json => json_lines(writer),
        LogFormat::Human => human_lines(writer, at_terminal),
    };
    let dispatch = Dispatch::new(Registry::default().with(lines.with_filter(filter)));
    // An error would mean that the log is gone.
    Ok((dispatch, LogFilter::new(&log.filter, move |filter| handle.reload(filter).is_ok())))
}

/// Times are RFC 3339 in UTC; the fields of an event stand beside its level and target, and so does the trace.
fn json_lines<S, W>(writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().json().map_event_format(|lines| {
        traced::json(lines.flatten_event(true).with_current_span(true).with_span_list(false))
    });
    // What cannot be written would be complained about on standard error, with a panic where that is closed.
    lines.with_writer(writer).log_internal_errors(false).boxed()
}

fn human_lines<S, W>(writer: W, at_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().fmt_fields(human::fields()).with_writer(writer).log_internal_errors(false);
    let lines = lines.map_event_format(traced::human);
    // Left alone it is coloured, unless NO_COLOR says otherwise.
    if at_terminal { lines.boxed() } else { lines.with_ansi(false).boxed() }
}

/// Whether anything of this target and level may be logged at all.
fn may_log(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    if target.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")) {
        return true;
    }
    let mut limits = MUTED.iter().filter(|(name, _limit)| target.starts_with(name)).map(|(_name, limit)| limit);
    *metadata.level() <= FOREIGN && limits.all(|limit| metadata.level() <= limit)
}

/// Tells where a thread panicked, never what it said.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.location = location, "a thread panicked");
}

#[cfg(test)]
mod tests;
