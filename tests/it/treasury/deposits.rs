//! The opening, deposits and what is missing, at rest and under load.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use rust_decimal::Decimal;
use serde_json::json;

use super::{CONFIRM_SECONDS, events, ledger_is_amazons, metric, observe, settle, sum};
use crate::{
    process::Served,
    support::{Answer, App, Backend, PARTNER, Shape, look::Look, on_each_backend, order, wait, with_json},
};

fn pay_in(app: &App, amount: i64) {
    let funds = app.control.funds(PARTNER).unwrap();
    app.control.set_funds(PARTNER, funds + Decimal::from(amount)).unwrap();
}

on_each_backend! {
    async fn the_opening_and_each_deposit_are_in_the_ledger_once(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        assert_eq!(app.issue("one", "25.00").await.status, 201);
        // The service's own first look may lie between the purchase and its outcome: then a part of the opening is booked later.
        settle(&mut app).await;
        settle(&mut app).await;
        assert_eq!((sum(&app, "opening").await, sum(&app, "deposit").await), (100_000, 0));
        ledger_is_amazons(&app).await;
        assert!(events(&app, "funds.deposit_detected").await.is_empty());

        pay_in(&app, 500);
        let two = app.issue("two", "75.00").await;
        observe(&mut app).await;
        assert_eq!(sum(&app, "deposit").await, 0, "one answer proves nothing");
        let said = settle(&mut app).await;
        assert_eq!(said["available"], json!({"amount": "1400.00", "currency_code": "USD"}));
        ledger_is_amazons(&app).await;
        assert_eq!(app.cancel(two.id()).await.status, 200);
        settle(&mut app).await;
        settle(&mut app).await;
        assert_eq!((sum(&app, "opening").await, sum(&app, "deposit").await), (100_000, 50_000), "once, and no cancel is a deposit");
        ledger_is_amazons(&app).await;
        let found = events(&app, "funds.deposit_detected").await;
        assert_eq!((found.len(), &found[0]["subject"], &found[0]["data"]["amount"]), (1, &json!("main"), &json!("500.00")));
        app.end().await;
    }

    async fn what_is_missing_is_told_and_never_booked(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        observe(&mut app).await;
        let gauge = "noshi_balance_unexplained{account=\"main\",currency=\"USD\"}";
        assert_eq!(metric(&app, gauge).await, Some(0.0));
        pay_in(&app, -100);
        observe(&mut app).await;
        assert!(events(&app, "balance.unexplained").await.is_empty(), "one answer proves nothing");
        settle(&mut app).await;
        settle(&mut app).await;
        let told = events(&app, "balance.unexplained").await;
        assert_eq!((told.len(), &told[0]["data"]["amount"]), (1, &json!("-100.00")), "once");
        assert_eq!(metric(&app, gauge).await, Some(-100.0));
        pay_in(&app, 300);
        settle(&mut app).await;
        assert_eq!(sum(&app, "deposit").await, 30_000, "the whole deposit, not what is left of it");
        assert_eq!(metric(&app, gauge).await, Some(-100.0));
        let adjust = ["ledger", "adjust", "--account", "main", "--amount", "-100.00", "--reason", "spent elsewhere", "--by", "finance"];
        let done = crate::process::noshi().args(adjust).envs(app.environment().iter().cloned()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        observe(&mut app).await;
        assert_eq!(metric(&app, gauge).await, Some(0.0));
        assert_eq!((sum(&app, "deposit").await, events(&app, "balance.unexplained").await.len()), (30_000, 1));
        ledger_is_amazons(&app).await;
        app.end().await;
    }

    /// The sums up to the mark and what came later are the same as everything added up, also when what was counted is not
    /// there to be added up again.
    async fn what_is_counted_once_is_not_counted_again(backend: Backend) {
        let mut app = App::spawn(backend).await;
        // Before anything is on its way, so that it is one entry.
        observe(&mut app).await;
        for at in 0..6 {
            app.issue(&format!("k{at}"), "10.00").await;
            app.advance(400);
            observe(&mut app).await;
        }
        for _ in 0..2 {
            app.advance(700);
            observe(&mut app).await;
        }
        let counted = "SELECT CAST(SUM(issued_minor) AS BIGINT) FROM hourly_spending";
        assert_eq!(app.database.number(counted).await, 6000);
        assert_eq!(app.database.number("SELECT CAST(SUM(rewards) AS BIGINT) FROM hourly_spending").await, 6);
        assert_eq!(app.database.number("SELECT CAST(SUM(entries) AS BIGINT) FROM ledger_totals").await, 13);
        assert_eq!(sum(&app, "deposit").await, 0);
        let mut look = Look::at(&app.database).await;
        let guards: &[&str] = match backend {
            Backend::Sqlite => &["DROP TRIGGER ledger_entries_no_update", "DROP TRIGGER ledger_entries_no_delete"],
            Backend::Postgres => &["DROP TRIGGER ledger_entries_no_change ON ledger_entries"],
        };
        for text in guards.iter().chain(&["UPDATE ledger_entries SET amount_minor = amount_minor + 7"]) {
            look.run(text).await.unwrap();
        }
        drop(look);
        app.issue("last", "10.00").await;
        settle(&mut app).await;
        assert_eq!((sum(&app, "deposit").await, events(&app, "balance.unexplained").await.len()), (0, 0));
        app.end().await;
    }

    async fn a_deposit_that_two_questions_see_at_once_is_booked_once(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        observe(&mut app).await;
        pay_in(&app, 500);
        observe(&mut app).await;
        app.advance(CONFIRM_SECONDS + 3);
        for milliseconds in [1200, 2400] {
            let late = FaultRule::once(Fault::Delay { milliseconds });
            app.control.script(FaultRule { operation: Some(Operation::GetAvailableFunds), ..late }).unwrap();
        }
        let asked = app.received("GetAvailableFunds").len();
        let refresh = || app.post("/v1/balances/main/refresh", json!({}));
        let second = async {
            app.until_received("GetAvailableFunds", asked + 1).await;
            app.ambient.advance(chrono::TimeDelta::seconds(3));
            refresh().await
        };
        tokio::join!(refresh(), second);
        assert_eq!(app.received("GetAvailableFunds").len(), asked + 2, "both were on their way at once");
        assert_eq!((sum(&app, "deposit").await, events(&app, "funds.deposit_detected").await.len()), (50_000, 1));
        observe(&mut app).await;
        ledger_is_amazons(&app).await;
        app.end().await;
    }

    /// Amazon answers from a copy that does not have the last purchase yet, and a cancel neither.
    async fn an_answer_that_lags_behind_a_purchase_or_a_cancel_books_and_tells_nothing(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        settle(&mut app).await;
        let bought = app.issue("bought", "80.00").await;
        for (lags_by, act) in [(80, None), (-80, Some(bought.id()))] {
            if let Some(id) = act {
                assert_eq!(app.cancel(id).await.json["status"], "canceled");
            }
            pay_in(&app, lags_by);
            observe(&mut app).await;
            pay_in(&app, -lags_by);
            settle(&mut app).await;
            settle(&mut app).await;
            assert_eq!((sum(&app, "deposit").await, sum(&app, "opening").await), (0, 100_000), "{lags_by}");
            assert!(events(&app, "balance.unexplained").await.is_empty(), "{lags_by}");
        }
        ledger_is_amazons(&app).await;
        app.end().await;
    }

    /// Amazon dates its balance by itself. What it dates ten minutes back proves nothing of since. What the date means is not
    /// known, so the balance that was asked for just now is not stale by it.
    async fn amazons_own_time_of_a_balance_is_shown_and_bounds_deposits_alone(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 1000, ..Shape::default() }).await;
        let fresh = observe(&mut app).await;
        let shown = |said: &serde_json::Value, name: &str| -> chrono::DateTime<chrono::Utc> {
            said[name].as_str().unwrap_or_else(|| panic!("no {name}: {said}")).parse().unwrap()
        };
        assert!((shown(&fresh, "as_of") - shown(&fresh, "reported_at")).num_seconds() <= 2, "{fresh}");
        assert_eq!(fresh["stale"], false);
        // The clock by which the sandbox dates what it says. Its answers themselves are dated now.
        app.control.advance_clock(-600).unwrap();
        pay_in(&app, 500);
        let old = settle(&mut app).await;
        let lag = (shown(&old, "as_of") - shown(&old, "reported_at")).num_seconds();
        assert!((598..=602).contains(&lag), "{old}");
        assert_eq!((&old["stale"], sum(&app, "deposit").await), (&json!(false), 0), "{old}");
        let gauge = "noshi_available_funds_reported_timestamp_seconds{account=\"main\"}";
        let wanted = Decimal::from(shown(&old, "reported_at").timestamp()).to_string();
        crate::support::wait::until("its age is on the page", async || {
            metric(&app, gauge).await.is_some_and(|at| at.round().to_string() == wanted)
        })
        .await;
        // Once Amazon says it of an instant five minutes after our first question.
        app.advance(600);
        observe(&mut app).await;
        assert_eq!(sum(&app, "deposit").await, 50_000);
        app.end().await;
    }

    async fn old_observations_are_thinned_to_one_an_hour(backend: Backend) {
        let mut app = App::spawn(backend).await;
        for _ in 0..5 {
            observe(&mut app).await;
        }
        let rows = "SELECT COUNT(*) FROM balance_observations";
        assert!(app.database.number(rows).await >= 5);
        app.advance(3 * 86_400);
        observe(&mut app).await;
        let old = app.database.number(rows).await - 1;
        assert!((1..=2).contains(&old), "{old} are left of five within an hour, or two");
        app.advance(401 * 86_400);
        observe(&mut app).await;
        assert_eq!(app.database.number(rows).await, 1, "and nothing of last year");
        app.end().await;
    }
}

