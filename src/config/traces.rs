//! Where spans are sent, and how many. OpenTelemetry's own variables stand in for settings that are not set.

use std::fmt;

use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::source::RawSettings;

/// The collector's path for traces (OTLP 1.x, OTLP/HTTP request).
const PATH: &str = "/v1/traces";
const NAME_LENGTH_MAX: usize = 128;
const ADDRESS_LENGTH_MAX: usize = 512;

/// Where spans are sent, and how many.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// The collector's address, without [`TraceSettings::url`]'s path; nothing is exported without one.
    pub endpoint: Option<String>,
    /// The share of traces that begin here and are recorded.
    pub sample_ratio: Ratio,
    /// `service.name` of every span.
    pub service_name: String,
    /// Further attributes of every span's resource.
    pub resource_attributes: Vec<(String, String)>,
}

impl TraceSettings {
    /// Where spans are posted to.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.endpoint.as_ref().map(|endpoint| format!("{}{PATH}", endpoint.trim_end_matches('/')))
    }

    pub(super) fn resource_attributes_text(&self) -> String {
        let pairs = self.resource_attributes.iter().map(|(name, value)| format!("{name}={}", encode(value)));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// A share from 0 to 1 in millionths, so that no float is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    const ALL: Self = Self(1_000_000);
    const NONE: Self = Self(0);

    /// How many of a million.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number from 0.0 to 1.0 with at most 6 decimal places".to_owned();
        let share: Decimal = text.parse().map_err(|_error| wrong())?;
        let millionths = share.checked_mul(Decimal::from(Self::ALL.0)).filter(Decimal::is_integer);
        let millionths = millionths.and_then(|number| number.to_u32()).filter(|number| *number <= Self::ALL.0);
        millionths.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = Decimal::new(self.0.into(), 6).normalize();
        // TOML knows a float by its point.
        if share.is_integer() { write!(f, "{share}.0") } else { write!(f, "{share}") }
    }
}

/// The section, with OpenTelemetry's variables for what is not in it. A setting wins.
pub(super) fn traces(source: &mut RawSettings) -> TraceSettings {
    let mut section = source.section("traces");
    // Set and empty turns the export off, whatever the environment says.
    let endpoint = section.text("endpoint", |text| if text.is_empty() { Ok(None) } else { address(text).map(Some) });
    let sample_ratio = section.decimal("sample_ratio", Ratio::parse);
    let service_name = section.text("service_name", service_name);
    let resource_attributes = section.text("resource_attributes", attributes);
    if !cfg!(feature = "otlp") && matches!(endpoint, Some(Some(_))) {
        section.refuse("endpoint", "this program was built without the feature otlp");
    }
    let disabled = source.standard("OTEL_SDK_DISABLED", |text| Ok(text.eq_ignore_ascii_case("true"))).unwrap_or(false);
    let endpoint = match endpoint {
        Some(set) => set,
        None if disabled || !cfg!(feature = "otlp") => None,
        None => source.standard("OTEL_EXPORTER_OTLP_ENDPOINT", address),
    };
    TraceSettings {
        endpoint,
        sample_ratio: sample_ratio.or_else(|| sampler(source)).unwrap_or(Ratio::ALL),
        service_name: service_name
            .or_else(|| source.standard("OTEL_SERVICE_NAME", self::service_name))
            .unwrap_or_else(|| "noshi".to_owned()),
        resource_attributes: resource_attributes
            .or_else(|| source.standard("OTEL_RESOURCE_ATTRIBUTES", attributes))
            .unwrap_or_default(),
    }
}

/// The share that the standard's samplers mean. We always go by the caller's choice where there is one, as the names with
/// `parentbased` say; the others are taken for those.
fn sampler(source: &mut RawSettings) -> Option<Ratio> {
    let kind = source.standard("OTEL_TRACES_SAMPLER", |text| match text.trim_start_matches("parentbased_") {
        "always_on" => Ok(Some(Ratio::ALL)),
        "always_off" => Ok(Some(Ratio::NONE)),
        "traceidratio" => Ok(None),
        _other => Err("must be always_on, always_off or traceidratio, or parentbased_ and one of them".to_owned()),
    })?;
    kind.or_else(|| source.standard("OTEL_TRACES_SAMPLER_ARG", Ratio::parse))
}

/// `http://HOST[:PORT][/PATH]`, or https. No user, no query: an address is shown and logged, and no place for a secret.
fn address(text: &str) -> Result<String, String> {
    let wrong = || Err("must be an address like http://127.0.0.1:4318, without user, query or fragment".to_owned());
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else { return wrong() };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'/' | b':' | b'[' | b']');
    let (authority, _path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_fits = !host.is_empty() && (bracketed || !host.contains([':', '[', ']']));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let fits = host_fits && port_fits && text.len() <= ADDRESS_LENGTH_MAX && rest.bytes().all(plain);
    if fits { Ok(text.to_owned()) } else { wrong() }
}

fn service_name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(format!("must be 1 to {NAME_LENGTH_MAX} characters")) }
}

/// `name=value` pairs, percent-encoded (the specification's Resource SDK, and W3C Baggage).
fn attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = || "must be name=value pairs divided by commas, percent-encoded where a value needs it".to_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), decode(value.trim())?);
        (!name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| (name.to_owned(), value))
    };
    let pairs = text.split(',').filter(|text| !text.trim().is_empty());
    pairs.map(|text| pair(text).ok_or_else(wrong)).collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next())?.checked_mul(16)?.checked_add(hex(rest.next())?)?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~' | b'/' | b':');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
