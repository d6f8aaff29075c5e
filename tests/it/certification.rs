//! What Amazon asks of a partner before it opens the production account: its onboarding cases by number, the older
//! certification list by name, and every mock id, all through our own REST face.

use std::{sync::Arc, time::Duration};

use noshi::{
    accounts::{self, Account, Accounts, CardLimits, FundingPolicy, Quota, RequestRate, Terms},
    config::{Ceilings, CreateSettings},
    incentives::{
        self, Command, Rewards,
        courier::{CourierLimits, CourierParts},
        create_members::AskedMembers,
        kind::{Aim, Kind},
        model::OnUnresolved,
    },
    kernel::{ApiKeyId, Currency, Environment, IdempotencyKey, Marketplace, Money},
    ledger,
    lifecycle::Tasks,
    provider::incentives::{Client, ClientSettings, Credentials, Endpoint, Timeouts},
    sandbox::PartnerTerms,
    sealing::Keyring,
    store::Store,
    telemetry::{metrics::Registry, trace::Traces},
};
use rust_decimal::Decimal;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{
    ACCESS_KEY_ID, App, Backend, PARTNER, SECRET_ACCESS_KEY, Shape,
    books::books_match,
    faults::{of_cancel, refusal},
    on_each_backend, refused,
    wait::until,
};

/// The mock ids that leave the outcome open, and what is told of it.
const MOCK_DOUBTS: [(&str, &str); 3] = [("F1000", "F100"), ("F4000", "F400"), ("F5000", "F500")];

/// The gateway's mock card.
const MOCK_CODE: &str = "ZYXW-VUTS-RQPO";

/// The creates that the gateway received under this id.
fn creates_of(app: &App, id: &str) -> usize {
    app.received("Create").iter().filter(|received| received.creation_request_id.as_deref() == Some(id)).count()
}

