//! The money of a period goes back: its reward comes back where Amazon still cancels it, and where not, the membership waits for its caller.

use serde_json::{Value, json};

use super::{
    club, each_paid_period_has_its_reward, join, member, pass_period, periods, plan, plan_of, taken, until_entitled,
    until_state, wish,
};
use crate::{
    pay::make,
    support::{App, Backend, on_each_backend, seller, wait},
};

/// Gives so much of a period's charge back, and waits until the member has it.
async fn give_back(app: &mut App, period: &Value, amount: &str) {
    let charge = period["charge_id"].as_str().unwrap();
    let body = json!({"charge_id": charge, "value": {"amount": amount, "currency_code": "JPY"}});
    let begun = make(app, "/v1/pay/refunds", &format!("back {charge} {amount}"), &body).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    app.advance(31);
    let path = format!("/v1/pay/refunds/{}", begun.id());
    wait::until("the member has it back", async || app.get(&path).await.json["status"] == "refunded").await;
}

on_each_backend! {
    async fn a_refund_inside_the_window_takes_the_reward_back(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        let paid = until_entitled(&app, &id, 1, "issued").await;
        give_back(&mut app, &paid, "980").await;
        let back = until_entitled(&app, &id, 1, "canceled").await;
        assert_eq!((&back["state"], &back["refunded"]["amount"]), (&json!("refunded"), &json!("980")), "{back}");
        assert_eq!(app.live_cards().len(), 0);
        assert_eq!(app.read(paid["reward_id"].as_str().unwrap()).await["status"], "canceled");
        // Both sides are even: it goes on.
        pass_period(&mut app, &id).await;
        until_entitled(&app, &id, 2, "issued").await;
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_refund_after_the_window_has_the_next_period_wait_for_the_caller(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        let paid = until_entitled(&app, &id, 1, "issued").await;
        app.advance(3_600);
        give_back(&mut app, &paid, "980").await;
        let kept = until_entitled(&app, &id, 1, "kept").await;
        assert_eq!(kept["state"], "refunded");
        let waits = until_state(&app, &id, "paused").await;
        assert_eq!(waits["reason"], "refunded");
        pass_period(&mut app, &id).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!((periods(&app, &id).await.len(), taken(&app).len()), (1, 1), "the next period waits");
        assert_eq!(wish(&app, &id, "resume").await.json["state"], "active");
        until_entitled(&app, &id, 2, "issued").await;
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_refund_before_the_reward_is_issued_withdraws_it(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        body["hold_days"] = json!(5);
        let held = plan(&app, "held", &body).await;
        let id = join(&app, &held, &seller::consent(&app.control, 5_000, "1111"), "member-1").await.id().to_owned();
        let owed = until_entitled(&app, &id, 1, "owed").await;
        give_back(&mut app, &owed, "500").await;
        assert_eq!(periods(&app, &id).await[0]["entitlement"], "owed", "a part is no refund of the period");
        give_back(&mut app, &owed, "480").await;
        until_entitled(&app, &id, 1, "withdrawn").await;
        app.advance(10 * 86_400);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(app.live_cards().len(), 0);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }
}
