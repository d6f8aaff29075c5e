//! The envelope that SNS puts around a message, and the text that its signature is of ("Parsing Amazon SNS message formats", Amazon SNS
//! Developer Guide).

use data_encoding::BASE64;
use serde::Deserialize;
use uuid::{Uuid, Variant};

use super::{CertificateUrl, SnsRefusal, url::SnsHost};

/// Characters of the longest topic and the longest token; 255 and 256 were seen.
const TOPIC_LENGTH_MAX: usize = 255;
const TOKEN_LENGTH_MAX: usize = 512;

/// A topic's name in full: `arn:aws:sns:REGION:ACCOUNT:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnsTopic(String);

impl SnsTopic {
    /// The topic of this text; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [arn, partition, service, region, account, name] = parts.as_slice() else { return None };
        let lower =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let good = *arn == "arn"
            && *service == "sns"
            && (*partition == "aws" || partition.starts_with("aws-") && lower(partition))
            && region.len() >= 3
            && lower(region)
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (good && text.len() <= TOPIC_LENGTH_MAX).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its own name, behind its account.
    #[must_use]
    pub fn name(&self) -> &str {
        self.part(5)
    }

    pub(super) fn region(&self) -> &str {
        self.part(3)
    }

    pub(super) fn domain(&self) -> &'static str {
        if self.part(1) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    fn part(&self, at: usize) -> &str {
        self.0.split(':').nth(at).unwrap_or_default()
    }
}

/// What a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnsKind {
    /// Somebody published something.
    Notification,
    /// Somebody wants the endpoint to be subscribed to the topic; with this token that is confirmed.
    SubscriptionConfirmation(String),
    /// The endpoint was taken off the topic.
    UnsubscribeConfirmation,
}

/// How a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureVersion {
    /// RSA with SHA-1.
    One,
    /// RSA with SHA-256.
    Two,
}

/// A message, as it was read. Nothing is proven by that.
pub struct SnsMessage {
    /// What it is for.
    pub kind: SnsKind,
    /// Its id: the same in each delivery.
    pub id: Uuid,
    /// Where it was published.
    pub topic: SnsTopic,
    /// What was published.
    pub text: String,
    signed: String,
    version: SignatureVersion,
    signature: Vec<u8>,
    certificate: CertificateUrl,
}

/// The members, as they come. Others say nothing.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    r#type: String,
    message_id: String,
    topic_arn: String,
    subject: Option<String>,
    message: String,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
}

impl SnsMessage {
    pub(super) fn read(body: &[u8], host: SnsHost) -> Result<Self, SnsRefusal> {
        // Serde's own error is dropped: it quotes what it read.
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_error| SnsRefusal::Malformed("its members"))?;
        let (kind, signed) = envelope.kind(host)?;
        let id = Uuid::try_parse(&envelope.message_id).ok().filter(|id| id.get_variant() == Variant::RFC4122);
        let id = id.ok_or(SnsRefusal::Malformed("its id"))?;
        let topic = SnsTopic::parse(&envelope.topic_arn).ok_or(SnsRefusal::Malformed("its topic"))?;
        let version = match envelope.signature_version.as_str() {
            "1" => SignatureVersion::One,
            "2" => SignatureVersion::Two,
            _ => return Err(SnsRefusal::Malformed("the version of its signature")),
        };
        let signature = BASE64.decode(envelope.signature.as_bytes());
        let signature = signature.map_err(|_error| SnsRefusal::Malformed("its signature"))?;
        let certificate = host.certificate(&envelope.signing_cert_url)?;
        Ok(Self { kind, id, topic, text: envelope.message, signed, version, signature, certificate })
    }

    pub(super) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(super) const fn signature_version(&self) -> SignatureVersion {
        self.version
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    pub(super) const fn certificate(&self) -> &CertificateUrl {
        &self.certificate
    }
}

