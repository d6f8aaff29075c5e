//! `noshi demo`: a sandbox gateway, the service and a SQLite file in one process on loopback. Buys a gift code,
//! activates a physical card and loads the balance of an Amazon account through the real path, shows every exchange, checks every
//! step, and keeps serving. With `--pay` a member pays by Amazon Pay instead, month by month in seconds.

mod clock;
mod exchange;
mod members;
mod steps;

use std::{
    fs, io,
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    CommandError, DRAIN_MARGIN, STOP_MARGIN, announce,
    keys::{self, Expiry, NewKey},
    loopback,
    sandbox::{ACCESS_KEY_ID, PARTNER_ID, SECRET_ACCESS_KEY},
    stop::Stop,
};
use crate::{
    ambient::Ambient,
    audit::AuditActor,
    bootstrap::{self, Opening, open_store},
    config::Settings,
    identity::Scopes,
    sandbox::{AccessKey, PartnerAccount, Sandbox, SandboxOptions},
    server,
    store::migrate::migrate,
    telemetry,
};

/// What the demo's account can spend at first, in US dollars.
const FUNDS: u32 = 1000;
/// The port of the API, unless another process has it.
const PORT: u16 = 8080;

#[derive(Args)]
pub(super) struct DemoArguments {
    /// Exit after the steps: 0 when every step held, else 1.
    #[arg(long)]
    once: bool,
    /// Have a member pay by Amazon Pay, and get a gift code for each month: charged, declined, mended, refunded, ended. The demo's
    /// clocks move ahead, and stay there.
    #[arg(long)]
    pay: bool,
    /// The folder of the demo's database and of the sandbox's book.
    #[arg(long, default_value = "noshi-demo", value_name = "FOLDER")]
    dir: PathBuf,
}

