//! The way out of a network that lets nobody out by itself. A proxy is asked to connect (`CONNECT`) and then carries bytes that it
//! cannot read: TLS is spoken with Amazon, through it.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Characters of the longest name of a host (RFC 1035).
const HOST_LENGTH_MAX: usize = 253;

/// Where a proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsProxy {
    /// A name, or an address; one of IPv6 in brackets.
    host: String,
    port: u16,
}

/// The text is no address of a proxy. A proxy's password would cross the network unencrypted, so none is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be http://HOST:PORT, without a user, a password or a path")]
pub struct NoHttpsProxy;

impl FromStr for HttpsProxy {
    type Err = NoHttpsProxy;

    fn from_str(text: &str) -> Result<Self, NoHttpsProxy> {
        let authority = text.strip_prefix("http://").ok_or(NoHttpsProxy)?;
        let (host, port) = authority.strip_suffix('/').unwrap_or(authority).rsplit_once(':').ok_or(NoHttpsProxy)?;
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_port && *port != 0).ok_or(NoHttpsProxy)?;
        if !is_host(host) {
            return Err(NoHttpsProxy);
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    // What looks like an address must be one: a URL reads `1.2` and `0x7f.1` as other addresses than were meant.
    let ends_in_number = text.rsplit('.').next().is_some_and(|label| label.starts_with(|c: char| c.is_ascii_digit()));
    let is_name = text.len() <= HOST_LENGTH_MAX && text.split('.').all(is_label);
    is_name && (!ends_in_number || text.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for HttpsProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port_and_nothing_else() {
        for (text, shown) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128"),
            ("http://Proxy:80/", "http://proxy:80"),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ] {
            assert_eq!(text.parse::<HttpsProxy>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "HTTP://proxy:3128",
            "http://proxy",
            "http://proxy:",
            "http://proxy:0",
            "http://proxy:+80",
            "http://proxy:65536",
            "http://:3128",
            "http://user:secret@proxy:3128",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://proxy:3128\r\nx: y",
            "http://pro xy:3128",
            "http://fd00::1:3128",
            "http://1.2:3128",
            "http://0x7f.1:3128",
            "http://999.1.1.1:80",
            "http://-proxy:80",
            "http://a..b:80",
        ] {
            assert_eq!(text.parse::<HttpsProxy>(), Err(NoHttpsProxy), "{text}");
        }
    }
}
