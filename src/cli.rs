//! The command line: parse, build, run. Exit codes: 0 done, 1 failed, 2 usage or settings. Of commands that work through the API also
//! 3, where the service refused or has nothing of that name, and 4, where the outcome is not known yet.

mod accounts;
mod audit;
mod backup;
mod balance;
mod batch;
mod check;
mod core_dump;
mod demo;
mod doctor;
mod healthcheck;
mod keys;
mod ledger;
mod loopback;
mod membership;
mod month;
mod pay;
mod reconcile;
mod report;
mod retention;
mod rewards;
mod sandbox;
mod service;
mod shell;
mod stop;
mod webhooks;

use std::{
    io::{self, Write},
    path::{Path, PathBuf, absolute},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use self::stop::Stop;
use crate::{
    ambient::Ambient,
    bootstrap,
    config::{ConfigError, Settings, process_environment, trust_variables},
    kernel::{Chain, claim_code::looks_like_claim_code},
    store::{StoreError, migrate::migrate},
    telemetry,
};

/// The settings' file that is read when it exists and the operator names no other.
const DEFAULT_CONFIG: &str = "noshi.toml";

/// Issues Amazon gift codes: never twice, never lost, never leaked.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// The settings' file; `noshi.toml` in this folder when it exists. Environment variables win over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Serve the API until SIGTERM or Ctrl-C, then drain.
    Serve,
    /// Bring the database's schema up to date.
    Migrate,
    /// Copy the SQLite database, also while a process serves it. (PostgreSQL has tools of its own.)
    Backup(backup::BackupArguments),
    /// Replace the SQLite database by a back-up. No process may serve the database meanwhile.
    Restore(backup::RestoreArguments),
    /// Note that PostgreSQL's own tools restored the database, before a process serves it again. (`noshi restore`
    /// writes this note itself.) Until every day since the back-up is reconciled, a refusal by Amazon proves nothing.
    Restored(backup::RestoredArguments),
    /// Check the settings and show what is in force, secrets masked, and warn of what they leave open; or show which sealing
    /// keys rewards need. Exit codes: 0 well, warnings included, 1 `serve` would not start, 2 usage or settings.
    Check(check::CheckArguments),
    /// Look for what is wrong: settings, secret files, database, clock, and each account by a signed question to Amazon. Exit
    /// codes: 0 well, warnings included unless --strict, 1 something is broken, 2 usage or settings.
    Doctor(doctor::DoctorArguments),
    /// Ask the service of these settings, on its admin port, whether it is ready: for `HEALTHCHECK` of Docker and
    /// Compose. Prints one line. Exit codes: 0 ready, 1 not ready.
    Healthcheck(healthcheck::HealthcheckArguments),
    /// Look at the partner accounts, and exchange Amazon's key pairs.
    #[command(subcommand)]
    Accounts(accounts::AccountsCommand),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Issue, find, show, reveal, cancel, list and export rewards, and decide about those that need a person.
    #[command(subcommand)]
    Rewards(rewards::RewardsCommand),
    /// Buy what a file lists, see how far it has come, hold and end it, through the API.
    #[command(subcommand)]
    Batch(batch::BatchCommand),
    /// Show what the accounts hold, through the API.
    Balance(balance::BalanceArguments),
    /// Show what was bought, through the API.
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Look at charges and refunds of Amazon Pay that need a person, and decide about them.
    #[command(subcommand)]
    Pay(pay::PayCommand),
    /// List and show members who pay period by period, and have a reward asked for once more that was refused for good.
    #[command(subcommand)]
    Membership(membership::MembershipCommand),
    /// Make, list, suspend and resume programs: the budgets that rewards are charged to.
    #[command(subcommand)]
    Programs(ledger::ProgramsCommand),
    /// Look at who changed what, and whether that record is whole.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at the ledger, and correct it.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Compare Amazon's activity report, or a file of its portal, with our rewards. Exit codes: 0 both agree, 1 failed,
    /// 2 usage or settings, 3 both differ.
    Reconcile(reconcile::ReconcileArguments),
    /// Look at how far the archiving of settled rewards has come, or do it now (`rewards.retention_days`).
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// Make, try and remove the endpoints that events are sent to, and end those of any client.
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Run an Amazon Incentives gateway, for trials and tests: JSON and XML, plain or TLS, with faults on demand.
    Sandbox(sandbox::SandboxArguments),
    /// Print the description of the API (OpenAPI 3.1), as a service answers it at `/openapi.json`.
    #[command(name = "openapi")]
    OpenApi,
    /// Print what a shell needs to complete these commands: `source <(noshi completion bash)`.
    Completion(shell::CompletionArguments),
    /// Print the manual's page of `noshi`, or write those of all commands into a folder.
    Man(shell::ManArguments),
    /// Issue a sandbox reward end to end, show every step, and keep serving.
    Demo(demo::DemoArguments),
}

