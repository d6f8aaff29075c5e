//! Methods, ids, query strings, scopes, and the rewards of others.

use std::collections::BTreeSet;

use super::{
    Case, refuse_all, service,
    wire::{Draft, Reply, exchange, with_key},
};
use crate::{
    reach::routes,
    support::{Backend, but_for_all_rewards, on_each_backend},
};

/// Every route with the methods that it knows.
pub(crate) const ROUTES: &[(&str, &str)] = &[
    ("/v1/ping", "GET, HEAD"),
    ("/v1/catalog", "GET, HEAD"),
    ("/v1/rewards", "GET, HEAD, POST"),
    ("/v1/rewards/validate", "POST"),
    ("/v1/rewards/rwd_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/rewards/rwd_00000000000070008000000000000000/events", "GET, HEAD"),
    ("/v1/rewards/rwd_00000000000070008000000000000000/reveal", "POST"),
    ("/v1/rewards/rwd_00000000000070008000000000000000/cancel", "POST"),
    ("/v1/rewards/rwd_00000000000070008000000000000000/check", "POST"),
    ("/v1/balances", "GET, HEAD"),
    ("/v1/balances/main", "GET, HEAD"),
    ("/v1/balances/main/refresh", "POST"),
    ("/v1/key-pairs", "GET, HEAD"),
    ("/v1/key-pairs/main", "GET, HEAD"),
    ("/v1/key-pairs/main/primary/verify", "POST"),
    ("/v1/key-pairs/main/primary/activate", "POST"),
    ("/v1/programs", "GET, HEAD, POST"),
    ("/v1/programs/prg_spring", "GET, HEAD, PATCH"),
    ("/v1/programs/prg_spring/budget", "GET, HEAD"),
    ("/v1/programs/prg_spring/suspend", "POST"),
    ("/v1/programs/prg_spring/resume", "POST"),
    ("/v1/ledger-entries", "GET, HEAD"),
    ("/v1/statements/main/2026-10", "GET, HEAD"),
    ("/v1/events", "GET, HEAD"),
    ("/v1/reconciliation-days", "GET, HEAD"),
    ("/v1/reconciliations", "GET, HEAD, POST"),
    ("/v1/reconciliations/rec_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/reconciliations/rec_00000000000070008000000000000000/items", "GET, HEAD"),
    ("/v1/batches", "GET, HEAD, POST"),
    ("/v1/batches/bat_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/batches/bat_00000000000070008000000000000000/items", "GET, HEAD"),
    ("/v1/batches/bat_00000000000070008000000000000000/pause", "POST"),
    ("/v1/batches/bat_00000000000070008000000000000000/resume", "POST"),
    ("/v1/batches/bat_00000000000070008000000000000000/cancel", "POST"),
    ("/v1/pay/page-config", "GET, HEAD"),
    ("/v1/pay/buttons", "POST"),
    ("/v1/pay/checkout-sessions/11111111-2222-3333-4444-555555555555", "GET, HEAD"),
    ("/v1/pay/checkout-sessions/11111111-2222-3333-4444-555555555555/complete", "POST"),
    ("/v1/pay/charges", "GET, HEAD, POST"),
    ("/v1/pay/charges/pmt_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/pay/charges/pmt_00000000000070008000000000000000/events", "GET, HEAD"),
    ("/v1/pay/charges/pmt_00000000000070008000000000000000/capture", "POST"),
    ("/v1/pay/charges/pmt_00000000000070008000000000000000/cancel", "POST"),
    ("/v1/pay/orders/S03-0000000-0000000", "GET, HEAD"),
    ("/v1/pay/agreements/C03-0000000-0000000", "GET, HEAD"),
    ("/v1/pay/refunds", "GET, HEAD, POST"),
    ("/v1/pay/refunds/pmt_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/pay/refunds/pmt_00000000000070008000000000000000/events", "GET, HEAD"),
    ("/v1/pay/notifications/shop", "POST"),
    ("/v1/membership/plans", "GET, HEAD, POST"),
    ("/v1/membership/plans/pln_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/membership/plans/pln_00000000000070008000000000000000/close", "POST"),
    ("/v1/memberships", "GET, HEAD, POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000", "GET, HEAD"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/periods", "GET, HEAD"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/pause", "POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/resume", "POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/retry", "POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/end", "POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/change_plan", "POST"),
    ("/v1/memberships/mbr_00000000000070008000000000000000/simulate", "POST"),
    ("/v1/webhook-endpoints", "GET, HEAD, POST"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000", "GET, HEAD, PATCH, DELETE"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000/test", "POST"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000/rotate-secret", "POST"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000/deliveries", "GET, HEAD"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000/deliveries/whd_1/redeliver", "POST"),
    ("/v1/webhook-endpoints/whe_00000000000070008000000000000000/replay", "POST"),
];

/// A route that is added and not listed is not tried.
#[test]
fn every_route_of_the_source_is_listed() {
    let like = |pattern: &String| {
        let parts: Vec<&str> = pattern.split('/').collect();
        ROUTES.iter().any(|(target, _methods)| {
            let there: Vec<&str> = target.split('/').collect();
            there.len() == parts.len()
                && there.iter().zip(&parts).all(|(mine, part)| part.starts_with('{') || mine == part)
        })
    };
    let paths: BTreeSet<String> = routes::of_source().into_iter().map(|route| route.pattern).collect();
    let missing: Vec<&String> = paths.iter().filter(|path| !like(path)).collect();
    assert!(paths.len() == ROUTES.len() && missing.is_empty(), "{} routes, not listed: {missing:?}", paths.len());
}

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "ZQCANARY", "get",
    "post", "Post", "M-SEARCH", "QUERY",
];

