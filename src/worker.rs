//! The loops: what nobody's request waits for.

pub mod clock;
pub mod key_pairs;
pub mod recovery;
