//! The one style sheet, the one script and the mark. Their names have a digest of what is in them, so that a browser keeps them for ever.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Console;

const STYLE: &str = include_str!("templates/console.css");
const SCRIPT: &str = include_str!("templates/console.js");
const MARK: &str = include_str!("templates/mark.svg");
const KEPT: &str = "public, max-age=31536000, immutable";

/// What the three are called.
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) mark: String,
}

impl Assets {
    pub(super) fn new() -> Self {
        let named = |text: &str, end: &str| {
            let digest: String = HEXLOWER.encode(&Sha256::digest(text)).chars().take(16).collect();
            format!("{digest}.{end}")
        };
        Self { style: named(STYLE, "css"), script: named(SCRIPT, "js"), mark: named(MARK, "svg") }
    }
}

pub(super) async fn asset(console: web::Data<Console>, request: HttpRequest) -> HttpResponse {
    let (name, assets) = (request.match_info().query("name"), &console.assets);
    let all = [
        (&assets.style, "text/css; charset=utf-8", STYLE),
        (&assets.script, "text/javascript; charset=utf-8", SCRIPT),
        (&assets.mark, "image/svg+xml", MARK),
    ];
    match all.into_iter().find(|(known, _kind, _text)| known.as_str() == name) {
        Some((_name, kind, text)) => {
            HttpResponse::Ok().content_type(kind).insert_header((header::CACHE_CONTROL, KEPT)).body(text)
        }
        None => HttpResponse::NotFound().finish(),
    }
}
