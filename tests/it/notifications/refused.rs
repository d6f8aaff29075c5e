//! What Amazon did not send for this account is refused, wakes nothing and is not written down.

use noshi::sandbox::{NoticeCertificate, NoticeDraft};
use serde_json::{Value, json};

use super::{Generation, MARKETPLACE, PATH, counted, post, signed, signed_as, written};
use crate::support::{Answer, App, Backend, on_each_backend, seller};

const OBJECT: &str = "S03-1234567-1234567-C123456";

fn draft(generation: Generation) -> NoticeDraft {
    NoticeDraft { message: generation.message(OBJECT, "a reference").to_string(), ..NoticeDraft::default() }
}

/// A signed message with one member of its envelope changed afterwards.
fn changed(app: &App, generation: Generation, name: &str, value: &Value) -> String {
    let mut envelope: Value = serde_json::from_str(&signed_as(app, draft(generation))).unwrap();
    if value.is_null() {
        envelope.as_object_mut().unwrap().remove(name);
    } else {
        envelope[name] = value.clone();
    }
    envelope.to_string()
}

async fn refuses(app: &App, what: &str, body: String, status: u16) {
    let answer = post(app, body).await;
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    let code = if status == 403 { "notification-refused" } else { "invalid-request" };
    answer.is_problem(status, code);
}

on_each_backend! {
    async fn what_sns_did_not_sign_is_refused(backend: Backend) {
        for (generation, version) in [(Generation::CheckoutV2, "1"), (Generation::Mws, "2")] {
            let app = generation.shop(backend, version).await;
            let other = generation.message(OBJECT, "another reference").to_string();
            let other_version = if version == "1" { "2" } else { "1" };
            for (name, value) in [
                ("Message", json!(other)),
                ("MessageId", json!("15e7412b-e9ac-5f6a-b6df-0c909df567a0")),
                ("Timestamp", json!("2026-11-29T00:00:00.000Z")),
                ("Subject", json!("a subject that was not signed")),
                ("Signature", json!("AAAA")),
                ("Signature", json!("")),
                ("SignatureVersion", json!(other_version)),
                // Signed as a notification, and sent as something else.
                ("SigningCertURL", json!("https://sns.us-east-1.amazonaws.com/a.pem")),
                ("SigningCertURL", json!(format!("http://{}/a.exe", app.gateway()))),
            ] {
                refuses(&app, name, changed(&app, generation, name, &value), 403).await;
            }
            for (what, certificate) in [
                ("expired", NoticeCertificate::Expired),
                ("of another", NoticeCertificate::OfAnother),
                ("missing", NoticeCertificate::Missing),
            ] {
                refuses(&app, what, signed_as(&app, NoticeDraft { certificate, ..draft(generation) }), 403).await;
            }
            assert_eq!((written(&app).await, counted(&app, "refused").await, counted(&app, "malformed").await), (0, 12, 0));
            // The same message as it was signed is good.
            assert_eq!(post(&app, signed_as(&app, draft(generation))).await.status, 200);
            app.end().await;
        }
    }

    async fn what_is_signed_for_somebody_else_is_refused(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            let name = format!("{MARKETPLACE}{}", seller::MERCHANT);
            for topic in [
                "arn:aws:sns:us-east-1:666666666666:of-somebody-else".to_owned(),
                format!("arn:aws:sns:us-east-1:291180941288:{name}2"),
                format!("arn:aws:sns:us-east-1:291180941288:2{name}"),
            ] {
                refuses(&app, &topic, signed_as(&app, NoticeDraft { topic: Some(topic.clone()), ..draft(generation) }), 403).await;
            }
            let fetched = app.control.certificate_fetches();
            assert_eq!(fetched, 0, "whoever does not know the topic makes us fetch nothing");
            let mut of_other = generation.message(OBJECT, "a reference");
            let (seller, environment) = match generation {
                Generation::CheckoutV2 => ("MerchantID", ("ObjectId", "P03-1234567-1234567-C123456")),
                Generation::Mws => ("SellerId", ("ReleaseEnvironment", "Live")),
            };
            of_other[seller] = json!("A1OTHER");
            refuses(&app, "another seller", signed(&app, &of_other), 403).await;
            let mut of_live = generation.message(OBJECT, "a reference");
            of_live[environment.0] = json!(environment.1);
            refuses(&app, "another environment", signed(&app, &of_live), 403).await;
            assert_eq!((written(&app).await, counted(&app, "refused").await), (0, 5));
            app.end().await;
        }
    }

    /// A topic in full names its account, too.
    async fn a_topic_in_full_is_compared_in_full(backend: Backend) {
        let name = format!("{MARKETPLACE}{}", seller::MERCHANT);
        let shape = Generation::CheckoutV2.shape();
        let topic = format!("arn:aws:sns:us-east-1:291180941288:{name}");
        let app = App::shaped(backend, shape.with("NOSHI__PAY__SHOP__NOTIFICATION_TOPIC", topic)).await;
        Generation::CheckoutV2.listen(&app, "1");
        let elsewhere = Some(format!("arn:aws:sns:us-east-1:666666666666:{name}"));
        refuses(&app, "another account", signed_as(&app, NoticeDraft { topic: elsewhere, ..draft(Generation::CheckoutV2) }), 403).await;
        assert_eq!(post(&app, signed_as(&app, draft(Generation::CheckoutV2))).await.status, 200);
        app.end().await;
    }

    async fn what_is_no_notification_is_400_and_what_is_too_large_413(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend, "1").await;
            let mut malformed = 0;
            for name in ["Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL"] {
                refuses(&app, name, changed(&app, generation, name, &Value::Null), 400).await;
                malformed += 1;
            }
            for (name, value) in [("Type", "Other"), ("SignatureVersion", "3"), ("MessageId", "7"), ("TopicArn", "a topic"), ("Signature", "§")] {
                refuses(&app, name, changed(&app, generation, name, &json!(value)), 400).await;
                malformed += 1;
            }
            let members = match generation {
                Generation::CheckoutV2 => ["MerchantID", "ObjectType", "ObjectId", "NotificationId"].as_slice(),
                Generation::Mws => &["NotificationReferenceId", "NotificationType", "SellerId", "ReleaseEnvironment", "NotificationData"],
            };
            for name in members {
                let mut without = generation.message(OBJECT, "a reference");
                without.as_object_mut().unwrap().remove(*name);
                refuses(&app, name, signed(&app, &without), 400).await;
                malformed += 1;
            }
            for body in ["", "{}", "[]", "null", "{", "a text"] {
                refuses(&app, body, body.to_owned(), 400).await;
                malformed += 1;
            }
            assert_eq!((written(&app).await, counted(&app, "malformed").await), (0, malformed));
            post(&app, "x".repeat(32 * 1024 + 1)).await.is_problem(413, "payload-too-large");
            let form = app.anonymous("POST", PATH).header("Content-Type", "application/x-www-form-urlencoded").body("{}");
            Answer::of(form).await.is_problem(415, "unsupported-media-type");
            app.end().await;
        }
    }
}
