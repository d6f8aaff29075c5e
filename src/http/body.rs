//! The body of a request: small, in time, plain JSON, and without a field that we do not know. A refusal names the field and
//! never quotes its value, which might be a secret in the wrong place.

mod strict;

use std::{collections::BTreeMap, fmt};

use actix_web::{HttpRequest, http::header, web};
use futures_util::StreamExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, Visitor},
};
use serde_json::error::Category;
use zeroize::Zeroizing;

use self::strict::{Pointer, Strict};
use super::{Code, Http, Problem, connection::Connection, headers, paging::no_query};
use crate::lifecycle::workplaces::outside;

/// Bytes of the largest body.
pub(crate) const BODY_BYTES_MAX: usize = 4096;
/// So many times as long as another body a large one may take.
const LARGE_BODY_TIMES: u32 = 6;

impl Http {
    /// Reads the body as JSON into a type that refuses unknown fields. Beside it a query would mean nothing, and is refused.
    ///
    /// # Errors
    /// `unsupported-media-type`, `payload-too-large`, `request-timeout` or `invalid-request`.
    pub(crate) async fn body<T: DeserializeOwned>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<T, Problem> {
        no_query(request)?;
        check_type(request, "application/json")?;
        let bytes = self.read(payload, BODY_BYTES_MAX).await?;
        parse(&bytes)
    }

    /// Reads a body of one of these media types, of so many bytes at most: which of them it is, and the bytes.
    ///
    /// # Errors
    /// `unsupported-media-type`, `payload-too-large` or `request-timeout`.
    pub(crate) async fn bytes(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        types: &[&'static str],
        max: usize,
    ) -> Result<(&'static str, Zeroizing<Vec<u8>>), Problem> {
        let expected =
            || Problem::new(Code::UNSUPPORTED_MEDIA_TYPE).detail(format!("expected: {}", types.join(" or ")));
        let sent = types.iter().find(|expected| check_type(request, expected).is_ok()).ok_or_else(expected)?;
        Connection::of(request).expect_more(max);
        Ok((sent, self.read(payload, max).await?))
    }

    /// A large body has more time than a small one.
    async fn read(&self, payload: web::Payload, max: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let times = if max > BODY_BYTES_MAX { LARGE_BODY_TIMES } else { 1 };
        let read = outside(tokio::time::timeout(self.body_timeout.saturating_mul(times), read(payload, max))).await;
        read.map_err(|_elapsed| Problem::new(Code::REQUEST_TIMEOUT))?
    }
}

impl Http {
    /// Reads the body as text of one line; a line feed at its end is not part of it.
    ///
    /// # Errors
    /// As [`Http::body`].
    pub(crate) async fn line(&self, request: &HttpRequest, payload: web::Payload) -> Result<String, Problem> {
        check_type(request, "text/plain").map_err(|refused| refused.detail("text/plain is expected"))?;
        let bytes = self.read(payload, BODY_BYTES_MAX).await?;
        let text = str::from_utf8(&bytes)
            .map_err(|_error| Problem::new(Code::INVALID_REQUEST).detail("the body is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
    }
}

impl Http {
    /// Reads the body as the fields of a form, each of them once.
    ///
    /// # Errors
    /// As [`Http::body`].
    pub(crate) async fn form(&self, request: &HttpRequest, payload: web::Payload) -> Result<FormFields, Problem> {
        check_type(request, "application/x-www-form-urlencoded")
            .map_err(|refused| refused.detail("a form is expected"))?;
        let bytes = self.read(payload, BODY_BYTES_MAX).await?;
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            if fields.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
                return Err(Problem::new(Code::INVALID_REQUEST).detail("a field of the form came twice"));
            }
        }
        Ok(FormFields(fields))
    }
}

/// The fields of a form. They are wiped when dropped: a key's text may be among them.
pub(crate) struct FormFields(BTreeMap<String, Zeroizing<String>>);

impl FormFields {
    /// The value of a field; empty where the form has none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.as_str())
    }
}

