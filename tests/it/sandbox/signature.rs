//! Which signatures the gateway accepts, and what it says to the others.

use chrono::TimeDelta;

use super::bench::{Bench, SECRET, create_body};
use super::signer::Call;

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

fn a_create(bench: &Bench) -> Call {
    bench.call("CreateGiftCard", &create_body("AwssbS", "25.00", "USD"))
}

fn header(name: &str, value: &str, signed: bool) -> (String, String, bool) {
    (name.to_owned(), value.to_owned(), signed)
}

#[tokio::test]
async fn a_signature_that_holds_is_accepted_and_noted() {
    let bench = Bench::start().await;
    let seen = bench.send(&a_create(&bench)).await;
    assert_eq!(seen.status, Some(200), "{seen:?}");
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("x-amzn-requestid").unwrap().len(), 36);
    assert!(seen.header("date").is_some());
    let noted = bench.last();
    assert!(noted.signature_accepted && noted.real_op);
    assert_eq!((noted.http_status, noted.operation.as_str()), (Some(200), "CreateGiftCard"));
    assert_eq!(noted.host, "agcod-v2-gamma.amazon.com");
}

#[tokio::test]
async fn one_digit_of_the_signature_or_one_byte_of_the_body_is_refused_and_does_nothing() {
    let bench = Bench::start().await;
    let whole = String::from_utf8(a_create(&bench).bytes()).unwrap();
    let (before, after) = whole.split_once("Signature=").unwrap();
    let flipped = if after.starts_with('0') { '1' } else { '0' };
    let other_signature = format!("{before}Signature={flipped}{}", after.get(1..).unwrap());
    let other_body = whole.replace("25.00", "26.00");
    let other_case = whole.replace("application/json", "application/JSON");
    for changed in [other_signature, other_body, other_case] {
        let seen = bench.send_bytes(changed.as_bytes()).await;
        assert_eq!(seen.status, Some(403), "{seen:?}");
        let message = seen.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(MISMATCH) && message.contains("\n\nThe String-to-Sign should have been\n'AWS4-"));
        assert_eq!(seen.header("x-amzn-errortype"), Some("InvalidSignatureException"));
    }
    assert!(bench.control.book().is_empty());
    assert!(bench.control.requests().iter().all(|noted| !noted.signature_accepted));
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_key_are_told_apart() {
    let bench = Bench::start().await;
    let wrong_secret = Call { secret: "SECRET".to_owned(), ..a_create(&bench) };
    let message = bench.send(&wrong_secret).await.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with(MISMATCH) && !message.contains(SECRET), "{message}");
    // The caller sees what it should have signed: with the right secret it would have passed.
    assert!(message.contains("'POST\n/CreateGiftCard\n\naccept:application/json\ncontent-type:"), "{message}");
    let unknown_key = Call { key_id: "AKID".to_owned(), ..a_create(&bench) };
    let seen = bench.send(&unknown_key).await;
    assert_eq!(seen.status, Some(403));
    assert_eq!(seen.text(), "{\"message\":\"The security token included in the request is invalid.\"}\n");
}

#[tokio::test]
async fn a_stale_and_an_early_date_are_refused_by_name() {
    let bench = Bench::start().await;
    for (seconds, words) in [(-310, "Signature expired: "), (310, "Signature not yet current: ")] {
        let call = Call { at: bench.now() + TimeDelta::seconds(seconds), ..a_create(&bench) };
        let seen = bench.send(&call).await;
        assert_eq!(seen.status, Some(403));
        let message = seen.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(&format!("{words}{}", call.date())) && message.ends_with("5 min.)"), "{message}");
    }
    let call = Call { at: bench.now() - TimeDelta::seconds(280), ..a_create(&bench) };
    assert_eq!(bench.send(&call).await.status, Some(200));
}

#[tokio::test]
async fn the_signature_clock_is_moved_apart_from_the_sandbox_clock() {
    let bench = Bench::start().await;
    bench.control.advance_clock(1_000).unwrap();
    assert_eq!(bench.send(&a_create(&bench)).await.status, Some(200));
    bench.control.set_signature_skew(400).unwrap();
    assert!(bench.send(&a_create(&bench)).await.text().contains("Signature expired"));
}

