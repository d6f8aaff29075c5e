//! A question on SQLite: on a connection that money and keys have no need of, and for a limited time. Nobody else ends a statement here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};
use tokio::{runtime::Handle, sync::oneshot};

use crate::store::StoreError;

/// Steps of the virtual machine between two looks at whether the time is over.
const STEPS: i32 = 1_000;

/// A connection, while a question is asked.
pub(in crate::store) struct Question {
    connection: PoolConnection<Sqlite>,
    /// The question is over when this is dropped.
    _asking: Option<oneshot::Sender<()>>,
}

impl Question {
    /// Ends what is asked on the connection after so long.
    pub(super) async fn ask(
        mut connection: PoolConnection<Sqlite>,
        most: Option<Duration>,
        runtime: &Handle,
    ) -> Result<Self, StoreError> {
        let Some(most) = most else { return Ok(Self { connection, _asking: None }) };
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        // It stands until the next question on the connection sets its own.
        let locked = connection.lock_handle().await;
        let mut handle = locked.map_err(|error| StoreError::database("question", error))?;
        handle.set_progress_handler(STEPS, move || !seen.load(Ordering::Relaxed));
        drop(handle);
        let (asking, answered) = oneshot::channel();
        let end = async move {
            if tokio::time::timeout(most, answered).await.is_err() {
                over.store(true, Ordering::Relaxed);
            }
        };
        drop(runtime.spawn(end));
        Ok(Self { connection, _asking: Some(asking) })
    }

    pub(in crate::store) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
