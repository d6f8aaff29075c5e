//! A problem document of the service, as far as a person needs it.

use std::fmt;

use serde::Deserialize;

/// Why the service refused a request.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProblemReply {
    #[serde(default)]
    pub(crate) status: u16,
    /// The cause: a stable word.
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    title: String,
    detail: Option<String>,
    #[serde(default)]
    retry: String,
    #[serde(default)]
    errors: Vec<RefusedField>,
    reward_id: Option<String>,
    request_id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct RefusedField {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

impl ProblemReply {
    /// Of what is no problem document, as a proxy before the service answers: the status is all there is.
    pub(super) fn of_status(status: u16) -> Self {
        Self {
            status,
            code: "no-problem-document".to_owned(),
            title: "what answered is not the service, or a proxy before it".to_owned(),
            detail: None,
            retry: String::new(),
            errors: Vec::new(),
            reward_id: None,
            request_id: None,
        }
    }

    /// With another word for each place that has one, as the line of a file that the request was made of.
    pub(crate) fn placed(mut self, place: impl Fn(&str) -> Option<String>) -> Self {
        for field in &mut self.errors {
            field.pointer = place(&field.pointer).unwrap_or_else(|| std::mem::take(&mut field.pointer));
        }
        self
    }

    /// Whether the service refused it before it looked anything up. Such a request was not counted.
    pub(super) fn did_nothing(&self) -> bool {
        matches!(self.code.as_str(), "overloaded" | "rate-limited")
    }

    /// Whether the same request may be sent again after a while.
    pub(super) fn passes(&self) -> bool {
        matches!(self.retry.as_str(), "now" | "later") && matches!(self.status, 408 | 429 | 503)
    }
}

impl fmt::Display for ProblemReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, title, detail, retry, errors, reward_id, request_id } = self;
        write!(f, "{status} {code}: {}", detail.as_deref().unwrap_or(title))?;
        for RefusedField { pointer, detail } in errors {
            write!(f, "\n  {pointer}: {detail}")?;
        }
        if let Some(reward) = reward_id {
            write!(f, "\n  reward {reward}")?;
        }
        match retry.as_str() {
            "" | "never" => {}
            "now" | "later" => write!(f, "\n  the same command may succeed later")?,
            "after_funding" => write!(f, "\n  the same command may succeed once the account has more funds")?,
            "after_operator" => {
                write!(f, "\n  the same command may succeed once an operator of the service has acted")?
            }
            other => write!(f, "\n  retry: {other}")?,
        }
        request_id.as_ref().map_or(Ok(()), |id| write!(f, "\n  request {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_the_fields_what_was_expected_and_when_to_come_back() {
        let text = r#"{"type":"/problems/invalid-request","title":"The request is malformed","status":400,"code":"invalid-request",
            "retry":"later","errors":[{"pointer":"/value/amount","code":"precision","detail":"must have two decimal places"}],
            "request_id":"01","more":1}"#;
        let refusal: ProblemReply = serde_json::from_str(text).unwrap();
        let shown = "400 invalid-request: The request is malformed\n  /value/amount: must have two decimal places\n  \
                     the same command may succeed later\n  request 01";
        assert_eq!(refusal.to_string(), shown);
        assert!(!refusal.passes(), "what is malformed is not sent again");
        assert!(ProblemReply { status: 503, ..refusal }.passes());
    }
}
