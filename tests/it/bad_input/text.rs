//! Free text: what is stored as the caller wrote it.

use serde_json::{Value, json};

use super::{
    Case, refuse_all, service,
    wire::{Draft, exchange},
};
use crate::support::{App, Backend, on_each_backend};

const CODE: &str = "invalid-request";

/// Text that no field takes.
const NEVER: &[(&str, &str)] = &[
    ("NUL", "zq\0canary"),
    ("only NUL", "\0"),
    ("a newline", "zq\ncanary"),
    ("CR LF", "zqcanary\r\nX-Zqcanary: 1"),
    ("a tab", "zq\tcanary"),
    ("an escape sequence", "\u{1b}[31mzqcanary"),
    ("a backspace", "zqcanary\u{8}"),
    ("DEL", "zq\u{7f}canary"),
    ("a C1 control", "zq\u{85}canary"),
    ("a C1 CSI", "\u{9b}31mzqcanary"),
    ("a claim code", "ABCD-EFGHJK-LMNP"),
    ("a claim code in lower case", "abcd-efghjk-lmnp"),
    ("a long claim code", "ABCD-EFGHJK-LMNPQ"),
    ("a claim code in a sentence", "zqcanary: ABCD-EFGHJK-LMNP."),
    ("a claim code with one letter behind its first group", "1234-567890-12A4"),
    ("a claim code in full width", "ＡＢＣＤ－ＥＦＧＨＪＫ－ＬＭＮＰ"),
    ("a claim code with other dashes", "AB12–CD34EF–GH56"),
    ("a claim code with blanks", "AB12 CD34EF GH56"),
    ("a claim code without hyphens", "AB12CD34EFGH56"),
    ("a claim code without hyphens, in lower case", "ab12cd34efgh567"),
    ("a claim code with what nobody sees", "ABCD\u{200b}-EFGHJK-\u{2060}LMNP"),
    ("a claim code with an accent", "ABCD-EFGHJK-LMNP\u{301}"),
    ("a claim code beside an order number", "SHOP-202611-0001 AB12-CD34EF-GH56"),
    ("a claim code without one of its hyphens", "AB12-CD34EFGH56"),
    ("a claim code glued to a word", "codeAB12CD34EFGH56"),
    ("a claim code that is spelled", "A B 1 2 C D 3 4 E F G H 5 6"),
    ("a claim code that is encoded", "AB12%2DCD34EF%2DGH56"),
    ("a claim code in letters of another script", "АВ12-СD34ЕF-GН56"),
    ("a claim code after a character of three bytes", "\u{3042}ABCD-EFGHJK-LMNP"),
    ("a claim code inside a longer word", "zqcanaryABCD-EFGHJK-LMNPzqcanary"),
];

fn with(members: Value) -> Draft {
    let mut body = json!({"kind": "gift_code", "value": {"amount": "10.00", "currency_code": "USD"}});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Draft::issue().body(body.to_string())
}

on_each_backend! {
    /// Release 0.1.0 took texts that are refused today. Whoever repeats their key asks for what they bought.
    async fn a_key_of_a_release_that_took_its_text_is_answered_as_ever(backend: Backend) {
        let app = service(backend).await;
        let bought = app.issue("of-then", "10.00").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        let text = "AB12CD34EFGH56";
        let then = format!("UPDATE rewards SET external_id = '{text}', metadata = '{{\"note\":\"{text}\"}}'");
        assert_eq!(app.database.execute(&then).await.unwrap(), 1);
        let ask = async |key: &str| {
            let mut body = crate::support::order("10.00");
            body["external_id"] = text.into();
            body["metadata"] = json!({"note": text});
            app.issue_body(key, body).await
        };
        let again = ask("of-then").await;
        assert_eq!((again.status, again.code()), (200, bought.code()), "{}", again.text);
        ask("of-now").await.is_problem(400, CODE);
        assert_eq!(app.received("Create").len(), 2, "the purchase, and the code shown again");
        app.end().await;
    }
}

fn external_ids() -> Vec<Case> {
    let case = |name: &str, text: &str| {
        Case::new(format!("external_id: {name}"), &with(json!({"external_id": text})), 400, CODE)
    };
    let mut cases: Vec<Case> = NEVER.iter().map(|(name, text)| case(name, text)).collect();
    cases.push(case("empty", ""));
    cases.push(case("129 characters", &"x".repeat(129)));
    cases.push(case("129 characters of three bytes", &"\u{3042}".repeat(129)));
    cases.push(case("129 characters of four bytes", &"\u{1f381}".repeat(129)));
    cases.push(case("3,000 characters", &"zqcanary".repeat(375)));
    cases
}

