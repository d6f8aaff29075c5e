//! The export of spans: it begins before the first span is made, and ends after the last one.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    ambient::Ambient,
    config::Settings,
    lifecycle::Tasks,
    telemetry::trace::{Counters, Traces},
};

/// A running export.
pub(super) struct Exporting {
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Exporting {
    /// Sends the spans that are left, within the export's own limit.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        if self.ended.await.is_err() {
            // The error's text may quote a panic, so it is not logged.
            tracing::error!("the export of spans ended badly");
        }
    }
}

/// The traces of the settings, and the export of their spans, if there is one.
#[cfg(feature = "otlp")]
pub(super) fn begin(
    settings: &Settings,
    ambient: &Ambient,
    spans: Counters,
    tasks: &Tasks,
) -> Result<(Traces, Option<Exporting>), StartError> {
    use crate::telemetry::trace::export::{Export, ExportOptions};

    let Some(url) = settings.traces.url() else { return Ok((Traces::silent(ambient.clone()), None)) };
    let resource = resource(settings, ambient);
    let (export, sink) = Export::new(ExportOptions { url, resource }, spans).map_err(StartError::Export)?;
    let stop = CancellationToken::new();
    let ended = tasks.attend(export.run(stop.clone()));
    let traces = Traces::recorded(ambient.clone(), settings.traces.sample_ratio.millionths(), sink);
    Ok((traces, Some(Exporting { stop, ended })))
}

/// A program without the feature exports nothing. The settings of such a program cannot ask for an export.
#[cfg(not(feature = "otlp"))]
pub(super) fn begin(
    _settings: &Settings,
    ambient: &Ambient,
    _spans: Counters,
    _tasks: &Tasks,
) -> Result<(Traces, Option<Exporting>), StartError> {
    Ok((Traces::silent(ambient.clone()), None))
}

/// The resource of every span (semantic conventions, service). An attribute of the settings wins over ours of that
/// name.
#[cfg(feature = "otlp")]
fn resource(settings: &Settings, ambient: &Ambient) -> Vec<(String, String)> {
    let instance = ambient.token().map(|token| token.to_string()).unwrap_or_default();
    let mut attributes = settings.traces.resource_attributes.clone();
    // `service.name` has a setting of its own.
    attributes.retain(|(name, _value)| name != "service.name");
    let own = [
        ("service.name", settings.traces.service_name.clone()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance),
    ];
    for (name, value) in own {
        if attributes.iter().all(|(set, _value)| set != name) {
            attributes.push((name.to_owned(), value));
        }
    }
    attributes
}
