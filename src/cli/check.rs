//! `noshi check`: what is set and what it leaves open, and which sealing keys rewards still need.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Args;

use super::{CommandError, doctor, say};
use crate::{
    bootstrap::{self, SealingKeyUses},
    config::{KeyId, Settings},
    sealing::SealingKeyUse,
};

/// Something needs a key that the settings do not list.
const NOT_LISTED: u8 = 3;

#[derive(Args)]
pub(super) struct CheckArguments {
    /// Show, in place of the settings, what in the database needs each sealing key: targets of rewards and secrets of webhooks that
    /// it sealed, and records of the audit that it hashed. Without it a reward waits, a webhook is not sent, and the audit cannot be
    /// verified. Exit codes: 0 every such key is listed, 1 failed, 2 usage or settings, 3 a key is not listed.
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
    let (lines, all_listed) = report(settings, &bootstrap::key_uses(settings).await?);
    say(&lines.join("\n"))?;
    Ok(if all_listed { ExitCode::SUCCESS } else { ExitCode::from(NOT_LISTED) })
}

/// A line for each key that is listed or needed, and whether every key that is needed is listed.
fn report(settings: &Settings, uses: &SealingKeyUses) -> (Vec<String>, bool) {
    let of = |uses: &[SealingKeyUse], id: &KeyId| uses.iter().find(|one| one.key == *id).map_or(0, |one| one.count);
    let counts = |id: &KeyId| {
        let (targets, secrets, records) = (of(&uses.targets, id), of(&uses.secrets, id), of(&uses.records, id));
        format!("targets {targets}, webhook secrets {secrets}, audit records {records}")
    };
    let listed = || settings.sealing.keys.iter().map(|key| &key.id);
    let mut lines: Vec<String> = listed().map(|id| format!("{id}: listed; needed for: {}", counts(id))).collect();
    let needed = [&uses.targets, &uses.secrets, &uses.records].into_iter().flatten().map(|one| &one.key);
    let missing: BTreeSet<&KeyId> = needed.filter(|id| listed().all(|listed| listed != *id)).collect();
    lines.extend(missing.iter().map(|id| format!("{id}: NOT LISTED; needed for: {}", counts(id))));
    if lines.is_empty() {
        lines.push("no key is listed, and none is needed".to_owned());
    }
    (lines, missing.is_empty())
}
