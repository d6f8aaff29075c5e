//! Bodies that are not the JSON that is asked for.

use super::{
    Case, refuse_all, service,
    wire::{Draft, Reply, exchange},
};
use crate::support::Backend;

const VALUE: &str = r#""value":{"amount":"10.00","currency_code":"USD"}"#;
const CODE: &str = "invalid-request";

/// Not JSON, or more than one JSON value.
fn syntax() -> Vec<Case> {
    let good = String::from_utf8(good()).unwrap();
    let deep = |open: &str, close: &str, times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
    let member = |text: &str| format!(r#"{{"kind":"gift_code",{VALUE},"external_id":{text}}}"#).into_bytes();
    let mut bodies: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("a blank", b" ".to_vec()),
        ("cut short", good.strip_suffix("}").unwrap().into()),
        ("a second value", format!("{good}{good}").into()),
        ("trailing garbage", format!("{good} zqcanary").into()),
        ("a trailing NUL", format!("{good}\0").into()),
        ("a byte order mark", format!("\u{feff}{good}").into()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a form", b"kind=zqcanary&amount=10.00".to_vec()),
        ("XML", b"<?xml version='1.0'?><zqcanary/>".to_vec()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()),
        ("single quotes", good.replace('"', "'").into()),
        ("a comment", format!("/* zqcanary */{good}").into()),
        ("a trailing comma", good.replace("}}", "},}").into()),
        ("a name without quotes", good.replace("\"kind\"", "kind").into()),
        ("arrays 129 deep", deep("[", "]", 129).into()),
        ("arrays 2,000 deep", deep("[", "]", 2000).into()),
        ("4,000 open brackets", "[".repeat(4000).into()),
        ("4,000 open braces", r#"{"a":"#.repeat(800).into()),
    ];
    for (name, text) in [
        ("NaN", "NaN"),
        ("Infinity", "-Infinity"),
        ("a leading zero", "01"),
        ("a leading plus", "+1"),
        ("hex", "0x10"),
        ("a lone point", ".5"),
        ("1e400", "1e400"),
        ("a lone high surrogate", r#""zqcanary\ud800""#),
        ("a lone low surrogate", r#""zqcanary\udc00""#),
        ("two high surrogates", r#""\ud800\ud800zqcanary""#),
        ("half an escape", r#""zqcanary\u12""#),
        ("an unknown escape", r#""zqcanary\x41""#),
        ("a raw newline", "\"zq\ncanary\""),
        ("a raw NUL", "\"zq\0canary\""),
        ("a literal in capitals", "NULL"),
    ] {
        bodies.push((name, member(text)));
    }
    for (name, bytes) in [
        ("a lone continuation byte", &b"\x80"[..]),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xc0\x80"),
        ("a surrogate in UTF-8", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("a cut character", b"\xe3\x81"),
    ] {
        let mut body = member(r#""zqcanary@""#);
        let at = body.iter().position(|byte| *byte == b'@').unwrap();
        body.splice(at..=at, bytes.iter().copied());
        bodies.push((name, body));
    }
    bodies.into_iter().map(|(name, body)| Case::new(name, &Draft::issue().body(body), 400, CODE)).collect()
}

fn good() -> Vec<u8> {
    format!(r#"{{"kind":"gift_code",{VALUE}}}"#).into_bytes()
}

/// JSON of another shape.
fn shape() -> Vec<Case> {
    let order = |members: &str| format!("{{{members}}}");
    let kind = r#""kind":"gift_code""#;
    let bodies = vec![
        ("null", "null".to_owned()),
        ("true", "true".to_owned()),
        ("a number", "10.00".to_owned()),
        ("a text", "\"zqcanary\"".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("an empty array", "[]".to_owned()),
        ("an order in an array", format!("[{}]", order(&format!("{kind},{VALUE}")))),
        (
            "an order as an array",
            r#"[null,"gift_code",{"amount":"10.00","currency_code":"USD"},null,null,null]"#.to_owned(),
        ),
        ("a value as an array", order(&format!(r#"{kind},"value":["10.00","USD"]"#))),
        ("no kind", order(VALUE)),
        ("no value", order(kind)),
        ("no amount", order(&format!(r#"{kind},"value":{{"currency_code":"USD"}}"#))),
        ("no currency", order(&format!(r#"{kind},"value":{{"amount":"10.00"}}"#))),
        ("kind is null", order(&format!(r#""kind":null,{VALUE}"#))),
        ("kind is a number", order(&format!(r#""kind":1,{VALUE}"#))),
        ("kind is an object", order(&format!(r#""kind":{{"zqcanary":1}},{VALUE}"#))),
        ("kind is unknown", order(&format!(r#""kind":"zqcanary",{VALUE}"#))),
        ("kind in capitals", order(&format!(r#""kind":"GIFT_CODE",{VALUE}"#))),
        ("kind with NUL", order(&format!(r#""kind":"gift_code\u0000",{VALUE}"#))),
        ("value is null", order(&format!(r#"{kind},"value":null"#))),
        ("value is a text", order(&format!(r#"{kind},"value":"zqcanary 10.00 USD""#))),
        (
            "value has another field",
            order(&format!(r#"{kind},"value":{{"amount":"10.00","currency_code":"USD","zqcanary":1}}"#)),
        ),
        ("the amount is a number", order(&format!(r#"{kind},"value":{{"amount":10.00,"currency_code":"USD"}}"#))),
        ("the amount is 1e400", order(&format!(r#"{kind},"value":{{"amount":1e400,"currency_code":"USD"}}"#))),
        ("the amount is null", order(&format!(r#"{kind},"value":{{"amount":null,"currency_code":"USD"}}"#))),
        ("the amount is an array", order(&format!(r#"{kind},"value":{{"amount":["10.00"],"currency_code":"USD"}}"#))),
        ("the currency is a number", order(&format!(r#"{kind},"value":{{"amount":"10.00","currency_code":840}}"#))),
    ];
    let order = |(name, body): (&str, String)| Case::new(name, &Draft::issue().body(body), 400, CODE);
    bodies.into_iter().map(order).chain(fields()).collect()
}

/// Fields that are not asked for, or not in this way.
fn fields() -> Vec<Case> {
    let order = |members: &str| format!("{{{members}}}");
    let kind = r#""kind":"gift_code""#;
    let more = |members: &str| order(&format!("{kind},{VALUE},{members}"));
    let bodies = vec![
        ("an unknown field", more(r#""zqcanary":1"#)),
        ("an unknown field, deep", more(&format!(r#""zqcanary":{}{}"#, "[".repeat(200), "]".repeat(200)))),
        ("a field in capitals", order(&format!(r#""KIND":"gift_code",{VALUE}"#))),
        ("a field with a blank", order(&format!(r#""kind ":"gift_code",{VALUE}"#))),
        ("a field with NUL", order(&format!(r#""kind\u0000":"gift_code",{VALUE}"#))),
        ("__proto__", more(r#""__proto__":{"zqcanary":1}"#)),
        ("a client id", more(r#""client_id":"cli_00000000000070008000000000000001""#)),
        ("a status", more(r#""status":"issued""#)),
        ("an id of Amazon's", more(r#""creation_request_id":"zqcanary""#)),
        ("a program", more(r#""program_id":"zqcanary""#)),
        ("kind twice", order(&format!(r#"{kind},{kind},{VALUE}"#))),
        ("kind twice, once escaped", order(&format!(r#"{kind},"\u006bind":"gift_code",{VALUE}"#))),
        ("value twice", order(&format!("{kind},{VALUE},{VALUE}"))),
        (
            "the amount twice",
            order(&format!(r#"{kind},"value":{{"amount":"10.00","amount":"11.00","currency_code":"USD"}}"#)),
        ),
        ("external_id is a number", more(r#""external_id":1"#)),
        ("external_id is an object", more(r#""external_id":{"zqcanary":"x"}"#)),
        ("account_id is a number", more(r#""account_id":1"#)),
        ("an account that is not there", more(r#""account_id":"zqcanary""#)),
        ("an account with NUL", more(r#""account_id":"main\u0000""#)),
        ("an account in capitals", more(r#""account_id":"MAIN""#)),
        ("an empty account", more(r#""account_id":"""#)),
        ("an account of SQL", more(r#""account_id":"main' OR '1'='1""#)),
        ("on_unresolved is unknown", more(r#""on_unresolved":"zqcanary""#)),
        ("on_unresolved is empty", more(r#""on_unresolved":"""#)),
        ("on_unresolved is a truth", more(r#""on_unresolved":true"#)),
        ("metadata is a text", more(r#""metadata":"zqcanary""#)),
        ("metadata is an array", more(r#""metadata":["zqcanary"]"#)),
        ("metadata holds a number", more(r#""metadata":{"zqcanary":1}"#)),
        ("metadata holds null", more(r#""metadata":{"zqcanary":null}"#)),
        ("metadata holds an object", more(r#""metadata":{"zqcanary":{"zqcanary":"x"}}"#)),
        ("a metadata name twice", more(r#""metadata":{"tier":"zqcanary","tier":"gold"}"#)),
        ("a metadata name twice, once escaped", more(r#""metadata":{"tier":"zqcanary","ti\u0065r":"gold"}"#)),
    ];
    bodies.into_iter().map(|(name, body)| Case::new(name, &Draft::issue().body(body), 400, CODE)).collect()
}

/// Above the limit of 4,096 bytes; at the limit it is a good order.
fn size() -> Vec<Case> {
    let padded = |bytes: usize| {
        let mut body = good();
        body.resize(bytes, b' ');
        Draft::issue().body(body)
    };
    [4097, 4098, 8192, 70_000, 1_000_000]
        .into_iter()
        .map(|bytes| Case::new(format!("{bytes} bytes"), &padded(bytes), 413, "payload-too-large"))
        .chain([Case::new("4,097 brackets", &Draft::issue().body("[".repeat(4097)), 413, "payload-too-large")])
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_one_json_value_is_refused() {
    refuse_all(Backend::Sqlite, "syntax", 38, syntax()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_of_another_shape_is_refused() {
    refuse_all(Backend::Sqlite, "shape", 55, shape()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_refused() {
    refuse_all(Backend::Sqlite, "size", 6, size()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_at_the_limit_is_read() {
    let app = service(Backend::Sqlite).await;
    let mut body = good();
    body.resize(4096, b' ');
    let sold = Reply::all(&exchange(&app, &Draft::issue().body(body).bytes(), false).await, false);
    assert_eq!(sold.iter().map(|reply| reply.status).collect::<Vec<_>>(), [201]);
    app.end().await;
}
