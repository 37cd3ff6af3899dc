//! Credentials in requests: recognised, fingerprinted, forgotten.
//!
//! Raw secrets exist only in this module and only during a call: as borrowed bytes of the request, or decoded
//! in a buffer that is wiped before the call returns. What comes out is a [`Credential`], which has no
//! secret, and a path and route from which secrets were taken.
//!
//! What carries a credential is said by a table ([`CredentialTable`]); the code knows only the forms.

mod authorization;
mod binding;
mod canon;
mod fields;
mod memo;
mod operation;
mod path;
mod pattern;
pub(crate) mod percent;
mod rules;
mod seen;
mod store;
mod table;
mod target;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrayvec::ArrayVec;
use hashbrown::DefaultHashBuilder;

use self::binding::{Bound, TokenSent};
pub use self::canon::Canon;
use self::fields::Fields;
use self::operation::{grpc_route, mcp_route};
use self::path::{By, PathScanner};
use self::rules::{Compiled, HostMask, Rules};
use self::seen::SeenPaths;
use self::store::Store;
pub use self::table::{CredentialTable, MAX_RULES, Names, Rule, TableError};
pub use self::target::TargetForm;
pub(in crate::access) use self::target::normalise_host;
use self::target::{MAX_HOST, Target};
use super::clock::ClockCache;
use super::dpop::{Checker, DEFAULT_ALLOWANCE_US, Proof, ProofStats};
use super::intern::Interner;
use super::route::{Router, RouterStats};
use super::{Credential, CredentialKind, Fingerprint, FingerprintKey, Location};
use crate::wire::RequestHead;

/// Credentials kept of one request.
pub const MAX_FOUND: usize = 4;
/// Hosts remembered.
const MAX_HOSTS: usize = 8192;
/// Methods remembered. There are few; these bytes come from the wire.
const MAX_METHODS: usize = 256;
/// gRPC methods, and MCP methods and tools, remembered.
const MAX_OPERATIONS: usize = 4096;
/// What stands for a method, path or route that is not known.
const UNKNOWN: &str = "?";
/// Longest method that is kept; the rest is cut.
const MAX_METHOD: usize = 32;
/// Nodes of routes over all hosts.
const MAX_ROUTE_NODES: usize = 32_768;
/// Parameters and cookies of one request that are looked at.
const MAX_PAIRS: usize = 256;

/// A credential and where it stood.
#[derive(Clone, Debug)]
pub struct Found {
    /// The credential.
    pub credential: Arc<Credential>,
    /// Where it stood. User and password before the host of a target count as [`Location::Path`].
    pub location: Location,
}

/// What a request says of who, where and what.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// Credentials, the most telling first: `Authorization`, other header fields, target, cookies,
    /// `Proxy-Authorization`. One that stands twice in the same place is here once.
    pub found: ArrayVec<Found, MAX_FOUND>,
    /// Credentials beyond [`MAX_FOUND`].
    pub more: u32,
    /// Credentials that could not be told from another: a negotiation (Kerberos, NTLM), a signature
    /// without a key id, broken base64. One more if there may be some among fields that are not known.
    pub unread: u32,
    /// Header fields that could not be known ([`RequestHead::unknown_fields`]).
    pub unknown_fields: u16,
    /// Method, at most 32 bytes; `?` when it is not known.
    pub method: Arc<str>,
    /// Host of the target, else of the Host field: lower case, without the default port and the root's
    /// dot; `-` when there is none, none that is valid, or two that differ.
    pub host: Arc<str>,
    /// Path without query and fragment, secrets replaced by `{secret}`, bytes that are no UTF-8 by U+FFFD,
    /// at most 2 KiB: a longer one is cut behind a segment and ends with `/…`. `*` in asterisk form, `/` in
    /// authority form, `?` when it is not known.
    pub path: String,
    /// Path with object ids lifted out. Of gRPC the path as it is; `MCP tools/call:delete_issue` of MCP.
    pub route: Arc<str>,
    /// `http/1.0`, `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// Form of the target.
    pub target_form: TargetForm,
    /// The DPoP proof (RFC 9449).
    pub proof: Option<Box<Proof>>,
    /// Which of `found` it goes with: the access token, else the first.
    pub bound: usize,
}

