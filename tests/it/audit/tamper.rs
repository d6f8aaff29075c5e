//! What somebody changes, drops, swaps or cuts afterwards.

use std::sync::Arc;

use noshi::{
    audit::{
        AuditHash, AuditRecord,
        verify::{KeptHeads, Misfit, Verifier},
    },
    config::{Sealing, SealingKey},
    sealing::{AuditKeys, Keyring},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use secrecy::SecretBox;
use serde_json::json;

use super::{command, done};
use crate::support::{
    App, Backend, on_each_backend,
    rounds::{count_of, print, seed},
};

/// Records of the chain that is tampered with.
const RECORDS: i64 = 1_000;

fn keys() -> AuditKeys {
    let key = SealingKey {
        id: "2026-11".parse().unwrap(),
        file: "key".into(),
        key: Arc::new(SecretBox::new(Box::new(std::array::from_fn(|at| at as u8)))),
    };
    Keyring::new(&Sealing { keys: vec![key] }).unwrap().audit_keys()
}

fn chain(keys: &AuditKeys) -> Vec<AuditRecord> {
    let (mut all, mut previous) = (Vec::new(), AuditHash::NONE);
    for sequence in 1..=RECORDS {
        let mut record = AuditRecord {
            sequence,
            at_us: 1_795_780_800_000_000 + sequence,
            actor: json!({"kind": "command", "user": "root", "host": format!("desk-{}", sequence % 7)}).to_string(),
            action: "key.created".to_owned(),
            subject: format!("key_{sequence:032x}"),
            details: json!({"name": "shop", "scopes": "rewards:write"}).to_string(),
            hash_key: Some("2026-11".to_owned()),
            previous,
            hash: AuditHash::NONE,
        };
        record.hash = record.expected_hash(keys).unwrap();
        previous = record.hash;
        all.push(record);
    }
    all
}

fn flip_text(text: &mut String, random: &mut StdRng) {
    let mut bytes = std::mem::take(text).into_bytes();
    let at = random.random_range(0..bytes.len());
    bytes[at] ^= 1 << random.random_range(0..7);
    *text = String::from_utf8(bytes).unwrap();
}

fn flip_hash(hash: &mut AuditHash, random: &mut StdRng) {
    hash.0[random.random_range(0..32)] ^= 1 << random.random_range(0..8);
}

/// Flips one bit of one member of one record.
fn flip(record: &mut AuditRecord, random: &mut StdRng) {
    match random.random_range(0..9) {
        0 => record.sequence ^= 1 << random.random_range(0..62),
        1 => record.at_us ^= 1 << random.random_range(0..62),
        2 => flip_text(&mut record.actor, random),
        3 => flip_text(&mut record.action, random),
        4 => flip_text(&mut record.subject, random),
        5 => flip_text(&mut record.details, random),
        6 => flip_text(record.hash_key.as_mut().unwrap(), random),
        7 => flip_hash(&mut record.previous, random),
        _ => flip_hash(&mut record.hash, random),
    }
}

/// Whether what a forger without the key made of the chain is found.
fn is_found(records: &[AuditRecord], keys: &AuditKeys, kept: &KeptHeads) -> bool {
    let mut verifier = Verifier::new(keys, kept.clone());
    records.iter().any(|record| verifier.take(record).is_err()) || verifier.end().is_err()
}

/// How many were tried of each kind. `NOSHI_TEST_AUDIT_TRIES` is the number of all.
#[test]
fn whatever_becomes_of_a_record_is_found() {
    let (tries, seed) = (count_of("NOSHI_TEST_AUDIT_TRIES", 100), seed());
    let (keys, mut random) = (keys(), StdRng::seed_from_u64(seed));
    let whole = chain(&keys);
    let last = whole.last().unwrap();
    let kept = KeptHeads::from([(last.sequence, last.hash)]);
    assert!(!is_found(&whole, &keys, &kept), "the chain that nobody touched");
    let (mut records, mut counts) = (whole.clone(), [0; 6]);
    for _ in 0..tries {
        let kind = random.random_range(0..counts.len());
        let at = random.random_range(0..records.len() - 1);
        match kind {
            0 => flip(&mut records[at], &mut random),
            1 => drop(records.remove(at)),
            2 => records.swap(at, at + 1),
            3 => records.truncate(at + 1),
            4 => records.insert(at + 1, records[at].clone()),
            // As somebody does it who can write the database and knows the form, but not the key.
            _ => {
                records[at].details = json!({"name": "forged"}).to_string();
                records[at].hash_key = None;
                records[at].hash = records[at].expected_hash(&AuditKeys::default()).unwrap();
                if let Some(next) = records.get(at + 1).map(|_next| records[at].hash) {
                    records[at + 1].previous = next;
                }
            }
        }
        assert!(is_found(&records, &keys, &kept), "kind {kind} at {at}: seed {seed}");
        counts[kind] += 1;
        records.clone_from(&whole);
    }
    print(&format!(
        "audit: {tries} tries on {RECORDS} records, all found: flipped, dropped, swapped, cut, doubled, forged {counts:?}"
    ));
}

#[test]
fn the_first_record_that_does_not_fit_is_named_with_what_was_expected() {
    let keys = keys();
    let mut records = chain(&keys);
    records.remove(6);
    let mut verifier = Verifier::new(&keys, KeptHeads::new());
    let fault = records.iter().find_map(|record| verifier.take(record).err()).unwrap();
    assert_eq!((fault.sequence, fault.misfit), (8, Misfit::Number));
    assert_eq!(fault.to_string(), "record 8 has a number that is out of order: expected 7, found 8");
}

on_each_backend! {
    async fn the_database_refuses_a_change_and_the_verification_finds_one_that_was_forced(backend: Backend) {
        let app = App::spawn(backend).await;
        for client in ["one", "two", "three"] {
            done(&app, &["keys", "create", "--client", client, "--new-client"]);
        }
        let change = "UPDATE audit_records SET details = '{\"name\":\"other\"}' WHERE sequence = 3";
        for refused in [change, "DELETE FROM audit_records WHERE sequence = 3"] {
            let error = app.database.execute(refused).await.unwrap_err().to_string();
            assert!(error.contains("audit_records is append-only"), "{error}");
        }
        let lift = match backend {
            Backend::Sqlite => "DROP TRIGGER audit_records_no_update",
            Backend::Postgres => "DROP TRIGGER audit_records_no_change ON audit_records",
        };
        app.database.execute(lift).await.unwrap();
        app.database.execute(change).await.unwrap();
        let (code, out, error) = command(&app, &["audit", "verify"]);
        assert!(code == Some(1) && out.is_empty() && error.contains("record 3 was changed: expected "), "{out}{error}");
        if backend == Backend::Postgres {
            hide_marks_of_a_terminal(&app).await;
        }
        app.end().await;
    }
}

/// The owner of the tables can lift their checks as well.
async fn hide_marks_of_a_terminal(app: &App) {
    let names = "SELECT conname FROM pg_constraint WHERE conrelid = 'audit_records'::regclass AND contype = 'c'";
    let lift = format!(
        "DO $$ DECLARE name TEXT; BEGIN FOR name IN {names} LOOP \
         EXECUTE format('ALTER TABLE audit_records DROP CONSTRAINT %I', name); END LOOP; END $$"
    );
    app.database.execute(&lift).await.unwrap();
    let hidden = "UPDATE audit_records SET subject = chr(27) || '[2J', hash_key = chr(27) || '[8m' WHERE sequence = 2";
    app.database.execute(hidden).await.unwrap();
    let listed = done(app, &["audit", "list"]);
    assert!(listed.contains("\\u{1b}[2J") && !listed.contains('\u{1b}'), "{listed}");
    let (_code, _out, error) = command(app, &["audit", "verify"]);
    assert!(error.contains("\\u{1b}[8m") && !error.contains('\u{1b}'), "{error}");
}