/// Who asks for what the audit records.
#[derive(Args)]
struct NamedAsker {
    /// Who asks for it, for the audit: in a pod every user of the operating system is the same one.
    #[arg(long, value_name = "NAME", value_parser = read_asker)]
    by: Option<String>,
}

impl NamedAsker {
    fn name(&self) -> Option<&str> {
        self.by.as_deref()
    }
}

fn read_asker(text: &str) -> Result<String, &'static str> {
    let is_good = !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control);
    let is_good = is_good && !looks_like_claim_code(text);
    is_good
        .then(|| text.to_owned())
        .ok_or("a name has 1 to 100 characters, none of them a control character, and not the shape of a claim code")
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Settings(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] bootstrap::StartError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxStartError),
    #[error(transparent)]
    PartnersFile(#[from] crate::sandbox::PartnersFileError),
    #[error(transparent)]
    Healthcheck(#[from] healthcheck::HealthcheckError),
    #[error(transparent)]
    Accounts(#[from] accounts::AccountsError),
    #[error(transparent)]
    Audit(#[from] audit::AuditError),
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    #[error(transparent)]
    Attention(#[from] rewards::attention::AttentionError),
    #[error(transparent)]
    Pay(#[from] pay::PayCommandError),
    #[error(transparent)]
    Membership(#[from] membership::MembershipCommandError),
    #[error(transparent)]
    Client(#[from] service::CallError),
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    #[error(transparent)]
    Backup(#[from] backup::BackupError),
    #[error(transparent)]
    Reconcile(#[from] reconcile::ReconcileError),
    #[error(transparent)]
    Retention(#[from] retention::RetentionError),
    #[error(transparent)]
    Webhooks(#[from] webhooks::operator::WebhooksError),
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CommandError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Settings(_) | Self::PartnersFile(_) | Self::Backup(backup::BackupError::OwnTools) => 2,
            Self::Start(_)
            | Self::Store(_)
            | Self::Telemetry(_)
            | Self::Sandbox(_)
            | Self::Healthcheck(_)
            | Self::Accounts(_)
            | Self::Audit(_)
            | Self::Keys(_)
            | Self::Attention(_)
            | Self::Pay(_)
            | Self::Membership(_)
            | Self::Ledger(_)
            | Self::Backup(_)
            | Self::Reconcile(_)
            | Self::Retention(_)
            | Self::Webhooks(_)
            | Self::Demo(_)
            | Self::Io(_) => 1,
        }
    }
}

/// The exit code of a command whose reader has gone, as after `noshi … | head`: that of a process that SIGPIPE killed.
const READER_GONE: u8 = 128 + 13;
/// How long the end of a process waits for whoever reads its last message.
const LAST_MESSAGE: Duration = Duration::from_secs(1);
/// How long a service that is asked to stop may take while it starts, and beyond the time limits of its drain.
const STOP_MARGIN: Duration = Duration::from_secs(1);
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// Runs the program on the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let runtime = core_dump::forbid().and_then(|()| Builder::new_multi_thread().enable_all().build());
    let ran = runtime.map_err(CommandError::from).and_then(|runtime| {
        // Before anything else: a signal that comes earlier is lost on process 1 of a container.
        let stop = Stop::listen(runtime.handle())?;
        let ran = runtime.block_on(run(Cli::parse(), &stop));
        end(runtime);
        ran
    });
    match ran {
        Ok(code) => code,
        Err(CommandError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(READER_GONE),
        Err(failure) => {
            report(format!("noshi: {}", Chain(&failure)));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Ends the runtime without waiting for what blocks one of its threads, as the look-up of a name may.
fn end(runtime: Runtime) {
    runtime.shutdown_background();
}

/// Writes a last message to standard error, where somebody reads it.
fn report(message: String) {
    let (done, written) = mpsc::channel();
    let writes = thread::Builder::new().spawn(move || {
        // When standard error is closed, the process has no place left to report to.
        drop(writeln!(io::stderr(), "{message}"));
        done.send(()).unwrap_or_default();
    });
    if writes.is_ok() {
        written.recv_timeout(LAST_MESSAGE).unwrap_or_default();
    }
}

async fn run(cli: Cli, stop: &Stop) -> Result<ExitCode, CommandError> {
    match cli.command {
        CliCommand::Serve => serve(&load(cli.config.as_deref())?, stop).await,
        CliCommand::Migrate => {
            let settings = load(cli.config.as_deref())?.store;
            let made = settings.url.file().filter(|file| !file.exists()).and_then(|file| absolute(file).ok());
            let store = bootstrap::open_store(&settings, bootstrap::Opening::Migrate).await?;
            migrate(&store).await?;
            store.close().await;
            if let Some(file) = made {
                // In the wrong folder, nothing else would show it.
                writeln!(io::stderr(), "made the database file {}", file.display())?;
            }
            say("the database is up to date")
        }
        CliCommand::Backup(arguments) => backup::back_up(arguments, &load(cli.config.as_deref())?).await,
        CliCommand::Restored(arguments) => backup::restored(arguments, &load(cli.config.as_deref())?).await,
        CliCommand::Restore(arguments) => backup::restore(arguments, &load(cli.config.as_deref())?).await,
        CliCommand::Check(arguments) => {
            let file = settings_file(cli.config.as_deref());
            check::run(arguments, &load(file)?, file).await
        }
        CliCommand::Doctor(arguments) => {
            let file = settings_file(cli.config.as_deref());
            doctor::run(arguments, &load(file)?, file).await
        }
        CliCommand::Healthcheck(arguments) => healthcheck::run(arguments, load(cli.config.as_deref())).await,
        CliCommand::Accounts(command) => accounts::run(command, &load(cli.config.as_deref())?).await,
        CliCommand::Keys(command) => keys::run(command, &load(cli.config.as_deref())?).await,
        CliCommand::Rewards(command) => rewards::run(command, || load(cli.config.as_deref())).await,
        CliCommand::Batch(command) => batch::run(command).await,
        CliCommand::Balance(arguments) => balance::run(arguments).await,
        CliCommand::Report(command) => report::run(command).await,
        CliCommand::Pay(command) => pay::run(command, &load(cli.config.as_deref())?).await,
        CliCommand::Membership(command) => membership::run(command, || load(cli.config.as_deref())).await,
        CliCommand::Programs(command) => ledger::run(command, &load(cli.config.as_deref())?).await,
        CliCommand::Audit(command) => audit::run(command, &load(cli.config.as_deref())?).await,
        CliCommand::Ledger(command) => ledger::run_ledger(command, &load(cli.config.as_deref())?).await,
        CliCommand::Reconcile(arguments) => reconcile::run(arguments, &load(cli.config.as_deref())?, stop).await,
        CliCommand::Retention(command) => retention::run(command, &load(cli.config.as_deref())?, stop).await,
        CliCommand::Webhooks(command) => webhooks::run(command, || load(cli.config.as_deref())).await,
        CliCommand::Sandbox(arguments) => sandbox::run(arguments, stop).await,
        CliCommand::OpenApi => say(&crate::server::openapi().to_pretty_json().map_err(io::Error::other)?),
        CliCommand::Completion(arguments) => shell::completion(&arguments),
        CliCommand::Man(arguments) => shell::man(&arguments),
        CliCommand::Demo(arguments) => demo::run(arguments, stop).await,
    }
}

fn load(path: Option<&Path>) -> Result<Settings, ConfigError> {
    bootstrap::load_settings(settings_file(path), process_environment()?)
}

/// The settings' file, if there is one.
fn settings_file(named: Option<&Path>) -> Option<&Path> {
    let default = Path::new(DEFAULT_CONFIG);
    named.or_else(|| default.exists().then_some(default))
}

async fn serve(settings: &Settings, stop: &Stop) -> Result<ExitCode, CommandError> {
    stop.within(STOP_MARGIN);
    let log = telemetry::init(&settings.log)?;
    say_whom_the_environment_trusts();
    arm_failpoint();
    let starting = bootstrap::start_with(settings, Ambient::system(), log.controls.clone());
    let Some(service) = stop.or(starting).await else {
        tracing::info!("stopped before it served");
        return Ok(ExitCode::SUCCESS);
    };
    let service = service?;
    stop.within(settings.server.drain_delay + settings.server.drain_timeout + DRAIN_MARGIN);
    let ended = service.run_until(stop.asked()).await;
    Ok(if ended { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whoever sets these variables decides which certificates are taken for Amazon's and for the database's.
fn say_whom_the_environment_trusts() {
    for (variable, path) in trust_variables() {
        tracing::warn!(
            tls.roots.variable = variable,
            tls.roots.path = %path.display(),
            "a variable of the environment says whose certificates are trusted, in place of this machine's list"
        );
    }
}

/// Arms the failpoint that a test names. A release build has no failpoints.
fn arm_failpoint() {
    #[cfg(debug_assertions)]
    if let Some(point) = crate::config::failpoint() {
        crate::failpoint::arm(&point);
    }
}

/// Prints the answer of a command.
fn say(line: &str) -> Result<ExitCode, CommandError> {
    writeln!(io::stdout(), "{line}")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a line of what goes on serving: whoever reads it may have read enough, as after `noshi sandbox | head -1`.
fn announce(line: &str) -> Result<(), CommandError> {
    match say(line) {
        Err(CommandError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests;
