//! What is good, with some bytes changed: inputs of property tests.

use proptest::prelude::*;

/// The bytes with up to five changes: one is another, one is put in, one is left out; and perhaps cut.
pub(crate) fn changed(good: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((0..good.len(), any::<u8>(), 0_u8..3), 0..6);
    (edits, prop::option::of(0..good.len())).prop_map(move |(edits, cut)| {
        let mut bytes = good.to_vec();
        for (at, byte, how) in edits {
            let at = at % bytes.len().max(1);
            match how {
                0 => bytes[at..].first_mut().into_iter().for_each(|old| *old = byte),
                1 => bytes.insert(at, byte),
                _ => drop(bytes.splice(at..(at + 1).min(bytes.len()), [])),
            }
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        bytes
    })
}
