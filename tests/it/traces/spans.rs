//! The spans themselves, as a collector receives them: a request, its transactions, its call to Amazon, and what recovery
//! does for it later.

use std::collections::BTreeMap;

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::json;

use super::receiver::{Receiver, Span};
use crate::support::{Answer, App, Backend, Shape, on_each_backend, order, with_json};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Kinds in the protocol.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

async fn traced(backend: Backend) -> (App, Receiver) {
    let receiver = Receiver::start().await;
    let shape = Shape::default()
        .with("NOSHI__TRACES__ENDPOINT", receiver.endpoint())
        .with("NOSHI__TRACES__RESOURCE_ATTRIBUTES", "k8s.pod.name=noshi-0,service.name=not-this");
    (App::shaped(backend, shape).await, receiver)
}

/// Sends a request in the trace of the tests' own.
async fn send(app: &App, method: &str, path: &str, key: Option<&str>, body: serde_json::Value) -> Answer {
    let request = app.request(method, path).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let request = match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    };
    Answer::of(with_json(request, &body)).await
}

async fn issue(app: &App, key: &str) -> Answer {
    send(app, "POST", "/v1/rewards", Some(key), order("5.00")).await
}

fn script(app: &App, fault: Fault) {
    let rule = FaultRule { operation: Some(Operation::CreateGiftCard), times: Some(1), ..FaultRule::always(fault) };
    app.control.script(rule).unwrap();
}

/// The one span of this name among these.
fn only<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

fn has(spans: &[Span], name: &str) -> bool {
    spans.iter().any(|span| span.name == name)
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn database(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "sqlite",
        Backend::Postgres => "postgresql",
    }
}

/// The server span of a request, checked: in the caller's trace, under the caller's span.
fn served<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let span = only(spans, name);
    assert_eq!((span.trace.as_str(), span.parent.as_str(), span.kind), (TRACE, PARENT, SERVER), "{span:#?}");
    assert!(span.remote_parent);
    span
}

/// A part of a request, checked: in its trace, under it, within its time.
fn part_of<'s>(spans: &'s [Span], name: &str, whole: &Span, kind: i32) -> &'s Span {
    let span = only(spans, name);
    assert_eq!((&span.trace, &span.parent, span.kind), (&whole.trace, &whole.id, kind), "{span:#?}");
    assert!(!span.remote_parent && span.began >= whole.began && span.ended <= whole.ended, "{span:#?} of {whole:#?}");
    span
}

