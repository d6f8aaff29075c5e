//! `noshi sandbox`: the gateway on its own, for any AGCOD client in any language.

use std::{fs, io, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;
use rust_decimal::Decimal;

use super::{CommandError, STOP_MARGIN, announce, healthcheck, stop::Stop};
use crate::{
    config::{LogFormat, LogSettings},
    sandbox::{
        AccessKey, BODY_TIME, LatencyProfile, PartnerAccount, PartnersFile, RequestLines, Sandbox, SandboxOptions,
        TlsSettings,
        guide::{self, GuideLine},
    },
    telemetry,
};

/// The sandbox's default key pair. It is public, and opens sandboxes only.
pub(super) const ACCESS_KEY_ID: &str = "AKIDSANDBOX";
pub(super) const SECRET_ACCESS_KEY: &str = "sandbox-secret-known-to-everyone";
pub(super) const PARTNER_ID: &str = "Awssb";

#[derive(Args)]
// The guide has columns of its own, which wrapped lines would break.
#[command(term_width = 0, after_help = "--help names the faults, the mock ids and the limits.", after_long_help = long_help())]
pub(super) struct SandboxArguments {
    /// Where AGCOD clients connect: on loopback unless this says otherwise, as in a container (0.0.0.0:8081).
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the book is read, faults are scripted, and a page for a browser is: `GET /`. It shows claim codes.
    #[arg(long, default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
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
    /// What the account can spend at first, in each of its currencies.
    #[arg(long, default_value = "100000")]
    funds: Decimal,
    /// The account's currency; that of the Host's marketplace group when left out.
    #[arg(long)]
    currency: Option<String>,
    /// Several partners with their marketplaces and keys: TOML, or JSON if its name ends with .json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["partner_id", "access_key_id", "secret_access_key_file", "funds", "currency"])]
    partners: Option<PathBuf>,
    /// Keep cards, funds, partners that were added and the clock in this file.
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// Do not limit the rate.
    #[arg(long)]
    no_throttle: bool,
    /// How long answers take: none, near, far or busy. The control port takes other figures.
    #[arg(long, default_value_t = LatencyProfile::None, value_name = "PROFILE")]
    latency: LatencyProfile,
    /// Speak TLS, with a certificate for Amazon's six hosts and localhost that the sandbox makes itself.
    #[arg(long)]
    tls: bool,
    /// Where that certificate is kept, so that a client goes on trusting it after a restart.
    #[arg(long, value_name = "FOLDER", default_value = "noshi-sandbox-tls", requires = "tls")]
    tls_folder: PathBuf,
    /// A further name that the certificate is for, such as the service's name in a test network.
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Vec<String>,
    /// Show each request, not only what was refused.
    #[arg(long, short)]
    verbose: bool,
    /// Start nothing: ask the sandbox at --control whether it serves. Exit codes: 0 it does, 1 it does not.
    #[arg(long)]
    healthcheck: bool,
}

pub(super) async fn run(arguments: SandboxArguments, stop: &Stop) -> Result<ExitCode, CommandError> {
    if arguments.healthcheck {
        return healthcheck::ask_for(arguments.control, "/health", "serving").await;
    }
    let _log = telemetry::init(&LogSettings { format: LogFormat::Human, filter: "info".to_owned() })?;
    let tls =
        arguments.tls.then(|| TlsSettings { folder: arguments.tls_folder.clone(), names: arguments.tls_name.clone() });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (listen, control) = (arguments.listen, arguments.control);
    let sandbox = Sandbox::start(SandboxOptions {
        listen,
        control_listen: control,
        body_time: BODY_TIME,
        // Whoever writes such an address means it.
        beyond_loopback: true,
        book_file: arguments.book.clone(),
        throttle: !arguments.no_throttle,
        lines: if arguments.verbose { RequestLines::All } else { RequestLines::Refused },
        latency: arguments.latency.into(),
        tls,
        accounts: accounts(arguments)?,
    })
    .await?;
    // Whoever has read the first line may stop it.
    stop.within(STOP_MARGIN);
    announce(&format!("gateway {scheme}://{}", sandbox.gateway_addr()))?;
    announce(&format!(
        "control http://{}   (a page for a browser, and the calls of its /openapi.json)",
        sandbox.control_addr()
    ))?;
    if let Some(file) = sandbox.ca_file() {
        announce(&format!("trust   {}   (the CA certificate that clients must know)", file.display()))?;
    }
    for partner in sandbox.control().partners() {
        for key in partner.keys.iter().filter(|key| key.active) {
            // The book may have other keys than the options, and other secrets.
            let is_public = sandbox.control().signs_with(&key.id, SECRET_ACCESS_KEY);
            let secret = if is_public { format!(" secret {SECRET_ACCESS_KEY}") } else { String::new() };
            announce(&format!("partner {} access key {}{secret}", partner.partner_id, key.id))?;
        }
    }
    if !listen.ip().is_loopback() {
        tracing::warn!("the gateway listens on {listen}, where other machines reach it: its cards are worth nothing");
    }
    if !control.ip().is_loopback() {
        tracing::warn!(
            "the control port listens on {control}, where other machines reach it: whoever does may change everything"
        );
    }
    stop.asked().await;
    sandbox.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The accounts of the file, or the one of the arguments.
fn accounts(arguments: SandboxArguments) -> Result<Vec<PartnerAccount>, CommandError> {
    if let Some(file) = &arguments.partners {
        return Ok(PartnersFile::read(file)?);
    }
    Ok(vec![PartnerAccount {
        partner_id: arguments.partner_id,
        keys: vec![AccessKey::active(arguments.access_key_id, read_secret(arguments.secret_access_key_file)?)],
        currency: arguments.currency,
        funds: arguments.funds,
        ..PartnerAccount::default()
    }])
}

fn read_secret(file: Option<PathBuf>) -> io::Result<String> {
    match file {
        Some(path) => fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        None => Ok(SECRET_ACCESS_KEY.to_owned()),
    }
}

/// What `--help` says besides the arguments.
fn long_help() -> String {
    let section = |title: &str, lines: Vec<GuideLine>| {
        let lines: String = lines.iter().map(|line| format!("  {:<34} {}\n", line.name, line.about)).collect();
        format!("{title}:\n{lines}\n")
    };
    let faults = "Faults, of which the control port takes rules (members in brackets)";
    [
        "The key pair is AKIDSANDBOX and sandbox-secret-known-to-everyone unless another is given. JSON and XML are spoken, on\n\
         the path of an operation (/CreateGiftCard) or on / with x-amz-target. GET /sping answers healthy.\n\n"
            .to_owned(),
        section(faults, guide::faults()),
        "  curl -s http://127.0.0.1:8082/faults -d '{\"operation\":\"CreateGiftCard\",\"times\":1,\"fault\":{\"kind\":\"drop_after_work\"}}'\n\n"
            .to_owned(),
        section("Mock ids, sent as the request id", guide::mock_ids()),
        section("Limits (--no-throttle takes the first three off)", guide::limits()),
        "A file of partners (--partners):\n\
         \u{20} [[partners]]\n\
         \u{20} partner_id = \"Awssb\"\n\
         \u{20} marketplace = \"US\"            # or currency = \"USD\"; by host when left out\n\
         \u{20} funds = \"1000.00\"             # minimum, maximum, requests_per_second, requests_per_day likewise\n\
         \u{20} keys = [{ id = \"AKIDSANDBOX\", secret = \"sandbox-secret-known-to-everyone\" }]   # active = false"
            .to_owned(),
    ]
    .concat()
}
