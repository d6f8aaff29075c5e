//! Three simulated years of many memberships, with declines, suspensions, pauses, refunds and month ends: at the end each paid period has exactly
//! one reward, and both books have the same yen.

use noshi::sandbox::ConsentAct;
use serde_json::json;

use super::{club, each_paid_period_has_its_reward, join, periods, plan, plan_of, read};
use crate::{
    kill::Dice,
    pay::make,
    support::{
        App, Backend, on_each_backend,
        rounds::{count_of, print, seed},
        seller,
    },
};

/// A member, by the id of the membership.
struct Member {
    id: String,
    consent: String,
    /// What the caller last read of it.
    state: String,
}

/// Lets the clock pass until nothing of any membership is due by it: what Amazon throttles, and what rests, goes on.
async fn settle(app: &mut App) {
    for _ in 0..600 {
        let now = app.ambient.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
        let due = format!(
            "SELECT (SELECT COUNT(*) FROM memberships WHERE due_at <= '{now}') + (SELECT COUNT(*) FROM membership_periods WHERE due_at <= '{now}' \
             OR reward_due_at <= '{now}' OR state = 'charging' OR entitlement IN ('issuing', 'canceling')) \
             + (SELECT COUNT(*) FROM payments WHERE due_at <= '{now}')"
        );
        if app.database.number(&due).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        app.advance(1);
    }
    panic!("waited in vain until nothing of a membership is due");
}

/// What a member, or the caller for the member, does in a step of the clock.
async fn act(app: &mut App, dice: &mut Dice, member: &Member) {
    let wish = async |app: &App, what: &str, body: serde_json::Value| {
        let answer = app.post(&format!("/v1/memberships/{}/{what}", member.id), body).await;
        assert!([200, 409, 422].contains(&answer.status), "{what}: {}", answer.text);
    };
    match (member.state.as_str(), dice.below(100)) {
        ("suspended", 0..60) => {
            // One that Amazon has closed stays closed: the retry finds that, and the membership lapses.
            let act = ConsentAct::Mend { charge_permission_id: member.consent.clone() };
            drop(app.control.act_on_consent(act));
            wish(app, "retry", json!({})).await;
        }
        ("paused", 0..50) => wish(app, "resume", json!({})).await,
        ("active", 0..20) => {
            let code = match dice.below(40) {
                0 => "AmazonRejected",
                1..14 => "HardDeclined",
                14..20 => "TransactionTimedOut",
                _ => "SoftDeclined",
            };
            wish(app, "simulate", json!({"simulation": code})).await;
        }
        ("active", 20..24) => wish(app, "pause", json!({})).await,
        ("active", 24..25) => wish(app, "end", json!({})).await,
        ("active", 25..32) => {
            let last = periods(app, &member.id).await.pop().unwrap();
            if let Some(charge) = last["charge_id"].as_str() {
                let body = json!({"charge_id": charge, "value": last["price"]});
                let back = make(app, "/v1/pay/refunds", &format!("back {charge}"), &body).await;
                assert!([200, 202, 409].contains(&back.status), "{}", back.text);
            }
        }
        _ => {}
    }
}

on_each_backend! {
    async fn three_years_leave_one_reward_for_each_paid_period_and_the_same_yen_in_both_books(backend: Backend) {
        let (seed, members) = (seed(), count_of("NOSHI_TEST_MEMBERSHIPS", 6));
        let mut dice = Dice::new(seed);
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        let monthly = plan(&app, "monthly", &body).await;
        (body["hold_days"], body["period"]) = (json!(2), json!({"unit": "days", "length": 45}));
        let held = plan(&app, "held", &body).await;
        let mut all = Vec::new();
        for at in 0..members {
            let consent = seller::consent(&app.control, 100_000, "1111");
            let plan = if dice.percent(70) { &monthly } else { &held };
            let joined = join(&app, plan, &consent, &format!("member-{at}")).await;
            assert_eq!(joined.status, 201, "{}", joined.text);
            all.push(Member { id: joined.id().to_owned(), consent, state: "active".to_owned() });
        }
        let days = i64::try_from(count_of("NOSHI_TEST_MEMBERSHIP_DAYS", 3 * 365)).unwrap();
        let mut passed = 0;
        while passed < days {
            let step = 5 + i64::try_from(dice.below(20)).unwrap();
            passed += step;
            app.advance(step * 86_400);
            settle(&mut app).await;
            for member in &mut all {
                member.state = read(&app, &member.id).await["state"].as_str().unwrap().to_owned();
                act(&mut app, &mut dice, member).await;
            }
            app.advance(60);
            settle(&mut app).await;
        }
        app.advance(10 * 86_400);
        settle(&mut app).await;
        each_paid_period_has_its_reward(&app).await;
        let count = async |text: &str| app.database.number(text).await;
        let paid = count("SELECT COUNT(*) FROM membership_periods WHERE state = 'paid'").await;
        let refunded = count("SELECT COUNT(*) FROM membership_periods WHERE state = 'refunded'").await;
        let tries = count("SELECT CAST(SUM(tries) AS BIGINT) FROM membership_periods").await;
        assert!(paid > i64::try_from(members).unwrap(), "{paid} paid periods");
        print(&format!(
            "memberships: seed {seed}, {backend:?}, {members} members, {days} days: {paid} paid periods, {refunded} refunded, {tries} charges; each \
             paid period has one reward, and the yen of both books are the same"
        ));
        app.end().await;
    }
}
