//! A campaign runs: its file becomes batches, and the command waits for them. The service works on its own: whoever ends the command
//! ends nothing, and the same command again finds the same batches.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    OUTCOMES,
    file::{CampaignPart, CampaignTerms, uploads},
    number,
};
use crate::{
    cli::{
        CommandError, say,
        service::{CallError, NOT_KNOWN_YET, REFUSED, ServiceArguments, text},
    },
    client::{Ask, ServiceClient, ServiceError, pages::ListWalk},
    kernel::glyphs::tame,
};

/// How often the service is asked how far it has come.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(in crate::cli) struct CampaignArguments {
    /// The file: CSV, whose first line names the columns external_id, amount, currency_code, and perhaps kind and metadata.NAME.
    file: PathBuf,
    /// The campaign's name, to find its batches by.
    #[arg(long)]
    name: Option<String>,
    /// The account that pays; needed where several deal in the currency.
    #[arg(long)]
    account: Option<String>,
    /// The program to charge, `prg_…`.
    #[arg(long)]
    program: Option<String>,
    /// Write what became of each order into this file, as CSV. It must not be there yet.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// End once all of it is written down at the service, which goes on alone.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    service: ServiceArguments,
}

/// A batch that the service has.
struct SentBatch {
    id: String,
    newest: Value,
}

impl SentBatch {
    fn has_ended(&self) -> bool {
        !text(&self.newest, "/ended_at").is_empty()
    }

    fn count(&self, outcome: &str) -> u64 {
        number(&self.newest, &format!("/counts/{outcome}"))
    }

    /// Items of which nothing more becomes by itself.
    fn done(&self) -> u64 {
        let open: u64 = ["waiting", "sent", "unresolved"].into_iter().map(|outcome| self.count(outcome)).sum();
        number(&self.newest, "/items").saturating_sub(open)
    }

    /// What it waits for, where it does.
    fn held_by(&self) -> &str {
        let paused = text(&self.newest, "/state") == "paused";
        if paused { "paused" } else { text(&self.newest, "/waiting_for") }
    }
}

pub(super) async fn run(arguments: CampaignArguments) -> Result<ExitCode, CommandError> {
    let service = arguments.service.service()?;
    let CampaignArguments { name, account, program, .. } = &arguments;
    let common = CampaignTerms { name: name.clone(), account: account.clone(), program: program.clone() };
    let uploads = uploads(&arguments.file, &common).map_err(|fault| CallError::File(Box::new(fault)))?;
    // Before anything is bought. It is made at the end, so that a command that was ended before can run again.
    if let Some(file) = arguments.results.as_ref().filter(|file| file.exists()) {
        return Err(CallError::Usage(format!("--results {}: is there already", file.display())).into());
    }
    let items = uploads.iter().map(|upload| upload.items).sum();
    let bar = progress(items);
    let mut sent = Vec::new();
    for upload in &uploads {
        match send(&service, upload, &bar).await {
            Ok(batch) => sent.push(batch),
            Err(error) => {
                bar.finish_and_clear();
                say_what_was_sent(&sent)?;
                return Err(error.into());
            }
        }
        show(&bar, &sent);
    }
    if !arguments.no_wait {
        wait(&service, &mut sent, &bar).await?;
    }
    bar.finish_and_clear();
    if let Some(file) = &arguments.results {
        write_results(&service, &sent, fs::File::create_new(file)?).await?;
    }
    summary(&sent, items, arguments.service.json)
}

/// What is bought although a later part of the file was refused.
fn say_what_was_sent(sent: &[SentBatch]) -> io::Result<()> {
    let items: u64 = sent.iter().map(|batch| number(&batch.newest, "/items")).sum();
    if items == 0 {
        return Ok(());
    }
    writeln!(
        io::stderr(),
        "the first {items} orders were sent before, and are bought. Once the file is right, run the command again: each order is bought once"
    )
}

