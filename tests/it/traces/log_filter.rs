//! The log's filter, changed on the admin port while the service runs.

use serde_json::Value;

use super::context::{end, served};
use crate::{
    process::Served,
    support::{Answer, App, Backend, order, wait::found, with_json},
};

async fn ask(app: &App, served: &Served, method: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = app.http.request(method, format!("{}/log-filter", served.admin)).body(body);
    Answer::of(if kind.is_empty() { request } else { request.header("content-type", kind) }).await
}

async fn put(app: &App, served: &Served, filter: &str) -> Answer {
    ask(app, served, "PUT", "text/plain", filter.to_owned()).await
}

async fn shown(app: &App, served: &Served) -> String {
    let answer = ask(app, served, "GET", "", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
    answer.text
}

/// How many lines of requests there are after one more of them, once the change that follows it was told: lines come in
/// order.
async fn requests_logged(app: &App, served: &Served, key: &str, changes: usize) -> usize {
    let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", key);
    assert_eq!(Answer::of(with_json(request, &order("5.00"))).await.status, 201);
    assert_eq!(put(app, served, "noshi=warn,info").await.status, 200);
    let of = |log: &[Value], message: &str| log.iter().filter(|line| line["message"] == message).count();
    found("the change is in the log", async || {
        let log = served.log();
        (of(&log, "the log's filter was changed") == changes).then(|| of(&log, "request"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_is_shown_changed_and_put_back_while_requests_are_served() {
    let (app, served) = served(Backend::Sqlite).await;
    assert_eq!(shown(&app, &served).await, "info\n", "that of the settings");
    let changed = put(&app, &served, "warn\n").await;
    assert_eq!((changed.status, changed.text.as_str()), (200, "warn\n"));
    assert_eq!(requests_logged(&app, &served, "quiet", 2).await, 0);
    let back = ask(&app, &served, "DELETE", "", "").await;
    assert_eq!((back.status, back.text.as_str()), (200, "info\n"));
    assert_eq!(requests_logged(&app, &served, "heard", 4).await, 1);
    let told: Vec<Value> =
        served.log().into_iter().filter(|line| line["message"] == "the log's filter was changed").collect();
    assert_eq!(told[0]["log.filter_before"], "info");
    assert!(told.iter().all(|line| line["client.address"].as_str().unwrap().starts_with("127.0.0.1:")), "{told:?}");
    end(app, served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_filter_is_refused_and_changes_nothing() {
    let (app, served) = served(Backend::Sqlite).await;
    let refused = |answer: &Answer, status: u16, code: &str| {
        assert_eq!((answer.status, &answer.json["code"]), (status, &code.into()), "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    };
    for bad in ["", "\n", "info,noshi=loud", "a=b=c", "info\nwarn", "AB12-CD34EF-GH56", "infö", &"a,".repeat(600)] {
        let answer = put(&app, &served, bad).await;
        refused(&answer, 400, "invalid-request");
        assert!(answer.json["detail"].as_str().is_some_and(|why| why.len() > 10), "{}", answer.text);
        assert!(!answer.text.contains("loud") && !answer.text.contains("AB12"), "{}", answer.text);
    }
    refused(&put(&app, &served, &"a".repeat(5000)).await, 413, "payload-too-large");
    refused(&ask(&app, &served, "PUT", "text/plain", vec![0xff]).await, 400, "invalid-request");
    for kind in ["", "application/json", "text/plain; charset=utf-16"] {
        refused(&ask(&app, &served, "PUT", kind, "debug").await, 415, "unsupported-media-type");
    }
    for method in ["POST", "PATCH", "TRACE"] {
        let answer = ask(&app, &served, method, "text/plain", "debug").await;
        refused(&answer, 405, "method-not-allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD, PUT, DELETE");
    }
    assert_eq!(shown(&app, &served).await, "info\n");
    let public = app.request("PUT", "/log-filter").header("content-type", "text/plain").body("off");
    assert_eq!(Answer::of(public).await.status, 404, "not where callers are");
    assert!(served.log().iter().all(|line| line["message"] != "the log's filter was changed"));
    end(app, served).await;
}

/// Whatever is put, a library that could print a code or a key stays muted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_trace_only_we_ourselves_say_more() {
    let (app, served) = served(Backend::Sqlite).await;
    assert_eq!(
        put(&app, &served, "trace,aws_sigv4=trace,reqwest=trace,hyper=trace,actix_http=trace").await.status,
        200
    );
    let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", "one");
    let bought = Answer::of(with_json(request, &order("5.00"))).await;
    assert_eq!(app.reveal(bought.id()).await.code(), bought.code());
    assert_eq!(put(&app, &served, "info").await.status, 200);
    let log = format!("{:?}", served.log());
    let low: Vec<Value> = served
        .log()
        .into_iter()
        .filter(|line| ["TRACE", "DEBUG"].iter().any(|level| line["level"] == *level))
        .filter(|line| !line["target"].as_str().unwrap().starts_with("noshi"))
        .collect();
    assert!(low.is_empty(), "{low:?}");
    for secret in [bought.code(), crate::support::SECRET_ACCESS_KEY, app.key.as_str()] {
        assert!(!log.contains(secret));
    }
    end(app, served).await;
}
