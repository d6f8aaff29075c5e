//! Compares the schema of a back-up with what the migrations that it names make of an empty database. A trigger that somebody
//! added, or a CHECK that is gone, would decide over money from then on, and no page of the file is damaged by it.

use std::{collections::BTreeMap, iter::Peekable, path::Path, str::Chars};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{RestoreError, StoreError};
use crate::store::{backup, embedded, row, sql};

// SQLite's alone: they are no `statements!`.
const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
const OBJECTS: &str = "SELECT type AS kind, name, tbl_name AS of_table, COALESCE(sql, '') AS text FROM sqlite_schema";

/// Tables that SQLite makes for its planner where an operator ran ANALYZE. They decide how a row is found, and not which.
const OF_THE_PLANNER: [(&str, &str); 2] = [
    ("sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("sqlite_stat4", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
];

row! {
    struct VersionRow { version: i64 }
}

row! {
    struct ObjectRow { kind: String, name: String, of_table: String, text: String }
}

/// What a schema has: each table, index, trigger and view by its kind and name, with its table and its text.
type Objects = BTreeMap<(String, String), (String, String)>;

/// Compares a file that no process writes.
///
/// # Errors
/// [`RestoreError::Later`] when it names a migration that this program does not have: what that one makes is not known here.
/// [`RestoreError::AnotherSchema`] with each object that differs.
pub(super) async fn compare(file: &Path) -> Result<(), RestoreError> {
    let mut connection = backup::open(file).await?;
    let compared = compare_open(&mut connection).await;
    connection.close().await.map_err(|error| StoreError::database("close", error))?;
    compared
}

/// The same of a file that is open.
///
/// # Errors
/// As [`compare`].
pub(super) async fn compare_open(connection: &mut SqliteConnection) -> Result<(), RestoreError> {
    let (versions, theirs) = read(connection).await?;
    let ours = made_by(&versions).await?;
    let differences = differences(&theirs, &ours);
    if differences.is_empty() { Ok(()) } else { Err(RestoreError::AnotherSchema(differences.join("; "))) }
}

async fn read(connection: &mut SqliteConnection) -> Result<(Vec<i64>, Objects), StoreError> {
    let applied: Vec<VersionRow> = sql::sqlite_as(APPLIED)
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| StoreError::database("schema.applied", error))?;
    Ok((applied.into_iter().map(|row| row.version).collect(), objects(connection).await?))
}

async fn objects(connection: &mut SqliteConnection) -> Result<Objects, StoreError> {
    let rows: Vec<ObjectRow> = sql::sqlite_as(OBJECTS)
        .fetch_all(connection)
        .await
        .map_err(|error| StoreError::database("schema.objects", error))?;
    let of_the_planner = |row: &ObjectRow| {
        row.kind == "table" && OF_THE_PLANNER.iter().any(|(name, text)| row.name == *name && row.text == *text)
    };
    let ours = rows.into_iter().filter(|row| !of_the_planner(row));
    Ok(ours.map(|row| ((row.kind, row.name), (row.of_table, normal(&row.text)))).collect())
}

/// The schema of an empty database, in memory, after these migrations.
async fn made_by(versions: &[i64]) -> Result<Objects, RestoreError> {
    let migrator = embedded::sqlite_of(versions).ok_or(RestoreError::Later)?;
    let options = SqliteConnectOptions::new().in_memory(true).disable_statement_logging();
    let mut memory = options.connect().await.map_err(|error| StoreError::database("connect", error))?;
    migrator.run_direct(None, &mut memory, false).await.map_err(StoreError::Migrate)?;
    let made = objects(&mut memory).await?;
    memory.close().await.map_err(|error| StoreError::database("close", error))?;
    Ok(made)
}

