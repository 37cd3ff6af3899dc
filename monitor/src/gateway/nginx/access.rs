//! What one level of nginx's blocks says of who may pass: `return`, `if`, `allow`, `deny`, `limit_except`,
//! passwords and tokens.

use super::super::gate::{Cond, Decision, Part, Remarks};
use super::super::quote;
use super::map::Maps;
use super::tokens::Directive;

/// Rules that a level hands down to the levels inside it, unless these have their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    /// `allow` and `deny` in order: whether, whom, line.
    addresses: Vec<(bool, String, usize)>,
    /// Line of a password or a token that is asked for.
    known: Option<usize>,
    /// Line of an `auth_request`.
    elsewhere: Option<usize>,
    /// `satisfy any`.
    any: bool,
}

/// Names of directives that decide nothing about who may pass, by their beginnings.
const NEUTRAL: [&str; 61] = [
    "absolute_redirect",
    "access_log",
    "add_header",
    "add_trailer",
    "aio",
    "alias",
    "auth_basic_user_file",
    "auth_delay",
    "auth_request_set",
    "autoindex",
    "auth_jwt_key_file",
    "auth_jwt_key_request",
    "charset",
    "chunked_transfer",
    "client_",
    "connection_pool",
    "dav_",
    "default_type",
    "directio",
    "disable_symlinks",
    "error_log",
    "error_page",
    "etag",
    "expires",
    "fastcgi_",
    "grpc_",
    "gunzip",
    "gzip",
    "http2",
    "if_modified_since",
    "ignore_invalid_headers",
    "image_filter",
    "index",
    "keepalive_",
    "large_client_header",
    "limit_conn",
    "limit_rate",
    "limit_req",
    "lingering_",
    "listen",
    "log_",
    "map_hash",
    "max_ranges",
    "memcached_",
    "merge_slashes",
    "mirror",
    "open_file_cache",
    "output_buffers",
    "port_in_redirect",
    "postpone_output",
    "proxy_",
    "read_ahead",
    "real_ip",
    "reset_timedout",
    "resolver",
    "root",
    "scgi_",
    "send",
    "server_",
    "set",
    "try_files",
];
const NEUTRAL_MORE: [&str; 22] = [
    "slice",
    "ssl_certificate",
    "ssl_ciphers",
    "ssl_protocols",
    "ssl_session",
    "ssl_prefer",
    "ssl_stapling",
    "ssl_dhparam",
    "ssl_ecdh",
    "ssl_early",
    "ssl_buffer",
    "ssl_client_certificate",
    "ssl_trusted",
    "stub_status",
    "sub_filter",
    "tcp_",
    "types",
    "underscores_in",
    "uwsgi_",
    "variables_hash",
    "empty_gif",
    "random_index",
];

/// Directives that are read elsewhere, or that are blocks of their own.
const ELSEWHERE: [&str; 9] = [
    "location",
    "server",
    "map",
    "upstream",
    "include",
    "geo",
    "split_clients",
    "limit_except",
    "if",
];

pub(super) fn neutral(name: &str) -> bool {
    NEUTRAL
        .iter()
        .chain(&NEUTRAL_MORE)
        .any(|start| name.starts_with(start))
        || ELSEWHERE.contains(&name)
}

impl Inherited {
    /// What holds inside a block.
    pub(super) fn enter(&self, block: &[Directive], remarks: &mut Remarks) -> Self {
        let mut own = self.clone();
        let mut first = true;
        for directive in block {
            match directive.name.as_str() {
                "allow" | "deny" => {
                    if std::mem::take(&mut first) {
                        own.addresses.clear();
                    }
                    let rule = (
                        directive.name == "allow",
                        directive.word(0).to_owned(),
                        directive.line,
                    );
                    own.addresses.push(rule);
                }
                "auth_basic" | "auth_jwt" => {
                    own.known = (directive.word(0) != "off").then_some(directive.line);
                    if directive.word(0).contains('$') {
                        remarks.add(
                            directive.line,
                            format!("{} with a variable", directive.name),
                        );
                        own.elsewhere = Some(directive.line);
                    }
                }
                "auth_request" => {
                    own.elsewhere = (directive.word(0) != "off").then_some(directive.line);
                    if own.elsewhere.is_some() {
                        remarks.add(directive.line, "auth_request: decided elsewhere");
                    }
                }
                "ssl_verify_client" if directive.word(0) == "on" => {
                    own.known = Some(directive.line)
                }
                "ssl_verify_client" => {}
                "satisfy" => own.any = directive.word(0) == "any",
                _ => {}
            }
        }
        own
    }

