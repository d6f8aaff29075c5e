//! Where a certificate may lie: at SNS itself, by HTTPS, and nowhere else. The URL comes from whoever sent the message. It is compared
//! character by character and not parsed, because what one parser reads another may read otherwise.

use std::net::SocketAddr;

use super::{SnsRefusal, SnsTopic};

/// Characters of the longest URL.
const LENGTH_MAX: usize = 256;

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SnsHost {
    Amazon,
    /// A stand-in on this machine.
    StandIn(SocketAddr),
}

/// The URL of a certificate that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CertificateUrl(String);

impl CertificateUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl SnsHost {
    /// The certificate's URL, if it may be fetched.
    pub(super) fn certificate(self, url: &str) -> Result<CertificateUrl, SnsRefusal> {
        let elsewhere = SnsRefusal::Forged("its certificate lies elsewhere");
        let path = self.path_of(url).ok_or(elsewhere)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let named = path.strip_suffix(".pem").is_some_and(|name| name.len() > 1 && !name.ends_with('/'));
        if named && path.bytes().all(plain) && !path.contains("..") {
            Ok(CertificateUrl(url.to_owned()))
        } else {
            Err(elsewhere)
        }
    }

    /// Whether a subscription is confirmed there.
    pub(super) fn is_of_host(self, url: &str) -> bool {
        self.path_of(url).is_some()
    }

    /// Where a subscription is confirmed. It is made of its parts, so that no text of a message is ever called.
    pub(super) fn confirmation(self, topic: &SnsTopic, token: &str) -> String {
        let begin = match self {
            Self::Amazon => format!("https://sns.{}.{}", topic.region(), topic.domain()),
            Self::StandIn(address) => format!("http://{address}"),
        };
        format!("{begin}/?Action=ConfirmSubscription&TopicArn={}&Token={token}", topic.as_str())
    }

    /// What follows the host, from its slash on, where the host is this one.
    fn path_of(self, url: &str) -> Option<&str> {
        if url.len() > LENGTH_MAX.saturating_mul(4) || !url.is_ascii() {
            return None;
        }
        match self {
            Self::Amazon => {
                let rest = url.strip_prefix("https://sns.")?;
                let (host, _path) = rest.split_once('/')?;
                let region =
                    [".amazonaws.com", ".amazonaws.com.cn"].into_iter().find_map(|domain| host.strip_suffix(domain))?;
                is_region(region).then(|| rest.get(host.len()..))?
            }
            Self::StandIn(address) => {
                let path = url.strip_prefix(&format!("http://{address}"))?;
                path.starts_with('/').then_some(path)
            }
        }
        .filter(|path| path.len() <= LENGTH_MAX.saturating_mul(3))
    }
}

/// Whether this has the form of a region: words of letters, and a number, as in `us-gov-west-1`. What has not may be another service:
/// `sns.s3-us-west-2.amazonaws.com` is a bucket of S3's, and anybody's.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && words.contains('-') && words.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_lies_at_sns_of_some_region_and_nowhere_else() {
        for good in [
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-bb750dd426d95ee9390147a5624348ee.pem",
            "https://sns.ap-northeast-1.amazonaws.com/a.pem",
            "https://sns.us-gov-west-1.amazonaws.com/a.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/a.pem",
            "https://sns.eu-west-1.amazonaws.com/folder/a.pem",
        ] {
            assert!(SnsHost::Amazon.certificate(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://sns.us-east-1.amazonaws.com/a.pem",
            "HTTPS://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com/a.exe",
            "https://sni.us-east-1.amazonaws.com/a.pem",
            "https://sns.us.amazonaws.com/a.pem",
            "https://sns.s3-us-west-2.amazonaws.com/a.pem",
            "https://sns.s3-accelerate.amazonaws.com/a.pem",
            "https://sns.s3.amazonaws.com/a.pem",
            "https://sns.us-east.amazonaws.com/a.pem",
            "https://sns.east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1-.amazonaws.com/a.pem",
            "https://sns..amazonaws.com/a.pem",
            "https://sns.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.com/a.pem",
            "https://sns.us-east-1.amazonaws.com.cn.com/a.pem",
            "https://sns.us-east-1.amazonaws.org/a.pem",
            "https://evil.example/a.pem",
            "https://evil.example/sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
            "https://sns.evil.example/.amazonaws.com/a.pem",
            "https://sns.evil.example#.amazonaws.com/a.pem",
            "https://sns.evil.example?.amazonaws.com/a.pem",
            "https://sns.evil.example\\.amazonaws.com/a.pem",
            "https://sns.us-east-1.evil.amazonaws.com/a.pem",
            "https://user@sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com:443/a.pem",
            "https://sns.us-east-1.amazonaws.com:8443/a.pem",
            "https://sns.us-east-1.amazonaws.com/?file=a.pem",
            "https://sns.us-east-1.amazonaws.com/a?b.pem",
            "https://sns.us-east-1.amazonaws.com/a.pem?b",
            "https://sns.us-east-1.amazonaws.com/a.pem#b",
            "https://sns.us-east-1.amazonaws.com/a%2epem",
            "https://sns.us-east-1.amazonaws.com/../a.pem",
            "https://sns.us-east-1.amazonaws.com/.pem",
            "https://sns.us-east-1.amazonaws.com/a/.pem",
            "https://sns.us-east-1.amazonaws.com",
            "https://sns.us-east-1.amazonaws.com/ä.pem",
            "http://127.0.0.1:8081/a.pem",
        ] {
            assert!(SnsHost::Amazon.certificate(bad).is_err(), "{bad}");
        }
        let long = format!("https://sns.us-east-1.amazonaws.com/{}.pem", "a".repeat(1_000));
        assert!(SnsHost::Amazon.certificate(&long).is_err());
    }

    #[test]
    fn with_a_stand_in_it_lies_there_and_not_at_sns() {
        let host = SnsHost::StandIn("127.0.0.1:8081".parse().unwrap());
        assert!(host.certificate("http://127.0.0.1:8081/sns/a.pem").is_ok());
        for bad in [
            "http://127.0.0.1:80811/a.pem",
            "http://127.0.0.1:8081@evil.example/a.pem",
            "http://127.0.0.1:8082/a.pem",
            "https://127.0.0.1:8081/a.pem",
            "https://sns.us-east-1.amazonaws.com/a.pem",
        ] {
            assert!(host.certificate(bad).is_err(), "{bad}");
        }
    }
}
