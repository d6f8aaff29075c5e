//! Marketplaces: which host signs for which region, which currencies it sells in, and what a card may cost there.

use chrono::{DateTime, Datelike, LocalResult, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

/// Amazon's six hosts.
pub(super) const HOSTS: [&str; 6] = [
    "agcod-v2-gamma.amazon.com",
    "agcod-v2.amazon.com",
    "agcod-v2-eu-gamma.amazon.com",
    "agcod-v2-eu.amazon.com",
    "agcod-v2-fe-gamma.amazon.com",
    "agcod-v2-fe.amazon.com",
];

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

/// Amazon's marketplaces by their codes, and the currency of each.
const MARKETPLACES: [(&str, &str); 20] = [
    ("US", "USD"),
    ("CA", "CAD"),
    ("MX", "MXN"),
    ("IT", "EUR"),
    ("ES", "EUR"),
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("UK", "GBP"),
    ("TR", "TRY"),
    ("UAE", "AED"),
    ("KSA", "SAR"),
    ("PL", "PLN"),
    ("NL", "EUR"),
    ("SE", "SEK"),
    ("EG", "EGP"),
    ("BE", "EUR"),
    ("ZA", "ZAR"),
    ("JP", "JPY"),
    ("AU", "AUD"),
    ("SG", "SGD"),
];

/// The currency of the marketplace with this code.
pub(super) fn currency_of_marketplace(code: &str) -> Option<&'static str> {
    MARKETPLACES.iter().find(|(known, _currency)| *known == code).map(|(_code, currency)| *currency)
}

/// The codes of all marketplaces, for a message.
pub(super) fn marketplaces() -> String {
    MARKETPLACES.map(|(code, _currency)| code).join(", ")
}

/// The smallest value of a card. Amazon states it for USD, a third party for GBP; the others are the smallest unit.
pub(super) fn amount_min(currency: &str) -> Decimal {
    match currency {
        "USD" => Decimal::new(15, 2),
        "GBP" | "JPY" => Decimal::ONE,
        _ => Decimal::new(1, 2),
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

/// Where the day of a card's end is counted; nowhere for cards that have no end. All of Amazon's marketplaces that sell in
/// euros keep one time.
fn zone(currency: &str) -> Option<Tz> {
    Some(match currency {
        "EUR" => Tz::Europe__Berlin,
        "GBP" => Tz::Europe__London,
        "PLN" => Tz::Europe__Warsaw,
        "SEK" => Tz::Europe__Stockholm,
        "TRY" => Tz::Europe__Istanbul,
        "AED" => Tz::Asia__Dubai,
        "SAR" => Tz::Asia__Riyadh,
        "EGP" => Tz::Africa__Cairo,
        "ZAR" => Tz::Africa__Johannesburg,
        "JPY" => Tz::Asia__Tokyo,
        "SGD" => Tz::Asia__Singapore,
        _ => return None,
    })
}

/// When a card ends, as Java's `Date.toString()` prints it: never in North America and Australia, else with the
/// marketplace's own day ten years on, summer time as it is then.
pub(super) fn expiration(currency: &str, created_at: DateTime<Utc>) -> Option<String> {
    let zone = zone(currency)?;
    let day = created_at.with_timezone(&zone).date_naive();
    let year = day.year().checked_add(10)?;
    // Ten years after a leap day there is none; the card ends a day earlier.
    let last = day.with_year(year).or_else(|| day.pred_opt()?.with_year(year))?;
    let end = last.and_time(NaiveTime::from_hms_opt(23, 59, 59)?);
    let end = match zone.from_local_datetime(&end) {
        LocalResult::Single(end) | LocalResult::Ambiguous(_, end) => end.to_utc(),
        // No zone of ours skips the last second of a day.
        LocalResult::None => end.and_utc(),
    };
    Some(end.format("%a %b %d %H:%M:%S UTC %Y").to_string())
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
        let british = Utc.with_ymd_and_hms(2017, 11, 30, 12, 0, 0).unwrap();
        assert_eq!(expiration("GBP", british).unwrap(), "Tue Nov 30 23:59:59 UTC 2027");
        let european = Utc.with_ymd_and_hms(2015, 6, 9, 12, 0, 0).unwrap();
        assert_eq!(expiration("EUR", european).unwrap(), "Mon Jun 09 21:59:59 UTC 2025");
    }

    #[test]
    fn a_card_ends_with_its_marketplaces_own_day_in_summer_and_in_winter() {
        let at = |month, day, hour| Utc.with_ymd_and_hms(2024, month, day, hour, 30, 0).unwrap();
        for (currency, created_at, expected) in [
            ("GBP", at(6, 10, 12), "Sat Jun 10 22:59:59 UTC 2034"),
            ("GBP", at(1, 10, 12), "Tue Jan 10 23:59:59 UTC 2034"),
            ("EUR", at(1, 10, 12), "Tue Jan 10 22:59:59 UTC 2034"),
            ("EUR", at(2, 29, 12), "Tue Feb 28 22:59:59 UTC 2034"),
            ("GBP", at(6, 10, 23), "Sun Jun 11 22:59:59 UTC 2034"),
            ("JPY", at(6, 10, 16), "Sun Jun 11 14:59:59 UTC 2034"),
            ("SGD", at(6, 10, 12), "Sat Jun 10 15:59:59 UTC 2034"),
            ("AED", at(6, 10, 12), "Sat Jun 10 19:59:59 UTC 2034"),
        ] {
            assert_eq!(expiration(currency, created_at).unwrap(), expected, "{currency} {created_at}");
        }
    }

    #[test]
    fn a_marketplace_has_a_currency_of_a_host_and_whoever_sells_cards_with_an_end_has_a_zone() {
        let of_hosts: Vec<&str> = Group::ALL.iter().flat_map(|group| group.currencies().iter().copied()).collect();
        for (code, currency) in MARKETPLACES {
            assert!(of_hosts.contains(&currency), "{code}");
        }
        let endless: Vec<&str> = of_hosts.into_iter().filter(|currency| zone(currency).is_none()).collect();
        assert_eq!(endless, ["USD", "CAD", "MXN", "AUD"]);
    }

    #[test]
    fn only_amazons_own_host_names_choose_a_group() {
        assert_eq!(Group::of_host("agcod-v2-fe-gamma.amazon.com"), Some(Group::Fe));
        assert_eq!(Group::of_host("AGCOD-v2-eu.amazon.com:443"), Some(Group::Eu));
        assert_eq!(Group::of_host("127.0.0.1:8080"), None);
        assert_eq!(Group::of_host("agcod-v2-eu.amazon.com.example.org"), None);
    }
}
