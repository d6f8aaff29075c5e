//! Never leaked by the console (SEC-41): somebody at a desk opens every page, searches, reveals and cancels, and types codes and keys where
//! they do not belong. Afterwards they are searched for as `canary` does, on the pages as well.

use std::collections::BTreeSet;

use noshi::{identity::Scopes, sandbox::Card};

use super::{
    PAGES,
    desk::{Desk, as_form, filled, try_log_in},
    issue,
    operations::{deaf_endpoint, reconciled, until_tried, waiting_campaign},
};
use crate::{
    canary::{Places, capture::log, files, rows, scan::Scanner, search},
    support::{ACCESS_KEY_ID, Answer, App, Backend, SECRET_ACCESS_KEY, on_each_backend},
    traces::receiver::Receiver,
    webhooks,
};

/// Orders, of which each has a code.
const ORDERS: usize = 12;
/// Pages of one thing or of nobody, besides [`PAGES`]. `{batch}`, `{run}` and so on are filled in.
const MORE: [&str; 6] = [
    "/console/login",
    "/console/nowhere",
    "/console/batches/{batch}",
    "/console/reconciliations/{run}",
    "/console/months/main/{month}.journal",
    "/console/months/main/{month}.beancount",
];
/// Where somebody may type a code into an address.
const ADDRESSES: [&str; 16] = [
    "/console/rewards?q=CODE",
    "/console/rewards?q=for%20CODE.",
    "/console/rewards?behind=CODE",
    "/console/rewards?CODE=1",
    "/console/rewards/CODE",
    "/console/balances/CODE",
    "/console/balances?x=CODE",
    "/console/months/CODE/2026-10",
    "/console/months/main/CODE",
    "/console/months/main/CODE.csv",
    "/console/batches/CODE",
    "/console/batches?behind=CODE",
    "/console/reconciliations/CODE",
    "/console/keys?done=CODE",
    "/console/login?CODE",
    "/console/CODE",
];

/// What was typed and answered.
#[derive(Default)]
struct DeskRun {
    /// Secrets, and codes that somebody typed: to be found nowhere.
    secrets: Vec<String>,
    /// What the forms of a session show: to be found on pages alone.
    proofs: Vec<String>,
    /// Orders' numbers: to be found in columns and on pages, and in nothing that is kept for operators.
    orders: Vec<String>,
    /// Every answer, but for what it hands over.
    pages: Vec<u8>,
    /// The path of each request.
    asked: BTreeSet<String>,
    handed_over: usize,
}

impl DeskRun {
    /// Keeps an answer that may hold no secret.
    fn keep(&mut self, path: &str, answer: &Answer) {
        self.asked.insert(path.split('?').next().unwrap().to_owned());
        self.pages.extend_from_slice(format!("{path}\n{:?}\n{}\n", answer.headers, answer.text).as_bytes());
    }

    /// Keeps an answer that hands a secret over, once, and nothing of it but that.
    fn keep_less(&mut self, path: &str, answer: &Answer, secret: &str) {
        let whole = format!("{:?}\n{}\n", answer.headers, answer.text);
        assert_eq!(whole.matches(secret).count(), 1, "{path}: {whole}");
        self.asked.insert(path.to_owned());
        self.pages.extend_from_slice(whole.replacen(secret, "", 1).as_bytes());
        self.handed_over += 1;
    }

    /// A code that no book has. Each has its own, so that a leak names its way.
    fn planted(&mut self) -> String {
        let code = format!("PL{at:02}-CANARY-ZQ{at:02}", at = self.secrets.len() % 100);
        self.secrets.push(code.clone());
        code
    }

    /// A key, and the cookie of a session of it.
    async fn log_in(&mut self, app: &App, key: &str) -> Desk {
        self.secrets.push(key.rsplit_once('_').unwrap().1.to_owned());
        let entered = try_log_in(app, key).await;
        let cookie = entered.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
        self.keep_less("/console/login", &entered, &cookie);
        let desk = Desk::log_in(app, key).await;
        self.secrets.extend([cookie, desk.cookie.split_once('=').unwrap().1.to_owned()]);
        self.proofs.push(desk.proof.clone());
        desk
    }

    async fn open(&mut self, desk: &Desk, path: &str) -> Answer {
        let page = desk.get(path).await;
        self.keep(path, &page);
        page
    }

    async fn send(&mut self, desk: &Desk, path: &str, fields: &[(&str, &str)]) -> Answer {
        let page = desk.send(path, fields).await;
        self.keep(path, &page);
        page
    }
}

