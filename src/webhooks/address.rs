//! Which addresses a message may go to. A caller chooses where we send, so what only this machine or its network can reach is
//! refused, unless the settings allow private networks.
//!
//! The source of the tables are IANA's registries of special-purpose addresses (IPv4 and IPv6), of IPv4 and IPv6 multicast, and of
//! the IPv6 address space, as of November 2026. Of IPv6 what IANA has given out for unicast (2000::/3) may be public; all the rest is
//! refused without being listed. What some clouds serve their secrets at is listed beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressKind {
    /// Of the Internet.
    Public,
    /// Of this machine, or of networks that an operator may run receivers in.
    Private,
    /// Of nobody who could receive a message, or of a cloud's own services.
    Never,
}

/// The first address of a network, and how many bits of it are the network's.
struct Block<A> {
    first: A,
    bits: u32,
}

const fn v4(first: [u8; 4], bits: u32) -> Block<Ipv4Addr> {
    let [a, b, c, d] = first;
    Block { first: Ipv4Addr::new(a, b, c, d), bits }
}

const fn v6(first: [u16; 8], bits: u32) -> Block<Ipv6Addr> {
    let [a, b, c, d, e, f, g, h] = first;
    Block { first: Ipv6Addr::new(a, b, c, d, e, f, g, h), bits }
}

const PRIVATE_V4: [Block<Ipv4Addr>; 5] = [
    v4([10, 0, 0, 0], 8),     // private use, RFC 1918
    v4([100, 64, 0, 0], 10),  // shared address space (CGNAT), RFC 6598
    v4([127, 0, 0, 0], 8),    // loopback
    v4([172, 16, 0, 0], 12),  // private use, RFC 1918
    v4([192, 168, 0, 0], 16), // private use, RFC 1918
];

const NEVER_V4: [Block<Ipv4Addr>; 12] = [
    v4([0, 0, 0, 0], 8),          // this network; 0.0.0.0 reaches this machine
    v4([100, 100, 100, 200], 32), // Alibaba Cloud's metadata, within the shared address space
    v4([168, 63, 129, 16], 32),   // Azure's wire server
    v4([169, 254, 0, 0], 16),     // link-local, with most clouds' metadata at 169.254.169.254
    v4([192, 0, 0, 0], 24),       // IETF protocol assignments, with Oracle Cloud's metadata at 192.0.0.192
    v4([192, 0, 2, 0], 24),       // documentation
    v4([192, 88, 99, 0], 24),     // 6to4 relays, deprecated
    v4([198, 18, 0, 0], 15),      // benchmarking
    v4([198, 51, 100, 0], 24),    // documentation
    v4([203, 0, 113, 0], 24),     // documentation
    v4([224, 0, 0, 0], 4),        // multicast
    v4([240, 0, 0, 0], 4),        // reserved, and the broadcast
];

/// What IANA has given out for unicast.
const UNICAST_V6: Block<Ipv6Addr> = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Unique local addresses, RFC 4193.
const LOCAL_V6: Block<Ipv6Addr> = v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7);
/// IPv4 behind a translator (NAT64), RFC 6052: how networks without IPv4 reach it.
const TRANSLATED_V6: Block<Ipv6Addr> = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const NEVER_V6: [Block<Ipv6Addr>; 6] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // IETF protocol assignments: Teredo, benchmarking, ORCHID
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4: any IPv4 address, through a relay
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), // AWS's metadata and credentials, within the unique local addresses
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), // Google Cloud's metadata, likewise
];

impl Block<Ipv4Addr> {
    const fn holds(&self, address: Ipv4Addr) -> bool {
        (self.first.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
    }
}

impl Block<Ipv6Addr> {
    const fn holds(&self, address: Ipv6Addr) -> bool {
        (self.first.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
    }
}

/// Whether an address is of the Internet. One that carries an IPv4 address is as that one is.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    kind(address) == AddressKind::Public
}

/// Whether an address is of the Internet, of this machine or of a private network. What is no receiver's anywhere is neither, and
/// so are a cloud's services for its own machines: they hand out the machine's credentials.
#[must_use]
pub fn is_public_or_private(address: IpAddr) -> bool {
    kind(address) != AddressKind::Never
}

fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> AddressKind {
    if NEVER_V4.iter().any(|block| block.holds(address)) {
        AddressKind::Never
    } else if PRIVATE_V4.iter().any(|block| block.holds(address)) {
        AddressKind::Private
    } else {
        AddressKind::Public
    }
}

fn kind_of_v6(address: Ipv6Addr) -> AddressKind {
    if let Some(carried) = carried(address) {
        return kind_of_v4(carried);
    }
    if NEVER_V6.iter().any(|block| block.holds(address)) || is_isatap(address) {
        AddressKind::Never
    } else if address.is_loopback() || LOCAL_V6.holds(address) {
        AddressKind::Private
    } else if UNICAST_V6.holds(address) {
        AddressKind::Public
    } else {
        AddressKind::Never
    }
}

/// The IPv4 address that a packet to this one ends at.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    address.to_ipv4_mapped().or_else(|| TRANSLATED_V6.holds(address).then(last))
}

