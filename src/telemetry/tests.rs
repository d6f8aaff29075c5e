//! What a log may and may not hold, seen from outside.

use std::{
    io::Write,
    panic::catch_unwind,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::{debug, dispatcher::with_default, error, error_span, info, info_span, trace, warn};

use super::trace::Traces;
use super::*;
use crate::ambient::Ambient;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// The panic hook is the whole process's, and tests may share one.
static HOOK: Mutex<()> = Mutex::new(());

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `events` log under a filter.
fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let dispatch = dispatch(&LogSettings { format, filter: filter.to_owned() }, move || writer.clone()).unwrap();
    with_default(&dispatch, events);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// A name, and events at every level by targets that begin with it. A target must be a constant.
macro_rules! shouts {
    ($($name:literal)*) => {
        [$(($name, || {
            error!(target: $name, "shouted");
            warn!(target: concat!($name, "::deep"), "shouted");
            info!(target: concat!($name, "::deep"), "shouted");
            debug!(target: concat!($name, "_more"), "shouted");
            trace!(target: concat!($name, "::deep::deeper"), "shouted");
        })),*]
    };
}

#[test]
fn no_filter_lets_a_muted_library_speak() {
    let shouts: [(&str, fn()); MUTED.len()] = shouts! {
        "actix_http" "actix_http::h1::dispatcher" "actix_web" "aws_credential_types" "aws_sigv4" "aws_smithy" "h2" "hyper" "mio" "reqwest"
        "rustls" "sqlx" "tokio" "tower" "want" "webpki"
    };
    for ((name, limit), (shouted, shout)) in MUTED.into_iter().zip(shouts) {
        assert_eq!(name, shouted);
        let lines = if limit == LevelFilter::OFF { 0 } else { 2 };
        for filter in [
            "trace".to_owned(),
            format!("{name}=trace"),
            format!("{name}::deep::deeper=trace,{name}_more=trace,{name}::deep=trace,{name}=trace"),
            "[shouting]=trace".to_owned(),
        ] {
            let text = logged(LogFormat::Json, &filter, || error_span!("shouting").in_scope(shout));
            assert_eq!(text.lines().count(), lines, "{filter}: {text}");
        }
        assert_eq!(logged(LogFormat::Human, "off", shout), "");
    }
}

#[test]
fn a_library_nobody_listed_stops_at_info_and_we_do_not() {
    let others: [(&str, fn()); 2] = shouts! { "brand_new" "noshiro" };
    for (_name, shout) in others {
        assert_eq!(logged(LogFormat::Json, "trace", shout).lines().count(), 3);
    }
    let ours = || {
        trace!("by module");
        trace!(target: "noshi", "by name");
        trace!(target: "noshi::amazon", "by a room");
    };
    assert_eq!(logged(LogFormat::Json, "trace", ours).lines().count(), 3);
    assert_eq!(logged(LogFormat::Json, "info,noshi::amazon=trace", ours).lines().count(), 1);
    assert_eq!(logged(LogFormat::Json, "info", ours), "");
}

#[test]
fn a_filter_that_is_put_holds_at_once_and_what_is_muted_stays_muted() {
    let captured = Captured::default();
    let writer = captured.clone();
    let log = LogSettings { format: LogFormat::Json, filter: "warn".to_owned() };
    let (dispatch, filter) = build(&log, move || writer.clone(), false).unwrap();
    // Within it, as it is the whole process's: with one log only, tracing asks the present one what it lets pass.
    let said = || {
        captured.0.lock().unwrap().clear();
        with_default(&dispatch, || {
            debug!("ours");
            warn!("ours");
            error!(target: "aws_sigv4::http_request", "never");
            debug!(target: "reqwest::connect", "never");
            info!(target: "brand_new", "theirs");
            debug!(target: "brand_new", "never");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("never"), "{text}");
        text.lines().count()
    };
    assert_eq!((said(), filter.in_force().as_str()), (1, "warn"));
    for (put, lines) in [
        ("trace", 3),
        ("noshi=info", 1),
        ("aws_sigv4=trace,reqwest=trace,brand_new=trace,noshi=info", 2),
        ("noshi=debug", 2),
    ] {
        let before = filter.in_force();
        assert_eq!(with_default(&dispatch, || filter.set(put, NOW)).unwrap(), before);
        assert_eq!((said(), filter.in_force().as_str()), (lines, put));
    }
    for (bad, why) in [
        ("", "the filter is empty; off is silence"),
        (" ", "the filter is empty; off is silence"),
        ("info,a=b=c", "directive 2 cannot be read: it must be a level, or like noshi=debug"),
        ("noshi=loud", "directive 1 cannot be read: it must be a level, or like noshi=debug"),
        ("AB12-CD34EF-GH56=info", "the filter holds what no filter does"),
        ("info\n", "the filter holds what no filter does"),
        ("info,é", "the filter holds what no filter does"),
        (&"a,".repeat(600), "the filter is longer than 1024 characters"),
    ] {
        assert_eq!(filter.set(bad, NOW).unwrap_err().to_string(), why, "{bad:.40}");
        assert_eq!((said(), filter.in_force().as_str()), (2, "noshi=debug"), "{bad:.40}");
    }
    assert_eq!(with_default(&dispatch, || filter.reset()).unwrap(), "noshi=debug");
    assert_eq!((said(), filter.in_force().as_str()), (1, "warn"));
    drop(dispatch);
    assert!(matches!(filter.set("info", NOW), Err(filter::FilterError::Fixed)), "there is no log any more");
    assert!(matches!(LogFilter::fixed("info").set("warn", NOW), Err(filter::FilterError::Fixed)));
}

#[test]
fn a_json_line_is_flat_and_its_time_is_utc() {
    let text = logged(LogFormat::Json, "info", || {
        let _span = info_span!("request", request.id = "r1").entered();
        info!(reward.id = "rwd_1", attempts = 2, "issued");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["message"], &line["level"]), (&"issued".into(), &"INFO".into()));
    assert_eq!((&line["reward.id"], &line["attempts"]), (&"rwd_1".into(), &2.into()));
    assert_eq!((&line["span"]["name"], &line["span"]["request.id"]), (&"request".into(), &"r1".into()));
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
}

#[test]
fn a_human_line_has_message_fields_and_span() {
    let text = logged(LogFormat::Human, "info", || {
        let _span = info_span!("request", request.id = "r1").entered();
        info!(reward.id = "rwd_1", r#type = %"create", attempts = 2, "issued");
    });
    let expected =
        r#"  INFO request{request.id="r1"}: noshi::telemetry::tests: issued reward.id="rwd_1" type=create attempts=2"#;
    assert_eq!(text.split_once('Z').unwrap().1, format!("{expected}\n"));
}

#[test]
fn a_line_within_a_trace_names_it_and_its_span() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let span = Traces::silent(Ambient::movable(3)).request();
    let (trace, own) = span.context().map(|context| (context.trace(), context.span())).unwrap();
    let events = || {
        info!(reward.id = "rwd_1", "before }}");
        runtime.block_on(span.scope(async { info!(reward.id = "rwd_1", "within }}\n") }));
    };
    let json = logged(LogFormat::Json, "info", events);
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[0].get("trace_id")), (2, None), "{json}");
    assert_eq!((&lines[1]["trace_id"], &lines[1]["span_id"]), (&trace.to_string().into(), &own.to_string().into()));
    assert_eq!((&lines[1]["message"], &lines[1]["reward.id"]), (&"within }\n".into(), &"rwd_1".into()));

    let ending = format!(" reward.id=\"rwd_1\" trace_id={trace} span_id={own}");
    let human = logged(LogFormat::Human, "info", events);
    let lines: Vec<&str> = human.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(" reward.id=\"rwd_1\"") && lines[1].ends_with(&ending), "{human}");

    let captured = Captured::default();
    let writer = captured.clone();
    let log = LogSettings { format: LogFormat::Human, filter: "info".to_owned() };
    with_default(&build(&log, move || writer.clone(), true).unwrap().0, events);
    let coloured = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let ends: Vec<bool> = coloured.lines().map(|line| line.contains("trace_id=")).collect();
    assert_eq!(ends, [false, true], "{coloured}");
    let escapes: Vec<usize> = coloured.lines().map(|line| line.matches('\u{1b}').count()).collect();
    assert_eq!(escapes[0], escapes[1], "both are coloured alike, or NO_COLOR is set: {coloured:?}");
}

