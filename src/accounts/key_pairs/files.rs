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
        Self { made, files, may_be_empty, settled, candidate: None, readable: true }
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
            if self.may_be_empty {
                (self.settled, self.candidate) = (None, None);
            }
            return None;
        };
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
