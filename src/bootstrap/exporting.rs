//! The export of spans: begun before anything makes them, ended after everything has.

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
    /// Hands over what is left, as far as that is quick.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        if self.ended.await.is_err() {
            // Its text may hold that of a panic.
            tracing::error!("the export of spans ended badly");
        }
    }
}

/// Traces as the settings want them, and what exports them, if they are exported.
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

/// A program without the feature exports nothing; the settings refuse to ask for it.
#[cfg(not(feature = "otlp"))]
pub(super) fn begin(
    _settings: &Settings,
    ambient: &Ambient,
    _spans: Counters,
    _tasks: &Tasks,
) -> Result<(Traces, Option<Exporting>), StartError> {
    Ok((Traces::silent(ambient.clone()), None))
}

/// What every span says it comes from (semantic conventions, service). What the settings say of the same name wins.
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
