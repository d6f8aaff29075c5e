//! One meaning a name: a type is declared once in `src`, tests apart. Whoever searches for it finds one thing.

use std::collections::BTreeMap;

use super::{
    nothing, sources,
    text::{Source, declared, imported},
};

/// Names that may be declared more often, and why.
const SHARED: [(&str, &str); 4] = [
    ("Inner", "what the clones of a cheap handle share; private to the handle's file"),
    ("Metrics", "a slice's own; whoever is outside the slice names it with the slice: `accounts::Metrics`"),
    ("Operation", "Amazon's own list, which the provider and the sandbox read without shared code"),
    ("Outcome", "the provider's alias settles how its service refuses, as `io::Result` settles the error"),
];

/// Types that are declared in several places, and entries of the list that excuse nothing.
fn doubles(sources: &[Source], shared: &[(&str, &str)]) -> Vec<String> {
    let mut files: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for source in sources {
        for name in declared(source) {
            files.entry(name).or_default().push(&source.name);
        }
    }
    let is_shared = |name: &str| shared.iter().any(|(one, _why)| *one == name);
    let doubles = files.iter().filter(|(name, files)| files.len() > 1 && !is_shared(name));
    let mut wrong: Vec<String> = doubles.map(|(name, files)| format!("{name} is declared in {files:?}")).collect();
    let idle = shared.iter().filter(|(name, _why)| files.get(*name).is_none_or(|files| files.len() < 2));
    wrong.extend(idle.map(|(name, _why)| format!("{name} needs no exception")));
    wrong
}

/// A slice's metrics that another room imports by their bare name.
fn bare_metrics(source: &Source) -> Option<String> {
    let bare = imported(source, "Metrics").into_iter().any(|room| room != source.room());
    bare.then(|| format!("{} imports the Metrics of another room by their bare name", source.name))
}

#[test]
fn a_type_is_declared_once() {
    let sources = sources();
    nothing(&doubles(&sources, &SHARED));
    nothing(&sources.iter().filter_map(bare_metrics).collect::<Vec<_>>());
    let all: usize = sources.iter().map(|source| declared(source).len()).sum();
    assert!(all > 500, "the declarations were not found: {all}");
}

#[test]
fn a_type_that_is_declared_twice_is_reported() {
    let one = || Source::read("ledger/journal.rs", "//! X.\npub struct Entry { id: i64 }");
    for (file, second) in [
        ("events/timeline.rs", "pub(super) enum Entry<'a> { A(&'a str) }"),
        ("events/timeline.rs", "trait Entry {}"),
        ("events/timeline.rs", "pub type Entry = u8;"),
        ("events/timeline.rs", "row! { struct Entry { id: i64 } }"),
        ("events/timeline.rs", "mod deep { fn f() { struct Entry; } }"),
        ("ledger/journal.rs", "mod again { pub struct Entry; }"),
    ] {
        assert_eq!(doubles(&[one(), Source::read(file, second)], &[]).len(), 1, "{second}");
        assert_eq!(doubles(&[one(), Source::read(file, second)], &[("Entry", "")]), [""; 0], "{second}");
    }
    for other in [
        "impl Iterator for A { type Entry = u8; }",
        "trait Rows { type Entry: Send; fn f() -> impl Sized { struct B; } }",
        "fn f(e: Entry) -> Entry { Entry { id: 1 } }",
        "/// struct Entry;\nconst S: &str = \"struct Entry;\";",
        "#[cfg(test)] mod tests { struct Entry; }",
        "macro_rules! m { ($name:ident) => { struct $name; }; }",
    ] {
        assert_eq!(doubles(&[one(), Source::read("events/timeline.rs", other)], &[]), [""; 0], "{other}");
    }
    assert_eq!(doubles(&[one()], &[("Entry", "")]).len(), 1, "an exception for nothing");
}

#[test]
fn metrics_that_lose_their_slice_are_reported() {
    for bad in ["use crate::accounts::Metrics;", "use crate::{accounts::{Account, Metrics}, kernel::Money};"] {
        assert!(bare_metrics(&Source::read("ledger/service.rs", bad)).is_some(), "{bad}");
    }
    for good in ["use crate::ledger::Metrics;", "use super::Metrics;", "fn f(m: &crate::accounts::Metrics) {}"] {
        assert!(bare_metrics(&Source::read("ledger/service.rs", good)).is_none(), "{good}");
    }
}
