//! Where a key goes, what a path becomes, and what an answer is taken for.

use super::*;

fn key() -> SecretString {
    "nsk_key".to_owned().into()
}

#[test]
fn a_key_goes_over_tls_or_stays_on_the_machine() {
    let made = |url: &str, plain| ServiceClient::new(url, &key(), plain).map(drop).map_err(|error| error.to_string());
    for good in [
        "https://gifts.example.com",
        "https://gifts.example.com/noshi/",
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:1",
    ] {
        assert_eq!(made(good, false), Ok(()), "{good}");
    }
    let plain = ServiceError::PlainHttp.to_string();
    for open in ["http://noshi:8080", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com"]
    {
        assert_eq!(made(open, false), Err(plain.clone()), "{open}");
        assert_eq!(made(open, true), Ok(()), "{open}");
    }
    for bad in ["gifts.example.com", "ftp://a", "https://", "https://me:pw@a", "https://a?key=1", "https://a#b", ""] {
        assert_eq!(made(bad, true), Err(ServiceError::Url.to_string()), "{bad}");
    }
}

#[test]
fn what_somebody_typed_stays_one_segment_and_the_key_is_not_printed() {
    let service = ServiceClient::new("https://gifts.example.com/noshi/", &key(), false).unwrap();
    let path = ["rewards", "../keys?x=1#y/z", "cancel"];
    let ask = Ask::get(&path).query([("external_id", Some("a&b=ü".to_owned())), ("status", None)]);
    let request = service.request(&ask).build().unwrap();
    let url = "https://gifts.example.com/noshi/v1/rewards/..%2Fkeys%3Fx=1%23y%2Fz/cancel?external_id=a%26b%3D%C3%BC";
    assert_eq!(request.url().as_str(), url);
    assert!(!format!("{request:?}").contains("nsk_key"), "{request:?}");
}

#[test]
fn an_answer_that_is_no_problem_document_is_its_status() {
    let of = |status: u16, body: &str| refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes());
    assert_eq!(of(502, "<html>bad gateway</html>").code, "no-problem-document");
    assert_eq!(of(502, r#"{"status":404,"code":"not-found"}"#).status, 502, "a document of another answer");
    assert_eq!(of(404, r#"{"status":404,"code":"not-found"}"#).code, "not-found");
}
