//! Where calls go. There is no free URL: an endpoint is one of Amazon's hosts or a loopback address, so that no setting
//! can send a signed request, or have a claim code come back, anywhere else.

use std::net::SocketAddr;

use crate::kernel::{Currency, Environment, Marketplace};

/// The address of a loopback endpoint is not a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address of a loopback endpoint must be a loopback address")]
pub struct NotLoopback;

/// One marketplace's endpoint (`PROTOCOL.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    marketplace: Marketplace,
    environment: Environment,
    /// Set when the calls go to a stand-in on this machine.
    stand_in: Option<SocketAddr>,
}

impl Endpoint {
    /// Amazon's own host for the marketplace, by HTTPS.
    #[must_use]
    pub const fn amazon(marketplace: Marketplace, environment: Environment) -> Self {
        Self { marketplace, environment, stand_in: None }
    }

    /// A stand-in for Amazon on this machine, by plain HTTP. Sandbox only. The `Host` header, and so the signature,
    /// still names the marketplace's sandbox host: the stand-in checks exactly what Amazon would check.
    ///
    /// # Errors
    /// [`NotLoopback`] when the address can be reached from elsewhere.
    pub fn loopback(marketplace: Marketplace, address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback);
        }
        // Rebuilt, because an IPv6 scope id has no place in a URL.
        let stand_in = Some(SocketAddr::new(address.ip(), address.port()));
        Ok(Self { marketplace, environment: Environment::Sandbox, stand_in })
    }

    /// The host that is named in the `Host` header and signed: no scheme, no port.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        self.marketplace.host(self.environment)
    }

    /// The region that signs for the host.
    #[must_use]
    pub const fn region(&self) -> &'static str {
        self.marketplace.region()
    }

    /// The currency of the marketplace's cards.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.marketplace.currency()
    }

    /// The marketplace.
    #[must_use]
    pub const fn marketplace(&self) -> Marketplace {
        self.marketplace
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
    #[must_use]
    pub fn base_url(&self) -> String {
        self.stand_in.map_or_else(|| format!("https://{}", self.host()), |address| format!("http://{address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_endpoints_are_https_and_carry_their_region_and_currency() {
        let endpoint = Endpoint::amazon(Marketplace::Jp, Environment::Production);
        assert_eq!(endpoint.base_url(), "https://agcod-v2-fe.amazon.com");
        assert_eq!(
            (endpoint.host(), endpoint.region(), endpoint.currency()),
            ("agcod-v2-fe.amazon.com", "us-west-2", Currency::Jpy)
        );
        for marketplace in Marketplace::ALL {
            for environment in [Environment::Sandbox, Environment::Production] {
                let endpoint = Endpoint::amazon(marketplace, environment);
                assert_eq!(endpoint.base_url(), format!("https://{}", marketplace.host(environment)));
                assert!(!endpoint.is_loopback());
            }
        }
    }

    #[test]
    fn a_loopback_endpoint_still_names_the_sandbox_host() {
        for (address, base) in [
            ("127.0.0.1:8099", "http://127.0.0.1:8099"),
            ("127.9.9.9:1", "http://127.9.9.9:1"),
            ("[::1]:80", "http://[::1]:80"),
            ("[::1%7]:80", "http://[::1]:80"),
        ] {
            let endpoint = Endpoint::loopback(Marketplace::Uk, address.parse().unwrap()).unwrap();
            assert_eq!(endpoint.base_url(), base);
            assert_eq!(endpoint.host(), "agcod-v2-eu-gamma.amazon.com");
            assert_eq!(endpoint.environment(), Environment::Sandbox);
            assert!(endpoint.is_loopback());
        }
    }

    #[test]
    fn an_address_that_others_can_reach_is_no_loopback_endpoint() {
        for address in
            ["0.0.0.0:80", "10.0.0.1:80", "169.254.169.254:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[fe80::1]:80"]
        {
            assert_eq!(Endpoint::loopback(Marketplace::Us, address.parse().unwrap()), Err(NotLoopback), "{address}");
        }
    }
}
