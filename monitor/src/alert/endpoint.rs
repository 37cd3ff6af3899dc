//! A place alerts are sent to: what it wants to hear and how it is reached.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::config::{ConfigError, WebhookConfig, validate};
use super::formats::{self, Format, Sender};
use super::secret::{Secret, SecretEnv, SecretError, SecretSource};
use super::sockets::Sockets;
use super::webhook::{Clients, Http, Transport};
use super::{Alert, webhook};

const CHECKPOINT_FIELD: &str = ",\"checkpoint\":";

/// One endpoint, ready to be used.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) config: Arc<WebhookConfig>,
    /// Signs, where the receiver can check it.
    secret: Option<Secret>,
    /// PagerDuty's.
    routing_key: Option<Secret>,
    /// Name of this host.
    host: Arc<str>,
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
        let read = |from: &SecretSource| {
            Secret::read(from, env).map_err(|error| EndpointError::Secret {
                name: config.name.clone(),
                error,
            })
        };
        let secret = config.secret.as_ref().map(read).transpose()?;
        let routing_key = config.routing_key.as_ref().map(read).transpose()?;
        if config.url.is_clear_text() {
            tracing::warn!(
                webhook = config.name,
                url = %config.url,
                "alerts cross the network in clear text; {} keeps them from others' eyes",
                if config.format.is_log() { "a relay on this host that speaks TLS" } else { "https" },
            );
        }
        let transport: Arc<dyn Transport> = match config.url.http() {
            Some(url) => Arc::new(Http::new(url.clone(), &config, clients)),
            None => Arc::new(Sockets::new(config.url.clone())),
        };
        Ok(Self {
            config: Arc::new(config),
            secret,
            routing_key,
            host: this_host(),
            transport,
        })
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
            secret: Some(secret),
            routing_key: None,
            host: this_host(),
            transport,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The request for an attempt at `now_us`; `body` is an alert's own JSON, `checkpoint` the audit log's newest.
    ///
    /// # Errors
    /// The stored alert cannot be read, and so not be told in other words.
    pub(crate) fn request(
        &self,
        id: String,
        body: String,
        now_us: i64,
        checkpoint: Option<&str>,
    ) -> Result<webhook::Request, String> {
        let body = match self.config.format {
            Format::Json => with_checkpoint(body, checkpoint).into_bytes(),
            _ => {
                let alert: Alert = serde_json::from_str(&body)
                    .map_err(|error| format!("the stored alert is not readable: {error}"))?;
                self.body(&alert, &id, checkpoint)
            }
        };
        Ok(self.signed(id, body, now_us, checkpoint))
    }

    /// The request for a test at `now_us`.
    pub(crate) fn test_request(&self, now_us: i64, checkpoint: Option<&str>) -> webhook::Request {
        let id = format!("test_{now_us}");
        let body = match self.config.format {
            Format::Json => {
                let body = serde_json::json!({
                    "type": "test",
                    "v": 1,
                    "time": crate::access::record::rfc3339(now_us),
                    "message": "a test of this webhook: nothing has happened",
                });
                with_checkpoint(body.to_string(), checkpoint).into_bytes()
            }
            _ => self.body(&formats::test_alert(&id, now_us), &id, checkpoint),
        };
        self.signed(id, body, now_us, checkpoint)
    }

    fn body(&self, alert: &Alert, id: &str, checkpoint: Option<&str>) -> Vec<u8> {
        let key = self.routing_key.as_ref().map(Secret::expose);
        let sender = Sender {
            message_id: id,
            host: &self.host,
            routing_key: &String::from_utf8_lossy(key.unwrap_or_default()),
            room: self.config.url.room(),
            checkpoint,
        };
        formats::body(self.config.format, alert, &sender)
    }

    fn signed(
        &self,
        id: String,
        body: Vec<u8>,
        now_us: i64,
        checkpoint: Option<&str>,
    ) -> webhook::Request {
        let timestamp = now_us.div_euclid(1_000_000);
        let secret = self
            .secret
            .as_ref()
            .filter(|_| self.config.format.is_signed());
        webhook::Request {
            content_type: self.config.format.content_type(),
            // Its own form has it in the body, where the signature covers it; logs have no header.
            checkpoint: checkpoint
                .filter(|_| self.config.format != Format::Json && !self.config.format.is_log())
                .map(|note| STANDARD.encode(note)),
            signature: secret.map(|secret| webhook::sign(secret, &id, timestamp, &body)),
            id,
            timestamp,
            body,
            timeout: self.config.timeout,
        }
    }
}

/// The JSON object with a field `checkpoint`; as it was, where there is none or no room.
fn with_checkpoint(mut body: String, checkpoint: Option<&str>) -> String {
    let field = checkpoint.and_then(|note| serde_json::to_string(note).ok());
    if let Some(note) = field
        && body.len() + note.len() + CHECKPOINT_FIELD.len() <= webhook::MAX_BODY
        && body.len() > 2
        && body.ends_with('}')
    {
        body.pop();
        body.push_str(CHECKPOINT_FIELD);
        body.push_str(&note);
        body.push('}');
    }
    body
}

/// The host's name, as `uname -n` prints it.
fn this_host() -> Arc<str> {
    rustix::system::uname().nodename().to_string_lossy().into()
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
        && config.only.as_ref().is_none_or(|only| only.matches(alert))
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
    fn a_checkpoint_goes_along_where_the_format_has_room_for_it() {
        let note = "web1/bailiwick/0a\n7\nroot=\n\n— web1/bailiwick/0a c2ln\n";
        let url = HookUrl::parse("https://hooks.example/").unwrap();
        let mut config = WebhookConfig::new("a", url, SecretSource::Env("X".to_owned()));
        let endpoint = |config: &WebhookConfig| Endpoint {
            config: Arc::new(config.clone()),
            secret: Some(Secret::new(b"secret").unwrap()),
            routing_key: None,
            host: "web1".into(),
            transport: Arc::new(Sockets::new(HookUrl::parse("udp://127.0.0.1:9").unwrap())),
        };
        let body = serde_json::to_string(&alert("al_1", 1)).unwrap();
        let send = |config: &WebhookConfig, body: &str, note| {
            endpoint(config)
                .request("al_1-1".to_owned(), body.to_owned(), 0, note)
                .unwrap()
        };
        let request = send(&config, &body, Some(note));
        let value: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(value.get("checkpoint").and_then(|v| v.as_str()), Some(note));
        assert_eq!(request.checkpoint, None);
        // What is signed is what is sent.
        let signed = webhook::sign(&Secret::new(b"secret").unwrap(), "al_1-1", 0, &request.body);
        assert_eq!(request.signature, Some(signed));
        assert_eq!(send(&config, &body, None).body, body.as_bytes());
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(webhook::MAX_BODY - 20));
        assert_eq!(send(&config, &long, Some(note)).body, long.as_bytes());
        let test = endpoint(&config).test_request(0, Some(note));
        assert!(
            String::from_utf8(test.body)
                .unwrap()
                .contains("\"checkpoint\":\"web1")
        );
        config.format = Format::Ocsf;
        let request = send(&config, &body, Some(note));
        assert_eq!(request.checkpoint, Some(STANDARD.encode(note)));
        assert!(
            !String::from_utf8(request.body)
                .unwrap()
                .contains("web1/bailiwick")
        );
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
