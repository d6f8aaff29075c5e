//! The `Authorization` header of Amazon Pay.

use super::refusal::PayRefused;

/// The only algorithm: its salt has 32 bytes. The older one, without `-V2`, has a salt of 20, and is refused by name.
pub(super) const ALGORITHM: &str = "AMZN-PAY-RSASSA-PSS-V2";

/// What the header says.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct PayAuthorization<'h> {
    pub(super) public_key_id: &'h str,
    /// Sorted, each once. A client in use lists names twice and signs each once.
    pub(super) signed_headers: Vec<&'h str>,
    pub(super) signature: &'h str,
}

impl<'h> PayAuthorization<'h> {
    pub(super) fn parse(header: &'h str) -> Result<Self, PayRefused> {
        let wrong = |message: &str| PayRefused::bad("InvalidHeaderValue", format!("Authorization: {message}"));
        let (algorithm, rest) = header.trim().split_once(' ').ok_or_else(|| wrong("parameters are missing"))?;
        if algorithm != ALGORITHM {
            return Err(wrong(&format!("the algorithm must be {ALGORITHM}, not {algorithm}")));
        }
        let part = |name: &str| {
            let mut values = rest.split(',').filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            let value = values.next().filter(|value| !value.is_empty());
            value.filter(|_| values.next().is_none()).ok_or_else(|| wrong(&format!("{name} must be there once")))
        };
        let mut signed_headers: Vec<&str> = Vec::new();
        for name in part("SignedHeaders")?.split(';') {
            if !signed_headers.contains(&name) {
                signed_headers.push(name);
            }
        }
        if !signed_headers.is_sorted() || signed_headers.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase()))
        {
            return Err(wrong("SignedHeaders must be in lower case, and sorted"));
        }
        Ok(Self { public_key_id: part("PublicKeyId")?, signed_headers, signature: part("Signature")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_taken_apart_and_repeated_names_are_one() {
        let parsed = PayAuthorization::parse(
            "AMZN-PAY-RSASSA-PSS-V2 PublicKeyId=SANDBOX-A, SignedHeaders=accept;x-amz-pay-date;accept, Signature=ab==",
        );
        let signed_headers = vec!["accept", "x-amz-pay-date"];
        let expected = PayAuthorization { public_key_id: "SANDBOX-A", signed_headers, signature: "ab==" };
        assert_eq!(parsed.unwrap(), expected);
    }

    #[test]
    fn any_other_form_is_refused() {
        for header in [
            "",
            "AMZN-PAY-RSASSA-PSS-V2",
            "AMZN-PAY-RSASSA-PSS PublicKeyId=A, SignedHeaders=a, Signature=b",
            "AMZN-PAY-RSASSA-PSS-V2 SignedHeaders=a, Signature=b",
            "AMZN-PAY-RSASSA-PSS-V2 PublicKeyId=A, SignedHeaders=b;a, Signature=b",
            "AMZN-PAY-RSASSA-PSS-V2 PublicKeyId=A, SignedHeaders=Accept, Signature=b",
            "AMZN-PAY-RSASSA-PSS-V2 PublicKeyId=A, PublicKeyId=B, SignedHeaders=a, Signature=b",
            "AMZN-PAY-RSASSA-PSS-V2 PublicKeyId=A, SignedHeaders=a, Signature=",
        ] {
            assert_eq!(PayAuthorization::parse(header).unwrap_err().reason, "InvalidHeaderValue", "{header}");
        }
    }
}
