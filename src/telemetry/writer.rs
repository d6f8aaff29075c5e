//! Writes the log's lines on a thread of its own.
//!
//! Whoever reads standard error may stop reading. Then the pipe fills up, and a write to it waits for ever; no purchase
//! and no stop may wait with it. So the lines queue up, and those that find the queue full are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait for the reader at most: a few megabytes.
const LINES_MAX: usize = 8192;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How many lines of the log nobody could be given. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LostLines {
    /// Where the lines queue up; `None` where the process's log is not ours.
    queue: Option<ErrorCounter>,
    refused: Arc<AtomicU64>,
}

impl LostLines {
    /// Since the process began.
    #[must_use]
    pub fn count(&self) -> u64 {
        let dropped = self.queue.as_ref().map_or(0, ErrorCounter::dropped_lines);
        u64::try_from(dropped).unwrap_or(u64::MAX).saturating_add(self.refused.load(Ordering::Relaxed))
    }
}

/// Keeps the thread that writes. When it is dropped, it waits a second for the lines that are left.
#[derive(Debug)]
pub struct LogWriter(Option<WorkerGuard>);

impl Drop for LogWriter {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (done, written) = mpsc::channel();
        // The library's own wait has a limit, too. But where the queue is full it prints that, and standard output may be
        // the same full pipe. So another thread waits, and the process ends without it.
        let waits = thread::Builder::new().name("log-end".to_owned()).spawn(move || {
            drop(guard);
            done.send(()).unwrap_or_default();
        });
        if waits.is_ok() {
            written.recv_timeout(LAST_LINES).unwrap_or_default();
        }
    }
}

/// Takes lines at once, and writes them to `out` when that takes them.
pub(super) fn queued(out: impl Write + Send + 'static) -> (NonBlocking, LogWriter, LostLines) {
    let refused = Arc::new(AtomicU64::new(0));
    let out = CountedWrites { out, refused: Arc::clone(&refused) };
    let queue = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true).thread_name("log");
    let (lines, guard) = queue.finish(out);
    let lost = LostLines { queue: Some(lines.error_counter()), refused };
    (lines, LogWriter(Some(guard)), lost)
}

/// Counts the lines that could not be written: the reader has gone, or the disk is full.
struct CountedWrites<W> {
    out: W,
    refused: Arc<AtomicU64>,
}

impl<W: Write> Write for CountedWrites<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    /// One line.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.out.write_all(line).inspect_err(|_error| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_line_is_written_before_the_end() {
        let kept = Kept::default();
        let (mut lines, writer, lost) = queued(kept.clone());
        for at in 0..1000 {
            lines.write_all(format!("{at}\n").as_bytes()).unwrap();
        }
        drop(writer);
        assert_eq!(kept.0.lock().unwrap().split(|byte| *byte == b'\n').count(), 1001);
        assert_eq!(lost.count(), 0);
    }

    #[test]
    fn a_reader_who_stops_holds_nobody_up_and_what_is_lost_is_counted() {
        let (_never_read, pipe) = io::pipe().unwrap();
        let (mut lines, writer, lost) = queued(pipe);
        let line = [b'x'; 1024];
        for _ in 0..10_000 {
            lines.write_all(&line).unwrap();
        }
        // A pipe takes 64 lines of this length, and one is being written.
        assert!((1000..=10_000 - 8192).contains(&lost.count()), "{}", lost.count());
        drop(writer);
    }

    #[test]
    fn a_reader_who_has_gone_is_no_reason_to_fail_and_what_is_lost_is_counted() {
        let (gone, pipe) = io::pipe().unwrap();
        drop(gone);
        let (mut lines, writer, lost) = queued(pipe);
        for _ in 0..10 {
            lines.write_all(b"line\n").unwrap();
        }
        drop(writer);
        assert_eq!(lost.count(), 10);
    }
}