impl Envelope {
    /// What it is for, and the text that is signed: the names and values of some members, in the order of the names.
    fn kind(&self, host: SnsHost) -> Result<(SnsKind, String), SnsRefusal> {
        let missing = SnsRefusal::Malformed("its members");
        let common = [("Message", Some(&self.message)), ("MessageId", Some(&self.message_id))];
        let ends = [("TopicArn", Some(&self.topic_arn)), ("Type", Some(&self.r#type))];
        if self.r#type == "Notification" {
            let own = [("Subject", self.subject.as_ref()), ("Timestamp", Some(&self.timestamp))];
            return Ok((SnsKind::Notification, joined([common, own, ends].concat())));
        }
        let kind = match self.r#type.as_str() {
            "SubscriptionConfirmation" => {
                let token = self.token.clone().ok_or(missing)?;
                let plain = token.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
                if token.is_empty() || token.len() > TOKEN_LENGTH_MAX || !plain {
                    return Err(SnsRefusal::Malformed("its token"));
                }
                SnsKind::SubscriptionConfirmation(token)
            }
            "UnsubscribeConfirmation" => SnsKind::UnsubscribeConfirmation,
            _ => return Err(SnsRefusal::Malformed("its type")),
        };
        let (url, token) = (self.subscribe_url.as_ref().ok_or(missing)?, self.token.as_ref().ok_or(missing)?);
        if !host.is_of_host(url) {
            return Err(SnsRefusal::Forged("its subscription is confirmed elsewhere"));
        }
        let own = [("SubscribeURL", Some(url)), ("Timestamp", Some(&self.timestamp))];
        let token = vec![("Token", Some(token))];
        Ok((kind, joined([common.to_vec(), own.to_vec(), token, ends.to_vec()].concat())))
    }
}

fn joined(members: Vec<(&str, Option<&String>)>) -> String {
    let there = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    there.map(|(name, value)| format!("{name}\n{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn notification() -> Value {
        json!({
            "Type": "Notification", "MessageId": "15e7412b-e9ac-5f6a-b6df-0c909df567a0",
            "TopicArn": "arn:aws:sns:us-east-1:291180941288:A1MARKETA1SELLER", "Message": "{}", "Timestamp": "2026-11-29T00:00:00.000Z",
            "SignatureVersion": "1", "Signature": "AAAA", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem",
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe"
        })
    }

    fn read(value: &Value) -> Result<SnsMessage, SnsRefusal> {
        SnsMessage::read(value.to_string().as_bytes(), SnsHost::Amazon)
    }

    #[test]
    fn what_is_signed_are_some_members_in_the_order_of_their_names() {
        let message = read(&notification()).ok().unwrap();
        assert_eq!(
            message.signed,
            "Message\n{}\nMessageId\n15e7412b-e9ac-5f6a-b6df-0c909df567a0\nTimestamp\n2026-11-29T00:00:00.000Z\n\
             TopicArn\narn:aws:sns:us-east-1:291180941288:A1MARKETA1SELLER\nType\nNotification\n"
        );
        let mut with_subject = notification();
        with_subject["Subject"] = json!("a subject");
        let signed = read(&with_subject).ok().unwrap().signed;
        assert!(signed.contains("df567a0\nSubject\na subject\nTimestamp\n"), "{signed}");
        let mut confirmation = notification();
        confirmation["Type"] = json!("SubscriptionConfirmation");
        confirmation["Token"] = json!("2336412f37");
        confirmation["SubscribeURL"] =
            json!("https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37");
        let message = read(&confirmation).ok().unwrap();
        assert_eq!(message.kind, SnsKind::SubscriptionConfirmation("2336412f37".to_owned()));
        let names: Vec<&str> = message.signed.lines().step_by(2).collect();
        assert_eq!(names, ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]);
        confirmation["SubscribeURL"] = json!("https://evil.example/?Token=2336412f37");
        assert!(matches!(read(&confirmation), Err(SnsRefusal::Forged(_))));
    }

    #[test]
    fn a_message_that_lacks_a_member_or_has_another_form_is_refused() {
        let all = [
            "Type",
            "MessageId",
            "TopicArn",
            "Message",
            "Timestamp",
            "SignatureVersion",
            "Signature",
            "SigningCertURL",
        ];
        for name in all {
            let mut without = notification();
            without.as_object_mut().unwrap().remove(name);
            assert!(matches!(read(&without), Err(SnsRefusal::Malformed(_))), "{name}");
            let mut odd = notification();
            odd[name] = json!("?");
            let expected = !["Message", "Timestamp"].contains(&name);
            assert_eq!(read(&odd).is_err(), expected, "{name}");
        }
        for body in ["", "{}", "[]", "7", "null"] {
            assert!(SnsMessage::read(body.as_bytes(), SnsHost::Amazon).is_err(), "{body}");
        }
    }

    #[test]
    fn a_topic_has_a_region_an_account_and_a_name() {
        let topic = SnsTopic::parse("arn:aws:sns:eu-west-1:291180941288:A1MARKETA1SELLER").unwrap();
        assert_eq!((topic.region(), topic.name(), topic.domain()), ("eu-west-1", "A1MARKETA1SELLER", "amazonaws.com"));
        for bad in [
            "",
            "arn:aws:sns:eu-west-1:291180941288",
            "arn:aws:sqs:eu-west-1:291180941288:A1",
            "arn:aws:sns:eu-west-1:29118094128:A1",
            "arn:aws:sns:eu.west:291180941288:A1",
            "arn:aws:sns:eu-west-1:291180941288:A1:A2",
            "arn:aws:sns:eu-west-1:291180941288:",
            "arn:aws:sns:eu-west-1:291180941288:A1&Action=x",
            "arn:evil:sns:eu-west-1:291180941288:A1",
        ] {
            assert_eq!(SnsTopic::parse(bad), None, "{bad}");
        }
    }
}
