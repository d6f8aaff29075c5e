//! The harness must be able to fail: B1 to B21, each seeded, and the check that finds it.
//!
//! The bugs of decisions and their order are those of the simulation (`simulation::bugs`). The others are patches of
//! `src` (`tests/seeded.d`). `tests/seeded` builds one copy of the program and of these tests that has them all, each
//! behind a switch; a test here starts the copy's test binary with one bug switched on, has it run the check of an
//! everyday test, and expects a finding.

use std::{collections::BTreeSet, process::Command};

use crate::{
    canary,
    loads::login::wrong_tokens_taken,
    matrix,
    process::{
        drain::{Leaving, lost_by_hanging_up},
        neighbour::refused_beside_a_writer,
        write_ahead::out_of_order,
    },
    quota::wrong_rate_of_three,
    simulation,
    support::Backend,
};

/// Names the bug that is switched on.
const SWITCH: &str = "NOSHI_SEEDED_BUG";
/// Names the check that a child runs: that of the bug of this number, or [`WELL`].
const CHILD: &str = "NOSHI_TEST_SEEDED_CHECK";
/// The checks of several bugs, with none of them switched on.
const WELL: &str = "none";
/// Where the copy's test binary is.
const COPY: &str = "NOSHI_TEST_SEEDED";

/// Where a bug is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    Simulation,
    /// By the test of this module of that name.
    Here(&'static str),
}

use Caught::{Here, Simulation};

const BUGS: [(&str, Caught); 22] = [
    ("B1", Simulation),
    ("B1", Here("b1_a_create_that_leaves_before_its_row_is_on_the_disk_is_found")),
    ("B2", Simulation),
    ("B3", Simulation),
    ("B4", Simulation),
    ("B5", Simulation),
    ("B6", Simulation),
    ("B7", Simulation),
    ("B8", Simulation),
    ("B9", Here("b9_a_body_in_the_log_is_found")),
    ("B10", Here("b10_a_parser_that_quotes_is_found")),
    ("B11", Here("b11_work_on_the_callers_runtime_is_found")),
    ("B12", Here("b12_a_redirect_that_is_followed_is_found")),
    ("B13", Here("b13_a_lock_that_is_taken_late_is_found")),
    ("B14", Simulation),
    ("B15", Simulation),
    ("B16", Simulation),
    ("B17", Here("b17_a_limiter_of_each_replicas_own_is_found")),
    ("B18", Simulation),
    ("B19", Simulation),
    ("B20", Here("b20_a_commit_that_is_not_on_the_disk_is_found")),
    ("B21", Here("b21_a_token_of_another_client_that_is_taken_is_found")),
];

/// The environment of a service that has this bug, or none.
pub(crate) fn with(bug: Option<&str>, environment: &[(String, String)]) -> Vec<(String, String)> {
    let seeded = bug.map(|bug| (SWITCH.to_owned(), bug.to_owned()));
    environment.iter().cloned().chain(seeded).collect()
}

#[test]
fn every_bug_is_in_the_table_and_caught_where_it_says() {
    let numbers: BTreeSet<String> = BUGS.iter().map(|(number, _caught)| (*number).to_owned()).collect();
    assert_eq!(numbers, (1..=21).map(|number| format!("B{number}")).collect());
    let simulated: BTreeSet<&str> =
        BUGS.iter().filter(|(_number, caught)| *caught == Simulation).map(|(number, _caught)| *number).collect();
    assert_eq!(simulated, simulation::seeded_here().collect());
    let patches = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seeded.d")).unwrap();
    let patches: BTreeSet<String> =
        patches.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let patched = BUGS.iter().filter(|(_number, caught)| *caught != Simulation);
    assert_eq!(patches, patched.map(|(number, _caught)| (*number).to_owned()).collect());
    let here = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/seeded.rs")).unwrap();
    for (number, caught) in BUGS {
        if let Here(test) = caught {
            assert!(here.contains(&format!("fn {test}()")), "{number}: there is no {test}");
        }
    }
}

