//! How much a run does: in small everyday, whole in `tests/soak`, which sets the counts. What a run drew and found is printed.

/// A number that whoever runs the tests may set: the counts of a soak, the seed of a failed run.
#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
pub(crate) fn set_by_hand(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_bad| panic!("{name} is no number: {text}")))
}

/// Rounds of a driver: as many as the variable says, otherwise those of an everyday run.
pub(crate) fn count_of(name: &str, everyday: usize) -> usize {
    set_by_hand(name).map_or(everyday, |count| usize::try_from(count).unwrap())
}

/// The run's seed: a new one each time, printed, unless `NOSHI_TEST_SEED` names that of a run to repeat.
pub(crate) fn seed() -> u64 {
    set_by_hand("NOSHI_TEST_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        noshi::ambient::Ambient::system().fill_random(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) >> 32
    })
}

/// Says a figure of the run, also into the file of `tests/soak`.
#[expect(clippy::print_stderr, clippy::disallowed_methods, reason = "the figures of a run are its result")]
pub(crate) fn print(line: &str) {
    eprintln!("{line}");
    if let Ok(path) = std::env::var("NOSHI_TEST_FIGURES") {
        let mut figures = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut figures, format!("{line}\n").as_bytes()).unwrap();
    }
}
