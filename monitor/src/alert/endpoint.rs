//! A place alerts are sent to: what it wants to hear and how it is reached.

use std::sync::Arc;

use super::config::{ConfigError, WebhookConfig, validate};
use super::secret::{Secret, SecretEnv, SecretError};
use super::webhook::{Clients, Http, Transport};
use super::{Alert, webhook};

/// One endpoint, ready to be used.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) config: Arc<WebhookConfig>,
    pub(crate) secret: Secret,
    pub(crate) transport: Arc<dyn Transport>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Why an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its secret could not be had.
    #[error("webhook {name:?}: {error}")]
    Secret {
        /// Endpoint.
        name: String,
        /// Cause, with a hint.
        error: SecretError,
    },
    /// The endpoints do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Endpoint {
    /// Reads the secret. Nothing is sent and no certificate is read yet.
    ///
    /// # Errors
    /// The secret could not be had.
    pub fn new(
        config: WebhookConfig,
        env: &SecretEnv,
        clients: &Clients,
    ) -> Result<Self, EndpointError> {
        let secret = Secret::read(&config.secret, env).map_err(|error| EndpointError::Secret {
            name: config.name.clone(),
            error,
        })?;
        if config.url.is_clear_text() {
            tracing::warn!(
                webhook = config.name,
                url = %config.url,
                "alerts cross the network in clear text; https keeps them from others' eyes"
            );
        }
        let transport = Arc::new(Http::new(&config, clients));
        Ok(Self::with_transport(config, secret, transport))
    }

    /// All of a configuration's endpoints.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(webhooks: &[WebhookConfig], env: &SecretEnv) -> Result<Vec<Self>, EndpointError> {
        validate(webhooks)?;
        let clients = Clients::default();
        webhooks
            .iter()
            .map(|config| Self::new(config.clone(), env, &clients))
            .collect()
    }

    /// With another way to send.
    #[must_use]
    pub fn with_transport(
        config: WebhookConfig,
        secret: Secret,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self {
            config: Arc::new(config),
            secret,
            transport,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// A signed request for an attempt at `now_us`.
    pub(crate) fn request(&self, id: String, body: String, now_us: i64) -> webhook::Request {
        let timestamp = now_us.div_euclid(1_000_000);
        webhook::Request {
            signature: webhook::sign(&self.secret, &id, timestamp, body.as_bytes()),
            id,
            timestamp,
            body,
            timeout: self.config.timeout,
        }
    }
}

/// Whether an endpoint wants to hear of an alert.
#[must_use]
pub fn wants(config: &WebhookConfig, alert: &Alert) -> bool {
    let listed = |include: &[String], exclude: &[String], value: Option<&str>| {
        let among = |patterns: &[String]| {
            value.is_some_and(|value| patterns.iter().any(|pattern| matches(pattern, value)))
        };
        (include.is_empty() || among(include)) && !among(exclude)
    };
    alert.severity >= config.min_severity
        && (config.kinds.is_empty() || config.kinds.contains(&alert.kind))
        && !config.exclude_kinds.contains(&alert.kind)
        && listed(
            &config.identities,
            &config.exclude_identities,
            alert.identity.as_deref(),
        )
        && listed(
            &config.environments,
            &config.exclude_environments,
            alert.environment.as_deref(),
        )
}

/// `*` stands for any run of characters, everything else for itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    // Each middle part at its first place leaves the most for those that follow.
    while let Some((part, next)) = rest.split_once('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = text.get(at + part.len()..).unwrap_or("");
        rest = next;
    }
    text.ends_with(rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;
    use crate::alert::config::HookUrl;
    use crate::alert::secret::SecretSource;
    use crate::alert::testing::alert;
    use crate::judge::{FindingKind, Severity};

    #[test]
    fn stars_match() {
        for (pattern, text, expected) in [
            ("ci-bot", "ci-bot", true),
            ("ci-bot", "ci-bot2", false),
            ("ci-*", "ci-bot", true),
            ("*-bot", "ci-bot", true),
            ("*bot*", "ci-bot-2", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("jwt:iss=*,sub=x", "jwt:iss=https://idp.example,sub=x", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn filters() {
        let config = |change: &dyn Fn(&mut WebhookConfig)| {
            let url = HookUrl::parse("https://hooks.example/").unwrap();
            let mut config = WebhookConfig::new("a", url, SecretSource::Env("X".to_owned()));
            change(&mut config);
            config
        };
        let alert = alert("al_1", 1);
        let list = |text: &str| vec![text.to_owned()];
        assert!(wants(&config(&|_| ()), &alert));
        assert!(!wants(
            &config(&|c| c.min_severity = Severity::Critical),
            &alert
        ));
        assert!(wants(
            &config(&|c| c.kinds = vec![FindingKind::Environment]),
            &alert
        ));
        assert!(!wants(
            &config(&|c| c.kinds = vec![FindingKind::Canary]),
            &alert
        ));
        assert!(!wants(
            &config(&|c| c.exclude_kinds = vec![FindingKind::Environment]),
            &alert
        ));
        assert!(wants(&config(&|c| c.identities = list("ci-*")), &alert));
        assert!(!wants(&config(&|c| c.identities = list("web-*")), &alert));
        assert!(!wants(
            &config(&|c| c.exclude_identities = list("ci-bot")),
            &alert
        ));
        assert!(!wants(&config(&|c| c.environments = list("dev")), &alert));
        let mut nobody = alert.clone();
        nobody.identity = None;
        assert!(!wants(&config(&|c| c.identities = list("*")), &nobody));
        assert!(wants(
            &config(&|c| c.exclude_identities = list("*")),
            &nobody
        ));
    }
}