on_each_backend! {
    async fn onboarding_1_a_gift_code_for_100_is_created(backend: Backend) {
        let app = App::spawn(backend).await;
        let created = app.issue("onboarding-1", "100.00").await;
        assert_eq!((created.status, &created.json["status"]), (201, &json!("issued")), "{}", created.text);
        assert_eq!(created.json["value"], json!({"amount": "100.00", "currency_code": "USD"}));
        assert_eq!(app.live_cards()[0].claim_code, created.code());
        books_match(&app).await;
        app.end().await;
    }

    async fn onboarding_2_the_gift_card_of_test_1_is_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let created = app.issue("onboarding-1", "100.00").await;
        let canceled = app.cancel(created.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert_eq!(app.received("Cancel").len(), 1);
        assert_eq!(app.received("Cancel")[0].creation_request_id, app.received("Create")[0].creation_request_id);
        assert!(app.live_cards().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn onboarding_3_creating_1000_twice_with_one_id_is_one_card_and_one_code(backend: Backend) {
        let app = App::spawn(backend).await;
        let first = app.issue("onboarding-3", "1000.00").await;
        let second = app.issue("onboarding-3", "1000.00").await;
        assert_eq!((first.status, second.status), (201, 200));
        assert_eq!((first.id(), first.code(), &first.json["value"]), (second.id(), second.code(), &second.json["value"]));
        let sent = app.received("Create");
        assert_eq!((sent.len(), sent[0].body.as_str()), (2, sent[1].body.as_str()), "the same bytes twice");
        assert_eq!((sent[0].real_op, sent[1].real_op), (true, false));
        books_match(&app).await;
        app.end().await;
    }

    async fn onboarding_4_a_cancel_that_amazon_calls_too_late_tells_that_the_15_minutes_are_over(backend: Backend) {
        let app = App::spawn(backend).await;
        let created = app.issue("onboarding-4", "100.00").await;
        app.control.script(of_cancel(refusal("F200", "CancelRequestArrivedAfterTimeLimit"))).unwrap();
        let refused = app.cancel(created.id()).await;
        refused.is_problem(409, "cancel-window-closed");
        assert_eq!(refused.json["title"], "The cancel window is closed");
        assert_eq!((&refused.json["retryable"], &refused.json["money_moved"]), (&json!(false), &json!("yes")));
        assert_eq!(refused.json["cancelable_until"], created.json["cancelable_until"]);
        let stored = app.read(created.id()).await;
        assert_eq!((&stored["status"], &stored["cancel_failure"]), (&json!("issued"), &json!("too_late")));
        books_match(&app).await;
        app.end().await;
    }

    async fn onboarding_5_insufficient_funds_give_no_code_no_blind_retry_and_an_alarm(backend: Backend) {
        let mut app = App::shaped(backend, Shape { funds: 99, ..Shape::default() }).await;
        let refused = app.issue("onboarding-5", "100.00").await;
        refused.is_refusal(402, "insufficient-funds", ("F300", "InsufficientFunds"));
        assert_eq!(app.read(refused.reward_id()).await["status"], "failed");
        app.pass(3600).await;
        assert_eq!(app.received("Create").len(), 1, "nobody tries again by itself");
        let alarm = "noshi_upstream_requests_total{account=\"main\",error_code=\"F300\",operation=\"CreateGiftCard\",outcome=\"refused\"} 1";
        assert!(app.metrics().await.contains(alarm), "someone is told");
        books_match(&app).await;
        app.end().await;
    }

    async fn certification_cc_1000_is_created_and_then_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let created = app.issue("CC", "1000.00").await;
        assert_eq!(created.status, 201);
        assert_eq!(app.cancel(created.id()).await.json["status"], "canceled");
        books_match(&app).await;
        app.end().await;
    }

    async fn certification_dlb_and_max_the_smallest_and_the_largest_amount_are_created_and_no_other(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__ACCOUNTS__MAIN__REWARD_MINIMUM", "0.01")).await;
        // That list is of accounts whose contract goes down to a cent; Amazon's pages say 0.15.
        let terms = PartnerTerms { minimum: Some(Decimal::new(1, 2)), ..PartnerTerms::default() };
        app.control.set_terms(PARTNER, terms).unwrap();
        for (key, amount) in [("DLB", "0.01"), ("MAX", "2000.00")] {
            let created = app.issue(key, amount).await;
            assert_eq!((created.status, &created.json["value"]["amount"]), (201, &json!(amount)), "{}", created.text);
        }
        let bought = app.received("Create").len();
        for (key, amount) in [("below", "0.00"), ("above", "2000.01")] {
            app.issue(key, amount).await.is_problem(422, "amount-out-of-range");
        }
        assert_eq!(app.received("Create").len(), bought, "what is outside is not sent");
        books_match(&app).await;
        app.end().await;
    }

    async fn certification_idm_1000_twice_with_one_id_reports_the_same_amount(backend: Backend) {
        let app = App::spawn(backend).await;
        let answers = [app.issue("IDM", "1000.00").await, app.issue("IDM", "1000.00").await];
        for answer in &answers {
            assert_eq!((&answer.json["status"], &answer.json["value"]["amount"]), (&json!("issued"), &json!("1000.00")));
            assert_eq!(answer.code(), answers[0].code());
        }
        books_match(&app).await;
        app.end().await;
    }

    async fn mock_f0000_succeeds_under_exactly_its_id_and_can_be_canceled(backend: Backend) {
        let app = App::spawn(backend).await;
        let created = app.issue("F0000", "25.00").await;
        assert_eq!((created.status, created.code()), (201, MOCK_CODE), "{}", created.text);
        assert_eq!(created.json["creation_request_id"], "F0000");
        assert_eq!((creates_of(&app, "F0000"), app.received("Create").len()), (1, 1));
        let canceled = app.cancel(created.id()).await;
        assert_eq!((canceled.status, &canceled.json["status"]), (200, &json!("canceled")), "{}", canceled.text);
        assert!(app.issue("F0000", "25.00").await.json["claim_code"].is_null());
        assert_eq!(creates_of(&app, "F0000"), 1, "a canceled reward is not asked for again");
        assert!(app.control.book().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn each_mock_refusal_is_told_as_what_it_is_and_is_sent_under_exactly_its_id(backend: Backend) {
        let app = App::spawn(backend).await;
        for (mock, upstream) in refused::MOCKS {
            let (status, code) = refused::expected(upstream.0, upstream.1);
            let answer = app.issue(mock, "25.00").await;
            answer.is_refusal(status, code, upstream);
            assert_eq!(creates_of(&app, mock), 1, "{mock} is sent once");
            let stored = app.read(answer.reward_id()).await;
            assert_eq!((&stored["status"], &stored["creation_request_id"]), (&json!("failed"), &json!(mock)));
            assert_eq!(stored["last_error"], json!({"error_code": upstream.0, "error_type": upstream.1}));
            app.issue(mock, "25.00").await.is_refusal(status, code, upstream);
            let asked_again = usize::from(upstream.0 == "F300");
            assert_eq!(creates_of(&app, mock), 1 + asked_again, "only what can be cured is tried again: {mock}");
        }
        assert!(app.control.book().is_empty(), "no mock buys a card");
        books_match(&app).await;
        app.end().await;
    }

    async fn each_mock_doubt_is_202_and_is_replayed_under_exactly_its_id(backend: Backend) {
        let app = App::spawn(backend).await;
        for (mock, word) in MOCK_DOUBTS {
            let open = app.issue(mock, "25.00").await;
            open.is_accepted();
            assert_eq!((&open.json["status"], &open.json["creation_request_id"]), (&json!("unresolved"), &json!(mock)));
            assert_eq!(open.json["last_error"], json!({"error_code": word}));
        }
        for (mock, _word) in MOCK_DOUBTS {
            until(&format!("{mock} is replayed"), async || creates_of(&app, mock) >= 2).await;
            let again = app.issue(mock, "25.00").await;
            again.is_accepted();
            assert_eq!(again.json["status"], "unresolved");
        }
        let ids = app.received("Create").into_iter().map(|received| received.creation_request_id.unwrap());
        assert!(ids.into_iter().all(|id| MOCK_DOUBTS.iter().any(|(mock, _word)| *mock == id)));
        assert!(app.control.book().is_empty());
        books_match(&app).await;
        app.end().await;
    }

    async fn buying_again_with_the_key_of_a_canceled_card_is_canceled_and_has_no_code(backend: Backend) {
        let app = App::spawn(backend).await;
        let bought = app.issue("refund", "40.00").await;
        assert_eq!(app.cancel(bought.id()).await.json["status"], "canceled");
        let again = app.issue("refund", "40.00").await;
        assert_eq!((again.status, &again.json["status"]), (200, &json!("canceled")), "{}", again.text);
        assert!(!again.text.contains(bought.code()) && again.json["claim_code"].is_null());
        app.reveal(bought.id()).await.is_problem(410, "gone");
        assert_eq!(app.received("Create").len(), 1, "Amazon would have shown the dead code");
        let another = [app.issue("twice", "40.00").await, app.issue("twice", "40.00").await];
        assert_eq!((another[0].code(), another[0].id()), (another[1].code(), another[1].id()));
        assert_eq!((app.control.book().len(), app.live_cards().len()), (2, 1));
        books_match(&app).await;
        app.end().await;
    }

    async fn in_japan_500_yen_are_bought_and_fractions_of_a_yen_are_refused(backend: Backend) {
        let app = App::shaped(backend, Shape { marketplace: "JP", ..Shape::default() }).await;
        let bought = app.issue("yen", "500").await;
        assert_eq!((bought.status, &bought.json["value"]), (201, &json!({"amount": "500", "currency_code": "JPY"})));
        assert_eq!(app.issue("yen", "500").await.code(), bought.code());
        for (key, amount) in [("half", "500.5"), ("zeros", "500.00")] {
            let body = json!({"kind": "gift_code", "value": {"amount": amount, "currency_code": "JPY"}});
            app.issue_body(key, body).await.is_problem(422, "amount-precision");
        }
        app.issue("dollars", "5.00").await.is_problem(422, "currency-not-supported");
        assert!(app.received("Create").iter().all(|received| received.host == "agcod-v2-fe-gamma.amazon.com"));
        assert_eq!((app.received("Create").len(), app.control.book().len()), (2, 1));
        books_match(&app).await;
        app.end().await;
    }

    async fn an_account_in_production_never_takes_a_mock_id(backend: Backend) {
        let app = App::spawn(backend).await;
        let store = app.open_store().await;
        let key = IdempotencyKey::parse("F0000").unwrap();
        let (kind, value) = (Kind::GiftCode, Money::from_minor(2500, Currency::Usd));
        let command = Command {
            key, account: None, program: None, asked_by: ApiKeyId::new(uuid::Uuid::nil()), kind, value, external_id: None, metadata: None, on_unresolved: OnUnresolved::Keep, aim: Aim::Nothing,
            asked: AskedMembers::default(), purpose: accounts::Purpose::Purchase,
        };
        let issued = production(&app, store.clone()).issue.run(app.client, command, None, app.ambient.monotonic()).await.unwrap();
        assert_eq!(issued.reward.creation_request_id.as_str(), app.amazon_id("F0000"));
        assert_eq!(issued.code.unwrap().expose(), app.live_cards()[0].claim_code, "a card was bought, no mock");
        assert_eq!((creates_of(&app, "F0000"), app.received("Create").len()), (0, 1));
        store.close().await;
        books_match(&app).await;
        app.end().await;
    }
}

/// The use cases over an account that the settings would call production. The settings let no such account near a
/// sandbox, so it is put together by hand.
fn production(app: &App, store: Store) -> Rewards {
    let marketplace = Marketplace::Us;
    let (clock, seconds) = (app.ambient.clone(), Duration::from_secs);
    let settings = ClientSettings {
        endpoint: Endpoint::loopback(marketplace, app.gateway()).unwrap(),
        partner_id: PARTNER.to_owned(),
        credentials: Credentials::new(ACCESS_KEY_ID.into(), SECRET_ACCESS_KEY.into()),
        timeouts: Timeouts::default(),
        https_proxy: None,
    };
    let terms = Terms {
        id: "main".to_owned(),
        partner_id: PARTNER.to_owned(),
        marketplace,
        environment: Environment::Production,
        time_zone: chrono_tz::Tz::UTC,
        kinds: vec!["gift_code"],
        create: CreateSettings::default(),
        limits: CardLimits {
            minimum: Money::from_minor(1, Currency::Usd),
            maximum: Money::from_minor(200_000, Currency::Usd),
        },
        ceilings: Ceilings {
            client_day_maximum: None,
            client_day_rewards: None,
            account_day_maximum: None,
            funds_floor: None,
        },
        funding: FundingPolicy { low_balance: None, lead_days: 1 },
        validates: false,
    };
    let client = Client::new(settings, move || clock.now()).unwrap();
    let registry = Registry::new().unwrap();
    let accounts_metrics = Arc::new(accounts::Metrics::new(&registry, &[], &[]).unwrap());
    let ledger_metrics = Arc::new(ledger::Metrics::new(&registry).unwrap());
    let rate = RequestRate { per_second: 0, account: "main".to_owned(), accounts: 1 };
    let quota = Quota::new("main", rate, store.clone(), app.ambient.clone(), accounts_metrics);
    let parts = CourierParts {
        store,
        ambient: app.ambient.clone(),
        accounts: Accounts::new([Account::new(terms, client, quota)]),
        metrics: Arc::new(incentives::Metrics::new(&registry, &[], ledger_metrics).unwrap()),
        tasks: Tasks::on(tokio::runtime::Handle::current()),
        limits: CourierLimits {
            lease: seconds(20),
            upstream_timeout: seconds(6),
            breaker: seconds(0),
            replay_while_waited: true,
            answer_within: seconds(10),
            replay_age: seconds(3600),
            redelivery: seconds(3600),
            redelivery_max: 20,
            retention: None,
        },
        wake: Arc::new(Notify::new()),
        traces: Traces::silent(app.ambient.clone()),
        keyring: Keyring::new(&app.settings.sealing).unwrap(),
    };
    Rewards::new(parts, 1, 1000, None)
}
