//! What is measured: a program of Noshi's, or the bare path. Each is a process of its own.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{
    child::{Process, free_address},
    database::{Books, Database},
    drive::Target,
    failure::{Doing, Failure},
    gateway::{ACCESS_KEY_ID, Gateway, PARTNER_ID, SECRET_ACCESS_KEY, minor},
    machine::{Cores, command_on},
    relay::Relay,
};

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) label: String,
    /// The program; `None` is the bare path.
    pub(crate) program: Option<PathBuf>,
}

/// What a subject is started with.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: PathBuf,
    /// Where its log goes: in memory where the machine has such a folder, so that the log is not among the pages that are written.
    pub(crate) log: PathBuf,
    pub(crate) cores: &'a Cores,
    pub(crate) gateway: &'a Gateway,
    /// The proxy that leads to the gateway, where it speaks TLS.
    pub(crate) proxy: Option<&'a Relay>,
    /// Variables that the options add.
    pub(crate) settings: &'a [(String, String)],
    /// The library that counts, and its file.
    pub(crate) counting: Option<(PathBuf, PathBuf)>,
}

/// A subject that serves.
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) target: Target,
}

impl Subject {
    /// Makes the schema and a key, where there are such. Answers what the load presents.
    pub(crate) fn prepare(&self, database: &Database, around: &Surroundings<'_>) -> Result<Option<String>, Failure> {
        let Some(program) = &self.program else { return Ok(None) };
        let run = |arguments: &[&str]| {
            let mut command = command_on(around.cores.service.as_deref(), program);
            settle(&mut command, &database.url, around);
            let done = command.args(arguments).output().doing("the program")?;
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr).into_owned();
                return Err(Failure::new(format!("noshi {}: {why}", arguments.join(" "))));
            }
            String::from_utf8(done.stdout).doing("what the program printed")
        };
        run(&["migrate"])?;
        let printed = run(&["keys", "create", "--client", "bench"])?;
        let key = printed.split_whitespace().find(|word| word.starts_with("nsk_")).doing("an API key")?;
        Ok(Some(format!("Bearer {key}")))
    }

    /// Starts it, and waits until it serves. `url` may lead to the database by a relay.
    pub(crate) fn start(&self, url: &str, key: Option<String>, around: &Surroundings<'_>) -> Result<Served, Failure> {
        let (address, admin) = (free_address()?, free_address()?);
        let cores = around.cores.service.as_deref();
        let mut command = if let Some(program) = &self.program {
            let mut command = command_on(cores, program);
            settle(&mut command, url, around);
            lift_limits(&mut command, address, admin);
            command.envs(around.settings.iter().map(|(name, value)| (name, value)));
            command.arg("serve");
            command
        } else {
            let me = std::env::current_exe().doing("this program")?;
            let mut command = command_on(cores, &me);
            command.args([
                "bare",
                "--listen",
                &address.to_string(),
                "--store",
                url,
                "--gateway",
                &around.gateway.address,
            ]);
            if let (Some(proxy), Some(authority)) = (around.proxy, &around.gateway.authority) {
                command.args(["--proxy", &proxy.address.to_string()]).env("SSL_CERT_FILE", authority);
            }
            command
        };
        if let Some((library, file)) = &around.counting {
            command.env("LD_PRELOAD", library).env("NOSHI_BENCH_COUNTS", file);
        }
        command.current_dir(&around.folder);
        let mut process = Process::start(command, &self.label, &around.log)?;
        process.wait_for_port(address)?;
        if self.program.is_some() {
            process.wait_for_port(admin)?;
        }
        Ok(Served { process, target: Target { address, authorization: key } })
    }

    /// What its database says was bought, and what its ledger adds up to, where it has one. It must have ended.
    pub(crate) async fn books(&self, database: &Database, around: &Surroundings<'_>) -> Result<Books, Failure> {
        let Some(program) = &self.program else { return database.books("state = 1", "minor").await };
        let books = database.books("state = 'issued'", "amount_minor").await?;
        let mut command = command_on(None, program);
        settle(&mut command, &database.url, around);
        let done = command.args(["ledger", "sums"]).output().doing("the ledger's sums")?;
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        let (issued, on_the_way) = (sum(&printed, "issued ")?, sum(&printed, "on the way ")?);
        if issued != books.minor || on_the_way != 0 {
            return Err(Failure::new(format!(
                "the ledger disagrees with the rewards ({} cents): {printed}",
                books.minor
            )));
        }
        Ok(books)
    }
}

/// An amount of the ledger's line, in cents.
fn sum(printed: &str, name: &str) -> Result<u64, Failure> {
    let after = printed.split(name).nth(1).doing("the ledger's sums")?;
    after.split_whitespace().next().and_then(minor).doing("the ledger's sums")
}

/// The settings that every command needs.
fn settle(command: &mut Command, url: &str, around: &Surroundings<'_>) {
    command.current_dir(&around.folder);
    let account = |name: &str| format!("NOSHI__ACCOUNTS__BENCH__{name}");
    command
        .env("NOSHI__STORE__URL", url)
        .env("NOSHI__STORE__MIGRATE_ON_START", "true")
        .env("NOSHI__RECONCILIATION__DAILY", "false")
        .env(account("PARTNER_ID"), PARTNER_ID)
        .env(account("MARKETPLACE"), "US")
        .env(account("ENVIRONMENT"), "sandbox")
        .env(account("ACCESS_KEY_ID"), ACCESS_KEY_ID)
        .env(account("SECRET_ACCESS_KEY"), SECRET_ACCESS_KEY)
        .env(account("REQUESTS_PER_SECOND"), "0");
    for ceiling in ["CLIENT_DAY_MAXIMUM", "CLIENT_DAY_REWARDS", "ACCOUNT_DAY_MAXIMUM"] {
        command.env(account(ceiling), "unlimited");
    }
    match (around.proxy, &around.gateway.authority) {
        (Some(proxy), Some(authority)) => {
            command.env(account("HTTPS_PROXY"), format!("http://{}", proxy.address)).env("SSL_CERT_FILE", authority)
        }
        _plain => command.env(account("SANDBOX_GATEWAY"), &around.gateway.address),
    };
}

/// One key stands for all callers here, so what one key may ask is lifted. Everything else is as it ships.
fn lift_limits(command: &mut Command, address: SocketAddr, admin: SocketAddr) {
    command
        .env("NOSHI__SERVER__LISTEN", address.to_string())
        .env("NOSHI__SERVER__ADMIN_LISTEN", admin.to_string())
        .env("NOSHI__SERVER__CONNECTIONS_MAX", "4096")
        .env("NOSHI__SERVER__KEY_READS_PER_MINUTE", "1000000")
        .env("NOSHI__SERVER__KEY_WRITES_PER_MINUTE", "1000000")
        .env("NOSHI__SERVER__KEY_REQUESTS_AT_ONCE", "65536")
        .env("NOSHI__REWARDS__IN_FLIGHT_MAX", "400");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_the_ledger_are_read_from_its_line() {
        let line = "bench  USD  opening 5.00  deposits 0.00  adjustments 0.00  issued 12.50  canceled 0.00  on the way 1.00  to be spent 1.00";
        assert_eq!((sum(line, "issued ").unwrap(), sum(line, "on the way ").unwrap()), (1250, 100));
        assert!(sum("", "issued ").is_err());
    }
}