fn methods() -> Vec<Case> {
    let refused = |(target, allow): (&'static str, &'static str)| {
        let methods = METHODS.iter().filter(move |method| !allow.split(", ").any(|known| known == **method));
        methods.map(move |method| {
            let draft = Draft::issue().target(target).method(method).body("");
            Case::new(format!("{method} {target}"), &draft, 405, "method-not-allowed")
        })
    };
    let unmatched = |method: &&str| {
        let draft = Draft::get("/v1/zqcanary").method(method);
        Case::new(format!("{method} where nothing is"), &draft, 404, "not-found")
    };
    ROUTES.iter().copied().flat_map(refused).chain(METHODS.iter().map(unmatched)).collect()
}

/// Texts that name no reward. Percent-encoded where a target cannot hold them.
fn ids() -> Vec<Case> {
    let long = "zqcanary".repeat(1280);
    let texts = [
        "zqcanary",
        "1",
        "0",
        "-1",
        "null",
        "undefined",
        "*",
        "%",
        "%zz",
        "%25",
        "%00",
        "rwd_",
        "rwd_zqcanary",
        "rwd_0000000000007000800000000000000",
        "rwd_000000000000700080000000000000000",
        "rwd_00000000-0000-7000-8000-000000000000",
        "RWD_00000000000070008000000000000000",
        "rwd_0000000000007000800000000000000A",
        "rwd_0000000000007000800000000000000g",
        "00000000000070008000000000000000",
        "cli_00000000000070008000000000000000",
        "key_00000000000070008000000000000000",
        " rwd_00000000000070008000000000000000",
        "rwd_00000000000070008000000000000000%20",
        "rwd_00000000000070008000000000000000%00",
        "rwd_00000000000070008000000000000000%0a",
        "rwd_%EF%BC%90000000000007000800000000000000",
        "%D0%B3wd_00000000000070008000000000000000",
        "rwd_00000000000070008000000000000000,rwd_zqcanary",
        "..%2f..%2fetc%2fpasswd",
        "..%5c..%5czqcanary",
        "%2e%2e",
        "%2e%2e%2fping",
        "%252e%252e%252fping",
        "..;",
        "rwd_'%20OR%20'1'='1",
        "1;DROP%20TABLE%20rewards",
        "rwd_%25%27",
        "1%20UNION%20SELECT%20zqcanary",
        "$%7Bzqcanary%7D",
        "%7B%7B7*7%7D%7D",
        "%3Cscript%3Ezqcanary%3C/script%3E",
        "%FF%FE",
        "%C0%AE%C0%AE",
        "%ED%A0%80",
        "%F0%9F%8E%81",
        "ABCD-EFGHJK-LMNP",
        "rwd_ffffffffffffffffffffffffffffffff",
        "rwd_00000000000000000000000000000000",
        &long,
    ]
    .map(str::trim);
    let mut cases = Vec::new();
    for id in texts {
        let path = format!("/v1/rewards/{id}");
        let name = |what: &str| format!("{what} {id:.60}");
        cases.push(Case::new(name("get"), &Draft::get(&path), 404, "not-found"));
        cases.push(Case::new(name("events"), &Draft::get(format!("{path}/events")), 404, "not-found"));
        for action in ["reveal", "cancel"] {
            let draft = Draft::post(format!("{path}/{action}"), r#"{"reason":"zqcanary"}"#);
            cases.push(Case::new(name(action), &draft, 404, "not-found"));
        }
        cases.push(Case::new(name("balance"), &Draft::get(format!("/v1/balances/{id}")), 404, "not-found"));
        for path in [format!("/v1/statements/{id}/2026-01"), format!("/v1/statements/main/{id}")] {
            cases.push(Case::new(name("statement"), &Draft::get(path), 404, "not-found"));
        }
    }
    cases
}

const FILTERS: &[&str] = &[
    "status=zqcanary",
    "status=",
    "status=ISSUED",
    "status=issued,failed",
    "status=issued&status=failed",
    "status=issued%00",
    "kind=zqcanary",
    "kind=",
    "kind=GIFT_CODE",
    "created_from=zqcanary",
    "created_from=",
    "created_from=2026",
    "created_from=2026-01-01",
    "created_from=2026-13-01T00:00:00Z",
    "created_from=2026-02-30T00:00:00Z",
    "created_from=2026-01-01T00:00:00",
    "created_from=2026-01-01T25:00:00Z",
    "created_from=1767225600",
    "created_from=99999-01-01T00:00:00Z",
    "created_from=-0001-01-01T00:00:00Z",
    "created_from=0000-01-01T00:00:00Z",
    "created_from=9999-12-31T23:59:59-23:59",
    "created_to=0000-01-01T00:00:00Z",
    "created_to=0001-01-01T00:00:00%2B23:59",
    "created_from=2026-01-01T00:00:00Z%00",
    "created_to=zqcanary",
    "created_to=infinity",
    "created_to=now",
    "created_to=2026-01-01T00:00:00Z&created_to=2026-01-01T00:00:00Z",
    "zqcanary=1",
    "Limit=1",
    "programme_id=zqcanary",
    "client_id=zqcanary",
    "offset=10",
    "page=2",
    "=1",
    "sort=zqcanary",
    "external_id=%00",
    "external_id=zq%00canary",
    "external_id=a&external_id=zqcanary",
    "account_id=%00",
    "account_id=main%00",
    "account_id=main&account_id=main",
    "metadata[zqcanary]=1",
    "limit;limit",
    "limit=10;cursor=zqcanary",
    "%6cimit=0",
    "%00=1",
    "%ff=1",
];

fn queries() -> Vec<Case> {
    let (cursor, short) = ("0".repeat(32), "0".repeat(31));
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=9223372036854775808",
        "limit=",
        "limit=zqcanary",
        "limit=1.0",
        "limit=1e2",
        "limit=%31%00",
        "limit=0x10",
        "limit= 1",
        "limit=50&limit=50",
        "limit[]=1",
        "limit",
        "cursor=",
        "cursor=zqcanary",
        "cursor=00",
        &format!("cursor={cursor}0"),
        &format!("cursor={cursor}00"),
        &format!("cursor={short}G"),
        &format!("cursor={short}A"),
        &format!("cursor=-{short}"),
        &format!("cursor={cursor}&cursor={cursor}"),
        "cursor=%00",
        "cursor='%20OR%201=1",
    ]
    .into_iter()
    .chain(FILTERS.iter().copied())
    .map(|query| {
        Case::new(query, &Draft::get(format!("/v1/rewards?{}", query.replace(' ', "%20"))), 400, "invalid-request")
    })
    .collect()
}

