//! The secret of an endpoint, and how a message is signed with it.

use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use ring::hmac;
use zeroize::Zeroizing;

use crate::ambient::{Ambient, NoRandomness};

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret of ours: as many as HMAC-SHA256 gives.
const SECRET_BYTES: usize = 32;
/// Bytes of a secret that is read: what Standard Webhooks 1.0 allows.
const SECRET_BYTES_MIN: usize = 24;
const SECRET_BYTES_MAX: usize = 64;

/// What an endpoint's messages are signed with. Wiped from memory when dropped; it cannot be printed, logged, serialised, compared or
/// copied, and a test counts where it is taken out.
pub struct EndpointSecret(Zeroizing<Vec<u8>>);

/// The text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and then 24 to 64 bytes in base64, with padding")]
pub struct NoEndpointSecret;

impl EndpointSecret {
    /// Draws a new one.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system has none to give.
    pub fn draw(ambient: &Ambient) -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new(vec![0; SECRET_BYTES]);
        ambient.fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads the text that [`EndpointSecret::in_clear`] gives.
    ///
    /// # Errors
    /// [`NoEndpointSecret`] for any other text.
    pub fn parse(text: &str) -> Result<Self, NoEndpointSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NoEndpointSecret)?.as_bytes();
        let room = BASE64.decode_len(encoded.len()).map_err(|_length| NoEndpointSecret)?;
        // The room is at most two bytes more than the secret. A longer text is not worth the memory.
        if room > SECRET_BYTES_MAX.saturating_add(2) {
            return Err(NoEndpointSecret);
        }
        let mut bytes = Zeroizing::new(vec![0; room]);
        let length = BASE64.decode_mut(encoded, &mut bytes).map_err(|_partial| NoEndpointSecret)?;
        bytes.truncate(length);
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&length) { Ok(Self(bytes)) } else { Err(NoEndpointSecret) }
    }

    /// The text that the endpoint's owner is shown, and that is sealed.
    #[must_use]
    pub fn in_clear(&self) -> Zeroizing<String> {
        // With all its room from the beginning: a text that grows leaves copies behind.
        let room = PREFIX.len().saturating_add(BASE64.encode_len(self.0.len()));
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(PREFIX);
        BASE64.encode_append(&self.0, &mut text);
        text
    }
}

/// The value of `webhook-signature`: a signature by each of these secrets. While a secret is replaced there are two, so that a
/// receiver can hold either.
#[must_use]
pub fn signature(secrets: &[&EndpointSecret], id: &str, at: DateTime<Utc>, body: &[u8]) -> String {
    let head = format!("{id}.{}.", at.timestamp());
    let signed = |secret: &&EndpointSecret| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0));
        context.update(head.as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    };
    secrets.iter().map(signed).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{borrow, fmt, hash, ops};

    use super::*;

    // What the type's documentation promises. It fails to compile where one of them is implemented.
    static_assertions::assert_not_impl_any!(
        EndpointSecret: fmt::Debug, fmt::Display, tracing::Value, serde::Serialize, Clone, Copy, PartialEq, PartialOrd,
        hash::Hash, ops::Deref, AsRef<str>, AsRef<[u8]>, borrow::Borrow<[u8]>, Into<String>
    );

    /// Secret, id, seconds, body and signature, as the official libraries have them in their own tests.
    const PUBLISHED: [(&str, &str, i64, &str, &str); 2] = [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 999_999_999).unwrap()
    }

    #[test]
    fn the_published_examples_are_signed_as_published() {
        for (secret, id, seconds, body, signed) in PUBLISHED {
            let secret = EndpointSecret::parse(secret).unwrap();
            assert_eq!(signature(&[&secret], id, at(seconds), body.as_bytes()), signed);
        }
    }

    #[test]
    fn each_secret_signs_and_whatever_changes_changes_the_signature() {
        let [old, new] = [PUBLISHED[0].0, PUBLISHED[1].0].map(|text| EndpointSecret::parse(text).unwrap());
        let signed = |secrets: &[&EndpointSecret]| signature(secrets, "msg_1", at(7), b"body");
        let both = signed(&[&new, &old]);
        assert_eq!(both.split(' ').collect::<Vec<_>>(), [signed(&[&new]), signed(&[&old])]);
        assert_ne!(signed(&[&new]), signed(&[&old]));
        for other in [
            signature(&[&new], "msg_2", at(7), b"body"),
            signature(&[&new], "msg_1", at(8), b"body"),
            signature(&[&new], "msg_1", at(7), b"bodY"),
            signature(&[&new], "msg_1", at(7), b"body "),
        ] {
            assert_ne!(other, signed(&[&new]));
        }
    }

    #[test]
    fn a_secret_that_is_drawn_has_32_bytes_and_is_read_back() {
        let ambient = Ambient::movable(1);
        let (one, other) = (EndpointSecret::draw(&ambient).unwrap(), EndpointSecret::draw(&ambient).unwrap());
        assert_eq!((one.0.len(), other.0.len()), (32, 32));
        assert_ne!(*one.0, *other.0);
        let text = one.in_clear();
        assert!(text.starts_with("whsec_") && text.len() == 50 && text.ends_with('='));
        assert_eq!(*EndpointSecret::parse(&text).unwrap().0, *one.0);
    }

    #[test]
    fn a_secret_of_24_to_64_bytes_in_base64_is_read_and_nothing_else() {
        let text = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![0xfb; bytes]));
        for bytes in [24, 25, 26, 32, 63, 64] {
            assert_eq!(EndpointSecret::parse(&text(bytes)).unwrap().0.len(), bytes);
        }
        let unpadded = text(32).trim_end_matches('=').to_owned();
        let of_urls = text(24).replace('+', "-").replace('/', "_");
        for bad in [
            text(0),
            text(23),
            text(65),
            text(66),
            text(67),
            text(4_000),
            unpadded,
            of_urls,
            format!(" {}", text(24)),
            format!("{}\n", text(24)),
            text(24).replace("whsec_", ""),
            text(24).replace("whsec_", "whsk_"),
            text(24).replace("whsec_", "WHSEC_"),
            "whsec_".to_owned(),
            String::new(),
        ] {
            assert!(EndpointSecret::parse(&bad).is_err(), "{bad}");
        }
        assert!(!NoEndpointSecret.to_string().contains(&BASE64.encode(&[0xfb; 3])));
    }
}
