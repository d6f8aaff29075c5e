//! How a command that works through the API finds its service.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::{CommandError, batch::FileFault, say};
use crate::{
    client::{ServiceClient, ServiceError},
    config::client::{NoApiKey, ServiceVariables},
};

/// The exit code where the service refuses, or has nothing of that name.
pub(super) const REFUSED: u8 = 3;
/// The exit code where the outcome is not known yet: the same command again asks for it.
pub(super) const NOT_KNOWN_YET: u8 = 4;

/// Where the service is, and what is printed.
#[derive(Args)]
#[command(next_help_heading = "Service")]
pub(super) struct ServiceArguments {
    /// Where the service is; `NOSHI_URL` unless given, or else http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The file of the API key; `NOSHI_API_KEY_FILE` unless given, or else the key itself in `NOSHI_API_KEY`.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Ask a service on another machine without TLS. Whoever is on the way then sees the key.
    #[arg(long)]
    plain_http: bool,
    /// Print what the service answered, as JSON; of a list, an entry a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Why no service was asked, or what it answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Key(#[from] NoApiKey),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    File(#[from] Box<FileFault>),
    #[error("no reward has {0:?} as its id, its order number or Amazon's id")]
    NothingFound(String),
}

impl CallError {
    /// 1: nobody answered, or oddly. 2: usage. 3: refused, or not there.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Key(_)
            | Self::Usage(_)
            | Self::File(_)
            | Self::Service(ServiceError::Url | ServiceError::PlainHttp | ServiceError::Key | ServiceError::Segment) => {
                2
            }
            Self::Service(ServiceError::Refused(_)) | Self::NothingFound(_) => REFUSED,
            Self::Service(
                ServiceError::NoClient(_)
                | ServiceError::Unreached(..)
                | ServiceError::Unheard(..)
                | ServiceError::Odd(_),
            ) => 1,
        }
    }
}

impl ServiceArguments {
    /// The service that is meant.
    pub(super) fn service(&self) -> Result<ServiceClient, CallError> {
        let variables = ServiceVariables::read();
        let url = self.url.clone().or_else(|| variables.url.clone());
        let key = variables.api_key(self.api_key_file.as_deref())?;
        let url = url.unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
        Ok(ServiceClient::new(&url, &key, self.plain_http)?)
    }
}

/// Prints rows under their heads, in columns.
pub(super) fn say_table(heads: &[&str], rows: Vec<Vec<String>>) -> Result<ExitCode, CommandError> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.to_vec());
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let of_numbers: Vec<bool> =
        (0..heads.len()).map(|at| rows.iter().all(|row| row.get(at).is_some_and(is_number))).collect();
    table.add_rows(rows);
    for (column, of_numbers) in table.column_iter_mut().zip(of_numbers) {
        column.set_padding((0, 2));
        if of_numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    say(&table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
}

/// Prints entries as the service wrote them, one a line.
pub(super) fn say_lines(entries: &[Value]) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    entries.iter().try_for_each(|entry| writeln!(out, "{entry}")).map_err(Into::into)
}

/// The text of a member; empty where it has none.
pub(super) fn text<'a>(entry: &'a Value, pointer: &str) -> &'a str {
    entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
