//! Any records at all, for the verifier. For the fuzzer, and for property tests.

use super::{
    AuditHash, AuditRecord,
    verify::{KeptHeads, Verifier},
};
use crate::sealing::AuditKeys;

/// Verifies records: a line each, of eight fields divided by tabs, as [`line()`] writes them. Returns how many fit.
///
/// # Panics
/// A record that fits fits with another number or other details as well.
pub fn records(bytes: &[u8]) -> usize {
    let keys = AuditKeys::default();
    let Ok(text) = str::from_utf8(bytes) else { return 0 };
    let mut verifier = Verifier::new(&keys, KeptHeads::new());
    let mut fitting = 0;
    for record in text.lines().map_while(read) {
        let changed = [
            AuditRecord { details: format!("{} ", record.details), ..record.clone() },
            AuditRecord { at_us: record.at_us.wrapping_add(1), ..record.clone() },
        ];
        let expected = record.expected_hash(&keys);
        assert!(changed.iter().all(|other| other.expected_hash(&keys) != expected || expected.is_none()), "{record:?}");
        if verifier.take(&record).is_err() {
            break;
        }
        fitting += 1;
    }
    fitting
}

/// A record as a line of the corpus.
#[must_use]
pub fn line(record: &AuditRecord) -> String {
    let AuditRecord { sequence, at_us, actor, action, subject, details, hash_key: _, previous, hash } = record;
    format!("{sequence}\t{at_us}\t{actor}\t{action}\t{subject}\t{details}\t{previous}\t{hash}\n")
}

fn read(line: &str) -> Option<AuditRecord> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    Some(AuditRecord {
        sequence: next()?.parse().ok()?,
        at_us: next()?.parse().ok()?,
        actor: next()?.to_owned(),
        action: next()?.to_owned(),
        subject: next()?.to_owned(),
        details: next()?.to_owned(),
        hash_key: None,
        previous: next()?.parse::<AuditHash>().ok()?,
        hash: next()?.parse::<AuditHash>().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHAIN: &[u8] = include_bytes!("../../fuzz/corpus/audit/chain");

    #[test]
    fn the_chain_of_the_corpus_is_whole() {
        assert_eq!(records(CHAIN), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_chain_with_another_byte_is_not_whole(at in 0..CHAIN.len(), byte in any::<u8>()) {
            let mut chain = CHAIN.to_vec();
            chain[at] = byte;
            let same = chain.eq_ignore_ascii_case(CHAIN) || byte == b'\n' || byte == b'\r' || CHAIN[at] == b'\n';
            prop_assert!(same || records(&chain) < 3, "a change of one byte passes");
        }
    }
}
