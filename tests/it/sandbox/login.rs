//! Login with Amazon on the gateway: whose a token is, for which client it was made, and how it is refused.

use noshi::sandbox::{Fault, FaultRule, NewToken, Operation};
use serde_json::{Value, json};

use super::{bench::Bench, signer::Seen};

const CLIENT: &str = "amzn1.application-oa2-client.ours";
const SHOPPER: &str = "amzn1.account.AGSANDBOX000000000000001";
const INFO: &str = "/auth/o2/tokeninfo";
const PROFILE: &str = "/user/profile";

fn token(bench: &Bench, expires_in_seconds: i64) -> String {
    let (client_id, user_id) = (CLIENT.to_owned(), SHOPPER.to_owned());
    let token = NewToken { access_token: None, client_id, user_id, expires_in_seconds };
    bench.control.plant_token(token).unwrap().access_token
}

async fn get(bench: &Bench, path: &str, header: &str) -> Seen {
    let request = format!("GET {path} HTTP/1.1\r\nHost: api.amazon.com\r\nConnection: close\r\n{header}\r\n");
    bench.send_bytes(request.as_bytes()).await
}

#[tokio::test]
async fn a_token_shows_its_client_its_account_and_how_long_it_is_good() {
    let bench = Bench::start().await;
    let token = token(&bench, 3_600);
    assert!(token.starts_with("Atza|"), "{token}");
    let encoded = token.replace('|', "%7C");
    for (path, header) in [
        (INFO.to_owned(), format!("x-amz-access-token: {token}\r\n")),
        (INFO.to_owned(), format!("Authorization: bearer {token}\r\n")),
        (format!("{INFO}?access_token={encoded}"), String::new()),
        ("/auth/O2/tokeninfo".to_owned(), format!("x-amz-access-token: {token}\r\n")),
    ] {
        let seen = get(&bench, &path, &header).await;
        let json = seen.json();
        assert_eq!((seen.status, &json["aud"], &json["user_id"]), (Some(200), &json!(CLIENT), &json!(SHOPPER)));
        assert!((3_590..=3_600).contains(&json["exp"].as_i64().unwrap()), "{json}");
    }
    for header in [format!("x-amz-access-token: {token}\r\n"), format!("Authorization: Bearer {token}\r\n")] {
        let seen = get(&bench, PROFILE, &header).await;
        assert_eq!((seen.status, &seen.json()["user_id"]), (Some(200), &json!(SHOPPER)));
    }
    let log = serde_json::to_string(&bench.control.requests()).unwrap();
    assert!(!log.contains(&token) && !log.contains(&encoded), "a token is in no log");
    assert_eq!(bench.last().operation, "profile");
}

#[tokio::test]
async fn a_token_that_is_unknown_expired_or_missing_is_refused_in_amazons_words() {
    let bench = Bench::start().await;
    let (good, expired) = (token(&bench, 60), token(&bench, -1));
    for path in [INFO, PROFILE] {
        for text in ["Atza|nobody", expired.as_str()] {
            let seen = get(&bench, path, &format!("x-amz-access-token: {text}\r\n")).await;
            assert_eq!((seen.status, &seen.json()["error"]), (Some(400), &json!("invalid_token")), "{path} {seen:?}");
        }
        let seen = get(&bench, path, "").await;
        assert_eq!((seen.status, &seen.json()["error"]), (Some(400), &json!("invalid_request")));
    }
    let query = get(&bench, &format!("{PROFILE}?access_token={}", good.replace('|', "%7C")), "").await;
    assert_eq!(query.json()["error"], "invalid_request", "a profile takes its token in a header");
    bench.control.advance_clock(61).unwrap();
    let late = get(&bench, INFO, &format!("x-amz-access-token: {good}\r\n")).await;
    assert_eq!(late.json()["error"], "invalid_token");
}

#[tokio::test]
async fn login_with_amazon_fails_on_demand() {
    let bench = Bench::start().await;
    let header = format!("x-amz-access-token: {}\r\n", token(&bench, 3_600));
    let strike = |operation, fault| {
        bench.control.script(FaultRule { operation: Some(operation), ..FaultRule::once(fault) }).unwrap();
    };
    strike(Operation::TokenInfo, Fault::HtmlError { status: 503, after_work: false });
    assert_eq!(get(&bench, PROFILE, &header).await.status, Some(200), "another call");
    assert_eq!(get(&bench, INFO, &header).await.status, Some(503));
    strike(Operation::UserProfile, Fault::DropBeforeWork);
    assert_eq!(get(&bench, PROFILE, &header).await.status, None);
    strike(Operation::TokenInfo, Fault::Garbage);
    assert!(serde_json::from_slice::<Value>(&get(&bench, INFO, &header).await.body).is_err());
    let rule = json!({"operation": "tokeninfo", "times": 1, "fault": {"kind": "empty_body"}});
    assert_eq!(bench.ctl("POST", "/faults", &rule.to_string()).await.0, 200);
    assert_eq!(get(&bench, INFO, &header).await.body, b"");
    assert_eq!(get(&bench, INFO, &header).await.status, Some(200));
}

#[tokio::test]
async fn tokens_are_planted_on_the_control_port() {
    let bench = Bench::start().await;
    let wanted =
        json!({"access_token": "Atza|mine", "client_id": CLIENT, "user_id": SHOPPER, "expires_in_seconds": 10});
    let (status, planted) = bench.ctl("POST", "/tokens", &wanted.to_string()).await;
    assert_eq!((status, &planted["access_token"]), (200, &json!("Atza|mine")));
    assert_eq!(bench.ctl("GET", "/tokens", "").await.1, json!([planted]));
    for bad in
        [r#"{"client_id":"a"}"#, r#"{"client_id":"","user_id":"b"}"#, r#"{"client_id":"a","user_id":"b","aud":"c"}"#]
    {
        assert_eq!(bench.ctl("POST", "/tokens", bad).await.0, 400, "{bad}");
    }
    // A name of Login with Amazon is no operation that is signed.
    assert_eq!(bench.post("tokeninfo", "{}").await.status, Some(404));
}
