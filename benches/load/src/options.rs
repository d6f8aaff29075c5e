//! What the command takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    bare::BareArguments,
    database::Backend,
    failure::{Doing, Failure},
    subject::Subject,
};

/// The bare path's name in tables.
pub(crate) const BARE: &str = "bare path";

#[derive(Parser)]
#[command(name = "load", about = "Measures what a reward costs: Noshi beside the bare path, in one run")]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measure.
    Run(RunArguments),
    /// Serve the bare path: two durable commits and the signed call, nothing else. `run` starts it.
    Bare(BareArguments),
}

#[derive(Args)]
pub(crate) struct RunArguments {
    /// A program to measure. Several are measured beside each other: `--noshi before=OLD --noshi after=NEW`
    #[arg(long, value_name = "[LABEL=]PATH", required = true)]
    noshi: Vec<String>,
    /// The program whose sandbox is the gateway. The first --noshi when left out
    #[arg(long, value_name = "PATH")]
    gateway: Option<PathBuf>,
    /// Which databases. When left out: SQLite, and PostgreSQL if --postgres names a server
    #[arg(long, value_delimiter = ',')]
    databases: Vec<Backend>,
    /// A server of PostgreSQL whose role may make databases
    #[arg(long, value_name = "URL")]
    pub(crate) postgres: Option<String>,
    /// Keep that server's processes on the cores of the service. For a server that is there for this run alone
    #[arg(long)]
    pub(crate) pin_postgres: bool,
    /// Leave the bare path out
    #[arg(long)]
    no_bare: bool,
    /// How often everything is measured. The figures are medians; 0 only counts
    #[arg(long, default_value_t = 3)]
    pub(crate) passes: usize,
    /// Seconds before each measurement
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    warm_up: u64,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Callers at once: each asks again as soon as it is answered
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    callers: usize,
    /// Rewards a second of the open loop, which come whatever becomes of those before; 0 leaves it out
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// How long the gateway takes for an answer in the open loop
    #[arg(long, default_value_t = 50, value_name = "MILLISECONDS")]
    delay: u64,
    /// Measure also what becomes of so many times as many requests as can be served; 0 leaves it out
    #[arg(long, default_value_t = 0, value_name = "FACTOR")]
    pub(crate) overload: u64,
    /// Seconds of an overload
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    overload_seconds: u64,
    /// Measure nothing but the overload
    #[arg(long)]
    pub(crate) overload_only: bool,
    /// Reach the gateway by TLS, through a proxy that hands on bytes
    #[arg(long)]
    tls: bool,
    /// Rewards of each pass that counts statements, round trips, allocations and syncs; 0 leaves these passes out
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// A setting of the service besides, as NOSHI__STORE__CONNECTIONS_MAX=16
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Cores of the service and the database, as `taskset` takes them. The first half when left out
    #[arg(long, value_name = "LIST")]
    pub(crate) service_cores: Option<String>,
    /// Cores of the load and the gateway. The second half when left out
    #[arg(long, value_name = "LIST")]
    pub(crate) load_cores: Option<String>,
    /// Where the files of SQLite lie: on the disk that is to be measured. The system's folder for temporary files when left out
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Write everything that was measured, pass by pass, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the latencies of the open loop as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<usize>().ok().filter(|count| *count > 0).ok_or_else(|| "at least 1".to_owned())
}

/// The options that passes look at.
pub(crate) struct Options {
    pub(crate) gateway: PathBuf,
    pub(crate) warm_up: u64,
    pub(crate) seconds: u64,
    pub(crate) callers: usize,
    pub(crate) rate: u64,
    pub(crate) delay: u64,
    pub(crate) overload_seconds: u64,
    pub(crate) tls: bool,
    pub(crate) count: u64,
    pub(crate) settings: Vec<(String, String)>,
}

impl RunArguments {
    /// What is measured: each program, and the bare path.
    pub(crate) fn subjects(&self) -> Result<Vec<Subject>, Failure> {
        let mut subjects = Vec::new();
        for text in &self.noshi {
            let (label, path) = text.split_once('=').unwrap_or(("noshi", text));
            let program = std::fs::canonicalize(path).doing(path)?;
            subjects.push(Subject { label: label.to_owned(), program: Some(program) });
        }
        if !self.no_bare {
            subjects.push(Subject { label: BARE.to_owned(), program: None });
        }
        let labels: std::collections::BTreeSet<&str> = subjects.iter().map(|subject| subject.label.as_str()).collect();
        if labels.len() < subjects.len() {
            return Err(Failure::new("two programs have one label: --noshi LABEL=PATH"));
        }
        Ok(subjects)
    }

    /// The databases, in order.
    pub(crate) fn backends(&self) -> Result<Vec<Backend>, Failure> {
        let mut chosen = self.databases.clone();
        if chosen.is_empty() {
            chosen.push(Backend::Sqlite);
            chosen.extend(self.postgres.as_ref().map(|_url| Backend::Postgres));
        }
        if chosen.contains(&Backend::Postgres) && self.postgres.is_none() {
            return Err(Failure::new("which server? --postgres URL"));
        }
        Ok(chosen)
    }

    /// What passes look at.
    pub(crate) fn options(&self, subjects: &[Subject]) -> Result<Options, Failure> {
        let first = subjects.iter().find_map(|subject| subject.program.clone());
        let gateway = match &self.gateway {
            Some(path) => std::fs::canonicalize(path).doing("the gateway's program")?,
            None => first.doing("the gateway's program")?,
        };
        let setting = |text: &String| {
            let (name, value) = text.split_once('=').doing("--setting NAME=VALUE")?;
            Ok((name.to_owned(), value.to_owned()))
        };
        Ok(Options {
            gateway,
            warm_up: self.warm_up,
            seconds: self.seconds.max(1),
            callers: self.callers,
            rate: self.rate,
            delay: self.delay,
            overload_seconds: self.overload_seconds.max(1),
            tls: self.tls,
            count: self.count,
            settings: self.settings.iter().map(setting).collect::<Result<_, Failure>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(more: &[&str]) -> RunArguments {
        let line = ["load", "run", "--noshi", "/bin/true"].iter().chain(more);
        match Line::try_parse_from(line).unwrap().command {
            Command::Run(arguments) => arguments,
            Command::Bare(_) => panic!("another command"),
        }
    }

    #[test]
    fn two_programs_are_told_apart_by_their_labels() {
        assert!(parsed(&["--noshi", "/bin/true"]).subjects().is_err());
        let subjects = parsed(&["--noshi", "new=/bin/true", "--no-bare"]).subjects().unwrap();
        let labels: Vec<&str> = subjects.iter().map(|subject| subject.label.as_str()).collect();
        assert_eq!(labels, ["noshi", "new"]);
    }

    #[test]
    fn nobody_is_overloaded_who_was_not_asked_to_be() {
        assert_eq!((parsed(&[]).overload, parsed(&["--overload", "5"]).overload), (0, 5));
        let arguments = parsed(&["--overload", "5", "--overload-seconds", "7"]);
        let subjects = arguments.subjects().unwrap();
        assert_eq!(arguments.options(&subjects).unwrap().overload_seconds, 7);
    }

    #[test]
    fn postgresql_is_measured_where_a_server_is_named() {
        assert_eq!(parsed(&[]).backends().unwrap(), [Backend::Sqlite]);
        let both = parsed(&["--postgres", "postgres://u@h/d"]).backends().unwrap();
        assert_eq!(both, [Backend::Sqlite, Backend::Postgres]);
        assert!(parsed(&["--databases", "postgres"]).backends().is_err());
    }
}
