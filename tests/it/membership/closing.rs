//! The consent of a membership that was ended is closed at Amazon, whatever becomes of the answer; and no other is.

use noshi::sandbox::{Fault, FaultRule, MwsAction, Operation, PayCall};
use serde_json::json;

use super::{
    club, each_paid_period_has_its_reward, join, pass_period, periods, plan, plan_of, simulate, taken, until_entitled,
    until_state, wish,
};
use crate::{
    kill::start,
    pay::{Generation, charge_of, make},
    support::{App, Backend, Shape, on_each_backend, seller, wait},
};

/// Where a consent stands at Amazon, in either generation.
fn standing(app: &App, consent: &str) -> String {
    let of_checkout = app.control.pay_permissions().into_iter().find(|one| one.charge_permission_id == consent);
    let of_mws = app.control.mws_consents().into_iter().find(|one| one.id == consent);
    of_checkout.map(|one| one.state).or_else(|| of_mws.map(|one| one.state)).unwrap()
}

async fn until_closed(app: &App, consent: &str) {
    wait::until("the consent is closed", async || standing(app, consent) == "Closed").await;
    app.until_number("SELECT COUNT(*) FROM membership_consents WHERE close_at IS NOT NULL", 0).await;
}

/// A service of this generation with a member whose first period is paid: the membership and its consent.
async fn with_member(backend: Backend, generation: Generation) -> (App, String, String) {
    let shape = Shape { funds: 10_000_000, mws: generation == Generation::Mws, ..crate::pay::selling() };
    let mut app = App::shaped(backend, shape).await;
    let gold = plan(&app, "gold", &plan_of("980")).await;
    let consent = generation.consent(&app);
    let joined = join(&app, &gold, &consent, "member-1").await;
    assert_eq!(joined.status, 201, "{}", joined.text);
    let id = joined.id().to_owned();
    if generation == Generation::Mws {
        // Amazon decides after half a minute, and is asked again after one.
        wait::until("Amazon has the charge", async || !app.control.mws_authorizations().is_empty()).await;
        app.advance(61);
    }
    until_entitled(&app, &id, 1, "issued").await;
    (app, id, consent)
}

fn closing(generation: Generation) -> Operation {
    match generation {
        Generation::CheckoutV2 => Operation::Pay(PayCall::CloseChargePermission),
        Generation::Mws => Operation::Mws(MwsAction::CloseBillingAgreement),
    }
}

