//! The harness must be able to fail: B1 to B20 of `reliability.md` 3.6, each seeded, and the check that finds it.
//!
//! The bugs of decisions and their order are those of the simulation (`simulation::bugs`). The others live in real code,
//! behind `failpoint::seeded`, which a release build has not: here the check of an everyday test runs once more against a
//! service that has the bug, and must find something.

use std::{collections::BTreeSet, process::Command};

use crate::{
    canary, matrix,
    process::{
        drain::{Leaving, lost_by_hanging_up},
        neighbour::refused_beside_a_writer,
        write_ahead::out_of_order,
    },
    quota::wrong_rate_of_three,
    simulation,
    support::Backend,
};

/// Read by `failpoint::seeded` alone.
const SWITCH: &str = "NOSHI_SEEDED_BUG";
/// Names the check of a child that runs the service in its own process.
const CHILD: &str = "NOSHI_TEST_SEEDED_CHECK";

/// Where a bug is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    Simulation,
    /// By the test of this module of that name.
    Here(&'static str),
}

use Caught::{Here, Simulation};

const BUGS: [(&str, Caught); 21] = [
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
];

/// The environment of a service that has this bug, or none.
pub(crate) fn with(bug: Option<&str>, environment: &[(String, String)]) -> Vec<(String, String)> {
    let seeded = bug.map(|bug| (SWITCH.to_owned(), bug.to_owned()));
    environment.iter().cloned().chain(seeded).collect()
}

#[test]
fn all_twenty_bugs_are_in_the_table_and_caught_where_it_says() {
    let numbers: BTreeSet<String> = BUGS.iter().map(|(number, _caught)| (*number).to_owned()).collect();
    assert_eq!(numbers, (1..=20).map(|number| format!("B{number}")).collect());
    let simulated: BTreeSet<&str> =
        BUGS.iter().filter(|(_number, caught)| *caught == Simulation).map(|(number, _caught)| *number).collect();
    assert_eq!(simulated, simulation::seeded_here().collect());
    let here = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/seeded.rs")).unwrap();
    for (number, caught) in BUGS {
        if let Here(test) = caught {
            assert!(here.contains(&format!("fn {test}()")), "{number}: there is no {test}");
        }
    }
}

/// What the check of this name finds in a process of its own, with the bug.
fn found_by_child(bug: &str, check: &str) -> String {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "seeded::the_child_that_has_a_bug", "--nocapture", "--test-threads=1"])
        .env(CHILD, check)
        .env(SWITCH, bug)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    // The first one stands behind the name of the test.
    said.lines().filter_map(|line| line.split_once("found: ")).map(|(_name, one)| one).collect::<Vec<_>>().join("\n")
}

/// Does nothing but in the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child")]
async fn the_child_that_has_a_bug() {
    let found = match std::env::var(CHILD).as_deref() {
        Ok("canary") => canary::leaks(Backend::Sqlite).await,
        Ok("matrix") => matrix::wrong_creates(Backend::Sqlite).await,
        Ok(_) | Err(_) => return,
    };
    for one in found {
        println!("found: {}", one.lines().next().unwrap_or_default());
    }
}

#[test]
fn b9_a_body_in_the_log_is_found() {
    let found = found_by_child("B9", "canary");
    assert!(found.contains("the log"), "{found}");
}

#[test]
fn b10_a_parser_that_quotes_is_found() {
    let found = found_by_child("B10", "canary");
    assert!(found.contains("answers without a code"), "{found}");
}

#[test]
fn b12_a_redirect_that_is_followed_is_found() {
    let found = found_by_child("B12", "matrix");
    assert!(found.contains("U23-at-1"), "{found}");
    assert!(found.lines().all(|line| line.contains("U23-")), "and nothing else: {found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_a_create_that_leaves_before_its_row_is_on_the_disk_is_found() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let found = out_of_order(backend, Some("B1")).await;
        assert!(found.iter().any(|one| one.contains("before its intent")), "{backend:?}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b11_work_on_the_callers_runtime_is_found() {
    assert_ne!(lost_by_hanging_up(Backend::Sqlite, Leaving::Reset, Some("B11")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_a_lock_that_is_taken_late_is_found() {
    assert_ne!(refused_beside_a_writer(Some("B13")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b17_a_limiter_of_each_replicas_own_is_found() {
    let found = wrong_rate_of_three(4, Some("B17")).await;
    assert!(found.iter().any(|one| one.contains("in one second")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b20_a_commit_that_is_not_on_the_disk_is_found() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        assert_ne!(out_of_order(backend, Some("B20")).await, [""; 0], "{backend:?}");
    }
}
