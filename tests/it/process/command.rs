//! The command line: what it prints, and how it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Output, Stdio},
};

use noshi::sandbox::{Fault, FaultRule, Operation};
use tempfile::TempDir;

use super::{Served, noshi};
use crate::support::{App, Backend, SECRET_ACCESS_KEY, Shape};

fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const STEPS: [&str; 6] = [
    "201 Created",
    "\"claim_code\": \"",
    "\"status\": \"canceled\"",
    "\"target_ending\": \"5358\"",
    "\"kind\": \"balance_load\"",
    "Every step held",
];

/// Where the demo says that its API is.
fn api(shown: &[String]) -> &str {
    let line = shown.iter().find_map(|line| line.strip_prefix("  service  http://")).unwrap();
    line.split_whitespace().next().unwrap()
}

#[test]
fn the_demo_holds_every_step_and_a_second_start_goes_on_until_it_is_stopped() {
    let folder = TempDir::new().unwrap();
    let output = noshi().args(["demo", "--once", "--dir"]).arg(folder.path().join("demo")).output().unwrap();
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}\n{err}");
    for shown in STEPS.into_iter().chain(["Start `noshi demo` to go on by hand."]) {
        assert!(out.contains(shown), "{shown} is missing in\n{out}");
    }
    assert!(!out.contains("curl"), "nothing is left that would answer:\n{out}");

    let mut demo = noshi();
    demo.args(["demo", "--dir"]).arg(folder.path().join("demo")).stdout(Stdio::piped());
    let mut demo = demo.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut shown: Vec<String> = Vec::new();
    // It is stopped as soon as it has said all, and an earlier end fails the last assertion.
    shown.extend(lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C ends the demo.")));
    let last = shown.iter().rfind(|line| line.starts_with("In a browser: http://")).unwrap().clone();
    let (address, key) =
        last.trim_start_matches("In a browser: http://").split_once("/console; log in with the key, ").unwrap();
    assert!(shown.contains(&format!("export NOSHI=http://{} KEY={key}", api(&shown))), "{last}");
    let mut console = TcpStream::connect(address).unwrap();
    console.write_all(b"GET /console/login HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    console.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.0 200") && page.contains("name=\"key\""), "{page}");
    assert!(Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success(), "{shown:?}");
    let out = shown.join("\n");
    for shown in STEPS.into_iter().chain(["export NOSHI=http://", "curl -s $NOSHI/v1/rewards/rwd_"]) {
        assert!(out.contains(shown), "{shown} is missing in\n{out}");
    }
}

#[test]
fn the_demo_of_members_holds_every_step_and_a_second_start_goes_on_from_its_clock() {
    let folder = TempDir::new().unwrap();
    for _ in 0..2 {
        let output =
            noshi().args(["demo", "--pay", "--once", "--dir"]).arg(folder.path().join("demo")).output().unwrap();
        let (out, err) = text(&output);
        assert!(output.status.success(), "{out}\n{err}");
        for shown in [
            "\"entitlement\": \"issued\"",
            "\"claim_code\": \"",
            "\"state\": \"suspended\"",
            "\"state\": \"refunded\"",
            "\"entitlement\": \"canceled\"",
            "\"state\": \"ended\"",
            "Every step held. Start `noshi demo --pay` to go on by hand.",
        ] {
            assert!(out.contains(shown), "{shown} is missing in\n{out}");
        }
    }
    // The other demo goes on in the same folder.
    let output = noshi().args(["demo", "--once", "--dir"]).arg(folder.path().join("demo")).output().unwrap();
    let (out, err) = text(&output);
    assert!(output.status.success(), "{out}\n{err}");
}

