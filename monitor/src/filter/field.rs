//! The fields: their names in JSON (docs/json.md), what they are, and which records have them.

use crate::judge::FindingKind;

/// Sorts of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// [`crate::access::record::AccessRecord`].
    Access,
    /// [`crate::alert::Alert`].
    Alert,
    /// [`crate::census::IdentityRecord`].
    Identity,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Access, Self::Alert, Self::Identity];

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Access => "accesses",
            Self::Alert => "alerts",
            Self::Identity => "identities",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Access => ACCESS,
            Self::Alert => ALERT,
            Self::Identity => IDENTITY,
        }
    }
}

const ACCESS: u8 = 1;
const ALERT: u8 = 2;
const IDENTITY: u8 = 4;

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// Text in which case does not count.
    Folded,
    /// One of these words.
    Words(fn() -> Vec<&'static str>),
    Severity,
    Number,
    /// Microseconds.
    Micros,
    Seconds,
    Time,
    /// `ADDRESS:PORT`, or `unix:PATH`.
    Address,
    Bool,
    /// Texts.
    List,
    /// Some of these words.
    WordList(fn() -> Vec<&'static str>),
    /// Others' parent: it is there or not.
    Object,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Kind {
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::List | Self::WordList(_))
    }

    pub(super) fn is_ordered(self) -> bool {
        matches!(
            self,
            Self::Number | Self::Micros | Self::Seconds | Self::Time | Self::Severity
        )
    }

    pub(super) fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Folded | Self::Words(_) | Self::Address | Self::Time
        ) || self.is_list()
    }

    pub(super) fn is_folded(self) -> bool {
        matches!(self, Self::Folded)
    }
}

/// A field.
#[derive(Debug)]
pub(crate) struct FieldInfo {
    /// Its name in JSON, levels joined by dots.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Which records have it.
    of: u8,
}

impl PartialEq for FieldInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl FieldInfo {
    pub(crate) fn is_of(&self, subject: Subject) -> bool {
        self.of & subject.bit() != 0
    }

    /// `accesses and alerts`.
    pub(super) fn subjects(&self) -> String {
        let all: Vec<_> = Subject::ALL
            .into_iter()
            .filter(|subject| self.is_of(*subject))
            .map(Subject::plural)
            .collect();
        all.join(" and ")
    }

    /// Whether it holds several.
    pub(crate) fn is_list(&self) -> bool {
        self.kind.is_list()
    }

    /// A text as this field is compared with it.
    pub(crate) fn folded(&self, text: &str) -> String {
        if self.kind.is_folded() {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    }
}

const fn field(name: &'static str, kind: Kind, of: u8) -> FieldInfo {
    FieldInfo { name, kind, of }
}

fn kinds() -> Vec<&'static str> {
    FindingKind::ALL.map(FindingKind::name).to_vec()
}

fn roles() -> Vec<&'static str> {
    vec!["client", "server", "both"]
}

pub(super) const CREDENTIALS: [&str; 8] = [
    "bearer", "jwt", "basic", "digest", "api-key", "sigv4", "dpop", "cookie",
];

fn credentials() -> Vec<&'static str> {
    CREDENTIALS.to_vec()
}