fn check_type(request: &HttpRequest, expected: &str) -> Result<(), Problem> {
    let unsupported = || Problem::new(Code::UNSUPPORTED_MEDIA_TYPE);
    let one = |name| headers::only(request, name).map_err(|headers::NotOne| unsupported());
    let content_type = one(header::CONTENT_TYPE)?.ok_or_else(unsupported)?;
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let utf8 = matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
    let encoded = one(header::CONTENT_ENCODING)?.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
    if !essence.trim().eq_ignore_ascii_case(expected) || !utf8 || encoded {
        return Err(unsupported());
    }
    Ok(())
}

/// The whole body, wiped when dropped: what a reward acts on may be in it. The buffer has its full size from the start, so
/// that it never moves and leaves no copy; the HTTP library's own buffers are out of our reach.
async fn read(mut payload: web::Payload, max: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(max));
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_broken| Problem::new(Code::INVALID_REQUEST).detail("the body could not be read"))?;
        if bytes.len().saturating_add(chunk.len()) > max {
            return Err(Problem::new(Code::PAYLOAD_TOO_LARGE).detail(format!("a body may have {max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads JSON strictly.
///
/// # Errors
/// `invalid-request`, which points at the field and quotes nothing.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let (mut json, pointer) = (serde_json::Deserializer::from_slice(bytes), Pointer::default());
    let read = T::deserialize(Strict { inner: &mut json, pointer: &pointer });
    let value = read.map_err(|error| {
        let refused = Problem::new(Code::INVALID_REQUEST);
        match error.classify() {
            Category::Data => {
                let (pointer, why) = pointer.into_parts();
                refused.field(pointer, "invalid", why)
            }
            Category::Syntax | Category::Eof | Category::Io => {
                let (line, column) = (error.line(), error.column());
                refused.detail(format!("the body is not JSON at line {line}, column {column}"))
            }
        }
    })?;
    json.end()
        .map_err(|_trailing| Problem::new(Code::INVALID_REQUEST).detail("the body goes on after its JSON value"))?;
    Ok(value)
}

/// Texts by name, each name once: of two, a proxy and we might read different ones.
#[derive(Debug, Clone)]
pub(crate) struct Texts(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Texts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((name, text)) = entries.next_entry()? {
                    if texts.insert(name, text).is_some() {
                        return Err(A::Error::custom("a name comes twice"));
                    }
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// Texts by name, each name once, for the one who acts on them. The texts are wiped from memory when dropped; neither they
/// nor the names, which the caller chose, can be printed, logged, serialised, compared or copied.
pub struct SecretTexts(BTreeMap<String, Zeroizing<String>>);

impl SecretTexts {
    /// Takes the text of a name out.
    #[must_use]
    pub fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for SecretTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Texts(texts) = Texts::deserialize(deserializer)?;
        Ok(Self(texts.into_iter().map(|(name, text)| (name, Zeroizing::new(text))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "unit")]
        _unit: u8,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "brand_new")]
        _brand_new: Option<Inner>,
        #[serde(rename = "each")]
        _each: Option<Vec<Inner>>,
        #[serde(rename = "texts")]
        _texts: Option<Texts>,
        #[serde(rename = "secret")]
        secret: Option<SecretTexts>,
    }

    fn refused(body: &str) -> serde_json::Value {
        let problem = parse::<Outer>(body.as_bytes()).err().unwrap();
        serde_json::to_value(problem.errors()).unwrap()
    }

    #[test]
    fn a_refusal_points_as_far_as_the_names_are_those_of_the_body() {
        for (body, pointer) in [
            ("7", ""),
            ("[null,null,null]", ""),
            (r#"{"brand_old":7}"#, ""),
            (r#"{"texts":null,"texts":null}"#, "/texts"),
            (r#"{"brand_new":7}"#, "/brand_new"),
            (r#"{"brand_new":[7]}"#, "/brand_new"),
            (r#"{"brand_new":{}}"#, "/brand_new/unit"),
            (r#"{"brand_new":{"nuit":7}}"#, "/brand_new"),
            (r#"{"brand_new":{"unit":"7"}}"#, "/brand_new/unit"),
            (r#"{"brand_new":{"unit":256}}"#, "/brand_new/unit"),
            (r#"{"each":[{"unit":7},{"unit":"7"}]}"#, "/each/1/unit"),
            (r#"{"each":[{}]}"#, "/each/0/unit"),
            (r#"{"texts":{"unit":7}}"#, "/texts"),
            (r#"{"texts":{"a":"b","a":"b"}}"#, "/texts"),
            (r#"{"secret":"6035"}"#, "/secret"),
            (r#"{"secret":{"6035":7}}"#, "/secret"),
            (r#"{"secret":{"6035":{"6035":"6035"}}}"#, "/secret"),
            (r#"{"secret":{"6035":"a","6035":"a"}}"#, "/secret"),
        ] {
            let errors = refused(body);
            assert_eq!(errors[0]["pointer"], pointer, "{body}: {errors}");
            assert!(!errors.to_string().contains("6035"), "{body}: {errors}");
        }
        assert!(parse::<Outer>(br#"{"brand_new":{"unit":7},"each":[{"unit":7}],"texts":{"a":"b"}}"#).is_ok());
        assert!(parse::<Outer>(br#"{"brand_new":null}"#).is_ok());
    }

    #[test]
    fn a_refusal_says_in_our_words_what_was_expected() {
        for (body, why) in [
            ("7", "must be an object of brand_new, each, texts, secret"),
            (r#"{"6035":7}"#, "has a field that is not known; it may have brand_new, each, texts, secret"),
            (r#"{"texts":null,"texts":null}"#, "texts comes twice; it must be there once"),
            (r#"{"brand_new":{}}"#, "unit is missing; it must be there once"),
            (r#"{"brand_new":{"6035":7}}"#, "has a field that is not known; it may have unit"),
            (r#"{"brand_new":{"unit":"6035"}}"#, "must be a whole number (u8)"),
            (r#"{"brand_new":{"unit":6035}}"#, "must be a whole number (u8)"),
            (r#"{"each":6035}"#, "must be an array"),
            (r#"{"each":[{}]}"#, "unit is missing; it must be there once"),
            (r#"{"texts":"6035"}"#, "must be an object of texts"),
            (r#"{"texts":{"a":6035}}"#, "must be a text, in quotes"),
            (r#"{"secret":{"missing field `unit`":6035}}"#, "must be a text, in quotes"),
        ] {
            assert_eq!(refused(body)[0]["detail"], why, "{body}");
        }
    }

    #[test]
    fn secret_texts_are_read_by_the_names_that_are_asked_for() {
        let given = |json: &str| {
            let body = format!(r#"{{"secret":{json}}}"#);
            parse::<Outer>(body.as_bytes()).ok().unwrap().secret.unwrap()
        };
        for json in [r#"{"card":"6035"}"#, r#"{"c\u0061rd":"60\u00335"}"#] {
            let mut one = given(json);
            assert_eq!(one.take("card").unwrap().as_str(), "6035", "{json}");
            assert!(one.is_empty(), "{json}");
        }
        assert!(given("{}").is_empty());
        let mut two = given(r#"{"card":"6035","type":"1"}"#);
        assert_eq!(two.take("type").unwrap().as_str(), "1");
        assert!(two.take("type").is_none() && !two.is_empty());
        assert_eq!(two.take("card").unwrap().as_str(), "6035");
        assert!(two.is_empty());
    }

    #[test]
    fn what_is_no_json_is_refused_by_its_place() {
        for body in ["", "{", r#"{"brand_new":}"#, r#"{"texts":{"a":"b"#, "{} {}"] {
            assert_eq!(refused(body), serde_json::json!([]), "{body}");
        }
    }
}
