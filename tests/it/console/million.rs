//! How long each page takes with a million rewards behind it, of whatever program `NOSHI_TEST_PROGRAM` names:
//! `tests/run --run-ignored=only how_long_each_page`.

use std::time::Duration;

use chrono::TimeDelta;
use noshi::{ambient::Ambient, identity::Scopes};

use super::{
    PAGES,
    desk::{self, Desk},
};
use crate::{
    process::Served,
    schema::growth::grow,
    support::{Answer, App, Backend, Database, Shape, rounds, wait::until},
};

/// How often each page is asked for.
const TIMES: usize = 40;
const MANY: usize = 1_000_000;

/// The first link of a page that begins like this.
fn first_link(page: &str, begin: &str) -> String {
    let rest = page.split("href=\"").find(|rest| rest.starts_with(begin)).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Of the account: its funds hour by hour for ninety days, and what each hour of a year cost.
async fn grow_history(database: &Database) {
    let (now, zone) = (Ambient::system().now(), "+00:00");
    let hour = now.timestamp() / 3600;
    let observed = |ago: i64| {
        let at = (now - TimeDelta::hours(ago)).format("%Y-%m-%dT%H:%M:%S");
        format!("('main', {}, '{at}{zone}', 'USD', {})", hour - ago, 5_000_000 - ago * 700)
    };
    let spent = |ago: i64| format!("('main', 'USD', {}, {}, 100, 3)", hour - ago, 1_500 + ago % 24 * 100);
    let rows = |row: &dyn Fn(i64) -> String, hours: i64| (1..hours).map(row).collect::<Vec<_>>().join(", ");
    let texts = [
        format!(
            "INSERT INTO balance_observations (account, hour, as_of, currency, available_minor) VALUES {}",
            rows(&observed, 90 * 24)
        ),
        format!(
            "INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) VALUES {}",
            rows(&spent, 365 * 24)
        ),
    ];
    for text in texts {
        database.execute(&text).await.unwrap();
    }
}

async fn look(backend: Backend) {
    let database = Database::migrated(backend).await;
    let rewards = rounds::count_of("NOSHI_TEST_MANY_REWARDS", MANY);
    grow(&database, i64::try_from(rewards).unwrap()).await;
    grow_history(&database).await;
    let shape = Shape::default().with("NOSHI__SERVER__CONSOLE", "true");
    let shape = shape
        .with("NOSHI__SERVER__KEY_READS_PER_MINUTE", 1_000_000)
        .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let mut app = App::not_started(database, shape).await;
    app.key = app.mint_key("operator", Scopes::new(noshi::server::scopes())).await.1;
    let served = Served::start(app.environment());
    let ready = async || Answer::try_of(app.http.get(format!("{}/readyz", served.admin))).await;
    until("it is ready", async || ready().await.is_some_and(|answer| answer.status == 200)).await;
    app.admin.clone_from(&served.admin);
    let desk = Desk::log_in(&app, &app.key).await;
    let list = desk.get("/console/rewards").await.text;
    let reward = first_link(&list, "/console/rewards/rwd_");
    let id = reward.rsplit('/').next().unwrap().to_owned();
    let paths = PAGES.iter().map(|(path, _scope)| desk::filled(&app, path, &id));
    let by_order = ["/console/rewards?q=order_1000".to_owned(), first_link(&list, "/console/rewards?behind=")];
    let (clock, mut all) = (Ambient::system(), Vec::new());
    for path in paths.chain(by_order) {
        let mut took = Vec::new();
        for _time in 0..TIMES {
            let began = clock.monotonic();
            let page = desk.get(&path).await;
            took.push(began.elapsed());
            assert!(matches!(page.status, 200 | 303), "{path}: {}", page.text);
        }
        took.sort();
        rounds::print(&format!(
            "console, {backend:?}, {rewards} rewards, {path}: p50 {:?}, p95 {:?}",
            took[TIMES / 2],
            took[TIMES * 95 / 100]
        ));
        all.extend(took);
    }
    all.sort();
    let p95: Duration = all[all.len() * 95 / 100];
    rounds::print(&format!(
        "console, {backend:?}, {rewards} rewards, all pages: p95 {p95:?}, most {:?}",
        all[all.len() - 1]
    ));
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn how_long_each_page_takes_before_a_million_rewards_on_sqlite() {
    look(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a million rewards take minutes; the times are the machine's"]
async fn how_long_each_page_takes_before_a_million_rewards_on_postgres() {
    look(Backend::Postgres).await;
}
