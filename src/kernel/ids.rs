//! Ids as types: a prefix that says what it names, and a UUID in hex. It is ordered by time (version 7), except a client's,
//! which derives from its name (version 8).

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use uuid::{Uuid, Variant};

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct MalformedId(&'static str);

impl MalformedId {
    /// Of a text that is not of this form.
    pub(crate) const fn expecting(form: &'static str) -> Self {
        Self(form)
    }
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made by `Ambient` or read from the store.
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID as the store keeps it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                const MALFORMED: MalformedId =
                    MalformedId::expecting(concat!($prefix, "_ and 32 digits of 0-9 and a-f, as an answer has it"));
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(MALFORMED)?;
                if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                    return Err(MALFORMED);
                }
                // The store keeps no UUID of another variant.
                let uuid = Uuid::try_parse(hex).ok().filter(|uuid| uuid.get_variant() == Variant::RFC4122);
                uuid.map(Self).ok_or(MALFORMED)
            }
        }
    };
}

prefixed_id!(
    /// One thing bought for one recipient.
    RewardId,
    "rwd"
);
prefixed_id!(
    /// One caller of our API: what idempotency keys and rewards belong to.
    ClientId,
    "cli"
);
prefixed_id!(
    /// One run of a reconciliation.
    ReconciliationId,
    "rec"
);
prefixed_id!(
    /// One API key of a client.
    ApiKeyId,
    "key"
);

prefixed_id!(
    /// One place where a client listens for events.
    WebhookEndpointId,
    "whe"
);

prefixed_id!(
    /// Many rewards that are bought one after the other.
    BatchId,
    "bat"
);

prefixed_id!(
    /// One movement of a buyer's money: a charge, or a refund.
    PaymentId,
    "pmt"
);

prefixed_id!(
    /// One notification of Amazon Pay.
    PayNoticeId,
    "ntc"
);

prefixed_id!(
    /// One question of Amazon SNS whether an endpoint of ours is to be subscribed.
    PaySubscriptionId,
    "sub"
);

prefixed_id!(
    /// What members pay for each period, and get for it.
    MembershipPlanId,
    "pln"
);

prefixed_id!(
    /// One member who pays period by period.
    MembershipId,
    "mbr"
);

/// A program: `prg_` and 1 to 40 characters of a-z, 0-9 and `_`, chosen by whoever makes it, so that it reads well on a
/// dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramId(String);

impl ProgramId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProgramId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        const MALFORMED: MalformedId = MalformedId::expecting("prg_ and 1 to 40 characters of a-z, 0-9 and underscore");
        let name = text.strip_prefix("prg_").ok_or(MALFORMED)?;
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fits = (1..=40).contains(&name.len()) && name.bytes().all(known);
        fits.then(|| Self(text.to_owned())).ok_or(MALFORMED)
    }
}

impl ClientId {
    /// Stands for the caller of rewards that only Amazon knew of, until the one who bought them comes back. It has no keys.
    pub const ADOPTED: Self = Self::new(Uuid::from_u128(0x0000_0000_0000_8000_8000_0000_0000_0001));

    /// The id of the client of this name, in every database and at every time: what a caller's keys become at Amazon derives
    /// from it. A person who writes the name again may use other capitals, other spaces, or another form of the same letter,
    /// so none of these counts.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let lower = name.nfkc().collect::<String>().to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let folded: String = words.join(" ").nfkc().collect();
        let digest = Sha256::new().chain_update(b"noshi/client/v1\0").chain_update(folded).finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_whoever_makes_it() {
        for text in ["prg_spring", "prg_a", "prg_2026_q4"] {
            assert_eq!(text.parse::<ProgramId>().unwrap().to_string(), text);
        }
        let long = format!("prg_{}", "a".repeat(41));
        for text in ["", "prg_", "spring", "prg_Spring", "prg_a-b", "prg_a b", &long] {
            let malformed = text.parse::<ProgramId>().unwrap_err().to_string();
            assert_eq!(malformed, "expected prg_ and 1 to 40 characters of a-z, 0-9 and underscore", "{text}");
        }
    }

    #[test]
    fn the_id_of_a_client_is_pinned_for_ever() {
        // Changing this derivation would buy second cards for keys that were already used.
        assert_eq!(ClientId::of_name("shop").to_string(), "cli_9397da8a6b328295abede828ea48fe61");
        for same in ["Shop", "SHOP", " shop ", "\u{ff53}\u{ff48}\u{ff4f}\u{ff50}"] {
            assert_eq!(ClientId::of_name(same), ClientId::of_name("shop"), "{same:?}");
        }
        assert_eq!(ClientId::of_name("Caf\u{e9}  Noir"), ClientId::of_name("cafe\u{301} noir"));
        for other in ["shop2", "sh op", "shop.", "sh\u{f3}p", ""] {
            assert_ne!(ClientId::of_name(other), ClientId::of_name("shop"), "{other:?}");
        }
        assert_eq!(ClientId::of_name("shop").uuid().get_version_num(), 8);
    }

    #[test]
    fn an_id_reads_back_from_its_own_text_and_from_nothing_else() {
        let id = RewardId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00ff));
        assert_eq!(id.to_string(), "rwd_019000000000700080000000000000ff");
        assert_eq!(id.to_string().parse::<RewardId>(), Ok(id));
        for text in [
            "",
            "rwd_",
            "019000000000700080000000000000ff",
            "cli_019000000000700080000000000000ff",
            "rwd_019000000000700080000000000000FF",
            "rwd_01900000-0000-7000-8000-0000000000ff",
            "rwd_../../etc/passwd",
            "rwd_00000000000000000000000000000000",
            "rwd_ffffffffffffffffffffffffffffffff",
        ] {
            let malformed = text.parse::<RewardId>().unwrap_err().to_string();
            assert_eq!(malformed, "expected rwd_ and 32 digits of 0-9 and a-f, as an answer has it", "{text}");
        }
    }
}
