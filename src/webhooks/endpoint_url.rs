//! Where messages go: a URL that a caller chose.

use std::{fmt, net::IpAddr};

use reqwest::Url;

use super::address::{is_public, is_public_or_private};
use crate::kernel::claim_code::may_hold_claim_code;

/// Bytes of the longest URL.
const URL_BYTES_MAX: usize = 2_048;
/// Below stand the services of machines (SSH, mail, files), which read a line of HTTP as a command of theirs. Of those ports HTTPS
/// has 443 alone; receivers on others use 8443 or another one from here on.
const OPEN_PORT_MIN: u16 = 1024;
const HTTPS_PORT: u16 = 443;
/// Names of this machine and of networks like this one, after RFC 6761 and 6762 and ICANN's reservation of `internal`.
const LOCAL_NAMES: [&str; 3] = ["localhost", "local", "internal"];

/// What the settings let messages go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reachable {
    /// Also addresses of this machine and of private networks, and names that mean such.
    pub private_networks: bool,
    /// Also `http://`.
    pub plain_http: bool,
}

impl Reachable {
    /// Everything that any settings allow.
    const WIDEST: Self = Self { private_networks: true, plain_http: true };

    /// Whether a message may go to this address.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        if self.private_networks { is_public_or_private(address) } else { is_public(address) }
    }
}

/// A URL that messages may go to. Receivers put secrets into its path, so it shows its host alone where it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(Url);

/// What is wrong with a URL. None of these quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It is too long, as it was given or as it is sent.
    #[error("must have at most 2,048 bytes")]
    TooLong,
    /// It is no URL, or one without a host.
    #[error("must be a whole URL with a host, such as https://example.com/hooks")]
    Unreadable,
    /// It has another scheme.
    #[error("must begin with https:// (http:// only where the service's settings allow it)")]
    Scheme,
    /// A user or a password stands in it.
    #[error("must have neither a user nor a password")]
    Credentials,
    /// It has a fragment, which is never sent.
    #[error("must have no fragment (#)")]
    Fragment,
    /// A port of other services.
    #[error("must have no port, port 443, or a port from 1024 on")]
    Port,
    /// Its host is an address that no message may go to.
    #[error("must name a host on the Internet; this address is a private or a reserved one")]
    Address,
    /// Its host is a name that means this machine or a private network.
    #[error("must name a host on the Internet; names under localhost, local and internal are private")]
    LocalName,
    /// Everything a caller writes is stored, and no claim code may be.
    #[error("must hold nothing that looks like a claim code")]
    ClaimCode,
}

