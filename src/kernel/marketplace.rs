//! Amazon's marketplaces: which host serves one, which region signs for it, which currency it deals in.
//!
//! One table, so that host, region and currency can never disagree (public clients mix them up). The figures are
//! Amazon's (`PROTOCOL.md`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Currency, Money};

/// Amazon's sandbox ("gamma") or the real thing. They have separate hosts, keys and cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Amazon's sandbox, or ours on loopback: no real money.
    Sandbox,
    /// Real money.
    Production,
}

impl Environment {
    /// The environment of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Sandbox, Self::Production].into_iter().find(|environment| environment.as_str() == word)
    }

    /// The word in settings, in the store and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Production => "production",
        }
    }
}

/// Which of Amazon's three hosts serves a marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostGroup {
    NorthAmerica,
    EuropeAndMiddleEast,
    FarEast,
}

/// A country whose Amazon sells the cards. An account belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the variants are Amazon's country codes themselves")]
pub enum Marketplace {
    Us,
    Ca,
    Mx,
    It,
    Es,
    De,
    Fr,
    Uk,
    Tr,
    Uae,
    Ksa,
    Pl,
    Nl,
    Se,
    Eg,
    Be,
    Za,
    Jp,
    Au,
    Sg,
}

/// What is known of a marketplace.
struct Row {
    code: &'static str,
    group: HostGroup,
    currency: Currency,
    /// The smallest digital card in minor units, where Amazon publishes it.
    minimum: Option<i64>,
    /// The largest card in minor units, where Amazon publishes it.
    maximum: Option<i64>,
}

const fn row(code: &'static str, group: HostGroup, currency: Currency) -> Row {
    Row { code, group, currency, minimum: None, maximum: None }
}

impl Row {
    const fn from(self, minimum: i64) -> Self {
        Self { minimum: Some(minimum), ..self }
    }

    const fn to(self, maximum: i64) -> Self {
        Self { maximum: Some(maximum), ..self }
    }
}

impl Marketplace {
    /// Every marketplace.
    pub const ALL: [Self; 20] = [
        Self::Us,
        Self::Ca,
        Self::Mx,
        Self::It,
        Self::Es,
        Self::De,
        Self::Fr,
        Self::Uk,
        Self::Tr,
        Self::Uae,
        Self::Ksa,
        Self::Pl,
        Self::Nl,
        Self::Se,
        Self::Eg,
        Self::Be,
        Self::Za,
        Self::Jp,
        Self::Au,
        Self::Sg,
    ];

    const fn row(self) -> Row {
        use HostGroup::{EuropeAndMiddleEast as Eu, FarEast as Fe, NorthAmerica as Na};
        match self {
            Self::Us => row("US", Na, Currency::Usd).from(15).to(200_000),
            Self::Ca => row("CA", Na, Currency::Cad),
            Self::Mx => row("MX", Na, Currency::Mxn),
            Self::It => row("IT", Eu, Currency::Eur),
            Self::Es => row("ES", Eu, Currency::Eur),
            Self::De => row("DE", Eu, Currency::Eur),
            Self::Fr => row("FR", Eu, Currency::Eur),
            Self::Uk => row("UK", Eu, Currency::Gbp).to(500_000),
            Self::Tr => row("TR", Eu, Currency::Try),
            Self::Uae => row("UAE", Eu, Currency::Aed),
            Self::Ksa => row("KSA", Eu, Currency::Sar),
            Self::Pl => row("PL", Eu, Currency::Pln),
            Self::Nl => row("NL", Eu, Currency::Eur),
            Self::Se => row("SE", Eu, Currency::Sek),
            Self::Eg => row("EG", Eu, Currency::Egp),
            Self::Be => row("BE", Eu, Currency::Eur),
            Self::Za => row("ZA", Eu, Currency::Zar),
            Self::Jp => row("JP", Fe, Currency::Jpy).to(500_000),
            Self::Au => row("AU", Fe, Currency::Aud),
            Self::Sg => row("SG", Fe, Currency::Sgd),
        }
    }