/// Why a step did not hold, or could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// The answer was not the expected one.
    #[error("this did not hold: {0}")]
    Step(&'static str),
    /// No answer.
    #[error("the service did not answer")]
    Http(#[from] loopback::LoopbackError),
    /// No connection.
    #[error("the demo's own files or sockets")]
    Io(#[from] io::Error),
    /// The key.
    #[error("the demo's API key")]
    Key(#[from] keys::KeysError),
}

pub(super) async fn run(arguments: DemoArguments, stop: &Stop) -> Result<ExitCode, CommandError> {
    private_folder(&arguments.dir)?;
    let sandbox = start_sandbox(&arguments.dir).await?;
    let ambient = Ambient::movable_alone();
    let clock = clock::DemoClock::set(&ambient, sandbox.control())?;
    let sealing_key = sealing_key(&arguments.dir, &ambient)?;
    let settings = settings(&arguments.dir, &sealing_key, sandbox.gateway_addr(), arguments.pay)?;
    let log = telemetry::init(&settings.log)?;
    // Months pass in the demo of members.
    let key = make_key(&settings, &ambient, if arguments.pay { Expiry::Days(365) } else { Expiry::Days(30) }).await?;
    let service = bootstrap::start_with(&settings, ambient.clone(), log.controls.clone()).await?;
    announce(&format!("Noshi's demo. Its data lies in {}/ and may be deleted at any time.", arguments.dir.display()))?;
    announce(&format!("  service  http://{}   (SQLite: {}/noshi.db)", service.api_address(), arguments.dir.display()))?;
    announce(&format!("  console  http://{}/console   (log in with the key below)", service.admin_address()))?;
    announce(&format!("  metrics  http://{}/metrics", service.admin_address()))?;
    announce(&format!("  gateway  http://{}   (our Amazon sandbox; no real money)", sandbox.gateway_addr()))?;
    announce(&format!("  its book http://{}/book", sandbox.control_addr()))?;
    let demo = steps::Demo {
        address: service.api_address(),
        admin: service.admin_address(),
        key,
        control: sandbox.control(),
        ambient,
        folder: arguments.dir,
        once: arguments.once,
    };
    let server = &settings.server;
    stop.within(STOP_MARGIN);
    let held = if arguments.pay { members::run(&demo, &clock).await } else { demo.run().await };
    stop.within(server.drain_delay + server.drain_timeout + DRAIN_MARGIN);
    let once = arguments.once || held.is_err();
    let ended = service
        .run_until(async {
            if !once {
                stop.asked().await;
            }
        })
        .await;
    sandbox.stop().await;
    held?;
    Ok(if ended { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

async fn start_sandbox(folder: &Path) -> Result<Sandbox, CommandError> {
    let account = PartnerAccount {
        partner_id: PARTNER_ID.to_owned(),
        keys: vec![AccessKey::active(ACCESS_KEY_ID, SECRET_ACCESS_KEY)],
        currency: Some("USD".to_owned()),
        funds: FUNDS.into(),
        ..PartnerAccount::default()
    };
    let options = SandboxOptions {
        book_file: Some(folder.join("sandbox-book.jsonl")),
        ..SandboxOptions::on_any_port(vec![account])
    };
    Ok(Sandbox::start(options).await?)
}

/// The file of the key that seals card numbers and accounts, made at the first start.
fn sealing_key(folder: &Path, ambient: &Ambient) -> Result<PathBuf, CommandError> {
    let path = folder.join("sealing-key");
    let mut bytes = [0_u8; 32];
    ambient.fill_random(&mut bytes).map_err(|_error| DemoError::Step("there is randomness"))?;
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => file.write_all(data_encoding::HEXLOWER.encode(&bytes).as_bytes())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(path)
}

fn settings(folder: &Path, sealing_key: &Path, gateway: SocketAddr, pay: bool) -> Result<Settings, CommandError> {
    // Another process may have the usual port. The demo then takes a free one.
    let free = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, PORT)).is_ok();
    let port = if free { PORT } else { 0 };
    let environment = [
        ("NOSHI__SERVER__LISTEN", format!("127.0.0.1:{port}")),
        ("NOSHI__SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("NOSHI__SERVER__CONSOLE", "true".to_owned()),
        ("NOSHI__STORE__URL", format!("sqlite://{}", folder.join("noshi.db").display())),
        ("NOSHI__LOG__FILTER", "warn".to_owned()),
        // Where the clocks are moved, no call of its own is to be under way.
        ("NOSHI__BALANCES__POLL_SECONDS", if pay { "120" } else { "2" }.to_owned()),
        ("NOSHI__SEALING__KEYS", format!("[{{ id = \"demo\", file = \"{}\" }}]", sealing_key.display())),
        // A receiver for a first look stands on the same machine.
        ("NOSHI__WEBHOOKS__ALLOW_PRIVATE_NETWORKS", "true".to_owned()),
        ("NOSHI__WEBHOOKS__ALLOW_PLAIN_HTTP", "true".to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__KINDS", "[\"gift_code\", \"card_activation\", \"balance_load\"]".to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__PARTNER_ID", PARTNER_ID.to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__MARKETPLACE", "US".to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__ENVIRONMENT", "sandbox".to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__SANDBOX_GATEWAY", gateway.to_string()),
        ("NOSHI__ACCOUNTS__DEMO__ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
        ("NOSHI__ACCOUNTS__DEMO__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
    ];
    // The older generation signs with a secret; the other would need a pair of keys.
    let seller = [
        ("NOSHI__PAY__SHOP__DRIVER", "mws".to_owned()),
        ("NOSHI__PAY__SHOP__REGION", "na".to_owned()),
        ("NOSHI__PAY__SHOP__ENVIRONMENT", "sandbox".to_owned()),
        ("NOSHI__PAY__SHOP__SANDBOX_GATEWAY", gateway.to_string()),
        ("NOSHI__PAY__SHOP__SELLER_ID", members::SELLER_ID.to_owned()),
        ("NOSHI__PAY__SHOP__ACCESS_KEY_ID", members::MWS_KEY_ID.to_owned()),
        ("NOSHI__PAY__SHOP__SECRET_ACCESS_KEY", members::MWS_SECRET.to_owned()),
    ];
    let all = environment.into_iter().chain(seller.into_iter().filter(|_setting| pay));
    Ok(bootstrap::load_settings(None, all.map(|(name, value)| (name.to_owned(), value)))?)
}

/// Makes the client `demo` and a new key for it, as `noshi keys create` does.
async fn make_key(settings: &Settings, ambient: &Ambient, expires: Expiry) -> Result<String, CommandError> {
    let store = open_store(&settings.store, Opening::Migrate).await?;
    migrate(&store).await?;
    let scopes = Scopes::new(server::scopes());
    let new =
        NewKey { client: "demo", may_be_new: true, client_id: None, name: "demo", scopes, program: None, expires };
    let made = keys::create(&store, ambient, new, &bootstrap::scribe(settings, AuditActor::command(None))?).await?;
    store.close().await;
    Ok(made.text)
}
