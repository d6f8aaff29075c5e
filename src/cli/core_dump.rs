//! The memory of a process that holds keys and codes is nobody else's: it leaves no core when it is killed, and no other
//! process of its user reads it.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids both for the life of the process. The limit alone would not do: the kernel pipes a core to a program in spite of it
/// where `core_pattern` names one.
///
/// # Errors
/// When the kernel does not allow it.
pub(super) fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    #[test]
    fn the_memory_of_the_process_is_its_own() {
        forbid().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        forbid().unwrap();
    }
}
