//! The commands that our pages offer for copying work, and the runbook has every section that it must have.

use std::{fs, path::Path};

use clap::Parser;
use uuid::Uuid;

use super::Cli;
use crate::{
    engine::AttentionReason,
    kernel::{ApiKeyId, ClientId, MembershipId, RewardId, WebhookEndpointId},
};

const RUNBOOK: &str = "k8s/monitoring/RUNBOOK.md";
/// The pages that offer commands for copying.
const PAGES: [&str; 4] = [
    RUNBOOK,
    "k8s/overlays/postgres/kustomization.yaml",
    "k8s/overlays/sandbox/kustomization.yaml",
    "k8s/overlays/sqlite/kustomization.yaml",
];

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

/// The commands of a page, on one line each: our own, bare or run in a container.
fn commands(page: &str) -> Vec<String> {
    let joined = page.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.trim_start_matches('#').trim());
    let command = |line: &str| match line.split_once(" -- noshi ") {
        Some((before, ours)) if before.starts_with("kubectl ") => Some(format!("noshi {ours}")),
        _ => line.starts_with("noshi ").then(|| line.to_owned()),
    };
    lines.filter_map(command).collect()
}

/// The id of nothing.
const AN_ID: Uuid = Uuid::from_u128(0x7000_8000_0000_0000_0000);

/// The words of a command as a shell makes them, with something real where a reader puts their own.
fn words_of(command: &str) -> Vec<String> {
    let command = command.split(" > ").next().unwrap_or(command);
    let command = command
        .replace("rwd_…", &RewardId::new(AN_ID).to_string())
        .replace("mbr_…", &MembershipId::new(AN_ID).to_string())
        .replace("PERIOD", "3")
        .replace("ENDPOINT_ID", &WebhookEndpointId::new(AN_ID).to_string())
        .replace("KEY_ID", &ApiKeyId::new(AN_ID).to_string())
        .replace("CLIENT_ID", &ClientId::of_name("shop").to_string())
        .replace("$ID", &RewardId::new(AN_ID).to_string())
        .replace("$FOUND", "issued")
        .replace("$SHA256", &"0".repeat(64))
        .replace("$FIRST_DAY", "2026-11-01")
        .replace("$LAST_DAY", "2026-11-02");
    let mut words = Vec::new();
    for (at, part) in command.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            // Of alternatives, the first.
            words.extend(part.split_whitespace().map(|word| word.split('|').next().unwrap_or(word).to_owned()));
        }
    }
    words
}

#[test]
fn every_command_that_people_copy_is_one() {
    for page in PAGES {
        for command in commands(&read(page)) {
            if let Err(error) = Cli::try_parse_from(words_of(&command)) {
                panic!("{page}: {command}: {error}");
            }
        }
    }
    assert!(commands(&read(RUNBOOK)).len() >= 8, "the commands of the runbook are not found");
    for bad in ["noshi rewards attention settle rwd_… --as issued", "noshi key list", "noshi keys revoke 7"] {
        assert!(Cli::try_parse_from(words_of(bad)).is_err(), "{bad}");
    }
    let both =
        "#  kubectl -n noshi exec noshi-0 -- noshi keys list\nthe words noshi serve\n$ noshi\nnoshi ledger \\\n  sums";
    assert_eq!(commands(both), ["noshi keys list", "noshi ledger    sums"]);
}

#[test]
fn the_runbook_says_how_each_cause_is_settled() {
    let runbook = read(RUNBOOK);
    let (_before, payments) = runbook.split_once("### NoshiPaymentNeedsAttention").unwrap();
    let (payments, _after) = payments.split_once("\n## ").unwrap();
    let rows = |text: &str, cause: AttentionReason| {
        let row = format!("| `{}` |", cause.as_str());
        text.lines().filter(|line| line.starts_with(&row)).count()
    };
    for cause in AttentionReason::ALL {
        let of_payments = match cause {
            AttentionReason::Unproven
            | AttentionReason::RefusedInDoubt
            | AttentionReason::Mismatch
            | AttentionReason::OddStatus
            | AttentionReason::CancelUnproven => 1,
            // Held money ends by itself, nobody has a receipt of it, and no reconciliation makes one.
            AttentionReason::CanceledElsewhere
            | AttentionReason::CancelFailed
            | AttentionReason::DoneElsewhere
            | AttentionReason::Adopted => 0,
        };
        let (all, word) = (rows(&runbook, *cause), cause.as_str());
        assert_eq!(
            (rows(payments, *cause), all),
            (of_payments, of_payments + 1),
            "{word}: of payments, and with rewards"
        );
    }
}

/// Anchors as the usual renderers make them of headings.
#[test]
fn every_link_inside_the_runbook_leads_somewhere() {
    let runbook = read(RUNBOOK);
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    let anchors: Vec<String> = runbook.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let links: Vec<&str> = runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links {
        assert!(anchors.iter().any(|anchor| anchor == link), "{link} leads nowhere");
    }
}

/// Whoever exports the portal's file reads one of these, and never the source.
#[test]
fn help_and_page_name_every_column_of_the_portals_file() {
    let mut cli = <Cli as clap::CommandFactory>::command();
    let help = cli.find_subcommand_mut("reconcile").unwrap().render_long_help().to_string();
    let page = read("k8s/README.md");
    for name in crate::treasury::reconciliation::csv::COLUMNS.iter().flat_map(|column| column.names) {
        assert!(help.contains(name), "{name} is missing in\n{help}");
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
