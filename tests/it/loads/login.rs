//! Login & Receive: the account is that of whoever signed in. A token that is not good loads nothing, and neither does Login with Amazon
//! when it is away.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::{App, Backend, CLIENT, Counter, LOAD, PROFILE, TOKENINFO, VOID, load, on_each_backend, sealed};

const OTHER: &str = "amzn1.application-oa2-client.ffffffffffffffffffffffffffffffff";

/// Sends tokens that are no good, and gives what was not refused as it must be, whatever the token says.
async fn taken(counter: &Counter) -> Vec<String> {
    let foreign = counter.token(OTHER, 0, 3_600);
    let expired = counter.token(CLIENT, 0, -1);
    let mut found = Vec::new();
    for (key, token, word, asked) in [
        ("foreign", foreign.as_str(), "foreign", &[TOKENINFO][..]),
        ("expired", &expired, "refused", &[TOKENINFO]),
        ("unknown", "Atza|nobody", "refused", &[TOKENINFO]),
        ("malformed", "not a token", "malformed", &[]),
        ("twice encoded", "Atza%257Cnobody", "malformed", &[]),
        ("empty", "", "malformed", &[]),
    ] {
        counter.app.control.clear_requests();
        let refused = counter.load(key, json!({"access_token": token})).await;
        if refused.status != 422 {
            found.push(format!("{key}: {}", refused.text));
            continue;
        }
        refused.is_problem(422, "upstream-rejected");
        let error = &refused.json["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/target/access_token"), &json!(word)), "{error}");
        assert_eq!((&refused.json["money_moved"], &refused.json["retryable"]), (&json!("no"), &json!(false)));
        assert!(token.is_empty() || !refused.text.contains(token), "{}", refused.text);
        assert_eq!(counter.operations(), asked, "{key}: whose it is, is not even asked");
    }
    found
}

/// For the copy with the seeded bugs.
pub(crate) async fn wrong_tokens_taken(backend: Backend) -> Vec<String> {
    let counter = Counter::open(backend).await;
    let found = taken(&counter).await;
    counter.end_with_books().await;
    found
}

on_each_backend! {
    async fn a_shopper_who_signed_in_is_loaded_by_their_account_id_and_the_load_is_voided(backend: Backend) {
        let counter = Counter::open(backend).await;
        let loaded = counter.load("one", counter.signed_in(2)).await;
        assert_eq!((loaded.status, &loaded.json["status"]), (201, &json!("issued")), "{}", loaded.text);
        assert!(loaded.json["target_ending"].is_null() && !loaded.text.contains("amzn1."), "{}", loaded.text);
        let sent: Value = serde_json::from_str(&counter.calls()[2].body).unwrap();
        assert_eq!(sent["account"], json!({"id": counter.shopper(2).user_id, "type": 3}));
        let canceled = counter.app.cancel(loaded.id()).await;
        assert_eq!(canceled.json["status"], "canceled", "{}", canceled.text);
        assert_eq!(counter.operations(), [TOKENINFO, PROFILE, LOAD, VOID], "a void needs nobody to sign in");
        counter.end_with_books().await;
    }

    async fn a_token_of_another_client_an_expired_and_a_malformed_one_are_refused_and_nothing_is_loaded(backend: Backend) {
        let counter = Counter::open(backend).await;
        assert_eq!(taken(&counter).await, Vec::<String>::new());
        assert_eq!((counter.rewards().await, counter.standing().len()), (0, 0));
        // The key was used for nothing: with a good token it is a new request.
        assert_eq!(counter.load("foreign", counter.signed_in(0)).await.status, 201);
        counter.end_with_books().await;
    }

    async fn login_with_amazon_away_or_answering_nonsense_is_a_503_and_nothing_is_loaded(backend: Backend) {
        let counter = Counter::open(backend).await;
        let target = counter.signed_in(0);
        let faults: [fn() -> Fault; 9] = [
            || Fault::HtmlError { status: 503, after_work: false },
            || Fault::HtmlError { status: 404, after_work: false },
            || Fault::DropBeforeWork,
            || Fault::ResetInBody,
            || Fault::Garbage,
            || Fault::EmptyBody,
            || Fault::WrongContentType,
            || Fault::OversizedBody,
            || Fault::Redirect { location: "/user/profile".to_owned() },
        ];
        for (at, fault) in faults.iter().enumerate() {
            for name in [TOKENINFO, PROFILE] {
                counter.strike(name, fault(), 1);
                let away = counter.load(&format!("{name}-{at}"), target.clone()).await;
                away.is_problem(503, "dependency-unavailable");
                assert!(away.headers.contains_key("retry-after"), "{:?}", fault());
                assert_eq!((&away.json["money_moved"], &away.json["retryable"]), (&json!("no"), &json!(true)));
            }
        }
        counter.strike(TOKENINFO, Fault::Hang, 1);
        counter.load("hang", target.clone()).await.is_problem(503, "dependency-unavailable");
        assert_eq!((counter.rewards().await, counter.standing().len()), (0, 0));
        assert_eq!(counter.load("tokeninfo-0", target).await.status, 201, "the same key, once it is back");
        let metrics = counter.app.metrics().await;
        let proven = "upstream_requests_total{account=\"main\",error_code=\"none\",operation=\"profile\",outcome=\"proven\"} 1";
        assert!(metrics.lines().any(|line| line.ends_with(proven) || line.contains(proven)), "{metrics}");
        counter.end_with_books().await;
    }

    async fn an_account_without_a_client_id_takes_no_token(backend: Backend) {
        let (folder, shape) = sealed();
        let app = App::shaped(backend, shape.with("NOSHI__ACCOUNTS__MAIN__LOGIN_HOST", "api.amazon.com")).await;
        let order = load(json!({"access_token": "Atza|a"}), "25.00");
        for refused in [app.issue_body("one", order.clone()).await, app.post("/v1/rewards/validate", order).await] {
            refused.is_problem(400, "invalid-request");
            let error = &refused.json["errors"][0];
            assert_eq!((&error["pointer"], &error["code"]), (&json!("/target/access_token"), &json!("unsupported")));
        }
        assert_eq!((app.received(TOKENINFO).len(), app.received(LOAD).len()), (0, 0));
        app.end().await;
        folder.close().unwrap();
    }
}
