//! What is lost, mistaken or undecided around a period's charge.

use noshi::sandbox::{Fault, FaultRule, Operation, PayCall};
use serde_json::json;

use super::{
    club, each_paid_period_has_its_reward, join, member, periods, plan, plan_of, taken, until_entitled, until_state,
    wish,
};
use crate::{
    pay::make,
    process::noshi,
    support::{Backend, on_each_backend, seller, trap::Trap, wait},
};

on_each_backend! {
    async fn a_membership_whose_rows_were_lost_is_charged_under_the_same_keys(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        body["hold_days"] = json!(1);
        let gold = plan(&app, "gold", &body).await;
        let consent = seller::consent(&app.control, 100_000, "1111");
        let first = join(&app, &gold, &consent, "member-1").await.id().to_owned();
        until_entitled(&app, &first, 1, "owed").await;
        // As a restored back-up leaves it that was made before.
        for table in ["membership_periods", "membership_consents", "memberships", "payments"] {
            app.database.execute(&format!("DELETE FROM {table}")).await.unwrap();
        }
        let again = join(&app, &gold, &consent, "member-1").await;
        assert_eq!(again.status, 201, "{}", again.text);
        assert_ne!(again.id(), first, "it is another row");
        until_entitled(&app, again.id(), 1, "owed").await;
        app.advance(24 * 3_600 + 1);
        until_entitled(&app, again.id(), 1, "issued").await;
        assert_eq!((taken(&app), app.live_cards().len()), (vec!["980".to_owned()], 1), "paid once, and one reward");
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_charge_that_a_person_finds_was_not_made_is_left_to_the_caller(backend: Backend) {
        let app = club(backend).await;
        let operation = Some(Operation::Pay(PayCall::CreateCharge));
        app.control.script(FaultRule { operation, ..FaultRule::once(Fault::WrongAmount) }).unwrap();
        let id = member(&app).await;
        app.until_number("SELECT COUNT(*) FROM payments WHERE state = 'needs_attention'", 1).await;
        let charges = app.get("/v1/pay/charges").await;
        let charge = charges.json["data"][0]["id"].as_str().unwrap().to_owned();
        let settle = ["pay", "settle", &charge, "--as", "not-made", "--reason", "seen in Seller Central", "--by", "kim"];
        let done = noshi().args(settle).envs(app.environment().iter().cloned()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        until_state(&app, &id, "suspended").await;
        assert_eq!(periods(&app, &id).await[0]["state"], "due");
        assert_eq!(wish(&app, &id, "retry").await.status, 200);
        until_entitled(&app, &id, 1, "issued").await;
        assert_eq!(app.live_cards().len(), 1);
        app.end().await;
    }

    async fn money_that_may_go_back_has_no_reward_before_that_is_decided(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        body["hold_days"] = json!(1);
        let held = plan(&app, "held", &body).await;
        let id = join(&app, &held, &seller::consent(&app.control, 5_000, "1111"), "member-1").await.id().to_owned();
        let owed = until_entitled(&app, &id, 1, "owed").await;
        app.advance(24 * 3_600 - 10);
        let back = json!({"charge_id": owed["charge_id"], "value": {"amount": "980", "currency_code": "JPY"}});
        let begun = make(&app, "/v1/pay/refunds", "back", &back).await;
        assert_eq!(begun.json["status"], "pending", "{}", begun.text);
        let later = "SELECT COUNT(*) FROM membership_periods WHERE entitlement = 'owed' AND reward_due_at > owed_since";
        app.advance(11);
        wait::until("the reward waits", async || app.database.number(later).await == 1).await;
        assert_eq!(app.live_cards().len(), 0);
        app.advance(90);
        until_entitled(&app, &id, 1, "withdrawn").await;
        assert_eq!(app.live_cards().len(), 0);
        app.end().await;
    }

    async fn what_is_not_committed_is_not_counted(backend: Backend) {
        let mut app = club(backend).await;
        let trap = Trap::set_for(&app, "membership_periods", "paid").await;
        let id = member(&app).await;
        wait::until("Amazon has it", async || taken(&app).len() == 1).await;
        let paid = |page: &str, times: u32| page.contains(&format!("noshi_membership_renewals_total{{outcome=\"paid\"}} {times}\n"));
        for _ in 0..4 {
            app.advance(120);
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        }
        let page = app.metrics().await;
        assert!(paid(&page, 0), "{page}");
        trap.lift(&app).await;
        // What was taken up is taken up again when its time is over.
        app.advance(600);
        until_entitled(&app, &id, 1, "issued").await;
        let page = app.metrics().await;
        assert!(paid(&page, 1), "{page}");
        assert_eq!((taken(&app).len(), app.live_cards().len()), (1, 1));
        app.end().await;
    }
}
