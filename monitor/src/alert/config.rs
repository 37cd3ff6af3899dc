//! `[[webhook]]` of the configuration.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::filter::{Filter, FilterError, Subject};
use crate::judge::{FindingKind, Severity};

pub use super::address::HookUrl;

use super::Alert;
use super::formats::Format;
use super::secret::SecretSource;

/// Most endpoints in one configuration.
pub const MAX_ENDPOINTS: usize = 64;
/// Default time for one attempt, from connecting to the answer's head.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
/// Default time between two messages on the same alert.
pub const DEFAULT_UPDATE_EVERY: Duration = Duration::from_secs(60);
/// Default messages a minute.
pub const DEFAULT_RATE: u32 = 600;

/// One `[[webhook]]`. Unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name: letters, digits, `.`, `_`, `-`, at most 64. What is queued belongs to the name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Where messages go.
    pub url: HookUrl,
    /// Where its signing secret is: `credential:NAME`, `file:PATH` or `env:NAME`. Formats whose
    /// receivers check no signature have none.
    #[serde(default)]
    pub secret: Option<SecretSource>,
    /// In whose words it is told.
    #[serde(default)]
    pub format: Format,
    /// Where PagerDuty's routing key is.
    #[serde(default)]
    pub routing_key: Option<SecretSource>,
    /// Only these kinds of finding; all when empty.
    #[serde(default)]
    pub kinds: Vec<FindingKind>,
    /// Not these kinds.
    #[serde(default)]
    pub exclude_kinds: Vec<FindingKind>,
    /// Only alerts at least this bad.
    #[serde(default = "lowest")]
    pub min_severity: Severity,
    /// Only these identities (exact, or with `*` for any run of characters); all when empty.
    #[serde(default)]
    pub identities: Vec<String>,
    /// Not these identities.
    #[serde(default)]
    pub exclude_identities: Vec<String>,
    /// Only these environments; all when empty.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Not these environments.
    #[serde(default)]
    pub exclude_environments: Vec<String>,
    /// Only alerts for which this holds, in the filter language (docs/filter.md).
    #[serde(default, rename = "where")]
    pub only: Option<Where>,
    /// Time for one attempt, 1 s to 2 m.
    #[serde(default = "default_timeout", deserialize_with = "timeout")]
    pub timeout: Duration,
    /// An alert that grows is told again at most this often, 1 s to 1 d.
    #[serde(default = "default_update_every", deserialize_with = "update_every")]
    pub update_every: Duration,
    /// Most messages a minute; more wait their turn, the worst first.
    #[serde(default = "default_rate", deserialize_with = "rate")]
    pub rate: u32,
    /// PEM file with the certificate authorities to trust instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Proxy to go through (`http://…`); the environment's proxy variables are not used.
    #[serde(default)]
    pub proxy: Option<HookUrl>,
}

impl WebhookConfig {
    /// A configuration with the defaults for everything but the mandatory keys.
    #[must_use]
    pub fn new(name: &str, url: HookUrl, secret: SecretSource) -> Self {
        Self {
            name: name.to_owned(),
            url,
            secret: Some(secret),
            format: Format::default(),
            routing_key: None,
            kinds: Vec::new(),
            exclude_kinds: Vec::new(),
            min_severity: lowest(),
            identities: Vec::new(),
            exclude_identities: Vec::new(),
            environments: Vec::new(),
            exclude_environments: Vec::new(),
            only: None,
            timeout: DEFAULT_TIMEOUT,
            update_every: DEFAULT_UPDATE_EVERY,
            rate: DEFAULT_RATE,
            ca_file: None,
            proxy: None,
        }
    }

    /// Checks that the keys go with the format, and `where`: what is wrong, and what to do.
    ///
    /// # Errors
    /// A secret or a routing key is missing, or would not be used; `where` is no filter.
    pub fn check(&self) -> Result<(), (String, String)> {
        if let Some((error, _)) = self.only.as_ref().and_then(Where::problem) {
            let hint = error
                .help()
                .unwrap_or("docs/filter.md describes the language");
            return Err((format!("where: {}", error.message()), hint.to_owned()));
        }
        self.check_place()?;
        let format = self.format.name();
        let key = |name: &str, given: bool, wanted: bool| {
            match (given, wanted) {
            (false, true) => Err((
                format!("webhook \"{}\" has no `{name}`, which format \"{format}\" needs", self.name),
                format!("{name} = \"credential:NAME\", \"file:PATH\" or \"env:NAME\""),
            )),
            (true, false) => Err((
                format!("webhook \"{}\" has a `{name}`, of which format \"{format}\" has no use", self.name),
                "remove it: what this receiver trusts is in the URL or in another key (docs/webhooks.md)".to_owned(),
            )),
            _ => Ok(()),
        }
        };
        key("secret", self.secret.is_some(), self.format.is_signed())?;
        key(
            "routing_key",
            self.routing_key.is_some(),
            self.format.has_routing_key(),
        )
    }

