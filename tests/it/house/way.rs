//! The way of one purchase, as the crate's own page walks it, against the source: what a stranger is sent to must be there,
//! and must be called from where they come.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{Source, nothing, root, sources, text::sites};

/// Files that a stranger has to open, and how often each.
const FILES_MAX: usize = 20;
const VISITS_MAX: usize = 2;
const HEADING: &str = "//! # The way of one purchase";
/// The framework calls these two: the middleware that `server.rs` wraps around everything, and the handler of the route.
const ENTRIES: [&str; 2] = ["http/observe.rs", "incentives/http.rs"];

/// A file that a step enters, and the functions to read there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stop {
    step: usize,
    file: String,
    functions: Vec<String>,
}

/// The stops of the numbered steps below the heading.
fn stops(page: &str) -> Vec<Stop> {
    let way = page.split_once(HEADING).map_or("", |(_before, after)| after);
    let way = way.split("//! # ").next().unwrap_or_default();
    let mut stops: Vec<Stop> = Vec::new();
    let mut step = 0;
    for line in way.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let number = line.split_once(". ").and_then(|(number, _rest)| number.parse::<usize>().ok());
        step = match number {
            Some(number) => number,
            // What is not indented belongs to no step.
            None if !line.starts_with("   ") => 0,
            None => step,
        };
        for word in line.split('`').skip(1).step_by(2).filter(|_word| step > 0) {
            if word.ends_with(".rs") {
                stops.push(Stop { step, file: word.to_owned(), functions: Vec::new() });
            } else if let (Some(stop), Some(function)) = (stops.last_mut(), word.strip_suffix("()")) {
                stop.functions.push(function.to_owned());
            }
        }
    }
    stops
}

/// What is wrong with the walk by itself.
fn wrong_walk(stops: &[Stop]) -> Vec<String> {
    let mut visits: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for stop in stops {
        visits.entry(&stop.file).or_default().insert(stop.step);
    }
    let often = visits.iter().filter(|(_file, steps)| steps.len() > VISITS_MAX);
    let mut wrong: Vec<String> = often.map(|(file, steps)| format!("{file} is entered in steps {steps:?}")).collect();
    if visits.len() > FILES_MAX {
        wrong.push(format!("{} files are entered", visits.len()));
    }
    let blind = stops.iter().filter(|stop| stop.functions.is_empty());
    wrong.extend(blind.map(|stop| format!("step {} names nothing to read in {}", stop.step, stop.file)));
    let mut steps: Vec<usize> = stops.iter().map(|stop| stop.step).collect();
    steps.dedup();
    if steps != (1..=steps.len()).collect::<Vec<_>>() {
        wrong.push(format!("the steps are {steps:?}"));
    }
    wrong
}

/// Files and functions that are not there, and functions that no file calls which the stranger has open by then.
fn astray(stops: &[Stop], sources: &[Source]) -> Vec<String> {
    let of = |file: &str| sources.iter().find(|source| source.name == file);
    let mut wrong = Vec::new();
    for stop in stops {
        let Some(source) = of(&stop.file) else {
            wrong.push(format!("step {}: there is no {}", stop.step, stop.file));
            continue;
        };
        for function in &stop.functions {
            if !source.text.contains(&format!("fn {function}(")) && !source.text.contains(&format!("fn {function}<")) {
                wrong.push(format!("step {}: {} has no {function}", stop.step, stop.file));
            }
            let open = stops.iter().filter(|from| from.step <= stop.step).filter_map(|from| of(&from.file));
            if !ENTRIES.contains(&stop.file.as_str()) && open.map(|from| sites(from, function)).sum::<usize>() == 0 {
                wrong.push(format!("step {}: nothing before it calls {function} of {}", stop.step, stop.file));
            }
        }
    }
    wrong
}

#[test]
fn a_purchase_enters_at_most_twenty_files_and_none_more_than_twice() {
    let stops = stops(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    assert!(stops.len() >= 15, "the walk was not found: {stops:?}");
    nothing(&wrong_walk(&stops));
    nothing(&astray(&stops, &sources()));
}

#[test]
fn a_walk_that_leads_astray_is_reported() {
    let page = |steps: &str| {
        format!("{HEADING}\n//!\n{steps}//!\n//! Later: `z.rs` (`z()`).\n//!\n//! # Words\n//! 1. `w.rs`\n")
    };
    let good =
        page("//! 1. `http/observe.rs` (`observe()`) begins.\n//! 2. Then `b.rs` (`b()`,\n//!    `c()`), in `T1`.\n");
    let (first, second) = ("http/observe.rs".to_owned(), "b.rs".to_owned());
    let read = stops(&good);
    assert_eq!(
        read,
        [
            Stop { step: 1, file: first, functions: vec!["observe".to_owned()] },
            Stop { step: 2, file: second, functions: vec!["b".to_owned(), "c".to_owned()] },
        ]
    );
    assert_eq!(wrong_walk(&read), [""; 0]);
    let sources = [
        Source::read("http/observe.rs", "fn observe() { b(); }"),
        Source::read(
            "b.rs",
            "fn b() { c() } fn c<T>() {} #[cfg(test)] mod tests { fn t() { lonely() } }\nfn lonely() {}",
        ),
    ];
    assert_eq!(astray(&read, &sources), [""; 0]);
    for (steps, wrong) in [
        ("//! 1. `http/observe.rs` (`observe()`).\n//! 3. `b.rs` (`b()`).\n", "the steps are [1, 3]"),
        ("//! 1. `b.rs`.\n", "step 1 names nothing to read in b.rs"),
        (
            "//! 1. `b.rs` (`b()`).\n//! 2. `b.rs` (`b()`).\n//! 3. `b.rs` (`b()`).\n",
            "b.rs is entered in steps {1, 2, 3}",
        ),
    ] {
        assert_eq!(wrong_walk(&stops(&page(steps))), [wrong]);
    }
    let many: String = (1..=21).map(|at| format!("//! {at}. `f{at}.rs` (`f()`).\n")).collect();
    assert_eq!(wrong_walk(&stops(&page(&many))), ["21 files are entered"]);
    for (steps, wrong) in [
        ("//! 1. `gone.rs` (`g()`).\n", "step 1: there is no gone.rs"),
        ("//! 1. `http/observe.rs` (`watch()`).\n", "step 1: http/observe.rs has no watch"),
        (
            "//! 1. `http/observe.rs` (`observe()`), `b.rs` (`lonely()`).\n",
            "step 1: nothing before it calls lonely of b.rs",
        ),
        (
            "//! 1. `b.rs` (`b()`).\n//! 2. `http/observe.rs` (`observe()`).\n",
            "step 1: nothing before it calls b of b.rs",
        ),
    ] {
        assert_eq!(astray(&stops(&page(steps)), &sources), [wrong]);
    }
}