impl Recognised {
    /// An empty one, to be filled again and again.
    #[must_use]
    pub fn new() -> Self {
        Self {
            found: ArrayVec::new(),
            more: 0,
            unread: 0,
            unknown_fields: 0,
            method: Arc::from("-"),
            host: Arc::from("-"),
            path: String::new(),
            route: Arc::from(""),
            protocol: "http/1.1",
            target_form: TargetForm::Origin,
            proof: None,
            bound: 0,
        }
    }

    fn push(&mut self, credential: Arc<Credential>, location: Location) {
        let same = |found: &Found| {
            found.location == location
                && found.credential.fingerprint == credential.fingerprint
                && found.credential.kind == credential.kind
        };
        if self.found.iter().any(same) {
            return;
        }
        if self
            .found
            .try_push(Found {
                credential,
                location,
            })
            .is_err()
        {
            self.more = self.more.saturating_add(1);
        }
    }

    fn unread(&mut self) {
        self.unread = self.unread.saturating_add(1);
    }
}

impl Default for Recognised {
    fn default() -> Self {
        Self::new()
    }
}

/// What the bounds of a [`Recogniser`] hold and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecogniserStats {
    /// Credentials held.
    pub credentials: usize,
    /// Credentials that had to go; each comes back when it is seen again.
    pub credentials_evicted: u64,
    /// Hosts held.
    pub hosts: usize,
    /// Hosts that had to go.
    pub hosts_evicted: u64,
    /// Routes.
    pub routes: RouterStats,
    /// DPoP proofs.
    pub proofs: ProofStats,
}

/// Finds credentials, host, path and route of requests.
pub struct Recogniser {
    rules: Rules,
    store: Store,
    hosts: ClockCache<Arc<str>, HostMask>,
    hasher: DefaultHashBuilder,
    methods: Interner,
    operations: Interner,
    router: Router,
    paths: PathScanner,
    seen: SeenPaths,
    checker: Checker,
    /// Reused: the host, normalised.
    host: String,
    no_host: Arc<str>,
    no_host_mask: HostMask,
}

impl fmt::Debug for Recogniser {
    /// Keys and buffers are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recogniser")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Recogniser {
    /// A recogniser of what `table` says, fingerprinting with `key`.
    #[must_use]
    pub fn new(table: CredentialTable, key: FingerprintKey) -> Self {
        let rules = Rules::new(&table);
        let no_host_mask = rules.mask("-");
        let no_host = Arc::from("-");
        Self {
            rules,
            checker: Checker::new(&key, DEFAULT_ALLOWANCE_US),
            store: Store::new(key),
            hosts: ClockCache::new(MAX_HOSTS),
            hasher: DefaultHashBuilder::default(),
            methods: Interner::new(MAX_METHODS),
            operations: Interner::new(MAX_OPERATIONS),
            router: Router::new(MAX_ROUTE_NODES),
            paths: PathScanner::default(),
            host: String::with_capacity(MAX_HOST),
            seen: SeenPaths::new(&no_host),
            no_host,
            no_host_mask,
        }
    }

