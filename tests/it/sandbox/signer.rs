//! A Signature Version 4 signer and an HTTP/1 client of the plainest kind: it shows the bytes, and how they ended.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a helper of tests")]

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the answer ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ended {
    InOrder,
    Reset,
    StillOpen,
}

/// An answer, as bytes and taken apart.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: Option<u16>,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) ended: Ended,
}

impl Seen {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn content_length(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }

    pub(crate) fn error_type(&self) -> String {
        self.json()["errorType"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// A call, to be signed with everything about it adjustable.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) signed_path: String,
    pub(crate) host: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) at: DateTime<Utc>,
    /// Sent beside `host` and `x-amz-date`; signed if it says so.
    pub(crate) headers: Vec<(String, String, bool)>,
    pub(crate) body: String,
}

impl Call {
    /// Amazon's form A: accept, content-type, host, x-amz-date and x-amz-target signed.
    pub(crate) fn new(operation: &str, body: &str, at: DateTime<Utc>) -> Self {
        let signed = |name: &str, value: &str| (name.to_owned(), value.to_owned(), true);
        Self {
            path: format!("/{operation}"),
            signed_path: format!("/{operation}"),
            host: "agcod-v2-gamma.amazon.com".to_owned(),
            region: "us-east-1".to_owned(),
            service: "AGCODService".to_owned(),
            key_id: super::bench::KEY_ID.to_owned(),
            secret: super::bench::SECRET.to_owned(),
            at,
            headers: vec![
                signed("accept", "application/json"),
                signed("content-type", "application/json"),
                signed("x-amz-target", &format!("com.amazonaws.agcod.AGCODService.{operation}")),
            ],
            body: body.to_owned(),
        }
    }

    pub(crate) fn date(&self) -> String {
        self.at.format("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The whole request, signed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let date = self.date();
        let mut signed = vec![("host".to_owned(), self.host.clone()), ("x-amz-date".to_owned(), date.clone())];
        let chosen = self.headers.iter().filter(|(_, _, is_signed)| *is_signed);
        signed.extend(
            chosen
                .map(|(name, value, _)| (name.to_lowercase(), value.split_whitespace().collect::<Vec<_>>().join(" "))),
        );
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let body_hash = HEXLOWER.encode(&Sha256::digest(self.body.as_bytes()));
        let canonical = format!("POST\n{}\n\n{lines}\n{names}\n{body_hash}", self.signed_path);
        let day = self.at.format("%Y%m%d").to_string();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let canonical_hash = HEXLOWER.encode(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical_hash}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [day.as_str(), &self.region, &self.service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = HEXLOWER.encode(&mac(&key, &to_sign));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.key_id
        );
        let mut request = format!("POST {} HTTP/1.1\r\nHost: {}\r\nX-Amz-Date: {date}\r\n", self.path, self.host);
        for (name, value, _) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Authorization: {authorization}\r\nConnection: close\r\n"));
        if !self.headers.iter().any(|(name, ..)| name.eq_ignore_ascii_case("content-length")) {
            request.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        request.push_str("\r\n");
        request.push_str(&self.body);
        request.into_bytes()
    }
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Sends bytes on a new connection and reads to its end, for at most `patience`.
pub(crate) async fn exchange(to: SocketAddr, request: &[u8], patience: Duration) -> Seen {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request).await.unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    let ended = loop {
        match tokio::time::timeout(patience, stream.read(&mut chunk)).await {
            Err(_elapsed) => break Ended::StillOpen,
            Ok(Ok(0)) => break Ended::InOrder,
            Ok(Ok(count)) => bytes.extend_from_slice(chunk.get(..count).unwrap()),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => break Ended::Reset,
            Ok(Err(error)) => panic!("{error}"),
        }
    };
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = match split {
        Some(place) => (bytes.get(..place).unwrap().to_vec(), bytes.get(place + 4..).unwrap().to_vec()),
        None => (bytes, Vec::new()),
    };
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).map(|status| status.parse().unwrap());
    Seen { status, head, body, ended }
}
