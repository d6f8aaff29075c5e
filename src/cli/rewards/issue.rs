//! A reward is issued.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::one::{Codes, say_reward, settled};
use crate::{
    cli::{
        CommandError,
        service::{CallError, ServiceArguments},
    },
    client::Ask,
};

#[derive(Args)]
pub(in crate::cli) struct IssueArguments {
    /// What makes it the same reward when the command runs again: an order's number, say.
    #[arg(long)]
    key: String,
    /// What it is worth: a decimal number with the currency's decimal places.
    #[arg(long)]
    amount: String,
    /// ISO 4217: USD, JPY …
    #[arg(long)]
    currency: String,
    /// The account that pays; needed where several deal in the currency.
    #[arg(long)]
    account: Option<String>,
    /// The program to charge, `prg_…`.
    #[arg(long)]
    program: Option<String>,
    /// What to buy.
    #[arg(long, default_value = "gift_code")]
    kind: String,
    /// A file with what it acts on, a JSON object, for kinds that act on something; `-` is standard input. As an argument every
    /// user of this machine would see it.
    #[arg(long, value_name = "FILE")]
    target_file: Option<PathBuf>,
    /// Your own reference, unique for the client.
    #[arg(long, value_name = "TEXT")]
    external_id: Option<String>,
    /// A text of your own by its name; may be given several times.
    #[arg(long, value_name = "NAME=TEXT", value_parser = named)]
    metadata: Vec<(String, String)>,
    /// What becomes of it when the outcome stays unknown.
    #[arg(long, value_enum)]
    on_unresolved: Option<UnresolvedWord>,
    /// Print the claim code. Without it the code is not printed, and `noshi rewards reveal` shows it later.
    #[arg(long)]
    show_code: bool,
    /// How long to wait for the outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    #[command(flatten)]
    service: ServiceArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum UnresolvedWord {
    Keep,
    Cancel,
}

/// A longer target is none.
const TARGET_BYTES_MAX: u64 = 64 * 1024;

fn named(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(arguments: IssueArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let body = body(&arguments)?;
    let path = ["rewards"];
    let key = quoted(&arguments.key)?;
    let ask = Ask::post(&path, &body).once_for(&key);
    let reply = service.ask(&ask).await.map_err(CallError::from)?;
    let codes = if arguments.show_code { Codes::Shown } else { Codes::Withheld };
    let was_open = reply.status == 202;
    let mut reply = settled(&service, reply, arguments.wait, |reward| reward.claim_code.is_some()).await?;
    if was_open && codes == Codes::Shown {
        // Its code is in the answer to the same key alone.
        reply = service.ask(&ask).await.map_err(CallError::from)?;
    }
    say_reward(&reply, arguments.service.json, codes, &["issued"])
}

/// As a structured field (RFC 8941), which the header is.
fn quoted(key: &str) -> Result<String, CallError> {
    let printable = !key.is_empty() && key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if !printable {
        return Err(CallError::Usage("--key: expected printable ASCII characters".to_owned()));
    }
    Ok(format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn body(arguments: &IssueArguments) -> Result<Value, CallError> {
    let mut body = Map::new();
    body.insert("kind".to_owned(), json!(arguments.kind));
    body.insert("value".to_owned(), json!({"amount": arguments.amount, "currency_code": arguments.currency}));
    let on_unresolved = arguments.on_unresolved.map(|word| match word {
        UnresolvedWord::Keep => "keep".to_owned(),
        UnresolvedWord::Cancel => "cancel".to_owned(),
    });
    let texts = [
        ("account_id", &arguments.account),
        ("program_id", &arguments.program),
        ("external_id", &arguments.external_id),
        ("on_unresolved", &on_unresolved),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body.insert(name.to_owned(), json!(text));
        }
    }
    if !arguments.metadata.is_empty() {
        let texts: Map<String, Value> =
            arguments.metadata.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
        if texts.len() < arguments.metadata.len() {
            return Err(CallError::Usage("--metadata: a name is given twice".to_owned()));
        }
        body.insert("metadata".to_owned(), Value::Object(texts));
    }
    if let Some(file) = &arguments.target_file {
        body.insert("target".to_owned(), target(file)?);
    }
    Ok(Value::Object(body))
}

/// What the file says. An error quotes nothing of it.
fn target(file: &Path) -> Result<Value, CallError> {
    let wrong = |why: &str| CallError::Usage(format!("--target-file {}: {why}", file.display()));
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if file == Path::new("-") {
        read(io::stdin().lock(), &mut bytes)
    } else {
        fs::File::open(file).and_then(|opened| read(opened, &mut bytes))
    };
    read.map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let found: Option<Map<String, Value>> = serde_json::from_slice(&bytes).ok();
    found.map(Value::Object).ok_or_else(|| wrong("expected a JSON object"))
}

fn read(from: impl io::Read, into: &mut Vec<u8>) -> io::Result<usize> {
    use io::Read as _;
    from.take(TARGET_BYTES_MAX).read_to_end(into)
}
