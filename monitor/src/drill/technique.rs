//! What a technique is: a card that says what it shows, and a draft of the policy it breaks and the acts
//! that break it. Pure.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::mint;
use crate::judge::FindingKind;

/// What a technique is called and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// Name on the command line.
    pub(crate) name: Cow<'static, str>,
    /// What is done, in a few words.
    pub(crate) what: Cow<'static, str>,
    /// ATT&CK techniques.
    pub(crate) attack: &'static [&'static str],
    /// Entry of the OWASP API Security Top 10 of 2023.
    pub(crate) owasp: &'static str,
    /// Kind of the finding that must come.
    pub(crate) expects: &'static str,
}

impl Card {
    /// The kind, when this program has a check for it.
    pub(crate) fn kind(&self) -> Option<FindingKind> {
        FindingKind::ALL
            .into_iter()
            .find(|kind| kind.name() == self.expects)
    }

    /// Whether its check concludes only when nothing can come late any more: that an approval is missing is
    /// not known before.
    pub(crate) fn is_late(&self) -> bool {
        self.expects == "approval"
    }

    /// Whether its attack begins with a habit, which takes most of a minute.
    pub(crate) fn has_habit(&self) -> bool {
        self.expects == "unusual"
    }

    /// Whether its check is meant to answer at once. `approval` waits for what may come late,
    /// `stored-credential` looks through files when the processor is idle, `unusual` when a window is over.
    pub(crate) fn is_timed(&self) -> bool {
        !self.is_late() && !self.has_habit() && self.expects != "stored-credential"
    }

    /// Whether its check may speak up a minute after what it is about: `is_late`, and what two owners have
    /// done at one place.
    pub(crate) fn is_slow(&self) -> bool {
        self.is_late() || self.expects == "separation"
    }
}

/// One way to misuse a credential, with its benign twin.
pub(crate) trait Technique: Sync {
    /// What it is.
    fn card(&self) -> &Card;
    /// Longest time from request to webhook that is waited.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
    /// Whether it loads the machine so that it must not run beside others' timing.
    fn is_loud(&self) -> bool {
        false
    }
    /// Policy and acts of one run, as an attack or as its twin.
    fn draft(&self, run: &Run<'_>) -> Draft;
}

/// A technique of the built-in table.
pub(crate) struct BuiltIn {
    pub(crate) card: Card,
    pub(crate) patience: Duration,
    pub(crate) loud: bool,
    pub(crate) draft: fn(&Run<'_>) -> Draft,
}

impl Technique for BuiltIn {
    fn card(&self) -> &Card {
        &self.card
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn is_loud(&self) -> bool {
        self.loud
    }

    fn draft(&self, run: &Run<'_>) -> Draft {
        (self.draft)(run)
    }
}

/// What drafts need to know of the ground.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Directory of the scratch credentials.
    pub(crate) keys: PathBuf,
    /// Directory of the programs.
    pub(crate) bin: PathBuf,
    /// Where the drill's server listens.
    pub(crate) server: SocketAddr,
    /// A server on what the kernel takes for another host.
    pub(crate) far: SocketAddr,
    /// Seconds since 1970 when the drill began.
    pub(crate) now: i64,
}

/// One run of a technique.
pub(crate) struct Run<'a> {
    /// Unique; begins names of identities, duties and hosts.
    pub(crate) label: String,
    /// Whether it is the benign twin.
    pub(crate) twin: bool,
    /// The ground.
    pub(crate) places: &'a Places,
}

impl Run<'_> {
    /// A host of an environment (`prod`, `dev`), of this run alone.
    pub(crate) fn host(&self, environment: &str) -> String {
        format!("{}.{environment}.drill.example", self.label)
    }

    /// A name of this run.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.label)
    }

    /// Selector of one of the drill's programs.
    pub(crate) fn program(&self, name: &str) -> String {
        format!("exe:{}", self.places.bin.join(name).display())
    }

    /// Id of a container of this run.
    pub(crate) fn container(&self, name: &str) -> String {
        mint::id(&self.name(name))
    }

    /// The usual client, at a place of its own where that is possible: checks that look at where two owners
    /// act must not find them in one.
    pub(crate) fn apart(&self, name: &str) -> Actor {
        Actor {
            container: Some(self.container(name)),
            ..Actor::default()
        }
    }

    /// One thing in the attack, another in the twin.
    pub(crate) fn either<T>(&self, attack: T, twin: T) -> T {
        if self.twin { twin } else { attack }
    }
}

/// What a run adds to the policy, and what is done.
#[derive(Default)]
pub(crate) struct Draft {
    /// Duties: name, and value in TOML.
    pub(crate) duties: Vec<(String, String)>,
    /// Tables of TOML: identities, separations, approvals.
    pub(crate) policy: String,
    /// Names of the identities, as alerts call them.
    pub(crate) identities: Vec<String>,
    /// Files in the directory of credentials.
    pub(crate) keys: Vec<(String, String)>,
    /// In this order.
    pub(crate) acts: Vec<Act>,
    /// Requests of the last act that only make a habit: time is measured from the one after them.
    pub(crate) habit: usize,
}

