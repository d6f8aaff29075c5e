//! What callers ask for, and what they are answered.

use noshi::sandbox::{ConsentAct, NewConsent};
use serde_json::json;

use super::{
    club, each_paid_period_has_its_reward, join, member, pass_period, periods, plan, plan_of, read, send, taken,
    until_entitled, until_state, wish,
};
use crate::support::{Backend, on_each_backend, seller};

on_each_backend! {
    async fn a_member_pays_each_period_once_and_gets_its_reward_once(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        let first = until_entitled(&app, &id, 1, "issued").await;
        assert_eq!((&first["state"], &first["tries"]), (&json!("paid"), &json!(1)), "{first}");
        assert!(first["reward_id"].is_string() && first["charge_id"].is_string(), "{first}");
        assert_eq!(taken(&app), ["980"]);
        let code = app.reveal(first["reward_id"].as_str().unwrap()).await;
        assert_eq!(code.status, 200, "{}", code.text);
        // The same request is the same membership.
        let known = read(&app, &id).await;
        let again = join(&app, known["plan_id"].as_str().unwrap(), known["consent_id"].as_str().unwrap(), "member-1").await;
        assert_eq!((again.status, again.id(), again.header("idempotent-replayed")), (200, id.as_str(), "true"));
        assert_eq!(known["renews_at"], first["ends_at"]);
        for number in 2..=3 {
            pass_period(&mut app, &id).await;
            let next = until_entitled(&app, &id, number, "issued").await;
            assert_eq!(next["starts_at"], periods(&app, &id).await[number - 2]["ends_at"]);
        }
        assert_eq!(taken(&app), ["980", "980", "980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_reward_is_held_for_as_long_as_the_plan_says(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        body["hold_days"] = json!(3);
        let plan = plan(&app, "held", &body).await;
        let id = join(&app, &plan, &seller::consent(&app.control, 980, "1111"), "member-1").await.id().to_owned();
        let owed = until_entitled(&app, &id, 1, "owed").await;
        assert_eq!(owed["state"], "paid");
        app.advance(3 * 86_400 - 60);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(app.live_cards().len(), 0, "it is held still");
        app.advance(60);
        until_entitled(&app, &id, 1, "issued").await;
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn a_consent_that_does_not_do_is_refused_with_the_field_and_the_amount(backend: Backend) {
        let app = club(backend).await;
        let gold = plan(&app, "gold", &plan_of("980")).await;
        let small = seller::consent(&app.control, 979, "1111");
        let refused = join(&app, &gold, &small, "small").await;
        refused.is_problem(422, "consent-not-usable");
        assert_eq!(refused.json["errors"][0]["pointer"], "/consent_id");
        let said = refused.json["errors"][0]["detail"].as_str().unwrap();
        assert!(said.contains("980 JPY") && said.contains("979 JPY"), "{}", refused.text);
        let once = app.control.consent(NewConsent {
            merchant_id: seller::MERCHANT.to_owned(), limit: "5000".to_owned(), recurring: false, currency: "JPY".to_owned(),
            card: "1111".to_owned(), reference: None,
        });
        let closed = seller::consent(&app.control, 5_000, "1111");
        let act = ConsentAct::Close { charge_permission_id: closed.clone(), reason: "BuyerClosed".to_owned() };
        app.control.act_on_consent(act).unwrap();
        for (consent, code) in [(once.unwrap(), "once"), (closed, "ended"), ("C03-9999999-9999999".to_owned(), "unknown"), ("P03-1234567-1234567".to_owned(), "environment")] {
            let refused = join(&app, &gold, &consent, code).await;
            refused.is_problem(422, "consent-not-usable");
            assert_eq!(refused.json["errors"][0]["code"], code, "{}", refused.text);
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM memberships").await, 0);
        app.end().await;
    }

    async fn a_reference_names_one_membership_and_a_closed_plan_takes_none(backend: Backend) {
        let app = club(backend).await;
        let id = member(&app).await;
        let gold = read(&app, &id).await["plan_id"].as_str().unwrap().to_owned();
        let consent = seller::consent(&app.control, 100_000, "1111");
        let body = json!({"plan_id": gold, "consent_id": consent, "reference": "member-1"});
        let refused = send(&app, "/v1/memberships", "another", &body).await;
        refused.is_problem(409, "reference-taken");
        assert!(refused.json["detail"].as_str().unwrap().contains(&id), "{}", refused.text);
        send(&app, "/v1/memberships", "member-1", &body).await.is_problem(422, "idempotency-mismatch");
        for _ in 0..2 {
            let closed = app.post(&format!("/v1/membership/plans/{gold}/close"), json!({})).await;
            assert!(closed.status == 200 && closed.json["closed_at"].is_string(), "{}", closed.text);
        }
        let refused = join(&app, &gold, &consent, "late").await;
        refused.is_problem(400, "invalid-request");
        assert_eq!(refused.json["errors"][0]["pointer"], "/plan_id");
        let mut other = plan_of("980");
        other["name"] = json!("Silver");
        send(&app, "/v1/membership/plans", "gold", &other).await.is_problem(422, "idempotency-mismatch");
        let found = app.get("/v1/memberships?reference=member-1").await.json["data"].as_array().unwrap().len();
        assert_eq!(found, 1);
        app.end().await;
    }

    async fn nobody_pays_for_the_time_of_a_pause(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        assert_eq!(wish(&app, &id, "pause").await.json["state"], "paused");
        app.advance(100 * 86_400);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(taken(&app).len(), 1);
        let before = app.ambient.now();
        assert_eq!(wish(&app, &id, "resume").await.json["state"], "active");
        let second = until_entitled(&app, &id, 2, "issued").await;
        let begins: chrono::DateTime<chrono::Utc> = second["starts_at"].as_str().unwrap().parse().unwrap();
        assert!(begins.signed_duration_since(before).num_seconds() >= -1, "{second}");
        assert_eq!(wish(&app, &id, "end").await.json["state"], "ended");
        for what in ["pause", "resume", "retry", "end"] {
            wish(&app, &id, what).await.is_problem(409, "invalid-state");
        }
        app.advance(100 * 86_400);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(taken(&app), ["980", "980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn another_plan_is_paid_from_the_next_period_on(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        let mut body = plan_of("2980");
        body["reward"]["value"]["amount"] = json!("15.00");
        let (more, most) = (plan(&app, "more", &body).await, plan(&app, "most", &plan_of("100001")).await);
        let refused = app.post(&format!("/v1/memberships/{id}/change_plan"), json!({"plan_id": most})).await;
        refused.is_problem(422, "consent-not-usable");
        let changed = app.post(&format!("/v1/memberships/{id}/change_plan"), json!({"plan_id": more})).await;
        assert_eq!((changed.status, &changed.json["next_plan_id"]), (200, &json!(more)), "{}", changed.text);
        pass_period(&mut app, &id).await;
        let second = until_entitled(&app, &id, 2, "issued").await;
        assert_eq!((&second["plan_id"], &second["price"]["amount"]), (&json!(more), &json!("2980")));
        assert_eq!(taken(&app), ["980", "2980"]);
        let reward = app.read(second["reward_id"].as_str().unwrap()).await;
        assert_eq!(reward["value"]["amount"], "15.00");
        assert!(read(&app, &id).await["next_plan_id"].is_null());
        app.end().await;
    }

    async fn another_clients_memberships_are_as_if_they_were_not(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        let plan = read(&app, &id).await["plan_id"].as_str().unwrap().to_owned();
        let scopes = noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all"));
        let (_client, theirs) = app.mint_key("other", noshi::identity::Scopes::new(scopes)).await;
        let own = std::mem::replace(&mut app.key, theirs);
        for path in [format!("/v1/memberships/{id}"), format!("/v1/memberships/{id}/periods"), format!("/v1/membership/plans/{plan}")] {
            app.get(&path).await.is_problem(404, "not-found");
        }
        for what in ["pause", "resume", "retry", "end"] {
            wish(&app, &id, what).await.is_problem(404, "not-found");
        }
        for path in ["/v1/memberships", "/v1/membership/plans"] {
            assert_eq!(app.get(path).await.json["data"], json!([]));
        }
        join(&app, &plan, &seller::consent(&app.control, 5_000, "1111"), "theirs").await.is_problem(400, "invalid-request");
        app.key = own;
        until_state(&app, &id, "active").await;
        app.end().await;
    }
}