on_each_backend! {
    async fn a_reward_is_one_trace_from_the_request_through_both_transactions_and_amazon(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        let bought = issue(&app, "one").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        let spans = receiver.until("the request", |spans| has(spans, "POST /v1/rewards")).await;
        assert_eq!(spans.len(), 4, "{spans:#?}");
        let request = served(&spans, "POST /v1/rewards");
        let accept = part_of(&spans, "reward.accept", request, INTERNAL);
        let create = part_of(&spans, "CreateGiftCard", request, CLIENT);
        let settle = part_of(&spans, "reward.settle", request, INTERNAL);
        assert!(accept.ended <= create.began && create.ended <= settle.began, "one after the other: {spans:#?}");
        let id = bought.id();
        let amazon = app.amazon_id("one");
        assert_eq!(
            request.attributes,
            attributes(&[
                ("http.request.method", "POST"), ("http.route", "/v1/rewards"), ("http.response.status_code", "201"),
                ("reward.id", id), ("reward.state", "issued"),
            ])
        );
        for transaction in [accept, settle] {
            let expected = attributes(&[("db.system.name", database(backend)), ("db.committed", "true")]);
            assert_eq!(transaction.attributes, expected, "{}", transaction.name);
        }
        assert_eq!(
            create.attributes,
            attributes(&[
                ("http.request.method", "POST"), ("http.response.status_code", "200"), ("reward.attempt", "1"),
                ("reward.creation_request_id", &amazon), ("reward.id", id), ("upstream.outcome", "proven"),
                ("server.address", "agcod-v2-gamma.amazon.com"),
            ])
        );
        for span in &spans {
            assert!(!span.failed && span.links.is_empty(), "{span:#?}");
            assert_eq!(span.resource["service.name"], "noshi");
            assert_eq!((&*span.resource["k8s.pod.name"], span.resource["service.instance.id"].len()), ("noshi-0", 36));
            assert_eq!(span.resource.len(), 4, "{:?}", span.resource);
        }
        app.end().await;
    }

    async fn what_recovery_does_is_a_trace_of_its_own_linked_to_the_request(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        script(&app, Fault::DropAfterWork);
        let asked = issue(&app, "one").await;
        asked.is_accepted();
        app.until(asked.id(), "issued").await;
        let spans = receiver.until("the recovery", |spans| has(spans, "reward.recover")).await;
        let (first, later): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(|span| span.trace == TRACE);
        let request = served(&first, "POST /v1/rewards");
        assert_eq!(request.attribute("reward.state"), "unresolved");
        let lost = part_of(&first, "CreateGiftCard", request, CLIENT);
        assert!(lost.failed && lost.attribute("upstream.outcome") == "ambiguous", "{lost:#?}");
        assert_eq!(lost.attribute("error.type"), "connection_lost");
        assert!(!request.failed, "the caller was answered");

        let recovery = only(&later, "reward.recover");
        assert_eq!((recovery.parent.as_str(), recovery.kind), ("", INTERNAL));
        assert_eq!(recovery.links, [(TRACE.to_owned(), request.id.clone())]);
        assert_eq!((recovery.attribute("reward.id"), recovery.attribute("reward.state")), (asked.id(), "issued"));
        let replay = part_of(&later, "CreateGiftCard", recovery, CLIENT);
        assert_eq!((replay.attribute("reward.attempt"), replay.failed), ("2", false));
        part_of(&later, "reward.settle", recovery, INTERNAL);
        app.end().await;
    }

    async fn a_retry_a_reveal_and_a_cancel_are_linked_to_the_request_that_bought(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        // The first in a trace of its own.
        let bought = app.issue("one", "5.00").await;
        assert_eq!(issue(&app, "one").await.status, 200);
        let path = format!("/v1/rewards/{}", bought.id());
        assert_eq!(send(&app, "POST", &format!("{path}/reveal"), None, json!({"reason": "test"})).await.status, 200);
        assert_eq!(send(&app, "POST", &format!("{path}/cancel"), None, json!({"reason": "test"})).await.status, 200);
        let cancel = "POST /v1/rewards/{id}/cancel";
        let spans = receiver.until("the cancel", |spans| has(spans, cancel)).await;
        let (later, first): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(|span| span.trace == TRACE);
        let request = only(&first, "POST /v1/rewards");
        assert_eq!(request.parent, "", "nobody called from within a trace");
        let cause = [(request.trace.clone(), request.id.clone())];
        for (name, state) in [("POST /v1/rewards", "issued"), ("POST /v1/rewards/{id}/reveal", "issued"), (cancel, "canceled")] {
            let span = served(&later, name);
            assert_eq!(span.links, cause, "{name}");
            assert_eq!((span.attribute("reward.id"), span.attribute("reward.state")), (bought.id(), state), "{name}");
        }
        let whole = served(&later, cancel);
        part_of(&later, "reward.cancel", whole, INTERNAL);
        let call = part_of(&later, "CancelGiftCard", whole, CLIENT);
        assert_eq!(call.attribute("upstream.outcome"), "proven");
        part_of(&later, "reward.settle", whole, INTERNAL);
        let reveal = served(&later, "POST /v1/rewards/{id}/reveal");
        let shown: Vec<&Span> = later.iter().filter(|span| span.parent == reveal.id).collect();
        assert_eq!(shown.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["reveal.count", "CreateGiftCard", "reward.show"]);
        app.end().await;
    }

    async fn what_the_caller_does_not_sample_is_not_exported_and_its_recovery_is_not_either(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        script(&app, Fault::DropAfterWork);
        let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", "quiet");
        let request = request.header("traceparent", format!("00-{TRACE}-{PARENT}-00"));
        let asked = Answer::of(with_json(request, &order("5.00"))).await;
        asked.is_accepted();
        app.until(asked.id(), "issued").await;
        let unmatched = Answer::of(app.http.get(format!("{}/AB12-CD34EF-GH56", app.base))).await;
        assert_eq!(unmatched.status, 404);
        let spans = receiver.until("what came after", |spans| has(spans, "GET unmatched")).await;
        let of_it: Vec<&Span> = spans.iter().filter(|span| span.attribute("reward.id") == asked.id()).collect();
        assert!(of_it.is_empty() && spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
        app.end().await;
    }

    /// Whoever has no key could make every request recorded, or write into another's trace.
    async fn a_strangers_traceparent_decides_nothing(backend: Backend) {
        let receiver = Receiver::start().await;
        let shape = Shape::default().with("NOSHI__TRACES__ENDPOINT", receiver.endpoint()).with("NOSHI__TRACES__SAMPLE_RATIO", "0");
        let app = App::shaped(backend, shape).await;
        for key in ["nsk_nobodys", ""] {
            let asked = app.http.get(format!("{}/v1/rewards", app.base)).bearer_auth(key);
            let asked = Answer::of(asked.header("traceparent", format!("00-{TRACE}-{PARENT}-01"))).await;
            assert_eq!(asked.status, 401);
        }
        assert_eq!(issue(&app, "one").await.status, 201);
        let spans = receiver.until("the caller's request", |spans| has(spans, "POST /v1/rewards")).await;
        assert!(!has(&spans, "GET /v1/rewards"), "{spans:#?}");
        assert_eq!(served(&spans, "POST /v1/rewards").trace, TRACE, "the caller's own is continued");
        app.end().await;
    }

    async fn a_transaction_that_is_not_committed_does_not_say_so(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        app.database.execute("ALTER TABLE ledger_entries RENAME TO elsewhere").await.unwrap();
        assert_eq!(issue(&app, "one").await.status, 503);
        let spans = receiver.until("the request", |spans| has(spans, "POST /v1/rewards")).await;
        let accept = part_of(&spans, "reward.accept", served(&spans, "POST /v1/rewards"), INTERNAL);
        assert_eq!(accept.attributes, attributes(&[("db.system.name", database(backend))]));
        app.database.execute("ALTER TABLE elsewhere RENAME TO ledger_entries").await.unwrap();
        app.end().await;
    }

    async fn a_failure_of_ours_is_told_by_its_word(backend: Backend) {
        let (app, receiver) = traced(backend).await;
        app.database.execute("ALTER TABLE rewards RENAME TO elsewhere").await.unwrap();
        assert_eq!(issue(&app, "one").await.status, 503);
        let spans = receiver.until("the request", |spans| has(spans, "POST /v1/rewards")).await;
        let request = served(&spans, "POST /v1/rewards");
        assert!(request.failed, "{request:#?}");
        assert_eq!(request.attribute("error.type"), "dependency-unavailable");
        assert_eq!(request.attribute("http.response.status_code"), "503");
        app.database.execute("ALTER TABLE elsewhere RENAME TO rewards").await.unwrap();
        app.end().await;
    }
}
