//! A leak of each kind is found: every form of a canary is planted in every place that is searched, on the way by which a leak
//! gets there.

use std::process::{Child, Command, Stdio};

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};
use prost::Message;
use reqwest::header::HeaderMap;
use serde_json::json;
use tempfile::TempDir;

use super::{
    Places, back_up,
    capture::log,
    drive::Drive,
    files, memory, rows,
    scan::{Form, Scanner, forms},
};
use crate::{
    support::{Answer, App, Backend, on_each_backend, wait::until},
    traces::receiver::Receiver,
};

/// A canary of its own for each form, so that each is found by itself.
struct Planted {
    form: &'static str,
    canary: String,
    text: String,
}

fn planted() -> Vec<Planted> {
    let one = |(turn, (form, write)): (usize, Form)| {
        let canary = format!("QJ7W-ZZ{turn:02}K4-XM3T");
        Planted { form, text: String::from_utf8(write(&canary)).unwrap(), canary }
    };
    forms().enumerate().map(one).collect()
}

/// Fails unless each of them is found here.
fn each_is_found(scanner: &Scanner, planted: &[Planted], place: &str, bytes: &[u8]) {
    let hits = scanner.find(bytes);
    for Planted { form, canary, .. } in planted {
        assert!(hits.iter().any(|hit| hit.canary == *canary), "{canary} as {form} was not found in {place}");
    }
}

/// A row for each: as bytes, which may be anything on both databases.
async fn into_the_database(app: &App, planted: &[Planted]) {
    let (kind, begin) = match app.database.backend {
        Backend::Sqlite => ("BLOB", "X'"),
        Backend::Postgres => ("BYTEA", "'\\x"),
    };
    app.database.execute(&format!("CREATE TABLE leaks (note {kind})")).await.unwrap();
    for Planted { text, .. } in planted {
        let value = format!("{begin}{}'", HEXLOWER.encode(text.as_bytes()));
        app.database.execute(&format!("INSERT INTO leaks (note) VALUES ({value})")).await.unwrap();
    }
}

/// The page that the library of our metrics makes of labels.
fn metrics_page(planted: &[Planted]) -> Vec<u8> {
    let (registry, labels) = (Registry::new(), ["text"]);
    let counter = IntCounterVec::new(Opts::new("noshi_leaks_total", "Leaks."), &labels).unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    for Planted { text, .. } in planted {
        counter.with_label_values(&[text]).inc();
    }
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap().into_bytes()
}

/// The flags of a span that is sampled, and whose parent is known not to be remote.
const SAMPLED: u32 = 0x101;

/// A span with an attribute for each.
fn spans(planted: &[Planted]) -> Vec<u8> {
    let attribute = |Planted { text, .. }: &Planted| KeyValue {
        key: "leak".to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(text.clone())) }),
        ..KeyValue::default()
    };
    let span = Span {
        attributes: planted.iter().map(attribute).collect(),
        flags: SAMPLED,
        status: Some(Status::default()),
        ..Span::default()
    };
    let scope = InstrumentationScope { name: "noshi".to_owned(), ..InstrumentationScope::default() };
    let of_scope = ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() };
    let resource = Some(Resource::default());
    let of_resource = ResourceSpans { resource, scope_spans: vec![of_scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec()
}

/// What a collector keeps of them.
async fn through_a_collector(app: &App, planted: &[Planted]) -> Vec<u8> {
    let collector = Receiver::start().await;
    let request = app.http.post(format!("{}/v1/traces", collector.endpoint()));
    let request = request.header("content-type", "application/x-protobuf").body(spans(planted));
    assert_eq!(Answer::of(request).await.status, 200);
    collector.bytes()
}

/// What a run keeps of refusals that quote them.
fn error_answers(planted: &[Planted]) -> Vec<u8> {
    let mut drive = Drive::default();
    for Planted { text, .. } in planted {
        let json = json!({"code": "invalid-request", "detail": format!("not understood: {text}")});
        drive.bare(&Answer { status: 400, headers: HeaderMap::new(), text: json.to_string(), json });
    }
    drive.bare_answers()
}

/// A process that has read them into its memory, and waits for more. It may leave a core, as far as this machine allows one.
async fn holder(folder: &TempDir, planted: &[Planted]) -> Child {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -c $(ulimit -H -c); exec sort --buffer-size=1M"])
        .current_dir(folder.path())
        .env_clear();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let input = child.stdin.as_mut().unwrap();
    for Planted { text, .. } in planted {
        std::io::Write::write_all(input, format!("{text}\n").as_bytes()).unwrap();
    }
    let last = planted.last().unwrap().text.clone();
    let id = child.id().to_string();
    until("the process has read its input", async || {
        let read = memory::of(&id).expect("the memory of a child of ours");
        read.windows(last.len()).any(|window| window == last.as_bytes())
    })
    .await;
    child
}

/// The memory of a process, and the core that it leaves.
async fn memory_and_core(planted: &[Planted]) -> Places {
    let folder = TempDir::new().unwrap();
    let mut child = holder(&folder, planted).await;
    let mut places = Places::new();
    places.insert("the memory of a process".to_owned(), memory::of(&child.id().to_string()).unwrap());
    assert!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap();
    // Where `core_pattern` names a place of the machine's own, or a program, there is none here.
    let left = files(folder.path()).into_values().collect::<Vec<_>>().concat();
    if left.is_empty() {
        println!("skipped: this machine keeps no core in the folder of the process");
    } else {
        places.insert("the core of a killed process".to_owned(), left);
    }
    places
}

on_each_backend! {
    async fn a_leak_of_every_form_is_found_in_every_place(backend: Backend) {
        log().start();
        let app = App::spawn(backend).await;
        let planted = planted();
        let canaries: Vec<String> = planted.iter().map(|one| one.canary.clone()).collect();
        let scanner = Scanner::new(&canaries);
        into_the_database(&app, &planted).await;
        each_is_found(&scanner, &planted, "the rows", &rows(&app.database).await["column leaks.note"]);
        if backend == Backend::Sqlite {
            back_up(&app, "back-up.db");
            let files = files(app.database.folder.path());
            for file in ["file noshi.db-wal", "file back-up.db"] {
                each_is_found(&scanner, &planted, file, &files[file]);
            }
        }
        for Planted { text, .. } in &planted {
            tracing::trace!(target: "noshi::canary", leak = %text, "planted");
        }
        each_is_found(&scanner, &planted, "the log", &log().taken());
        each_is_found(&scanner, &planted, "the metrics page", &metrics_page(&planted));
        each_is_found(&scanner, &planted, "the collector's spans", &through_a_collector(&app, &planted).await);
        each_is_found(&scanner, &planted, "an error's answer", &error_answers(&planted));
        for (place, bytes) in memory_and_core(&planted).await {
            each_is_found(&scanner, &planted, &place, &bytes);
        }
        app.end().await;
    }
}
