//! What an operator sees of memberships, and does about them.

use serde_json::{Value, json};

use super::{
    club, each_paid_period_has_its_reward, join, member, periods, plan, plan_of, read, taken, until_entitled, wish,
};
use crate::{
    commands::{self, Ended},
    kill::start,
    pay::make,
    process::noshi,
    support::{App, Backend, faults::refusal, on_each_backend, seller, wait},
};

/// Runs `noshi membership ask-reward-again` beside the service.
fn ask_again(app: &App, id: &str, number: &str) -> Ended {
    let arguments =
        ["membership", "ask-reward-again", id, number, "--reason", "the amount is allowed now", "--by", "kim"];
    Ended::of(noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap())
}

async fn until_refused_for_good(app: &App, periods: u32) {
    let line = format!("noshi_membership_rewards_failed {periods}\n");
    wait::until(&format!("{periods} are shown"), async || app.metrics().await.contains(&line)).await;
}

/// A member whose first reward Amazon refuses for good.
async fn refused(app: &App) -> (String, Value) {
    app.strike_next(refusal("F200", "InvalidAmountInput"));
    let id = member(app).await;
    let period = until_entitled(app, &id, 1, "failed").await;
    assert_eq!((&period["state"], app.live_cards().len()), (&json!("paid"), 0), "{period}");
    until_refused_for_good(app, 1).await;
    (id, period)
}

/// A replica stands still with the refusal in hand, past its lease, until another reward is being asked for. SQLite has one process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stood_still_says_nothing_of_the_reward_that_was_asked_for_since() {
    let mut app = club(Backend::Postgres).await;
    let mut later = plan_of("980");
    later["hold_days"] = json!(1);
    let gold = plan(&app, "gold", &later).await;
    let joined = join(&app, &gold, &seller::consent(&app.control, 100_000, "1111"), "member-1").await;
    let id = joined.id().to_owned();
    until_entitled(&app, &id, 1, "owed").await;
    assert!(app.stop().await);
    let due = "UPDATE membership_periods SET reward_due_at = created_at";
    app.database.execute(due).await.unwrap();
    app.strike_next(refusal("F200", "InvalidAmountInput"));
    let mut armed = app.environment().to_vec();
    armed.push(("NOSHI_FAILPOINT".to_owned(), "membership.issued@1:stop".to_owned()));
    let still = start(armed).await.unwrap();
    let state = format!("/proc/{}/stat", still.id());
    wait::until("it stands still", async || std::fs::read_to_string(&state).unwrap().contains(") T ")).await;
    let awake = start(app.environment().to_vec()).await.unwrap();
    app.base.clone_from(&awake.base);
    app.database.execute(due).await.unwrap();
    let failed = until_entitled(&app, &id, 1, "failed").await;
    assert!(awake.terminate().success());
    ask_again(&app, &id, "1").good();
    // As another replica leaves it that has begun to ask.
    let begun = "UPDATE membership_periods SET entitlement = 'issuing', reward_due_at = created_at";
    assert_eq!(app.database.execute(begun).await.unwrap(), 1);
    still.signal("CONT");
    app.base.clone_from(&still.base);
    let issued = until_entitled(&app, &id, 1, "issued").await;
    assert_ne!(issued["reward_id"], failed["reward_id"]);
    assert_eq!((taken(&app).len(), app.live_cards().len()), (1, 1));
    each_paid_period_has_its_reward(&app).await;
    assert!(still.terminate().success());
    app.end().await;
}

