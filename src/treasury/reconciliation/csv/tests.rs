//! Files of the portal as spreadsheets of several countries save them.

use super::*;

fn read_in(text: &[u8], chunk: usize) -> Result<Vec<ActivityRecord>, CsvError> {
    read_as(text, chunk, None)
}

fn read_as(text: &[u8], chunk: usize, mark: Option<DecimalMark>) -> Result<Vec<ActivityRecord>, CsvError> {
    let (mut reader, mut records) = (PortalCsvReader::new(Currency::Usd, mark), Vec::new());
    for chunk in text.chunks(chunk) {
        reader.take(chunk, &mut |record| records.push(record))?;
    }
    reader.finish(&mut |record| records.push(record))?;
    Ok(records)
}

fn read(text: &str) -> Result<Vec<ActivityRecord>, CsvError> {
    read_in(text.as_bytes(), 7)
}

const FILE: &str = "Activity Time,Activity Type,Request ID,Claim Code,Card Value,Currency Code,Status,isRealOp\r\n\
    Mon Sep 22 16:39:07 UTC 2014,GCCreation,AwssbA,ABCD-EFGHJK-LMNP,25.5,USD,Success,true\r\n\
    2014-09-22 16:40:00,GCCancellation,AwssbA,ABCD-EFGHJK-LMNP,,,Success,TRUE\r\n\
    2014-09-22T16:41:00Z,GCCreation,\"Awssb\"\"B\",,1,USD,Failed,true\r\n,,,,,,,\r\n";

#[test]
fn columns_are_found_by_name_and_chunks_may_end_anywhere() {
    let records = read(FILE).unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(
        (records[0].request_id.as_str(), records[0].value),
        ("AwssbA", Some(Money::from_minor(2550, Currency::Usd)))
    );
    assert_eq!((records[1].kind, records[1].is_real), (ActivityKind::Cancellation, true));
    assert_eq!((records[2].request_id.as_str(), records[2].is_real), ("Awssb\"B", false));
    for chunk in 1..40 {
        assert_eq!(read_in(FILE.as_bytes(), chunk).unwrap(), records, "{chunk}");
    }
    let semicolons = format!("\u{feff}{}", FILE.replace(',', ";"));
    assert_eq!(read(&semicolons).unwrap(), records);
}

/// As spreadsheets save "Unicode text", and others.
#[test]
fn a_file_is_read_whatever_it_is_encoded_in() {
    let records = read(FILE).unwrap();
    let tabs = FILE.replace(',', "\t");
    let utf16 = |text: &str, to_bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
    let marked = format!("\u{feff}{tabs}");
    let umlauts = marked.replace("Claim Code", "Käufer £").replace("ABCD-EFGHJK-LMNP", "Jürgen");
    let latin: Vec<u8> = umlauts.trim_start_matches('\u{feff}').chars().map(|c| u8::try_from(c).unwrap()).collect();
    for (name, bytes) in [
        ("UTF-16 LE", utf16(&marked, u16::to_le_bytes)),
        ("UTF-16 BE", utf16(&marked, u16::to_be_bytes)),
        ("UTF-16 LE without a mark", utf16(&tabs, u16::to_le_bytes)),
        ("UTF-16 BE without a mark", utf16(&tabs, u16::to_be_bytes)),
        ("UTF-8 with a mark", marked.clone().into_bytes()),
        ("umlauts in UTF-16", utf16(&umlauts, u16::to_le_bytes)),
        ("umlauts in Windows-1252", latin),
    ] {
        for chunk in [1, 2, 3, 7, 1000] {
            assert_eq!(read_in(&bytes, chunk).as_ref(), Ok(&records), "{name}, {chunk}");
        }
    }
    let cut = utf16(&marked, u16::to_le_bytes);
    assert!(read_in(cut.get(..cut.len() - 201).unwrap(), 7).is_err(), "a file that is cut in the middle of a row");
}

fn amounts(of: &[&str], mark: Option<DecimalMark>) -> Result<Vec<i64>, CsvError> {
    let row = |amount: &&str| format!("2026-11-01 00:00:00;Create;AwssbA;{amount}\n");
    let file = format!("date;operation;request id;amount\n{}", of.iter().map(row).collect::<String>());
    let mut minor: Vec<i64> =
        read_as(file.as_bytes(), 7, mark)?.iter().map(|record| record.value.unwrap().minor()).collect();
    minor.sort_unstable();
    Ok(minor)
}