    /// Checks that the format's receivers are reached in the way that `url` says.
    fn check_place(&self) -> Result<(), (String, String)> {
        let name = &self.name;
        let format = self.format.name();
        let (good, example) = match (self.format, &self.url) {
            (Format::Syslog, url) => (
                !matches!(url, HookUrl::Http(_)),
                "\"unix:/dev/log\", \"udp://HOST:514\" or \"tcp://HOST:601\"",
            ),
            (Format::Journald, url) => (
                matches!(url, HookUrl::Unix(_)),
                "\"unix:/run/systemd/journal/socket\"",
            ),
            (_, url) => (matches!(url, HookUrl::Http(_)), "\"https://HOST/PATH\""),
        };
        if !good {
            return Err((
                format!(
                    "webhook \"{name}\": format \"{format}\" cannot be sent to {}",
                    self.url
                ),
                format!("url = {example}"),
            ));
        }
        let of_http = [
            ("ca_file", self.ca_file.is_some()),
            ("proxy", self.proxy.is_some()),
        ];
        for (key, given) in of_http {
            if given && self.format.is_log() {
                return Err((
                    format!(
                        "webhook \"{name}\" has a `{key}`, of which format \"{format}\" has no use"
                    ),
                    "remove it: nothing goes over HTTP or TLS here (docs/webhooks.md)".to_owned(),
                ));
            }
        }
        if matches!(&self.proxy, Some(proxy) if !matches!(proxy, HookUrl::Http(_))) {
            return Err((
                format!("webhook \"{name}\": only HTTP proxies can be gone through"),
                "proxy = \"http://HOST:PORT\"".to_owned(),
            ));
        }
        Ok(())
    }
}

/// `where` of a `[[webhook]]`. What is wrong with it is kept, so that the place in its file can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Where {
    filter: Result<Filter, FilterError>,
    span: Range<usize>,
}

impl Where {
    /// Whether an alert passes. One that is no filter lets everything pass: no alert is lost for it.
    #[must_use]
    pub fn matches(&self, alert: &Alert) -> bool {
        self.filter
            .as_ref()
            .map_or(true, |filter| filter.matches(alert))
    }

    /// What is wrong with it, and where its text stands in its file, in bytes, quotes included.
    #[must_use]
    pub fn problem(&self) -> Option<(&FilterError, Range<usize>)> {
        let error = self.filter.as_ref().err()?;
        Some((error, self.span.clone()))
    }
}

impl<'de> Deserialize<'de> for Where {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = toml::Spanned::<String>::deserialize(deserializer)?;
        Ok(Self {
            filter: Filter::parse_for(Subject::Alert, text.get_ref()),
            span: text.span(),
        })
    }
}

/// What is wrong with the endpoints taken together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Two have the same name.
    #[error(
        "two [[webhook]] are named {0:?}\nhint: what is queued belongs to the name; give each its own"
    )]
    Duplicate(String),
    /// More than [`MAX_ENDPOINTS`].
    #[error(
        "{0} [[webhook]] are more than the {MAX_ENDPOINTS} allowed\nhint: let one receiver fan out"
    )]
    TooMany(usize),
    /// A format without its key, or with one that it has no use for.
    #[error("{what}\nhint: {hint}")]
    Keys {
        /// What is wrong.
        what: String,
        /// What to do.
        hint: String,
    },
}

/// Checks what one `[[webhook]]` alone cannot tell.
///
/// # Errors
/// A name twice, or too many.
pub fn validate(webhooks: &[WebhookConfig]) -> Result<(), ConfigError> {
    if webhooks.len() > MAX_ENDPOINTS {
        return Err(ConfigError::TooMany(webhooks.len()));
    }
    let mut names = HashSet::new();
    for webhook in webhooks {
        if !names.insert(webhook.name.as_str()) {
            return Err(ConfigError::Duplicate(webhook.name.clone()));
        }
        webhook
            .check()
            .map_err(|(what, hint)| ConfigError::Keys { what, hint })?;
    }
    Ok(())
}

