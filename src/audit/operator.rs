//! Who runs this process, and where, as the operating system says it: no variable of the environment, which anybody sets.

use std::{fs, os::unix::fs::MetadataExt};

/// What the kernel says of a process that belongs to no login.
const NO_LOGIN: &str = "4294967295";

/// The name of this machine or pod.
pub(super) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

/// The user of this process, and the one who had logged in where that is another.
pub(super) fn users() -> (String, Option<String>) {
    let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
    // A process owns its own entry.
    let user = fs::metadata("/proc/self").map_or_else(|_| "unknown".to_owned(), |own| own.uid().to_string());
    let login = fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = Some(login.trim()).filter(|login| !login.is_empty() && *login != NO_LOGIN && *login != user);
    (name_of(&names, &user), login.map(|login| name_of(&names, login)))
}

/// The name of a user's number, or the number.
fn name_of(names: &str, user: &str) -> String {
    let of_user = |line: &&str| line.split(':').nth(2) == Some(user);
    let name = names.lines().find(of_user).and_then(|line| line.split(':').next());
    name.unwrap_or(user).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_the_machines_list_or_else_the_number() {
        let names = "root:x:0:0::/root:/bin/sh\nmaria:x:1000:1000::/home/maria:/bin/sh\n";
        assert_eq!((name_of(names, "1000"), name_of(names, "65532")), ("maria".to_owned(), "65532".to_owned()));
        assert!(!host().is_empty() && !users().0.is_empty());
    }
}
