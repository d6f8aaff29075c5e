//! The same key again: the same reward, whichever way its account is named.

use noshi::sandbox::Fault;
use serde_json::{Value, json};

use super::{Answer, Backend, CLIENT, Counter, LOAD, PROFILE, TOKENINFO, load, on_each_backend, sealed};

/// The answer names the key's reward, and does not say that nothing was bought.
fn is_left_open(answer: &Answer, status: u16, code: &str, reward: &str) {
    answer.is_problem(status, code);
    assert_eq!((answer.reward_id(), &answer.json["money_moved"]), (reward, &json!("unknown")), "{}", answer.text);
}

on_each_backend! {
    async fn the_same_key_is_the_same_load_and_the_account_belongs_to_the_key(backend: Backend) {
        let counter = Counter::open(backend).await;
        let first = counter.load("one", counter.barcode(0)).await;
        let second = counter.load("one", counter.barcode(0)).await;
        assert_eq!((first.status, second.status, first.id()), (201, 200, second.id()));
        counter.load("one", counter.barcode(1)).await.is_problem(422, "idempotency-mismatch");
        // The same shopper, named in another way, is another request: only Amazon knows that they are one.
        counter.load("one", json!({"phone": counter.shopper(0).phone})).await.is_problem(422, "idempotency-mismatch");
        counter.app.issue_body("one", load(counter.barcode(0), "26.00")).await.is_problem(422, "idempotency-mismatch");
        assert_eq!(counter.operations(), [LOAD], "nothing more was sent");
        counter.end_with_books().await;
    }

    async fn another_token_of_the_same_shopper_finds_the_same_reward_and_anothers_does_not(backend: Backend) {
        let counter = Counter::open(backend).await;
        let first = counter.load("one", counter.signed_in(0)).await;
        assert_eq!(first.status, 201, "{}", first.text);
        let second = counter.load("one", counter.signed_in(0)).await;
        assert_eq!((second.status, second.id()), (200, first.id()), "{}", second.text);
        let by_id = counter.load("one", json!({"account_id": counter.shopper(0).user_id})).await;
        assert_eq!((by_id.status, by_id.id()), (200, first.id()), "the identity is the account: {}", by_id.text);
        counter.load("one", counter.signed_in(1)).await.is_problem(422, "idempotency-mismatch");
        let expected = [TOKENINFO, PROFILE, LOAD, TOKENINFO, PROFILE, TOKENINFO, PROFILE];
        assert_eq!(counter.operations(), expected);
        counter.end_with_books().await;
    }

    /// What a caller whose answer was lost does: it sends the same body again, whatever has become of the token since.
    async fn the_same_token_finds_its_reward_also_once_it_has_expired_and_while_login_with_amazon_is_away(backend: Backend) {
        let counter = Counter::open(backend).await;
        let target = json!({"access_token": counter.token(CLIENT, 0, 60)});
        let first = counter.load("one", target.clone()).await;
        assert_eq!(first.status, 201, "{}", first.text);
        counter.app.control.advance_clock(61).unwrap();
        counter.strike(TOKENINFO, Fault::HtmlError { status: 503, after_work: false }, 100);
        let encoded = json!({"access_token": target["access_token"].as_str().unwrap().replace('|', "%7C")});
        for again in [target, encoded] {
            let second = counter.load("one", again).await;
            assert_eq!((second.status, second.id()), (200, first.id()), "{}", second.text);
        }
        assert_eq!(counter.operations(), [TOKENINFO, PROFILE, LOAD], "nobody was asked again");
        // Of another token nobody can say whose it is.
        let away = counter.load("one", counter.signed_in(0)).await;
        is_left_open(&away, 503, "dependency-unavailable", first.id());
        assert_eq!(counter.app.read(first.id()).await["status"], "issued");
        counter.end_with_books().await;
    }

    /// A caller that reads "no money moved" loads again under another key.
    async fn a_used_key_with_a_token_that_shows_nobody_is_never_answered_that_no_money_moved(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        let target = counter.signed_in(0);
        let first = counter.load("one", target.clone()).await;
        assert_eq!(first.status, 201, "{}", first.text);
        for (token, word) in [("Atza|nobody", "refused"), ("no token", "malformed")] {
            let refused = counter.load("one", json!({"access_token": token})).await;
            is_left_open(&refused, 400, "invalid-request", first.id());
            let error = &refused.json["errors"][0];
            assert_eq!((&error["pointer"], &error["code"]), (&json!("/target/access_token"), &json!(word)), "{error}");
        }
        let (_folder, without_login) = sealed();
        counter.app.restart_in(without_login).await;
        let refused = counter.load("one", counter.signed_in(0)).await;
        is_left_open(&refused, 503, "dependency-unavailable", first.id());
        let again = counter.load("one", target).await;
        assert_eq!((again.status, again.id()), (200, first.id()), "the token of then needs nobody: {}", again.text);
        assert_eq!(counter.standing().len(), 1);
        counter.end_with_books().await;
    }

    /// The turn of whoever tries the account next is not spent on a token that is no good any more.
    async fn a_stale_token_uses_up_no_turn_of_the_breaker(backend: Backend) {
        let mut counter = Counter::breaking(backend).await;
        counter.app.set_funds(10);
        let stale = json!({"access_token": counter.token(CLIENT, 0, 60)});
        for (key, target) in [("stale", stale.clone()), ("good", counter.barcode(1))] {
            counter.load(key, target).await.is_problem(402, "insufficient-funds");
        }
        assert_eq!(counter.calls().iter().filter(|call| call.operation == LOAD).count(), 1, "the second hears it at once");
        counter.app.set_funds(1_000);
        counter.app.advance(61);
        let refused = counter.load("stale", stale).await;
        refused.is_problem(400, "invalid-request");
        assert_eq!(counter.load("good", counter.barcode(1)).await.status, 201);
        counter.end_with_books().await;
    }

    /// A refused reward has forgotten its account, and the token shows it again.
    async fn a_refused_reward_is_tried_again_with_the_account_that_the_token_shows(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        counter.app.set_funds(10);
        let target = counter.signed_in(0);
        let refused = counter.load("one", target.clone()).await;
        refused.is_problem(402, "insufficient-funds");
        counter.app.set_funds(1_000);
        counter.strike(PROFILE, Fault::DropBeforeWork, 1);
        counter.load("one", target.clone()).await.is_problem(503, "dependency-unavailable");
        assert_eq!(counter.app.read(refused.reward_id()).await["status"], "failed", "it stays what it was");
        let issued = counter.load("one", target).await;
        assert_eq!((issued.status, issued.id()), (201, refused.reward_id()), "{}", issued.text);
        let loads: Vec<_> = counter.calls().into_iter().filter(|call| call.operation == LOAD).collect();
        assert_eq!(loads[0].body, loads[1].body, "the same bytes");
        counter.end_with_books().await;
    }

    async fn two_requests_of_one_key_at_once_load_once(backend: Backend) {
        let counter = Counter::open(backend).await;
        let (first, second) = (counter.signed_in(0), counter.signed_in(0));
        let (one, two) = futures_util::future::join(counter.load("one", first), counter.load("one", second)).await;
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200 | 201, 201 | 202]), "{} {}", one.text, two.text);
        assert_eq!((one.id(), counter.standing().len()), (two.id(), 1));
        let body: Value = serde_json::from_str(&counter.calls().pop().unwrap().body).unwrap_or_default();
        assert!(body["loadBalanceRequestId"].is_null() || counter.rewards().await == 1);
        counter.end_with_books().await;
    }

    /// A caller that reads "no money moved" loads again under another key.
    async fn a_bad_token_beside_a_good_one_under_one_key_is_never_answered_that_no_money_moved(backend: Backend) {
        let counter = Counter::open(backend).await;
        let target = counter.signed_in(0);
        counter.strike(TOKENINFO, Fault::Delay { milliseconds: 1_500 }, 1);
        let bad = counter.load("one", json!({"access_token": "Atza|nobody"}));
        let good = async {
            counter.app.until_received(TOKENINFO, 1).await;
            counter.load("one", target).await
        };
        let (bad, good) = futures_util::future::join(bad, good).await;
        assert_eq!(good.status, 201, "{}", good.text);
        is_left_open(&bad, 400, "invalid-request", good.id());
        assert_eq!(counter.standing().len(), 1);
        counter.end_with_books().await;
    }
}