fn lowest() -> Severity {
    Severity::Low
}

fn default_timeout() -> Duration {
    DEFAULT_TIMEOUT
}

fn default_update_every() -> Duration {
    DEFAULT_UPDATE_EVERY
}

fn default_rate() -> u32 {
    DEFAULT_RATE
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
        return Err(serde::de::Error::custom(
            "a webhook's name is 1 to 64 letters, digits, '.', '_' or '-'\nhint: name = \"soc\"",
        ));
    }
    Ok(name)
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(
        deserializer,
        Duration::from_secs(1),
        Duration::from_secs(120),
        "20s",
    )
}

fn update_every<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(
        deserializer,
        Duration::from_secs(1),
        Duration::from_secs(86_400),
        "1m",
    )
}

fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
    min: Duration,
    max: Duration,
    example: &str,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = parse_duration(&text).ok_or_else(|| {
        serde::de::Error::custom(format_args!(
            "{text:?} is no duration\nhint: a number and ms, s, m, h or d, as in \"{example}\""
        ))
    })?;
    if duration < min || duration > max {
        return Err(serde::de::Error::custom(format_args!(
            "{text:?} is out of bounds\nhint: between {} s and {} s, as in \"{example}\"",
            min.as_secs(),
            max.as_secs()
        )));
    }
    Ok(duration)
}

