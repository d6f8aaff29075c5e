//! How often the log has the lines of strangers. Anybody can send requests without a good key, and each line takes room on a disk.
//! So of what is alike (why it was refused, whose it is, and from which network) one a minute is written, and says how many were left out
//! since. What was left out of those who do not come again is summed up, in one line a minute: no request goes uncounted.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::kernel::ApiKeyId;

/// How long after a line the next one comes that is like it, and how often what is old is summed up and forgotten.
const APART: Duration = Duration::from_secs(60);
/// Networks that are kept apart, and keys. All beyond share a line for each reason, so neither memory nor lines are without end.
const KEPT_MAX: usize = 256;
/// Networks of one key that are kept apart. All beyond share a line of the key.
const NETWORKS_MAX: usize = 16;
/// How often what is old is looked for where there is no room. Whoever comes from many networks must not make each request search them
/// all.
const SEARCH: Duration = Duration::from_secs(1);

/// Why a request was refused: identity's word, or the status alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RefusedFor {
    Key(&'static str),
    Status(u16),
}

/// Whose requests share a line: 256 addresses of IPv4, or what one site has of IPv6; `None` where the address is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(Option<IpAddr>);

impl Network {
    fn of(peer: Option<IpAddr>) -> Self {
        Self(peer.map(|peer| match peer.to_canonical() {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)).into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)).into(),
        }))
    }
}

/// Somebody without a good key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stranger {
    /// The key that was shown, where there is one of this id. It opens nothing.
    pub(crate) key: Option<ApiKeyId>,
    pub(crate) peer: Option<IpAddr>,
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

/// Those who show a key that is there have a map of their own: strangers whom nobody knows, from however many networks, take none of their
/// places.
#[derive(Default)]
struct KeptLines {
    holders: LinesBy<(RefusedFor, ApiKeyId), HolderLines>,
    networks: LinesBy<(RefusedFor, Network), LastLine>,
    /// All who are too many.
    others: BTreeMap<RefusedFor, LastLine>,
    /// Left out of those who have not come again, and not reported yet.
    gone: u64,
    summed: Option<Instant>,
}

/// One entry for each, up to [`KEPT_MAX`].
struct LinesBy<K, V> {
    kept: HashMap<K, V>,
    searched: Option<Instant>,
}

/// The lines of one key for one reason.
#[derive(Default)]
struct HolderLines {
    networks: HashMap<Network, LastLine>,
    /// From all networks beyond.
    beyond: LastLine,
}

#[derive(Default)]
struct LastLine {
    at: Option<Instant>,
    left_out: u64,
}

/// What has lines.
trait Lines {
    /// Whether a line of the last minute is among them.
    fn is_recent(&self, now: Instant) -> bool;
    /// Takes how many were left out and have waited a minute for a line.
    fn take_old(&mut self, now: Instant) -> u64;
}

impl Lines for LastLine {
    fn is_recent(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now.saturating_duration_since(at) < APART)
    }

    fn take_old(&mut self, now: Instant) -> u64 {
        if self.is_recent(now) { 0 } else { std::mem::take(&mut self.left_out) }
    }
}

impl Lines for HolderLines {
    fn is_recent(&self, now: Instant) -> bool {
        self.beyond.is_recent(now) || self.networks.values().any(|line| line.is_recent(now))
    }

    fn take_old(&mut self, now: Instant) -> u64 {
        let beyond = self.beyond.take_old(now);
        let all = self.networks.values_mut().map(|line| line.take_old(now)).fold(beyond, u64::saturating_add);
        self.networks.retain(|_network, line| line.is_recent(now));
        all
    }
}

impl LastLine {
    /// How many were left out since the last line, where another one is due.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.is_recent(now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

impl<K, V> Default for LinesBy<K, V> {
    fn default() -> Self {
        Self { kept: HashMap::new(), searched: None }
    }
}

impl<K: Eq + std::hash::Hash, V: Lines + Default> LinesBy<K, V> {
    /// The entry of this key; `None` where there is no room for it. What was left out of entries that made room is added to `gone`.
    fn entry(&mut self, key: K, now: Instant, gone: &mut u64) -> Option<&mut V> {
        if !self.kept.contains_key(&key) && self.kept.len() >= KEPT_MAX {
            let searched_lately = self.searched.is_some_and(|at| now.saturating_duration_since(at) < SEARCH);
            if searched_lately {
                return None;
            }
            self.searched = Some(now);
            self.forget_old(now, gone);
            if self.kept.len() >= KEPT_MAX {
                return None;
            }
        }
        Some(self.kept.entry(key).or_default())
    }