#[tokio::test]
async fn region_service_and_scope_date_must_be_right() {
    let bench = Bench::start().await;
    let wrong_region = Call { region: "eu-west-1".to_owned(), ..a_create(&bench) };
    let wrong_service = Call { service: "agcodservice".to_owned(), ..a_create(&bench) };
    for call in [wrong_region, wrong_service] {
        let seen = bench.send(&call).await;
        assert_eq!(seen.status, Some(403));
        assert!(seen.text().contains("Credential should be scoped"), "{seen:?}");
    }
    let whole = String::from_utf8(a_create(&bench).bytes()).unwrap();
    let scope = format!("{}/us-east-1", bench.now().format("%Y%m%d"));
    let seen = bench.send_bytes(whole.replace(&scope, "20130910/us-east-1").as_bytes()).await;
    assert!(seen.status == Some(403) && seen.text().contains("Date in Credential scope does not match"), "{seen:?}");
    let other_host = Call { region: "eu-west-1".to_owned(), host: "127.0.0.1:9".to_owned(), ..a_create(&bench) };
    assert_eq!(
        bench.send(&other_host).await.error_type(),
        "CurrencyCodeMismatch",
        "signed for euros, asked for dollars"
    );
    let far_east = Call { host: "agcod-v2-fe-gamma.amazon.com".to_owned(), ..other_host };
    assert_eq!(bench.send(&far_east).await.status, Some(403));
}

#[tokio::test]
async fn what_real_clients_vary_in_is_accepted() {
    let bench = Bench::start().await;
    let base = a_create(&bench);
    let length = base.body.len().to_string();
    let target = "com.amazonaws.agcod.AGCODService./CreateGiftCard";
    let sets: Vec<Vec<(String, String, bool)>> = vec![
        vec![],
        vec![header("Accept", "application/json", true), header("X-Amz-Target", target, true)],
        vec![header("accept", "*/*", true), header("x-amz-target", "anything at all", true)],
        vec![
            header("Accept", "application/json", true),
            header("Content-Length", &length, true),
            header("Content-Type", "charset=UTF-8", true),
            header("Date", "2014-11-18 22:30:25 UTC", true),
            header("X-AMZ-TARGET", target, true),
        ],
        vec![
            header("content-type", "application/x-amz-json-1.1", false),
            header("x-amz-content-sha256", "0000", true),
            header("user-agent", "  many   blanks \t inside  ", true),
        ],
    ];
    for headers in sets {
        let seen = bench.send(&Call { headers: headers.clone(), ..base.clone() }).await;
        assert_eq!(seen.status, Some(200), "{headers:?} {seen:?}");
    }
    let doubled = Call { path: "//CreateGiftCard".to_owned(), ..base.clone() };
    assert_eq!(bench.send(&doubled).await.status, Some(200));
    let no_blanks = String::from_utf8(base.bytes()).unwrap().replace(", SignedHeaders", ",SignedHeaders");
    assert_eq!(bench.send_bytes(no_blanks.replace(", Signature", ",Signature").as_bytes()).await.status, Some(200));
    let any_case =
        String::from_utf8(base.bytes()).unwrap().replace("Host:", "hOST:").replace("Authorization:", "AUTHORIZATION:");
    assert_eq!(bench.send_bytes(any_case.as_bytes()).await.status, Some(200));
    assert_eq!(bench.control.book().len(), 1);
}

#[tokio::test]
async fn an_amazon_header_that_is_not_signed_is_refused() {
    let bench = Bench::start().await;
    let mut call = a_create(&bench);
    call.headers.push(header("x-amz-extra", "1", false));
    let seen = bench.send(&call).await;
    assert_eq!(seen.status, Some(403));
    assert_eq!(seen.header("x-amzn-errortype"), Some("IncompleteSignatureException"));
}