    /// Where a day begins unless the settings say otherwise: the capital's zone, and the east coast's for the countries
    /// that have several.
    #[must_use]
    pub const fn time_zone(self) -> &'static str {
        match self {
            Self::Us => "America/New_York",
            Self::Ca => "America/Toronto",
            Self::Mx => "America/Mexico_City",
            Self::It => "Europe/Rome",
            Self::Es => "Europe/Madrid",
            Self::De => "Europe/Berlin",
            Self::Fr => "Europe/Paris",
            Self::Uk => "Europe/London",
            Self::Tr => "Europe/Istanbul",
            Self::Uae => "Asia/Dubai",
            Self::Ksa => "Asia/Riyadh",
            Self::Pl => "Europe/Warsaw",
            Self::Nl => "Europe/Amsterdam",
            Self::Se => "Europe/Stockholm",
            Self::Eg => "Africa/Cairo",
            Self::Be => "Europe/Brussels",
            Self::Za => "Africa/Johannesburg",
            Self::Jp => "Asia/Tokyo",
            Self::Au => "Australia/Sydney",
            Self::Sg => "Asia/Singapore",
        }
    }

    /// Amazon's country code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The currency that its cards are in.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.row().currency
    }

    /// The host that serves it.
    #[must_use]
    pub const fn host(self, environment: Environment) -> &'static str {
        match (self.row().group, environment) {
            (HostGroup::NorthAmerica, Environment::Sandbox) => "agcod-v2-gamma.amazon.com",
            (HostGroup::NorthAmerica, Environment::Production) => "agcod-v2.amazon.com",
            (HostGroup::EuropeAndMiddleEast, Environment::Sandbox) => "agcod-v2-eu-gamma.amazon.com",
            (HostGroup::EuropeAndMiddleEast, Environment::Production) => "agcod-v2-eu.amazon.com",
            (HostGroup::FarEast, Environment::Sandbox) => "agcod-v2-fe-gamma.amazon.com",
            (HostGroup::FarEast, Environment::Production) => "agcod-v2-fe.amazon.com",
        }
    }

    /// The AWS region that signs for its host. The Far East signs with `us-west-2`.
    #[must_use]
    pub const fn region(self) -> &'static str {
        match self.row().group {
            HostGroup::NorthAmerica => "us-east-1",
            HostGroup::EuropeAndMiddleEast => "eu-west-1",
            HostGroup::FarEast => "us-west-2",
        }
    }

    /// The smallest digital card: what Amazon publishes, else one minor unit.
    #[must_use]
    pub fn minimum(self) -> Money {
        let Row { currency, minimum, .. } = self.row();
        Money::from_minor(minimum.unwrap_or(1), currency)
    }

    /// The largest card that every partner may buy, where Amazon publishes it; else settings must say one.
    #[must_use]
    pub fn maximum(self) -> Option<Money> {
        let Row { currency, maximum, .. } = self.row();
        maximum.map(|minor| Money::from_minor(minor, currency))
    }
}

impl fmt::Display for Marketplace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text names no marketplace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Amazon marketplace")]
pub struct UnknownMarketplace;

impl FromStr for Marketplace {
    type Err = UnknownMarketplace;

    fn from_str(text: &str) -> Result<Self, UnknownMarketplace> {
        Self::ALL.into_iter().find(|marketplace| marketplace.code() == text).ok_or(UnknownMarketplace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_region_and_currency_belong_together() {
        for (code, sandbox, region, currency) in [
            ("US", "agcod-v2-gamma.amazon.com", "us-east-1", "USD"),
            ("UK", "agcod-v2-eu-gamma.amazon.com", "eu-west-1", "GBP"),
            ("DE", "agcod-v2-eu-gamma.amazon.com", "eu-west-1", "EUR"),
            ("JP", "agcod-v2-fe-gamma.amazon.com", "us-west-2", "JPY"),
        ] {
            let marketplace: Marketplace = code.parse().unwrap();
            assert_eq!(marketplace.host(Environment::Sandbox), sandbox);
            assert_eq!(marketplace.host(Environment::Production), sandbox.replace("-gamma", ""));
            assert_eq!(marketplace.region(), region);
            assert_eq!(marketplace.currency().code(), currency);
        }
    }

    #[test]
    fn every_marketplace_reads_back_from_its_code() {
        for marketplace in Marketplace::ALL {
            assert_eq!(marketplace.code().parse(), Ok(marketplace));
            let json = serde_json::to_string(&marketplace).unwrap();
            assert_eq!(json, format!("\"{marketplace}\""));
        }
    }
}