    /// Who passes a level's access rules; `line` is where it stands.
    fn decision(&self, line: usize, remarks: &mut Remarks) -> Decision {
        let open = Decision::Verdict(Some(true), line);
        let closed = |line| Decision::Verdict(Some(false), line);
        let addresses = match self.addresses.first() {
            None => None,
            Some((false, whom, line)) if whom == "all" => Some(closed(*line)),
            Some((true, whom, _)) if whom == "all" => Some(open.clone()),
            Some((.., line)) => {
                remarks.add(*line, "allow and deny by address");
                Some(Decision::Verdict(None, *line))
            }
        };
        let known = self.known.map(|own| {
            Decision::First(
                vec![(Cond::Known, Decision::Verdict(Some(true), line))],
                Box::new(closed(own)),
            )
        });
        let elsewhere = self.elsewhere.map(|own| Decision::Verdict(None, own));
        let all: Vec<Decision> = [addresses, known, elsewhere]
            .into_iter()
            .flatten()
            .collect();
        match (all.is_empty(), self.any) {
            (true, _) => open,
            (_, true) => Decision::Some(all),
            (_, false) => {
                let mut all = all;
                all.push(open);
                Decision::Every(all)
            }
        }
    }
}

/// `return` and `if` of one level in their order; then `otherwise`.
pub(super) fn rewrite(
    block: &[Directive],
    maps: &Maps,
    remarks: &mut Remarks,
    otherwise: Decision,
) -> Decision {
    let mut steps = Vec::new();
    for directive in block {
        match directive.name.as_str() {
            "return" => {
                let last = verdict(directive);
                return first(steps, last);
            }
            // `break` stays where it is; else the request goes on under another path.
            "rewrite" if directive.word(2) != "break" => {
                remarks.add(directive.line, "rewrite");
                steps.push((Cond::Unknown, Decision::Verdict(None, directive.line)));
            }
            "if" => {
                let cond = maps.condition(directive, remarks);
                let returned = directive
                    .children()
                    .iter()
                    .find(|inner| inner.name == "return");
                match returned {
                    Some(inner) => steps.push((cond, verdict(inner))),
                    None => {
                        let decides = |name: &str| !neutral(name) && name != "break";
                        if let Some(inner) = directive
                            .children()
                            .iter()
                            .find(|inner| decides(&inner.name))
                        {
                            remarks.add(
                                inner.line,
                                format!("{} inside of if", quote::comment(&inner.name)),
                            );
                            steps.push((cond, Decision::Verdict(None, inner.line)));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    first(steps, otherwise)
}

fn first(steps: Vec<(Cond, Decision)>, otherwise: Decision) -> Decision {
    if steps.is_empty() {
        otherwise
    } else {
        Decision::First(steps, Box::new(otherwise))
    }
}

/// An answer of its own: only a success is open.
fn verdict(directive: &Directive) -> Decision {
    let open = match directive.word(0).parse::<u16>() {
        Ok(code) => Some((200..300).contains(&code)),
        // A URL: a redirection.
        Err(_) => Some(false),
    };
    Decision::Verdict(open, directive.line)
}

/// What a location itself decides, `inherited` being what holds in it.
pub(super) fn location(
    directive: &Directive,
    inherited: &Inherited,
    maps: &Maps,
    remarks: &mut Remarks,
) -> Decision {
    let block = directive.children();
    unread(block, remarks);
    if block.iter().any(|inner| inner.name == "internal") {
        return Decision::Verdict(Some(false), directive.line);
    }
    let otherwise = inherited.decision(directive.line, remarks);
    let access = match block.iter().find(|inner| inner.name == "limit_except") {
        None => otherwise,
        Some(limit) => {
            let mut names: Vec<String> = limit
                .words
                .iter()
                .filter(|w| w.is_ascii())
                .map(|w| quote::regex(w))
                .collect();
            if limit.words.iter().any(|word| word == "GET") {
                names.push("HEAD".to_owned());
            }
            let inside = inherited
                .enter(limit.children(), remarks)
                .decision(limit.line, remarks);
            Decision::First(
                vec![(Cond::Matches(Part::Method, names.join("|")), otherwise)],
                Box::new(inside),
            )
        }
    };
    rewrite(block, maps, remarks, access)
}

/// What a server without locations for a path decides.
pub(super) fn rest(line: usize, inherited: &Inherited, remarks: &mut Remarks) -> Decision {
    inherited.decision(line, remarks)
}

/// Notes directives that may decide and are not modelled.
pub(super) fn unread(block: &[Directive], remarks: &mut Remarks) {
    for directive in block {
        let name = directive.name.as_str();
        let read = matches!(
            name,
            "allow"
                | "deny"
                | "auth_basic"
                | "auth_jwt"
                | "auth_request"
                | "ssl_verify_client"
                | "satisfy"
                | "return"
                | "rewrite"
                | "internal"
                | "break"
        );
        if !read && !neutral(name) {
            remarks.add(directive.line, quote::comment(name));
        }
    }
}
