//! The book by itself: what a file keeps, and what a torn one loses.

use std::io::Write;

use super::*;
use crate::sandbox::partners::AccessKey;

const PARTNER: &str = "Awssb";

fn card(request_id: &str, amount: i64) -> Card {
    Card {
        partner_id: PARTNER.to_owned(),
        creation_request_id: request_id.to_owned(),
        gc_id: format!("gc-{request_id}"),
        claim_code: "AAAA-BBBBBB-CCCC".to_owned(),
        amount: Decimal::from(amount),
        currency: "USD".to_owned(),
        state: CardState::Live,
        created_at: DateTime::UNIX_EPOCH,
        canceled_at: None,
        product: Product::GiftCode,
        members: CardMembers::default(),
    }
}

fn opening() -> Partners {
    Partners::of(vec![PartnerAccount {
        partner_id: PARTNER.to_owned(),
        keys: vec![AccessKey::active("AKID", "SECRET")],
        currency: Some("USD".to_owned()),
        funds: Decimal::from(100),
        ..PartnerAccount::default()
    }])
    .unwrap()
}

fn open(path: &Path) -> Book {
    Book::open(&opening(), Some(path)).unwrap().0
}

#[test]
fn a_torn_last_line_is_dropped_and_all_before_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    let book = open(&path);
    book.create(card("AwssbA", 30)).unwrap();
    book.create(card("AwssbB", 30)).unwrap();
    drop(book);
    let whole = std::fs::read(&path).unwrap();
    for torn in [whole.len() - 2, whole.len() - 20] {
        std::fs::write(&path, &whole[..torn]).unwrap();
        let book = open(&path);
        assert_eq!(book.cards(), [card("AwssbA", 30)]);
        assert_eq!(book.funds(PARTNER, "USD").unwrap(), Decimal::from(70));
        book.create(card("AwssbC", 5)).unwrap();
        drop(book);
        assert_eq!(
            open(&path).cards(),
            [card("AwssbA", 30), card("AwssbC", 5)],
            "the next entry has a line of its own"
        );
    }
}

#[test]
fn nothing_of_a_torn_line_is_left_behind_a_shorter_entry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    open(&path).create(card("AwssbA", 30)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();
    open(&path).move_clock(&Clock::default(), 7).unwrap();
    let (book, offset_seconds) = Book::open(&opening(), Some(&path)).unwrap();
    assert_eq!((book.cards(), offset_seconds), (vec![], 7));
    assert!(std::fs::read(&path).unwrap().ends_with(b"}\n"));
}

/// As an editor saves it.
#[test]
fn a_last_entry_without_its_lines_end_is_an_entry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    open(&path).create(card("AwssbA", 30)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, whole.strip_suffix(b"\n").unwrap()).unwrap();
    open(&path).create(card("AwssbB", 5)).unwrap();
    assert_eq!(open(&path).cards(), [card("AwssbA", 30), card("AwssbB", 5)]);
}

/// Somebody's notes, given by mistake, are neither cut nor closed to others.
#[test]
fn a_file_that_is_no_book_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes");
    for text in ["notes in one line", "{\"entries\":1}", "two\nlines"] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Book::open(&opening(), Some(&path)), Err(BookFileError::Foreign { line: 1, .. })), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
}

#[test]
fn what_could_not_be_written_did_not_happen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    let book = open(&path);
    book.create(card("AwssbA", 30)).unwrap();
    book.lock().storage = Storage::File(BookFile::unwritable(&path).unwrap());
    assert!(matches!(book.create(card("AwssbB", 30)), Err(BookError::Write(_))));
    assert_eq!(book.funds(PARTNER, "USD").unwrap(), Decimal::from(70));
    let first = CancelOrder { partner_id: PARTNER, request_id: "AwssbA", product: Product::GiftCode, gc_id: None };
    assert!(matches!(book.cancel(first, DateTime::UNIX_EPOCH), Err(BookError::Write(_))));
    assert!(matches!(book.set_funds(PARTNER, "USD", Decimal::ONE), Err(BookError::Write(_))));
    assert_eq!(book.cards(), [card("AwssbA", 30)]);
    assert_eq!(book.funds(PARTNER, "USD").unwrap(), Decimal::from(70));
}

#[test]
fn a_foreign_line_in_the_middle_refuses_the_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    open(&path).create(card("AwssbA", 30)).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"not an entry\n{}\n").unwrap();
    assert!(matches!(Book::open(&opening(), Some(&path)), Err(BookFileError::Foreign { line: 2, .. })));
}

#[test]
fn two_sandboxes_cannot_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    let book = open(&path);
    assert!(matches!(Book::open(&opening(), Some(&path)), Err(BookFileError::InUse)));
    book.close();
    assert!(Book::open(&opening(), Some(&path)).is_ok());
    assert!(matches!(book.create(card("AwssbA", 1)), Err(BookError::Closed)));
    assert!(book.cards().is_empty(), "what could not be written is not shown");
}

#[test]
fn the_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    std::fs::write(&path, b"").unwrap();
    let _book = open(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_of_the_version_before_is_read_and_written_so_that_it_reads_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("book.jsonl");
    std::fs::write(&path, "{\"entry\":\"funds\",\"partner_id\":\"Awssb\",\"amount\":\"42\"}\n").unwrap();
    let book = open(&path);
    assert_eq!(book.funds(PARTNER, "USD").unwrap(), Decimal::from(42));
    book.set_funds(PARTNER, "USD", Decimal::from(41)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("{\"entry\":\"funds\",\"partner_id\":\"Awssb\",\"amount\":\"41\"}\n"), "{text}");
}
