//! Messages of Amazon SNS that are posted to an endpoint of ours: how one is read, and what proves that SNS has signed it.
//!
//! A signature proves that SNS sends for some account of AWS, and no more: whoever acts on a message also looks at its topic. Whatever can be
//! refused without a network is refused before a certificate is fetched. So a stranger makes us fetch little, and nothing at all from
//! elsewhere than SNS ("Verifying the signatures of Amazon SNS messages", Amazon SNS Developer Guide).

mod certificate;
mod message;
mod shelf;
mod url;

use std::{net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};

pub use message::{SnsKind, SnsMessage, SnsTopic};
pub use shelf::CERTIFICATE_FETCHES_PER_MINUTE;
pub(crate) use url::CertificateUrl;

use self::{shelf::CertificateShelf, url::SnsHost};
use super::transport::{self, Reach};
use crate::{ambient::Ambient, kernel::HttpsProxy, lifecycle::workplaces::outside};

/// Bytes of the largest message that is read. Those of Amazon Pay have some thousands.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// How long a connection and a whole answer of SNS may take. SNS itself waits 15 seconds for us.
const CONNECT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(4);

/// Why a message is not taken. The words are ours: nothing of the message is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnsRefusal {
    /// It is no message of SNS.
    #[error("it is no message of SNS: {0}")]
    Malformed(&'static str),
    /// It is one that SNS did not sign.
    #[error("it is not signed by SNS: {0}")]
    Forged(&'static str),
    /// Its certificate cannot be had now, so nothing is known of it.
    #[error("the certificate cannot be had now: {0}")]
    Unreachable(&'static str),
}

/// Where the certificates of an account's messages may come from.
#[derive(Debug, Clone)]
pub struct SnsSettings {
    /// A stand-in on this machine in the place of SNS; sandbox only.
    pub stand_in: Option<SocketAddr>,
    /// Through whom SNS is reached.
    pub https_proxy: Option<HttpsProxy>,
}

/// The HTTP client cannot be made, for example because the machine has no root certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for SNS could not be built")]
pub struct SnsUnbuilt(#[from] reqwest::Error);

/// Proves messages, and confirms subscriptions.
pub struct SnsClient {
    host: SnsHost,
    http: reqwest::Client,
    shelf: CertificateShelf,
}

impl SnsClient {
    /// A client whose certificates come from SNS, or from its stand-in.
    ///
    /// # Errors
    /// [`SnsUnbuilt`].
    pub fn new(settings: SnsSettings, ambient: Ambient) -> Result<Self, SnsUnbuilt> {
        let amazon = Reach::Amazon { proxy: settings.https_proxy };
        let reach = if settings.stand_in.is_some() { Reach::Loopback } else { amazon };
        let http = transport::builder(&reach, CONNECT, TOTAL)?.build()?;
        let host = settings.stand_in.map_or(SnsHost::Amazon, SnsHost::StandIn);
        Ok(Self { host, shelf: CertificateShelf::new(http.clone(), ambient), http })
    }

    /// Reads a message. Its certificate's URL is looked at, and nothing is fetched.
    ///
    /// # Errors
    /// [`SnsRefusal`].
    pub fn read(&self, body: &[u8]) -> Result<SnsMessage, SnsRefusal> {
        SnsMessage::read(body, self.host)
    }

    /// Proves that SNS signed the message. Fetches the certificate where it is not there.
    ///
    /// # Errors
    /// [`SnsRefusal`].
    pub async fn prove(&self, message: &SnsMessage, now: DateTime<Utc>) -> Result<(), SnsRefusal> {
        let certificate = self.shelf.get(message.certificate()).await?;
        certificate.demand_valid(now)?;
        certificate.verify(message.signature_version(), message.signed(), message.signature())?;
        self.shelf.proven(message.certificate());
        Ok(())
    }

    /// Confirms the subscription of this topic, under the token of a message that asked for it.
    ///
    /// # Errors
    /// [`SnsRefusal`] where SNS did not confirm it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a confirmation leaves")]
    pub async fn confirm(&self, topic: &SnsTopic, token: &str) -> Result<(), SnsRefusal> {
        let url = self.host.confirmation(topic, token);
        let answer = outside(self.http.get(url).send()).await;
        let status = answer.map_err(|_lost| SnsRefusal::Unreachable("no answer"))?.status();
        match status.as_u16() {
            200..300 => Ok(()),
            400..500 => Err(SnsRefusal::Forged("SNS refuses the confirmation")),
            _ => Err(SnsRefusal::Unreachable("no usable answer")),
        }
    }
}