/// What the check finds in the copy.
#[expect(clippy::disallowed_methods, reason = "how tests/run names the copy")]
fn found_in_copy(check: &str) -> String {
    let copy = std::env::var(COPY)
        .unwrap_or_else(|_missing| panic!("this test needs the copy with the seeded bugs: {COPY}=$(tests/seeded)"));
    let mut child = Command::new(copy);
    child.args(["--exact", "seeded::the_child_that_has_a_bug", "--nocapture", "--test-threads=1"]).env(CHILD, check);
    // Where the check starts the service as a process, that process alone is wrong.
    if ["B9", "B10", "B12", "B21"].contains(&check) {
        child.env(SWITCH, check);
    }
    let child = child.output().unwrap();
    let printed = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{printed}\n{}", String::from_utf8_lossy(&child.stderr));
    // The first one stands behind the name of the test.
    printed.lines().filter_map(|line| line.split_once("found: ")).map(|(_name, one)| one).collect::<Vec<_>>().join("\n")
}

/// Does nothing but in the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how the parent names the check")]
async fn the_child_that_has_a_bug() {
    let Ok(check) = std::env::var(CHILD) else { return };
    let bug = Some(check.as_str()).filter(|check| *check != WELL);
    let found = match check.as_str() {
        "B1 on SQLite" => out_of_order(Backend::Sqlite, Some("B1")).await,
        "B1 on PostgreSQL" => out_of_order(Backend::Postgres, Some("B1")).await,
        "B9" | "B10" => canary::leaks(Backend::Sqlite).await,
        "B11" => lost_by_hanging_up(Backend::Sqlite, Leaving::Reset, bug).await,
        "B12" => matrix::wrong_creates(Backend::Sqlite).await,
        "B13" => refused_beside_a_writer(bug).await,
        "B17" => wrong_rate_of_three(4, bug).await,
        "B21" => wrong_tokens_taken(Backend::Sqlite).await,
        "B20 on SQLite" => out_of_order(Backend::Sqlite, Some("B20")).await,
        "B20 on PostgreSQL" => out_of_order(Backend::Postgres, Some("B20")).await,
        WELL => {
            let mut found = lost_by_hanging_up(Backend::Sqlite, Leaving::Reset, bug).await;
            found.extend(refused_beside_a_writer(bug).await);
            found.extend(matrix::wrong_creates(Backend::Sqlite).await);
            found.extend(wrong_tokens_taken(Backend::Sqlite).await);
            found
        }
        other => panic!("no check of {other}"),
    };
    for one in found {
        println!("found: {}", one.lines().next().unwrap_or_default());
    }
}

#[test]
fn a_copy_without_a_bug_switched_on_behaves() {
    assert_eq!(found_in_copy(WELL), "");
}

#[test]
fn b1_a_create_that_leaves_before_its_row_is_on_the_disk_is_found() {
    for check in ["B1 on SQLite", "B1 on PostgreSQL"] {
        let found = found_in_copy(check);
        assert!(found.contains("before its intent"), "{check}: {found}");
    }
}

#[test]
fn b9_a_body_in_the_log_is_found() {
    let found = found_in_copy("B9");
    assert!(found.contains("the log"), "{found}");
}

#[test]
fn b10_a_parser_that_quotes_is_found() {
    let found = found_in_copy("B10");
    assert!(found.contains("answers without a code"), "{found}");
}

#[test]
fn b11_work_on_the_callers_runtime_is_found() {
    assert_ne!(found_in_copy("B11"), "");
}

#[test]
fn b12_a_redirect_that_is_followed_is_found() {
    let found = found_in_copy("B12");
    assert!(found.contains("U23-at-1"), "{found}");
    assert!(found.lines().all(|line| line.contains("U23-")), "and nothing else: {found}");
}

#[test]
fn b13_a_lock_that_is_taken_late_is_found() {
    assert_ne!(found_in_copy("B13"), "");
}

#[test]
fn b17_a_limiter_of_each_replicas_own_is_found() {
    let found = found_in_copy("B17");
    assert!(found.contains("in one second"), "{found}");
}

#[test]
fn b20_a_commit_that_is_not_on_the_disk_is_found() {
    for check in ["B20 on SQLite", "B20 on PostgreSQL"] {
        assert_ne!(found_in_copy(check), "", "{check}");
    }
}

#[test]
fn b21_a_token_of_another_client_that_is_taken_is_found() {
    let found = found_in_copy("B21");
    assert!(found.starts_with("foreign: ") && found.lines().count() == 1, "that one, and no other: {found}");
}
