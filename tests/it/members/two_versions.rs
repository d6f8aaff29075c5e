//! A reward with members, and the release before, which would replay it without them: it takes no such reward.

use std::time::Duration;

use noshi::sandbox::{Fault, FaultRule};

use super::{MEMBERS, SETTINGS, bodies, name, shape, voucher};
use crate::{
    process::{Build, Served},
    support::{Answer, App, Backend, on_each_backend, order, with_json},
};

on_each_backend! {
    async fn the_release_before_leaves_a_reward_alone_whose_members_it_does_not_know(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        app.control.script(FaultRule::always(Fault::DropAfterWork)).unwrap();
        let extended = app.issue_body("extended", voucher()).await;
        extended.is_accepted();
        // Its members come from the settings alone, so the release before understands its body.
        let set = app.issue_body("set", order("25.00")).await;
        set.is_accepted();
        assert!(app.stop().await);
        app.control.clear_requests();
        app.control.clear_faults();
        let known: Vec<_> = app.environment().to_vec();
        let known = known.into_iter().filter(|(set, _)| SETTINGS.iter().all(|(setting, _)| *set != name(setting)));
        let before = Served::start_build(Build::Previous, &known.collect::<Vec<_>>()).unwrap();
        // Its recovery is at work: it brings a plain reward to its end.
        app.control.script(FaultRule::once(Fault::DropAfterWork)).unwrap();
        let plain = app.try_issue_at(&before.base, "plain", "5.00").await.unwrap();
        plain.is_accepted();
        let look = format!("{}/v1/rewards/{}", before.base, plain.id());
        let mut status = String::new();
        for _ in 0..500 {
            let answer = Answer::of(app.http.get(&look).bearer_auth(&app.key)).await;
            status = answer.json["status"].as_str().unwrap_or_default().to_owned();
            if status == "issued" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, "issued");
        // Nor does a caller who comes to it with the same key move it.
        for (key, body) in [("extended", voucher()), ("set", order("25.00"))] {
            let again = app.http.post(format!("{}/v1/rewards", before.base)).bearer_auth(&app.key);
            let again = Answer::of(with_json(again.header("Idempotency-Key", key), &body)).await;
            assert!(again.status >= 400, "{key}: {}", again.text);
            let id = app.amazon_id(key);
            assert!(bodies(&app).iter().all(|body| !body.contains(&id)), "{key}: {:?}", bodies(&app));
        }
        assert!(tokio::task::spawn_blocking(move || before.terminate()).await.unwrap().success());

        app.start().await;
        app.until(set.id(), "issued").await;
        app.until(extended.id(), "issued").await;
        let of_extended = app.amazon_id("extended");
        let replayed: Vec<_> = bodies(&app).into_iter().filter(|body| body.contains(&of_extended)).collect();
        assert!(!replayed.is_empty() && replayed.iter().all(|body| body.contains(MEMBERS)), "{replayed:?}");
        assert_eq!(app.live_cards().len(), 3);
        app.end().await;
    }
}