/// Finds each order by each of its numbers, has its code shown, and cancels every other one.
async fn serve_orders(run: &mut DeskRun, app: &App, desk: &Desk) {
    for at in 0..ORDERS {
        let order = format!("canary-of-order-{at}");
        let issued = issue(app, &order).await;
        let path = format!("/console/rewards/{}", issued.id());
        let amazon = issued.json["creation_request_id"].as_str().unwrap();
        for number in [order.as_str(), issued.id(), amazon] {
            let found = run.open(desk, &format!("/console/rewards?q={number}")).await;
            assert_eq!((found.status, found.header("location")), (303, path.as_str()), "{number}");
        }
        run.orders.push(order);
        let revealed = format!("{path}/reveal");
        let shown = desk.send(&revealed, &[("reason", "lost")]).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        run.keep_less(&revealed, &shown, issued.code());
        if at % 2 == 0 {
            let canceled = run.send(desk, &format!("{path}/cancel"), &[("reason", "returned")]).await;
            assert_eq!(canceled.status, 303, "{}", canceled.text);
        }
        let page = run.open(desk, &path).await;
        assert!(page.status == 200 && page.text.contains("lost"), "{}", page.text);
    }
}

/// Opens every page, as whoever may see all, in both languages.
async fn open_every_page(run: &mut DeskRun, app: &App, desk: &Desk, things: &[(&str, &str)]) {
    let id = app.get("/v1/rewards?limit=1").await.json["data"][0]["id"].as_str().unwrap().to_owned();
    for language in ["en", "ja"] {
        for template in PAGES.iter().map(|(path, _scope)| *path).chain(MORE) {
            let mut path = filled(app, template, &id);
            for (name, thing) in things {
                path = path.replace(name, thing);
            }
            let cookies = format!("{}; noshi_console_language={language}", desk.cookie);
            let request = desk.http.get(format!("{}{path}", desk.admin)).header("Cookie", cookies);
            let page = Answer::of(request).await;
            assert_eq!(page.status, if template.ends_with("nowhere") { 404 } else { 200 }, "{path}: {}", page.text);
            run.keep(&path, &page);
        }
    }
}

/// Sends the forms of the other pages.
async fn send_every_form(run: &mut DeskRun, app: &App, desk: &Desk, batch: &str, endpoint: &str) {
    for wish in ["pause", "resume", "cancel"] {
        assert_eq!(run.send(desk, &format!("/console/batches/{batch}"), &[("wish", wish)]).await.status, 303);
    }
    let deliveries = app.get(&format!("/v1/webhook-endpoints/{endpoint}/deliveries")).await;
    let delivery = deliveries.json["data"][0]["id"].as_str().unwrap();
    run.send(desk, &format!("/console/webhooks/{endpoint}/deliveries/{delivery}/redeliver"), &[]).await;
    let back = [("language", "ja"), ("back", "/console/rewards")];
    assert_eq!(run.send(desk, "/console/language", &back).await.status, 303);
    assert_eq!(run.send(desk, "/console/logout", &[]).await.status, 303);
}

