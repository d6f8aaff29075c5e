//! The loops: what nobody's request waits for.

pub mod clock;
pub mod recovery;
