//! The texts of the migrations, which the program carries with it.
//!
//! The driver's own macro would find the files by itself. But it builds the driver, with SQLite, once more for the compiler
//! alone.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The digits that a file's name begins with.
const NUMBER_LEN: usize = 4;

/// A migration's file.
struct File {
    version: i64,
    description: &'static str,
    text: &'static str,
}

impl File {
    /// Reads a name as the driver does: `0007_from_0006_trace_context` is version 7, `from_0006_trace_context`.
    #[expect(clippy::panic, reason = "evaluated by the compiler: a name without a number fails the build")]
    const fn named(name: &'static str, text: &'static str) -> Self {
        let (number, description) = name.split_at(NUMBER_LEN);
        let Ok(version) = i64::from_str_radix(number, 10) else { panic!("a migration's name begins with its number") };
        Self { version, description: description.split_at(1).1, text }
    }
}

/// The files of one database. A new migration adds its name here, once for both databases.
macro_rules! files {
    ($database:literal) => {
        files! {
            $database:
            "0001_first",
            "0002_upstream",
            "0003_refusals",
            "0004_books",
            "0005_reconciliation",
            "0006_balances",
            "0007_from_0006_trace_context",
            "0008_from_0007_kinds",
            "0009_from_0007_one_outbox",
            "0010_from_0007_ledger_accounts",
            "0011_from_0007_targets",
            "0012_from_0007_feeds",
            "0013_from_0007_days_and_windows",
            "0014_from_0007_handed_out",
            "0015_from_0007_queues",
            "0016_from_0007_order_numbers",
            "0017_from_0007_card_fingerprint",
            "0018_from_0007_card_activation",
            "0019_from_0007_access_tokens",
            "0020_from_0007_create_members",
            "0021_from_0007_key_pairs",
            "0022_from_0007_reach",
            "0023_from_0007_append_only",
            "0024_from_0007_audit",
            "0025_from_0007_reveals",
            "0026_from_0007_funds_floors",
            "0027_from_0007_moved",
            "0028_from_0007_later_scopes",
            "0029_from_0007_lists",
            "0030_from_0007_shapes",
            "0031_from_0007_retention",
            "0032_from_0007_webhooks",
            "0033_from_0007_funded",
            "0034_from_0007_batches",
            "0035_from_0007_console",
            "0036_from_0007_payments",
            "0037_from_0007_captures",
            "0038_from_0007_memberships",
            "0039_from_0007_notifications",
            "0040_from_0007_membership_claims",
        }
    };
    ($database:literal: $($name:literal,)+) => {
        &[$(File::named($name, include_str!(concat!("../../migrations/", $database, "/", $name, ".sql")))),+]
    };
}

const SQLITE: &[File] = files!("sqlite");
const POSTGRES: &[File] = files!("postgres");

pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE.iter())
}

/// These of SQLite's migrations, and no other. `None` when one of them is not this program's.
pub(super) fn sqlite_of(versions: &[i64]) -> Option<Migrator> {
    let known = |version: &i64| SQLITE.iter().any(|file| file.version == *version);
    let asked = SQLITE.iter().filter(|file| versions.contains(&file.version));
    versions.iter().all(known).then(|| migrator(asked))
}

pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES.iter())
}

fn migrator(files: impl Iterator<Item = &'static File>) -> Migrator {
    let migrations = files.map(|file| {
        let description = file.description.replace('_', " ").into();
        let alone = file.text.starts_with("-- no-transaction");
        Migration::new(file.version, description, MigrationType::Simple, file.text.into_sql_str(), alone)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // What a later program has applied is judged by its name (`super::migrate::schema`).
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_program_carries_each_file_of_the_folder_as_the_driver_reads_it() {
        for (folder, ours) in [("migrations/sqlite", sqlite()), ("migrations/postgres", postgres())] {
            let read = Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).await.unwrap();
            let facts = |migrator: &Migrator| -> Vec<_> {
                let all = migrator.iter();
                all.map(|one| (one.version, one.description.clone(), one.checksum.clone(), one.no_tx)).collect()
            };
            assert_eq!(facts(&ours), facts(&read), "{folder}: name a new file in this module");
        }
    }
}
