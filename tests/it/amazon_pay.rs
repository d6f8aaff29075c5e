//! The client of Amazon Pay against the sandbox, over real sockets: each operation, each answer that proves nothing, and that a charge
//! is made once whatever comes between.

mod faults;
mod mws;
mod operations;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use noshi::{
    ambient::Ambient,
    kernel::{Currency, Money},
    provider::pay::{
        AmazonChargeId, AmazonPermissionId, ChargeAsked, ChargeSeen, MerchantKey, PayClient, PayEndpoint, PayExchange,
        PayKey, PayOutcome, PayReference, PayRegion, PaySettings, PayTimeouts, SimulationCode,
    },
    sandbox::{Control, NewConsent, NewPayMerchant, PartnerAccount, Sandbox, SandboxOptions},
};

const MERCHANT: &str = "A1MERCHANT";
const KEY_ID: &str = "SANDBOX-AAAABBBBCCCCDDDDEEEEFFFF";

/// A private key, and its public half.
fn key_pair() -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key").to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).stderr(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "openssl {arguments:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &file]);
    (std::fs::read_to_string(&file).unwrap(), openssl(&["pkey", "-pubout", "-in", &file]))
}

/// A sandbox with one merchant, and that merchant's client.
struct Checkout {
    sandbox: Sandbox,
    control: Control,
    client: PayClient,
}

impl Checkout {
    async fn open() -> Self {
        Self::with(KEY_ID, PayTimeouts::default()).await
    }

    async fn with(key_id: &str, timeouts: PayTimeouts) -> Self {
        let keys = vec![noshi::sandbox::AccessKey::active("AKID", "SECRET")];
        let account = PartnerAccount { partner_id: "Awssb".to_owned(), keys, ..PartnerAccount::default() };
        let options = SandboxOptions { throttle: false, ..SandboxOptions::on_any_port(vec![account]) };
        let sandbox = Sandbox::start(options).await.unwrap();
        let control = sandbox.control();
        let (private, public_key) = key_pair();
        let (merchant_id, public_key_id) = (MERCHANT.to_owned(), key_id.to_owned());
        control.register_pay_merchant(NewPayMerchant { merchant_id, public_key_id, public_key }).unwrap();
        let client = client(&sandbox, MerchantKey::new(key_id, &private.into()).unwrap(), timeouts);
        Self { sandbox, control, client }
    }

    fn consent(&self, limit: &str, recurring: bool, card: &str) -> AmazonPermissionId {
        let [merchant_id, limit, currency, card] = [MERCHANT, limit, "JPY", card].map(str::to_owned);
        let new = NewConsent { merchant_id, limit, recurring, currency, card, reference: Some("agr_1".to_owned()) };
        AmazonPermissionId::parse(&self.control.consent(new).unwrap()).unwrap()
    }

    /// Makes a charge that is expected to be made.
    async fn charged(&self, key: &str, asked: &ChargeAsked) -> ChargeSeen {
        seen(self.client.create_charge(&pay_key(key), asked).await)
    }

    fn simulating(&self, code: &str) -> PayClient {
        self.client.simulating(SimulationCode::parse(code).unwrap()).unwrap()
    }
}

fn client(sandbox: &Sandbox, key: MerchantKey, timeouts: PayTimeouts) -> PayClient {
    let endpoint = PayEndpoint::loopback(PayRegion::Jp, sandbox.gateway_addr()).unwrap();
    let clock = Ambient::system();
    PayClient::new(PaySettings { endpoint, key, timeouts, https_proxy: None }, move || clock.now()).unwrap()
}

/// Short enough for what never comes, long enough for a machine that is busy.
fn impatient() -> PayTimeouts {
    let brief = Duration::from_millis(700);
    PayTimeouts { connect: Duration::from_secs(2), money: brief, other: brief }
}

fn pay_key(text: &str) -> PayKey {
    PayKey::parse(text).unwrap()
}

fn yen(minor: i64) -> Money {
    Money::from_minor(minor, Currency::Jpy)
}

fn asked(permission: &AmazonPermissionId, amount: i64, capture_now: bool) -> ChargeAsked {
    let (permission, reference) = (permission.clone(), PayReference::parse("chg_1").unwrap());
    ChargeAsked { permission, amount: yen(amount), capture_now, may_wait: false, reference }
}

fn unknown_charge() -> AmazonChargeId {
    AmazonChargeId::parse("S03-0000001-0000002-C000003").unwrap()
}

#[track_caller]
fn seen<T: std::fmt::Debug>(exchange: PayExchange<T>) -> T {
    let outcome = exchange.outcome;
    let said = format!("{outcome:?}");
    if let PayOutcome::Seen(seen) = outcome { seen } else { panic!("{said}") }
}
