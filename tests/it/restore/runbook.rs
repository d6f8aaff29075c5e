//! The commands of the runbook, as they stand in it: a test that runs others would show nothing about these.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::App;

/// The first block of commands under a heading.
pub(super) fn commands(heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/monitoring/RUNBOOK.md");
    block(&fs::read_to_string(path).unwrap(), heading).unwrap_or_else(|| panic!("the runbook has no {heading}"))
}

fn block(text: &str, heading: &str) -> Option<String> {
    let section = text.split_once(&format!("\n### {heading}\n"))?.1;
    let section = section.split("\n#").next()?;
    Some(section.split_once("\n```sh\n")?.1.split_once("\n```")?.0.to_owned())
}

/// What a run of commands came to.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) error: String,
}

/// A shell in which the program is `noshi`, and a cluster's `kubectl exec … --` runs what follows here.
pub(super) struct Shell {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Shell {
    pub(super) fn new(app: &App, more: &[(&str, String)]) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_noshi"), folder.path().join("noshi")).unwrap();
        let kubectl = folder.path().join("kubectl");
        fs::write(&kubectl, "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
        let mut environment = app.environment().to_vec();
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Self { folder, environment }
    }

    /// Runs commands, beside whatever the test does meanwhile. The first that fails ends them.
    pub(super) async fn run(&self, commands: &str, more: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("bash");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.path().display());
        command.args(["-euo", "pipefail", "-c", commands]).env_clear().env("PATH", path);
        command.envs(self.environment.iter().cloned()).envs(more.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (code, out, error) = super::text(&output);
        Ran { code, out, error }
    }

    /// The same of commands that end well.
    pub(super) async fn run_well(&self, commands: &str, more: &[(&str, &str)]) -> String {
        let ran = self.run(commands, more).await;
        assert_eq!(ran.code, Some(0), "{commands}\n{}{}", ran.out, ran.error);
        ran.out
    }
}

/// Where the runbook's commands for PostgreSQL find the server and the database.
pub(super) fn of_postgres(app: &App) -> [(&'static str, String); 3] {
    let (server, database) = app.database.url().rsplit_once('/').unwrap();
    [
        ("SERVER", server.to_owned()),
        ("DATABASE", database.to_owned()),
        ("FILE", app.database.folder.path().join("back-up.dump").display().to_string()),
    ]
}

/// And those for SQLite.
pub(super) fn of_sqlite(app: &App) -> [(&'static str, String); 1] {
    let file: PathBuf = app.database.folder.path().join("back-up.db");
    [("FILE", file.display().to_string())]
}

#[test]
fn the_first_block_under_a_heading_is_found_and_no_other() {
    let text =
        "# R\n\n### A\n\ntext\n\n### B\n\nwhy\n\n```sh\none\ntwo\n```\n\n```sh\nthree\n```\n## C\n```sh\nfour\n```\n";
    assert_eq!(block(text, "B").as_deref(), Some("one\ntwo"));
    assert_eq!(block(text, "A"), None, "the next heading's is not its own");
    assert_eq!(block(text, "D"), None);
}