#[test]
fn a_wrong_setting_is_named_and_exits_with_2() {
    let output = noshi().arg("check").env("NOSHI__SERVER__LISTEM", "127.0.0.1:1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("listem") || text(&output).1.contains("LISTEM"), "{}", text(&output).1);
    assert_eq!(noshi().arg("serv").output().unwrap().status.code(), Some(2));
    let none = noshi().arg("serve").env("NOSHI__STORE__URL", "sqlite:///nowhere/noshi.db").output().unwrap();
    assert_eq!(none.status.code(), Some(1), "no accounts");
}

#[test]
fn check_names_every_mistake_in_one_run_kinds_of_all_accounts_included() {
    let account = |name: &str, marketplace: &str, kinds: &str| {
        let key = |key: &str| format!("NOSHI__ACCOUNTS__{name}__{key}");
        [
            (key("PARTNER_ID"), "Awssb".to_owned()),
            (key("MARKETPLACE"), marketplace.to_owned()),
            (key("ENVIRONMENT"), "sandbox".to_owned()),
            (key("ACCESS_KEY_ID"), "AKIDEXAMPLE".to_owned()),
            (key("SECRET_ACCESS_KEY"), SECRET_ACCESS_KEY.to_owned()),
            (key("KINDS"), kinds.to_owned()),
        ]
    };
    let mut command = noshi();
    command.envs(account("US", "US", "[\"gift_code\", \"physical_card\"]"));
    command.envs(account("CA", "CA", "[\"voucher\"]"));
    let output = command.arg("check").env("NOSHI__SERVER__WORKERS", "0").output().unwrap();
    let (_, err) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    for mistake in [
        "server.workers: ",
        "accounts.us.kinds: there is no kind physical_card; there are gift_code card_activation balance_load\n",
        "accounts.ca.kinds: there is no kind voucher; there are gift_code card_activation balance_load\n",
    ] {
        assert!(err.contains(mistake), "{mistake} is missing in\n{err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_shows_what_is_in_force_without_secrets() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let output = noshi().arg("check").envs(app.environment().iter().cloned()).output().unwrap();
    let (out, err) = text(&output);
    assert!(output.status.success(), "{err}");
    assert!(out.contains("partner_id = \"Awssb\"") && out.contains("[hidden]"), "{out}");
    assert!(!out.contains(SECRET_ACCESS_KEY) && !err.contains(SECRET_ACCESS_KEY));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_works_at_once_and_is_refused_once_revoked() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let environment = app.environment().to_vec();
    let served = Served::start(&environment);
    app.base.clone_from(&served.base);
    let keys = |arguments: &[&str]| {
        let output = noshi().arg("keys").args(arguments).envs(environment.iter().cloned()).output().unwrap();
        (output.status.code(), text(&output).0.trim().to_owned())
    };
    let (code, key) = keys(&["create", "--client", "shop", "--new-client", "--scopes", "rewards:read"]);
    assert_eq!(code, Some(0));
    app.key.clone_from(&key);
    let ping = app.get("/v1/ping").await;
    assert_eq!((ping.status, ping.json["client"].as_str()), (200, Some("shop")), "{}", ping.text);
    app.issue("no-scope", "1.00").await.is_problem(403, "insufficient-scope");
    let id = ping.json["key_id"].as_str().unwrap();
    let (_, list) = keys(&["list"]);
    assert!(list.contains(id) && list.contains("[rewards:read]"));
    let secret = key.rsplit('_').next().unwrap();
    assert!(!list.contains(secret), "the secret is shown once");
    assert_eq!(keys(&["revoke", id]).0, Some(0));
    app.get("/v1/ping").await.is_problem(401, "unauthorized");
    assert_eq!(keys(&["revoke", id]).0, Some(1), "revoking twice is told");
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_serves_is_refused() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let environment = app.environment().to_vec();
    let served = Served::start(&environment);
    let short = ("NOSHI__STORE__LOCK_WAIT_SECONDS", "1");
    let second = noshi().arg("serve").envs(environment.iter().cloned()).env(short.0, short.1).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let (_out, err) = text(&second);
    let file = environment.iter().find_map(|(name, value)| (name == "NOSHI__STORE__URL").then_some(value)).unwrap();
    let (holder, file) = (format!("process {} on ", served.id()), file.trim_start_matches("sqlite://"));
    assert!(err.contains(&holder) && err.contains(&format!(" serves {file}: end it first")), "{err}");
    assert!(served.terminate().success());
    // The next one is named, and not the one before.
    let next = Served::start(&environment);
    let third = noshi().arg("serve").envs(environment.iter().cloned()).env(short.0, short.1).output().unwrap();
    assert!(text(&third).1.contains(&format!("process {} on ", next.id())), "{}", text(&third).1);
    assert!(next.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_another_process_has_is_refused_with_what_names_it() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let held = std::net::TcpListener::bind(taken).unwrap();
    for setting in ["listen", "admin_listen"] {
        let name = format!("NOSHI__SERVER__{}", setting.to_uppercase());
        let second =
            noshi().arg("serve").envs(app.environment().iter().cloned()).env(name, taken.to_string()).output().unwrap();
        let (_out, err) = text(&second);
        let said = format!(
            "cannot listen on {taken} (server.{setting}): another process listens there; `ss -ltnp 'sport = :{}'` names it",
            taken.port()
        );
        assert!(second.status.code() == Some(1) && err.contains(&said), "{err}");
    }
    drop(held);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_process_is_just_ending_is_waited_for() {
    let shape = Shape::default().with("NOSHI__SERVER__DRAIN_DELAY_SECONDS", 1);
    let mut app = App::shaped(Backend::Sqlite, shape).await;
    assert!(app.stop().await);
    let before = Served::start(app.environment());
    app.base.clone_from(&before.base);
    assert_eq!(app.issue("before", "1.00").await.status, 201);
    before.signal("TERM");
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    assert_eq!(app.issue("next", "1.00").await.status, 201);
    assert!(before.terminate().success());
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_are_on_the_admin_port_alone() {
    let mut app = App::spawn(Backend::Sqlite).await;
    app.issue("counted", "9.00").await;
    let get = |url: String| {
        let request = app.http.get(url);
        async move { crate::support::Answer::of(request).await }
    };
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(format!("{}{path}", app.admin)).await.status, 200, "{path}");
        assert_eq!(get(format!("{}{path}", app.base)).await.status, 404, "{path}");
    }
    assert_eq!(get(format!("{}/v1/rewards", app.admin)).await.status, 404);
    let page = get(format!("{}/metrics", app.admin)).await;
    assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "noshi_rewards_total{account=\"main\",currency=\"USD\",program=\"none\",status=\"issued\"} 1",
        "noshi_ledger_issued{account=\"main\",currency=\"USD\",window=\"month\"} 9",
        "noshi_upstream_requests_total{account=\"main\",error_code=\"none\",operation=\"CreateGiftCard\",outcome=\"proven\"} 1",
        "noshi_upstream_requests_total{account=\"main\",error_code=\"timeout\",operation=\"CreateGiftCard\",outcome=\"ambiguous\"} 0",
        "noshi_rewards_in_state{account=\"main\",state=\"unresolved\"} 0",
        "noshi_idempotent_requests_total{result=\"new\"} 1",
        "noshi_available_funds{account=\"main\",currency=\"USD\"}",
    ] {
        assert!(page.text.contains(line), "{line} is missing in\n{}", page.text);
    }
    assert!(app.stop().await);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_settles_what_needs_a_person_and_the_timeline_says_who_and_why() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let odd = FaultRule::once(Fault::OddCardStatus { status: "Expired".to_owned() });
    app.control.script(FaultRule { operation: Some(Operation::CreateGiftCard), ..odd }).unwrap();
    let odd = app.issue("odd", "6.00").await;
    assert_eq!((odd.status, odd.json["status"].as_str()), (202, Some("needs_attention")), "{}", odd.text);
    let fine = app.issue("fine", "6.00").await;
    assert!(app.stop().await);
    let environment = app.environment().to_vec();
    let operator = |arguments: &[&str]| {
        let output =
            noshi().args(["rewards", "attention"]).args(arguments).envs(environment.iter().cloned()).output().unwrap();
        (output.status.code(), text(&output).0, text(&output).1)
    };
    let (_, list, _) = operator(&["list"]);
    assert!(list.contains(odd.id()) && list.contains("odd_card_status") && !list.contains(fine.id()), "{list}");
    let settle =
        |id: &str| operator(&["settle", id, "--as", "issued", "--reason", "the portal shows it", "--by", "kim"]);
    assert_eq!(settle(fine.id()).0, Some(1), "what is proven needs no person");
    let (code, out, err) = settle(odd.id());
    assert_eq!((code, out.trim()), (Some(0), format!("{} is issued", odd.id()).as_str()), "{err}");
    assert_eq!(operator(&["list"]).1.trim(), "");
    assert_eq!(settle(odd.id()).0, Some(1), "once");
    app.start().await;
    assert_eq!(app.get(&format!("/v1/rewards/{}", odd.id())).await.json["status"], "issued");
    let events = app.get(&format!("/v1/rewards/{}/events", odd.id())).await;
    let last = events.json["data"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (last["kind"].as_str(), last["detail"]["reason"].as_str()),
        (Some("operator.settled"), Some("kim: the portal shows it"))
    );
    app.end().await;
}
