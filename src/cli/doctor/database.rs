//! Whether the database is reachable, migrated, durable and writable.

use super::{Diagnosis, Trouble};
use crate::{
    accounts::Accounts,
    bootstrap::{self, Opening, StartError},
    config::Settings,
    kernel::Chain,
    store::{
        Store, StoreError,
        migrate::{Schema, schema},
    },
};

/// The accounts over the database, where both can be used.
pub(super) type Opened = Option<(Accounts, Store)>;

const PLACE: &str = "store";
const WRITES: &str = "writes";

/// What is found, and what Amazon can be asked with.
pub(super) async fn findings(settings: &Settings) -> (Vec<Diagnosis>, Opened) {
    let url = &settings.store.url;
    let store = match bootstrap::open_store(&settings.store, Opening::Use).await {
        Ok(store) => store,
        Err(error) => {
            let trouble = Trouble {
                what: Chain(&error).to_string(),
                why: "without its database the service sells nothing".to_owned(),
                way_out: format!(
                    "compare store.url ({url}) with what is there; if this is the first start, run `noshi migrate`"
                ),
            };
            return (vec![Diagnosis::broken(PLACE, trouble)], None);
        }
    };
    let mut findings = vec![Diagnosis::well(PLACE, format!("{url} answers"))];
    let usable = of_store(&store, &mut findings).await;
    store.close().await;
    if !usable || settings.accounts.is_empty() {
        return (findings, None);
    }
    match bootstrap::partner_accounts(settings).await {
        Ok((accounts, store)) => {
            findings.push(of_writes(&accounts).await);
            (findings, Some((accounts, store)))
        }
        // The accounts' rows are made where they are not there yet.
        Err(StartError::Store(error)) if error.is_about_all_writes() => {
            findings.push(Diagnosis::broken(WRITES, no_writes(&error)));
            (findings, None)
        }
        Err(error) => {
            findings.push(of_start(&error));
            (findings, None)
        }
    }
}

/// Looks at the schema and at what outlives a crash. Returns whether the tables can be used.
async fn of_store(store: &Store, findings: &mut Vec<Diagnosis>) -> bool {
    let found = match schema(store).await {
        Ok(found) => found,
        Err(error) => {
            findings.push(of_start(&StartError::Store(error)));
            return false;
        }
    };
    match found {
        Schema::Current => findings.push(Diagnosis::well("schema", "is this program's".to_owned())),
        Schema::Ahead => findings.push(Diagnosis::warning(
            "schema",
            Trouble {
                what: "a later version has migrated the database; this one can live with it".to_owned(),
                why: "what the later version added is not used".to_owned(),
                way_out: "finish the roll-out, or the roll-back".to_owned(),
            },
        )),
        Schema::Older => findings.push(of_start(&StartError::SchemaOlder)),
        Schema::Newer => findings.push(of_start(&StartError::SchemaNewer)),
    }
    match store.not_durable().await {
        Ok(off) if off.is_empty() => {
            findings.push(Diagnosis::well("durability", "what is answered outlives a crash of the machine".to_owned()));
        }
        Ok(off) => findings.push(Diagnosis::warning("durability", Trouble {
            what: format!("the server runs with {} off", off.join(" and ")),
            why: "after a crash of its machine, rewards that were answered may be gone, and a retry buys a second card".to_owned(),
            way_out: "set them to on in postgresql.conf, and restart the server".to_owned(),
        })),
        Err(error) => findings.push(of_start(&StartError::Store(error))),
    }
    match found {
        Schema::Current | Schema::Ahead => true,
        Schema::Older | Schema::Newer => false,
    }
}

/// What keeps `noshi serve` from starting as well.
fn of_start(error: &StartError) -> Diagnosis {
    let trouble = Trouble {
        what: Chain(error).to_string(),
        why: "`noshi serve` does not start before this is solved".to_owned(),
        way_out: if matches!(error, StartError::SchemaOlder) {
            "run `noshi migrate` under the role that owns the tables"
        } else if matches!(error, StartError::SchemaNewer) {
            "run the later version, or restore a back-up of before"
        } else if matches!(error, StartError::Clock(_)) {
            "compare the clocks of this machine and of the database server: NTP"
        } else {
            "solve what it names, and ask the doctor again"
        }
        .to_owned(),
    };
    Diagnosis::broken(PLACE, trouble)
}

/// Writes a row as it is, durably.
async fn of_writes(accounts: &Accounts) -> Diagnosis {
    match accounts.prove_writes().await {
        Ok(()) => Diagnosis::well(WRITES, "a row was written, durably".to_owned()),
        Err(error) => Diagnosis::broken(WRITES, no_writes(&error)),
    }
}

fn no_writes(error: &StoreError) -> Trouble {
    Trouble {
        what: Chain(error).to_string(),
        why: "nothing is sent to Amazon before its record is on the disk: every reward is refused".to_owned(),
        way_out: "look for a full disk, a file or volume that is read-only, a server that is a standby, and the GRANTs of the role"
            .to_owned(),
    }
}