#[test]
fn no_value_breaks_a_line_or_drives_a_terminal() {
    let controls = (0..0x2100).filter_map(char::from_u32).filter(|c| c.is_control() || *c >= '\u{2000}');
    for c in controls {
        let text = format!("a{c}2026-11-21T00:00:00Z ERROR forged{c}[31m");
        let failure = io::Error::other(text.clone());
        let error: &dyn std::error::Error = &failure;
        let events = || {
            let _span = info_span!("request", path = %text, agent = text).entered();
            warn!(shown = %text, debugged = ?text, plain = text, error, "{text}");
        };
        let human = logged(LogFormat::Human, "info", events);
        assert_eq!(human.lines().count(), 1, "{c:?}: {human:?}");
        assert!(
            human.ends_with('\n') && !human.trim_end_matches('\n').chars().any(char::is_control),
            "{c:?}: {human:?}"
        );
        assert!(!human.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}']), "{c:?}: {human:?}");
        let json = logged(LogFormat::Json, "info", events);
        assert_eq!(json.matches('\n').count(), 1, "{c:?}: {json:?}");
        let line: Value = serde_json::from_str(&json).unwrap();
        for value in [&line["message"], &line["shown"], &line["plain"], &line["span"]["path"]] {
            assert_eq!(value, &Value::from(text.clone()));
        }
    }
}

#[test]
fn a_panic_is_told_by_its_place_alone() {
    let _alone = HOOK.lock().unwrap();
    for format in [LogFormat::Json, LogFormat::Human] {
        let text = logged(format, "error", || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(report_panic));
            let result = catch_unwind(|| panic!("CANARY in a panic"));
            panic::set_hook(before);
            assert!(result.is_err());
        });
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("a thread panicked") && text.contains("src/telemetry/tests.rs:"), "{text}");
        assert!(!text.contains("CANARY"), "{text}");
    }
}

#[test]
fn logging_is_set_up_once() {
    let log = LogSettings { format: LogFormat::Human, filter: "info".to_owned() };
    assert!(matches!(
        dispatch(&LogSettings { filter: "a=b=c".to_owned(), ..log.clone() }, io::sink),
        Err(TelemetryError::Filter(_))
    ));
    let _alone = HOOK.lock().unwrap();
    let before = panic::take_hook();
    init(&log).unwrap();
    panic::set_hook(before);
    assert!(matches!(init(&log), Err(TelemetryError::Repeated(_))));
}
