//! Spans as an export would get them.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::runtime::Handle;

use super::*;

struct Kept {
    traces: Traces,
    ambient: Ambient,
    queue: mpsc::Receiver<SpanRecord>,
    lost: IntCounter,
}

fn kept(millionths: u32, room: usize) -> Kept {
    let ambient = Ambient::movable(7);
    let (queue, kept) = mpsc::channel(room);
    let lost = IntCounter::new("lost", "Lost.").unwrap();
    let sink = Sink { queue, lost: lost.clone() };
    Kept { traces: Traces::recorded(ambient.clone(), millionths, sink), ambient, queue: kept, lost }
}

/// The span of a request whose caller is known.
async fn of_caller(traces: &Traces, theirs: Option<TraceContext>) -> Span {
    let span = traces.request();
    span.scope(async { theirs.into_iter().for_each(continue_from) }).await;
    span
}

fn theirs(flags: &str) -> Option<TraceContext> {
    Some(format!("00-12345678901234567890123456789012-1234567890123456-{flags}").parse().unwrap())
}

#[tokio::test]
async fn a_request_and_its_parts_are_one_trace() {
    let mut kept = kept(0, 8);
    let server = of_caller(&kept.traces, theirs("01")).await;
    let of_server = server.context().unwrap();
    let inner = server.scope(async {
        assert_eq!(current(), Some(of_server));
        note(Attribute::Attempt(1));
        name(|| "GET /".to_owned());
        let part = child("part");
        let inner = part.scope(async {
            // Another task, and one that outlives the request.
            let call = Handle::current().spawn(carry(async { call("call").context().unwrap() })).await.unwrap();
            (current().unwrap(), call)
        });
        inner.await
    });
    let (of_part, of_call) = inner.await;
    drop(server);
    assert_eq!(current(), None);
    let mut spans = Vec::new();
    while let Ok(span) = kept.queue.try_recv() {
        spans.push((span.name, span.kind, span.context, span.parent, span.parent_is_remote, span.attributes.len()));
    }
    let parent = theirs("01").unwrap();
    assert!([of_server, of_part, of_call].iter().all(|context| context.trace() == parent.trace()));
    assert_eq!(
        spans,
        [
            ("call".to_owned(), SpanKind::Client, of_call, Some(of_part.span()), false, 0),
            ("part".to_owned(), SpanKind::Internal, of_part, Some(of_server.span()), false, 0),
            ("GET /".to_owned(), SpanKind::Server, of_server, Some(parent.span()), true, 1),
        ]
    );
}

#[tokio::test]
async fn a_span_ends_when_it_is_dropped_whoever_still_works_in_its_scope() {
    let mut kept = kept(1_000_000, 8);
    let server = kept.traces.request();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let mut late = None;
    let spawn = async { late = Some(Handle::current().spawn(carry(async { drop((wait.await, child("late"))) }))) };
    server.scope(spawn).await;
    kept.ambient.advance(TimeDelta::seconds(3));
    let of_server = server.context().unwrap();
    drop(server);
    let ended = kept.queue.try_recv().unwrap();
    assert!((ended.ended - ended.began - TimeDelta::seconds(3)).abs() < TimeDelta::seconds(1));
    go.send(()).unwrap();
    late.unwrap().await.unwrap();
    let late = kept.queue.try_recv().unwrap();
    assert_eq!((late.name.as_str(), late.parent), ("late", Some(of_server.span())));
}

#[tokio::test]
async fn what_the_caller_does_not_sample_we_do_not_either() {
    let mut kept = kept(1_000_000, 8);
    for (parent, recorded) in [(theirs("00"), false), (theirs("01"), true), (None, true)] {
        let server = of_caller(&kept.traces, parent).await;
        assert_eq!(server.context().unwrap().is_sampled(), recorded);
        server.scope(async { assert_eq!(child("part").context().is_some(), recorded) }).await;
        drop(server);
        let resumed = kept.traces.resume("resumed", parent);
        assert_eq!(resumed.context().unwrap().is_sampled(), recorded);
        assert_ne!(resumed.context().unwrap().trace(), theirs("00").unwrap().trace());
        drop(resumed);
        let mut names = Vec::new();
        while let Ok(span) = kept.queue.try_recv() {
            assert_eq!(span.links, if span.name == "resumed" { Vec::from_iter(parent) } else { Vec::new() });
            names.push(span.name);
        }
        assert_eq!(names, if recorded { vec!["part", "request", "resumed"] } else { Vec::new() }, "{parent:?}");
    }
}

#[tokio::test]
async fn a_trace_that_is_continued_is_recorded_from_the_requests_begin_whatever_we_record_ourselves() {
    for millionths in [0, 1_000_000] {
        let mut kept = kept(millionths, 8);
        let began = kept.ambient.now();
        let server = kept.traces.request();
        let own = server.context().unwrap();
        kept.ambient.advance(TimeDelta::seconds(60));
        server.scope(async { continue_from(theirs("01").unwrap()) }).await;
        assert_eq!(server.context().unwrap().span(), own.span());
        drop(server);
        let record = kept.queue.try_recv().unwrap();
        assert!(record.began - began < TimeDelta::seconds(30), "{:?}", record.began - began);
        assert_eq!(
            (record.context.trace(), record.parent),
            (theirs("01").unwrap().trace(), Some(theirs("01").unwrap().span()))
        );
        assert!(kept.queue.try_recv().is_err(), "it was recorded twice");
    }
}

#[tokio::test]
async fn a_full_queue_loses_spans_and_counts_them() {
    let mut kept = kept(1_000_000, 2);
    for _ in 0..5 {
        drop(kept.traces.request());
    }
    assert_eq!(kept.lost.get(), 3);
    assert!(kept.queue.try_recv().is_ok() && kept.queue.try_recv().is_ok());
    drop(kept.traces.request());
    assert_eq!(kept.lost.get(), 3, "there is room again");
    kept.queue.close();
    drop(kept.traces.request());
    assert_eq!(kept.lost.get(), 4, "nobody exports any more");
}

#[tokio::test]
async fn without_an_export_there_are_ids_and_nothing_else() {
    let traces = Traces::silent(Ambient::movable(1));
    let server = of_caller(&traces, theirs("01")).await;
    let context = server.context().unwrap();
    assert_eq!(context.trace(), theirs("01").unwrap().trace());
    assert_ne!(context.span(), theirs("01").unwrap().span());
    server
        .scope(async {
            assert_eq!(current(), Some(context));
            assert_eq!(child("part").context(), None);
            note(Attribute::Attempt(1));
        })
        .await;
    assert_ne!(traces.request().context(), traces.request().context());
    tokio::time::timeout(Duration::from_secs(5), carry(async { assert_eq!(current(), None) })).await.unwrap();
}

#[test]
fn what_is_said_again_holds_and_links_have_an_end() {
    let mut kept = kept(1_000_000, 2);
    let span = kept.traces.request();
    for number in 0..100 {
        span.set(Attribute::Attempt(number));
        let trace = TraceId::new([1; 16]).unwrap();
        span.link(TraceContext::new(trace, SpanId::new([u8::try_from(number).unwrap() + 1; 8]).unwrap(), true));
    }
    drop(span);
    let record = kept.queue.try_recv().unwrap();
    assert_eq!((record.attributes, record.links.len()), (vec![Attribute::Attempt(99)], LINKS_MAX));
}