on_each_backend! {
    async fn what_is_ended_is_closed_at_amazon_whatever_becomes_of_the_answer(backend: Backend) {
        for generation in Generation::ALL {
            for fault in [None, Some(Fault::DropBeforeWork), Some(Fault::DropAfterWork), Some(Fault::Garbage)] {
                let (mut app, id, consent) = with_member(backend, generation).await;
                if let Some(fault) = fault.clone() {
                    app.control.script(FaultRule { operation: Some(closing(generation)), ..FaultRule::once(fault) }).unwrap();
                }
                assert_eq!(wish(&app, &id, "end").await.json["state"], "ended");
                if fault.is_some() {
                    let later = "SELECT COUNT(*) FROM membership_consents WHERE tries = 1 AND close_at > updated_at";
                    wait::until("it was tried", async || app.received("Close").len() == 1 && app.database.number(later).await == 1).await;
                    let page = "noshi_membership_consents_total{outcome=\"later\"} 1\n";
                    wait::until("it rests", async || app.metrics().await.contains(page)).await;
                    app.advance(61);
                }
                until_closed(&app, &consent).await;
                let page = "noshi_membership_consents_total{outcome=\"closed\"} 1\n";
                wait::until("it is counted", async || app.metrics().await.contains(page)).await;
                // Nobody charges by it, and nobody joins by it.
                let refused = make(&app, "/v1/pay/charges", "more", &charge_of(&consent, "100")).await;
                assert!(refused.status >= 400, "{generation:?}: {}", refused.text);
                let gold = app.get(&format!("/v1/memberships/{id}")).await.json["plan_id"].as_str().unwrap().to_owned();
                join(&app, &gold, &consent, "member-2").await.is_problem(422, "consent-not-usable");
                each_of_the_reward_stays(&app, generation).await;
                app.end().await;
            }
        }
    }

    async fn a_charge_that_is_under_way_comes_to_its_end_before_its_consent_is_closed(backend: Backend) {
        let mut app = club(backend).await;
        let gold = plan(&app, "gold", &plan_of("980")).await;
        let consent = seller::consent(&app.control, 5_000, "0701");
        let id = join(&app, &gold, &consent, "member-1").await.id().to_owned();
        wait::until("Amazon has the charge", async || !app.control.charges().is_empty()).await;
        assert_eq!(wish(&app, &id, "end").await.json["state"], "ended");
        app.until_number("SELECT COUNT(*) FROM membership_consents WHERE tries = 1 AND close_at > updated_at", 1).await;
        assert_eq!(standing(&app, &consent), "Chargeable");
        app.advance(31);
        let paid = until_entitled(&app, &id, 1, "issued").await;
        assert_eq!(paid["state"], "paid");
        app.advance(61);
        until_closed(&app, &consent).await;
        assert_eq!(taken(&app), ["980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_consent_that_serves_another_membership_stays_open(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        (body["grace_days"], body["retries"]) = (json!(0), json!(0));
        let gold = plan(&app, "gold", &body).await;
        let consent = seller::consent(&app.control, 100_000, "1111");
        let first = join(&app, &gold, &consent, "member-1").await.id().to_owned();
        until_entitled(&app, &first, 1, "issued").await;
        simulate(&app, &first, "SoftDeclined").await;
        pass_period(&mut app, &first).await;
        until_state(&app, &first, "lapsed").await;
        // One that lapsed keeps its consent, and another may have it.
        let second = join(&app, &gold, &consent, "member-2").await.id().to_owned();
        until_entitled(&app, &second, 1, "issued").await;
        assert_eq!(wish(&app, &first, "end").await.json["state"], "ended");
        app.advance(61);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!((standing(&app, &consent), app.received("Close").len()), ("Chargeable".to_owned(), 0));
        // As a program leaves them that knew no claims: two that share one. The last that ends closes it.
        let shared = "UPDATE memberships SET state = 'active', ended_at = NULL WHERE reference = 'member-1'";
        app.database.execute(shared).await.unwrap();
        app.database.execute("DELETE FROM membership_consents").await.unwrap();
        assert_eq!(wish(&app, &first, "end").await.status, 200);
        app.until_number("SELECT COUNT(*) FROM membership_consents WHERE tries = 1 AND close_since IS NULL", 1).await;
        assert_eq!(standing(&app, &consent), "Chargeable");
        assert_eq!(wish(&app, &second, "end").await.status, 200);
        until_closed(&app, &consent).await;
        assert!(periods(&app, &second).await.iter().all(|period| period["state"] == "paid"));
        app.end().await;
    }

    async fn an_account_that_the_settings_lost_is_waited_for_and_not_for_ever(backend: Backend) {
        let (mut app, id, consent) = with_member(backend, Generation::CheckoutV2).await;
        app.database.execute("UPDATE membership_plans SET pay_account = 'gone'").await.unwrap();
        assert_eq!(wish(&app, &id, "end").await.json["state"], "ended");
        let tried = |times: i64| format!("SELECT COUNT(*) FROM membership_consents WHERE tries >= {times} AND close_at > updated_at");
        app.until_number(&tried(1), 1).await;
        app.database.execute("UPDATE membership_plans SET pay_account = 'shop'").await.unwrap();
        app.advance(61);
        until_closed(&app, &consent).await;
        // Another, whose account does not come back.
        app.database.execute("UPDATE membership_consents SET close_at = close_since").await.unwrap();
        app.database.execute("UPDATE membership_plans SET pay_account = 'gone'").await.unwrap();
        app.until_number(&tried(2), 1).await;
        app.advance(8 * 86_400);
        app.until_number("SELECT COUNT(*) FROM membership_consents WHERE close_since IS NULL AND close_at IS NULL", 1).await;
        let page = app.metrics().await;
        assert!(page.contains("noshi_membership_consents_total{outcome=\"dropped\"} 1\n"), "{page}");
        app.end().await;
    }

    async fn a_crash_around_the_closing_leaves_no_consent_open(backend: Backend) {
        for place in ["membership.closing", "membership.closed"] {
            let (mut app, id, consent) = with_member(backend, Generation::CheckoutV2).await;
            assert!(app.stop().await);
            let mut armed = app.environment().to_vec();
            armed.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@1")));
            let mut served = start(armed).await.unwrap();
            app.base.clone_from(&served.base);
            assert_eq!(wish(&app, &id, "end").await.json["state"], "ended");
            wait::found(&format!("it dies at {place}"), async || served.ended()).await;
            app.database.execute("UPDATE membership_consents SET close_at = created_at WHERE close_at IS NOT NULL").await.unwrap();
            let served = start(app.environment().to_vec()).await.unwrap();
            app.base.clone_from(&served.base);
            until_closed(&app, &consent).await;
            drop(served);
            app.end().await;
        }
    }
}

/// The period that was paid before keeps its reward.
async fn each_of_the_reward_stays(app: &App, generation: Generation) {
    assert_eq!(app.live_cards().len(), 1, "{generation:?}");
    if generation == Generation::CheckoutV2 {
        each_paid_period_has_its_reward(app).await;
    }
}
