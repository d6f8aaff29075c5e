//! How long a caller wants to wait: the preferences `wait` and `respond-async` (`Prefer`: RFC 7240).

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How long a caller wants to wait, and the preferences that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How long at most.
    pub(crate) wait: Duration,
    /// What `Preference-Applied` names.
    applied: &'static str,
}

/// The caller's patience: `wait=n` in seconds. A caller who sends `respond-async` and no `wait` does not wait at all; one who
/// sends both waits so long, in whatever order. A preference that is repeated counts as it came first, and one that is
/// unknown or malformed is ignored, as the standard asks.
#[must_use]
pub(crate) fn patience(request: &HttpRequest) -> Option<Patience> {
    let values = request.headers().get_all(&PREFER).filter_map(|value| value.to_str().ok());
    let all: Vec<(String, String)> =
        values.flat_map(|value| parts(value, ',')).filter_map(|text| preference(&text)).collect();
    let first = |wanted: &str| all.iter().find(|(name, _word)| name == wanted).map(|(_name, word)| word);
    // Whoever wants to wait for longer than anybody may wants to wait.
    let wait = first("wait").filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()));
    let wait = wait.map(|word| Duration::from_secs(word.parse().unwrap_or(u32::MAX).into()));
    match (wait, first("respond-async")) {
        (Some(wait), Some(_)) => Some(Patience { wait, applied: "respond-async, wait" }),
        (Some(wait), None) => Some(Patience { wait, applied: "wait" }),
        (None, Some(_)) => Some(Patience { wait: Duration::ZERO, applied: "respond-async" }),
        (None, None) => None,
    }
}

/// Says that the caller's wish was followed (RFC 7240, 3).
pub(crate) fn applied(patience: Patience, answer: &mut HeaderMap) {
    answer.insert(HeaderName::from_static("preference-applied"), HeaderValue::from_static(patience.applied));
}

/// The parts between these separators. In a quoted string there is none.
fn parts(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == separator && !quoted {
            parts.push(String::new());
            continue;
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// A preference's name and its word, which may be empty. What is behind a semicolon are parameters: none is known.
fn preference(text: &str) -> Option<(String, String)> {
    let preference = parts(text, ';').into_iter().next()?;
    let (name, word) = preference.split_once('=').unwrap_or((&preference, ""));
    Some((name.trim().to_ascii_lowercase(), unquoted(word.trim())?))
}

/// The text of a token or of a quoted string; `None` where the quotes do not close.
fn unquoted(word: &str) -> Option<String> {
    let Some(rest) = word.strip_prefix('"') else { return Some(word.to_owned()) };
    let inner = rest.strip_suffix('"')?;
    let (mut text, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            text.push(c);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn of(values: &[&str]) -> Option<(u64, &'static str)> {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header(("Prefer", *value)));
        patience(&request.to_http_request()).map(|patience| (patience.wait.as_secs(), patience.applied))
    }

    #[test]
    fn each_form_of_the_standard_says_the_same() {
        let both = Some((5, "respond-async, wait"));
        for value in [
            "respond-async, wait=5",
            "wait=5, respond-async",
            "respond-async,wait=5",
            " wait = 5 ,respond-async",
            "Wait=\"5\",Respond-Async",
        ] {
            assert_eq!(of(&[value]), both, "{value}");
        }
        assert_eq!(of(&["respond-async", "wait=5"]), both, "two headers are one list");
        for value in [
            "wait=2",
            "wait=\"2\"",
            "wait=2;q=1",
            "foo=\"a,wait=9\", wait=2",
            "return=minimal; x=\"y;z\", wait=2",
            "wait=2, wait=7",
        ] {
            assert_eq!(of(&[value]), Some((2, "wait")), "{value}");
        }
        for value in [
            "respond-async",
            "respond-async=\"\"",
            "RESPOND-ASYNC; a=b",
            "respond-async, wait=soon",
            ",,respond-async,",
        ] {
            assert_eq!(of(&[value]), Some((0, "respond-async")), "{value}");
        }
        assert_eq!(of(&["wait=0"]), Some((0, "wait")));
        assert_eq!(of(&["wait=99999999999999999999"]), Some((u32::MAX.into(), "wait")));
        for value in [
            "",
            "wait",
            "wait=",
            "wait=-1",
            "wait=1.5",
            "wait=\"2",
            "wait=soon, wait=5",
            "handling=lenient",
            "\"respond-async\"",
        ] {
            assert_eq!(of(&[value]), None, "{value}");
        }
        assert_eq!(of(&[]), None);
    }
}
