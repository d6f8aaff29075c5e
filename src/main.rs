//! The `noshi` program.
fn main() {}