/// `requests-aws-sign`, `httpx-auth-awssigv4` and `aws-requests-auth` sign so.
#[tokio::test]
async fn a_signer_of_host_and_date_alone_may_send_the_target_of_its_path() {
    let bench = Bench::start().await;
    let target = |name: &str| header("x-amz-target", &format!("com.amazonaws.agcod.AGCODService.{name}"), false);
    let json = header("content-type", "application/json", false);
    let call = Call { headers: vec![target("CreateGiftCard"), json], ..a_create(&bench) };
    assert_eq!(bench.send(&call).await.status, Some(200));
    let of_another = Call { headers: vec![target("CancelGiftCard")], ..call.clone() };
    let seen = bench.send(&of_another).await;
    assert_eq!((seen.status, seen.header("x-amzn-errortype")), (Some(400), Some("InvalidActionException")));
    let deciding = Call { path: "/".to_owned(), signed_path: "/".to_owned(), ..call.clone() };
    let seen = bench.send(&deciding).await;
    assert_eq!((seen.status, seen.header("x-amzn-errortype")), (Some(403), Some("IncompleteSignatureException")));
    assert_eq!(bench.control.book().len(), 1);
}

/// Amazon's hosts have no port. At the sandbox's own address several signers leave it out, `httpx-auth-awssigv4` among them.
#[tokio::test]
async fn a_host_may_be_signed_without_its_port_and_not_with_another() {
    let bench = Bench::start().await;
    let at = |host: &str| Call { host: host.to_owned(), ..a_create(&bench) };
    let sent_to = |call: &Call, host: &str| {
        let whole = String::from_utf8(call.bytes()).unwrap();
        whole.replace(&format!("Host: {}\r\n", call.host), &format!("Host: {host}\r\n"))
    };
    for (signed, sent, status) in [
        ("127.0.0.1:8081", "127.0.0.1:8081", 200),
        ("127.0.0.1", "127.0.0.1:8081", 200),
        ("[::1]", "[::1]:8081", 200),
        ("agcod-v2-gamma.amazon.com", "agcod-v2-gamma.amazon.com:443", 200),
        ("127.0.0.1:8082", "127.0.0.1:8081", 403),
        ("127.0.0.1:8081", "127.0.0.1", 403),
        ("[:", "[::1]", 403),
        ("localhost", "127.0.0.1:8081", 403),
    ] {
        let seen = bench.send_bytes(sent_to(&at(signed), sent).as_bytes()).await;
        assert_eq!(seen.status, Some(status), "{signed} {sent} {seen:?}");
        let canonical = format!("\nhost:{sent}\n");
        assert!(
            status == 200 || seen.json()["message"].as_str().unwrap().contains(&canonical),
            "{signed} {sent} {seen:?}"
        );
    }
}

#[tokio::test]
async fn no_authorization_and_twice_the_deciding_headers_are_refused() {
    let bench = Bench::start().await;
    let whole = String::from_utf8(a_create(&bench).bytes()).unwrap();
    let line = |name: &str| whole.lines().find(|line| line.starts_with(name)).unwrap().to_owned() + "\r\n";
    let unsigned = whole.replace(&line("Authorization"), "");
    assert_eq!(bench.send_bytes(unsigned.as_bytes()).await.text(), "{\"message\":\"Missing Authentication Token\"}\n");
    for name in ["Authorization", "X-Amz-Date", "Host"] {
        let twice = whole.replace(&line(name), &format!("{0}{0}", line(name)));
        let seen = bench.send_bytes(twice.as_bytes()).await;
        assert!(matches!(seen.status, Some(400 | 403)), "{name} {seen:?}");
    }
    assert!(bench.control.book().is_empty());
}

#[tokio::test]
async fn a_key_signs_only_for_its_own_partner() {
    let bench = Bench::start().await;
    let call = Call { key_id: "AKIDOTHER".to_owned(), ..a_create(&bench) };
    let seen = bench.send(&call).await;
    assert_eq!((seen.status, seen.error_type().as_str()), (Some(400), "InvalidPartnerId"));
    assert_eq!(seen.json()["errorCode"], "F300");
    assert!(bench.control.book().is_empty());
}

#[tokio::test]
async fn the_health_page_needs_no_signature_and_other_paths_are_unknown() {
    let bench = Bench::start().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let seen = bench.send_bytes(get("/sping").as_bytes()).await;
    assert_eq!((seen.status, seen.text()), (Some(200), "healthy"));
    assert_eq!(bench.send_bytes(get("/CreateGiftCard").as_bytes()).await.status, Some(405));
    let unknown = bench.post("IssueGiftCard", "{}").await;
    assert_eq!((unknown.status, unknown.header("x-amzn-errortype")), (Some(404), Some("UnknownOperationException")));
}
