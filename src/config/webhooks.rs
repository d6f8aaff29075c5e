//! Where messages to callers may go.

use super::source::Section;

/// Where endpoints of webhooks may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WebhookSettings {
    /// Also in private networks and on this machine. Whoever may make an endpoint can then have the service call what only it reaches.
    pub allow_private_networks: bool,
    /// Also without TLS.
    pub allow_plain_http: bool,
}

/// Reads them.
pub(super) fn webhooks(mut section: Section<'_>) -> WebhookSettings {
    WebhookSettings {
        allow_private_networks: section.flag("allow_private_networks").unwrap_or(false),
        allow_plain_http: section.flag("allow_plain_http").unwrap_or(false),
    }
}
