//! The signed call.

use std::{net::SocketAddr, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use reqwest::{
    Client, Proxy,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use serde::Deserialize;

use crate::{
    failure::{Doing, Failure},
    gateway::{self, ACCESS_KEY_ID, PARTNER_ID, SECRET_ACCESS_KEY},
};

const REGION: &str = "us-east-1";
const SERVICE: &str = "AGCODService";
const PATH: &str = "/CreateGiftCard";
const TARGET: &str = "com.amazonaws.agcod.AGCODService.CreateGiftCard";
const JSON: &str = "application/json";
/// More than there are callers: a connection that is there is never made anew.
const IDLE_CONNECTIONS: usize = 512;

/// A card that was bought.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bought {
    pub(super) gc_id: String,
    pub(super) gc_claim_code: String,
    status: String,
}

/// The gateway, as one worker calls it.
pub(super) struct Amazon {
    client: Client,
    url: String,
    credentials: Credentials,
}

impl Amazon {
    pub(super) fn new(gateway: &str, proxy: Option<SocketAddr>) -> Result<Self, Failure> {
        let builder =
            Client::builder().no_proxy().http1_only().tcp_nodelay(true).pool_max_idle_per_host(IDLE_CONNECTIONS);
        let (builder, base) = match proxy {
            Some(proxy) => {
                let proxy = Proxy::https(format!("http://{proxy}")).doing("the proxy")?;
                (builder.proxy(proxy), format!("https://{}", gateway::HOST))
            }
            None => (builder.tls_certs_only([]), format!("http://{gateway}")),
        };
        Ok(Self {
            client: builder.build().doing("the HTTP client")?,
            url: format!("{base}{PATH}"),
            credentials: Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench"),
        })
    }

    pub(super) async fn buy(&self, id: i64, minor: i64) -> Result<Bought, Failure> {
        let (whole, cents) = (minor / 100, minor % 100);
        let body = format!(
            r#"{{"creationRequestId":"{PARTNER_ID}{id}","partnerId":"{PARTNER_ID}","value":{{"currencyCode":"USD","amount":{whole}.{cents:02}}}}}"#
        );
        let headers = [("accept", JSON), ("content-type", JSON), ("host", gateway::HOST), ("x-amz-target", TARGET)];
        let mut request = self.client.post(&self.url).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON);
        request = request.header(HOST, gateway::HOST).header("x-amz-target", TARGET);
        for (name, value) in self.signature(&headers, body.as_bytes())? {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.doing("the call")?;
        let bytes = answer.bytes().await.doing("the call's answer")?;
        let bought: Bought = serde_json::from_slice(&bytes).doing("the call's answer")?;
        if bought.status == "SUCCESS" { Ok(bought) } else { Err(Failure::new("the call was refused")) }
    }

    fn signature(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .doing("the signature")?
            .into();
        let url = format!("https://{}{PATH}", gateway::HOST);
        let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body));
        let (added, _signature) = sign(request.doing("the signature")?, &params).doing("the signature")?.into_parts();
        Ok(added.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}
