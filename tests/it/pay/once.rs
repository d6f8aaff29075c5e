//! A buyer pays once, and hears the same of it each time.

use serde_json::json;

use super::{Generation, captured, charge, charge_of, consent, events, refund, refund_of, shop, until};
use crate::support::{App, Backend, on_each_backend, seller};

on_each_backend! {
    async fn a_buyer_pays_once_however_often_the_caller_asks(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let mut body = charge_of(&consent, "980");
        body["external_id"] = json!("fee-2026-11");
        let paid = charge(&app, "fee", &body).await;
        assert_eq!((paid.status, paid.json["status"].as_str()), (201, Some("paid")), "{}", paid.text);
        assert!(paid.json["amazon_id"].as_str().unwrap().contains("-C"), "{}", paid.text);
        assert_eq!(paid.header("location"), format!("/v1/pay/charges/{}", paid.id()));
        for _ in 0..3 {
            let again = charge(&app, "fee", &body).await;
            assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"), "{}", again.text);
            assert_eq!(again.json, paid.json);
        }
        assert_eq!(captured(&app, &consent), ["980"]);
        assert_eq!(events(&app, "/v1/pay/charges", paid.id()).await, ["charge.received", "charge.paid"]);
        assert_eq!(app.get(&format!("/v1/pay/charges/{}", paid.id())).await.json, paid.json);
        app.end().await;
    }

    async fn many_requests_at_once_under_one_key_are_one_charge(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend).await;
            let consent = generation.consent(&app);
            let body = charge_of(&consent, "500");
            let answers = futures_util::future::join_all((0..12).map(|_at| charge(&app, "one", &body))).await;
            assert!(answers.iter().all(|answer| [200, 201, 202].contains(&answer.status)), "{answers:?}");
            assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:?}");
            let ids: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.id().to_owned()).collect();
            assert_eq!(ids.len(), 1);
            assert_eq!(captured(&app, &consent), ["500"]);
            app.end().await;
        }
    }

    async fn a_key_names_one_request_for_ever(backend: Backend) {
        let app = shop(backend).await;
        let (first, other) = (consent(&app), consent(&app));
        let body = charge_of(&first, "500");
        let made = charge(&app, "one", &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let differing = [
            ("/consent_id", charge_of(&other, "500")),
            ("/value", charge_of(&first, "501")),
            ("/may_wait", json!({"consent_id": first, "value": body["value"], "may_wait": true})),
            ("/external_id", json!({"consent_id": first, "value": body["value"], "external_id": "x"})),
        ];
        for (pointer, body) in differing {
            let refused = charge(&app, "one", &body).await;
            refused.is_problem(422, "idempotency-mismatch");
            assert_eq!(refused.json["errors"][0]["pointer"], pointer);
            assert_eq!(refused.json["payment_id"], made.id());
        }
        let as_refund = refund(&app, "one", &refund_of(made.id(), "500")).await;
        as_refund.is_problem(422, "idempotency-mismatch");
        assert_eq!(app.control.charges().len(), 1);
        assert_eq!(app.control.refunds().len(), 0);
        app.end().await;
    }

    async fn another_clients_charge_is_as_if_it_were_not(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let mine = charge(&app, "one", &charge_of(&consent, "500")).await;
        let own = app.key.clone();
        let (_client, theirs) = app.mint_key("other", app.every_scope()).await;
        app.key = theirs;
        for path in [format!("/v1/pay/charges/{}", mine.id()), format!("/v1/pay/charges/{}/events", mine.id())] {
            app.get(&path).await.is_problem(404, "not-found");
        }
        let refused = refund(&app, "two", &refund_of(mine.id(), "500")).await;
        refused.is_problem(400, "invalid-request");
        assert_eq!(refused.json["errors"][0]["pointer"], "/charge_id");
        assert_eq!(app.get("/v1/pay/charges").await.json["data"], json!([]));
        // The same key of another client is another charge.
        assert_eq!(charge(&app, "one", &charge_of(&consent, "500")).await.status, 201);
        assert_eq!(captured(&app, &consent).len(), 2);
        app.key = own;
        assert_eq!(app.get("/v1/pay/charges").await.json["data"].as_array().unwrap().len(), 1);
        app.end().await;
    }

    async fn charges_and_refunds_are_found_by_what_callers_know_page_by_page(backend: Backend) {
        let app = shop(backend).await;
        let (one, two) = (consent(&app), consent(&app));
        let mut ids = Vec::new();
        for (at, consent) in [&one, &two, &one, &one].into_iter().enumerate() {
            let mut body = charge_of(consent, "500");
            body["external_id"] = json!(format!("order-{}", at % 2));
            let made = charge(&app, &format!("key-{at}"), &body).await;
            assert_eq!(made.status, 201, "{}", made.text);
            ids.push(made.id().to_owned());
        }
        for (at, amount) in ["100", "200"].into_iter().enumerate() {
            let made = refund(&app, &format!("back-{at}"), &refund_of(&ids[0], amount)).await;
            assert_eq!(made.status, 202, "{}", made.text);
        }
        let listed = async |path: &str| {
            let answer = app.get(path).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let data = answer.json["data"].as_array().unwrap();
            data.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let newest = |at: &[usize]| at.iter().map(|at| ids[*at].clone()).collect::<Vec<_>>();
        assert_eq!(listed("/v1/pay/charges").await, newest(&[3, 2, 1, 0]));
        assert_eq!(listed("/v1/pay/charges?external_id=order-1").await, newest(&[3, 1]));
        assert_eq!(listed(&format!("/v1/pay/charges?consent_id={one}")).await, newest(&[3, 2, 0]));
        assert_eq!(listed(&format!("/v1/pay/refunds?charge_id={}", ids[0])).await.len(), 2);
        assert_eq!(listed(&format!("/v1/pay/refunds?charge_id={}", ids[1])).await.len(), 0);
        let first = app.get("/v1/pay/charges?limit=3").await;
        let cursor = first.json["next_cursor"].as_str().unwrap();
        assert_eq!(listed(&format!("/v1/pay/charges?limit=3&cursor={cursor}")).await, newest(&[0]));
        for path in ["/v1/pay/charges?external_id=a&consent_id=C03-1234567-1234567", "/v1/pay/charges?consent_id=x", "/v1/pay/refunds?charge_id=x"] {
            app.get(path).await.is_problem(400, "invalid-request");
        }
        app.end().await;
    }

    async fn what_is_wrong_is_named_and_changes_nothing(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let value = |amount: &str, currency: &str| json!({"amount": amount, "currency_code": currency});
        let with = |name: &str, to: serde_json::Value| {
            let mut body = charge_of(&consent, "980");
            body[name] = to;
            body
        };
        for (body, status, code, pointer) in [
            (with("consent_id", json!("C03-1234567")), 400, "invalid-request", "/consent_id"),
            (with("consent_id", json!("B03-1234567-1234567")), 400, "invalid-request", "/consent_id"),
            (with("value", value("980.00", "JPY")), 422, "amount-precision", "/value/amount"),
            (with("value", value("0", "JPY")), 422, "amount-out-of-range", "/value/amount"),
            (with("value", value("10000001", "JPY")), 422, "amount-out-of-range", "/value/amount"),
            (with("value", value("9.80", "USD")), 422, "currency-not-supported", "/value/currency_code"),
            (with("account_id", json!("other")), 400, "invalid-request", "/account_id"),
            (with("simulation", json!("hard declined")), 400, "invalid-request", "/simulation"),
            (with("external_id", json!("AB12-CD34EF-GH56")), 400, "invalid-request", "/external_id"),
        ] {
            let refused = charge(&app, "wrong", &body).await;
            refused.is_problem(status, code);
            assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{}", refused.text);
            assert_eq!(refused.json["money_moved"], "no");
        }
        assert_eq!(app.control.charges().len(), 0);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM payments").await, 0);
        // The key is as good as new.
        assert_eq!(charge(&app, "wrong", &charge_of(&consent, "980")).await.status, 201);
        app.end().await;
    }

    /// As after a restored back-up: what is asked of Amazon derives from the caller's key alone, so Amazon finds what it made.
    async fn a_payment_whose_row_was_lost_is_found_again_by_its_key(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let body = charge_of(&consent, "980");
        let first = charge(&app, "fee", &body).await;
        assert_eq!(first.status, 201, "{}", first.text);
        assert_eq!(app.database.execute("DELETE FROM payments").await.unwrap(), 1);
        let again = charge(&app, "fee", &body).await;
        assert_eq!((again.status, again.json["status"].as_str()), (201, Some("paid")), "{}", again.text);
        assert_ne!(again.id(), first.id());
        assert_eq!(again.json["amazon_id"], first.json["amazon_id"]);
        assert_eq!(captured(&app, &consent), ["980"]);
        app.end().await;
    }

    async fn money_goes_back_once_and_the_buyer_has_it_when_amazon_says_so(backend: Backend) {
        let mut app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "980")).await;
        let body = refund_of(paid.id(), "980");
        let begun = refund(&app, "back", &body).await;
        assert_eq!((begun.status, begun.json["status"].as_str()), (202, Some("pending")), "{}", begun.text);
        assert_eq!(begun.json["charge_id"], paid.id());
        assert!(begun.header("retry-after").parse::<u64>().is_ok());
        app.advance(31);
        let back = until(&app, "/v1/pay/refunds", begun.id(), "refunded").await;
        assert!(back["settled_at"].is_string());
        let again = refund(&app, "back", &body).await;
        assert_eq!(again.status, 200, "{}", again.text);
        let refunds = app.control.refunds();
        assert_eq!((refunds.len(), refunds[0].amount.as_str()), (1, "980"));
        let kinds = events(&app, "/v1/pay/refunds", begun.id()).await;
        assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("refund.received", "refund.refunded"));
        app.end().await;
    }

    async fn a_charge_that_amazon_decides_later_is_reported_once_decided(backend: Backend) {
        for (card, end) in [("0701", "paid"), ("4354", "declined")] {
            let mut app = shop(backend).await;
            let consent = seller::consent(&app.control, 100_000, card);
            let mut body = charge_of(&consent, "980");
            body["may_wait"] = json!(true);
            let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "wait=2");
            let pending = crate::support::Answer::of(crate::support::with_json(request, &body)).await;
            assert_eq!((pending.status, pending.json["status"].as_str()), (202, Some("pending")), "{}", pending.text);
            assert!(pending.json["amazon_id"].is_string());
            app.advance(31);
            let ended = until(&app, "/v1/pay/charges", pending.id(), end).await;
            assert_eq!(ended["decline"]["kind"].as_str(), (end == "declined").then_some("method"), "{ended}");
            assert_eq!(captured(&app, &consent).len(), usize::from(end == "paid"));
            assert_eq!(app.control.charges().len(), 1);
            app.end().await;
        }
    }
}

impl App {
    fn every_scope(&self) -> noshi::identity::Scopes {
        noshi::identity::Scopes::new(
            noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all")),
        )
    }
}