fn metadata() -> Vec<Case> {
    let case =
        |name: &str, map: Value| Case::new(format!("metadata: {name}"), &with(json!({"metadata": map})), 400, CODE);
    let mut cases: Vec<Case> = NEVER.iter().map(|(name, text)| case(name, json!({"tier": text}))).collect();
    cases.extend(NEVER.iter().map(|(name, text)| case(&format!("the name has {name}"), json!({*text: "gold"}))));
    let entries =
        |count: usize, value: &str| -> Value { (0..count).map(|i| (format!("n{i:02}"), json!(value))).collect() };
    cases.push(case("an empty name", json!({"": "zqcanary"})));
    cases.push(case("a name of 41", json!({"x".repeat(41): "zqcanary"})));
    cases.push(case("a name of 42 bytes", json!({"\u{3042}".repeat(14): "zqcanary"})));
    cases.push(case("a value of 101", json!({"tier": "x".repeat(101)})));
    cases.push(case("a value of 102 bytes", json!({"tier": "\u{3042}".repeat(34)})));
    cases.push(case("17 entries", entries(17, "gold")));
    cases.push(case("200 entries", entries(200, "x")));
    cases.push(case("2049 bytes", of_2048(1)));
    cases.push(case("more than 2048 bytes by its escapes", entries(16, &"\"".repeat(100))));
    cases
}

/// A map that is 2,048 bytes of JSON and these more: `"n00":"…"` is 8 bytes and the value's, each backslash two.
fn of_2048(more: usize) -> Value {
    let mut map: Value = (0..15).map(|i| (format!("n{i:02}"), json!("\\".repeat(61)))).collect();
    map["n15"] = json!("x".repeat(2048 - 2 - 15 - 16 * 8 - 15 * 122 + more));
    map
}

/// The most that is allowed, on its way into the tables, whose own checks count otherwise.
fn edges() -> Vec<(&'static str, Value)> {
    let entries =
        |count: usize, value: &str| -> Value { (0..count).map(|i| (format!("n{i:02}"), json!(value))).collect() };
    vec![
        ("128 characters", json!({"external_id": "x".repeat(128)})),
        ("128 characters of three bytes", json!({"external_id": "\u{3042}".repeat(128)})),
        ("128 characters of four bytes", json!({"external_id": "\u{1f381}".repeat(128)})),
        ("128 quotes and backslashes", json!({"external_id": "\"\\".repeat(64)})),
        ("odd but printable", json!({"external_id": "\u{feff}\u{202e}\u{2028}\u{ffff}\u{10ffff}\u{e000}\u{301}"})),
        ("SQL", json!({"external_id": "'; DROP TABLE rewards; --$1 ?1 %s {}"})),
        ("like a code, but not one", json!({"external_id": "ABCD-EFGHJK-LMN \u{3042}BCD-EFGHJK-LMNP"})),
        ("an order number", json!({"external_id": "SHOP-202611-0001", "metadata": {"order": "2026-112601-0042"}})),
        (
            "other order numbers",
            json!({"external_id": "ORDER123456789", "metadata": {"SHOP-202611-00017": "20261126235959"}}),
        ),
        ("words", json!({"external_id": "this should work", "metadata": {"reason": "reconciliation"}})),
        ("a code over two fields", json!({"metadata": {"ABCD-EFGHJK-": "LMNP"}, "external_id": "two fields"})),
        ("a code over an escape", json!({"metadata": {"a": "ABCD-EFG\"HJK-LMNP", "b": "ABCD-EFG\\HJK-LMNP"}})),
        ("a name of 40 and a value of 100", json!({"metadata": {"x".repeat(40): "y".repeat(100)}})),
        ("39 and 99 bytes of three", json!({"metadata": {"\u{3042}".repeat(13): "\u{3042}".repeat(33)}})),
        ("100 bytes of four", json!({"metadata": {"\u{1f381}".repeat(10): "\u{1f381}".repeat(25)}})),
        ("100 backslashes", json!({"metadata": {"\\".repeat(40): "\\".repeat(100)}})),
        ("16 entries", json!({"metadata": entries(16, "gold")})),
        ("an empty value", json!({"metadata": {"tier": ""}})),
        ("no entries", json!({"metadata": {}})),
        ("2048 bytes", json!({"metadata": of_2048(0)})),
        ("nulls", json!({"metadata": null, "external_id": null, "account_id": null, "on_unresolved": null})),
    ]
}

