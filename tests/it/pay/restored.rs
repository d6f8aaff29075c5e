//! A restored back-up: what was made since is not made again, and nobody hears that nothing was made.

use noshi::sandbox::{Fault, FaultRule, Operation, PayCall};
use serde_json::json;

use super::{captured, charge, charge_of, consent, refund, refund_of, shop, until};
use crate::support::{App, Backend, on_each_backend};

/// Loses every payment, as a back-up from before them does, and notes the restore.
async fn lose(app: &mut App) {
    assert!(app.stop().await);
    app.database.execute("DELETE FROM payments WHERE kind = 'refund'").await.unwrap();
    app.database.execute("DELETE FROM payments").await.unwrap();
    let store = app.open_store().await;
    let since = app.ambient.now() - chrono::TimeDelta::hours(1);
    noshi::bootstrap::note_restore(&store, &app.ambient, Some(since), &app.scribe()).await.unwrap();
    store.close().await;
    app.start().await;
}

on_each_backend! {
    async fn a_charge_of_then_is_found_although_amazon_refuses_the_first_questions(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let body = charge_of(&consent, "980");
        assert_eq!(charge(&app, "fee", &body).await.status, 201);
        lose(&mut app).await;
        // As with a key of before that came back with the settings.
        let turned_away = Fault::ReasonCode { status: 403, reason_code: "InvalidAuthentication".to_owned(), after_work: false };
        let rule = FaultRule { operation: Some(Operation::Pay(PayCall::CreateCharge)), times: Some(2), ..FaultRule::always(turned_away) };
        app.control.script(rule).unwrap();
        let answer = charge(&app, "fee", &body).await;
        assert!([201, 202].contains(&answer.status), "{}", answer.text);
        until(&app, "/v1/pay/charges", answer.id(), "paid").await;
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn a_decline_is_still_one_and_a_refused_refund_says_that_money_may_have_moved(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        let back = refund_of(paid.id(), "980");
        assert_eq!(refund(&app, "back", &back).await.status, 202);
        lose(&mut app).await;
        let denied = refund(&app, "back", &back).await;
        denied.is_problem(400, "invalid-request");
        assert_eq!(denied.json["money_moved"], "unknown", "{}", denied.text);
        let mut body = charge_of(&consent, "500");
        body["simulation"] = json!("SoftDeclined");
        charge(&app, "new", &body).await.is_problem(402, "payment-declined");
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }
}
