//! A subscription is confirmed by an operator, and by nobody else.

use noshi::sandbox::{NoticeAct, NoticeDraft};

use super::{Generation, counted, post, signed_as};
use crate::{
    process::noshi,
    support::{App, Backend, on_each_backend, seller, wait},
};

/// Runs `noshi pay notifications` beside the service: whether it succeeded, and what it printed.
fn notifications(app: &App, arguments: &[&str]) -> (bool, String) {
    let mut command = noshi();
    command.args(["pay", "notifications"]).args(arguments).envs(app.environment().iter().cloned());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

on_each_backend! {
    async fn an_operator_confirms_what_sns_asks_for(backend: Backend) {
        let app = Generation::Mws.shop(backend, "1").await;
        app.control.act_on_notices(NoticeAct::Subscribe { merchant_id: seller::MERCHANT.to_owned() }).unwrap();
        wait::until("SNS has asked", async || counted(&app, "subscription").await == 1).await;
        assert!(app.control.confirmed_subscriptions().is_empty(), "nothing is confirmed by itself");
        let (listed, text) = notifications(&app, &["list"]);
        assert!(listed && text.contains("confirmed no") && text.contains(seller::MERCHANT), "{text}");
        let id = text.split_whitespace().find(|word| word.starts_with("sub_")).unwrap().to_owned();
        let (done, text) = notifications(&app, &["confirm", &id, "--by", "kim"]);
        assert!(done && text.contains("is confirmed"), "{text}");
        assert_eq!(app.control.confirmed_subscriptions().len(), 1);
        assert!(!notifications(&app, &["list"]).1.contains("confirmed no"));
        let (again, text) = notifications(&app, &["confirm", &id, "--by", "kim"]);
        assert!(again, "once more is as good as once: {text}");
        let records = app.database.number("SELECT COUNT(*) FROM audit_records WHERE action = 'subscription.confirmed'").await;
        assert_eq!(records, 1);
        let (unknown, text) = notifications(&app, &["confirm", "sub_01990000000070008000000000000000", "--by", "kim"]);
        assert!(!unknown && text.contains("no such subscription"), "{text}");
        app.end().await;
    }

    async fn a_subscription_that_sns_did_not_ask_for_is_refused(backend: Backend) {
        let app = Generation::Mws.shop(backend, "1").await;
        let asked = |topic: Option<String>| NoticeDraft {
            message: "You have chosen to subscribe".to_owned(),
            kind: Some("SubscriptionConfirmation".to_owned()),
            token: Some("0123456789abcdef".to_owned()),
            topic,
            ..NoticeDraft::default()
        };
        let elsewhere = asked(Some("arn:aws:sns:us-east-1:666666666666:of-somebody-else".to_owned()));
        post(&app, signed_as(&app, elsewhere)).await.is_problem(403, "notification-refused");
        let good = signed_as(&app, asked(None));
        post(&app, good.replace("/?Action=Confirm", "/?Action=ConfirmX")).await.is_problem(403, "notification-refused");
        let host = format!("http://{}/?", app.gateway());
        post(&app, good.replace(&host, "http://127.0.0.1:1/?")).await.is_problem(403, "notification-refused");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM pay_subscriptions").await, 0);
        for _ in 0..2 {
            assert_eq!(post(&app, good.clone()).await.status, 200);
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM pay_subscriptions").await, 1);
        app.end().await;
    }
}
