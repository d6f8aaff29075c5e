//! Where calls go. As for gift codes there is no free URL: one of Amazon's three hosts, or a loopback address.

use std::net::SocketAddr;

use crate::kernel::{Environment, PayRegion};

/// The address of a stand-in is not a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of a stand-in for Amazon Pay must be a loopback address")]
pub struct PayStandInBeyondLoopback;

/// One region's endpoint (`PROTOCOL.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayEndpoint {
    region: PayRegion,
    environment: Environment,
    /// Set when the calls go to a stand-in on this machine.
    stand_in: Option<SocketAddr>,
}

impl PayEndpoint {
    /// Amazon's own host, by HTTPS.
    #[must_use]
    pub const fn amazon(region: PayRegion, environment: Environment) -> Self {
        Self { region, environment, stand_in: None }
    }

    /// A stand-in for Amazon on this machine, by plain HTTP. Sandbox only. `x-amz-pay-host`, and so the signature, still names
    /// Amazon's host.
    ///
    /// # Errors
    /// [`PayStandInBeyondLoopback`] when the address can be reached from elsewhere.
    pub fn loopback(region: PayRegion, address: SocketAddr) -> Result<Self, PayStandInBeyondLoopback> {
        if !address.ip().is_loopback() {
            return Err(PayStandInBeyondLoopback);
        }
        // Rebuilt, because an IPv6 scope id has no place in a URL.
        let stand_in = Some(SocketAddr::new(address.ip(), address.port()));
        Ok(Self { region, environment: Environment::Sandbox, stand_in })
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> PayRegion {
        self.region
    }

    /// Sandbox or production.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// Whether the calls go to a stand-in on this machine.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.stand_in.is_some()
    }

    /// Scheme and authority, without a trailing slash.
    pub(super) fn base_url(&self) -> String {
        self.base_url_of(self.region.host())
    }

    /// The same for another of Amazon's hosts: that of the generation before.
    pub(super) fn base_url_of(&self, host: &str) -> String {
        self.stand_in.map_or_else(|| format!("https://{host}"), |address| format!("http://{address}"))
    }

    /// What every path begins with. The id of a newer key names its environment, and then the path does not.
    pub(super) const fn path_prefix(&self, key_names_environment: bool) -> &'static str {
        match (key_names_environment, self.environment) {
            (true, _) => "/v2",
            (false, Environment::Sandbox) => "/sandbox/v2",
            (false, Environment::Production) => "/live/v2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Currency;

    #[test]
    fn each_region_has_its_host_its_word_and_its_currencies() {
        for (region, host, word, currency) in [
            (PayRegion::Jp, "pay-api.amazon.jp", "jp", Currency::Jpy),
            (PayRegion::Na, "pay-api.amazon.com", "na", Currency::Usd),
            (PayRegion::Eu, "pay-api.amazon.eu", "eu", Currency::Gbp),
        ] {
            let endpoint = PayEndpoint::amazon(region, Environment::Production);
            assert_eq!(endpoint.base_url(), format!("https://{host}"));
            assert_eq!((region.as_str(), PayRegion::from_word(word)), (word, Some(region)));
            assert!(region.takes(currency) && !endpoint.is_loopback());
        }
        assert!(!PayRegion::Jp.takes(Currency::Usd) && !PayRegion::Eu.takes(Currency::Jpy));
        assert_eq!(PayRegion::from_word(""), None);
    }

    #[test]
    fn the_path_names_the_environment_where_the_key_does_not() {
        let live = PayEndpoint::amazon(PayRegion::Jp, Environment::Production);
        let sandbox = PayEndpoint::amazon(PayRegion::Jp, Environment::Sandbox);
        assert_eq!([live.path_prefix(true), live.path_prefix(false)], ["/v2", "/live/v2"]);
        assert_eq!([sandbox.path_prefix(true), sandbox.path_prefix(false)], ["/v2", "/sandbox/v2"]);
    }

    #[test]
    fn a_stand_in_is_on_loopback_and_of_the_sandbox() {
        for (address, base) in [("127.0.0.1:8083", "http://127.0.0.1:8083"), ("[::1%7]:80", "http://[::1]:80")] {
            let endpoint = PayEndpoint::loopback(PayRegion::Jp, address.parse().unwrap()).unwrap();
            assert_eq!((endpoint.base_url().as_str(), endpoint.environment()), (base, Environment::Sandbox));
            assert!(endpoint.is_loopback());
        }
        for address in ["0.0.0.0:80", "10.0.0.1:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[fe80::1]:80"] {
            let endpoint = PayEndpoint::loopback(PayRegion::Jp, address.parse().unwrap());
            assert_eq!(endpoint, Err(PayStandInBeyondLoopback), "{address}");
        }
    }
}