/// All of them.
pub(crate) static FIELDS: [FieldInfo; 91] = [
    field("identity", Kind::Text, ACCESS | ALERT | IDENTITY),
    field("owner", Kind::Text, ACCESS | ALERT | IDENTITY),
    field("environment", Kind::Text, ACCESS | ALERT),
    field("findings", Kind::WordList(kinds), ACCESS | IDENTITY),
    // Of accesses.
    field("time", Kind::Time, ACCESS),
    field("role", Kind::Words(roles), ACCESS),
    field("request.method", Kind::Folded, ACCESS),
    field("request.host", Kind::Folded, ACCESS),
    field("host", Kind::Folded, ACCESS),
    field("request.path", Kind::Text, ACCESS),
    field("request.route", Kind::Text, ACCESS),
    field("request.unknown_fields", Kind::Number, ACCESS),
    field("response", Kind::Object, ACCESS),
    field("response.status", Kind::Number, ACCESS),
    field("response.grpc_status", Kind::Number, ACCESS),
    field("duration_us", Kind::Micros, ACCESS),
    field("duties", Kind::List, ACCESS),
    field("credential", Kind::Object, ACCESS),
    field("credential.kind", Kind::Words(credentials), ACCESS),
    field("credential.fingerprint", Kind::Text, ACCESS),
    field("credential.hint", Kind::Text, ACCESS),
    field("binding", Kind::Object, ACCESS),
    field("binding.bound_to", Kind::Text, ACCESS),
    field("binding.proof", Kind::Text, ACCESS),
    field("binding.thumbprint", Kind::Text, ACCESS),
    field("binding.flaws", Kind::List, ACCESS),
    field("binding.age_s", Kind::Seconds, ACCESS),
    field("client", Kind::Object, ACCESS),
    field("client.pid", Kind::Number, ACCESS),
    field("client.exe", Kind::Text, ACCESS),
    field("client.name", Kind::Text, ACCESS),
    field("client.unit", Kind::Text, ACCESS),
    field("client.container", Kind::Text, ACCESS),
    field("client.user", Kind::Text, ACCESS),
    field("client.lineage", Kind::List, ACCESS),
    field("server", Kind::Object, ACCESS),
    field("server.pid", Kind::Number, ACCESS),
    field("server.exe", Kind::Text, ACCESS),
    field("server.name", Kind::Text, ACCESS),
    field("server.unit", Kind::Text, ACCESS),
    field("server.container", Kind::Text, ACCESS),
    field("server.user", Kind::Text, ACCESS),
    field("server.lineage", Kind::List, ACCESS),
    field("either.exe", Kind::List, ACCESS),
    field("either.name", Kind::List, ACCESS),
    field("either.unit", Kind::List, ACCESS),
    field("either.container", Kind::List, ACCESS),
    field("either.user", Kind::List, ACCESS),
    field("peer", Kind::Address, ACCESS),
    field("protocol", Kind::Text, ACCESS),
    field("tls", Kind::Object, ACCESS),
    field("tls.version", Kind::Text, ACCESS),
    field("tls.sni", Kind::Folded, ACCESS),
    field("tls.alpn", Kind::Text, ACCESS),
    field("tls.via", Kind::Text, ACCESS),
    field("tls.ja4", Kind::Text, ACCESS),
    // Of alerts.
    field("id", Kind::Text, ALERT),
    field("severity", Kind::Severity, ALERT),
    field("kind", Kind::Words(kinds), ALERT),
    field("title", Kind::Text, ALERT),
    field("workload", Kind::Text, ALERT),
    field("operation", Kind::Text, ALERT),
    field("clause", Kind::Text, ALERT),
    field("count", Kind::Number, ALERT),
    field("first_seen", Kind::Time, ALERT | IDENTITY),
    field("last_seen", Kind::Time, ALERT | IDENTITY),
    field("techniques", Kind::List, ALERT),
    field("normal", Kind::Text, ALERT),
    field("action", Kind::Text, ALERT),
    field("acknowledged", Kind::Object, ALERT),
    field("acknowledged.at", Kind::Time, ALERT),
    field("acknowledged.by", Kind::Text, ALERT),
    field("acknowledged.note", Kind::Text, ALERT),
    field("muted_until", Kind::Time, ALERT),
    // Of identities.
    field("kinds", Kind::WordList(credentials), IDENTITY),
    field("fingerprints", Kind::List, IDENTITY),
    field("hints", Kind::List, IDENTITY),
    field("last_refused", Kind::Time, IDENTITY),
    field("accesses", Kind::Number, IDENTITY),
    field("refused", Kind::Number, IDENTITY),
    field("workloads", Kind::List, IDENTITY),
    field("environments", Kind::List, IDENTITY),
    field("hosts", Kind::List, IDENTITY),
    field("usage.duties", Kind::List, IDENTITY),
    field("baseline", Kind::Object, IDENTITY),
    field("baseline.mature", Kind::Bool, IDENTITY),
    field("baseline.waits_for", Kind::Text, IDENTITY),
    field("baseline.days", Kind::Number, IDENTITY),
    field("baseline.windows", Kind::Number, IDENTITY),
    field("baseline.requests", Kind::Number, IDENTITY),
    field("baseline.missing", Kind::Number, IDENTITY),
];

/// Short names of those that are typed most.
pub(crate) const SHORT: [(&str, &str); 7] = [
    ("status", "response.status"),
    ("method", "request.method"),
    ("path", "request.path"),
    ("route", "request.route"),
    ("duration", "duration_us"),
    ("env", "environment"),
    ("fingerprint", "credential.fingerprint"),
];

/// The field of a name.
pub(crate) fn find(name: &str) -> Option<&'static FieldInfo> {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    let name = short.map_or(name, |(_, long)| *long);
    FIELDS.iter().find(|field| field.name == name)
}

/// Names of one sort's fields, or of all.
pub(super) fn names(subject: Option<Subject>) -> impl Iterator<Item = &'static str> {
    let is_of = move |field: &FieldInfo| subject.is_none_or(|subject| field.is_of(subject));
    let short = SHORT
        .iter()
        .filter(move |(_, long)| find(long).is_some_and(is_of))
        .map(|(short, _)| *short);
    FIELDS
        .iter()
        .filter(move |field| is_of(field))
        .map(|field| field.name)
        .chain(short)
}
