//! Declines of a period's charge, by what they ask for; and whatever becomes of an answer.

use noshi::sandbox::{Fault, FaultRule, Operation, PayCall};
use serde_json::json;

use super::{
    club, each_paid_period_has_its_reward, join, member, mend, pass_period, periods, plan, plan_of, read, simulate,
    taken, until_entitled, until_state, wish,
};
use crate::support::{Backend, on_each_backend, seller, wait};

on_each_backend! {
    async fn a_decline_for_now_is_charged_again_within_the_grace_under_another_key(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        simulate(&app, &id, "SoftDeclined").await;
        pass_period(&mut app, &id).await;
        let due = until_state(&app, &id, "past_due").await;
        assert_eq!(due["reason"], "soft");
        assert_eq!(taken(&app), ["980"]);
        app.advance(2 * 86_400 + 1);
        let second = until_entitled(&app, &id, 2, "issued").await;
        assert_eq!((&second["tries"], &second["state"]), (&json!(2), &json!("paid")));
        assert_eq!(read(&app, &id).await["state"], "active");
        assert_eq!(taken(&app), ["980", "980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn the_last_decline_of_the_grace_ends_the_membership(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        simulate(&app, &id, "TransactionTimedOut").await;
        pass_period(&mut app, &id).await;
        until_state(&app, &id, "past_due").await;
        for tries in 2..=4 {
            simulate(&app, &id, "SoftDeclined").await;
            app.advance(2 * 86_400 + 1);
            wait::until("it was tried again", async || {
                let last = periods(&app, &id).await.pop().unwrap();
                last["tries"] == tries && last["state"] != "charging"
            })
            .await;
        }
        let over = until_state(&app, &id, "lapsed").await;
        assert!(over["ended_at"].is_string(), "{over}");
        app.advance(90 * 86_400);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(taken(&app), ["980"]);
        assert_eq!(app.live_cards().len(), 1);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_method_that_the_buyer_mended_pays_the_same_period(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        simulate(&app, &id, "HardDeclined").await;
        pass_period(&mut app, &id).await;
        let suspended = until_state(&app, &id, "suspended").await;
        assert_eq!(suspended["reason"], "method");
        assert!(suspended["next"].as_str().unwrap().contains("mend the payment method"), "{suspended}");
        app.advance(3 * 86_400);
        wish(&app, &id, "retry").await.is_problem(422, "consent-not-usable");
        mend(&app, suspended["consent_id"].as_str().unwrap());
        let tried = wish(&app, &id, "retry").await;
        assert_eq!((tried.status, &tried.json["state"]), (200, &json!("past_due")), "{}", tried.text);
        until_entitled(&app, &id, 2, "issued").await;
        assert_eq!(until_state(&app, &id, "active").await["reason"], json!(null));
        assert_eq!(taken(&app), ["980", "980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn what_amazon_refuses_for_good_lapses_the_membership(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        simulate(&app, &id, "AmazonRejected").await;
        pass_period(&mut app, &id).await;
        assert_eq!(until_state(&app, &id, "lapsed").await["reason"], "final");
        let last = periods(&app, &id).await.pop().unwrap();
        assert_eq!((&last["state"], &last["entitlement"]), (&json!("declined"), &json!("none")));
        wish(&app, &id, "retry").await.is_problem(409, "invalid-state");
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_charge_that_amazon_decides_later_is_followed_to_its_end(backend: Backend) {
        for (card, state, cards) in [("0701", "paid", 1), ("4354", "due", 0)] {
            let mut app = club(backend).await;
            let gold = plan(&app, "gold", &plan_of("980")).await;
            let id = join(&app, &gold, &seller::consent(&app.control, 5_000, card), "member-1").await.id().to_owned();
            wait::until("Amazon has it", async || !app.control.charges().is_empty()).await;
            assert_eq!(app.live_cards().len(), 0, "nothing is paid yet");
            app.advance(31);
            wait::until(&format!("the period is {state}"), async || periods(&app, &id).await[0]["state"] == state).await;
            if cards > 0 {
                until_entitled(&app, &id, 1, "issued").await;
            } else {
                until_state(&app, &id, "suspended").await;
            }
            assert_eq!((app.live_cards().len(), taken(&app).len()), (cards, cards));
            each_paid_period_has_its_reward(&app).await;
            app.end().await;
        }
    }

    /// Each fault of the charge of a period, and of the reward's purchase after it.
    async fn whatever_becomes_of_an_answer_a_period_is_paid_once_and_rewarded_once(backend: Backend) {
        let mut app = club(backend).await;
        let gold = plan(&app, "gold", &plan_of("980")).await;
        let faults = [
            ("lost before", Fault::DropBeforeWork),
            ("lost after", Fault::DropAfterWork),
            ("reset after", Fault::ResetAfterWork),
            ("garbage", Fault::Garbage),
            ("a page and nothing done", Fault::HtmlError { status: 502, after_work: false }),
            ("a page and done", Fault::HtmlError { status: 504, after_work: true }),
        ];
        let mut at = 0;
        for (name, fault) in faults {
            for operation in [Operation::Pay(PayCall::CreateCharge), Operation::CreateGiftCard] {
                at += 1;
                app.control.clear_faults();
                let rule = FaultRule { operation: Some(operation), times: Some(1), ..FaultRule::always(fault.clone()) };
                app.control.script(rule).unwrap();
                let consent = seller::consent(&app.control, 5_000, "1111");
                let id = join(&app, &gold, &consent, &format!("member-{at}")).await.id().to_owned();
                // What is not known after the first answer is looked at again after a minute.
                for _ in 0..60 {
                    if periods(&app, &id).await[0]["entitlement"] == "issued" {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    app.advance(30);
                }
                let paid = until_entitled(&app, &id, 1, "issued").await;
                assert_eq!((&paid["state"], &paid["tries"]), (&json!("paid"), &json!(1)), "{name}: {paid}");
                assert_eq!((taken(&app).len(), app.live_cards().len()), (at, at), "{name}");
            }
        }
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }
}