#[test]
fn an_amount_that_can_be_read_in_two_ways_is_settled_or_refused_with_both() {
    let usd = |minor| Money::from_minor(minor, Currency::Usd);
    let refused = amounts(&["25", "1.000"], None).unwrap_err();
    assert_eq!(refused, CsvError::TwoReadings { row: 3, point: usd(100), comma: usd(100_000) });
    assert!(refused.to_string().starts_with("row 3: the amount can be 1.00 or 1000.00: "), "{refused}");
    assert_eq!(amounts(&["25", "1.000"], Some(DecimalMark::Comma)), Ok(vec![2500, 100_000]));
    assert_eq!(amounts(&["25", "1.000"], Some(DecimalMark::Point)), Ok(vec![100, 2500]));
    // Another row shows it, before or after.
    assert_eq!(amounts(&["25,50", "1.000"], None), Ok(vec![2550, 100_000]));
    assert_eq!(amounts(&["1.000", "2.000", "25,50"], None), Ok(vec![2550, 100_000, 200_000]));
    assert_eq!(amounts(&["1,000", "1,234,567"], None), Ok(vec![100_000, 123_456_700]));
    assert_eq!(amounts(&["1.000", "25.50"], None), Ok(vec![100, 2550]));
    // A file of two minds.
    assert_eq!(amounts(&["25,50", "25.50"], None), Err(CsvError::OtherMark(3)));
    assert_eq!(amounts(&["25.50"], Some(DecimalMark::Comma)), Err(CsvError::OtherMark(2)));
    // With a point before decimals this is no amount of dollars.
    assert_eq!(amounts(&["25.555", "25.50"], None), Err(CsvError::Value { row: 2, column: "amount" }));
    assert_eq!(amounts(&["25.555"], None), Err(CsvError::Value { row: 2, column: "amount" }));
    assert_eq!(amounts(&["25.555", "25,50"], None), Ok(vec![2550, 2_555_500]));
    assert_eq!(amounts(&["-25.00"], None), Err(CsvError::Value { row: 2, column: "amount" }));
    let many = vec!["1.000"; OPEN_ROWS_MAX + 1];
    assert!(matches!(amounts(&many, None), Err(CsvError::TwoReadings { .. })));
}

#[test]
fn without_status_currency_and_real_every_row_counts() {
    let records = read("date;operation;creation-request-id;amount\n2026-11-01 00:00:00;Create;AwssbA;5.00\n").unwrap();
    assert!(records[0].is_real);
}

#[test]
fn what_cannot_be_read_is_named_by_row_and_column_and_never_quoted() {
    for (from, to, column) in [
        ("25.5", "ABCD-EFGHJK-LMNP", "amount"),
        ("25.5", "25.555", "amount"),
        (",USD,Success,true", ",EUR,Success,true", "currency"),
        ("Mon Sep 22 16:39:07 UTC 2014", "yesterday", "time"),
        ("USD,Success,true\r\n2014", "USD,Perhaps,true\r\n2014", "status"),
        ("Success,true\r\n2014", "Success,maybe\r\n2014", "real operation"),
        ("GCCreation,AwssbA", "GCCreation,", "request id"),
    ] {
        let broken = FILE.replacen(from, to, 1);
        assert_ne!(broken, FILE, "{to}");
        let error = read(&broken).unwrap_err();
        assert_eq!(error, CsvError::Value { row: 2, column }, "{to}");
        assert!(!error.to_string().contains("ABCD"), "{error}");
    }
    assert_eq!(read("a,b,c\n1,2,3\n"), Err(CsvError::NoColumn("request id")));
    assert_eq!(read(""), Err(CsvError::NoColumn("request id")));
    assert_eq!(read("request id,RequestId,time,type,amount\n"), Err(CsvError::TwoColumns("request id")));
    let endless = format!("request id,time,type,amount\n\"{}", "x".repeat(2 * ROW_BYTES_MAX));
    assert_eq!(read(&endless), Err(CsvError::Row(2)));
}

#[test]
fn what_is_no_gift_code_is_none_whatever_its_word_says() {
    for (word, wanted) in [
        ("Create", ActivityKind::Creation),
        ("Gift Card Purchase", ActivityKind::Creation),
        ("GCCancellation", ActivityKind::Cancellation),
        ("Balance Load Creation", ActivityKind::Other),
        ("VoidAmazonBalanceLoad", ActivityKind::Other),
        ("Card Activation Issued", ActivityKind::Activation),
        ("GCDeactivation", ActivityKind::Deactivation),
    ] {
        assert_eq!(kind(word), wanted, "{word}");
    }
}