impl EndpointUrl {
    /// Reads what a caller wrote, as the URL standard does: `0x7f.1` is 127.0.0.1.
    ///
    /// # Errors
    /// The first [`UrlFault`] that is found.
    pub fn parse(text: &str, reachable: Reachable) -> Result<Self, UrlFault> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlFault::TooLong);
        }
        let url = Url::parse(text).map_err(|_why| UrlFault::Unreadable)?;
        if !(url.scheme() == "https" || (url.scheme() == "http" && reachable.plain_http)) {
            return Err(UrlFault::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlFault::Fragment);
        }
        if url.port().is_some_and(|port| port != HTTPS_PORT && port < OPEN_PORT_MIN) {
            return Err(UrlFault::Port);
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(UrlFault::TooLong);
        }
        // Characters that look like others are replaced where they stand in the host.
        if may_hold_claim_code(text) || may_hold_claim_code(url.as_str()) {
            return Err(UrlFault::ClaimCode);
        }
        let url = Self(url);
        url.check_host(reachable).map(|()| url)
    }

    /// Reads one back that was written down. The settings may have changed since, so it may be one that nothing is sent to: its
    /// address is judged again on each attempt.
    ///
    /// # Errors
    /// A [`UrlFault`] when no settings allow it: something else wrote it down.
    pub fn from_stored(text: &str) -> Result<Self, UrlFault> {
        Self::parse(text, Reachable::WIDEST)
    }

    /// The whole URL, for its owner and for the row.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name or the address that messages go to; an address of IPv6 is in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The address that stands in place of a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.domain() {
            Some(_name) => None,
            None => self.host().trim_matches(['[', ']']).parse().ok(),
        }
    }

    /// Whether messages go there without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    fn check_host(&self, reachable: Reachable) -> Result<(), UrlFault> {
        if let Some(address) = self.address() {
            return if reachable.allows(address) { Ok(()) } else { Err(UrlFault::Address) };
        }
        // A dot at the end says that the name is whole.
        let name = self.host().trim_end_matches('.');
        if name.is_empty() {
            return Err(UrlFault::Unreadable);
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let local = LOCAL_NAMES.contains(&last);
        if local && !reachable.private_networks { Err(UrlFault::LocalName) } else { Ok(()) }
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({}://{}/..)", self.0.scheme(), self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Reachable = Reachable { private_networks: false, plain_http: false };
    const PLAIN: Reachable = Reachable { private_networks: false, plain_http: true };
    const WIDEST: Reachable = Reachable::WIDEST;

    fn fault(text: &str, reachable: Reachable) -> Option<UrlFault> {
        EndpointUrl::parse(text, reachable).err()
    }

    #[test]
    fn a_url_of_the_internet_is_taken_and_kept_as_the_standard_writes_it() {
        for (text, kept) in [
            ("https://example.com", "https://example.com/"),
            ("https://example.com/hooks?shop=1&x=%2F", "https://example.com/hooks?shop=1&x=%2F"),
            ("HTTPS://Example.COM:443/Hooks", "https://example.com/Hooks"),
            ("https://example.com:8443/", "https://example.com:8443/"),
            ("https://example.com:1024/", "https://example.com:1024/"),
            ("https://example.com:65535/", "https://example.com:65535/"),
            ("https://example.com./hooks", "https://example.com./hooks"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://93.184.215.14/", "https://93.184.215.14/"),
            ("https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
            ("https://localhost.example.com/", "https://localhost.example.com/"),
            ("https://internal-hooks.example.com/", "https://internal-hooks.example.com/"),
            ("https://hooks.example.com/services/T0AB1CD2E/B0FG3HI4J/abcdefghijklmnopqrstuvwx", ""),
            ("https://example.com/0198c5f3-1d5e-7a4c-9f0e-2b6d8a7c1e3f", ""),
        ] {
            let kept = if kept.is_empty() { text } else { kept };
            assert_eq!(EndpointUrl::parse(text, STRICT).map(|url| url.as_str().to_owned()).as_deref(), Ok(kept));
            assert_eq!(EndpointUrl::from_stored(kept).unwrap().as_str(), kept, "it is read back as it was");
        }
    }

    #[test]
    fn each_rule_has_a_fault_of_its_own_that_does_not_quote_the_url() {
        let long = format!("https://example.com/{}", "x".repeat(2_048 - 20));
        assert_eq!(fault(&long, STRICT), None, "2,048 bytes");
        let longer = format!("{long}x");
        let grows = format!("https://example.com/{}", "ü".repeat(400));
        let shrinks = format!("{}https://example.com/", " ".repeat(2_048));
        for (text, expected) in [
            (longer.as_str(), UrlFault::TooLong),
            (grows.as_str(), UrlFault::TooLong),
            (shrinks.as_str(), UrlFault::TooLong),
            ("", UrlFault::Unreadable),
            ("secret.example.com/hooks", UrlFault::Unreadable),
            ("//secret.example.com/hooks", UrlFault::Unreadable),
            ("https://", UrlFault::Unreadable),
            ("https://?secret", UrlFault::Unreadable),
            ("https://./secret", UrlFault::Unreadable),
            ("https://secret example.com/", UrlFault::Unreadable),
            ("https://secret.example.com:65536/", UrlFault::Unreadable),
            ("http://secret.example.com/", UrlFault::Scheme),
            ("ftp://secret.example.com/", UrlFault::Scheme),
            ("file:///secret", UrlFault::Scheme),
            ("gopher://secret.example.com:1234/_", UrlFault::Scheme),
            ("data:text/plain,secret", UrlFault::Scheme),
            ("https://secret@example.com/", UrlFault::Credentials),
            ("https://:secret@example.com/", UrlFault::Credentials),
            ("https://user:secret@example.com/", UrlFault::Credentials),
            ("https://example.com/#secret", UrlFault::Fragment),
            ("https://example.com/secret#", UrlFault::Fragment),
            ("https://secret.example.com:0/", UrlFault::Port),
            ("https://secret.example.com:22/", UrlFault::Port),
            ("https://secret.example.com:25/", UrlFault::Port),
            ("https://secret.example.com:80/", UrlFault::Port),
            ("https://secret.example.com:1023/", UrlFault::Port),
            ("https://10.0.0.1/secret", UrlFault::Address),
            ("https://secret.localhost/", UrlFault::LocalName),
            ("https://example.com/ABCD-EFGHJK-LMNP", UrlFault::ClaimCode),
            ("https://example.com/?secret=abcd-12efgh-lmnp9", UrlFault::ClaimCode),
            ("https://example.com/%41BCD%2DEFGHJK%2DLMNP", UrlFault::ClaimCode),
            ("https://ab12-cd34ef-gh56.example.com/", UrlFault::ClaimCode),
            ("https://ＡＢ１２-cd34ef-gh56.example.com/", UrlFault::ClaimCode),
        ] {
            assert_eq!(fault(text, STRICT), Some(expected), "{text}");
            assert!(!expected.to_string().contains("secret"), "{expected}");
        }
    }

    /// Public lists of addresses that pass a filter of texts and reach the machine itself, or the cloud's metadata.
    const PRIVATE_HOSTS: [&str; 63] = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0177.1",
        "0x7f.1",
        "0x7f.0.0.1",
        "0x7F000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "127.127.127.127",
        "0",
        "0.0.0.0",
        "0x0",
        "00",
        "１２７.０.０.１",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "10.0.0.1",
        "0xa.1",
        "012.1",
        "167772161",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "0xc0.0xa8.1.1",
        "3232235777",
        "100.64.0.1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "0xA9.0xFE.0xA9.0xFE",
        "169.16689662",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "4294967295",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[2600::5efe:7f00:1]",
    ];

    /// Names of the same, in other letters.
    const LOCAL_HOSTS: [&str; 14] = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost..",
        "ｌｏｃａｌｈｏｓｔ",
        "loc%61lhost",
        "a.localhost",
        "a.b.localhost.",
        "printer.local",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "internal",
        "local",
        "host.docker.internal",
    ];

    /// What is nobody's address is no URL: the standard reads a last part of digits as an address.
    const NO_HOSTS: [&str; 8] =
        ["256.1.1.1", "1.2.3.4.5", "0x100000000", "4294967296", "127.0.0.1.5", "[::1", "[fe80::1%25eth0]", "08.1"];

    /// Each is read as a browser reads it, and refused as what it then is.
    #[test]
    fn no_spelling_of_a_private_address_or_a_local_name_passes() {
        for host in PRIVATE_HOSTS {
            for text in
                [format!("https://{host}/"), format!("https://{host}:8443/x?y"), format!(" https:\\\\{host}\\x\t")]
            {
                assert_eq!(fault(&text, STRICT), Some(UrlFault::Address), "{text}");
            }
            assert_eq!(fault(&format!("http://{host}/"), PLAIN), Some(UrlFault::Address), "{host}");
        }
        for host in LOCAL_HOSTS {
            assert_eq!(fault(&format!("https://{host}/"), STRICT), Some(UrlFault::LocalName), "{host}");
        }
        for host in NO_HOSTS {
            assert_eq!(fault(&format!("https://{host}/"), STRICT), Some(UrlFault::Unreadable), "{host}");
        }
    }

    #[test]
    fn the_settings_open_private_networks_and_plain_http_each_by_itself() {
        let private = Reachable { private_networks: true, plain_http: false };
        for text in
            ["https://10.0.0.1/", "https://localhost:8443/", "https://hooks.shop.internal/", "https://[fd12::1]/"]
        {
            assert_eq!(fault(text, private), None, "{text}");
            assert!(fault(text, STRICT).is_some(), "{text}");
            let plain = text.replace("https", "http");
            assert_eq!(fault(&plain, private), Some(UrlFault::Scheme), "{plain}");
            assert!(matches!(fault(&plain, PLAIN), Some(UrlFault::Address | UrlFault::LocalName)), "{plain}");
            assert_eq!(fault(&plain, WIDEST), None, "{plain}");
        }
        for text in [
            "http://169.254.169.254/latest/meta-data/",
            "http://0/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
        ] {
            assert_eq!(fault(text, WIDEST), Some(UrlFault::Address), "{text}");
        }
        assert_eq!(fault("http://example.com/", PLAIN), None);
        assert_eq!(fault("http://example.com:79/", PLAIN), Some(UrlFault::Port));
    }

    #[test]
    fn what_is_printed_of_a_url_is_its_host() {
        let url = EndpointUrl::parse("https://hooks.example.com:8443/secret?secret=secret", STRICT).unwrap();
        assert_eq!(format!("{url:?}"), "EndpointUrl(https://hooks.example.com/..)");
        assert_eq!((url.host(), url.address(), url.is_plain()), ("hooks.example.com", None, false));
        let url = EndpointUrl::from_stored("http://[::1]:8080/").unwrap();
        assert_eq!((url.host(), url.address(), url.is_plain()), ("[::1]", "::1".parse().ok(), true));
    }
}
