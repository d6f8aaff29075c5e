//! `noshi healthcheck`: what it says, and how it ends, for each way a service can be.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{Served, noshi};
use crate::support::{App, Backend};

/// Asks with these settings: the exit code, and the one line.
fn ask(environment: &[(String, String)], arguments: &[&str]) -> (Option<i32>, String) {
    let output = noshi().arg("healthcheck").args(arguments).envs(environment.iter().cloned()).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), said.trim_end().to_owned())
}

/// Asks whoever is at this address.
fn ask_at(admin: &str) -> (Option<i32>, String) {
    ask(&settings(&[], admin), &[])
}

/// Settings whose admin port is this one.
fn settings(environment: &[(String, String)], admin: &str) -> Vec<(String, String)> {
    let admin = admin.trim_start_matches("http://").to_owned();
    [environment, &[("NOSHI__SERVER__ADMIN_LISTEN".to_owned(), admin)]].concat()
}

/// A port of loopback that is spoken to by `speak`, once.
fn stranger(speak: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || speak(listener.accept().unwrap().0));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_ready_until_it_drains_and_live_as_long_as_it_is_there() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let slow = [app.environment(), &[("NOSHI__SERVER__DRAIN_DELAY_SECONDS".to_owned(), "10".to_owned())]].concat();
    let served = Served::start(&slow);
    let same = settings(&slow, &served.admin);
    assert_eq!(ask(&same, &[]), (Some(0), "ready".to_owned()));
    assert_eq!(ask(&same, &["--live"]), (Some(0), "live".to_owned()));
    let everywhere = served.admin.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(ask(&settings(&slow, &everywhere), &[]), (Some(0), "ready".to_owned()));
    assert_eq!(ask_at(&served.admin), (Some(0), "ready".to_owned()), "it needs no account and no database");
    let (code, said) = ask_at(&served.base);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("noshi: /readyz answered 404: {"), "the API has no probes: {said}");

    served.signal("TERM");
    let (code, said) = loop {
        let (code, said) = ask(&same, &[]);
        if code != Some(0) {
            break (code, said);
        }
    };
    assert_eq!((code, said.as_str()), (Some(1), "noshi: /readyz answered 503: draining"));
    assert_eq!(ask(&same, &["--live"]), (Some(0), "live".to_owned()), "a stop is no reason to kill it");
    served.kill();
    let (code, said) = ask(&same, &["--live"]);
    assert_eq!(code, Some(1), "{said}");
    app.end().await;
}

#[test]
fn where_nobody_is_and_where_nobody_answers_is_told_and_exits_with_1() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, said) = ask_at(&format!("0.0.0.0:{free}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(&format!("noshi: nobody listens on 127.0.0.1:{free}: ")), "{said}");

    // The kernel takes the connection; nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    assert_eq!(ask_at(&address.to_string()), (Some(1), format!("noshi: no answer from {address} within 3 s")));
}

#[test]
fn what_answers_like_nothing_of_ours_is_not_healthy() {
    let banner = stranger(|mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap());
    let closes = stranger(drop);
    let endless = stranger(|mut stream| {
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    // Each part comes soon, the answer never does.
    let drips = stranger(|mut stream| {
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    for (address, why) in [
        (&banner, format!("noshi: what listens on {banner} does not answer as the service does: ")),
        (&closes, format!("noshi: what listens on {closes} does not answer as the service does: ")),
        (&endless, format!("noshi: what listens on {endless} does not answer as the service does: ")),
        (&drips, format!("noshi: no answer from {drips} within 3 s")),
    ] {
        let (code, said) = ask_at(address);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with(&why) && !said.contains('\n'), "{said}");
    }
}

#[test]
fn wrong_settings_are_named_and_exit_with_1_as_docker_keeps_2_for_itself() {
    let wrong = ("NOSHI__SERVER__LISTEM".to_owned(), "127.0.0.1:1".to_owned());
    let (code, said) = ask(&[wrong], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.to_lowercase().contains("listem"), "{said}");
}
