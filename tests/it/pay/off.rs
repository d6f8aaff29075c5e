//! Without an account at Amazon Pay nothing of it is served; and whoever lacks a scope does nothing with it.

use serde_json::json;

use super::{charge, charge_of, consent, refund, refund_of, shop};
use crate::support::{App, Backend, on_each_backend, scope};

on_each_backend! {
    async fn without_an_account_there_are_no_such_routes(backend: Backend) {
        let app = App::spawn(backend).await;
        for path in ["/v1/pay/charges", "/v1/pay/refunds", "/v1/pay/buttons", "/v1/pay/page-config"] {
            app.get(path).await.is_problem(404, "not-found");
            app.post(path, json!({})).await.is_problem(404, "not-found");
        }
        let page = app.metrics().await;
        assert!(!page.contains("noshi_payment"), "{page}");
        app.end().await;
    }

    async fn a_key_has_the_scopes_of_payments_only_where_its_maker_says_so(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let body = charge_of(&consent, "980");
        let (_client, usual) = app.mint_key("usual", noshi::identity::Scopes::new(noshi::server::scopes().into_iter().filter(|scope| scope.is_by_default()))).await;
        app.key = usual;
        charge(&app, "fee", &body).await.is_problem(403, "insufficient-scope");
        app.get("/v1/pay/charges").await.is_problem(403, "insufficient-scope");
        let (_client, writer) = app.mint_key("writer", noshi::identity::Scopes::new([scope("pay:write")])).await;
        app.key = writer;
        assert_eq!(charge(&app, "fee", &body).await.status, 201);
        app.get("/v1/pay/charges").await.is_problem(403, "insufficient-scope");
        let refused = refund(&app, "back", &refund_of("pmt_01990000000070008000000000000000", "1")).await;
        refused.is_problem(403, "insufficient-scope");
        app.end().await;
    }
}