/// Each object that is in one schema alone, or not the same in both. Its name is the file's, so it is escaped.
fn differences(theirs: &Objects, ours: &Objects) -> Vec<String> {
    let added = theirs.keys().filter(|key| !ours.contains_key(*key)).map(|key| (key, "no migration makes it"));
    let wrong = ours.iter().filter_map(|(key, made)| match theirs.get(key) {
        None => Some((key, "it is missing")),
        Some(has) => (has != made).then_some((key, "it is another than the migrations make")),
    });
    let words = |((kind, name), why): (&(String, String), &str)| {
        format!("{} {}: {why}", kind.escape_debug(), name.escape_debug())
    };
    added.chain(wrong).map(words).collect()
}

/// The text of an object without comments, and with one blank for each gap. What stands in quotes stays as it is.
fn normal(text: &str) -> String {
    let (mut rest, mut plain) = (text.chars().peekable(), String::with_capacity(text.len()));
    let mut gap = false;
    while let Some(next) = rest.next() {
        let is_comment = match (next, rest.peek().copied()) {
            ('-', Some('-')) => skip_past(&mut rest, "\n"),
            ('/', Some('*')) => skip_past(&mut rest, "*/"),
            _ => false,
        };
        if is_comment || next.is_ascii_whitespace() {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) && !plain.is_empty() {
            plain.push(' ');
        }
        plain.push(next);
        let end = match next {
            '\'' | '"' | '`' => next,
            '[' => ']',
            _ => continue,
        };
        // A quote within quotes is written twice: the second one opens what is copied next.
        for quoted in rest.by_ref() {
            plain.push(quoted);
            if quoted == end {
                break;
            }
        }
    }
    plain
}

/// Leaves out a comment to its end, or to the end of the text.
fn skip_past(rest: &mut Peekable<Chars<'_>>, end: &str) -> bool {
    // The second character that began it ends nothing.
    rest.next();
    let mut last = String::new();
    for skipped in rest.by_ref() {
        last.push(skipped);
        if last.ends_with(end) {
            break;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_comments_make_no_difference_and_everything_else_does() {
        let text = "CREATE TABLE t (a TEXT CHECK (a <> 'x  y'), -- why\n  b TEXT)";
        for same in [
            "CREATE TABLE t (a TEXT CHECK (a <> 'x  y'), b TEXT)",
            "CREATE TABLE\tt (a TEXT /* why -- not */ CHECK (a\n<> 'x  y'), b TEXT)-- end",
        ] {
            assert_eq!(normal(same), normal(text), "{same}");
        }
        for other in [
            "CREATE TABLE t (a TEXT CHECK (a <> 'x y'), b TEXT)",
            "CREATE TABLE t (a TEXT CHECK (a <> 'x  y'), -- why  b TEXT)",
            "CREATE TABLE t (a TEXT CHECK (a <> 'x  y'), 'b' TEXT)",
            "CREATE TABLE t (a TEXT CHECK (a <> 'x  y' -- why\n), bTEXT)",
            "CREATE TABLE t (a TEXT, -- CHECK (a <> 'x  y')\n b TEXT)",
        ] {
            assert_ne!(normal(other), normal(text), "{other}");
        }
        assert_ne!(normal("'a''--b'"), normal("'a'''"), "what looks like a comment in quotes is none");
        assert_ne!(normal("[a--b]"), normal("[a"));
    }

    #[tokio::test]
    async fn an_empty_database_of_every_version_is_like_itself() {
        let versions: Vec<i64> = embedded::sqlite().iter().map(|migration| migration.version).collect();
        let first = made_by(&versions[..1]).await.unwrap();
        for count in 1..=versions.len() {
            let (one, other) = (made_by(&versions[..count]).await.unwrap(), made_by(&versions[..count]).await.unwrap());
            assert_eq!(differences(&one, &other), [""; 0]);
            assert_eq!(differences(&first, &one).is_empty(), count == 1);
        }
        assert!(matches!(made_by(&[1, 9_999]).await, Err(RestoreError::Later)));
    }

    #[test]
    fn a_name_drives_no_terminal() {
        let theirs = Objects::from([(("trigger".to_owned(), "a\u{1b}[2J".to_owned()), Default::default())]);
        assert_eq!(differences(&theirs, &Objects::new()), ["trigger a\\u{1b}[2J: no migration makes it"]);
    }
}