on_each_backend! {
    async fn text_that_must_not_be_stored_is_refused(backend: Backend) {
        refuse_all(backend, "text", 64, external_ids().into_iter().chain(metadata()).collect()).await;
    }

    /// What the shape check lets through, the tables' checks let through: none of these may be a 5xx.
    async fn the_longest_text_that_is_allowed_is_stored_and_comes_back(backend: Backend) {
        let app = service(backend).await;
        for (at, (name, members)) in edges().into_iter().enumerate() {
            let mut body = json!({"kind": "gift_code", "value": {"amount": "1.00", "currency_code": "USD"}});
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let sold = app.issue_body(&format!("edge-{at}"), body).await;
            assert_eq!(sold.status, 201, "{name}: {}", sold.text);
            let read = app.get(&format!("/v1/rewards/{}", sold.id())).await;
            for field in ["external_id", "metadata"] {
                assert_eq!(read.json[field], members.get(field).cloned().unwrap_or(Value::Null), "{name}");
            }
        }
        let longest = app.database.number("SELECT CAST(MAX(length(metadata)) AS BIGINT) FROM rewards").await;
        assert_eq!(longest, 2048, "no case came to the edge");
        app.end().await;
    }

    async fn a_reason_is_checked_before_anything_is_done(backend: Backend) {
        let app = service(backend).await;
        let sold = app.issue("reasons", "10.00").await;
        for action in ["reveal", "cancel"] {
            refuse_reasons(&app, &format!("/v1/rewards/{}/{action}", sold.id())).await;
        }
        assert_eq!((app.received("Create").len(), app.received("Cancel").len()), (1, 0), "nothing was sent");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM reward_events").await, 2);
        // The longest reasons: 200 characters, each of which is two in JSON, or four bytes in UTF-8.
        for reason in ["\"\\".repeat(100), "\u{1f381}".repeat(200)] {
            let shown = app.post(&format!("/v1/rewards/{}/reveal", sold.id()), json!({"reason": reason})).await;
            assert_eq!((shown.status, shown.code()), (200, sold.code()), "{}", shown.text);
        }
        let events = app.get(&format!("/v1/rewards/{}/events", sold.id())).await;
        assert_eq!(events.json["data"][3]["detail"]["reason"], "\u{1f381}".repeat(200));
        assert_eq!(app.cancel(sold.id()).await.status, 200);
        app.end().await;
    }
}

/// Sends every bad body to this target.
async fn refuse_reasons(app: &App, target: &str) {
    let mut bodies: Vec<String> = NEVER.iter().map(|(_name, text)| json!({"reason": text}).to_string()).collect();
    bodies.extend(
        ["", "x".repeat(201).as_str(), "\u{3042}".repeat(201).as_str()].map(|text| json!({"reason": text}).to_string()),
    );
    bodies.extend(
        [
            "",
            "{}",
            "null",
            "[]",
            "\"zqcanary\"",
            "[\"zqcanary\"]",
            r#"{"reason":null}"#,
            r#"{"reason":1}"#,
            r#"{"reason":["zqcanary"]}"#,
            r#"{"reason":"a","zqcanary":1}"#,
            r#"{"reason":"a","reason":"zqcanary"}"#,
            r#"{"Reason":"zqcanary"}"#,
            r#"{"reason":"zqcanary"#,
            r#"{"reason":"zqcanary"} x"#,
            r#"{"reason":"\ud800"}"#,
        ]
        .map(str::to_owned),
    );
    for body in bodies {
        let case = Case::new(body.clone(), &Draft::post(target, body), 400, CODE);
        let answer = exchange(app, &case.bytes, false).await;
        assert_eq!(
            case.judge(&answer),
            Vec::<String>::new(),
            "{target}: {}\n{}",
            case.name,
            String::from_utf8_lossy(&answer)
        );
    }
    let typed = Case::new(
        "text/plain",
        &Draft::post(target, r#"{"reason":"a"}"#).set("Content-Type", "text/plain"),
        415,
        "unsupported-media-type",
    );
    let large = Case::new("4,097 bytes", &Draft::post(target, " ".repeat(4097)), 413, "payload-too-large");
    for case in [typed, large] {
        let answer = exchange(app, &case.bytes, false).await;
        assert_eq!(case.judge(&answer), Vec::<String>::new(), "{target}: {}", case.name);
    }
}
