//! Anybody can post here. What strangers send costs little: no certificate is fetched without end, and nobody else is held up.

use noshi::{
    provider::sns::CERTIFICATE_FETCHES_PER_MINUTE,
    sandbox::{NoticeAct, NoticeCertificate, NoticeDraft},
};

use super::{Generation, counted, post, signed_as, written};
use crate::support::{App, Backend, on_each_backend};

const OBJECT: &str = "S03-1234567-1234567-C123456";

fn draft(reference: &str) -> NoticeDraft {
    NoticeDraft { message: Generation::CheckoutV2.message(OBJECT, reference).to_string(), ..NoticeDraft::default() }
}

/// A forged message whose certificate lies where none has been asked for.
fn forged(app: &App, at: usize) -> String {
    let url = Some(format!("http://{}/stranger-{at}.pem", app.gateway()));
    signed_as(app, NoticeDraft { certificate_url: url, ..draft(&format!("forged {at}")) })
}

on_each_backend! {
    async fn a_flood_of_forged_ones_fetches_no_certificate_without_end(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        assert_eq!(post(&app, signed_as(&app, draft("before"))).await.status, 200);
        let mut answers = Vec::new();
        for at in 0..100 {
            answers.push(post(&app, forged(&app, at)).await.status);
        }
        let most = u64::try_from(CERTIFICATE_FETCHES_PER_MINUTE).unwrap();
        assert_eq!(app.control.certificate_fetches(), most);
        let (refused, later) = (answers.iter().filter(|status| **status == 403).count(), answers.iter().filter(|status| **status == 503).count());
        assert_eq!((refused, later), (CERTIFICATE_FETCHES_PER_MINUTE - 1, 100 - CERTIFICATE_FETCHES_PER_MINUTE + 1));
        // What has proven a message stays, however many others are named meanwhile.
        for at in 0..3 {
            assert_eq!(post(&app, signed_as(&app, draft(&format!("after {at}")))).await.status, 200);
        }
        assert_eq!((app.control.certificate_fetches(), written(&app).await), (most, 4));
        app.end().await;
    }

    async fn a_certificate_that_has_proven_messages_serves_while_it_cannot_be_fetched_anew(backend: Backend) {
        let mut app = Generation::CheckoutV2.shop(backend, "1").await;
        assert_eq!(post(&app, signed_as(&app, draft("one"))).await.status, 200);
        app.control.act_on_notices(NoticeAct::Certificates { available: false }).unwrap();
        app.advance(25 * 3_600);
        assert_eq!(post(&app, signed_as(&app, draft("two"))).await.status, 200, "SNS is away");
        app.control.act_on_notices(NoticeAct::Certificates { available: true }).unwrap();
        for at in 0..20 {
            post(&app, forged(&app, at)).await;
        }
        assert_eq!(post(&app, signed_as(&app, draft("three"))).await.status, 200, "strangers have used up the minute's fetches");
        app.end().await;
    }

    async fn a_certificate_that_is_missing_is_asked_for_once_a_minute(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        for at in 0..5 {
            let missing = NoticeDraft { certificate: NoticeCertificate::Missing, ..draft(&format!("missing {at}")) };
            assert_eq!(post(&app, signed_as(&app, missing)).await.status, 403);
        }
        assert_eq!(app.control.certificate_fetches(), 1);
        app.end().await;
    }

    async fn while_no_certificate_can_be_had_sns_is_asked_to_come_again(backend: Backend) {
        let mut app = Generation::CheckoutV2.shop(backend, "1").await;
        app.control.act_on_notices(NoticeAct::Certificates { available: false }).unwrap();
        let body = signed_as(&app, draft("one"));
        for _ in 0..2 {
            let answer = post(&app, body.clone()).await;
            assert!(answer.headers.contains_key("retry-after"), "{}", answer.text);
            answer.is_problem(503, "dependency-unavailable");
        }
        assert_eq!((app.control.certificate_fetches(), counted(&app, "unreachable").await), (1, 2));
        app.control.act_on_notices(NoticeAct::Certificates { available: true }).unwrap();
        app.advance(61);
        assert_eq!(post(&app, body).await.status, 200);
        app.end().await;
    }
}
