//! The `noshi` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    noshi::cli::main()
}
