//! Amazon's part: `noshi sandbox`, without its quota, with a delay of our choice.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    child::Process,
    drive::digest,
    failure::{Doing, Failure},
    machine::{Cores, command_on},
};

/// The partner, its key pair and its funds.
pub(crate) const PARTNER_ID: &str = "Awssb";
pub(crate) const ACCESS_KEY_ID: &str = "AKIDSANDBOX";
pub(crate) const SECRET_ACCESS_KEY: &str = "sandbox-secret-known-to-everyone";
const FUNDS: &str = "1000000000";
/// The host that is named and signed.
pub(crate) const HOST: &str = "agcod-v2-gamma.amazon.com";

/// The gateway, while it runs.
pub(crate) struct Gateway {
    process: Process,
    client: reqwest::Client,
    control: String,
    pub(crate) address: String,
    /// The file of its authority, where it speaks TLS.
    pub(crate) authority: Option<PathBuf>,
}

/// A card of its book. The code is compared, and never shown.
#[derive(Deserialize)]
struct Card {
    claim_code: String,
    amount: String,
    state: String,
}

/// What the gateway sold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sold {
    pub(crate) cards: u64,
    pub(crate) minor: u64,
    /// A digest of each card's code.
    pub(crate) codes: HashSet<u64>,
}

impl Gateway {
    /// Starts it, with an empty book.
    pub(crate) fn start(program: &Path, tls: bool, folder: &Path, cores: &Cores) -> Result<Self, Failure> {
        let mut command = command_on(cores.load.as_deref(), program);
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--no-throttle"]);
        command.args(["--funds", FUNDS]).current_dir(folder);
        let tls_folder = folder.join("tls");
        if tls {
            command.arg("--tls").arg("--tls-folder").arg(&tls_folder);
        }
        let mut process = Process::start(command, "the gateway", &folder.join("gateway.log"))?;
        let (address, control) = process.wait_until(|process| {
            let printed = process.printed();
            printed.contains("\npartner ").then_some(())?;
            Some((named(&printed, "gateway")?, named(&printed, "control")?))
        })?;
        let authority = if tls { Some(authority(&process.printed())?) } else { None };
        let address = address.rsplit('/').next().doing("the gateway's address")?.to_owned();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().doing("an HTTP client")?;
        Ok(Self { process, client, control, address, authority })
    }

    /// Lets every answer take so long.
    pub(crate) async fn delay(&self, delay: Duration) -> Result<(), Failure> {
        let body = serde_json::json!({ "milliseconds": u64::try_from(delay.as_millis()).doing("the delay")? });
        let request = self.client.put(format!("{}/latency", self.control)).body(body.to_string());
        let answer = request.send().await.doing("the gateway's delay")?;
        answer.error_for_status().doing("the gateway's delay").map(drop)
    }

    /// What it sold.
    pub(crate) async fn sold(&self) -> Result<Sold, Failure> {
        let answer = self.client.get(format!("{}/book", self.control)).send().await.doing("the gateway's book")?;
        let bytes = answer.bytes().await.doing("the gateway's book")?;
        let cards: Vec<Card> = serde_json::from_slice(&bytes).doing("the gateway's book")?;
        let mut sold = Sold::default();
        for card in cards.iter().filter(|card| card.state == "live") {
            sold.cards += 1;
            sold.minor += minor(&card.amount).doing("a card's amount")?;
            sold.codes.insert(digest(&card.claim_code));
        }
        Ok(sold)
    }

    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.process.stop()
    }
}

/// What stands behind a word at the beginning of a line.
fn named(printed: &str, word: &str) -> Option<String> {
    let line = printed.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn authority(printed: &str) -> Result<PathBuf, Failure> {
    let path = named(printed, "trust").doing("the authority of the gateway's certificate")?;
    fs::canonicalize(path).doing("the authority of the gateway's certificate")
}

/// `"1.00"` in cents. The bench buys in US dollars.
pub(crate) fn minor(amount: &str) -> Option<u64> {
    let (whole, cents) = amount.split_once('.').unwrap_or((amount, "00"));
    let two = cents.len() == 2;
    let cents = cents.parse::<u64>().ok().filter(|_cents| two)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_cent_and_nothing_else_is_one() {
        assert_eq!((minor("1.00"), minor("12.05"), minor("7")), (Some(100), Some(1205), Some(700)));
        assert_eq!((minor("1.5"), minor("x"), minor("-1.00")), (None, None, None));
    }

    #[test]
    fn the_addresses_are_those_that_the_gateway_prints() {
        let printed = "gateway http://127.0.0.1:81\ncontrol http://127.0.0.1:82   (a page)\npartner Awssb\n";
        assert_eq!(named(printed, "gateway").unwrap(), "http://127.0.0.1:81");
        assert_eq!(named(printed, "control").unwrap(), "http://127.0.0.1:82");
        assert_eq!(named(printed, "trust"), None);
    }
}
