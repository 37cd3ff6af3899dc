//! Second factor: a duty that wants one was exercised with a credential that shows none.
//!
//! A token says in `amr` (RFC 8176) how its bearer signed in. A second factor is `mfa`, the issuer's own word
//! for several, or methods of two kinds: what one knows (`pwd`, `pin`, `kba`), has (`otp`, `hwk`, `swk`, `pop`,
//! `sc`, `sms`, `tel`, `mca`) and is (`face`, `fpt`, `iris`, `vbm`, `retina`). Two of one kind are one factor
//! (`otp` by `sms`), and one method is one factor, whatever it is. The rest of the registry says where or how,
//! not who: `geo`, `rba`, `user`, `wia`.

use std::fmt::Write as _;

use super::words::{Quoted, Scene, list, who};
use super::{Check, Context, FindingKind, Severity, Words};
use crate::access::{Access, Claims, Credential, CredentialKind};

pub(super) struct SecondFactor;

impl Check for SecondFactor {
    fn kind(&self) -> FindingKind {
        FindingKind::SecondFactor
    }

    fn breaks(&self, context: &Context<'_>, access: &Access) -> Option<Severity> {
        context.wants_second_factor?;
        let shown = shown(access.credential.as_ref()?);
        (shown != Shown::SecondFactor).then(|| context.severity_if_refused(self.kind(), access))
    }

    fn words(&self, context: &Context<'_>, access: &Access) -> Option<Words> {
        let duty = context.policy.duty(context.wants_second_factor?)?;
        let identity = context.dutiful()?;
        let credential = access.credential.as_ref()?;
        let why = match shown(credential) {
            Shown::SecondFactor => return None,
            Shown::OneFactor => {
                let methods = credential.claims.methods.iter().map(|m| Quoted(m));
                format!(
                    "a token that shows no second factor (amr {})",
                    list(methods)
                )
            }
            Shown::NoMethods => {
                "a token that does not say how its bearer signed in (no `amr`)".to_owned()
            }
            Shown::NoToken => format!("{}, which cannot show one", kind(credential.kind)),
        };
        let place = duty.second_factor_place.as_ref().unwrap_or(&duty.place);
        let mut clause = format!(
            "duties.{}.second-factor = true",
            crate::policy::dotted(&duty.name)
        );
        if place.line > 0 {
            let _ = write!(clause, " ({}:{})", Quoted(&place.file), place.line);
        }
        Some(Words {
            clause,
            title: format!(
                "{} exercised {}, which wants a second factor, with {why}: {}",
                who(access),
                Quoted(&duty.name),
                Scene(context, access)
            ),
            normal: format!(
                "{} is exercised with a token whose `amr` has `mfa`, or two factors such as `pwd` and `otp`",
                Quoted(&duty.name)
            ),
            action: format!(
                "Ask {} whether this was meant. Have the server ask for a second sign-in (RFC 9470), and the issuer \
                 write `amr`; who got by without one may have no more than a stolen password or token.",
                Quoted(&identity.owner)
            ),
            techniques: &["T1078.004", "T1550.001"],
        })
    }
}

/// What a credential shows of how its bearer signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    SecondFactor,
    /// A token with methods of one kind, or of none.
    OneFactor,
    /// A token without methods.
    NoMethods,
    /// Not a token that could say.
    NoToken,
}

fn shown(credential: &Credential) -> Shown {
    let Credential { kind, claims, .. } = credential;
    let token = *kind == CredentialKind::Jwt
        || (matches!(kind, CredentialKind::Dpop | CredentialKind::Cookie)
            && *claims != Claims::default());
    if !token {
        return Shown::NoToken;
    }
    let methods = &claims.methods;
    if methods.is_empty() {
        return Shown::NoMethods;
    }
    let kinds = methods
        .iter()
        .fold(0, |kinds, method| kinds | factor(method));
    if kinds & ISSUER_SAYS != 0 || u8::count_ones(kinds) > 1 {
        Shown::SecondFactor
    } else {
        Shown::OneFactor
    }
}

/// What the credential is called where it is no token that could say.
fn kind(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Bearer => "an opaque bearer token",
        CredentialKind::Jwt => "a JWT",
        CredentialKind::Basic => "a user name and password",
        CredentialKind::Digest => "a user name and Digest response",
        CredentialKind::ApiKey => "an API key",
        CredentialKind::Sigv4 => "an AWS access key",
        CredentialKind::Dpop => "an opaque DPoP token",
        CredentialKind::Cookie => "a session cookie",
    }
}

const KNOWS: u8 = 1;
const HAS: u8 = 2;
const IS: u8 = 4;
const ISSUER_SAYS: u8 = 8;

/// The kind of factor that a method of RFC 8176 §2 is. `mca` is a second channel to something one has; names
/// that are not registered mean something to one issuer only.
fn factor(method: &str) -> u8 {
    match method {
        "mfa" => ISSUER_SAYS,
        "pwd" | "pin" | "kba" => KNOWS,
        "otp" | "hwk" | "swk" | "pop" | "sc" | "sms" | "tel" | "mca" => HAS,
        "face" | "fpt" | "iris" | "vbm" | "retina" => IS,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_factors_are_of_two_kinds() {
        for (methods, want) in [
            ("", Shown::NoMethods),
            ("mfa", Shown::SecondFactor),
            ("pwd mfa", Shown::SecondFactor),
            ("pwd otp", Shown::SecondFactor),
            ("pwd sms", Shown::SecondFactor),
            ("pin hwk", Shown::SecondFactor),
            ("fpt swk", Shown::SecondFactor),
            ("face kba", Shown::SecondFactor),
            ("sc pin user", Shown::SecondFactor),
            ("pwd", Shown::OneFactor),
            ("otp", Shown::OneFactor),
            ("hwk user", Shown::OneFactor),
            ("pwd kba pin", Shown::OneFactor),
            ("otp sms tel", Shown::OneFactor),
            ("fpt face", Shown::OneFactor),
            ("pwd geo rba wia user", Shown::OneFactor),
            ("MFA", Shown::OneFactor),
            ("pwd duo", Shown::OneFactor),
        ] {
            let claims = Claims {
                methods: methods.split_whitespace().map(Box::from).collect(),
                ..Claims::default()
            };
            let token = Credential {
                kind: CredentialKind::Jwt,
                fingerprint: crate::access::Fingerprint([0; 16]),
                hint: None,
                claims,
                default_identity: "x".into(),
            };
            assert_eq!(shown(&token), want, "{methods}");
        }
    }
}