const DEPOSITS: &str =
    "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM ledger_entries WHERE kind = 'deposit'";

/// Asks every two seconds, and two answers in a row agree.
fn watchful() -> Shape {
    let balances = |name: &str| format!("NOSHI__BALANCES__{name}_SECONDS");
    Shape::default().with(balances("POLL"), 2).with(balances("STALE_AFTER"), 60).with(balances("CONFIRM"), 1)
}

async fn ask(app: &App, base: &str, key: String, amount: &str) -> Answer {
    let request = app.http.post(format!("{base}/v1/rewards")).bearer_auth(&app.key).header("Idempotency-Key", key);
    Answer::of(with_json(request, &order(amount))).await
}

/// Two replicas buy, are lied to, cancel and watch the balance, while money comes in at odd moments.
async fn storm(app: &App, bases: [&str; 2]) -> i64 {
    let paid_all = AtomicBool::new(false);
    let buy = async {
        // As long as money comes in, however fast the machine is.
        for round in 0.. {
            if round >= 20 && paid_all.load(Ordering::Relaxed) {
                break;
            }
            let asked =
                (0..12).map(|at| ask(app, bases[at % 2], format!("r{round}-{at}"), ["1.00", "7.50", "20.00"][at % 3]));
            for (at, answer) in join_all(asked).await.iter().enumerate() {
                if answer.status == 201 && at % 4 == 0 {
                    app.cancel(answer.id()).await;
                }
            }
        }
    };
    let pay = async {
        let mut paid = 0;
        for (at, (pause, amount)) in
            [(150, 1000), (900, 37), (20, 5), (1700, 250), (600, 1), (2100, 4096), (350, 12)].into_iter().enumerate()
        {
            if at == 4 {
                // Some of it is found while purchases run: that they go on for so long must not hang on the machine.
                let found = async || !events(app, "funds.deposit_detected").await.is_empty();
                wait::until("a deposit is found under way", found).await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pay_in(app, amount);
            paid += amount;
        }
        paid_all.store(true, Ordering::Relaxed);
        paid
    };
    tokio::join!(buy, pay).1
}

/// Every few calls something goes wrong, a little later each time.
fn faults(app: &App) {
    let mut rules = Vec::new();
    for (operation, fault, every) in [
        (Operation::CreateGiftCard, Fault::DropAfterWork, 17),
        (Operation::CreateGiftCard, Fault::DropBeforeWork, 23),
        (Operation::CreateGiftCard, Fault::Delay { milliseconds: 300 }, 7),
        (Operation::CancelGiftCard, Fault::DropAfterWork, 5),
        (Operation::GetAvailableFunds, Fault::Delay { milliseconds: 400 }, 2),
    ] {
        let rule =
            |at: u32| FaultRule { operation: Some(operation), skip: at * every, ..FaultRule::once(fault.clone()) };
        rules.extend((0..10).map(rule));
    }
    app.control.script_all(rules).unwrap();
}

async fn at_rest(app: &App) {
    app.control.clear_faults();
    app.until_number("SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL", 0).await;
}

#[expect(clippy::print_stderr, reason = "the figures are what people read")]
async fn judge(app: &App, paid: i64) {
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE state = 'needs_attention'").await, 0);
    ledger_is_amazons(app).await;
    assert_eq!(sum(app, "opening").await, 10_000_000);
    assert_eq!(sum(app, "deposit").await, paid * 100, "every deposit, and none that was none");
    assert!(events(app, "balance.unexplained").await.is_empty());
    let found = events(app, "funds.deposit_detected").await.len();
    let asked = app.received("GetAvailableFunds").len();
    eprintln!("{} cards, {asked} balances asked for, {found} events for 7 deposits", app.control.book().len());
    assert!(found >= 2, "some were found under way");
}

on_each_backend! {
    async fn deposits_while_purchases_run_are_booked_once_and_to_the_cent(backend: Backend) {
        let mut app = App::shaped(backend, watchful()).await;
        observe(&mut app).await;
        faults(&app);
        let paid = storm(&app, [&app.base, &app.base]).await;
        at_rest(&app).await;
        app.until_number(DEPOSITS, paid * 100).await;
        judge(&app, paid).await;
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_book_each_deposit_once_and_to_the_cent() {
    let mut app = App::shaped(Backend::Postgres, watchful()).await;
    observe(&mut app).await;
    app.advance(-3);
    assert!(app.stop().await);
    let (first, second) = (Served::start(app.environment()), Served::start(app.environment()));
    app.base.clone_from(&second.base);
    faults(&app);
    let bases = [first.base.clone(), second.base.clone()];
    let paid = storm(&app, [&bases[0], &bases[1]]).await;
    at_rest(&app).await;
    app.until_number(DEPOSITS, paid * 100).await;
    let asked = app.received("GetAvailableFunds").len();
    app.until_received("GetAvailableFunds", asked + 2).await;
    judge(&app, paid).await;
    assert!(first.terminate().success() && second.terminate().success());
    app.end().await;
}
