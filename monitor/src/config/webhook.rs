//! One endpoint that alerts are delivered to.

use serde::Deserialize;

use super::SecretRef;

/// `[[webhook]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Unique name, used in messages and `send-test NAME`.
    pub name: String,
    /// `https://…` or `http://…`.
    pub url: String,
    /// Signing secret.
    pub secret: SecretRef,
}
