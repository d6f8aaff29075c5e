//! `noshi sandbox`: the gateway on its own, for any AGCOD client in any language.

use std::{fs, io, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use rust_decimal::Decimal;

use super::{CommandError, STOP_MARGIN, say, stop::Stop};
use crate::{
    config::{LogFormat, LogSettings},
    sandbox::{AccessKey, PartnerAccount, Sandbox, SandboxOptions},
    telemetry,
};

/// The sandbox's default key pair. It is public, and opens sandboxes only.
pub(super) const ACCESS_KEY_ID: &str = "AKIDSANDBOX";
pub(super) const SECRET_ACCESS_KEY: &str = "sandbox-secret-known-to-everyone";
pub(super) const PARTNER_ID: &str = "Awssb";

#[derive(Args)]
pub(super) struct SandboxArguments {
    /// Where AGCOD clients connect; loopback.
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Where the book is read and faults are scripted; loopback.
    #[arg(long, default_value = "127.0.0.1:8082")]
    control: SocketAddr,
    /// The partner's id.
    #[arg(long, default_value = PARTNER_ID)]
    partner_id: String,
    /// The access key's id.
    #[arg(long, default_value = ACCESS_KEY_ID)]
    access_key_id: String,
    /// A file with the secret of that key. When left out, the secret is public.
    #[arg(long, value_name = "FILE")]
    secret_access_key_file: Option<PathBuf>,
    /// What the account can spend at first.
    #[arg(long, default_value = "100000")]
    funds: Decimal,
    /// The account's currency; that of the Host's marketplace group when left out.
    #[arg(long)]
    currency: Option<String>,
    /// Keep cards and funds in this file.
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// Do not limit the rate.
    #[arg(long)]
    no_throttle: bool,
}

pub(super) async fn run(arguments: SandboxArguments, stop: &Stop) -> Result<ExitCode, CommandError> {
    let _log = telemetry::init(&LogSettings { format: LogFormat::Human, filter: "info".to_owned() })?;
    let secret = read_secret(arguments.secret_access_key_file)?;
    let sandbox = Sandbox::start(SandboxOptions {
        listen: arguments.listen,
        control_listen: arguments.control,
        accounts: vec![PartnerAccount {
            partner_id: arguments.partner_id.clone(),
            keys: vec![AccessKey::active(arguments.access_key_id.clone(), secret)],
            currency: arguments.currency,
            funds: arguments.funds,
            ..PartnerAccount::default()
        }],
        book_file: arguments.book,
        throttle: !arguments.no_throttle,
    })
    .await?;
    say(&format!("gateway http://{}", sandbox.gateway_addr()))?;
    say(&format!("control http://{}", sandbox.control_addr()))?;
    say(&format!("partner {} access key {}", arguments.partner_id, arguments.access_key_id))?;
    stop.within(STOP_MARGIN);
    stop.asked().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn read_secret(file: Option<PathBuf>) -> io::Result<String> {
    match file {
        Some(path) => fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        None => Ok(SECRET_ACCESS_KEY.to_owned()),
    }
}
