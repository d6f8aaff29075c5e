//! The files of a slot, which may be written one after the other.

use super::SlotSettings;
use crate::{
    config::KeyFiles,
    provider::incentives::{Credentials, PairFingerprint},
};

/// How many reads in a row must show the same new pair before it counts.
const READS: u32 = 2;
/// The same where one half is still the old one. Most likely the other follows, and Amazon would refuse a mixed pair.
const READS_OF_A_HALF: u32 = 15;

/// A slot's files and what was read from them.
pub(super) struct SlotFiles {
    /// The pair that lay in them at the start, and when it was made, if the settings say so (seconds since 1970).
    pub(super) made: Option<(PairFingerprint, i64)>,
    pub(super) files: KeyFiles,
    /// The files may be missing: nobody has put a pair there.
    pub(super) may_be_empty: bool,
    /// The pair that counts.
    pub(super) settled: Option<Credentials>,
    /// What was read last, if it is another.
    candidate: Option<Candidate>,
    /// How many reads in a row found no files.
    missing: u32,
    /// Whether the last read went well: one line is written when it no longer does.
    readable: bool,
}

struct Candidate {
    pair: Credentials,
    reads: u32,
}

impl SlotFiles {
    pub(super) fn new(settings: SlotSettings, may_be_empty: bool, settled: Option<Credentials>) -> Self {
        let SlotSettings { files, made_at } = settings;
        let made = settled.as_ref().map(Credentials::fingerprint).zip(made_at);
        Self { made, files, may_be_empty, settled, candidate: None, missing: 0, readable: true }
    }

    /// Takes over what was read. Returns what is wrong where nothing was wrong before.
    pub(super) fn read(&mut self, read: Result<Option<Credentials>, String>) -> Option<String> {
        let pair = match read {
            Ok(pair) => pair,
            Err(why) => {
                // The pair that was read before stays in use meanwhile.
                let first = self.readable;
                self.readable = false;
                return first.then_some(why);
            }
        };
        self.readable = true;
        let Some(pair) = pair else {
            // A mount may be away for a moment, as files are written one after the other.
            self.missing = self.missing.saturating_add(1);
            if self.may_be_empty && self.missing >= READS {
                (self.settled, self.candidate) = (None, None);
            }
            return None;
        };
        self.missing = 0;
        let shared = self.settled.as_ref().map(|settled| settled.shares(&pair));
        if shared == Some((true, true)) {
            self.candidate = None;
            return None;
        }
        let before = self.candidate.take().filter(|before| before.pair.shares(&pair) == (true, true));
        let reads = before.map_or(0, |before| before.reads).saturating_add(1);
        let enough = if matches!(shared, None | Some((false, false))) { READS } else { READS_OF_A_HALF };
        if reads >= enough {
            self.settled = Some(pair);
        } else {
            self.candidate = Some(Candidate { pair, reads });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(id: &str, secret: &str) -> Credentials {
        Credentials::new(id.into(), secret.into())
    }

    fn slot(settled: Option<Credentials>) -> SlotFiles {
        let files = KeyFiles { access_key_id: "id".into(), secret_access_key: "secret".into() };
        SlotFiles::new(SlotSettings { files, made_at: None }, true, settled)
    }

    fn holds(slot: &SlotFiles, pair: &Credentials) -> bool {
        slot.settled.as_ref().is_some_and(|settled| settled.shares(pair) == (true, true))
    }

    #[test]
    fn what_is_seen_once_may_be_half_written_and_counts_when_it_stays() {
        let (old, new, half) = (pair("a", "1"), pair("b", "2"), pair("b", "1"));
        let mut slot = slot(Some(old.clone()));
        assert_eq!(slot.read(Ok(Some(new.clone()))), None);
        assert!(holds(&slot, &old));
        slot.read(Ok(None));
        assert!(holds(&slot, &old), "files that are away for one read");
        slot.read(Ok(Some(new.clone())));
        slot.read(Ok(Some(new.clone())));
        assert!(holds(&slot, &new));
        for _ in 1..READS_OF_A_HALF {
            slot.read(Ok(Some(half.clone())));
            assert!(holds(&slot, &new), "one half is still the old one");
        }
        slot.read(Ok(Some(half.clone())));
        assert!(holds(&slot, &half));
        for _ in 0..READS {
            slot.read(Ok(None));
        }
        assert!(slot.settled.is_none(), "somebody has emptied it");
    }

    #[test]
    fn files_that_cannot_be_read_are_reported_once_and_the_pair_stays() {
        let old = pair("a", "1");
        let mut slot = slot(Some(old.clone()));
        let told: Vec<_> = (0..3).map(|_| slot.read(Err("no".to_owned()))).collect();
        assert_eq!(told, [Some("no".to_owned()), None, None]);
        assert!(holds(&slot, &old));
        slot.read(Ok(Some(old.clone())));
        assert_eq!(slot.read(Err("again".to_owned())), Some("again".to_owned()));
    }
}
