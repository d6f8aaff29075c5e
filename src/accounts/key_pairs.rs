//! Key pairs that lie in files: a task reads them again every few seconds, so that replacing a Kubernetes Secret
//! exchanges a pair without a restart. Requests under way are not disturbed: each attempt is signed anew, under the same
//! Amazon request id.

use std::time::Duration;

use super::{Account, Accounts};
use crate::{ambient::Ambient, config::KeyFiles, lifecycle::Tasks, provider::incentives::Credentials};

const EVERY: Duration = Duration::from_secs(2);
/// How many reads in a row must show the same new pair before it is used: its files may be written one after the other.
const READS: u32 = 2;
/// The same where one half is still the old one. Most likely the other follows, and Amazon would refuse a mixed pair.
const READS_OF_A_HALF: u32 = 15;

/// An account and the files of its key pair.
pub(crate) struct Watched {
    pub(crate) account: String,
    pub(crate) files: KeyFiles,
    /// Whether a metric shows when the pair was made.
    pub(crate) dated: bool,
}

/// The pair that was read last, when the account signs with another.
struct Candidate {
    pair: Credentials,
    reads: u32,
}

/// Reads until the process stops.
pub(crate) async fn run(watched: Watched, accounts: Accounts, ambient: Ambient, tasks: Tasks) {
    let Some(account) = accounts.get(&watched.account) else { return };
    let (mut candidate, mut readable) = (None, true);
    while !tasks.stopping().is_cancelled() {
        // A stop does not wait for a read.
        let files = watched.files.clone();
        let read = async {
            tokio::time::sleep(EVERY).await;
            tokio::task::spawn_blocking(move || files.read()).await
        };
        let read = tokio::select! {
            () = tasks.stopping().cancelled() => return,
            read = read => read,
        };
        let pair = match read {
            Ok(Ok((id, secret))) => Credentials::new(id, secret),
            Ok(Err(why)) => {
                // One line until the files can be read again; the account signs with the old pair meanwhile.
                if readable {
                    tracing::error!(
                        account = watched.account,
                        error = why,
                        "the account's key pair cannot be read again"
                    );
                }
                readable = false;
                continue;
            }
            Err(_stopping) => return,
        };
        readable = true;
        candidate = consider(account, candidate.take(), pair);
        if let Some(Candidate { pair, .. }) = candidate.take_if(|candidate| ripe(account, candidate)) {
            account.client().sign_with(pair);
            tracing::info!(account = watched.account, "the account's key pair was exchanged");
            if watched.dated {
                account.metrics().credential_created(&watched.account, ambient.now().timestamp());
            }
        }
    }
}

fn consider(account: &Account, before: Option<Candidate>, pair: Credentials) -> Option<Candidate> {
    if account.client().credentials().shares(&pair) == (true, true) {
        return None;
    }
    let reads = before.filter(|before| before.pair.shares(&pair) == (true, true)).map_or(0, |before| before.reads);
    Some(Candidate { pair, reads: reads.saturating_add(1) })
}

fn ripe(account: &Account, candidate: &Candidate) -> bool {
    let whole = account.client().credentials().shares(&candidate.pair) == (false, false);
    candidate.reads >= if whole { READS } else { READS_OF_A_HALF }
}