    fn forget_old(&mut self, now: Instant, gone: &mut u64) {
        self.kept.retain(|_key, lines| {
            *gone = gone.saturating_add(lines.take_old(now));
            lines.is_recent(now)
        });
    }
}

impl HolderLines {
    fn of(&mut self, network: Network) -> &mut LastLine {
        if self.networks.contains_key(&network) || self.networks.len() < NETWORKS_MAX {
            self.networks.entry(network).or_default()
        } else {
            &mut self.beyond
        }
    }
}

impl StrangerLines {
    /// How many were left out since the last line, where another one is due.
    pub(crate) fn is_due(&self, why: RefusedFor, who: Stranger, now: Instant) -> Option<u64> {
        let (due, summed) = self.count(why, who, now);
        if summed > 0 {
            tracing::info!(
                requests.left_out = summed,
                "requests had no line, and none like them has come for a minute"
            );
        }
        due
    }

    /// The same, and how many were left out of those who have not come again.
    fn count(&self, why: RefusedFor, who: Stranger, now: Instant) -> (Option<u64>, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = kept.line(why, who, now).due(now);
        (due, kept.sum_up(now))
    }
}

impl KeptLines {
    fn line(&mut self, why: RefusedFor, who: Stranger, now: Instant) -> &mut LastLine {
        let network = Network::of(who.peer);
        let line = match who.key {
            Some(key) => self.holders.entry((why, key), now, &mut self.gone).map(|lines| lines.of(network)),
            None => self.networks.entry((why, network), now, &mut self.gone),
        };
        line.unwrap_or_else(|| self.others.entry(why).or_default())
    }

