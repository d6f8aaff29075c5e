//! How an Amazon account is named: by barcode, phone number or id. The target of a load is the way and the name as one text.

use zeroize::Zeroizing;

use crate::{
    incentives::kind::{TargetEnding, WrongField},
    sealing::Target,
};

/// Stands between the way and the name. Neither has it.
const SEPARATOR: char = '\u{1f}';

/// What every id of Login with Amazon begins with.
const ACCOUNT_ID_PREFIX: &str = "amzn1.account.";

/// So many digits at the end of a phone number are the same in every form of it: at home it has no country code, and often a 0 before it.
/// The shortest mobile numbers of Amazon's countries have eight digits (Singapore). Fewer would be found in order numbers and dates; of
/// texts with eight other digits one in a hundred million is refused for nothing.
const PHONE_DIGITS: usize = 8;

/// A way to name an account. The words are durable: they stand in sealed targets.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Its member of `target`, and how a sealed target begins.
    pub(super) word: &'static str,
    /// Amazon's `account.type`: see [`super::wire`].
    pub(super) number: u8,
    is_name: fn(&str) -> bool,
    wrong: WrongField,
    /// Whether its last digits may be shown.
    shown: bool,
}

/// The barcode that Amazon's app or site shows.
pub(super) const BARCODE: Way = Way {
    word: "barcode",
    number: super::wire::TYPE_BARCODE,
    is_name: |text| text.len() == 30 && is_digits(text),
    wrong: WrongField { pointer: "/target/barcode", expected: "30 digits" },
    shown: true,
};

/// The mobile number that is linked to the account.
pub(super) const PHONE: Way = Way {
    word: "phone",
    number: super::wire::TYPE_PHONE,
    is_name: |text| {
        let digits = text.strip_prefix('+').unwrap_or_default();
        (8..=15).contains(&digits.len()) && is_digits(digits) && !digits.starts_with('0')
    },
    wrong: WrongField { pointer: "/target/phone", expected: "a number as E.164 has it: + and 8 to 15 digits" },
    shown: true,
};

/// The id that Login with Amazon returns.
pub(super) const ACCOUNT_ID: Way = Way {
    word: "account_id",
    number: super::wire::TYPE_ACCOUNT_ID,
    is_name: |text| {
        let rest = text.strip_prefix(ACCOUNT_ID_PREFIX).unwrap_or_default();
        (1..=114).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    },
    wrong: WrongField {
        pointer: "/target/account_id",
        expected: "the id that Login with Amazon returns: amzn1.account. and letters and digits",
    },
    shown: false,
};

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Way {
    /// The target that this name makes.
    pub(super) fn target(self, name: &str) -> Result<Target, WrongField> {
        if !(self.is_name)(name) {
            return Err(self.wrong);
        }
        let mut whole =
            Zeroizing::new(String::with_capacity(self.word.len().saturating_add(name.len()).saturating_add(1)));
        whole.push_str(self.word);
        whole.push(SEPARATOR);
        whole.push_str(name);
        Target::new(whole).ok_or(self.wrong)
    }
}

/// An account as a target names it.
#[derive(Clone, Copy)]
pub(super) struct NamedAccount<'a> {
    pub(super) way: Way,
    pub(super) name: &'a str,
}

impl<'a> NamedAccount<'a> {
    /// Read out of a target; `None` of one that no load has.
    pub(super) fn of(target: &'a Target) -> Option<Self> {
        let (word, name) = target.in_clear().split_once(SEPARATOR)?;
        let way = [BARCODE, PHONE, ACCOUNT_ID].into_iter().find(|way| way.word == word)?;
        Some(Self { way, name })
    }

    /// What no text may repeat: what tells it from others.
    pub(super) fn secret(self) -> &'a str {
        let name = self.name.strip_prefix(ACCOUNT_ID_PREFIX).unwrap_or(self.name);
        let at = if self.way.number == PHONE.number { name.len().saturating_sub(PHONE_DIGITS) } else { 0 };
        name.get(at..).unwrap_or(name)
    }

    /// What may be shown of it.
    pub(super) fn ending(&self) -> Option<TargetEnding> {
        TargetEnding::of(self.name.trim_start_matches('+')).filter(|_ending| self.way.shown)
    }
}