/// Whether the last half of an address is that of a tunnel to an IPv4 address (RFC 5214). It may stand in any network.
const fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first and the last address of each network that is refused, and the neighbours of it that are not.
    #[test]
    fn the_addresses_of_a_network_that_is_not_public_are_refused_to_its_edges() {
        for (first, last, before, after) in [
            ("0.0.0.0", "0.255.255.255", "", "1.0.0.0"),
            ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
            ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
            ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
            ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
            ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
            ("224.0.0.0", "239.255.255.255", "223.255.255.255", ""),
            ("240.0.0.0", "255.255.255.255", "", ""),
            ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", "2000::"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::1", "2001:200::"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7::1", "2001:db9::"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff::1", "2003::"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::1", "3fff:1000::"),
            ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff::1", ""),
        ] {
            for inside in [first, last] {
                assert!(!is_public(inside.parse().unwrap()), "{inside}");
            }
            for outside in [before, after].into_iter().filter(|address| !address.is_empty()) {
                assert!(is_public(outside.parse().unwrap()), "{outside}");
            }
        }
    }

    #[test]
    fn whatever_carries_an_ipv4_address_is_refused_or_is_as_that_one_is() {
        for refused in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "::127.0.0.1",              // compatible
            "::8.8.8.8",                // compatible
            "::ffff:0:8.8.8.8",         // translated, SIIT
            "64:ff9b:1::8.8.8.8",       // NAT64 of a network's own
            "64:ff9b:0:1::8.8.8.8",     // next to NAT64
            "2002:7f00:1::",            // 6to4
            "2002:808:808::1",          // 6to4
            "2001:0:7f00:1::1",         // Teredo
            "2600:1f18::5efe:10.0.0.1", // ISATAP
            "2600:1f18::200:5efe:8.8.8.8",
        ] {
            assert!(!is_public(refused.parse().unwrap()), "{refused}");
        }
        for public in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2600:1f18::5efd:10.0.0.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn addresses_of_one_network_or_one_machine_are_not_public() {
        for refused in [
            "::",
            "::1",
            "100::1",  // discard
            "5f00::1", // segment routing
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf:ffff::1",
            "fec0::1", // site-local
            "ff02::1", // multicast
            "ff0e::1",
            "255.255.255.255",
        ] {
            assert!(!is_public(refused.parse().unwrap()), "{refused}");
        }
        for public in ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:830::200e"] {
            assert!(is_public(public.parse().unwrap()) && is_public_or_private(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_private_network_is_never_a_clouds_metadata_or_nobodys_address() {
        for private in
            ["10.1.2.3", "100.64.0.1", "127.0.0.1", "172.16.0.1", "192.168.1.1", "::1", "fd12::1", "::ffff:10.0.0.1"]
        {
            let address = private.parse().unwrap();
            assert!(is_public_or_private(address) && !is_public(address), "{private}");
        }
        for never in [
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a00:1::",
            "::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
        ] {
            assert!(!is_public_or_private(never.parse().unwrap()), "{never}");
        }
    }

    proptest! {
        /// Names are looked up by others, and an address may come in any of its forms.
        #[test]
        fn an_ipv4_address_is_judged_the_same_in_every_form(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let judged = kind(IpAddr::V4(address));
            prop_assert_eq!(kind(IpAddr::V6(address.to_ipv6_mapped())), judged);
            let translated = Ipv6Addr::from_bits(TRANSLATED_V6.first.to_bits() | u128::from(bits));
            prop_assert_eq!(kind(IpAddr::V6(translated)), judged);
        }

        /// The standard library knows some of the networks by itself.
        #[test]
        fn what_the_standard_library_calls_special_is_not_public(bits: u32, long: u128) {
            let (short, long) = (Ipv4Addr::from_bits(bits), Ipv6Addr::from_bits(long));
            let special = short.is_private() || short.is_loopback() || short.is_link_local() || short.is_multicast()
                || short.is_broadcast() || short.is_documentation() || short.is_unspecified();
            prop_assert!(!special || !is_public(IpAddr::V4(short)));
            let special = long.is_loopback() || long.is_unspecified() || long.is_multicast() || long.is_unique_local()
                || long.is_unicast_link_local();
            prop_assert!(!special || !is_public(IpAddr::V6(long)));
        }
    }
}
