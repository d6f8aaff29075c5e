//! Where the service is, with which key, and what happens on the way there.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Ended, run};
use crate::{
    process::noshi,
    support::{App, Backend},
};

#[test]
fn without_a_key_or_a_good_address_nothing_is_asked_and_the_command_ends_with_2() {
    let with = |arguments: &[&str], variables: &[(&str, &str)]| {
        Ended::of(noshi().args(["balance"]).args(arguments).envs(variables.iter().copied()).output().unwrap())
    };
    for (arguments, variables, said) in [
        (&[][..], &[][..], "no API key: name its file"),
        (&[], &[("NOSHI_API_KEY", "nsk_a"), ("NOSHI_API_KEY_FILE", "/nowhere")], "both NOSHI_API_KEY and"),
        (&["--api-key-file", "/nowhere/key"], &[], "the API key's file /nowhere/key: cannot be read"),
        (&["--url", "http://noshi:8080"], &[("NOSHI_API_KEY", "nsk_a")], "plain http would show the API key"),
        (&["--url", "noshi"], &[("NOSHI_API_KEY", "nsk_a")], "the service's address is a URL"),
    ] {
        let ended = with(arguments, variables);
        assert!(ended.code == 2 && ended.err.contains(said), "{arguments:?}: {} {}", ended.code, ended.err);
        assert!(!ended.err.contains("nsk_a"), "{}", ended.err);
    }
    // A port that nobody listens on, and that nobody else is given meanwhile.
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", held.local_addr().unwrap());
    drop(held);
    let alone = with(&["--url", &nobody], &[("NOSHI_API_KEY", "nsk_a")]);
    assert!(alone.code == 1 && alone.err.contains("no answer from http://127.0.0.1:"), "{} {}", alone.code, alone.err);
    assert!(alone.err.contains("no connection was made, so nothing was done"), "{}", alone.err);
}

/// Somebody takes the first try, and is gone before it answers.
#[test]
fn what_was_taken_once_may_have_been_done_although_nobody_is_there_any_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = thread::spawn(move || {
        let (mut connection, _peer) = listener.accept().unwrap();
        connection.read(&mut [0; 64]).unwrap()
    });
    let issue = ["rewards", "issue", "--key", "a", "--amount", "5.00", "--currency", "USD", "--url", &url];
    let ended = Ended::of(noshi().args(issue).env("NOSHI_API_KEY", "nsk_a").output().unwrap());
    assert!(taken.join().unwrap() > 0);
    assert!(ended.code == 1 && ended.err.contains("what was asked may have been done"), "{} {}", ended.code, ended.err);
    assert!(!ended.err.contains("nothing was done"), "{}", ended.err);
}

/// Stands before the service. The first answers are lost on their way back.
fn lossy(service: SocketAddr, losses: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&seen);
    thread::spawn(move || {
        for from in listener.incoming() {
            let (mut from, number) = (from.unwrap(), counted.fetch_add(1, Ordering::SeqCst));
            let mut to = TcpStream::connect(service).unwrap();
            let (mut reads, mut writes) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut reads, &mut writes).unwrap_or_default());
            if number < losses {
                // One byte: the service has answered.
                to.read_exact(&mut [0]).unwrap();
                from.shutdown(Shutdown::Both).unwrap();
                continue;
            }
            thread::spawn(move || {
                let mut answer = [0; 4096];
                while let Ok(length @ 1..) = to.read(&mut answer) {
                    if from.write_all(&answer[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_whose_answer_is_lost_is_asked_for_again_and_bought_once() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let service = app.base.trim_start_matches("http://").parse().unwrap();
    let (address, seen) = lossy(service, 2);
    let real = std::mem::replace(&mut app.base, format!("http://{address}"));
    let issued = run(&app, &["rewards", "issue", "--key", "a", "--amount", "5.00", "--currency", "USD"]);
    assert_eq!((issued.code, issued.line("status").as_str()), (0, "issued"), "{}", issued.err);
    assert_eq!((app.live_cards().len(), seen.load(Ordering::SeqCst)), (1, 3));
    // A reveal is counted, so one that may have been done is not sent again.
    let (address, seen) = lossy(service, 1);
    app.base = format!("http://{address}");
    let unheard = run(&app, &["rewards", "reveal", &issued.line("reward"), "--reason", "test"]);
    assert_eq!((unheard.code, seen.load(Ordering::SeqCst)), (1, 1), "{}", unheard.err);
    app.base = real;
    app.end().await;
}
