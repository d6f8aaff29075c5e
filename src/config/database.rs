//! The address of the database. It may hold a password, so it is never shown as a whole.
//!
//! For PostgreSQL only a part of the grammar is allowed, which can be read in one way only: our check (a server on another
//! machine needs a verified certificate) and the driver must see the same host. For the same reason the host must be named;
//! otherwise the driver would take PGHOST from the environment.

use std::{fmt, net::IpAddr, path::Path};

use secrecy::SecretString;

const SQLITE: &str = "sqlite://";
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// Allowed parameters. The driver logs any other *with its value*. User, password, port and database have places of their
/// own.
const PARAMETERS: [&str; 8] =
    ["application_name", "host", "options", "sslcert", "sslkey", "sslmode", "sslrootcert", "statement-cache-capacity"];

/// Which database an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file beside the process; one replica.
    Sqlite,
    /// A server; any number of replicas.
    Postgres,
}

/// A checked address of a database.
#[derive(Clone)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    secret: SecretString,
    shown: String,
}

impl DatabaseUrl {
    /// The default: a SQLite file in the working directory.
    pub(super) fn beside_us() -> Self {
        let text = "sqlite://noshi.db";
        Self { kind: DatabaseKind::Sqlite, secret: SecretString::from(text), shown: text.to_owned() }
    }

    /// Reads an address. An error quotes no part of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.contains(['#', '\\']) {
            return Err("holds white space, a control character, # or \\; write them as %XX".to_owned());
        }
        let secret = SecretString::from(text);
        if let Some(path) = text.strip_prefix(SQLITE) {
            sqlite_path(path)?;
            return Ok(Self { kind: DatabaseKind::Sqlite, secret, shown: text.to_owned() });
        }
        let Some((scheme, rest)) = POSTGRES.iter().find_map(|scheme| Some((*scheme, text.strip_prefix(scheme)?)))
        else {
            return Err("must begin with sqlite:// or postgres://".to_owned());
        };
        Ok(Self { kind: DatabaseKind::Postgres, secret, shown: format!("{scheme}{}", postgres_shown(rest)?) })
    }

    /// SQLite or PostgreSQL.
    #[must_use]
    pub const fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// The file that it names, where it names one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.shown.strip_prefix(SQLITE).map(Path::new)
    }

    /// The whole address, for connecting.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.secret
    }
}

/// Without the password, and without the value of `options`, which may hold anything.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.shown)
    }
}

fn sqlite_path(path: &str) -> Result<(), String> {
    if path.contains('?') {
        return Err("takes no parameters: the service opens SQLite in the one way that loses nothing".to_owned());
    }
    if path.is_empty() || path == ":memory:" {
        return Err("must name a file: what is only in memory would be lost".to_owned());
    }
    Ok(())
}

/// Checks what follows the scheme, and returns the part that may be shown.
fn postgres_shown(rest: &str) -> Result<String, String> {
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    // Of several, the last @ ends the password.
    let server = authority.rsplit_once('@').map_or(authority, |(_user, server)| server);
    let named = percent_decoded(host_of(server)?)?;

    let parameters = parameters(query)?;
    let of = |name: &str| parameters.iter().find(|(key, _value)| *key == name).map(|(_key, value)| *value);
    let host = match (named.as_str(), of("host").map(percent_decoded).transpose()?) {
        ("", None) => return Err("must name the server's host".to_owned()),
        ("", Some(host)) => host,
        (_, None) => named,
        (_, Some(_)) => return Err("names two hosts".to_owned()),
    };
    if !is_here(&host) && of("sslmode") != Some("verify-full") {
        return Err("leads to another machine: it must say sslmode=verify-full".to_owned());
    }
    let shown = if server.is_empty() { host } else { server.to_owned() };
    // The first colon ends the role.
    let role = authority.rsplit_once('@').map(|(user, _server)| user.split(':').next().unwrap_or_default());
    let role = role.filter(|role| !role.is_empty()).map_or_else(String::new, |role| format!("{role}@"));
    let shown_parameter = |(name, value): &(&str, &str)| match *name {
        "options" => format!("{name}=[hidden]"),
        _ => format!("{name}={value}"),
    };
    // A host among the parameters is shown as the server.
    let others = parameters.iter().filter(|(name, _value)| *name != "host").map(shown_parameter);
    let others = others.collect::<Vec<_>>().join("&");
    let query = if others.is_empty() { others } else { format!("?{others}") };
    Ok(format!("{role}{shown}/{database}{query}"))
}

