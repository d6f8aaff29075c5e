//! Which request a membership is of, and which membership a consent serves.

use serde_json::json;

use super::{
    club, each_paid_period_has_its_reward, join, member, pass_period, plan, plan_of, read, send, simulate, taken,
    until_entitled, until_state,
};
use crate::support::{Answer, Backend, on_each_backend, seller};

fn is_taken(refused: &Answer) {
    refused.is_problem(409, "consent-taken");
    assert_eq!(refused.json["errors"][0]["pointer"], "/consent_id", "{}", refused.text);
}

on_each_backend! {
    async fn a_consent_serves_one_membership_at_a_time(backend: Backend) {
        let mut app = club(backend).await;
        let mut body = plan_of("980");
        (body["grace_days"], body["retries"]) = (json!(0), json!(0));
        let gold = plan(&app, "gold", &body).await;
        let consent = seller::consent(&app.control, 100_000, "1111");
        let first = join(&app, &gold, &consent, "member-1").await.id().to_owned();
        let refused = join(&app, &gold, &consent, "member-2").await;
        is_taken(&refused);
        assert!(refused.json["detail"].as_str().unwrap().contains(&first), "{}", refused.text);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM memberships").await, 1, "nothing is left of the refused one");
        // Another client learns no id.
        let scopes = noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all"));
        let (_client, theirs) = app.mint_key("other", noshi::identity::Scopes::new(scopes)).await;
        let own = std::mem::replace(&mut app.key, theirs);
        let their_plan = plan(&app, "gold", &body).await;
        let refused = join(&app, &their_plan, &consent, "member-1").await;
        is_taken(&refused);
        assert!(!refused.text.contains(&first), "{}", refused.text);
        app.key = own;
        // One of a program that knew no claims has none, and is charged all the same.
        app.database.execute("DELETE FROM membership_consents").await.unwrap();
        is_taken(&join(&app, &gold, &consent, "member-3").await);
        // Once it is over, the consent serves another.
        until_entitled(&app, &first, 1, "issued").await;
        simulate(&app, &first, "SoftDeclined").await;
        pass_period(&mut app, &first).await;
        until_state(&app, &first, "lapsed").await;
        let second = join(&app, &gold, &consent, "member-4").await;
        assert_eq!(second.status, 201, "{}", second.text);
        until_entitled(&app, second.id(), 1, "issued").await;
        is_taken(&join(&app, &gold, &consent, "member-5").await);
        assert_eq!(taken(&app), ["980", "980"]);
        each_paid_period_has_its_reward(&app).await;
        app.end().await;
    }

    async fn of_many_who_join_by_one_consent_at_once_one_is_a_member(backend: Backend) {
        let app = club(backend).await;
        let gold = plan(&app, "gold", &plan_of("980")).await;
        for round in 0..4 {
            let consent = seller::consent(&app.control, 100_000, "1111");
            let references: Vec<String> = (0..8).map(|at| format!("member-{round}-{at}")).collect();
            let racing = references.iter().map(|reference| join(&app, &gold, &consent, reference));
            let answers = futures_util::future::join_all(racing).await;
            let (joined, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
            assert_eq!(joined.len(), 1, "{:?}", answers.iter().map(|answer| &answer.text).collect::<Vec<_>>());
            refused.into_iter().for_each(is_taken);
            until_entitled(&app, joined[0].id(), 1, "issued").await;
        }
        assert_eq!(taken(&app), ["980"; 4]);
        app.end().await;
    }

    async fn a_key_that_named_a_membership_of_another_plan_is_a_mismatch(backend: Backend) {
        let mut app = club(backend).await;
        let id = member(&app).await;
        until_entitled(&app, &id, 1, "issued").await;
        let known = read(&app, &id).await;
        let (gold, consent) = (known["plan_id"].as_str().unwrap(), known["consent_id"].as_str().unwrap());
        let more = plan(&app, "more", &plan_of("1980")).await;
        join(&app, &more, consent, "member-1").await.is_problem(422, "idempotency-mismatch");
        let other = seller::consent(&app.control, 100_000, "1111");
        join(&app, gold, &other, "member-1").await.is_problem(422, "idempotency-mismatch");
        // The reference is the membership's, whichever key asks.
        for (plan, consent) in [(more.as_str(), consent), (gold, other.as_str())] {
            let body = json!({"plan_id": plan, "consent_id": consent, "reference": "member-1"});
            send(&app, "/v1/memberships", "another", &body).await.is_problem(409, "reference-taken");
        }
        // What was asked for then stays so when the plan is another.
        app.post(&format!("/v1/memberships/{id}/change_plan"), json!({"plan_id": more})).await;
        pass_period(&mut app, &id).await;
        until_entitled(&app, &id, 2, "issued").await;
        assert_eq!(read(&app, &id).await["plan_id"], json!(more));
        let again = join(&app, gold, consent, "member-1").await;
        assert_eq!((again.status, again.id(), again.header("idempotent-replayed")), (200, id.as_str(), "true"));
        join(&app, &more, consent, "member-1").await.is_problem(422, "idempotency-mismatch");
        app.end().await;
    }
}
