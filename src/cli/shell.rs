//! `noshi completion` and `noshi man`: what a shell and a manual know of the commands, made from the commands themselves.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CommandError};

#[derive(Args)]
pub(super) struct CompletionArguments {
    /// The shell.
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArguments {
    /// A folder for the pages of all commands; without it the first page goes to standard output.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn completion(arguments: &CompletionArguments) -> Result<ExitCode, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "noshi", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(arguments: &ManArguments) -> Result<ExitCode, CommandError> {
    match &arguments.dir {
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?,
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Cli::command(), folder)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
