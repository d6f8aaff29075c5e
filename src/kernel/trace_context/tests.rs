//! What is a `traceparent` and what is none: the cases of the W3C's own test-suite (w3c/trace-context, `test/test.py`).

use super::*;

const TRACE: &str = "12345678901234567890123456789012";
const SPAN: &str = "1234567890123456";

#[test]
fn what_is_a_traceparent_is_read_and_written_as_it_was() {
    for (text, sampled) in [
        (format!("00-{TRACE}-{SPAN}-00"), false),
        (format!("00-{TRACE}-{SPAN}-01"), true),
        ("00-00000000000000000000000000000001-0000000000000001-01".to_owned(), true),
        (format!("00-{}-{}-00", "f".repeat(32), "f".repeat(16)), false),
    ] {
        let context: TraceContext = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        assert_eq!(context.is_sampled(), sampled);
        assert_eq!(format!("00-{}-{}-{:02x}", context.trace(), context.span(), u8::from(sampled)), text);
        assert_eq!(TraceId::new(context.trace().bytes()), Some(context.trace()));
        assert_eq!(SpanId::new(context.span().bytes()), Some(context.span()));
    }
}

#[test]
fn flags_that_nobody_knows_yet_are_not_passed_on() {
    for (flags, sampled) in [("02", false), ("03", true), ("fe", false), ("ff", true)] {
        let context: TraceContext = format!("00-{TRACE}-{SPAN}-{flags}").parse().unwrap();
        assert_eq!(context.is_sampled(), sampled, "{flags}");
        assert_eq!(context.to_string(), format!("00-{TRACE}-{SPAN}-{:02x}", u8::from(sampled)));
    }
}

#[test]
fn of_a_later_version_what_we_know_is_taken() {
    for more in ["", "-", "-what-the-future-will-be-like", "-01"] {
        for version in ["01", "cc", "fe"] {
            let context: TraceContext = format!("{version}-{TRACE}-{SPAN}-01{more}").parse().unwrap();
            assert_eq!(context.to_string(), format!("00-{TRACE}-{SPAN}-01"), "{version} {more}");
        }
    }
}

#[test]
fn what_is_no_traceparent_is_refused() {
    let (zeros, long) = ("0".repeat(32), "1".repeat(8000));
    for text in [
        "".to_owned(),
        "-".to_owned(),
        "00".to_owned(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-01-what-the-future-will-be-like"),
        format!("00-{TRACE}-{SPAN}-01."),
        format!("cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like"),
        format!("01-{TRACE}-{SPAN}-010"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!(".0-{TRACE}-{SPAN}-01"),
        format!("0.-{TRACE}-{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-01"),
        format!("000-{TRACE}-{SPAN}-01"),
        format!("+0-{TRACE}-{SPAN}-01"),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-.2345678901234567890123456789012-{SPAN}-01"),
        format!("00-1234567890123456789012345678901.-{SPAN}-01"),
        format!("00-{TRACE}-.234567890123456-01"),
        format!("00-{TRACE}-123456789012345.-01"),
        format!("00-{TRACE}-{SPAN}-.0"),
        format!("00-{TRACE}-{SPAN}-0."),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("00-{}-{SPAN}-01", "ABCDEF78901234567890123456789012"),
        format!("00-{TRACE}-ABCDEF7890123456-01"),
        format!("00-1{TRACE}-{SPAN}-01"),
        format!("00-1234567890123456789012345678901-{SPAN}-01"),
        format!("00-{TRACE}-1{SPAN}-01"),
        format!("00-{TRACE}-123456789012345-01"),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00--{TRACE}-{SPAN}-01"),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01 "),
        format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-ä"),
        format!("00-{}-{SPAN}-01", "ä".repeat(16)),
        format!("00-{long}"),
        "AB12-CD34EF-GH56".to_owned(),
    ] {
        assert_eq!(text.parse::<TraceContext>(), Err(MalformedContext), "{text:.80}");
    }
}

#[test]
fn a_share_of_traces_is_what_it_says() {
    let id = |low: u64| TraceId::new((u128::from(low) | 1 << 100).to_be_bytes()).unwrap();
    let among = |millionths| (0..1_000_000_u64).step_by(97).filter(|low| id(*low).is_among(millionths)).count();
    let all = (0..1_000_000_u64).step_by(97).count();
    assert_eq!((among(0), among(1_000_000)), (0, all));
    let tenth = among(100_000);
    assert!(tenth.abs_diff(all / 10) <= 1, "{tenth} of {all}");
}
