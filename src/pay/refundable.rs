//! How much of a charge may be given back.
//!
//! Amazon gives back a little more than it took, so that a seller can make good for postage: the smaller of 15 % and 8,400 yen (75 of
//! the other currencies) above the charge, in ten refunds at most (Amazon Pay's guides for Japan; `provider/PROTOCOL.md`). The 15 % are
//! rounded down: the guides do not say how Amazon rounds.

use crate::kernel::{Currency, Money};

/// Refunds of one charge.
pub(super) const REFUNDS_MAX: i64 = 10;

/// Why an amount cannot be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotRefundable {
    /// No more than this is left.
    Left(Money),
    /// There were as many refunds as there may be.
    TooMany,
}

/// Looks whether `asked` can be given back of a charge of `charged`, of which `returned` was given back, or may be, by `refunds`
/// refunds. All are in the charge's currency.
pub(super) fn refundable(charged: Money, returned: Money, refunds: i64, asked: Money) -> Result<(), NotRefundable> {
    if refunds >= REFUNDS_MAX {
        return Err(NotRefundable::TooMany);
    }
    let currency = charged.currency();
    let above = (charged.minor() / 100).saturating_mul(15).saturating_add(charged.minor() % 100 * 15 / 100);
    let most = charged.minor().saturating_add(above.min(above_at_most(currency)));
    let left = most.saturating_sub(returned.minor()).max(0);
    if asked.currency() == currency && asked.minor() <= left {
        Ok(())
    } else {
        Err(NotRefundable::Left(Money::from_minor(left, currency)))
    }
}

/// What is given back above a charge at most, in minor units.
fn above_at_most(currency: Currency) -> i64 {
    let whole: i64 = if currency == Currency::Jpy { 8_400 } else { 75 };
    whole.saturating_mul(10_i64.saturating_pow(currency.exponent()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn yen(minor: i64) -> Money {
        Money::from_minor(minor, Currency::Jpy)
    }

    fn most(charged: i64) -> i64 {
        match refundable(yen(charged), yen(0), 0, yen(i64::MAX)) {
            Err(NotRefundable::Left(left)) => left.minor(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn amazons_own_examples_hold() {
        for (charged, given_back) in
            [(10_000, 11_500), (60_000, 68_400), (56_000, 64_400), (56_001, 64_401), (1, 1), (7, 8)]
        {
            assert_eq!(most(charged), given_back, "{charged}");
        }
        let cents = |minor| Money::from_minor(minor, Currency::Usd);
        assert_eq!(refundable(cents(100_000), cents(0), 0, cents(107_500)), Ok(()));
        assert_eq!(refundable(cents(100_000), cents(0), 0, cents(107_501)), Err(NotRefundable::Left(cents(107_500))));
        assert!(refundable(yen(100), yen(0), 0, Money::from_minor(1, Currency::Usd)).is_err(), "another currency");
        assert_eq!(refundable(yen(100), yen(10), REFUNDS_MAX, yen(1)), Err(NotRefundable::TooMany));
    }

    proptest! {
        /// Whatever is given back one after the other never comes to more than Amazon allows, and all of that can be given back.
        #[test]
        fn refunds_never_come_to_more_than_amazon_allows(
            charged in 1_i64..20_000_000, asked in proptest::collection::vec(1_i64..4_000_000, 1..14),
        ) {
            let (mut returned, mut refunds) = (0, 0);
            for amount in asked {
                if refundable(yen(charged), yen(returned), refunds, yen(amount)).is_ok() {
                    (returned, refunds) = (returned + amount, refunds + 1);
                }
            }
            // In whole numbers of another kind: 100 times the sum against 115 times the charge.
            prop_assert!(i128::from(returned) * 100 <= i128::from(charged) * 115);
            prop_assert!(returned <= charged + 8_400 && refunds <= REFUNDS_MAX);
            if refunds < REFUNDS_MAX {
                let rest = most(charged) - returned;
                prop_assert_eq!(refundable(yen(charged), yen(returned), refunds, yen(rest)), Ok(()));
                prop_assert!(refundable(yen(charged), yen(returned), refunds, yen(rest + 1)).is_err());
            }
        }
    }
}
