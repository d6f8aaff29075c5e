//! The log's filter, changed on the admin port while the service runs.

use serde_json::Value;

use super::context::{self, end, served_in};
use crate::{
    clock::Wall,
    process::Served,
    support::{
        Answer, App, Backend, Shape, order,
        wait::{found, until},
        with_json,
    },
};

/// A canary: it must turn up nowhere.
const TOKEN: &str = "canary-admin-token-0123456789";

fn shape() -> Shape {
    Shape::default().with("NOSHI__SERVER__ADMIN_TOKEN", TOKEN)
}

async fn served(backend: Backend) -> (App, Served) {
    served_in(backend, shape()).await
}

async fn ask(app: &App, served: &Served, method: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = app.http.request(method, format!("{}/log-filter", served.admin)).bearer_auth(TOKEN).body(body);
    Answer::of(if kind.is_empty() { request } else { request.header("content-type", kind) }).await
}

/// The same by someone who presents something else, or nothing.
async fn ask_without_token(app: &App, served: &Served, method: &str, authorization: &str) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = app.http.request(method, format!("{}/log-filter", served.admin)).body("noshi=debug");
    let request = request.header("content-type", "text/plain");
    Answer::of(if authorization.is_empty() { request } else { request.header("authorization", authorization) }).await
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
    assert_eq!(put(app, served, "noshi=info,warn").await.status, 200);
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
    let changed = put(&app, &served, "debug\n").await;
    assert_eq!((changed.status, changed.text.as_str()), (200, "debug\n"));
    assert_eq!(requests_logged(&app, &served, "at debug", 2).await, 1);
    let back = ask(&app, &served, "DELETE", "", "").await;
    assert_eq!((back.status, back.text.as_str()), (200, "info\n"));
    assert_eq!(requests_logged(&app, &served, "as before", 4).await, 2);
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
    for bad in [
        "",
        "\n",
        "info,noshi=loud",
        "a=b=c",
        "info\nwarn",
        "AB12-CD34EF-GH56",
        "infö",
        "off",
        "warn",
        "info,noshi=warn",
        "info,[request]=trace",
        "info,noshi[{a=.*}]=info",
        &"a,".repeat(600),
    ] {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_changes_it_without_the_token_of_the_settings() {
    let (app, served) = served(Backend::Sqlite).await;
    let key = format!("Bearer {}", app.key);
    let others = ["", "Bearer", "Bearer canary-admin-token-012345678", "Basic Y2FuYXJ5", key.as_str()];
    for (authorization, method) in others.into_iter().flat_map(|other| [(other, "PUT"), (other, "DELETE")]) {
        let answer = ask_without_token(&app, &served, method, authorization).await;
        assert_eq!((answer.status, &answer.json["code"]), (401, &"unauthorized".into()), "{}", answer.text);
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"noshi-admin\", error=\"invalid_token\"");
    }
    assert_eq!(shown(&app, &served).await, "info\n");
    assert_eq!(put(&app, &served, "noshi=debug").await.status, 200);
    let log = || format!("{:?}", served.log());
    let refused = || log().matches("without the admin token was refused").count();
    until("each refusal is in the log", async || refused() >= others.len() * 2).await;
    assert_eq!(refused(), others.len() * 2);
    let log = log();
    assert!(!log.contains("canary-admin-token"), "{log}");
    end(app, served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_in_the_settings_it_stays_as_it_is() {
    let (app, served) = context::served(Backend::Sqlite).await;
    for method in ["PUT", "DELETE"] {
        let answer = ask(&app, &served, method, "text/plain", "noshi=debug").await;
        assert_eq!((answer.status, &answer.json["code"]), (403, &"forbidden".into()), "{}", answer.text);
        assert!(answer.json["detail"].as_str().unwrap().contains("server.admin_token"), "{}", answer.text);
    }
    assert_eq!(shown(&app, &served).await, "info\n");
    end(app, served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_quarter_of_an_hour_the_one_of_the_settings_is_back() {
    let mut app = App::shaped(Backend::Sqlite, shape()).await;
    assert!(app.stop().await);
    let wall = Wall::off_by(0);
    let mut command = wall.noshi();
    command.arg("serve");
    let served = Served::spawn(command, app.environment()).unwrap();
    app.base = served.base.clone();
    assert_eq!(put(&app, &served, "noshi=trace,info").await.status, 200);
    wall.set(14 * 60);
    app.issue("one", "5.00").await;
    assert_eq!(shown(&app, &served).await, "noshi=trace,info\n");
    wall.set(15 * 60);
    let back = found("it is back", async || {
        served.log().into_iter().find(|line| line["message"] == "the log's filter is that of the settings again")
    })
    .await;
    assert_eq!((&back["log.filter"], &back["log.filter_before"]), (&"info".into(), &"noshi=trace,info".into()));
    assert_eq!(shown(&app, &served).await, "info\n");
    end(app, served).await;
}
