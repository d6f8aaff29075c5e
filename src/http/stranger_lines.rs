//! How often the log has the lines of strangers. Anybody can send requests without a good key, and each line takes room on a disk.
//! So of what is alike (why it was refused, and whose it is) one a minute is written, and says how many were left out since.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::kernel::ApiKeyId;

/// How long after a line the next one comes that is like it.
const APART: Duration = Duration::from_secs(60);
/// Those that are kept apart. All beyond share a line for each reason, so neither memory nor lines are without end.
const KEPT_MAX: usize = 256;
/// How often what is old is looked for. Whoever comes from many networks must not make each request search them all.
const SEARCH: Duration = Duration::from_secs(1);

/// Why a request was refused: identity's word, or the status alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RefusedFor {
    Key(&'static str),
    Status(u16),
}

/// Whose requests share a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stranger {
    /// Whoever uses this key, which is there and opens nothing.
    Holder(ApiKeyId),
    /// Whoever is in this network: 256 addresses of IPv4, or what one site has of IPv6.
    Network(IpAddr),
    /// All of whom nothing is known, or who are too many.
    Others,
}

impl Stranger {
    /// By the key where there is one of this id, else by the address.
    pub(crate) fn of(key: Option<ApiKeyId>, peer: Option<IpAddr>) -> Self {
        match (key, peer.map(|peer| peer.to_canonical())) {
            (Some(key), _) => Self::Holder(key),
            (None, Some(IpAddr::V4(address))) => {
                Self::Network(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)).into())
            }
            (None, Some(IpAddr::V6(address))) => {
                Self::Network(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)).into())
            }
            (None, None) => Self::Others,
        }
    }
}

/// What became of a request's lines, where identity has decided: its one line follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineOf {
    Written,
    LeftOut,
}

/// The lines of this process. All clones are the same.
#[derive(Clone, Default)]
pub(crate) struct StrangerLines(Arc<Mutex<KeptLines>>);

#[derive(Default)]
struct KeptLines {
    lines: HashMap<(RefusedFor, Stranger), LastLine>,
    searched: Option<Instant>,
}

struct LastLine {
    at: Instant,
    left_out: u64,
}

impl LastLine {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < APART
    }
}

impl StrangerLines {
    /// How many were left out since the last line, where another one is due.
    pub(crate) fn is_due(&self, why: RefusedFor, who: Stranger, now: Instant) -> Option<u64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of = (why, who);
        if !kept.lines.contains_key(&of) && !kept.has_room(now) {
            of = (why, Stranger::Others);
        }
        match kept.lines.get_mut(&of) {
            Some(last) if last.is_recent(now) => {
                last.left_out = last.left_out.saturating_add(1);
                None
            }
            before => {
                let left_out = before.map_or(0, |last| last.left_out);
                kept.lines.insert(of, LastLine { at: now, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

impl KeptLines {
    fn has_room(&mut self, now: Instant) -> bool {
        let searched_lately = self.searched.is_some_and(|at| now.saturating_duration_since(at) < SEARCH);
        if self.lines.len() >= KEPT_MAX && !searched_lately {
            self.searched = Some(now);
            self.lines.retain(|_of, last| last.is_recent(now));
        }
        self.lines.len() < KEPT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: RefusedFor = RefusedFor::Key("unknown");

    fn start() -> Instant {
        crate::ambient::Ambient::system().monotonic()
    }

    fn network(number: u32) -> Stranger {
        Stranger::of(None, Some(Ipv4Addr::from_bits(number << 8).into()))
    }

    #[test]
    fn one_of_each_reason_and_stranger_a_minute_is_written_and_says_how_many_were_not() {
        let (lines, begin) = (StrangerLines::default(), start());
        let due = |why, who, seconds| lines.is_due(why, who, begin + Duration::from_secs(seconds));
        let key = Stranger::Holder(ApiKeyId::new(uuid::Uuid::from_u128(7)));
        assert_eq!(due(UNKNOWN, network(1), 0), Some(0));
        assert_eq!((due(UNKNOWN, network(1), 1), due(UNKNOWN, network(1), 59)), (None, None));
        assert_eq!(due(UNKNOWN, network(2), 59), Some(0), "another network has a line of its own");
        assert_eq!(due(RefusedFor::Key("revoked"), key, 59), Some(0), "and a key");
        assert_eq!(due(RefusedFor::Status(404), network(1), 59), Some(0), "and another reason");
        assert_eq!(due(UNKNOWN, network(1), 60), Some(2));
        assert_eq!((due(UNKNOWN, network(1), 61), due(UNKNOWN, network(1), 500)), (None, Some(1)));
    }

    #[test]
    fn addresses_of_one_network_share_a_line_and_a_known_key_has_its_own() {
        let of = |text: &str| Stranger::of(None, Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.7"), of("192.0.2.255"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.9"), "as a socket for both versions shows it");
        assert_ne!(of("192.0.2.7"), of("192.0.3.7"));
        assert_eq!(of("2001:db8:1:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        let key = ApiKeyId::new(uuid::Uuid::from_u128(7));
        assert_eq!(Stranger::of(Some(key), Some("192.0.2.7".parse().unwrap())), Stranger::Holder(key));
        assert_eq!(Stranger::of(None, None), Stranger::Others);
    }

    #[test]
    fn strangers_without_end_take_neither_memory_nor_lines_without_end() {
        let (lines, begin) = (StrangerLines::default(), start());
        let written = (0..100_000).filter(|at| lines.is_due(UNKNOWN, network(*at), begin).is_some()).count();
        assert_eq!(written, KEPT_MAX + 1, "those beyond share one");
        assert_eq!(lines.0.lock().unwrap().lines.len(), KEPT_MAX + 1);
        assert_eq!(lines.is_due(RefusedFor::Status(404), network(7), begin), Some(0), "of each reason");
        let later = begin + APART;
        assert_eq!(lines.is_due(UNKNOWN, network(7_000_000), later), Some(0), "there is room again");
        assert_eq!(lines.0.lock().unwrap().lines.len(), 1);
    }
}