/// Has a batch written down at the service. One that it has already is answered as it is now.
async fn send(service: &ServiceClient, upload: &CampaignPart, bar: &ProgressBar) -> Result<SentBatch, CallError> {
    let ask = Ask::post(&["batches"], &upload.body).once_for(&upload.key);
    loop {
        match service.ask(&ask).await {
            Ok(reply) => {
                let newest: Value = reply.json()?;
                return Ok(SentBatch { id: text(&newest, "/id").to_owned(), newest });
            }
            // As many as a client may have are running: one of them ends.
            Err(ServiceError::Refused(refusal)) if refusal.code == "too-many-batches" => {
                bar.set_message("too many batches are running, waiting for one to end");
                service.rest(LOOK).await;
            }
            Err(ServiceError::Refused(refusal)) => {
                let placed = refusal.placed(|pointer| upload.place(pointer));
                return Err(ServiceError::Refused(Box::new(placed)).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until all of them have ended.
async fn wait(service: &ServiceClient, sent: &mut [SentBatch], bar: &ProgressBar) -> Result<(), CallError> {
    loop {
        for batch in sent.iter_mut().filter(|batch| !batch.has_ended()) {
            let path = ["batches", &batch.id];
            batch.newest = service.ask(&Ask::get(&path)).await?.json()?;
        }
        show(bar, sent);
        if sent.iter().all(SentBatch::has_ended) {
            return Ok(());
        }
        service.rest(LOOK).await;
    }
}

/// A bar on a terminal, and nothing anywhere else.
fn progress(items: u64) -> ProgressBar {
    let bar = ProgressBar::new(items);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed} so far, {eta} left  {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, sent: &[SentBatch]) {
    bar.set_position(sent.iter().map(SentBatch::done).sum());
    let held = sent.iter().find(|batch| !batch.has_ended() && !batch.held_by().is_empty());
    let refused: u64 = sent.iter().map(|batch| batch.count("refused").saturating_add(batch.count("failed"))).sum();
    let held = held.map(|batch| format!("{} waits: {}", batch.id, batch.held_by()));
    let refused = (refused > 0).then(|| format!("{refused} refused or failed"));
    bar.set_message([held, refused].into_iter().flatten().collect::<Vec<_>>().join(", "));
}

async fn write_results(service: &ServiceClient, sent: &[SentBatch], file: fs::File) -> Result<(), CommandError> {
    let mut writer = csv::Writer::from_writer(io::BufWriter::new(file));
    let failed = |error: csv::Error| io::Error::other(error);
    writer.write_record(["external_id", "outcome", "reward_id", "problem"]).map_err(failed)?;
    for batch in sent {
        let path = ["batches", &batch.id, "items"];
        let mut pages = ListWalk::new(service, &path, Vec::new(), usize::MAX);
        while let Some(page) = pages.next().await.map_err(CallError::from)? {
            for item in &page {
                let pointers = ["/external_id", "/outcome", "/reward_id", "/problem/code"];
                let cells = pointers.map(|pointer| tame(text(item, pointer)).into_owned());
                writer.write_record(cells).map_err(failed)?;
            }
        }
    }
    writer.flush()?;
    Ok(())
}

/// Says what became of it. The exit code is 0 where all of it is issued, 3 where some is not and never will be by itself, 4 where
/// the service is still at it.
fn summary(sent: &[SentBatch], items: u64, as_json: bool) -> Result<ExitCode, CommandError> {
    let counts: Vec<(&str, u64)> =
        OUTCOMES.into_iter().map(|outcome| (outcome, sent.iter().map(|batch| batch.count(outcome)).sum())).collect();
    let ids: Vec<&str> = sent.iter().map(|batch| batch.id.as_str()).collect();
    if as_json {
        let counts: serde_json::Map<String, Value> =
            counts.iter().map(|(outcome, count)| ((*outcome).to_owned(), json!(count))).collect();
        say(&json!({"items": items, "counts": counts, "batches": ids}).to_string())?;
    } else {
        let said: Vec<String> = counts
            .iter()
            .filter(|(_outcome, count)| *count > 0)
            .map(|(outcome, count)| format!("{count} {}", outcome.replace('_', " ")))
            .collect();
        say(&format!("{items} orders in {} batches: {}", ids.len(), said.join(", ")))?;
    }
    io::stdout().flush()?;
    let issued = counts.iter().any(|(outcome, count)| *outcome == "issued" && *count == items);
    Ok(match (issued, sent.iter().all(SentBatch::has_ended)) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(REFUSED),
        (false, false) => ExitCode::from(NOT_KNOWN_YET),
    })
}