/// Codes and keys where they do not belong: in addresses, fields, cookies, and at the log-in.
async fn mistype(run: &mut DeskRun, app: &App, desk: &Desk, key: &str) {
    for address in ADDRESSES {
        let path = address.replace("CODE", &run.planted());
        let answer = desk.get(&path).await;
        assert!(answer.status < 500, "{address}: {}", answer.text);
        // The path itself holds it.
        run.keep(address, &answer);
    }
    let id = app.get("/v1/rewards?limit=1&status=issued").await.json["data"][0]["id"].as_str().unwrap().to_owned();
    let (cancel, reveal) = (format!("/console/rewards/{id}/cancel"), format!("/console/rewards/{id}/reveal"));
    for path in [&cancel, &reveal, "/console/batches/bat_none", "/console/language", "/console/logout"] {
        for field in ["reason", "wish", "language", "back", "CODE"] {
            let code = run.planted();
            let value = if field == "back" { format!("/console/rewards?q={code}") } else { code.clone() };
            let fields = [(if field == "CODE" { code.as_str() } else { field }, value.as_str()), ("proof", "CODE")];
            let request = as_form(desk.request("POST", path).header("Origin", &desk.admin), &fields);
            let answer = Answer::of(request).await;
            assert!(answer.status < 500, "{path} with {field}: {}", answer.text);
            run.keep(path, &answer);
        }
    }
    for path in [&cancel, &reveal] {
        let code = run.planted();
        let refused = run.send(desk, path, &[("reason", &code)]).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
    let (id, secret) = key.rsplit_once('_').unwrap();
    let first = if secret.starts_with('z') { "y" } else { "z" };
    let wrong = format!("{first}{}", secret.chars().skip(1).collect::<String>());
    run.secrets.push(wrong.clone());
    for key in
        [run.planted(), format!("{id}_{wrong}"), format!("nsk_{}_{wrong}", "0".repeat(32)), format!("{key}{key}")]
    {
        let refused = try_log_in(app, &key).await;
        assert_eq!(refused.status, 401, "{}", refused.text);
        run.keep("/console/login", &refused);
    }
    for name in ["Cookie", "Accept-Language", "Referer", "X-Forwarded-Proto", "Sec-Fetch-Site"] {
        let cookie = format!("noshi_console={}", run.planted());
        let value = if name == "Cookie" { cookie } else { run.planted() };
        let answer = Answer::of(desk.http.get(format!("{}/console", desk.admin)).header(name, value)).await;
        run.keep("/console", &answer);
    }
}

/// Fails when a page or a form of the console's routes was left out.
fn every_route_was_asked(run: &DeskRun) {
    let source = include_str!("../../../src/console.rs");
    let routes: Vec<_> =
        source.split("page_at(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')).collect();
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        let route = format!("/console{}", route.split('"').next().unwrap());
        let is_of = |path: &&String| {
            let parts = || route.split('/').zip(path.split('/'));
            let fits = |(part, is): (&str, &str)| {
                part == is || part.starts_with('{') && is.contains(part.rsplit('}').next().unwrap())
            };
            route.split('/').count() == path.split('/').count() && parts().all(fits)
        };
        assert!(run.asked.iter().any(|path| is_of(&path)), "nobody asked for {route}");
    }
}

/// Looks for all of it: what is secret everywhere, a form's proof but on pages, an order's number in what operators keep.
fn leaks(run: &DeskRun, cards: &[Card], places: &Places) -> Vec<String> {
    let codes = cards.iter().flat_map(|card| [card.claim_code.clone(), card.gc_id.clone()]);
    let secrets: Vec<String> = run.secrets.iter().cloned().chain(codes).collect();
    let mut found = search(&Scanner::new(&secrets), places);
    let without = |out: &[&str]| -> Places {
        let is_in = |place: &str| !out.iter().any(|begin| place.starts_with(begin));
        places.iter().filter(|(place, _)| is_in(place)).map(|(place, bytes)| (place.clone(), bytes.clone())).collect()
    };
    found.extend(search(&Scanner::new(&run.proofs), &without(&["the pages"])));
    found.extend(search(&Scanner::new(&run.orders), &without(&["the pages", "column", "file"])));
    found
}

/// Where the service keeps or shows something, and the pages.
async fn everywhere(app: &App, run: &DeskRun, collector: &Receiver) -> Places {
    let mut places = rows(&app.database).await;
    if app.database.backend == Backend::Sqlite {
        places.extend(files(app.database.folder.path()));
    }
    places.insert("the log".to_owned(), log().taken());
    places.insert("the collector's spans".to_owned(), collector.bytes());
    places.insert("the pages".to_owned(), run.pages.clone());
    places
}

on_each_backend! {
    async fn no_code_key_or_cookie_leaks_by_the_console(backend: Backend) {
        log().start();
        let (collector, folder) = (Receiver::start().await, tempfile::tempdir().unwrap());
        let shape = webhooks::shape(&folder).with("NOSHI__SERVER__CONSOLE", "true");
        let mut app = App::shaped(backend, shape.with("NOSHI__TRACES__ENDPOINT", collector.endpoint())).await;
        app.key = app.mint_key("tests", Scopes::new(noshi::server::scopes())).await.1;
        let mut run = DeskRun::default();
        run.secrets.extend([ACCESS_KEY_ID, SECRET_ACCESS_KEY].map(str::to_owned));
        let (endpoint, _address) = deaf_endpoint(&app).await;
        let desk = run.log_in(&app, &app.key.clone()).await;
        serve_orders(&mut run, &app, &desk).await;
        until_tried(&app, &endpoint).await;
        let reconciliation = reconciled(&app, 1).await;
        let batch = waiting_campaign(&mut app).await;
        open_every_page(&mut run, &app, &desk, &[("{batch}", &batch), ("{run}", &reconciliation)]).await;
        mistype(&mut run, &app, &desk, &app.key.clone()).await;
        send_every_form(&mut run, &app, &desk, &batch, &endpoint).await;
        every_route_was_asked(&run);

        let cards = app.control.book();
        assert!(cards.len() >= ORDERS && run.handed_over == ORDERS + 1, "{} cards", cards.len());
        let mut places = everywhere(&app, &run, &collector).await;
        places.insert("the metrics page".to_owned(), app.metrics().await.into_bytes());
        assert_eq!(leaks(&run, &cards, &places), [""; 0]);
        assert!(app.stop().await);
        let places = everywhere(&app, &run, &collector).await;
        assert!(collector.spans().iter().any(|span| span.name == "POST /console/rewards/{id}/reveal"), "no span of it came");
        assert_eq!(leaks(&run, &cards, &places), [""; 0]);
        // The search finds what is there: on the pages, and in the columns that are an order's.
        let all = |what: &[String], place: &str| !Scanner::new(what).find(&places[place]).is_empty();
        assert!(all(&run.proofs, "the pages") && all(&run.orders, "the pages") && all(&run.orders, "column rewards.external_id"));
        app.end().await;
    }
}
