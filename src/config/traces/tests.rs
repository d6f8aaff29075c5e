//! What `[traces]` and OpenTelemetry's variables come to, through `Settings::load`.

use super::*;
use crate::config::{ConfigError, Settings};

fn load(environment: &[(&str, &str)]) -> Result<TraceSettings, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(None, environment).map(|settings| settings.traces)
}

fn wrong(environment: &[(&str, &str)]) -> String {
    let error = load(environment).expect_err("it should be refused");
    assert_eq!(error.mistakes().len(), 1, "{error}");
    error.mistakes()[0].split(": ").next().unwrap().to_owned()
}

const ENDPOINT: &str = "NOSHI__TRACES__ENDPOINT";
const RATIO: &str = "NOSHI__TRACES__SAMPLE_RATIO";

#[test]
fn without_an_address_nothing_is_exported() {
    let traces = load(&[]).unwrap();
    assert_eq!((traces.url(), traces.sample_ratio.millionths()), (None, 1_000_000));
    assert_eq!((traces.service_name.as_str(), traces.resource_attributes.len()), ("noshi", 0));
    assert_eq!(load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap().url(), None, "empty is not set");
}

#[cfg(feature = "otlp")]
#[test]
fn an_address_has_the_path_of_traces() {
    for (set, url) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://collector.observability:4318/", "http://collector.observability:4318/v1/traces"),
        ("https://collector.example/otlp", "https://collector.example/otlp/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("http://[::1]", "http://[::1]/v1/traces"),
    ] {
        assert_eq!(load(&[(ENDPOINT, set)]).unwrap().url().as_deref(), Some(url));
        assert_eq!(load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", set)]).unwrap().url().as_deref(), Some(url));
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for bad in [
        "127.0.0.1:4318",
        "grpc://127.0.0.1:4317",
        "http://",
        "http:///v1/traces",
        "http://:4318",
        "http://host:0",
        "http://host:65536",
        "http://host:x",
        "http://host:1:2",
        "http://user:secret@host:4318",
        "http://host:4318/?key=secret",
        "http://host:4318/#x",
        "http://host name",
        "http://höst",
        "http://ho[st",
        "HTTP://host",
        &format!("http://{}", "a".repeat(600)),
    ] {
        assert_eq!(wrong(&[(ENDPOINT, bad)]), "traces.endpoint", "{bad}");
        if cfg!(feature = "otlp") {
            assert_eq!(wrong(&[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)]), "OTEL_EXPORTER_OTLP_ENDPOINT", "{bad}");
        }
        assert!(!load(&[(ENDPOINT, bad)]).unwrap_err().to_string().contains("secret"));
    }
}

#[cfg(feature = "otlp")]
#[test]
fn a_setting_wins_over_the_standard_variables() {
    let standard = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://theirs:4318"),
        ("OTEL_SERVICE_NAME", "theirs"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=noshi-0, region = eu%20west ,,empty="),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ];
    let traces = load(&standard).unwrap();
    assert_eq!(traces.endpoint.as_deref(), Some("http://theirs:4318"));
    assert_eq!((traces.service_name.as_str(), traces.sample_ratio.millionths()), ("theirs", 250_000));
    let pairs = [("k8s.pod.name", "noshi-0"), ("region", "eu west"), ("empty", "")];
    assert_eq!(traces.resource_attributes, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(traces.resource_attributes_text(), "k8s.pod.name=noshi-0,region=eu%20west,empty=");

    let disabled = [&standard[..], &[("OTEL_SDK_DISABLED", "TRUE")]].concat();
    assert_eq!(load(&disabled).unwrap().endpoint, None);
    let ours = [
        (ENDPOINT, "http://ours:4318"),
        (RATIO, "0.5"),
        ("NOSHI__TRACES__SERVICE_NAME", "ours"),
        ("NOSHI__TRACES__RESOURCE_ATTRIBUTES", ""),
    ];
    let traces = load(&[&disabled[..], &ours].concat()).unwrap();
    assert_eq!(traces.endpoint.as_deref(), Some("http://ours:4318"));
    assert_eq!((traces.service_name.as_str(), traces.sample_ratio.millionths()), ("ours", 500_000));
    assert_eq!(traces.resource_attributes, []);
    assert_eq!(load(&[&standard[..], &[(ENDPOINT, "")]].concat()).unwrap().endpoint, None, "switched off by a setting");
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_that_cannot_export_says_so() {
    assert_eq!(wrong(&[(ENDPOINT, "http://127.0.0.1:4318")]), "traces.endpoint");
    assert_eq!(load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).unwrap().url(), None);
}

#[test]
fn a_share_is_a_number_from_0_to_1() {
    for (text, millionths, shown) in [
        ("0", 0, "0.0"),
        ("1", 1_000_000, "1.0"),
        ("1.0", 1_000_000, "1.0"),
        ("0.05", 50_000, "0.05"),
        ("0.000001", 1, "0.000001"),
    ] {
        let ratio = load(&[(RATIO, text)]).unwrap().sample_ratio;
        assert_eq!((ratio.millionths(), ratio.to_string().as_str()), (millionths, shown), "{text}");
    }
    for bad in ["", "-0.1", "1.000001", "2", "NaN", "inf", "0.0000001", "half", "0,5"] {
        assert_eq!(wrong(&[(RATIO, bad)]), "traces.sample_ratio", "{bad}");
    }
    for (sampler, millionths) in [("always_on", 1_000_000), ("parentbased_always_off", 0), ("traceidratio", 1_000_000)]
    {
        assert_eq!(load(&[("OTEL_TRACES_SAMPLER", sampler)]).unwrap().sample_ratio.millionths(), millionths);
    }
    assert_eq!(wrong(&[("OTEL_TRACES_SAMPLER", "jaeger_remote")]), "OTEL_TRACES_SAMPLER");
    let argument = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "x")];
    assert_eq!(wrong(&argument), "OTEL_TRACES_SAMPLER_ARG");
}

#[test]
fn names_and_attributes_that_are_none_are_refused() {
    for bad in ["", "a\nb", &"a".repeat(129)] {
        assert_eq!(wrong(&[("NOSHI__TRACES__SERVICE_NAME", bad)]), "traces.service_name", "{bad:?}");
    }
    for bad in ["a", "=b", "a b=c", "a=%", "a=%4", "a=%zz", "a=%FF", "a=b,c"] {
        assert_eq!(wrong(&[("NOSHI__TRACES__RESOURCE_ATTRIBUTES", bad)]), "traces.resource_attributes", "{bad:?}");
        assert_eq!(wrong(&[("OTEL_RESOURCE_ATTRIBUTES", bad)]), "OTEL_RESOURCE_ATTRIBUTES", "{bad:?}");
    }
}
