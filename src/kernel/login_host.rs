//! Where Login with Amazon is served. There is no free URL: a token goes to one of Amazon's hosts.

use super::Marketplace;

/// A host of Login with Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginHost(&'static str);

const AMERICA: LoginHost = LoginHost("api.amazon.com");
const BRITAIN: LoginHost = LoginHost("api.amazon.co.uk");
const GERMANY: LoginHost = LoginHost("api.amazon.de");
const FAR_EAST: LoginHost = LoginHost("api.amazon.co.jp");

impl LoginHost {
    /// Every host, and beside each its sandbox.
    pub const ALL: [Self; 8] = [
        AMERICA,
        Self("api.sandbox.amazon.com"),
        BRITAIN,
        Self("api.sandbox.amazon.co.uk"),
        GERMANY,
        Self("api.sandbox.amazon.de"),
        FAR_EAST,
        Self("api.sandbox.amazon.co.jp"),
    ];

    /// The host of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|host| host.0 == name)
    }

    /// The host of a marketplace's region. Shoppers of both of Amazon's environments sign in there.
    #[must_use]
    pub fn of(marketplace: Marketplace) -> Self {
        match (marketplace, marketplace.region()) {
            (Marketplace::De, _) => GERMANY,
            (_, "eu-west-1") => BRITAIN,
            (_, "us-west-2") => FAR_EAST,
            _ => AMERICA,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_marketplace_has_the_host_of_its_region() {
        for (marketplace, host) in [
            (Marketplace::Us, "api.amazon.com"),
            (Marketplace::Ca, "api.amazon.com"),
            (Marketplace::De, "api.amazon.de"),
            (Marketplace::Uk, "api.amazon.co.uk"),
            (Marketplace::Fr, "api.amazon.co.uk"),
            (Marketplace::Jp, "api.amazon.co.jp"),
            (Marketplace::Au, "api.amazon.co.jp"),
        ] {
            assert_eq!(LoginHost::of(marketplace).as_str(), host, "{marketplace:?}");
        }
        assert_eq!(LoginHost::named("api.amazon.de"), Some(GERMANY));
        assert_eq!(LoginHost::named("api.amazon.com.example.org"), None);
    }
}
