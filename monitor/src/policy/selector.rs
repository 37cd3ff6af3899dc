//! Which credentials belong to an identity.
//!
//! No message here repeats the selector: where one is expected, someone will paste the secret itself.

use std::path::PathBuf;

use super::error::Fault;
use crate::access::Fingerprint;
use crate::suggest::did_you_mean;

const FORMS: &str = "a credential is bw1:FINGERPRINT, file:PATH, jwt:iss=…,sub=…, sigv4:KEYID, basic:user=… \
                     or digest:user=…; the secret itself never stands in a policy: put it into a file only \
                     root can read and write file:PATH";

/// A credential as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// `bw1:…`: the fingerprint that `bailiwick tail` shows.
    Fingerprint(Fingerprint),
    /// `file:PATH`: whatever credential the file holds.
    File(PathBuf),
    /// `jwt:iss=…,sub=…[,client=…,aud=…]`: every token with these claims. Nobody here verifies its
    /// signature.
    Jwt(JwtSelector),
    /// `sigv4:KEYID`: an AWS access key id.
    Sigv4(Box<str>),
    /// `basic:user=…`: any password.
    Basic(Box<str>),
    /// `digest:user=…`
    Digest(Box<str>),
}

/// Claims that a token must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JwtSelector {
    /// `iss`, exactly.
    pub issuer: Box<str>,
    /// `sub`, exactly.
    pub subject: Option<Box<str>>,
    /// `azp` or `client_id`, exactly.
    pub client: Option<Box<str>>,
    /// One of the token's `aud`.
    pub audience: Option<Box<str>>,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// When it is none: what is wrong and how to write it, without the text itself.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let Some((form, rest)) = text.split_once(':') else {
            return Err(Fault::new("not a credential selector", FORMS));
        };
        if rest.chars().any(char::is_control) || rest.trim() != rest {
            let hint = "remove white space at its ends, line ends and control characters";
            return Err(Fault::new(
                "stray characters in a credential selector",
                hint,
            ));
        }
        match form {
            "bw1" => text.parse().map(Self::Fingerprint).map_err(|_| {
                Fault::new(
                    "not a fingerprint",
                    "bw1: is followed by all 32 hexadecimal digits that `bailiwick tail` and `bailiwick \
                     identities` show",
                )
            }),
            "file" if rest.is_empty() => Err(Fault::new("file: without a path", "write file:PATH")),
            "file" => Ok(Self::File(rest.into())),
            "jwt" => jwt(rest).map(Self::Jwt),
            "sigv4" => {
                if rest.len() < 16 || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    let hint = "sigv4: is followed by the access key id (AKIA…, ASIA…), never by the \
                                secret key";
                    return Err(Fault::new("not an access key id", hint));
                }
                Ok(Self::Sigv4(rest.into()))
            }
            "basic" => user("basic", rest).map(Self::Basic),
            "digest" => user("digest", rest).map(Self::Digest),
            other => {
                let known = ["bw1", "file", "jwt", "sigv4", "basic", "digest"];
                // A word this near to a form is no secret.
                let hint = did_you_mean(other, known).unwrap_or_else(|| FORMS.to_owned());
                Err(Fault::new("not a credential selector", hint))
            }
        }
    }
}

fn user(form: &str, rest: &str) -> Result<Box<str>, Fault> {
    match rest.strip_prefix("user=") {
        Some(name) if !name.is_empty() => Ok(name.into()),
        _ => Err(Fault::new(
            format!("{form}: needs a user"),
            format!("write {form}:user=NAME, without the password"),
        )),
    }
}