    /// The fingerprint that a secret has on the wire. For policy selectors that name a file, and for scans.
    /// The caller trims what is no part of the secret (a newline at a file's end).
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        self.store.fingerprint(secret)
    }

    /// What the bounds hold and cost.
    #[must_use]
    pub fn stats(&self) -> RecogniserStats {
        RecogniserStats {
            credentials: self.store.len(),
            credentials_evicted: self.store.evicted(),
            hosts: self.hosts.len(),
            hosts_evicted: self.hosts.evicted(),
            routes: self.router.stats(),
            proofs: self.checker.stats(),
        }
    }

    /// Fills `out`, whatever it held. Allocates nothing when credentials, host, method and route were seen
    /// before.
    pub fn recognise(&mut self, head: &RequestHead<'_>, out: &mut Recognised) {
        out.found.clear();
        out.more = 0;
        out.unread = u32::from(head.unknown_fields > 0);
        out.proof = None;
        out.bound = 0;
        out.unknown_fields = head.unknown_fields;
        out.protocol = head.version.name();
        let target = Target::parse(head.method, head.target);
        out.target_form = target.form;

        let Self {
            rules,
            store,
            hosts,
            hasher,
            methods,
            operations,
            router,
            paths,
            seen,
            checker,
            host,
            ..
        } = self;
        let mut fields = Fields::default();
        fields.read(rules, head);
        out.more = fields.beyond;

        let mut method = if head.unknown_method {
            UNKNOWN
        } else {
            head.method
        };
        if method.len() > MAX_METHOD {
            let mut end = MAX_METHOD;
            while !method.is_char_boundary(end) {
                end -= 1;
            }
            method = method.get(..end).unwrap_or_default();
        }
        if *out.method != *method {
            out.method = methods.intern(method);
        }

        let named = match (target.authority, fields.host) {
            (Some(authority), _) => {
                let port = match target.form {
                    // A tunnel has no scheme, so no default.
                    TargetForm::Authority => 0,
                    _ if target.secure => 443,
                    _ => 80,
                };
                normalise_host(authority, port, host)
            }
            (None, Some(field)) => {
                let port = if head.secure { 443 } else { 80 };
                !fields.hosts_differ && normalise_host(field, port, host)
            }
            (None, None) => false,
        };
        let mask: &HostMask = if named {
            let hash = hasher.hash_one(&**host);
            let known = hosts.get_or_insert_with(
                hash,
                |held| **held == **host,
                || (Arc::from(&**host), rules.mask(host)),
            );
            match known {
                Some((name, mask)) => {
                    if !Arc::ptr_eq(&out.host, name) {
                        out.host = Arc::clone(name);
                    }
                    mask
                }
                None => &self.no_host_mask,
            }
        } else {
            out.host = Arc::clone(&self.no_host);
            &self.no_host_mask
        };

        let mut pass = Pass {
            rules,
            store,
            mask,
            out,
            token: TokenSent::new(!fields.proofs.is_empty()),
        };
        for (value, ids) in fields.authorization.iter().chain(&fields.other) {
            pass.header(value, ids);
        }
        if let Some(userinfo) = target.userinfo {
            pass.userinfo(userinfo);
        }
        if !target.query.is_empty() {
            pass.query(target.query);
        }
        if pass.token.wanted() || head.truncated {
            let bound = Bound {
                head,
                target: &target,
                proofs: &fields.proofs,
            };
            bound.check(checker, &pass.token, pass.out);
        }
        let out = &mut *pass.out;
        let grpc = match fields.said.grpc {
            true if method == "POST" => grpc_route(target.path),
            _ => None,
        };
        let known = head.unknown_target || grpc.is_some();
        if known {
            // Nothing is lifted out, and no route is guessed.
            let path = grpc.unwrap_or(UNKNOWN);
            out.path.clear();
            out.path.push_str(path);
            out.route = operations.intern(path);
        }
        let known = known
            || seen.get(
                &out.host,
                target.path,
                router,
                &mut out.path,
                &mut out.route,
            );
        if !known {
            let mut path = std::mem::take(&mut pass.out.path);
            let plain = paths.clean(target.path, rules, mask, &mut path, |by| match by {
                By::Rule(id, value) => pass.value(id, value, Location::Path),
                By::Itself(secret) => {
                    let credential = pass.store.token(rules, CredentialKind::ApiKey, secret);
                    pass.out.push(credential, Location::Path);
                    true
                }
                By::Userinfo(userinfo) => {
                    pass.userinfo(userinfo);
                    true
                }
            });
            let out = &mut *pass.out;
            out.route = router.route(&out.host, &path);
            if plain {
                seen.put(&out.host, &path, &out.route, router.version());
            }
            out.path = path;
        }
        // Claimed by the client, as is everything; but only where MCP has it.
        if method == "POST"
            && !head.unknown_target
            && mcp_route(&fields.said, |name| rules.is_secret(name), host)
        {
            pass.out.route = operations.intern(host);
        }
        for cookies in &fields.cookies {
            pass.cookies(cookies);
        }
        for (value, ids) in &fields.proxy {
            pass.header(value, ids);
        }
    }
}

/// One request on its way through the rules.
struct Pass<'a> {
    rules: &'a Rules,
    store: &'a mut Store,
    mask: &'a HostMask,
    out: &'a mut Recognised,
    token: TokenSent,
}

