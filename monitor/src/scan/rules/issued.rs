//! Tokens with a beginning of their own, as their issuers describe them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{Form, Spot, Text};
use crate::access::jwt as json_web_token;
use crate::scan::checksum;
use crate::scan::plain;

/// Longest token that is looked at.
const LONGEST: usize = 8 * 1024;

fn word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn base62(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn url_safe(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn hex(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Bytes of an alphabet behind a prefix that stands here in its very case, not inside a longer word.
fn behind<'a>(
    text: &Text<'a>,
    at: usize,
    prefix: &str,
    alphabet: fn(&u8) -> bool,
) -> Option<&'a [u8]> {
    // `\n` and `\t` in a literal are no part of a word, though their letter is.
    let escaped = matches!(text.before(at), Some(b'n' | b't' | b'r'))
        && text.before(at.wrapping_sub(1)) == Some(b'\\');
    if text.before(at).is_some_and(|byte| word(&byte)) && !escaped {
        return None;
    }
    let rest = text.from(at, LONGEST).strip_prefix(prefix.as_bytes())?;
    let end = rest
        .iter()
        .position(|byte| !alphabet(byte))
        .unwrap_or(rest.len());
    rest.get(..end)
}

fn spot(at: usize, prefix: &'static str, body: &[u8]) -> Option<Spot> {
    let end = at + prefix.len() + body.len();
    Some(Spot {
        secret: at..end,
        user: None,
        form: Form::Token,
        prefix,
    })
}

/// The first prefix whose body is good.
fn any(
    text: &Text<'_>,
    at: usize,
    prefixes: &[&'static str],
    alphabet: fn(&u8) -> bool,
    good: impl Fn(&'static str, &[u8]) -> bool,
) -> Option<Spot> {
    prefixes.iter().find_map(|prefix| {
        let body = behind(text, at, prefix, alphabet)?;
        (good(prefix, body) && !plain::is_placeholder(body))
            .then(|| spot(at, prefix, body))
            .flatten()
    })
}

/// `ghp_` and its kin: 30 random characters and six of checksum (github.blog, 2021-04-05). `github_pat_`: 22
/// characters, `_`, 59; what its checksum covers is not published.
pub(super) fn github(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        word,
        |_, body| body.len() == 36 && checksum::base62_crc32(body),
    )
    .or_else(|| {
        any(text, at, &["github_pat_"], word, |_, body| {
            body.len() == 82
                && body.get(22) == Some(&b'_')
                && body
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| at == 22 || base62(byte))
        })
    })
}

/// The same form and checksum as GitHub's (github.blog, 2021-09-23).
pub(super) fn npm(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["npm_"], word, |_, body| {
        body.len() == 36 && checksum::base62_crc32(body)
    })
}

/// docs.gitlab.com, "Token prefixes": 20 characters and more, since 18 with `.` and a routing part behind.
pub(super) fn gitlab(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    let prefixes = [
        "glpat-", "gldt-", "glrt-", "glptt-", "glsoat-", "glcbt-", "glft-", "glagent-",
    ];
    let alphabet = |byte: &u8| url_safe(byte) || *byte == b'.';
    let mut found = any(text, at, &prefixes, alphabet, |_, body| {
        let body = body.strip_suffix(b".").unwrap_or(body);
        let parts = body.split(|byte| *byte == b'.').count();
        (20..=320).contains(&body.len()) && parts <= 3 && plain::entropy(body) >= 3.0
    })?;
    // A full stop behind is the sentence's.
    if text.get(found.secret.clone()).ends_with(b".") {
        found.secret.end -= 1;
    }
    Some(found)
}

/// docs.slack.dev, "Tokens": parts joined by `-`, the first of them numbers.
pub(super) fn slack(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    let prefixes = [
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xoxr-",
        "xoxs-",
        "xoxe-",
        "xoxe.xoxp-",
        "xoxe.xoxb-",
        "xapp-",
    ];
    any(text, at, &prefixes, url_safe, |_, body| {
        let first = body.split(|byte| *byte == b'-').next().unwrap_or_default();
        (20..=400).contains(&body.len())
            && !first.is_empty()
            && first.iter().all(u8::is_ascii_digit)
    })
}