on_each_backend! {
    async fn a_reward_that_was_refused_for_good_is_asked_for_once_more_by_an_operator(backend: Backend) {
        let app = club(backend).await;
        let (id, failed) = refused(&app).await;
        let said = ask_again(&app, &id, "1").good();
        assert!(said.contains("is asked for again"), "{said}");
        let issued = until_entitled(&app, &id, 1, "issued").await;
        assert_ne!(issued["reward_id"], failed["reward_id"], "another reward, of another key");
        until_refused_for_good(&app, 0).await;
        for (number, why) in [("1", "only that of a paid period"), ("2", "no such period")] {
            let not_twice = ask_again(&app, &id, number);
            assert!(not_twice.code == 1 && not_twice.err.contains(why), "{}", not_twice.err);
        }
        let written = "SELECT COUNT(*) FROM audit_records WHERE action = 'membership.reward_asked_again' AND details LIKE '%the amount is allowed now%'";
        assert_eq!(app.database.number(written).await, 1);
        assert_eq!((taken(&app).len(), app.live_cards().len()), (1, 1));
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_refused_reward_that_a_person_found_live_is_the_periods_own(backend: Backend) {
        let app = club(backend).await;
        let (id, failed) = refused(&app).await;
        // As `noshi rewards attention settle` leaves it after a reconciliation.
        let live = "UPDATE rewards SET state = 'issued', error_code = NULL, error_type = NULL, issued_at = created_at, first_send_at = created_at WHERE state = 'failed'";
        assert_eq!(app.database.execute(live).await.unwrap(), 1);
        ask_again(&app, &id, "1").good();
        let issued = until_entitled(&app, &id, 1, "issued").await;
        assert_eq!(issued["reward_id"], failed["reward_id"]);
        assert_eq!(app.live_cards().len(), 0, "none was bought besides");
        app.end().await;
    }

    async fn a_refund_ends_the_alarm_of_a_reward_that_cannot_be_had(backend: Backend) {
        let mut app = club(backend).await;
        let (id, failed) = refused(&app).await;
        let body = json!({"charge_id": failed["charge_id"], "value": {"amount": "980", "currency_code": "JPY"}});
        assert_eq!(make(&app, "/v1/pay/refunds", "back", &body).await.status, 202);
        app.advance(31);
        wait::until("the member has it back", async || periods(&app, &id).await[0]["state"] == "refunded").await;
        until_refused_for_good(&app, 0).await;
        assert_eq!(ask_again(&app, &id, "1").code, 1, "nothing is owed");
        assert_eq!(app.live_cards().len(), 0);
        app.end().await;
    }

    async fn memberships_are_listed_and_shown_to_people_and_programs(backend: Backend) {
        let app = club(backend).await;
        let id = member(&app).await;
        let first = until_entitled(&app, &id, 1, "issued").await;
        let silver = plan(&app, "silver", &plan_of("480")).await;
        let other = join(&app, &silver, &seller::consent(&app.control, 5_000, "1111"), "member-2").await.id().to_owned();
        until_entitled(&app, &other, 1, "issued").await;
        assert_eq!(wish(&app, &other, "pause").await.status, 200);
        let gold = read(&app, &id).await["plan_id"].as_str().unwrap().to_owned();
        let list = |filters: &[&str]| commands::run(&app, &[&["membership", "list"], filters].concat()).good();
        assert_eq!(list(&[]).lines().count(), 3, "{}", list(&[]));
        for (filters, found) in [
            (["--state", "paused", "--limit", "5"], &other),
            (["--plan", &gold, "--limit", "5"], &id),
            (["--plan", &silver, "--state", "paused"], &other),
            (["--reference", "member-1", "--plan", &gold], &id),
        ] {
            let text = list(&filters);
            assert!(text.lines().count() == 2 && text.contains(found.as_str()), "{filters:?}: {text}");
        }
        for filters in [["--plan", &gold, "--state", "paused"], ["--reference", "member-1", "--plan", &silver]] {
            assert_eq!(list(&filters).lines().count(), 1, "{filters:?}");
        }
        assert_eq!(commands::run(&app, &["membership", "list", "--plan", "gold"]).code, 3);
        let lines = list(&["--json"]);
        let ids: Vec<Value> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
        assert_eq!(ids, [json!(other), json!(id)]);
        let shown = commands::run(&app, &["membership", "show", &id]);
        assert_eq!((shown.line("state"), shown.line("reference")), ("active".to_owned(), "member-1".to_owned()));
        let period = shown.out.lines().last().unwrap().to_owned();
        for part in ["980", "paid", "issued", first["reward_id"].as_str().unwrap(), first["charge_id"].as_str().unwrap()] {
            assert!(period.contains(part), "{part}: {}", shown.out);
        }
        let whole: Value = serde_json::from_str(&commands::run(&app, &["membership", "show", &id, "--json"]).good()).unwrap();
        assert_eq!((&whole["membership"]["id"], &whole["periods"][0]), (&json!(id), &first));
        assert_eq!(commands::run(&app, &["membership", "show", "mbr_01990000000070008000000000000000"]).code, 3);
        app.end().await;
    }
}
