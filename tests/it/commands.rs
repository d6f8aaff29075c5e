//! The commands that work through the API, against a real service: what a person types, reads, and gets as an exit code.

mod batches;
mod books;
mod paths;
mod rewards;
mod shells;
mod webhooks;

use std::process::Output;

use crate::{process::noshi, support::App};

/// A command that has ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it printed, once it has succeeded.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{} {}", self.out, self.err);
        self.out
    }

    /// The text behind a name of what a person reads.
    pub(crate) fn line(&self, name: &str) -> String {
        line(&self.out, name)
    }
}

fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().to_owned()
}

/// Runs a command with the app's key at its service.
pub(crate) fn run(app: &App, arguments: &[&str]) -> Ended {
    let mut command = noshi();
    command.args(arguments).env("NOSHI_URL", &app.base).env("NOSHI_API_KEY", &app.key);
    Ended::of(command.output().unwrap())
}