fn jwt(rest: &str) -> Result<JwtSelector, Fault> {
    let known = ["iss", "sub", "client", "aud"];
    let (mut issuer, mut subject, mut client, mut audience) = (None, None, None, None);
    for part in split_commas(rest) {
        let Some((claim, value)) = part.split_once('=') else {
            let hint = "write jwt:iss=…,sub=…[,client=…,aud=…]; a comma inside a value is \\,";
            return Err(Fault::new("jwt: holds something that is no claim", hint));
        };
        let slot = match claim {
            "iss" => &mut issuer,
            "sub" => &mut subject,
            "client" => &mut client,
            "aud" => &mut audience,
            other => {
                let hint = match other {
                    "azp" | "client_id" => Some("did you mean `client`?".to_owned()),
                    _ => did_you_mean(other, known),
                };
                return Err(Fault::new(
                    "jwt: names an unknown claim",
                    hint.unwrap_or_else(|| "the claims are iss, sub, client and aud".to_owned()),
                ));
            }
        };
        if value.is_empty() {
            return Err(Fault::new(
                format!("jwt: {claim} is empty"),
                "give its value or leave it out",
            ));
        }
        if value.len() > 256 {
            let hint = "claims are compared up to 256 bytes";
            return Err(Fault::new(format!("jwt: {claim} is too long"), hint));
        }
        if slot.replace(Box::from(value)).is_some() {
            let hint = "name each claim once; use two selectors for two values";
            return Err(Fault::new(format!("jwt: {claim} is named twice"), hint));
        }
    }
    let Some(issuer) = issuer else {
        let hint = "add iss=…: a subject means nothing without the issuer who named it";
        return Err(Fault::new("jwt: iss is missing", hint));
    };
    if subject.is_none() && client.is_none() {
        let hint = "add sub=… or client=…: every token of the issuer would be this identity";
        return Err(Fault::new("jwt: sub is missing", hint));
    }
    Ok(JwtSelector {
        issuer,
        subject,
        client,
        audience,
    })
}

/// Splits at commas; `\,` is a comma and `\\` a backslash inside a value.
fn split_commas(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next_if(|next| matches!(next, ',' | '\\')) {
                Some(escaped) => part.push(escaped),
                None => part.push('\\'),
            },
            ',' => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(
        issuer: &str,
        subject: Option<&str>,
        client: Option<&str>,
        aud: Option<&str>,
    ) -> Selector {
        Selector::Jwt(JwtSelector {
            issuer: issuer.into(),
            subject: subject.map(Into::into),
            client: client.map(Into::into),
            audience: aud.map(Into::into),
        })
    }

    #[test]
    fn reads_every_form() {
        let print = "bw1:00112233445566778899aabbccddeeff";
        for (text, want) in [
            (print, Selector::Fingerprint(print.parse().unwrap())),
            ("file:/etc/ci/token", Selector::File("/etc/ci/token".into())),
            ("file:tokens/ci", Selector::File("tokens/ci".into())),
            (
                "jwt:iss=https://idp.example,sub=ci",
                token("https://idp.example", Some("ci"), None, None),
            ),
            ("jwt:sub=a=b,iss=i", token("i", Some("a=b"), None, None)),
            (
                "jwt:iss=i,client=c,aud=x",
                token("i", None, Some("c"), Some("x")),
            ),
            (
                r"jwt:iss=i,sub=CN=a\,OU=b\\c\d",
                token("i", Some(r"CN=a,OU=b\c\d"), None, None),
            ),
            (
                "sigv4:AKIAIOSFODNN7EXAMPLE",
                Selector::Sigv4("AKIAIOSFODNN7EXAMPLE".into()),
            ),
            ("basic:user=deploy", Selector::Basic("deploy".into())),
            ("basic:user=a:b c", Selector::Basic("a:b c".into())),
            ("digest:user=x", Selector::Digest("x".into())),
        ] {
            assert_eq!(Selector::parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn refuses_without_repeating_the_text() {
        for bad in [
            "hunter2",
            "ghp_hunter2hunter2hunter2",
            "password:hunter2",
            "bw1:hunter2",
            "jwt:hunter2",
            "jwt:iss=hunter2",
            "jwt:sub=hunter2",
            "jwt:iss=hunter2,sub=",
            "jwt:iss=hunter2,subject=x",
            "jwt:iss=a,iss=hunter2,sub=x",
            "sigv4:hunter2",
            "sigv4:hunter2+hunter2/hunter2=",
            "basic:hunter2",
            "basic:user=",
            "digest:hunter2",
            "file:",
            " file:hunter2",
            "file:hunter2 ",
            "file:hunter2\n",
        ] {
            let fault = Selector::parse(bad).expect_err(bad);
            let words = format!("{} {}", fault.problem, fault.hint.expect(bad));
            assert!(!words.contains("hunter2"), "{bad}: {words}");
        }
        let hint = |text| Selector::parse(text).unwrap_err().hint.unwrap();
        assert_eq!(hint("jwt:iss=a,subj=x"), "did you mean `sub`?");
        assert_eq!(hint("jwt:iss=a,azp=x"), "did you mean `client`?");
        assert_eq!(hint("flie:/x"), "did you mean `file`?");
    }
}