    /// Once a minute: how many were left out of those who have not come again.
    fn sum_up(&mut self, now: Instant) -> u64 {
        let summed = *self.summed.get_or_insert(now);
        if now.saturating_duration_since(summed) < APART {
            return 0;
        }
        self.summed = Some(now);
        self.holders.forget_old(now, &mut self.gone);
        self.networks.forget_old(now, &mut self.gone);
        for line in self.others.values_mut() {
            self.gone = self.gone.saturating_add(line.take_old(now));
        }
        std::mem::take(&mut self.gone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNKNOWN: RefusedFor = RefusedFor::Key("unknown");
    const REVOKED: RefusedFor = RefusedFor::Key("revoked");

    fn start() -> Instant {
        crate::ambient::Ambient::system().monotonic()
    }

    fn key(number: u32) -> ApiKeyId {
        ApiKeyId::new(uuid::Uuid::from_u128(u128::from(number)))
    }

    fn from(key: Option<ApiKeyId>, network: u32) -> Stranger {
        Stranger { key, peer: Some(Ipv4Addr::from_bits(network << 8).into()) }
    }

    fn nobody(network: u32) -> Stranger {
        from(None, network)
    }

    #[test]
    fn one_of_each_reason_and_stranger_a_minute_is_written_and_says_how_many_were_not() {
        let (lines, begin) = (StrangerLines::default(), start());
        let due = |why, who, seconds| lines.is_due(why, who, begin + Duration::from_secs(seconds));
        assert_eq!(due(UNKNOWN, nobody(1), 0), Some(0));
        assert_eq!((due(UNKNOWN, nobody(1), 1), due(UNKNOWN, nobody(1), 59)), (None, None));
        assert_eq!(due(UNKNOWN, nobody(2), 59), Some(0), "another network has a line of its own");
        assert_eq!(due(REVOKED, from(Some(key(7)), 1), 59), Some(0), "and a key");
        assert_eq!(due(RefusedFor::Status(404), nobody(1), 59), Some(0), "and another reason");
        assert_eq!(due(UNKNOWN, nobody(1), 60), Some(2));
        assert_eq!((due(UNKNOWN, nobody(1), 61), due(UNKNOWN, nobody(1), 500)), (None, Some(1)));
    }

    #[test]
    fn addresses_of_one_network_share_a_line() {
        let of = |text: &str| Network::of(Some(text.parse().unwrap()));
        assert_eq!(of("192.0.2.7"), of("192.0.2.255"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.9"), "as a socket for both versions shows it");
        assert_ne!(of("192.0.2.7"), of("192.0.3.7"));
        assert_eq!(of("2001:db8:1:1::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn whoever_holds_a_refused_key_is_seen_in_each_network_and_nobody_can_crowd_them_out() {
        let (lines, begin) = (StrangerLines::default(), start());
        for network in 0..10_000 {
            lines.is_due(REVOKED, nobody(network), begin);
        }
        let networks = u32::try_from(NETWORKS_MAX).unwrap();
        for network in 0..networks {
            assert_eq!(lines.is_due(REVOKED, from(Some(key(7)), network), begin), Some(0), "network {network}");
            assert_eq!(lines.is_due(REVOKED, from(Some(key(7)), network), begin), None);
        }
        let beyond = (networks..10_000).filter(|at| lines.is_due(REVOKED, from(Some(key(7)), *at), begin).is_some());
        assert_eq!(beyond.count(), 1, "those beyond share one");
        assert_eq!(lines.is_due(REVOKED, from(Some(key(8)), 1), begin), Some(0), "another key is not hidden by them");
    }

    #[test]
    fn strangers_without_end_take_neither_memory_nor_lines_without_end() {
        let (lines, begin) = (StrangerLines::default(), start());
        let written = (0..100_000).filter(|at| lines.is_due(UNKNOWN, nobody(*at), begin).is_some()).count();
        assert_eq!(written, KEPT_MAX + 1, "those beyond share one");
        let keys = (0..10_000).filter(|at| lines.is_due(REVOKED, from(Some(key(*at)), 1), begin).is_some()).count();
        assert_eq!(keys, KEPT_MAX + 1);
        {
            let kept = lines.0.lock().unwrap();
            assert_eq!((kept.networks.kept.len(), kept.holders.kept.len(), kept.others.len()), (KEPT_MAX, KEPT_MAX, 2));
        }
        assert_eq!(lines.is_due(RefusedFor::Status(404), nobody(7), begin), Some(0), "of each reason");
        let later = begin + APART;
        assert_eq!(lines.is_due(UNKNOWN, nobody(7_000_000), later), Some(0), "there is room again");
        assert_eq!(lines.0.lock().unwrap().networks.kept.len(), 1);
    }

    #[test]
    fn what_was_left_out_of_a_burst_that_is_over_is_reported_by_whoever_comes_next() {
        let (lines, begin) = (StrangerLines::default(), start());
        for _ in 0..10 {
            lines.is_due(UNKNOWN, nobody(1), begin);
            lines.is_due(REVOKED, from(Some(key(7)), 1), begin);
        }
        let later = begin + APART;
        assert_eq!(lines.count(UNKNOWN, nobody(2), later), (Some(0), 18));
        assert_eq!(lines.count(UNKNOWN, nobody(1), later + APART), (Some(0), 0), "each is reported once");
    }

    proptest! {
        /// Strangers as (seconds since the one before, reason, key, network).
        #[test]
        fn each_request_has_a_line_or_is_counted_in_one(
            strangers in prop::collection::vec((0_u64..40, 0_u16..3, 0_u32..40, 0_u32..400), 0..600)
        ) {
            let (lines, mut now) = (StrangerLines::default(), start());
            let all = u64::try_from(strangers.len()).unwrap();
            let mut reported = 0;
            for (later, why, known, network) in strangers {
                now += Duration::from_secs(later);
                // Half of them show a key that is there.
                let who = from((known < 20).then(|| key(known)), network);
                let (due, gone) = lines.count(RefusedFor::Status(400 + why), who, now);
                reported += due.map_or(0, |left_out| left_out + 1) + gone;
            }
            // One more, long after, from nowhere.
            let (due, gone) = lines.count(UNKNOWN, Stranger { key: None, peer: None }, now + APART + APART);
            prop_assert_eq!(due, Some(0));
            prop_assert_eq!(reported + gone, all);
        }
    }
}
