//! Chance and memory of one run: a small generator that a seed starts, and the last lines of what happened.

/// SplitMix64: small, quick, and the same everywhere.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x6A09_E667_F3BC_C909)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to, but not including, `high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low).unwrap().max(1);
        low + i64::try_from(self.draw() % span).unwrap()
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(super) fn per_mille(&mut self, chance: i64) -> bool {
        chance > 0 && self.between(0, 1000) < chance
    }
}

const KEPT: usize = 64;

/// One thing that happened.
#[derive(Clone, Copy)]
struct Line {
    at: i64,
    what: &'static str,
    more: &'static str,
    key: i64,
    number: i64,
}

/// A hash over everything that happened, and the last lines of it.
pub(super) struct Trace {
    hash: u64,
    lines: Vec<Line>,
    next: usize,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, lines: Vec::with_capacity(KEPT), next: 0 }
    }

    pub(super) fn note(&mut self, at: i64, what: &'static str, more: &'static str, key: usize, number: i64) {
        let key = i64::try_from(key).unwrap();
        for part in [at, i64::try_from(what.len() * 64 + more.len()).unwrap(), key, number] {
            self.hash = (self.hash ^ part.cast_unsigned()).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
        let line = Line { at, what, more, key, number };
        if self.lines.len() < KEPT {
            self.lines.push(line);
        } else {
            self.lines[self.next % KEPT] = line;
        }
        self.next += 1;
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, oldest first.
    pub(super) fn last(&self) -> String {
        let (newest, oldest) = self.lines.split_at(if self.lines.len() < KEPT { 0 } else { self.next % KEPT });
        let in_order = oldest.iter().chain(newest);
        in_order
            .map(|line| {
                let (seconds, millis) = (line.at / 1_000_000, line.at / 1000 % 1000);
                format!("{seconds:>7}.{millis:03} key {} {} {} {}\n", line.key, line.what, line.more, line.number)
            })
            .collect()
    }
}