/// An identity to be.
#[derive(Default)]
pub(crate) struct Holder<'a> {
    pub(crate) owner: &'a str,
    pub(crate) duties: &'a [&'a str],
    pub(crate) environments: &'a [&'a str],
    pub(crate) workloads: &'a [String],
    /// More lines of TOML.
    pub(crate) more: &'a str,
}

impl Draft {
    /// Adds a duty of this run and returns its name.
    pub(crate) fn duty(&mut self, run: &Run<'_>, suffix: &str, operations: &[&str]) -> String {
        let name = run.name(suffix);
        self.duties.push((name.clone(), list(operations)));
        name
    }

    /// Adds an identity that is known by a token in a file; returns the token.
    pub(crate) fn key(&mut self, run: &Run<'_>, suffix: &str, holder: &Holder<'_>) -> String {
        let name = run.name(suffix);
        let token = mint::token();
        let file = run.places.keys.join(&name);
        self.identity(&name, &format!("file:{}", file.display()), holder);
        self.keys.push((name, token.clone()));
        token
    }

    /// Adds an identity that is known by its tokens' claims; returns its subject.
    pub(crate) fn subject(&mut self, run: &Run<'_>, suffix: &str, holder: &Holder<'_>) -> String {
        let name = run.name(suffix);
        self.identity(
            &name,
            &format!("jwt:iss={},sub={name}", mint::ISSUER),
            holder,
        );
        name
    }

    fn identity(&mut self, name: &str, credential: &str, holder: &Holder<'_>) {
        let mut text = format!(
            "[identities.{}]\nowner = {}\ncredentials = {}\n",
            quoted(name),
            quoted(holder.owner),
            list(&[credential])
        );
        let workloads: Vec<&str> = holder.workloads.iter().map(String::as_str).collect();
        for (key, values) in [
            ("duties", holder.duties),
            ("environments", holder.environments),
            ("workloads", &workloads),
        ] {
            if !values.is_empty() {
                text.push_str(&format!("{key} = {}\n", list(values)));
            }
        }
        text.push_str(holder.more);
        text.push('\n');
        self.policy.push_str(&text);
        self.identities.push(name.to_owned());
    }

    /// Adds a request of the usual client.
    pub(crate) fn ask(&mut self, message: String) {
        self.acts
            .push(Act::talk(Actor::default(), vec![Piece::new(message)]));
    }

    /// Adds a request of this client.
    pub(crate) fn ask_as(&mut self, actor: Actor, message: String) {
        self.acts.push(Act::talk(actor, vec![Piece::new(message)]));
    }
}

/// Who acts: a process of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Program in the drill's directory: `agent`, `thief`, `dev-agent`.
    pub(crate) program: &'static str,
    /// User by number; root when left out.
    pub(crate) user: Option<u32>,
    /// Container by id: mount and process namespaces of its own, in a control group of that name.
    pub(crate) container: Option<String>,
    /// Whether it must not be run without that container.
    pub(crate) contained: bool,
    /// Environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// Content of the file `.env` in a working directory of its own; without it that is `/`.
    pub(crate) dotenv: Option<String>,
    /// How long it stays after its last answer.
    pub(crate) linger: Duration,
}

impl Default for Actor {
    fn default() -> Self {
        Self::of("agent")
    }
}

impl Actor {
    pub(crate) fn of(program: &'static str) -> Self {
        Self {
            program,
            user: None,
            container: None,
            contained: false,
            env: Vec::new(),
            dotenv: None,
            linger: Duration::ZERO,
        }
    }
}

/// Something sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What.
    pub(crate) bytes: String,
    /// A system call for each byte.
    pub(crate) bytewise: bool,
    /// How many answers are read before the next piece.
    pub(crate) answers: u32,
    /// Pause before it.
    pub(crate) pause: Duration,
}

impl Piece {
    pub(crate) fn new(bytes: String) -> Self {
        Self {
            bytes,
            bytewise: false,
            answers: 1,
            pause: Duration::ZERO,
        }
    }
}

/// Where a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// The drill's server.
    Server,
    /// What the kernel takes for another host.
    Far,
    /// The drill's server at another address of the namespace.
    At(SocketAddr),
}

/// What one process does. Of the last act the last piece is what the webhook is timed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// One connection.
    Talk {
        actor: Actor,
        to: To,
        pieces: Vec<Piece>,
    },
    /// As many requests as go, in the background until the run is over.
    Flood { token: String, host: String },
}

impl Act {
    pub(crate) fn talk(actor: Actor, pieces: Vec<Piece>) -> Self {
        Self::Talk {
            actor,
            to: To::Server,
            pieces,
        }
    }
}

/// A request without a body.
pub(crate) fn request(method: &str, host: &str, path: &str, fields: &[(&str, &str)]) -> String {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bailiwick-drill\r\n");
    if !matches!(method, "GET" | "HEAD") {
        text.push_str("Content-Length: 0\r\n");
    }
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// The same with a bearer token.
pub(crate) fn bearer(method: &str, host: &str, path: &str, token: &str) -> String {
    request(
        method,
        host,
        path,
        &[("Authorization", &format!("Bearer {token}"))],
    )
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of strings of TOML.
pub(crate) fn list(texts: &[&str]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", all.join(", "))
}
