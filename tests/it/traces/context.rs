//! The trace context alone: where it comes from, where it is kept, which lines name it. It takes no export.

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::Value;

use crate::{
    process::Served,
    support::{Answer, App, Backend, Shape, on_each_backend, order, wait::found, with_json},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A service of its own process, whose log is kept; the app is its gateway and its database.
pub(super) async fn served(backend: Backend) -> (App, Served) {
    served_in(backend, Shape::default()).await
}

/// The same in another shape.
pub(super) async fn served_in(backend: Backend, shape: Shape) -> (App, Served) {
    let mut app = App::shaped(backend, shape).await;
    assert!(app.stop().await);
    let environment = app.environment().to_vec();
    let served = tokio::task::spawn_blocking(move || Served::start(&environment)).await.unwrap();
    app.base = served.base.clone();
    (app, served)
}

/// Ends both.
pub(super) async fn end(app: App, served: Served) {
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    app.end().await;
}

/// The log's lines of this message, waited for.
async fn lines(served: &Served, message: &str, count: usize) -> Vec<Value> {
    found(&format!("{count} lines of {message:?} are in the log"), async || {
        let lines: Vec<Value> = served.log().into_iter().filter(|line| line["message"] == message).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

async fn issue(app: &App, key: &str, headers: &[&str]) -> Answer {
    let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", key);
    let request = headers.iter().fold(request, |request, value| request.header("traceparent", *value));
    Answer::of(with_json(request, &order("5.00"))).await
}

/// The trace and the span in a reward's row.
async fn stored(app: &App, id: &str) -> (String, String) {
    let hex = id.trim_start_matches("rwd_");
    let row = match app.database.backend {
        Backend::Sqlite => format!("X'{hex}'"),
        Backend::Postgres => format!("'{hex}'"),
    };
    let text = app.database.text(&format!("SELECT trace_context FROM rewards WHERE id = {row}")).await;
    let [version, trace, span, flags] = text.split('-').collect::<Vec<_>>().try_into().unwrap();
    assert!(version == "00" && (flags == "00" || flags == "01"), "{text}");
    (trace.to_owned(), span.to_owned())
}

on_each_backend! {
    async fn the_callers_trace_is_in_the_row_and_on_every_line(backend: Backend) {
        let (app, served) = served(backend).await;
        let bought = issue(&app, "one", &[&traceparent(TRACE)]).await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        let (trace, span) = stored(&app, bought.id()).await;
        assert_eq!(trace, TRACE);
        assert_ne!(span, "00f067aa0ba902b7", "the span is ours");
        for line in [&lines(&served, "request", 1).await[0], &lines(&served, "reward issued", 1).await[0]] {
            assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &span.as_str().into()), "{line}");
        }
        assert_eq!(lines(&served, "reward issued", 1).await[0]["reward.trace_id"], TRACE);

        let canceled = app.request("POST", &format!("/v1/rewards/{}/cancel", bought.id()));
        let canceled = canceled.header("traceparent", traceparent(OTHER));
        let canceled = Answer::of(with_json(canceled, &serde_json::json!({"reason": "test"}))).await;
        assert_eq!(canceled.status, 200, "{}", canceled.text);
        let line = &lines(&served, "reward canceled", 1).await[0];
        assert_eq!((&line["trace_id"], &line["reward.trace_id"]), (&OTHER.into(), &TRACE.into()), "{line}");
        assert_eq!(line["reward.id"], bought.id());
        assert_eq!(stored(&app, bought.id()).await, (trace, span), "the request that it came from");
        end(app, served).await;
    }

    async fn what_recovery_does_names_the_trace_that_the_reward_came_from(backend: Backend) {
        let (app, served) = served(backend).await;
        let lost = FaultRule {
            operation: Some(Operation::CreateGiftCard), times: Some(1), ..FaultRule::always(Fault::DropAfterWork)
        };
        app.control.script(lost).unwrap();
        let asked = issue(&app, "one", &[&traceparent(TRACE)]).await;
        asked.is_accepted();
        app.until(asked.id(), "issued").await;
        let issued = &lines(&served, "reward issued", 1).await[0];
        assert_eq!((&issued["reward.id"], &issued["reward.trace_id"]), (&asked.id().into(), &TRACE.into()), "{issued}");
        let own = issued["trace_id"].as_str().unwrap();
        assert!(own.len() == 32 && own != TRACE, "a trace of its own: {issued}");
        // Every line about it names where it came from.
        let of_it = served.log().into_iter().filter(|line| line["reward.id"] == asked.id());
        let bare: Vec<Value> = of_it.filter(|line| line["reward.trace_id"] != TRACE).collect();
        assert_eq!(bare, Vec::<Value>::new());
        end(app, served).await;
    }

    async fn without_a_good_traceparent_the_trace_is_a_new_one_and_nothing_is_refused(backend: Backend) {
        let (app, served) = served(backend).await;
        let good = traceparent(TRACE);
        let joined = format!("{good}, {good}");
        let bad: [&[&str]; 9] = [
            &[],
            &[""],
            &["AB12-CD34EF-GH56"],
            &["00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more"],
            &["ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-0AF7651916CD43DD8448EB211C80319C-00f067aa0ba902b7-01"],
            &[&joined],
            &[&good, &good],
        ];
        let mut traces = std::collections::BTreeSet::new();
        for (at, headers) in bad.iter().enumerate() {
            let bought = issue(&app, &format!("bad-{at}"), headers).await;
            assert_eq!(bought.status, 201, "{headers:?}: {}", bought.text);
            let (trace, _span) = stored(&app, bought.id()).await;
            assert_ne!(trace, TRACE, "{headers:?}");
            assert!(traces.insert(trace), "{headers:?}");
        }
        for headers in [&["cc-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-more"][..], &[&format!("  {good}\t")]] {
            let bought = issue(&app, &format!("good-{headers:?}").replace('"', "").replace(',', ""), headers).await;
            assert_eq!(stored(&app, bought.id()).await.0, TRACE, "{headers:?}");
        }
        end(app, served).await;
    }
}
