//! The `noshi` program: everything is in the library.

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed: codes and keys pass through buffers of libraries, which do not.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    noshi::cli::main()
}
