//! What a process keeps of codes and keys in its memory once all is answered, counted (SEC-27). Whoever may read that memory is
//! root, and could ask Amazon for the codes as well: this bounds what a swap, a snapshot of the machine or a bug of a library
//! could show.

use std::{collections::BTreeMap, fs, io, os::unix::fs::FileExt, time::Duration};

use futures_util::future::join_all;

use super::scan::Scanner;
use crate::{
    console::desk::Desk,
    process::Served,
    support::{
        App, Backend, SECRET_ACCESS_KEY, http_client,
        rounds::{count_of, print},
    },
};

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;
/// Codes at once.
const BATCH: usize = 16;
/// Longer than any connection that nobody uses stays open: the caller's, and that to Amazon.
const IDLE: Duration = Duration::from_secs(8);
/// What an operator put into the environment of the process: found, or the search finds nothing.
const PLANTED: &str = "PLNT-CANARY-ENVM";

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

/// How often secrets were found.
struct Copies {
    codes: usize,
    /// Codes of which there was one at least.
    codes_found: usize,
    api_key: usize,
    cookie: usize,
    amazon: usize,
    planted: usize,
}

/// Counts in a process that stands still. `None` where this machine lets nobody read its memory.
fn copies(served: &Served, scanner: &Scanner, api_key: &str, cookie: &str) -> Option<Copies> {
    served.signal("STOP");
    let memory = of(&served.id());
    served.signal("CONT");
    let memory = match memory {
        Ok(memory) => memory,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        Err(error) => panic!("{error}"),
    };
    let mut counts: BTreeMap<&str, usize> = scanner.count(&memory);
    let mut take = |name: &str| counts.remove(name).unwrap_or(0);
    let (api_key, cookie) = (take(api_key), take(cookie));
    let (amazon, planted) = (take(SECRET_ACCESS_KEY), take(PLANTED));
    Some(Copies { codes: counts.values().sum(), codes_found: counts.len(), api_key, cookie, amazon, planted })
}

/// Issues so many codes, each a second time by its key, and shows every other one: half of these in the console.
async fn issue(app: &App, desk: &Desk, count: usize) -> Vec<String> {
    let (mut codes, keys) = (Vec::new(), (0..count).map(|at| format!("memory-{at}")).collect::<Vec<_>>());
    for keys in keys.chunks(BATCH) {
        for answer in join_all(keys.iter().map(|key| app.issue(key, "5.00"))).await {
            assert_eq!(answer.status, 201, "{}", answer.text);
            codes.push(answer.code().to_owned());
            let shown = match codes.len() % 4 {
                0 => desk.send(&format!("/console/rewards/{}/reveal", answer.id()), &[("reason", "lost")]).await,
                2 => app.reveal(answer.id()).await,
                _ => continue,
            };
            assert!(shown.status == 200 && shown.text.contains(answer.code()), "{}", shown.text);
        }
        for answer in join_all(keys.iter().map(|key| app.issue(key, "5.00"))).await {
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
    }
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_all_is_answered_no_code_and_no_callers_key_is_in_the_memory_of_the_process() {
    let count = count_of("NOSHI_TEST_CODES_IN_MEMORY", 200);
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let mut environment = app.environment().to_vec();
    environment.push(("PLANTED".to_owned(), PLANTED.to_owned()));
    environment.push(("NOSHI__SERVER__CONSOLE".to_owned(), "true".to_owned()));
    let served = Served::start(&environment);
    app.base.clone_from(&served.base);
    app.admin.clone_from(&served.admin);
    let desk = Desk::log_in(&app, &app.key).await;
    let codes = issue(&app, &desk, count).await;
    let api_key = app.key.rsplit_once('_').unwrap().1.to_owned();
    let cookie = desk.cookie.split_once('=').unwrap().1.to_owned();
    let secrets = [api_key.clone(), cookie.clone(), SECRET_ACCESS_KEY.to_owned(), PLANTED.to_owned()];
    let scanner = Scanner::new(&[codes.as_slice(), &secrets].concat());
    let Some(busy) = copies(&served, &scanner, &api_key, &cookie) else {
        println!("skipped: this machine lets nobody read the memory of a process that is not dumpable");
        return;
    };
    // The connections end: those of the caller now, that to Amazon a while after its last call.
    app.http = http_client();
    drop(desk);
    tokio::time::sleep(IDLE).await;
    let idle = copies(&served, &scanner, &api_key, &cookie).unwrap();
    for (when, Copies { codes, codes_found, api_key, cookie, amazon, planted }) in [("at once", &busy), ("idle", &idle)]
    {
        print(&format!(
            "memory, {when}: {count} codes, {codes} copies of {codes_found} of them; {api_key} of the API key's secret, \
             {cookie} of the console's cookie, {amazon} of Amazon's, {planted} of what was planted"
        ));
    }
    assert!(busy.planted > 0 && idle.planted > 0 && idle.amazon > 0, "the search finds nothing");
    assert_eq!((idle.codes, idle.api_key, idle.cookie), (0, 0, 0));
    assert!(served.terminate().success());
    app.end().await;
}
