//! What shells and the manual know of the commands.

use std::{fs, io::Write, process::Stdio};

use super::Ended;
use crate::process::noshi;

fn run(arguments: &[&str]) -> Ended {
    Ended::of(noshi().args(arguments).output().unwrap())
}

#[test]
fn each_shell_gets_its_script_and_bash_takes_and_uses_it() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completion", shell]).good();
        assert!(script.contains("attention") && script.contains("rotate-secret"), "{shell}");
    }
    assert_eq!(run(&["completion", "tcsh"]).code, 2);
    let mut bash =
        std::process::Command::new("bash").arg("--norc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let tried = format!(
        "{}\nCOMP_WORDS=(noshi rewards re); COMP_CWORD=2; _noshi noshi re rewards; echo \"${{COMPREPLY[@]}}\"\n",
        run(&["completion", "bash"]).good()
    );
    bash.stdin.take().unwrap().write_all(tried.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "reveal");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man");
    run(&["man", "--dir", path.to_str().unwrap()]).good();
    let pages: Vec<String> =
        fs::read_dir(&path).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    for page in [
        "noshi.1",
        "noshi-serve.1",
        "noshi-rewards-issue.1",
        "noshi-rewards-attention-settle.1",
        "noshi-report-month.1",
    ] {
        assert!(pages.iter().any(|name| name == page), "{page} is not among {pages:?}");
    }
    let issue = fs::read_to_string(path.join("noshi-rewards-issue.1")).unwrap();
    assert!(issue.contains("The same \\-\\-key again is the same reward"), "{issue}");
    assert!(run(&["man"]).good().contains(".TH noshi 1"));
}

/// No line of any command's help is longer than a terminal that says how wide it is.
#[test]
fn help_keeps_to_the_width_of_the_terminal() {
    for command in [&["rewards", "issue"][..], &["serve"], &["webhooks"], &["reconcile"]] {
        let output = noshi().args(command).arg("--help").env("COLUMNS", "72").output().unwrap();
        let help = Ended::of(output).good();
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 72 && line.contains("  ")).collect();
        assert!(long.iter().all(|line| !line.trim().contains(' ')), "{command:?}: {long:?}");
    }
}
