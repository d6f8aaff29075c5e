//! Any bytes at all, as a file of Amazon's portal. For the fuzzer, and for property tests.

use super::{
    amount::DecimalMark,
    csv::{CsvError, PortalCsvReader},
};
use crate::{kernel::Currency, provider::incentives::ActivityRecord};

fn read(bytes: &[u8], step: usize, mark: Option<DecimalMark>) -> (Vec<ActivityRecord>, Result<(), CsvError>) {
    let (mut reader, mut records) = (PortalCsvReader::new(Currency::Usd, mark), Vec::new());
    for chunk in bytes.chunks(step) {
        if let Err(error) = reader.take(chunk, &mut |record| records.push(record)) {
            return (records, Err(error));
        }
    }
    let ended = reader.finish(&mut |record| records.push(record));
    (records, ended)
}

/// Reads a file, whole and in pieces: the first byte says how long those are, and which mark stands before decimals.
///
/// # Panics
/// The pieces come to something else.
pub fn portal_file(bytes: &[u8]) {
    let Some((choice, file)) = bytes.split_first() else { return };
    let mark =
        [None, Some(DecimalMark::Point), Some(DecimalMark::Comma)].get(usize::from(*choice % 3)).copied().flatten();
    let step = usize::from(*choice / 3) + 1;
    assert_eq!(read(file, step, mark), read(file, file.len().max(1), mark), "in pieces of {step} it is another file");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::changed::changed;

    const COMMA: &[u8] = include_bytes!("../../../fuzz/corpus/portal_file/comma");
    const SEMICOLON: &[u8] = include_bytes!("../../../fuzz/corpus/portal_file/semicolon");

    #[test]
    fn the_files_that_are_changed_are_good() {
        for file in [COMMA, SEMICOLON] {
            let (records, ended) = read(&file[1..], 7, None);
            assert_eq!((records.len(), ended), (2, Ok(())));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_file_of_the_portal_is_the_same_in_pieces_of_any_length(
            comma in changed(COMMA), semicolon in changed(SEMICOLON), any in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            [comma, semicolon, any].iter().for_each(|bytes| portal_file(bytes));
        }
    }
}
