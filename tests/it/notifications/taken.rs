//! What Amazon sends is taken, in both versions of its signature, and once.

use noshi::sandbox::{NoticeAct, NoticeDraft};
use serde_json::json;

use super::{CANARY, Generation, PATH, counted, post, signed, signed_as, written};
use crate::support::{Answer, App, Backend, on_each_backend, seller, wait};

const OBJECT: &str = "S03-1234567-1234567-C123456";

on_each_backend! {
    async fn a_signed_notification_is_taken_in_both_versions_and_generations(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            for (at, version) in ["1", "2"].into_iter().enumerate() {
                let message = generation.message(OBJECT, &format!("reference {at}")).to_string();
                let version = Some(version.to_owned());
                let body = signed_as(&app, NoticeDraft { message, signature_version: version, ..NoticeDraft::default() });
                let answer = post(&app, body).await;
                assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{generation:?}");
            }
            let with_subject = NoticeDraft {
                message: generation.message(OBJECT, "with a subject").to_string(),
                subject: Some("Amazon Pay".to_owned()),
                ..NoticeDraft::default()
            };
            assert_eq!(post(&app, signed_as(&app, with_subject)).await.status, 200, "a subject is signed, too");
            assert_eq!((written(&app).await, counted(&app, "taken").await), (3, 3));
            assert_eq!(app.control.certificate_fetches(), 1, "one certificate is fetched once");
            let kept = app.database.text("SELECT MIN(kind || ' ' || object_id) FROM pay_notifications").await;
            assert_eq!(kept, format!("charge {OBJECT}"));
            app.end().await;
        }
    }

    async fn the_same_message_again_and_the_same_notification_in_another_message_are_taken_once(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        let message = Generation::CheckoutV2.message(OBJECT, "the same");
        let body = signed(&app, &message);
        for _ in 0..3 {
            assert_eq!(post(&app, body.clone()).await.status, 200);
        }
        assert_eq!(post(&app, signed(&app, &message)).await.status, 200);
        assert_eq!((written(&app).await, counted(&app, "taken").await, counted(&app, "repeated").await), (1, 1, 3));
        app.end().await;
    }

    async fn a_sample_and_a_kind_that_nobody_knows_are_answered_200_and_wake_nothing(backend: Backend) {
        let app = Generation::Mws.shop(backend, "1").await;
        app.control.act_on_notices(NoticeAct::Sample { merchant_id: seller::MERCHANT.to_owned() }).unwrap();
        wait::until("the sample has come", async || counted(&app, "ignored").await == 1).await;
        let mut unknown = Generation::Mws.message(OBJECT, "another");
        unknown["NotificationType"] = json!("SomethingNew");
        assert_eq!(post(&app, signed(&app, &unknown)).await.status, 200);
        let new_version = json!({
            "MerchantID": seller::MERCHANT, "ObjectType": "SOMETHING_NEW", "NotificationId": "1", "NotificationVersion": "V3"
        });
        assert_eq!(post(&app, signed(&app, &new_version)).await.status, 200);
        assert_eq!((counted(&app, "ignored").await, counted(&app, "taken").await, written(&app).await), (3, 0, 3));
        app.end().await;
    }

    /// The address is in the world before its topic is in the settings.
    async fn without_a_topic_in_the_settings_there_is_no_such_place(backend: Backend) {
        let app = App::shaped(backend, crate::pay::selling()).await;
        post(&app, "{}").await.is_problem(404, "not-found");
        app.end().await;
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        let elsewhere = app.anonymous("POST", "/v1/pay/notifications/other").header("Content-Type", "text/plain").body("{}");
        Answer::of(elsewhere).await.is_problem(404, "not-found");
        Answer::of(app.anonymous("GET", PATH)).await.is_problem(405, "method-not-allowed");
        app.end().await;
    }

    async fn nothing_of_a_message_is_kept_or_logged_but_ids(backend: Backend) {
        crate::canary::capture::log().start();
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            let message = generation.message(OBJECT, CANARY);
            assert_eq!(post(&app, signed(&app, &message)).await.status, 200);
            let mut refused = message.clone();
            refused["SellerId"] = json!(CANARY);
            refused["MerchantID"] = json!(CANARY);
            assert_eq!(post(&app, signed(&app, &refused)).await.status, 403);
            assert_eq!(post(&app, format!("{{\"Type\":\"{CANARY}\"}}")).await.status, 400);
            let log = String::from_utf8_lossy(&crate::canary::capture::log().taken()).into_owned();
            assert!(log.contains("/v1/pay/notifications/{account}"), "the request has its line");
            // The sandbox is in this process, and says nothing of what it sends.
            let told = log.lines().find(|line| line.contains(CANARY));
            assert!(told.is_none(), "{told:?}");
            let mut look = crate::support::look::Look::at(&app.database).await;
            for column in look.columns().await {
                let found = look.bytes(&column).await.iter().any(|value| String::from_utf8_lossy(value).contains(CANARY));
                assert!(!found, "{column:?}");
            }
            assert!(!app.metrics().await.contains(CANARY));
            app.end().await;
        }
    }
}
