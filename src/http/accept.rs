//! Which of a resource's representations a caller likes best (`Accept`: RFC 9110, 12.5.1).

use std::cmp::Reverse;

use actix_web::{
    HttpRequest,
    http::header::{Accept, Header, Quality},
    mime::{self, Mime},
};

/// How closely a range describes what is offered: the closest one decides its quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Anything,
    Family,
    Exact,
}

/// The media type that the caller likes best of those on offer. Of equals it is what the caller names most closely, then
/// first, then what is offered first. `None` where the caller accepts everything alike, or nothing of it: a header that
/// cannot be read, or asks for what there is not, is no reason for a refusal.
pub(crate) fn preferred(request: &HttpRequest, offers: &[&'static str]) -> Option<&'static str> {
    let accept = Accept::parse(request).ok()?;
    let liked = |offer: &str| {
        let ranges = accept.iter().enumerate();
        let matching =
            ranges.filter_map(|(at, range)| Some((closeness(&range.item, offer)?, Reverse(at), range.quality)));
        matching.max_by_key(|(closeness, at, _quality)| (*closeness, *at))
    };
    let ranked = offers.iter().enumerate().filter_map(|(at, offer)| {
        let (closeness, named, quality) = liked(offer)?;
        (quality > Quality::ZERO).then_some(((quality, closeness, named, Reverse(at)), *offer))
    });
    ranked.max_by_key(|(rank, _offer)| *rank).map(|(_rank, offer)| offer)
}

fn closeness(range: &Mime, offer: &str) -> Option<Closeness> {
    let (family, _kind) = offer.split_once('/')?;
    match (range.type_(), range.subtype()) {
        (mime::STAR, _) => Some(Closeness::Anything),
        (name, mime::STAR) => (name == family).then_some(Closeness::Family),
        _ => (range.essence_str() == offer).then_some(Closeness::Exact),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const OFFERS: [&str; 3] = ["application/json", "text/csv", "application/x-ndjson"];

    #[test]
    fn what_a_caller_accepts_is_weighed_as_the_standard_says() {
        for (accept, wanted) in [
            ("text/csv", Some("text/csv")),
            ("TEXT/CSV; charset=utf-8", Some("text/csv")),
            ("text/csv;q=0", None),
            ("text/csv;q=0, */*", Some("application/json")),
            ("text/csv;q=0.000, application/x-ndjson;q=0.001", Some("application/x-ndjson")),
            ("application/json, text/csv;q=0.9", Some("application/json")),
            ("application/json;q=0.1, text/csv;q=0.9", Some("text/csv")),
            ("text/csv, application/json", Some("text/csv")),
            ("application/json, text/csv", Some("application/json")),
            ("text/*", Some("text/csv")),
            ("text/*, text/csv;q=0, application/json;q=0.1", Some("application/json")),
            ("*/*", Some("application/json")),
            ("*/*, text/csv", Some("text/csv")),
            ("*/*;q=0.9, text/csv;q=0.2", Some("application/json")),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some("application/json")),
            ("application/*;q=0.5, text/csv;q=0.5", Some("text/csv")),
            ("application/json;q=0, */*", Some("text/csv")),
            ("image/png", None),
            ("text/csvx, text", None),
            ("", None),
            (";;,,q=1", None),
        ] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert_eq!(preferred(&request, &OFFERS), wanted, "{accept}");
        }
        assert_eq!(preferred(&TestRequest::default().to_http_request(), &OFFERS), None);
        let twice = TestRequest::default().append_header(("accept", "text/csv;q=0.1"));
        let twice = twice.append_header(("accept", "application/x-ndjson")).to_http_request();
        assert_eq!(preferred(&twice, &OFFERS), Some("application/x-ndjson"), "two headers are one list");
    }
}