/// Odd, but no reason to refuse: nothing is found.
const HARMLESS: &[&str] = &[
    "external_id=%FF%FE",
    "external_id='%20OR%20'1'='1",
    "external_id=",
    "external_id=%ED%A0%80",
    "external_id=%F0%9F%8E%81",
    "account_id=zqcanary",
    "account_id=%25",
    "created_from=9999-12-31T23:59:59Z",
    "created_from=2026-06-30T23:59:60Z",
    "cursor=00000000000000000000000000000000",
    "created_from=2027-01-01T00:00:00Z&created_to=2026-01-01T00:00:00Z",
];

/// Every route with a parameter that it does not know: whoever sends one expects that it means something.
fn parameters() -> Vec<Case> {
    let of_route = |(target, methods): &(&str, &str)| {
        let target = format!("{target}?zqcanary=1");
        let get = Case::new(format!("GET {target}"), &Draft::get(&target), 400, "invalid-request");
        let bodies = methods.split(", ").filter(|method| matches!(*method, "POST" | "PATCH"));
        let with_body = bodies.map(|method| {
            let draft = Draft::issue().target(&target).method(method);
            Case::new(format!("{method} {target}"), &draft, 400, "invalid-request")
        });
        with_body.chain(methods.starts_with("GET").then_some(get)).collect::<Vec<_>>()
    };
    ROUTES.iter().flat_map(of_route).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_means_nothing_is_refused_on_every_route() {
    refuse_all(Backend::Sqlite, "parameters", 20, parameters()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_method_is_refused_on_every_route() {
    refuse_all(Backend::Sqlite, "methods", 150, methods()).await;
}

on_each_backend! {
    async fn what_names_no_reward_is_not_found(backend: Backend) {
        refuse_all(backend, "ids", 240, ids()).await;
    }

    async fn a_query_that_is_not_understood_is_refused(backend: Backend) {
        refuse_all(backend, "queries", 65, queries()).await;
    }

    async fn an_odd_query_finds_nothing_and_harms_nothing(backend: Backend) {
        let app = service(backend).await;
        for query in HARMLESS {
            let answer = app.get(&format!("/v1/rewards?{query}")).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"data":[]}"#), "{query}");
        }
        app.end().await;
    }

    /// Another client's reward is answered like one that does not exist: to the byte, but for the request's id.
    async fn a_reward_of_someone_elses_is_not_there(backend: Backend) {
        let app = service(backend).await;
        let sold = app.issue("mine", "10.00").await;
        let (_other, key) = app.mint_key("others", but_for_all_rewards()).await;
        let none = "rwd_00000000000070008000000000000000";
        for tail in ["", "/events", "/reveal", "/cancel", "/check"] {
            let mut answers = Vec::new();
            for id in [sold.id(), none] {
                let draft = Draft::get(format!("/v1/rewards/{id}{tail}")).header("X-Request-Id", "same-for-both");
                let post = |body| move |draft: Draft| draft.method("POST").body(body).header("Content-Type", "application/json");
                let draft = match tail {
                    "/reveal" | "/cancel" => post(r#"{"reason":"a"}"#)(draft),
                    "/check" => post("{}")(draft),
                    _ => draft,
                };
                let bytes = with_key(&draft.bytes(), &key);
                let text = String::from_utf8(exchange(&app, &bytes, false).await).unwrap();
                // What the key has left falls with each request.
                let lasts = |line: &&str| !line.starts_with("date:") && !line.starts_with("ratelimit:");
                let mut lines: Vec<&str> = text.lines().filter(lasts).collect();
                // Headers have no order.
                lines.sort_unstable();
                answers.push(lines.join("\n"));
            }
            assert_eq!(answers[0], answers[1], "{tail}");
            assert!(answers[0].contains("HTTP/1.1 404 "), "{}", answers[0]);
        }
        let draft = Draft::get("/v1/rewards").bytes();
        let listed = Reply::all(&exchange(&app, &with_key(&draft, &key), false).await, false);
        assert_eq!(listed[0].body, r#"{"data":[]}"#);
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (1, 0));
        assert_eq!(app.get(&format!("/v1/rewards/{}", sold.id())).await.json["status"], "issued");
        app.end().await;
    }
}
