//! What a process has in its memory.

use std::{fs, io, os::unix::fs::FileExt};

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// All that a process has written into its memory, and so not what it maps of files to read.
pub(super) fn of(id: &str) -> io::Result<Vec<u8>> {
    let memory = fs::File::open(format!("/proc/{id}/mem"))?;
    let mut all = Vec::new();
    for line in fs::read_to_string(format!("/proc/{id}/maps"))?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let ends = range.split_once('-').unwrap();
        let (mut at, end) = (u64::from_str_radix(ends.0, 16).unwrap(), u64::from_str_radix(ends.1, 16).unwrap());
        while at < end {
            let mut chunk = vec![0; usize::try_from((end - at).min(CHUNK)).unwrap()];
            // What was unmapped meanwhile holds nothing.
            let Ok(read @ 1..) = memory.read_at(&mut chunk, at) else { break };
            all.extend_from_slice(&chunk[..read]);
            at += u64::try_from(read).unwrap();
        }
        all.push(0);
    }
    Ok(all)
}
