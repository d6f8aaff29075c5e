//! Measures what a reward costs: throughput, latency, processor, memory, disk and database, of Noshi and of the bare path, in one
//! run. `benches/README.md` says how to read it.

mod bare;
mod books;
mod child;
mod database;
mod drive;
mod failure;
mod figures;
mod gateway;
mod machine;
mod options;
mod pass;
mod plot;
mod relay;
mod report;
mod subject;

use std::{io::Write, path::Path, process::ExitCode, thread};

use clap::Parser;

use crate::{
    database::Server,
    failure::{Doing, Failure},
    figures::{Measured, compare},
    machine::Cores,
    options::{BARE, Command, Line, RunArguments},
    pass::{Pass, World, build_counter},
    report::Report,
};

/// A folder in memory, where a machine has one.
const IN_MEMORY: &str = "/dev/shm";

fn main() -> ExitCode {
    // The HTTP library panics without one. An error means that there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let done = match Line::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Bare(arguments) => bare::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("load: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Reports how far the run is. The figures alone go to standard output.
fn say(line: &str) {
    // Nobody may be listening.
    drop(writeln!(std::io::stderr(), "{line}"));
}

fn run(arguments: RunArguments) -> Result<(), Failure> {
    let cores = Cores::chosen(arguments.service_cores.clone(), arguments.load_cores.clone());
    // Before the threads of the load are made: each inherits it, and there are as many as it has cores.
    cores.pin_load()?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.doing("the runtime")?.block_on(Box::pin(measure(arguments, cores)))
}

/// A folder for the run. Where the run fails it stays, with the logs in it.
fn folder(parent: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    tempfile::Builder::new().prefix("noshi-load.").tempdir_in(parent).doing("a folder for the run")
}

async fn measure(arguments: RunArguments, cores: Cores) -> Result<(), Failure> {
    let (subjects, backends) = (arguments.subjects()?, arguments.backends()?);
    let mut work = folder(arguments.folder.as_deref())?;
    let in_memory = Path::new(IN_MEMORY).is_dir().then(|| folder(Some(Path::new(IN_MEMORY)))).transpose()?;
    let server = match &arguments.postgres {
        Some(url) => Some(Server::connect(url).await?),
        None => None,
    };
    if let Some(postmaster) = server.as_ref().and_then(|server| server.postmaster).filter(|_| arguments.pin_postgres) {
        cores.pin_server(postmaster)?;
    }
    let counter = build_counter(work.path());
    if counter.is_none() {
        say("without allocations and syncs: there is no C compiler");
    }
    let logs = in_memory.as_ref().map_or_else(|| work.path().to_owned(), |folder| folder.path().to_owned());
    let options = arguments.options(&subjects)?;
    let world = World { options, cores, server, folder: work.path().to_owned(), logs, counter };
    let outcome = Box::pin(all(&world, &arguments, &subjects, &backends)).await;
    if outcome.is_err() {
        work.disable_cleanup(true);
        keep_logs(&world.logs, work.path());
        say(&format!("load: logs are in {}", work.path().display()));
    }
    let mut measured = outcome?;
    compare(&mut measured, BARE);
    let report = Report::new(&world, &subjects, measured);
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json()?).doing("the JSON")?;
    }
    if let Some(file) = &arguments.plot
        && !plot::draw(file, &report.measured)?
    {
        say("no picture: the open loop was left out");
    }
    std::io::stdout().write_all(report.text().as_bytes()).doing("the report")
}

fn keep_logs(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()) {
        if let Some(name) = path.file_name() {
            // It says why, if it can.
            drop(std::fs::copy(&path, to.join(name)));
        }
    }
}

/// Every pass. What is measured beside each other alternates: what was first in one pass is last in the next.
async fn all(
    world: &World,
    arguments: &RunArguments,
    subjects: &[subject::Subject],
    backends: &[database::Backend],
) -> Result<Vec<Measured>, Failure> {
    let (mut measured, mut number) = (Vec::new(), 0);
    for round in 1..=arguments.passes {
        for backend in backends.iter().copied() {
            let mut order: Vec<_> = subjects.iter().collect();
            if round % 2 == 0 {
                order.reverse();
            }
            for subject in order {
                say(&format!("pass {round} of {}: {}, {}", arguments.passes, backend.name(), subject.label));
                let mut readings = Vec::new();
                if !arguments.overload_only {
                    number += 1;
                    readings.extend((Pass { world, subject, backend, number }).measure().await?);
                }
                // The bare path refuses nobody.
                if arguments.overload > 0 && subject.program.is_some() {
                    number += 1;
                    readings.extend((Pass { world, subject, backend, number }).overload(arguments.overload).await?);
                }
                for reading in readings {
                    reading.into(&mut measured, &subject.label, backend);
                }
            }
        }
    }
    let counting = if world.options.count > 0 && !arguments.overload_only { backends } else { &[] };
    for backend in counting.iter().copied() {
        for subject in subjects {
            for callers in [1, world.options.callers] {
                say(&format!("counting: {}, {}, callers: {callers}", backend.name(), subject.label));
                number += 1;
                for reading in (Pass { world, subject, backend, number }).count(callers).await? {
                    reading.into(&mut measured, &subject.label, backend);
                }
            }
        }
    }
    Ok(measured)
}
