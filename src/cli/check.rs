//! `noshi check`: what is set and what it leaves open, and which sealing keys rewards still need.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;

use super::{CommandError, doctor, say};
use crate::{
    bootstrap,
    config::{KeyId, Settings},
    incentives::target::SealedBy,
};

/// A target is sealed by a key that the settings do not list.
const NOT_LISTED: u8 = 3;

#[derive(Args)]
pub(super) struct CheckArguments {
    /// Show, in place of the settings, how many rewards in the database hold a target that each key sealed. A reward whose
    /// key is not listed waits until it is. Exit codes: 0 every such key is listed, 1 failed, 2 usage or settings, 3 a key
    /// is not listed.
    #[arg(long)]
    targets: bool,
    /// Look at the database as well, and ask Amazon for each account's funds, as `noshi doctor` does.
    #[arg(long, conflicts_with = "targets")]
    online: bool,
    /// Fail on warnings, too.
    #[arg(long, conflicts_with = "targets")]
    strict: bool,
}

pub(super) async fn run(
    arguments: CheckArguments,
    settings: &Settings,
    file: Option<&Path>,
) -> Result<ExitCode, CommandError> {
    let CheckArguments { targets, online, strict } = arguments;
    if !targets {
        say(settings.in_force().trim_end())?;
        let found = if online { doctor::look_online(settings, file).await } else { doctor::look(settings, file) };
        for trouble in found.troubles() {
            // Not among the settings, which somebody may read as TOML.
            writeln!(io::stderr(), "{trouble}")?;
        }
        return Ok(found.exit_code(strict));
    }
    let sealed = bootstrap::sealed_by(settings).await?;
    let (lines, all_listed) = report(settings, &sealed);
    say(&lines.join("\n"))?;
    Ok(if all_listed { ExitCode::SUCCESS } else { ExitCode::from(NOT_LISTED) })
}

/// A line for each key that is listed or needed, and whether every key that is needed is listed.
fn report(settings: &Settings, sealed: &[SealedBy]) -> (Vec<String>, bool) {
    let listed = || settings.sealing.keys.iter().map(|key| &key.id);
    let needed = |id: &KeyId| sealed.iter().find(|by| by.key == *id).map_or(0, |by| by.rewards);
    let mut lines: Vec<String> =
        listed().map(|id| format!("{id}: listed; targets that it opens: {}", needed(id))).collect();
    let missing: Vec<_> = sealed.iter().filter(|by| listed().all(|id| *id != by.key)).collect();
    lines.extend(missing.iter().map(|by| format!("{}: NOT LISTED; targets that wait for it: {}", by.key, by.rewards)));
    if lines.is_empty() {
        lines.push("no key is listed, and no reward holds a target".to_owned());
    }
    (lines, missing.is_empty())
}
