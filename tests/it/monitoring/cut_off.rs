//! A replica that has lost its database: its page has no figure of the whole service any more, so that the largest figure of all
//! replicas is one that a replica has just read.

use std::{fs, net::SocketAddr, path::PathBuf};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    files::OWN,
    page::{COMING, METRICS},
};
use crate::{
    process::Served,
    support::{Answer, App, Backend, wait::until},
};

/// Gauges that this process counts, or that the settings say, although all replicas may show the same. Records of the audit are counted
/// once a day and only grow: an older count is never the largest.
const KEPT: [&str; 5] = [
    "noshi_audit_records",
    "noshi_credential_age_max_seconds",
    "noshi_database_snapshot_timestamp_seconds",
    "noshi_rewards_parked",
    "noshi_slots_heartbeat_timestamp_seconds",
];

/// A wire to PostgreSQL that can be cut, and mended.
struct Wire {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (whole, seen)) = (listener.local_addr().unwrap(), watch::channel(true));
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        drop(tokio::spawn(async move {
            while let Ok((client, _from)) = listener.accept().await {
                drop(tokio::spawn(relay(client, server, seen.clone())));
            }
        }));
        Self { address, whole }
    }
}

/// Returns, and so closes both ends, when either has closed or the wire is cut.
async fn relay(mut client: TcpStream, server: SocketAddr, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ended = copy_bidirectional(&mut client, &mut server) => {}
        _cut = whole.wait_for(|whole| !whole) => {}
    }
}

/// The gauges of the whole service that are on a page.
fn of_the_whole(page: &str) -> Vec<&'static str> {
    let shared = METRICS
        .iter()
        .chain(COMING)
        .filter(|(name, kind, _labels)| *kind == "gauge" && !OWN.contains(name) && !KEPT.contains(name));
    let is_there = |name: &&str| page.lines().any(|line| line.starts_with(&format!("{name}{{")));
    shared.map(|(name, _kind, _labels)| *name).filter(is_there).collect()
}

fn number(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

const ISSUED: &str = "noshi_ledger_issued{account=\"main\",currency=\"USD\",window=\"month\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_read_before_it_lost_its_database_is_not_shown_as_what_is() {
    let mut app = App::spawn(Backend::Postgres).await;
    let (before, rest) = app.database.url().split_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let wire = Wire::to(server.parse().unwrap()).await;
    let url = format!("{before}@{}/{name}", wire.address);
    app.restart_with("NOSHI__STORE__URL", &url).await;
    let mut environment = app.environment().to_vec();
    environment.retain(|(name, _value)| name != "NOSHI__STORE__URL");
    environment.push(("NOSHI__STORE__URL".to_owned(), app.database.url().to_owned()));
    let other = Served::start(&environment);
    assert_eq!(app.issue("one", "15.00").await.status, 201);
    until("both show the reward and the balance", async || {
        let pages = [app.metrics().await, page_of(&app, &other).await];
        pages.iter().all(|page| number(page, ISSUED) == Some(15.0) && page.contains("\nnoshi_available_funds{"))
    })
    .await;
    wire.whole.send_replace(false);
    let sold = app.try_issue_at(&other.base, "two", "10.00").await.unwrap();
    assert_eq!(sold.status, 201, "{}", sold.text);
    let shown = of_the_whole(&app.metrics().await);
    assert!(shown.len() > 10, "a lost question leaves a gap: {shown:?}");
    app.advance(61);
    let page = app.metrics().await;
    assert_eq!(of_the_whole(&page), [""; 0], "what was read before is shown as what is");
    assert!(page.contains("\nnoshi_recovery_heartbeat_timestamp_seconds "), "what the process measures itself stays");
    let whole = page_of(&app, &other).await;
    assert_eq!(number(&whole, ISSUED), Some(25.0), "the other speaks for all");
    assert!(shown.iter().all(|name| of_the_whole(&whole).contains(name)));
    wire.whole.send_replace(true);
    until("all of it is there again", async || {
        let page = app.metrics().await;
        number(&page, ISSUED) == Some(25.0) && shown.iter().all(|name| of_the_whole(&page).contains(name))
    })
    .await;
    assert!(other.terminate().success());
    app.end().await;
}

async fn page_of(app: &App, served: &Served) -> String {
    Answer::of(app.http.get(format!("{}/metrics", served.admin))).await.text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_file_and_one_process_a_lost_question_leaves_no_gap_and_a_lost_minute_does() {
    let mut app = App::spawn(Backend::Sqlite).await;
    until("the balance is shown", async || app.metrics().await.contains("\nnoshi_available_funds{")).await;
    let file = PathBuf::from(app.database.url().trim_start_matches("sqlite://"));
    let aside = file.with_extension("aside");
    let shown = of_the_whole(&app.metrics().await);
    fs::rename(&file, &aside).unwrap();
    assert_eq!(of_the_whole(&app.metrics().await), shown, "for a minute they are as they were");
    app.advance(61);
    assert_eq!(of_the_whole(&app.metrics().await), [""; 0]);
    fs::rename(&aside, &file).unwrap();
    assert_eq!(of_the_whole(&app.metrics().await), shown);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_takes_its_own_gauges_from_the_page_and_no_others() {
    let mut app = App::spawn(Backend::Sqlite).await;
    until("the balance is shown", async || app.metrics().await.contains("\nnoshi_available_funds{")).await;
    let mut others = of_the_whole(&app.metrics().await);
    others.retain(|name| *name != "noshi_api_keys_ending");
    // The column takes it: it has the form of an instant.
    let day = (app.ambient.now() + chrono::TimeDelta::days(5)).date_naive();
    let odd = format!("UPDATE api_keys SET expires_at = '{day}T99:99:99.000000+00:00'");
    assert_eq!(app.database.execute(&odd).await.unwrap(), 1);
    app.advance(61);
    let fresh = |page: &str| number(page, "noshi_database_snapshot_timestamp_seconds");
    let before = fresh(&app.metrics().await);
    let page = app.metrics().await;
    assert_eq!(of_the_whole(&page), others);
    assert_eq!(fresh(&page), before, "not all is fresh, and the alert on that hears of it");
    app.end().await;
}
