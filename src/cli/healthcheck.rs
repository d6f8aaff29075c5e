//! `noshi healthcheck`: asks the service on the same machine whether it is ready.
//!
//! Docker and Compose run a command where Kubernetes sends a request, and the image holds neither a shell nor curl.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use hyper::{Request, StatusCode, body::Bytes};

use super::{
    CommandError,
    loopback::{LoopbackError, exchange},
    say,
};
use crate::config::{ConfigError, Settings};

/// How long the service may take to answer; the probes in k8s/base wait as long for `/readyz`.
const PATIENCE: Duration = Duration::from_secs(3);
/// The bytes of an answer that are read at most. Every answer of a probe is shorter.
const ANSWER_MAX: usize = 1024;
/// The characters of an answer that are shown at most.
const SHOWN_MAX: usize = 120;

#[derive(Args)]
pub(super) struct HealthcheckArguments {
    /// Ask whether the process is alive (`/livez`) instead of whether it is ready (`/readyz`).
    #[arg(long)]
    live: bool,
}

/// Why the service is not healthy, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum HealthcheckError {
    /// The settings cannot be read, so the address is unknown. Exits with 1 like the rest: Docker reserves 2.
    #[error("where to ask is not known")]
    Settings(#[source] ConfigError),
    #[error("nobody listens on {0}")]
    Nobody(SocketAddr, #[source] io::Error),
    #[error("no answer from {0} within {limit} s", limit = PATIENCE.as_secs())]
    Late(SocketAddr),
    #[error("what listens on {0} does not answer as the service does")]
    Odd(SocketAddr, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{path} answered {status}: {said}")]
    Refused { path: &'static str, status: u16, said: String },
}

pub(super) async fn run(
    arguments: HealthcheckArguments,
    settings: Result<Settings, ConfigError>,
) -> Result<ExitCode, CommandError> {
    let settings = settings.map_err(HealthcheckError::Settings)?;
    let (path, good) = if arguments.live { ("/livez", "live") } else { ("/readyz", "ready") };
    ask_for(settings.server.admin_listen, path, good).await
}

/// Asks the server on this machine that listens there, and says the good word when it answers 200.
pub(super) async fn ask_for(listen: SocketAddr, path: &'static str, good: &str) -> Result<ExitCode, CommandError> {
    let addresses = on_this_machine(listen);
    let asked = tokio::time::timeout(PATIENCE, ask_any(addresses, path)).await;
    let (status, body) = asked.map_err(|_elapsed| HealthcheckError::Late(addresses.first))??;
    if status == StatusCode::OK {
        return say(good);
    }
    Err(HealthcheckError::Refused { path, status: status.as_u16(), said: first_line(&body) }.into())
}

/// Where a server on this machine may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Addresses {
    first: SocketAddr,
    second: Option<SocketAddr>,
}

/// The addresses at which a server on this machine is reached. A server that listens on every address listens on
/// loopback, too: by IPv6, or by IPv4 where the machine has no IPv6.
fn on_this_machine(listen: SocketAddr) -> Addresses {
    let at = |loopback: IpAddr| SocketAddr::new(loopback, listen.port());
    let (first, second) = match listen {
        named if !named.ip().is_unspecified() => (named, None),
        SocketAddr::V4(_) => (at(Ipv4Addr::LOCALHOST.into()), None),
        SocketAddr::V6(_) => (at(Ipv6Addr::LOCALHOST.into()), Some(at(Ipv4Addr::LOCALHOST.into()))),
    };
    Addresses { first, second }
}

/// Asks at the first address; at the second where nobody listens at the first.
async fn ask_any(at: Addresses, path: &str) -> Result<(StatusCode, Bytes), HealthcheckError> {
    match (ask(at.first, path).await, at.second) {
        (Err(HealthcheckError::Nobody(..)), Some(second)) => ask(second, path).await,
        (asked, _) => asked,
    }
}

async fn ask(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), HealthcheckError> {
    let (head, body) =
        exchange(address, Request::get(path), String::new(), ANSWER_MAX).await.map_err(|error| match error {
            LoopbackError::Connect(error) => HealthcheckError::Nobody(address, error),
            LoopbackError::Exchange(error) => HealthcheckError::Odd(address, error),
        })?;
    Ok((head.status, body))
}

/// The first line of the answer, which holds the reason. Another program may have answered: its text is cut and
/// cleaned.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        for (listen, first, second) in [
            ("0.0.0.0:9090", "127.0.0.1:9090", None),
            ("[::]:9090", "[::1]:9090", Some("127.0.0.1:9090")),
            ("127.0.0.1:9091", "127.0.0.1:9091", None),
            ("10.1.2.3:9090", "10.1.2.3:9090", None),
            ("[fd00::1]:9090", "[fd00::1]:9090", None),
        ] {
            let second = second.map(|second| second.parse().unwrap());
            let addresses = Addresses { first: first.parse().unwrap(), second };
            assert_eq!(on_this_machine(listen.parse().unwrap()), addresses, "{listen}");
        }
    }

    #[test]
    fn of_an_answer_one_line_is_shown() {
        assert_eq!(first_line(b"draining\n"), "draining");
        assert_eq!(first_line(b"\x1b[31mred\x07\r\nmore"), "[31mred");
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line("é".repeat(1000).as_bytes()), "é".repeat(SHOWN_MAX));
        assert_eq!(first_line(b"\xff"), "\u{fffd}");
    }
}
