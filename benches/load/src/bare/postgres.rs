//! A few connections that write. Each sends what has come as one statement, which is its own transaction: one round trip for as many
//! rewards as wait.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_postgres::{Client, NoTls, Statement};

use super::{What, Write, answer, batch};
use crate::failure::{Doing, Failure};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS rewards (id bigint PRIMARY KEY, key text NOT NULL UNIQUE, minor bigint NOT NULL, \
                      state smallint NOT NULL, card text)";
/// Both kinds of writes at once: an intent and its outcome are never in one batch.
const WRITE: &str = "WITH intents AS (\
                       INSERT INTO rewards (id, key, minor, state) \
                       SELECT id, key, minor, 0 FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS new (id, key, minor)) \
                     UPDATE rewards SET state = 1, card = settled.card \
                     FROM unnest($4::bigint[], $5::text[]) AS settled (id, card) \
                     WHERE rewards.id = settled.id AND rewards.state = 0";
/// A batch finds its rows by their key, however small the table was when the plan was made.
const SESSION: &str = "SET synchronous_commit = on; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; \
                       SET plan_cache_mode = force_generic_plan";

/// Starts the connections that write.
pub(super) async fn begin(url: &str, writers: usize, waiting: mpsc::Receiver<Write>) -> Result<(), Failure> {
    let waiting = Arc::new(Mutex::new(waiting));
    for number in 0..writers {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.doing("PostgreSQL")?;
        tokio::spawn(async move {
            // Each statement reports what is wrong with its connection.
            drop(connection.await);
        });
        if number == 0 {
            client.batch_execute(SCHEMA).await.doing("the schema")?;
        }
        client.batch_execute(SESSION).await.doing("the session")?;
        let statement = client.prepare(WRITE).await.doing("the statement")?;
        tokio::spawn(write_on(client, statement, Arc::clone(&waiting)));
    }
    Ok(())
}

async fn write_on(client: Client, statement: Statement, waiting: Arc<Mutex<mpsc::Receiver<Write>>>) {
    loop {
        let batch = {
            let mut waiting = waiting.lock().await;
            let Some(first) = waiting.recv().await else { return };
            batch(first, &mut waiting)
        };
        let committed = commit(&client, &statement, &batch).await;
        answer(batch, committed);
    }
}

async fn commit(client: &Client, statement: &Statement, batch: &[Write]) -> bool {
    let (mut ids, mut keys, mut minors) = (Vec::new(), Vec::new(), Vec::new());
    let (mut settled, mut cards) = (Vec::new(), Vec::new());
    for write in batch {
        match &write.what {
            What::Intent { id, key, minor } => {
                ids.push(*id);
                keys.push(key.as_str());
                minors.push(*minor);
            }
            What::Outcome { id, card } => {
                settled.push(*id);
                cards.push(card.as_str());
            }
        }
    }
    let written = client.execute(statement, &[&ids, &keys, &minors, &settled, &cards]).await;
    written.is_ok_and(|changed| usize::try_from(changed).is_ok_and(|changed| changed == settled.len()))
}
