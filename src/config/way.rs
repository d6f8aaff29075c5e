//! What accounts of every product have in common: a name, an environment, and a way to Amazon.

use std::net::SocketAddr;

use super::{
    check::address,
    source::{RawSettings, Section},
};
use crate::kernel::{Environment, HttpsProxy, NoHttpsProxy, claim_code::looks_like_claim_code};

const ACCOUNT_ID_LENGTH_MAX: usize = 32;

/// Looks at the name of an account.
pub(super) fn named(source: &mut RawSettings, section: &str, id: &str) {
    if !(1..=ACCOUNT_ID_LENGTH_MAX).contains(&id.len()) {
        source.refuse(
            &format!("{section}.{id}"),
            &format!("the name must be 1 to {ACCOUNT_ID_LENGTH_MAX} of a-z 0-9 _ -"),
        );
    }
    if looks_like_claim_code(id) {
        source.refuse(&format!("{section}.{id}"), "the name has the shape of a claim code, which the database refuses");
    }
}

/// How an account reaches Amazon, or what stands in for it.
pub(super) struct WayToAmazon {
    pub(super) sandbox_gateway: Option<SocketAddr>,
    pub(super) https_proxy: Option<HttpsProxy>,
}

pub(super) fn way_to_amazon(section: &mut Section<'_>, environment: Option<Environment>) -> WayToAmazon {
    let sandbox_gateway = section.text("sandbox_gateway", loopback);
    if sandbox_gateway.is_some() && environment == Some(Environment::Production) {
        section.refuse("sandbox_gateway", "belongs to environment = \"sandbox\" only");
    }
    let https_proxy = section.text("https_proxy", |text| text.parse().map_err(|no: NoHttpsProxy| no.to_string()));
    if https_proxy.is_some() && sandbox_gateway.is_some() {
        section.refuse("https_proxy", "is for Amazon's own hosts: sandbox_gateway is on this machine");
    }
    WayToAmazon { sandbox_gateway, https_proxy }
}

pub(super) fn environment(text: &str) -> Result<Environment, String> {
    [Environment::Sandbox, Environment::Production]
        .into_iter()
        .find(|environment| environment.as_str() == text)
        .ok_or_else(|| "must be sandbox or production".to_owned())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match address(text)? {
        here if here.ip().is_loopback() => Ok(here),
        _elsewhere => Err("must be a loopback address: requests to it are not encrypted".to_owned()),
    }
}
