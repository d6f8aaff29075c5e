//! What automation cannot end, a person does.

use noshi::sandbox::{Fault, FaultRule, Operation, PayCall};

use super::{captured, charge, charge_of, consent, events, refund, refund_of, shop, until};
use crate::{
    process::noshi,
    support::{App, Backend, Shape, on_each_backend},
};

/// Runs `noshi pay` beside the service: whether it succeeded, and what it printed.
fn pay(app: &App, arguments: &[&str]) -> (bool, String) {
    let output = noshi().arg("pay").args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), text)
}

/// A charge that Amazon shows with another amount than was asked for.
async fn in_doubt(app: &App, consent: &str, key: &str) -> String {
    let wrong =
        FaultRule { operation: Some(Operation::Pay(PayCall::CreateCharge)), ..FaultRule::once(Fault::WrongAmount) };
    app.control.script(wrong).unwrap();
    let answer = charge(app, key, &charge_of(consent, "980")).await;
    assert_eq!((answer.status, answer.json["status"].as_str()), (202, Some("needs_attention")), "{}", answer.text);
    answer.id().to_owned()
}

on_each_backend! {
    async fn a_person_writes_down_what_amazon_did_and_it_is_final(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let (made, not_made) = (in_doubt(&app, &consent, "one").await, in_doubt(&app, &consent, "two").await);
        assert_eq!(pay(&app, &["attention"]).1.lines().count(), 2);
        let (listed, text) = pay(&app, &["attention"]);
        assert!(listed && text.contains(&made) && text.contains("mismatch") && text.contains(&consent), "{text}");
        let page = app.metrics().await;
        assert!(page.contains("noshi_payments_in_state{account=\"shop\",kind=\"charge\",state=\"needs_attention\"} 2"), "{page}");
        let amazon = app.control.charges()[0].charge_id.clone();
        let why = ["--reason", "seen in Seller Central", "--by", "kim"];
        assert!(!pay(&app, &[&["settle", &made, "--as", "made"], &why[..]].concat()).0, "Amazon's id is needed");
        let (done, text) = pay(&app, &[&["settle", &made, "--as", "made", "--amazon-id", &amazon], &why[..]].concat());
        assert!(done && text.contains("is paid"), "{text}");
        let (done, text) = pay(&app, &[&["settle", &not_made, "--as", "not-made"], &why[..]].concat());
        assert!(done && text.contains("is failed"), "{text}");
        let (again, text) = pay(&app, &[&["settle", &made, "--as", "not-made"], &why[..]].concat());
        assert!(!again && text.contains("only one that needs attention"), "{text}");
        assert_eq!(events(&app, "/v1/pay/charges", &made).await.last().unwrap(), "charge.paid");
        assert_eq!(events(&app, "/v1/pay/charges", &not_made).await.last().unwrap(), "charge.failed");
        let entries = app.get(&format!("/v1/pay/charges/{made}/events")).await.json;
        let last = entries["data"].as_array().unwrap().last().unwrap();
        assert_eq!(last["detail"]["reason"], "kim: seen in Seller Central", "{entries}");
        // What was made can be given back.
        assert_eq!(refund(&app, "back", &refund_of(&made, "980")).await.status, 202);
        let settled = app.database.number("SELECT COUNT(*) FROM audit_records WHERE action = 'payment.settled'").await;
        assert_eq!(settled, 2);
        app.end().await;
    }

    /// Nobody takes them up, so their age must be seen.
    async fn what_an_account_left_that_the_settings_name_no_more_is_watched(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        assert_eq!(refund(&app, "back", &refund_of(paid.id(), "980")).await.status, 202);
        app.restart_in(Shape::default()).await;
        app.advance(5 * 86_400);
        let page = app.metrics().await;
        let pending = "noshi_payments_in_state{account=\"shop\",kind=\"refund\",state=\"unresolved\"} 1";
        assert!(page.contains(pending), "{page}");
        let age = page.lines().find_map(|line| {
            line.strip_prefix("noshi_payment_oldest_unproven_age_seconds{account=\"shop\",kind=\"refund\"} ")
        });
        assert!(age.is_some_and(|age| age.parse::<f64>().unwrap() > 400_000.0), "{page}");
        // When its time is over a person decides.
        app.advance(3 * 86_400);
        app.until_number("SELECT COUNT(*) FROM payments WHERE state = 'needs_attention'", 1).await;
        app.end().await;
    }

    async fn what_amazon_answers_nothing_about_for_a_day_needs_a_person(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let lost = FaultRule { operation: Some(Operation::Pay(PayCall::CreateCharge)), ..FaultRule::always(Fault::DropBeforeWork) };
        app.control.script(lost).unwrap();
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "respond-async");
        let begun = crate::support::Answer::of(crate::support::with_json(request, &charge_of(&consent, "980"))).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        until(&app, "/v1/pay/charges", begun.id(), "unknown").await;
        // Too few tries are no day of tries, so as many are written down.
        app.database.execute("UPDATE payments SET attempts = 200").await.unwrap();
        app.advance(25 * 3600);
        until(&app, "/v1/pay/charges", begun.id(), "needs_attention").await;
        assert_eq!(captured(&app, &consent), [""; 0]);
        app.end().await;
    }

    /// Amazon made one of them.
    async fn two_payments_are_not_settled_on_one_id_of_amazons(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let (one, other) = (in_doubt(&app, &consent, "one").await, in_doubt(&app, &consent, "two").await);
        let amazon = app.control.charges()[0].charge_id.clone();
        let why = ["--reason", "seen in Seller Central", "--by", "kim"];
        let made = |id: &str| pay(&app, &[&["settle", id, "--as", "made", "--amazon-id", &amazon], &why[..]].concat());
        assert!(made(&one).0);
        let (done, text) = made(&other);
        assert!(!done && text.contains(&one), "{text}");
        assert_eq!(app.get(&format!("/v1/pay/charges/{other}")).await.json["status"], "needs_attention");
        app.end().await;
    }
}