/// `https://hooks.slack.com/services/T…/B…/…`, and `triggers` and `workflows` likewise.
pub(super) fn slack_webhook(text: &Text<'_>, at: usize, end: usize) -> Option<Spot> {
    let rest = text.from(end, 256);
    let len = rest
        .iter()
        .position(|byte| !url_safe(byte) && *byte != b'/')
        .unwrap_or(rest.len());
    let path = rest.get(..len)?;
    let mut parts = path.split(|byte| *byte == b'/');
    let kind = parts.next()?;
    let (team, bot, key) = (parts.next()?, parts.next()?, parts.next()?);
    let good = matches!(kind, b"services" | b"workflows" | b"triggers")
        && matches!(team.first(), Some(b'T' | b'E'))
        && team.len() >= 9
        && bot.len() >= 9
        && key.len() >= 20
        && !plain::is_placeholder(key);
    good.then(|| Spot {
        // What is secret is the last part; nothing live carries it in this form.
        secret: at..end + len,
        user: None,
        form: Form::Never,
        prefix: "hooks.slack.com/",
    })
}

/// docs.stripe.com/keys: 24 characters and more.
pub(super) fn stripe(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        base62,
        |_, body| (24..=247).contains(&body.len()) && plain::entropy(body) >= 3.0,
    )
}

/// How far apart id and secret may stand.
const AWS_NEAR: usize = 400;

/// An access key id (`AKIA` or `ASIA` and 16 of base 32, docs.aws.amazon.com, IAM "Unique identifiers") with a
/// secret of 40 characters of base64 near it. The id alone is no secret; on the wire it is what is seen (SigV4).
pub(super) fn aws(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    let found = any(text, at, &["AKIA", "ASIA"], base62, |_, body| {
        body.len() == 16
            && body
                .iter()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
    })?;
    let start = at.saturating_sub(AWS_NEAR);
    let around = text.get(start..(found.secret.end + AWS_NEAR).min(text.bytes.len()));
    around
        .split(|byte| !base64(byte))
        .any(|run| {
            run.len() == 40
                && plain::entropy(run) >= 4.0
                && !plain::is_placeholder(run)
                && !run.iter().all(u8::is_ascii_hexdigit)
        })
        .then_some(found)
}

/// `AIza` and 35 characters.
pub(super) fn google_key(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["AIza"], url_safe, |_, body| {
        body.len() == 35 && plain::entropy(body) >= 3.5
    })
}

/// `GOCSPX-` and 28 characters.
pub(super) fn google_secret(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["GOCSPX-"], url_safe, |_, body| {
        body.len() == 28 && plain::entropy(body) >= 3.0
    })
}

/// A macaroon, version 2, in base64, that names its location: pypi.org or test.pypi.org.
pub(super) fn pypi(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["pypi-"], url_safe, |_, body| {
        // Four characters are three bytes: the location stands within the first 24.
        let head = body
            .get(..32)
            .and_then(|head| URL_SAFE_NO_PAD.decode(head).ok().map(Zeroizing::new));
        body.len() >= 85
            && head.is_some_and(|head| {
                // Version 2, field 1 (location), its length, its text.
                let place = head.get(3..).unwrap_or_default();
                head.first() == Some(&2)
                    && head.get(1) == Some(&1)
                    && (place.starts_with(b"pypi.org") || place.starts_with(b"test.pypi.org"))
            })
    })
}

