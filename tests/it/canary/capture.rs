//! The log of this whole process, at `trace`, in memory.

use std::{
    io,
    sync::{Mutex, OnceLock, PoisonError},
};

use noshi::config::{LogFormat, LogSettings};
use tracing::dispatcher;
use tracing_subscriber::fmt::MakeWriter;

/// The one capture. Tests that share a process share it: the canaries of each are its own.
pub(crate) fn log() -> &'static Captured {
    static LOG: Captured = Captured { text: Mutex::new(Vec::new()), begun: OnceLock::new() };
    &LOG
}

pub(crate) struct Captured {
    text: Mutex<Vec<u8>>,
    begun: OnceLock<()>,
}

impl Captured {
    /// Captures from now on, whatever thread it is.
    pub(crate) fn start(&'static self) {
        self.begun.get_or_init(|| {
            let settings = LogSettings { format: LogFormat::Json, filter: "trace".to_owned() };
            let dispatch = noshi::telemetry::dispatch(&settings, Writer).unwrap();
            let mine = dispatcher::set_global_default(dispatch);
            assert!(mine.is_ok(), "another test of this process logs already: run this one without TEST_LOG");
        });
    }

    /// All that was logged.
    pub(crate) fn taken(&self) -> Vec<u8> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        log().text.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Writer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
