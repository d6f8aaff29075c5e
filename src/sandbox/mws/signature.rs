//! Verification of Signature Version 2, with code of its own: it builds the string to sign from what arrived.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::MwsArrival;
use super::form::MwsForm;
use super::refusal::MwsRefused;
use super::sellers::Sellers;

/// How far `Timestamp` may be off, either way.
const MWS_SKEW_MINUTES_MAX: i64 = 15;

/// Whose a signature is. The order of the checks is: complete, known key, fresh time, matching signature, the key's own seller.
pub(super) fn verify(
    arrival: &MwsArrival,
    form: &MwsForm,
    sellers: &Sellers,
    now: DateTime<Utc>,
) -> Result<String, MwsRefused> {
    let forbidden = |code: &str, message: &str| MwsRefused::of(403, code, message);
    for (name, value) in [("SignatureMethod", "HmacSHA256"), ("SignatureVersion", "2"), ("Version", "2013-01-01")] {
        if form.need(name)? != value {
            return Err(MwsRefused::bad(format!("{name} must be {value}")));
        }
    }
    let id = form.text("AWSAccessKeyId");
    let id = id.ok_or_else(|| forbidden("MissingAuthenticationToken", "the request has no AWSAccessKeyId"))?;
    let (seller_id, secret) =
        sellers.key(id).ok_or_else(|| forbidden("InvalidAccessKeyId", "there is no such access key"))?;
    let at = DateTime::parse_from_rfc3339(form.need("Timestamp")?).ok();
    let at = at.ok_or_else(|| MwsRefused::bad("Timestamp must be as 2026-01-02T03:04:05Z"))?;
    if now.signed_duration_since(at).abs() > TimeDelta::minutes(MWS_SKEW_MINUTES_MAX) {
        return Err(MwsRefused::of(400, "RequestExpired", "the time is more than 15 minutes off"));
    }
    let claimed = BASE64.decode(form.need("Signature")?.as_bytes()).unwrap_or_default();
    // A host may be signed with or without the port of its address.
    let without = arrival.host.split(':').next().unwrap_or_default();
    let holds = [arrival.host.as_str(), without].iter().any(|host| {
        let to_sign = format!("POST\n{}\n{}\n{}", host.to_ascii_lowercase(), arrival.path, canonical(form));
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
        mac.update(to_sign.as_bytes());
        mac.verify_slice(&claimed).is_ok()
    });
    if !holds {
        return Err(forbidden("SignatureDoesNotMatch", "the signature is not that of the request"));
    }
    if form.need("SellerId")? != seller_id {
        return Err(MwsRefused::of(401, "AccessDenied", "the key is of another seller"));
    }
    Ok(seller_id)
}

/// Every parameter but the signature, sorted by bytes.
fn canonical(form: &MwsForm) -> String {
    let signed = form.iter().filter(|(name, _value)| *name != "Signature");
    let pairs: Vec<String> = signed.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::mws::sellers::NewMwsSeller;

    /// Amazon's own vector J5, which has every kind of character but blanks: `provider/PROTOCOL.md`.
    const J5: &str = "AWSAccessKeyId=TEST_ACCESS_KEY&Action=ConfirmOrderReference&AmazonOrderReferenceId=AMAZON_ORDER_REFERENCE_ID\
        &AuthorizationAmount.Amount=0.01&AuthorizationAmount.CurrencyCode=EUR\
        &FailureUrl=https%3A%2F%2Fpay.amazon.com%2Ffailure.html&MWSAuthToken=TEST_MWS_AUTH_TOKEN&SellerId=OVERRIDE_SELLER_ID\
        &SignatureMethod=HmacSHA256&SignatureVersion=2&SuccessUrl=https%3A%2F%2Fpay.amazon.com%2Fsuccess.html\
        &Timestamp=2015-12-31T23%3A59%3A58Z&Version=2013-01-01\
        &Signature=KeZbecFqPMxhR4g35iFWsdLmq1rAgwdn4B2WTIFMTHg%3D";

    fn verified(body: &str, at: &str) -> Result<String, String> {
        let sellers = Sellers::default();
        let [seller_id, access_key_id, secret_access_key] =
            ["OVERRIDE_SELLER_ID", "TEST_ACCESS_KEY", "TEST_SECRET_KEY"].map(str::to_owned);
        sellers.register(NewMwsSeller { seller_id, access_key_id, secret_access_key }).unwrap();
        let (path, host) = ("/OffAmazonPayments_Sandbox/2013-01-01".to_owned(), "mws.amazonservices.com".to_owned());
        let arrival = MwsArrival { path, host, is_post: true, body: body.to_owned() };
        let form = MwsForm::read(body).unwrap();
        verify(&arrival, &form, &sellers, at.parse().unwrap()).map_err(|refused| refused.code)
    }

    #[test]
    fn amazons_own_vector_is_taken_and_nothing_that_differs() {
        let now = "2016-01-01T00:00:00Z";
        assert_eq!(verified(J5, now).unwrap(), "OVERRIDE_SELLER_ID");
        assert_eq!(verified(&J5.replace("0.01", "0.02"), now).unwrap_err(), "SignatureDoesNotMatch");
        assert_eq!(verified(&J5.replace("KeZb", "KeZa"), now).unwrap_err(), "SignatureDoesNotMatch");
        assert_eq!(verified(&J5.replace("TEST_ACCESS_KEY", "OTHER"), now).unwrap_err(), "InvalidAccessKeyId");
        assert_eq!(
            verified(&J5.replace("AWSAccessKeyId=TEST_ACCESS_KEY&", ""), now).unwrap_err(),
            "MissingAuthenticationToken"
        );
        assert_eq!(verified(&J5.replace("HmacSHA256", "HmacSHA1"), now).unwrap_err(), "InvalidParameterValue");
        for at in ["2016-01-01T00:15:00Z", "2015-12-31T23:44:00Z"] {
            assert_eq!(verified(J5, at).unwrap_err(), "RequestExpired", "{at}");
        }
    }
}
