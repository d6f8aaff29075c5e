//! Loads in the reconciliation: no report is known to list them, so none of them is missed in one, also where it lists activations.

use serde_json::json;

use super::{App, Backend, Shape, load, on_each_backend, sealed};
use crate::reconciliation::{counts, reconcile};

/// Settings that name every kind.
fn of_all_kinds() -> (tempfile::TempDir, Shape) {
    let (folder, mut shape) = sealed();
    shape.settings.retain(|(name, _)| !name.ends_with("__KINDS"));
    (folder, shape.with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"card_activation\", \"balance_load\"]"))
}

on_each_backend! {
    async fn loads_that_no_report_lists_are_no_alarm_beside_activations_that_it_lists(backend: Backend) {
        let (folder, shape) = of_all_kinds();
        let mut app = App::shaped(backend, shape).await;
        let barcode = app.control.shoppers().swap_remove(0).barcode;
        for key in ["load", "void"] {
            let loaded = app.issue_body(key, load(json!({"barcode": barcode}), "25.00")).await;
            assert_eq!(loaded.status, 201, "{}", loaded.text);
            if key == "void" {
                assert_eq!(app.cancel(loaded.id()).await.json["status"], "canceled");
            }
        }
        let number = app.control.cards().swap_remove(0).card_number;
        let value = json!({"amount": "25.00", "currency_code": "USD"});
        let card = json!({"kind": "card_activation", "value": value, "target": {"card_number": number}});
        assert_eq!(app.issue_body("card", card).await.status, 201);
        assert_eq!(app.issue("code", "5.00").await.status, 201);
        let day = app.ambient.now().format("%Y-%m-%d").to_string();
        app.advance(2 * 86_400);
        let run = reconcile(&app, &day, &day).await;
        // Two are listed and match. What became of the loads, the report does not say.
        assert_eq!(counts(&run), [2, 0, 0, 0, 0, 0, 2], "{run}");
        app.end().await;
        folder.close().unwrap();
    }
}