/// `AccountKey=` and 64 bytes in base64 (learn.microsoft.com, storage connection strings).
pub(super) fn azure_storage(text: &Text<'_>, _: usize, end: usize) -> Option<Spot> {
    let value = text.from(end, 88);
    let decoded = Zeroizing::new(STANDARD.decode(value).ok()?);
    // The emulator's key is public: every installation has it.
    let public =
        value.starts_with(b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq");
    (decoded.len() == 64
        && !public
        && plain::entropy(value) >= 4.0
        && !plain::is_placeholder(value))
    .then(|| Spot {
        secret: end..end + 88,
        user: None,
        // It signs requests and is never sent.
        form: Form::Never,
        prefix: "",
    })
}

/// Three characters, a digit, `Q~`, 31 to 34 characters: 37 to 40 in all.
pub(super) fn azure_client(text: &Text<'_>, at: usize, end: usize) -> Option<Spot> {
    let alphabet = |byte: &u8| url_safe(byte) || matches!(byte, b'.' | b'~');
    let start = at.checked_sub(3)?;
    if text.get(at + 1..end) != b"Q~" || text.before(start).is_some_and(|byte| alphabet(&byte)) {
        return None;
    }
    let rest = text.from(start, 64);
    let len = rest
        .iter()
        .position(|byte| !alphabet(byte))
        .unwrap_or(rest.len());
    let value = rest.get(..len)?;
    ((37..=40).contains(&len) && plain::entropy(value) >= 3.5 && !plain::is_placeholder(value))
        .then(|| Spot {
            secret: start..start + len,
            user: None,
            form: Form::Token,
            prefix: "",
        })
}

/// `sk-ant-`, the kind, 93 characters and `AA`.
pub(super) fn anthropic(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["sk-ant-api03-", "sk-ant-admin01-", "sk-ant-oat01-"],
        url_safe,
        |_, body| body.len() == 95 && body.ends_with(b"AA"),
    )
}

/// `sk-proj-` and its kin: the marker `T3BlbkFJ` ("OpenAI" in base64) between two random parts of one length.
pub(super) fn openai(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        url_safe,
        |_, body| {
            let marker = b"T3BlbkFJ";
            body.windows(marker.len())
                .position(|window| window == marker)
                .is_some_and(|at| at >= 20 && body.len() == 2 * at + marker.len())
        },
    )
}

/// `SG.`, 22 characters, `.`, 43 characters.
pub(super) fn sendgrid(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["SG."],
        |byte| url_safe(byte) || *byte == b'.',
        |_, body| {
            body.len() == 66
                && body
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| (*byte == b'.') == (at == 22))
                && plain::entropy(body) >= 3.5
        },
    )
}

/// `hf_` and 34 letters.
pub(super) fn huggingface(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["hf_"], word, |_, body| {
        body.len() == 34 && body.iter().all(u8::is_ascii_alphabetic) && plain::entropy(body) >= 3.5
    })
}

/// docs.digitalocean.com: 64 hexadecimal digits.
pub(super) fn digitalocean(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        word,
        |_, body| body.len() == 64 && body.iter().all(hex) && plain::entropy(body) >= 3.0,
    )
}

/// shopify.dev: 32 hexadecimal digits.
pub(super) fn shopify(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(
        text,
        at,
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        word,
        |_, body| {
            body.len() == 32
                && body.iter().all(|byte| byte.is_ascii_hexdigit())
                && plain::entropy(body) >= 3.0
        },
    )
}

/// developer.hashicorp.com, "Tokens": 24 characters and more.
pub(super) fn vault(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    any(text, at, &["hvs.", "hvb."], url_safe, |_, body| {
        (24..=300).contains(&body.len())
            && plain::entropy(body) >= 3.5
            && body.iter().any(u8::is_ascii_digit)
    })
}

/// Three parts of base64url whose first is a JSON object with `alg` and whose second is a JSON object (RFC 7519); with
/// a signature of 128 bits at least, since without one it is no secret.
pub(super) fn jwt(text: &Text<'_>, at: usize, _: usize) -> Option<Spot> {
    let body = behind(text, at, "eyJ", |byte| url_safe(byte) || *byte == b'.')?;
    let mut range = at..at + "eyJ".len() + body.len();
    if text.get(range.clone()).ends_with(b".") {
        range.end -= 1;
    }
    let token = text.get(range.clone());
    let signature = token
        .rsplit(|byte| *byte == b'.')
        .next()
        .unwrap_or_default();
    if signature.len() < 22 || !json_web_token::looks_like(token) {
        return None;
    }
    let mut json = Zeroizing::new(Vec::with_capacity(json_web_token::MAX_PART));
    json_web_token::read(token, &mut json)?;
    Some(Spot {
        secret: range,
        user: None,
        form: Form::Token,
        prefix: "eyJ",
    })
}