/// The host of `host`, `host:port` or `[v6]:port`.
fn host_of(server: &str) -> Result<&str, String> {
    let (host, port) = match server.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((host, port)) if host.parse::<IpAddr>().is_ok() => (host, port),
            Some(_) | None => return Err("has a host in brackets that is no address".to_owned()),
        },
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if port_is_fine { Ok(host) } else { Err("has a port that is no number".to_owned()) }
}

/// The parameters, each known and given once. `;` or `+` would be read differently by different readers.
fn parameters(query: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !PARAMETERS.contains(&key) || found.iter().any(|(other, _value)| *other == key) || pair.contains([';', '+'])
        {
            return Err(format!("may have each of these parameters once, and no others: {}", PARAMETERS.join(", ")));
        }
        found.push((key, value));
    }
    Ok(found)
}

/// On this machine, where nobody listens in: a Unix socket or a loopback address.
fn is_here(host: &str) -> bool {
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A host as it is meant: a socket's path arrives as `%2Frun%2Fpostgresql`.
fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).map_err(|_error| "has a host with a broken %XX".to_owned())?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_error| "has a host that is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_beyond_this_machine_needs_a_verified_certificate() {
        for url in [
            "postgres://db/noshi",
            "postgres://u:p@db.example:5432/noshi?sslmode=require",
            "postgres://db/noshi?sslmode=verify-ca",
            "postgres://db/noshi?sslmode=verify-full&sslmode=disable",
            "postgres://db/noshi?sslmode=verify-full&ssl-mode=disable",
            "postgres://127.0.0.1@db/noshi",
            "postgres://127.0.0.1.example/noshi",
            "postgres://127.0.0.1/noshi?host=db",
            "postgres:///noshi?host=db",
            "postgres:///noshi?host=/run/postgresql&hostaddr=10.0.0.1",
            "postgres://db%2Frun/noshi",
            "postgres://10.0.0.1/noshi",
            "postgres://[2001:db8::1]/noshi",
            "postgres://127.0.0.1\\@db/noshi",
            "postgres://u:p#@db/noshi",
            "postgres:///noshi",
            "postgres://",
            "postgres://u@:5432/noshi",
            "postgres://127.0.0.1:x/noshi",
            "postgres://[localhost]/noshi",
        ] {
            assert!(DatabaseUrl::parse(url).is_err(), "{url}");
        }
        for url in [
            "postgres://u:p@db.example:5432/noshi?sslmode=verify-full",
            "postgresql://db/noshi?application_name=noshi&sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://noshi@127.0.0.1:25432/postgres",
            "postgres://noshi@localhost/postgres",
            "postgres://noshi@[::1]:5432/postgres",
            "postgres:///noshi?host=/run/postgresql",
            "postgres://noshi@%2Frun%2Fpostgresql/noshi",
            "postgres://u:p@ss@127.0.0.1/noshi",
        ] {
            assert_eq!(DatabaseUrl::parse(url).map(|url| url.kind()), Ok(DatabaseKind::Postgres), "{url}");
        }
    }

    #[test]
    fn sqlite_is_a_file_without_parameters() {
        for url in ["sqlite://noshi.db", "sqlite:///var/lib/noshi/noshi.db"] {
            assert_eq!(DatabaseUrl::parse(url).map(|url| url.kind()), Ok(DatabaseKind::Sqlite), "{url}");
        }
        for url in [
            "sqlite://",
            "sqlite://:memory:",
            "sqlite::memory:",
            "sqlite://a?mode=memory",
            "noshi.db",
            "mysql://h/d",
            "",
        ] {
            assert!(DatabaseUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_role_and_how_the_server_is_verified_are_shown_and_no_password() {
        let url = "postgres://app:CANARY:CANARY@CANARY@db.example:5432/noshi?sslmode=verify-full&sslrootcert=/etc/ca.pem&options=CANARY";
        let url = DatabaseUrl::parse(url).unwrap();
        let shown = "postgres://app@db.example:5432/noshi?sslmode=verify-full&sslrootcert=/etc/ca.pem&options=[hidden]";
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
        let socket = DatabaseUrl::parse("postgres://u:p@/n?host=/run/pg").unwrap();
        assert_eq!(socket.to_string(), "postgres://u@/run/pg/n");
        assert_eq!(DatabaseUrl::parse("postgres://localhost/n").unwrap().to_string(), "postgres://localhost/n");
    }
}
