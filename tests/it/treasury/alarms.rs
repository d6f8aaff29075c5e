//! Low balances, short runways, and the observation that comes sooner because much was spent.

use serde_json::json;

use super::{events, metric, observe};
use crate::support::{App, Backend, PARTNER, Shape, on_each_backend, wait::until};

fn set(app: &App, amount: i64) {
    app.control.set_funds(PARTNER, amount.into()).unwrap();
}

/// Two weeks in which so much was spent in every hour, past all our code, and a mark that has counted them.
async fn spent(app: &App, cents: i64) {
    let hour = app.ambient.now().timestamp().div_euclid(3600);
    let rows: Vec<String> = (hour - 336..hour).map(|hour| format!("('main', 'USD', {hour}, {cents}, 0, 1)")).collect();
    let columns = "(account, currency, hour, issued_minor, canceled_minor, rewards)";
    let text = format!("INSERT INTO hourly_spending {columns} VALUES {}", rows.join(", "));
    assert_eq!(app.database.execute(&text).await.unwrap(), 336);
}

on_each_backend! {
    async fn a_low_balance_is_told_once_until_it_has_recovered(backend: Backend) {
        let shape = Shape { funds: 1000, ..Shape::default() }.with("NOSHI__ACCOUNTS__MAIN__LOW_BALANCE", "100.00");
        let mut app = App::shaped(backend, shape).await;
        observe(&mut app).await;
        let mut told = 0;
        for (amount, more) in [(100, 0), (99, 1), (50, 0), (500, 0), (20, 1)] {
            set(&app, amount);
            observe(&mut app).await;
            told += more;
            assert_eq!(events(&app, "balance.low").await.len(), told, "at {amount}");
        }
        let first = &events(&app, "balance.low").await[0];
        assert_eq!((&first["subject"], &first["data"]["available"], &first["data"]["threshold"]), (&json!("main"), &json!("99.00"), &json!("100.00")));
        assert_eq!(metric(&app, "noshi_funds_low_threshold{account=\"main\",currency=\"USD\"}").await, Some(100.0));
        app.end().await;
    }

    async fn a_runway_shorter_than_the_banks_way_is_told_once(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 5000, ..Shape::default() }).await;
        let unknown = observe(&mut app).await;
        assert_eq!((&unknown["runway_seconds"], &unknown["runway_pessimistic_seconds"]), (&json!(null), &json!(null)));
        let gauge = |outlook: &str| format!("noshi_funds_runway_seconds{{account=\"main\",currency=\"USD\",outlook=\"{outlook}\"}}");
        assert_eq!(metric(&app, &gauge("pessimistic")).await, None, "no figure before there is one");
        app.advance(700);
        observe(&mut app).await;
        spent(&app, 1000).await;
        let said = observe(&mut app).await;
        assert_eq!(events(&app, "balance.runway_short").await.len(), 0, "{said}");
        let (median, worst) = (said["runway_seconds"].as_i64().unwrap(), said["runway_pessimistic_seconds"].as_i64().unwrap());
        // 500 hours of ten dollars; the pattern has hours that the mark has not reached.
        assert!((495 * 3600..=505 * 3600).contains(&median), "{median}");
        assert!((330 * 3600..=337 * 3600).contains(&worst), "{worst}");
        assert_eq!(metric(&app, &gauge("median")).await.map(|said| said.round().to_string()), Some(median.to_string()));
        for (amount, told) in [(300, 1), (200, 1), (5000, 1), (100, 2)] {
            set(&app, amount);
            observe(&mut app).await;
            assert_eq!(events(&app, "balance.runway_short").await.len(), told, "at {amount}");
        }
        let data = &events(&app, "balance.runway_short").await[0]["data"];
        assert!(data["runway_pessimistic_seconds"].as_i64() < data["funding_lead_seconds"].as_i64(), "{data}");
        set(&app, 4_000_000);
        let said = observe(&mut app).await;
        assert_eq!((&said["runway_seconds"], metric(&app, &gauge("median")).await), (&json!(null), None), "farther than 400 days");
        app.end().await;
    }

    async fn much_spending_brings_the_next_observation_forward(backend: Backend) {
        let app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        let available = async || app.get("/v1/balances/main").await.json["available"]["amount"].clone();
        until("the balance is known", async || !available().await.is_null()).await;
        app.issue("little", "1.00").await;
        for at in 0..10 {
            app.issue(&format!("much-{at}"), "20.00").await;
        }
        // Long before the usual minute.
        until("799.00 are left", async || available().await == "799.00").await;
        app.end().await;
    }

    async fn a_refresh_that_amazon_does_not_answer_says_so_until_one_is_answered(backend: Backend) {
        let mut app = App::spawn(backend).await;
        observe(&mut app).await;
        let refresh = async |app: &App| app.post("/v1/balances/main/refresh", json!({})).await.json["stale"].clone();
        app.advance(3);
        app.control.set_key_active(crate::support::ACCESS_KEY_ID, false).unwrap();
        assert_eq!([refresh(&app).await, refresh(&app).await], [true, true], "the second one asks nobody");
        app.control.set_key_active(crate::support::ACCESS_KEY_ID, true).unwrap();
        app.advance(3);
        assert_eq!([refresh(&app).await, refresh(&app).await], [false, false]);
        app.end().await;
    }

    async fn the_balance_is_asked_for_once_whoever_wants_it(backend: Backend) {
        let mut app = App::spawn(backend).await;
        observe(&mut app).await;
        let asked = app.received("GetAvailableFunds").len();
        let all = futures_util::future::join_all((0..20).map(|_| app.post("/v1/balances/main/refresh", json!({})))).await;
        for answer in all {
            assert_eq!((answer.status, &answer.json["stale"]), (200, &json!(false)));
        }
        assert_eq!(app.received("GetAvailableFunds").len(), asked, "within two seconds of the last");
        app.advance(2);
        futures_util::future::join_all((0..20).map(|_| app.post("/v1/balances/main/refresh", json!({})))).await;
        assert_eq!(app.received("GetAvailableFunds").len(), asked + 1);
        app.post("/v1/balances/nobody/refresh", json!({})).await.is_problem(404, "not-found");
        app.end().await;
    }
}
