//! Who did it.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::operator;
use crate::kernel::{ApiKeyId, ClientId};

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditActor {
    /// The holder of an API key, from this address.
    ApiKey {
        /// Whose it is.
        client: ClientId,
        /// The key.
        key: ApiKeyId,
        /// Where the request came from.
        peer: Option<IpAddr>,
    },
    /// Somebody who showed the admin port's token, from this address.
    AdminPort {
        /// Where the request came from.
        peer: Option<IpAddr>,
    },
    /// A command, by this user of the operating system.
    Command {
        /// Who asked for it, by their own word: in a pod every user of the operating system is the same one.
        by: Option<String>,
        /// The user that it ran as.
        user: String,
        /// The user that had logged in, where that is another one, as behind sudo.
        login: Option<String>,
        /// The machine.
        host: String,
    },
    /// The service itself.
    Service {
        /// The machine, or the pod.
        host: String,
        /// The process.
        process: u32,
    },
}

impl AuditActor {
    /// The command that is running, and who asked for it, where they say so.
    #[must_use]
    pub fn command(by: Option<&str>) -> Self {
        let (user, login) = operator::users();
        Self::Command { by: by.map(str::to_owned), user, login, host: operator::host() }
    }

    /// The service that is running.
    #[must_use]
    pub fn service() -> Self {
        Self::Service { host: operator::host(), process: std::process::id() }
    }

    pub(super) fn json(&self) -> Value {
        let peer = |peer: &Option<IpAddr>| peer.map(|peer| peer.to_canonical().to_string());
        match self {
            Self::ApiKey { client, key, peer: address } => json!({
                "kind": "api_key", "client_id": client.to_string(), "key_id": key.to_string(), "peer": peer(address)
            }),
            Self::AdminPort { peer: address } => json!({"kind": "admin_port", "peer": peer(address)}),
            Self::Command { by, user, login, host } => {
                json!({"kind": "command", "by": by, "user": user, "login": login, "host": host})
            }
            Self::Service { host, process } => json!({"kind": "service", "host": host, "process": process}),
        }
    }
}
