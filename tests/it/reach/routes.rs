//! The routes of the source: every `resource("/v1/…", "METHOD, …")`.

use std::{collections::BTreeSet, fmt, fs, path::PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) pattern: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

/// The routes that a text of Rust makes.
pub(crate) fn of_text(text: &str) -> BTreeSet<Route> {
    let resources = text.split("resource(").skip(1).filter(|rest| rest.trim_start().starts_with("\"/v1/"));
    resources
        .flat_map(|rest| {
            let mut quoted = rest.split('"').skip(1).step_by(2);
            let (pattern, methods) = (quoted.next().unwrap(), quoted.next().unwrap());
            methods.split(", ").map(|method| Route { method: method.to_owned(), pattern: pattern.to_owned() })
        })
        .collect()
}

/// Where Amazon posts: a signature stands for a key there. `notifications` has its tests.
const OF_AMAZON: &str = "/v1/pay/notifications/{account}";

/// The routes of the whole service for whoever has a key.
pub(crate) fn of_callers() -> BTreeSet<Route> {
    of_source().into_iter().filter(|route| route.pattern != OF_AMAZON).collect()
}

/// The routes of the whole service.
pub(crate) fn of_source() -> BTreeSet<Route> {
    let (mut routes, mut folders) = (BTreeSet::new(), vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                routes.extend(of_text(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    routes
}
