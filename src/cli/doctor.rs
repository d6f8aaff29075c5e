//! `noshi doctor`: what is wrong with an installation, before a caller finds out, and what helps.
//!
//! [`settings`] looks at the settings and the files that they name, [`database`] at the database, and [`amazon`] asks Amazon for
//! the funds of each account. `noshi check` shows the first part, and all of it with `--online`.

pub(super) mod amazon;
mod database;
mod settings;

use std::{path::Path, process::ExitCode};

use clap::Args;
use serde::Serialize;

use super::{CommandError, say};
use crate::{ambient::Ambient, config::Settings};

#[derive(Args)]
pub(super) struct DoctorArguments {
    /// Print one JSON object: whether all is well, and each finding with what it is, why it matters and what helps.
    #[arg(long)]
    json: bool,
    /// Fail on warnings, too.
    #[arg(long)]
    strict: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Soundness {
    /// As it should be.
    Well,
    /// Rewards are sold; something else is not as it should be.
    Warning,
    /// No reward is sold, or none of an account.
    Broken,
}

impl Soundness {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Warning => "warning",
            Self::Broken => "BROKEN",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Diagnosis {
    state: Soundness,
    /// The setting, or the part of the installation.
    place: String,
    what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    way_out: String,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) what: String,
    /// Why it matters.
    pub(super) why: String,
    pub(super) way_out: String,
}

impl Diagnosis {
    fn well(place: &str, what: String) -> Self {
        Self { state: Soundness::Well, place: place.to_owned(), what, why: String::new(), way_out: String::new() }
    }

    fn warning(place: &str, trouble: Trouble) -> Self {
        Self::of(Soundness::Warning, place, trouble)
    }

    fn broken(place: &str, trouble: Trouble) -> Self {
        Self::of(Soundness::Broken, place, trouble)
    }

    fn of(state: Soundness, place: &str, trouble: Trouble) -> Self {
        let Trouble { what, why, way_out } = trouble;
        Self { state, place: place.to_owned(), what, why, way_out }
    }

    fn text(&self) -> String {
        let Self { state, place, what, why, way_out } = self;
        let mut text = format!("{:<8} {place}: {what}", state.as_str());
        for (name, more) in [("why", why), ("do", way_out)] {
            if !more.is_empty() {
                text.push_str(&format!("\n         {name}: {more}"));
            }
        }
        text
    }
}

/// All findings of a command.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    state: Soundness,
    findings: Vec<Diagnosis>,
}

impl Report {
    fn of(findings: Vec<Diagnosis>) -> Self {
        let state = findings.iter().map(|finding| finding.state).max().unwrap_or(Soundness::Well);
        Self { state, findings }
    }

    /// What is not well, as text.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.findings.iter().filter(|finding| finding.state != Soundness::Well).map(Diagnosis::text).collect()
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self.findings.iter().map(Diagnosis::text).collect();
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        lines.push(format!("{} broken, {} warnings", count(Soundness::Broken), count(Soundness::Warning)));
        lines.join("\n")
    }

    /// 0 as long as rewards can be sold, 1 otherwise. Who is `strict` lets a pipeline stop at a warning.
    pub(super) fn exit_code(&self, strict: bool) -> ExitCode {
        match self.state {
            Soundness::Broken => ExitCode::FAILURE,
            Soundness::Warning if strict => ExitCode::FAILURE,
            Soundness::Well | Soundness::Warning => ExitCode::SUCCESS,
        }
    }
}

/// What the settings and the files that they name show, without a look at the database or at Amazon.
pub(super) fn look(settings: &Settings, file: Option<&Path>) -> Report {
    Report::of(settings::findings(settings, file, Ambient::system().now().date_naive()))
}

/// All of it.
pub(super) async fn look_online(settings: &Settings, file: Option<&Path>) -> Report {
    let mut findings = look(settings, file).findings;
    let (of_database, opened) = database::findings(settings).await;
    findings.extend(of_database);
    if let Some((accounts, store)) = opened {
        for account in accounts.iter() {
            findings.extend(amazon::findings(account).await);
        }
        store.close().await;
    } else if !settings.accounts.is_empty() {
        findings.push(Diagnosis::warning("amazon", amazon::not_asked()));
    }
    Report::of(findings)
}

pub(super) async fn run(
    arguments: DoctorArguments,
    settings: &Settings,
    file: Option<&Path>,
) -> Result<ExitCode, CommandError> {
    let report = look_online(settings, file).await;
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).map_err(std::io::Error::other)?
    } else {
        report.text()
    };
    say(&text)?;
    Ok(report.exit_code(arguments.strict))
}
