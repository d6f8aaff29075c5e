//! The report: a table for each database and load, and the same as JSON.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde::Serialize;

use crate::{
    failure::{Doing, Failure},
    figures::{Measured, NAMES, Name},
    pass::World,
    subject::Subject,
};

const COLUMN: usize = 14;

/// Everything that was measured, and on what.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: BTreeMap<&'static str, String>,
    programs: BTreeMap<String, String>,
    settings: BTreeMap<&'static str, String>,
    pub(crate) measured: Vec<Measured>,
}

impl Report {
    pub(crate) fn new(world: &World, subjects: &[Subject], measured: Vec<Measured>) -> Self {
        let options = &world.options;
        let programs = subjects.iter().filter_map(|subject| {
            let program = subject.program.as_ref()?;
            Some((subject.label.clone(), format!("{} ({})", version(program), program.display())))
        });
        let or_any = |cores: &Option<String>| cores.clone().unwrap_or_else(|| "any".to_owned());
        let server = world.server.as_ref().map_or_else(|| "none".to_owned(), |server| server.version.clone());
        let more: Vec<String> = options.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self {
            machine: BTreeMap::from([
                ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()),
                ("processor", processor()),
                ("postgresql", server),
                ("sqlite", rusqlite::version().to_owned()),
                ("cores_of_service_and_database", or_any(&world.cores.service)),
                ("cores_of_load_and_gateway", or_any(&world.cores.load)),
            ]),
            programs: programs.collect(),
            settings: BTreeMap::from([
                ("warm_up_seconds", options.warm_up.to_string()),
                ("seconds", options.seconds.to_string()),
                ("tls_to_the_gateway", options.tls.to_string()),
                ("counted_rewards", options.count.to_string()),
                ("settings_of_the_service", more.join(" ")),
            ]),
            measured,
        }
    }

    pub(crate) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").doing("the JSON")
    }

    /// A table for each database and load, a column for each subject. A figure that nobody has is left out.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (title, facts) in [("machine", &self.machine), ("settings", &self.settings)] {
            text.push_str(&format!("{title}\n"));
            facts.iter().for_each(|(name, value)| text.push_str(&format!("  {name}: {value}\n")));
        }
        text.push_str("programs\n");
        self.programs.iter().for_each(|(label, program)| text.push_str(&format!("  {label}: {program}\n")));
        let mut shown = Vec::new();
        for one in &self.measured {
            let title = (one.series.database, one.series.load);
            if !shown.contains(&title) {
                shown.push(title);
                let beside = |other: &&Measured| (other.series.database, other.series.load) == title;
                let together: Vec<&Measured> = self.measured.iter().filter(beside).collect();
                text.push_str(&table(&format!("{}, {}", title.0.name(), title.1), &together));
            }
        }
        text.push_str("\nThe books of callers, services and gateway agree in every pass.\n");
        text
    }
}

fn table(title: &str, together: &[&Measured]) -> String {
    let passes = together.iter().map(|one| one.passes.len()).min().unwrap_or_default();
    let of = if passes > 1 { format!(" (medians of {passes} passes)") } else { String::new() };
    let width = NAMES.iter().map(|name| name.shown.len()).max().unwrap_or_default();
    let mut text = format!("\n{title}{of}\n{:width$}", "");
    together.iter().for_each(|one| text.push_str(&format!(" {:>COLUMN$}", one.series.subject)));
    text.push('\n');
    for name in NAMES.iter().filter(|name| together.iter().any(|one| one.median.contains_key(name.key))) {
        text.push_str(&format!("{:width$}", name.shown));
        together.iter().for_each(|one| text.push_str(&format!(" {:>COLUMN$}", shown(name, one))));
        text.push('\n');
    }
    text
}

fn shown(name: &Name, one: &Measured) -> String {
    one.median.get(name.key).map_or_else(|| "-".to_owned(), |value| format!("{value:.places$}", places = name.places))
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} x {}", model.unwrap_or("unknown"))
}

fn version(program: &Path) -> String {
    let said = Command::new(program).arg("--version").output().ok();
    said.and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::Backend,
        figures::{Figures, Loaded, Series},
    };

    #[test]
    fn a_table_has_a_column_for_each_subject_and_a_row_for_each_figure_that_somebody_has() {
        let measured = |subject: &str, figures: Figures| {
            let load = Loaded::Saturation { callers: 64 };
            let mut one = Measured::new(Series { database: Backend::Sqlite, load, subject: subject.to_owned() });
            one.add(figures, None, 0);
            one
        };
        let noshi = measured("noshi", Figures::from([("rewards_per_second", 1000.4), ("log_bytes", 10.0)]));
        let bare = measured("bare path", Figures::from([("rewards_per_second", 8000.0)]));
        let text = table("SQLite, saturation", &[&noshi, &bare]);
        let words: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [
                vec!["SQLite,", "saturation"],
                vec!["noshi", "bare", "path"],
                vec!["rewards/s", "1000", "8000"],
                vec!["write-ahead", "log", "a", "reward,", "bytes", "10", "-"],
            ]
        );
    }
}