/// `250ms`, `20s`, `5m`, `2h`, `1d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<u64>().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        rate @ 1..=60_000 => Ok(rate),
        rate => Err(serde::de::Error::custom(format_args!(
            "a rate of {rate} messages a minute is out of bounds\nhint: between 1 and 60000"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests may fail by panic")]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        webhook: Vec<WebhookConfig>,
    }

    fn parse(body: &str) -> Result<WebhookConfig, String> {
        let text = format!("[[webhook]]\n{body}");
        toml::from_str::<File>(&text)
            .map(|mut file| file.webhook.remove(0))
            .map_err(|error| error.to_string())
    }

    const MINIMUM: &str =
        "name = \"soc\"\nurl = \"https://hooks.example/bailiwick\"\nsecret = \"credential:soc\"\n";

    #[test]
    fn the_minimum_has_defaults() {
        let webhook = parse(MINIMUM).unwrap();
        assert_eq!(webhook.timeout, Duration::from_secs(20));
        assert_eq!(webhook.update_every, Duration::from_secs(60));
        assert_eq!(webhook.min_severity, Severity::Low);
        assert_eq!(
            webhook.secret,
            Some(SecretSource::Credential("soc".to_owned()))
        );
        assert_eq!(webhook.format, Format::Json);
    }

    #[test]
    fn everything_parses() {
        let webhook = parse(&format!(
            "{MINIMUM}kinds = [\"canary\"]\nexclude_kinds = [\"duty\"]\nmin_severity = \"high\"\n\
             identities = [\"ci-*\"]\nexclude_identities = [\"x\"]\nenvironments = [\"prod\"]\n\
             exclude_environments = [\"dev\"]\nwhere = 'count > 2'\ntimeout = \"5s\"\nupdate_every = \"10m\"\n\
             rate = 10\nca_file = \"/etc/ca.pem\"\nproxy = \"http://proxy.example:3128\"\n"
        ))
        .unwrap();
        assert_eq!(webhook.kinds, [FindingKind::Canary]);
        assert_eq!(webhook.update_every, Duration::from_secs(600));
        assert_eq!(webhook.rate, 10);
    }

    #[test]
    fn formats_ask_for_their_keys() {
        let url = |format: Format| {
            let at = if format.is_log() {
                "unix:/dev/log"
            } else {
                "https://hooks.example/"
            };
            format!("name = \"soc\"\nurl = \"{at}\"\n")
        };
        let secret = "secret = \"env:S\"\n";
        let key = "routing_key = \"env:K\"\n";
        for format in Format::ALL {
            for (keys, signed, routed) in [
                (String::new(), false, false),
                (secret.to_owned(), true, false),
                (key.to_owned(), false, true),
                (format!("{secret}{key}"), true, true),
            ] {
                let text = format!("{}format = \"{}\"\n{keys}", url(format), format.name());
                let webhook = parse(&text).unwrap();
                assert_eq!(webhook.format, format);
                let good = signed == format.is_signed() && routed == format.has_routing_key();
                let checked = webhook.check();
                assert_eq!(checked.is_ok(), good, "{text}: {checked:?}");
                assert_eq!(validate(&[webhook]).is_ok(), good, "{text}");
            }
        }
        let error = parse(&format!("{}format = \"xml\"\n", url(Format::Json))).unwrap_err();
        assert!(error.contains("unknown variant `xml`"), "{error}");
    }

    #[test]
    fn formats_ask_for_their_places() {
        let check = |url: &str, format: &str, more: &str| {
            let secret = if format == "json" {
                "secret = \"env:S\"\n"
            } else {
                ""
            };
            parse(&format!(
                "name = \"a\"\nurl = \"{url}\"\nformat = \"{format}\"\n{secret}{more}"
            ))
            .unwrap()
            .check()
        };
        for (url, format) in [
            ("unix:/dev/log", "syslog"),
            ("udp://[::1]:514", "syslog"),
            ("tcp://log.example:601", "syslog"),
            ("unix:/run/systemd/journal/socket", "journald"),
        ] {
            assert_eq!(check(url, format, ""), Ok(()), "{url}");
        }
        for (url, format, more, wrong, hint) in [
            (
                "https://x/",
                "syslog",
                "",
                "format \"syslog\" cannot be sent to https://x/",
                "udp://HOST:514",
            ),
            (
                "udp://x:514",
                "journald",
                "",
                "cannot be sent to udp://x:514",
                "journal/socket",
            ),
            (
                "unix:/dev/log",
                "json",
                "",
                "cannot be sent to unix:/dev/log",
                "https://HOST/PATH",
            ),
            (
                "tcp://x:601",
                "syslog",
                "ca_file = \"/x\"\n",
                "has a `ca_file`",
                "remove it",
            ),
            (
                "tcp://x:601",
                "syslog",
                "proxy = \"http://x/\"\n",
                "has a `proxy`",
                "remove it",
            ),
            (
                "https://x/",
                "json",
                "proxy = \"tcp://x:1\"\n",
                "only HTTP proxies",
                "http://HOST:PORT",
            ),
        ] {
            let (what, advice) = check(url, format, more).unwrap_err();
            assert!(what.contains(wrong), "{what}");
            assert!(advice.contains(hint), "{advice}");
        }
    }

    #[test]
    fn mistakes_have_hints() {
        for (body, message) in [
            (format!("{MINIMUM}colour = 1"), "unknown field `colour`"),
            (
                MINIMUM.replace("https:", "ftp:"),
                "nothing can be sent to ftp:",
            ),
            (
                MINIMUM.replace("hooks.example", "a:b@hooks.example"),
                "user name or password",
            ),
            (
                MINIMUM.replace("credential:soc", "whsec_AAAA"),
                "; write \"credential:NAME\"",
            ),
            (MINIMUM.replace("\"soc\"", "\"so c\""), "1 to 64 letters"),
            (format!("{MINIMUM}timeout = \"20\""), "is no duration"),
            (format!("{MINIMUM}timeout = \"1h\""), "out of bounds"),
            (format!("{MINIMUM}rate = 0"), "out of bounds"),
            (
                format!("{MINIMUM}kinds = [\"sneezing\"]"),
                "unknown variant",
            ),
        ] {
            let error = parse(&body).unwrap_err();
            assert!(error.contains(message), "{error}");
            assert!(error.contains("line "), "{error}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let error = parse(&MINIMUM.replace("credential:soc", "whsec_c2VjcmV0")).unwrap_err();
        // The parser quotes the line; the message itself does not repeat the value.
        assert_eq!(error.matches("c2VjcmV0").count(), 1, "{error}");
        let webhook = parse(&MINIMUM.replace("/bailiwick", "/T00/B00/sEcReT")).unwrap();
        assert!(!format!("{webhook:?}").contains("sEcReT"));
        assert_eq!(webhook.url.to_string(), "https://hooks.example/…");
    }

    #[test]
    fn names_are_unique() {
        let one = parse(MINIMUM).unwrap();
        assert_eq!(validate(std::slice::from_ref(&one)), Ok(()));
        assert_eq!(
            validate(&[one.clone(), one]),
            Err(ConfigError::Duplicate("soc".to_owned()))
        );
    }
}
