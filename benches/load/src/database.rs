//! The databases: a new one for each pass, its size, what its server has done, and what its books say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{
    failure::{Doing, Failure},
    machine,
};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A server of PostgreSQL in which databases may be made.
pub(crate) struct Server {
    client: Client,
    /// Its URL without the database's name.
    base: String,
    /// Host and port.
    pub(crate) authority: String,
    /// Its first process, where it runs on this machine and can be seen.
    pub(crate) postmaster: Option<u32>,
    pub(crate) version: String,
}

/// A database of one pass.
pub(crate) struct Database {
    pub(crate) url: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    /// By its name.
    Server(String),
}

/// What a database says was bought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) issued: u64,
    pub(crate) minor: u64,
    /// Rewards in any other state.
    pub(crate) others: u64,
}

impl Server {
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        let client = client(url).await?;
        let (base, _name) = url.rsplit_once('/').doing("the server's URL")?;
        let authority = base.rsplit(['/', '@']).next().unwrap_or_default().to_owned();
        let mut server = Self { client, base: base.to_owned(), authority, postmaster: None, version: String::new() };
        server.version = server.one("SHOW server_version").await?;
        let backend: u32 = server.one("SELECT pg_backend_pid()").await?.parse().doing("the server's process")?;
        // A process of that number may be another's where the server is on another machine.
        let of_server =
            fs::read_to_string(format!("/proc/{backend}/comm")).is_ok_and(|name| name.starts_with("postgres"));
        server.postmaster = machine::parent(backend).filter(|_parent| of_server);
        Ok(server)
    }

    /// The one value of the one row.
    async fn one(&self, query: &str) -> Result<String, Failure> {
        one(&self.client, query).await
    }

    /// A new, empty database.
    pub(crate) async fn create(&self, name: &str) -> Result<Database, Failure> {
        self.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        self.run(&format!("CREATE DATABASE {name}")).await?;
        Ok(Database { url: format!("{}/{name}", self.base), place: Place::Server(name.to_owned()) })
    }

    async fn run(&self, statement: &str) -> Result<(), Failure> {
        self.client.batch_execute(statement).await.doing(statement)
    }

    /// The bytes of write-ahead log that the server has made.
    pub(crate) async fn log_bytes(&self) -> Result<f64, Failure> {
        let bytes = self.one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").await?;
        bytes.parse::<u64>().map(machine::float).doing("the server's log")
    }

    /// How often the server made its log durable. A session adds its part when it ends at the latest. `None` where the server keeps no
    /// such count under this name (before 14, and from 18 on).
    pub(crate) async fn log_syncs(&self) -> Option<f64> {
        self.one("SELECT wal_sync FROM pg_stat_wal").await.ok()?.parse::<u64>().ok().map(machine::float)
    }
}

async fn client(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.doing("PostgreSQL")?;
    tokio::spawn(async move {
        // A statement reports what is wrong with its connection.
        drop(connection.await);
    });
    Ok(client)
}

async fn one(client: &Client, query: &str) -> Result<String, Failure> {
    let messages = client.simple_query(query).await.doing(query)?;
    let row = messages.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        row.get(0)
    });
    row.map(str::to_owned).doing(query)
}

impl Database {
    /// A file that is not there yet.
    pub(crate) fn file(folder: &Path) -> Self {
        let path = folder.join("rewards.db");
        Self { url: format!("sqlite://{}", path.display()), place: Place::File(path) }
    }

    /// The same database over a relay.
    pub(crate) fn url_over(&self, authority: &str, relay: &str) -> String {
        self.url.replacen(authority, relay, 1)
    }

    /// Its size, with all that belongs to it.
    pub(crate) async fn bytes(&self, server: Option<&Server>) -> Result<f64, Failure> {
        match (&self.place, server) {
            (Place::File(path), _) => {
                let size = |end: &str| fs::metadata(format!("{}{end}", path.display())).map_or(0, |file| file.len());
                Ok(machine::float(["", "-wal"].into_iter().map(size).sum()))
            }
            (Place::Server(name), Some(server)) => {
                let bytes = server.one(&format!("SELECT pg_database_size('{name}')")).await?;
                bytes.parse::<u64>().map(machine::float).doing("the database's size")
            }
            (Place::Server(_name), None) => Err(Failure::new("there is no server")),
        }
    }

    /// What it says was bought. `issued` is the condition that an issued reward meets, `amount` the column with cents.
    pub(crate) async fn books(&self, issued: &str, amount: &str) -> Result<Books, Failure> {
        let query = format!(
            "SELECT count(*) FILTER (WHERE {issued}) || ' ' || COALESCE(sum({amount}) FILTER (WHERE {issued}), 0) || ' ' || \
             count(*) FILTER (WHERE NOT ({issued})) FROM rewards"
        );
        let text = match &self.place {
            Place::File(path) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let file = Connection::open_with_flags(path, flags).doing("the database's file")?;
                file.query_row(&query, [], |row| row.get::<_, String>(0)).doing(&query)?
            }
            Place::Server(_name) => one(&client(&self.url).await?, &query).await?,
        };
        let mut numbers = text.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).doing("the books");
        Ok(Books { issued: next()?, minor: next()?, others: next()? })
    }

    /// Removes it.
    pub(crate) async fn drop_it(self, server: Option<&Server>) -> Result<(), Failure> {
        match (self.place, server) {
            // The pass removes its folder.
            (Place::File(_path), _) => Ok(()),
            (Place::Server(name), Some(server)) => server.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await,
            (Place::Server(_name), None) => Err(Failure::new("there is no server")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_books_are_what_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::file(folder.path());
        let file = Connection::open(folder.path().join("rewards.db")).unwrap();
        let rows = "CREATE TABLE rewards (state TEXT, minor INTEGER); \
                    INSERT INTO rewards VALUES ('issued', 100), ('issued', 250), ('issuing', 100)";
        file.execute_batch(rows).unwrap();
        let books = database.books("state = 'issued'", "minor").await.unwrap();
        assert_eq!(books, Books { issued: 2, minor: 350, others: 1 });
        assert!(database.bytes(None).await.unwrap() >= 4096.0);
    }

    #[test]
    fn a_relay_takes_the_place_of_host_and_port_alone() {
        let database =
            Database { url: "postgres://u@127.0.0.1:5432/b".to_owned(), place: Place::Server("b".to_owned()) };
        assert_eq!(database.url_over("127.0.0.1:5432", "127.0.0.1:7"), "postgres://u@127.0.0.1:7/b");
    }
}
