//! What the door does to strangers, to callers, and to what one of them sends or does not read.

use std::{future::poll_fn, io::ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::{kernel::ApiKeyId, telemetry::metrics::Registry};

/// What has not come by then is not coming.
const SOON: Duration = Duration::from_millis(200);
const UNREAD_MAX: Duration = Duration::from_millis(50);

fn door(connections_max: usize) -> Door {
    let metrics = DoorMetrics::new(&Registry::new().unwrap()).unwrap();
    Door::new(connections_max, UNREAD_MAX, metrics.of_port("api"))
}

async fn has_to_leave(guest: &mut Guest) -> bool {
    poll_fn(|cx| Poll::Ready(guest.must_leave(cx))).await
}

fn connected(door: &Door) -> (Guarded<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1024 * 1024);
    (Guarded::new(ours, door.enter()), theirs)
}

#[tokio::test]
async fn of_strangers_the_first_leaves_and_who_showed_a_key_or_is_being_answered_stays() {
    let door = door(6);
    let mut guests: Vec<Guest> = (0..3).map(|_| door.enter()).collect();
    guests[0].connection().know(ApiKeyId::new(uuid::Uuid::nil()));
    guests[1].connection().begin();
    // The first is a caller's and the second is being answered, but nobody has looked since: the door goes by the connections.
    let mut late: Vec<Guest> = (0..2).map(|_| door.enter()).collect();
    assert!(!has_to_leave(&mut guests[0]).await, "a caller had to leave");
    assert!(!has_to_leave(&mut guests[1]).await, "one who is being answered had to leave");
    assert!(has_to_leave(&mut guests[2]).await, "the one who came first had to leave");
    assert!(!has_to_leave(&mut late[1]).await);
    drop(guests);
    drop(late);
    assert_eq!(door.0.strangers.lock().unwrap().inside.len(), 0, "a place was not given back");
}

#[tokio::test]
async fn callers_take_no_place_of_strangers() {
    let door = door(4);
    let mut callers: Vec<Guest> = (0..4).map(|_| door.enter()).collect();
    for caller in &mut callers {
        caller.connection().know(ApiKeyId::new(uuid::Uuid::nil()));
        // Two of them came when two others were still strangers.
        let _ = has_to_leave(caller).await;
    }
    let mut strangers: Vec<Guest> = (0..2).map(|_| door.enter()).collect();
    for stranger in &mut strangers {
        assert!(!has_to_leave(stranger).await);
    }
}

#[tokio::test]
async fn a_stranger_who_waits_is_woken_to_leave() {
    let door = door(2);
    let (mut first, _theirs) = connected(&door);
    let mut scratch = [0; 10];
    let come = async {
        tokio::task::yield_now().await;
        door.enter()
    };
    let (waited, _second) = tokio::join!(first.read(&mut scratch), come);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

/// Reads as the framework does, into a buffer that grows, until nothing comes.
async fn read_all(guarded: &mut Guarded<DuplexStream>, patience: Duration) -> (usize, Option<ErrorKind>) {
    let (mut read, mut buffer) = (0, vec![0; 8192]);
    loop {
        match tokio::time::timeout(patience, guarded.read(&mut buffer)).await {
            Ok(Ok(0)) | Err(_) => return (read, None),
            Ok(Ok(bytes)) => read += bytes,
            Ok(Err(error)) => return (read, Some(error.kind())),
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_read_no_further_and_is_answered() {
    let (mut guarded, mut theirs) = connected(&door(2));
    theirs.write_all(&[b'x'; 100_000]).await.unwrap();
    let ours = async {
        let ended = read_all(&mut guarded, Duration::from_secs(10)).await;
        drop(guarded);
        ended
    };
    let mut answer = String::new();
    let (ended, read) = tokio::join!(ours, theirs.read_to_string(&mut answer));
    read.unwrap();
    assert_eq!(ended, (guarded::REQUEST_BYTES_MAX, Some(ErrorKind::ConnectionAborted)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_comes_before_the_answer_waits_and_is_read_after_it() {
    let (mut guarded, mut theirs) = connected(&door(2));
    let connection = guarded.guest().connection().clone();
    theirs.write_all(&[b'x'; 40_000]).await.unwrap();
    connection.begin();
    assert_eq!(read_all(&mut guarded, SOON).await, (guarded::REQUEST_BYTES_MAX, None));
    guarded.write_all(b"the first half of an answer").await.unwrap();
    assert_eq!(read_all(&mut guarded, SOON).await, (0, None), "it is still being answered");
    connection.end();
    guarded.write_all(b"the rest").await.unwrap();
    connection.begin();
    assert_eq!(read_all(&mut guarded, SOON).await, (guarded::REQUEST_BYTES_MAX, None));
    connection.expect_more(usize::MAX);
    assert_eq!(read_all(&mut guarded, SOON).await, (40_000 - 2 * guarded::REQUEST_BYTES_MAX, None));
}

#[tokio::test]
async fn what_is_left_of_a_refused_request_is_read_behind_the_answer() {
    let (mut guarded, mut theirs) = connected(&door(2));
    let connection = guarded.guest().connection().clone();
    theirs.write_all(&[b'x'; 100_000]).await.unwrap();
    connection.begin();
    connection.close_behind_answer();
    connection.end();
    guarded.write_all(b"413").await.unwrap();
    assert_eq!(read_all(&mut guarded, SOON).await, (100_000, None));
}

#[tokio::test]
async fn whoever_still_sends_a_refused_body_is_listened_to_so_that_the_answer_is_not_lost_in_a_reset() {
    let (ours, mut theirs) = duplex(1024);
    let mut guarded = Guarded::new(ours, door(2).enter());
    guarded.guest().connection().leave_a_body();
    let sending = async {
        theirs.write_all(&[b'x'; 100_000]).await.unwrap();
        drop(theirs);
    };
    let both = async { tokio::join!(guarded.shutdown(), sending) };
    tokio::time::timeout(Duration::from_secs(5), both).await.unwrap().0.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let (ours, _theirs) = duplex(1024);
    let mut guarded = Guarded::new(ours, door(2).enter());
    let written = tokio::time::timeout(Duration::from_secs(5), guarded.write_all(&[b'x'; 4096])).await.unwrap();
    assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
}