impl Pass<'_> {
    fn header(&mut self, value: &[u8], ids: &[u16]) {
        let (scheme, rest) = authorization::split_scheme(value);
        // A rule for this very scheme, else one for any.
        let by_scheme = |rule: &&Compiled| {
            scheme.is_some_and(|scheme| {
                rule.schemes
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(scheme))
            })
        };
        let rules = self.rules;
        let applying = || ids.iter().filter_map(|id| rules.rule(*id, self.mask));
        // A scheme with nothing behind it is no token.
        let lone = |rule: &Compiled| {
            scheme.is_none()
                && rule
                    .schemes
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(value))
        };
        if let Some(rule) = applying().find(by_scheme) {
            self.authorization(rule, rest);
        } else if applying().any(lone) {
        } else if let Some(rule) = applying().find(|rule| rule.any_scheme || !rule.has_scheme()) {
            // Some put `Bearer` before a key in a field of its own: no part of the key.
            let bearer = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
            if rule.any_scheme || bearer {
                self.authorization(rule, rest);
            } else {
                self.authorization(rule, value);
            }
        }
    }

    /// What stands behind the scheme.
    fn authorization(&mut self, rule: &Compiled, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if rule.ignore {
            self.out.unread();
            return;
        }
        let rules = self.rules;
        let credential = match rule.kind {
            CredentialKind::Basic => self.store.basic(rules, value),
            CredentialKind::Digest => self.store.digest(value),
            kind => {
                let named = rule
                    .parameters
                    .iter()
                    .find_map(|parameter| authorization::parameter(value, parameter));
                let whole = rule.parameters.is_empty() || authorization::is_bare(value);
                match named.or(whole.then_some(value)) {
                    Some(text) => match fit(rule, text) {
                        Some(secret) => {
                            let credential = self.store.token(rules, kind, secret);
                            self.token.note(kind, secret, &credential);
                            Some(credential)
                        }
                        None => return,
                    },
                    None => None,
                }
            }
        };
        match credential {
            Some(credential) => self.out.push(credential, Location::Header),
            None => self.out.unread(),
        }
    }

    fn userinfo(&mut self, userinfo: &[u8]) {
        if let Some(credential) = self.store.userinfo(self.rules, userinfo) {
            self.out.push(credential, Location::Path);
        }
    }

    fn query(&mut self, query: &[u8]) {
        // `;` was a separator once (HTML 4.01 B.2.2), and some servers still take it for one.
        for pair in query
            .split(|byte| matches!(byte, b'&' | b';'))
            .take(MAX_PAIRS)
        {
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let Some((name, value)) = pair.split_at_checked(equals) else {
                continue;
            };
            let rules = self.rules;
            let Some(ids) = rules.query(name) else {
                continue;
            };
            let value = value.get(1..).unwrap_or_default();
            for id in ids {
                let with = rules
                    .rule(*id, self.mask)
                    .is_some_and(|rule| rule.with_in(query));
                if with && self.value(*id, value, Location::Query) {
                    break;
                }
            }
        }
    }

    /// A percent-encoded value that a rule names. Whether it is a credential by that rule.
    fn value(&mut self, id: u16, value: &[u8], location: Location) -> bool {
        let rules = self.rules;
        let Some(rule) = rules.rule(id, self.mask) else {
            return false;
        };
        let found = self
            .store
            .encoded_token(rules, rule.kind, value, |secret| fit(rule, secret));
        match found {
            Some(_) if rule.ignore => self.out.unread(),
            Some(credential) => self.out.push(credential, location),
            None => return false,
        }
        true
    }

    fn cookies(&mut self, cookies: &[u8]) {
        for pair in cookies.split(|byte| *byte == b';').take(MAX_PAIRS) {
            let pair = pair.trim_ascii();
            let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            let Some((name, value)) = pair.split_at_checked(equals) else {
                continue;
            };
            let rules = self.rules;
            let Some(rule) = rules.cookie(name).and_then(|id| rules.rule(id, self.mask)) else {
                continue;
            };
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            // Quotes are no part of the value (RFC 6265 §4.1.1).
            let value = match value {
                [b'"', inner @ .., b'"'] => inner,
                other => other,
            };
            if let Some(secret) = fit(rule, value) {
                let credential = self.store.token(rules, rule.kind, secret);
                self.out.push(credential, Location::Cookie);
            }
        }
    }
}

/// The part of a value that a rule is about.
fn fit<'v>(rule: &Compiled, value: &'v [u8]) -> Option<&'v [u8]> {
    let value = value.trim_ascii();
    let value = match rule.until {
        Some(until) => value.split(|byte| *byte == until).next().unwrap_or(value),
        None => value,
    };
    rule.fits(value).then_some(value)
}

#[cfg(test)]
mod tests;
