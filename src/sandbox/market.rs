//! Marketplaces: which host signs for which region, which currencies it sells in, and what a card may cost there.

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use rust_decimal::Decimal;

/// A group of marketplaces that shares an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Group {
    /// North America.
    Na,
    /// Europe and the Middle East.
    Eu,
    /// The Far East and Australia.
    Fe,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Na, Self::Eu, Self::Fe];

    /// The group that one of Amazon's six host names belongs to; none for any other name.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase();
        match name.as_str() {
            "agcod-v2-gamma.amazon.com" | "agcod-v2.amazon.com" => Some(Self::Na),
            "agcod-v2-eu-gamma.amazon.com" | "agcod-v2-eu.amazon.com" => Some(Self::Eu),
            "agcod-v2-fe-gamma.amazon.com" | "agcod-v2-fe.amazon.com" => Some(Self::Fe),
            _ => None,
        }
    }

    pub(super) fn of_region(region: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.region() == region)
    }

    /// The region that a client signs for. The Far East signs with `us-west-2`, not with an Asian region.
    pub(super) fn region(self) -> &'static str {
        match self {
            Self::Na => "us-east-1",
            Self::Eu => "eu-west-1",
            Self::Fe => "us-west-2",
        }
    }

    /// The currency of an account that names none.
    pub(super) fn currency(self) -> &'static str {
        match self {
            Self::Na => "USD",
            Self::Eu => "EUR",
            Self::Fe => "JPY",
        }
    }

    /// Every currency of the group's countries.
    pub(super) fn currencies(self) -> &'static [&'static str] {
        match self {
            Self::Na => &["USD", "CAD", "MXN"],
            Self::Eu => &["EUR", "GBP", "TRY", "AED", "SAR", "PLN", "SEK", "EGP", "ZAR"],
            Self::Fe => &["JPY", "AUD", "SGD"],
        }
    }
}

/// The marketplaces of a call: the group, and whether the host named it. On any other host, such as a loopback address,
/// the group is that of the signed region, and only the account's own currency is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Market {
    pub(super) group: Group,
    pub(super) named_by_host: bool,
}

impl Market {
    pub(super) fn of(host: &str, region: &str) -> Self {
        match Group::of_host(host) {
            Some(group) => Self { group, named_by_host: true },
            None => Self { group: Group::of_region(region).unwrap_or(Group::Na), named_by_host: false },
        }
    }
}

/// The largest value of a card. Amazon states it for USD, third parties for GBP and JPY; the others are assumed.
pub(super) fn amount_max(currency: &str) -> Decimal {
    match currency {
        "USD" => Decimal::from(2_000),
        "JPY" => Decimal::from(500_000),
        _ => Decimal::from(5_000),
    }
}

/// The digits of a currency after the point.
pub(super) fn fraction_digits(currency: &str) -> u32 {
    if currency == "JPY" { 0 } else { 2 }
}

/// When a card ends, as Java's `Date.toString()` prints it: never in North America and Australia, else at the end of
/// the marketplace's day ten years on.
pub(super) fn expiration(currency: &str, created_at: DateTime<Utc>) -> Option<String> {
    let end_of_day = match currency {
        "USD" | "CAD" | "MXN" | "AUD" => return None,
        "JPY" => NaiveTime::from_hms_opt(14, 59, 59),
        "GBP" => NaiveTime::from_hms_opt(22, 59, 59),
        _ => NaiveTime::from_hms_opt(21, 59, 59),
    }?;
    let day = created_at.date_naive();
    let year = day.year().checked_add(10)?;
    // Ten years after a leap day there is none; the card ends a day earlier.
    let last = day.with_year(year).or_else(|| day.pred_opt()?.with_year(year))?;
    Some(last.and_time(end_of_day).format("%a %b %d %H:%M:%S UTC %Y").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn an_expiry_reads_as_it_was_recorded() {
        let created_at = Utc.with_ymd_and_hms(2022, 6, 10, 8, 54, 50).unwrap();
        assert_eq!(expiration("JPY", created_at).unwrap(), "Thu Jun 10 14:59:59 UTC 2032");
        assert_eq!(expiration("USD", created_at), None);
        let leap_day = Utc.with_ymd_and_hms(2024, 2, 29, 1, 0, 0).unwrap();
        assert_eq!(expiration("EUR", leap_day).unwrap(), "Tue Feb 28 21:59:59 UTC 2034");
    }

    #[test]
    fn only_amazons_own_host_names_choose_a_group() {
        assert_eq!(Group::of_host("agcod-v2-fe-gamma.amazon.com"), Some(Group::Fe));
        assert_eq!(Group::of_host("AGCOD-v2-eu.amazon.com:443"), Some(Group::Eu));
        assert_eq!(Group::of_host("127.0.0.1:8080"), None);
        assert_eq!(Group::of_host("agcod-v2-eu.amazon.com.example.org"), None);
    }
}
