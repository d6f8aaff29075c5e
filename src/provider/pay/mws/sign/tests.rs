//! The signature against Amazon's own vectors (`PROTOCOL.md`), and against what OpenSSL makes of the same bytes.

use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::*;

const HOST: &str = "mws.amazonservices.com";
const PATH: &str = "/OffAmazonPayments_Sandbox/2013-01-01";
const TOKEN: (&str, &str) = ("MWSAuthToken", "TEST_MWS_AUTH_TOKEN");
const OTHER_SELLER: (&str, &str) = ("SellerId", "OVERRIDE_SELLER_ID");
const SUCCESS: (&str, &str) = ("SuccessUrl", "https://pay.amazon.com/success.html");

/// What the vectors have in common, and these parameters.
fn query(action: &str, extra: &[(&str, &str)]) -> String {
    let common = [
        ("AWSAccessKeyId", "TEST_ACCESS_KEY"),
        ("Action", action),
        ("AmazonOrderReferenceId", "AMAZON_ORDER_REFERENCE_ID"),
        ("SellerId", "TEST_MERCHANT_ID"),
        ("SignatureMethod", "HmacSHA256"),
        ("SignatureVersion", "2"),
        ("Timestamp", "2015-12-31T23:59:58Z"),
        ("Version", "2013-01-01"),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    canonical_query(&common.iter().chain(extra).map(owned).collect())
}

fn hmac_key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

#[test]
fn the_hmac_vectors_hold() {
    for (secret, message, expected) in [
        ("mws_secret_key", "my_test_string", "JQZYxe8EFlLE3XCAWotsn329rpZF7OFYhA8oo7rUV2E="),
        ("SECRET_KEY", "test signature code", "VWty3pyWd3Ol4pw3L7nFQ/xI6SXXsV5T2aRdoNPVMg0="),
    ] {
        assert_eq!(signature(message, &hmac_key(secret)), expected);
    }
}

#[test]
fn the_six_vectors_of_whole_requests_hold() {
    let small = [("AuthorizationAmount.Amount", "0.01"), ("AuthorizationAmount.CurrencyCode", "USD")];
    let order = "OrderReferenceAttributes.OrderTotal";
    let (amount, currency) = (format!("{order}.Amount"), format!("{order}.CurrencyCode"));
    let j3 = [(amount.as_str(), "2"), (currency.as_str(), "USD")];
    let j5 = [
        OTHER_SELLER,
        TOKEN,
        SUCCESS,
        ("FailureUrl", "https://pay.amazon.com/failure.html"),
        ("AuthorizationAmount.Amount", "0.01"),
        ("AuthorizationAmount.CurrencyCode", "EUR"),
    ];
    let j6 = [OTHER_SELLER, TOKEN, SUCCESS, small[0], small[1]];
    let (read, set, confirm) = ("GetOrderReferenceDetails", "SetOrderReferenceDetails", "ConfirmOrderReference");
    for (action, extra, expected, bytes, hash) in [
        (
            read,
            &[][..],
            "cpkDC72d5lMIbo5ET2dvERTw4F2cGQJL3eQPzUe2pAE=",
            303,
            "5c177a4922736370e9e856c4f102497e8ec5c92dd185e4dda86cff72372849d1",
        ),
        (
            read,
            &[OTHER_SELLER, TOKEN],
            "MelQJXDdQJ85Z7aB85s7eYWm5TdGv6xYAQt/joOhXCo=",
            338,
            "f471746c0766b411d2134cf5b30b92ba3c30f08aee08a15cd1640fb29942517e",
        ),
        (
            set,
            &j3,
            "i51MSGv9O2G2LHIlhCXLigA3ZKaZRoc7Mb5A1VX2QTA=",
            401,
            "0fe2f513192c021bd50df28dc525cb020ba24bc96e179981c98c4a3abdb82f77",
        ),
        (
            confirm,
            &[OTHER_SELLER, TOKEN],
            "mbJBrZKC4Jz8J+rhRqyfYsY6TkSapWOvCTlC+UDUTok=",
            335,
            "c8b5297181813cae99d10687921412037dbc6720a31314e8b4a8c312215f19e4",
        ),
        (
            confirm,
            &j5,
            "KeZbecFqPMxhR4g35iFWsdLmq1rAgwdn4B2WTIFMTHg=",
            514,
            "ccae62c9e4d716f827bd198e5352bbcb97b10ad452031e29fb0b594b33446a7c",
        ),
        (
            confirm,
            &j6,
            "vGiWtNsdtNKx3QGB+cNNq8tLisqwOeg2a5aIy3p6exw=",
            459,
            "a9646cd1e5fb309c8495d29bbe7aa2238b35d67dd6c393eaf8b48ea7b493dd81",
        ),
    ] {
        let to_sign = string_to_sign(HOST, PATH, &query(action, extra));
        assert_eq!((to_sign.len(), HEXLOWER.encode(&Sha256::digest(&to_sign)).as_str()), (bytes, hash), "{action}");
        assert_eq!(signature(&to_sign, &hmac_key("TEST_SECRET_KEY")), expected, "{action}");
    }
}

/// No vector of Amazon's has a blank, a tilde, an asterisk, a plus sign or Japanese text.
#[test]
fn every_character_is_encoded_as_rfc_3986_says() {
    for (text, expected) in [
        ("a b+c*d~e", "a%20b%2Bc%2Ad~e"),
        ("月会費", "%E6%9C%88%E4%BC%9A%E8%B2%BB"),
        ("{\"A\":5}", "%7B%22A%22%3A5%7D"),
        ("-_.~", "-_.~"),
        ("%20", "%2520"),
    ] {
        assert_eq!(encoded(text), expected);
    }
}

fn form() -> String {
    let key = MwsKey::new("A1SELLER", "AKIDMWS", &"SECRET".to_owned().into()).unwrap();
    let parameters = [("SellerRefundNote", "返金 *~+"), ("RefundAmount.Amount", "500")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    signed_form("MWS.amazonservices.jp", PATH, "Refund", parameters, &key, at)
}

#[test]
fn openssl_makes_the_same_signature_of_the_same_bytes() {
    let form = form();
    let (query, signature) = form.split_once("&Signature=").unwrap();
    let to_sign = format!("POST\nmws.amazonservices.jp\n{PATH}\n{query}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("to_sign");
    std::fs::write(&file, to_sign).unwrap();
    let arguments = ["dgst", "-sha256", "-hmac", "SECRET", "-binary"];
    let made = Command::new("openssl").args(arguments).arg(&file).stderr(Stdio::null()).output();
    let made = made.expect("this test needs openssl");
    assert!(made.status.success());
    assert_eq!(encoded(&BASE64.encode(&made.stdout)), signature);
    assert!(
        query.starts_with("AWSAccessKeyId=AKIDMWS&Action=Refund&RefundAmount.Amount=500&SellerId=A1SELLER&SellerR")
    );
    assert!(query.contains("&Timestamp=2026-01-02T03%3A04%3A05Z&Version=2013-01-01"), "{query}");
}

/// Each bit of what is signed counts.
#[test]
fn a_flipped_bit_makes_another_signature() {
    let (key, to_sign) = (hmac_key("TEST_SECRET_KEY"), string_to_sign(HOST, PATH, &query("Refund", &[])));
    let whole = hmac::sign(&key, to_sign.as_bytes());
    for at in 0..to_sign.len() {
        for bit in 0..8 {
            let mut flipped = to_sign.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            assert!(hmac::verify(&key, &flipped, whole.as_ref()).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_key_of_another_form_is_refused_and_none_is_printed() {
    let secret = || SecretString::from("SECRET");
    let problem =
        |seller: &str, id: &str, secret: &str| MwsKey::new(seller, id, &secret.to_owned().into()).unwrap_err();
    assert_eq!(problem("A1", "AKID&Action", "s"), MwsKeyProblem::AccessKeyId);
    assert_eq!(problem("A 1", "AKID", "s"), MwsKeyProblem::SellerId);
    assert_eq!(problem("A1", "AKID", ""), MwsKeyProblem::NoSecret);
    let shown = format!("{:?}", MwsKey::new("A1SELLER", "AKIDMWS", &secret()).unwrap());
    assert_eq!(shown, "MwsKey([REDACTED])");
}
