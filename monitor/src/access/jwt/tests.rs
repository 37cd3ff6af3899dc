#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;

fn text(value: &str) -> Option<Box<str>> {
    Some(value.into())
}

fn token(header: &str, payload: &[u8]) -> String {
    format!(
        "{}.{}.c2lnbmF0dXJl",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

fn claims(payload: &str) -> Option<Claims> {
    let token = token(r#"{"alg":"RS256"}"#, payload.as_bytes());
    assert!(looks_like(token.as_bytes()));
    let mut scratch = Vec::with_capacity(MAX_PART);
    let claims = read(token.as_bytes(), &mut scratch);
    assert!(scratch.is_empty());
    claims
}

#[test]
fn rfc_7519_section_3_1() {
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let claims = read(token.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(claims.issuer, text("joe"));
    assert_eq!(claims.expires, Some(1_300_819_380));
    // An issuer alone is nobody.
    assert_eq!(identity(&claims), None);
}

#[test]
fn rfc_7519_section_6_1_unsecured() {
    let token = "eyJhbGciOiJub25lIn0.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
    assert_eq!(
        read(token.as_bytes(), &mut Vec::new()).unwrap().issuer,
        text("joe")
    );
}

#[test]
fn rfc_7519_appendix_a_1_encrypted_is_opaque() {
    // A JWE has five parts.
    let token = "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.QR1Owv2ug2WyPBnbQrRARTeEk9kDO2w8.\
                 AxY8DCtDaGlsbGljb3RoZQ.MKOle7UQrG6nSxTLX6Mqwt0orbHvAKeWnDYvpIAeZ72deHxz3roJDXQyhxx0wKaM.\
                 fiK51VwhsxJ-siBMR-YFiA";
    assert_eq!(read(token.as_bytes(), &mut Vec::new()), None);
    assert!(!looks_like(token.as_bytes()));
}

#[test]
fn all_claims() {
    let claims = claims(
        r#"{"iss":"https://idp.example","sub":"ci-bot","aud":["a","b"],"azp":"runner","client_id":"other",
            "scope":"read  write","exp":1700000000.9,"jti":"j-1","amr":["pwd","otp"],
            "cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","x5t#S256":"x"},"nested":{"sub":"no"}}"#,
    )
    .unwrap();
    assert_eq!(
        claims,
        Claims {
            issuer: text("https://idp.example"),
            subject: text("ci-bot"),
            audience: vec!["a".into(), "b".into()],
            client: text("runner"),
            scope: text("read write"),
            expires: Some(1_700_000_000),
            token_id: text("j-1"),
            methods: vec!["pwd".into(), "otp".into()],
            confirmation: Some(Confirmation::Key(
                "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I".into()
            )),
        }
    );
    assert_eq!(
        identity(&claims).as_deref(),
        Some("jwt:iss=https://idp.example,sub=ci-bot")
    );
}

#[test]
fn forms_of_claims() {
    let of = |payload: &str| claims(payload).unwrap();
    assert_eq!(of(r#"{"aud":"one"}"#).audience, ["one".into()]);
    assert_eq!(of(r#"{"scp":["a","b"]}"#).scope, text("a b"));
    assert_eq!(of(r#"{"client_id":"c"}"#).client, text("c"));
    let both = of(r#"{"cnf":{"x5t#S256":"t","jkt":"k"}}"#).confirmation;
    assert_eq!(both, Some(Confirmation::Key("k".into())));
    assert_eq!(
        of(r#"{"cnf":{"x5t#S256":"t"}}"#).confirmation,
        Some(Confirmation::Certificate("t".into()))
    );
    assert_eq!(of(r#"{"sub":17}"#).subject, text("17"));
    assert_eq!(of(r#"{"sub":"a","sub":"b"}"#).subject, text("b"));
    assert_eq!(of(r#"{"sub":"\u0061\n"}"#).subject, text("a\n"));
    assert_eq!(of(r#"{"exp":1e300}"#).expires, Some(i64::MAX));
    assert_eq!(of(r#"{"exp":-5}"#).expires, Some(-5));
    assert_eq!(
        of(r#"{"exp":18446744073709551615}"#).expires,
        Some(i64::MAX)
    );
    assert_eq!(of(r#"{"exp":"12"}"#).expires, Some(12));
    // Of another type than they should be: not there.
    for odd in [
        "null",
        "true",
        "1.5",
        "{}",
        "[]",
        "[[1]]",
        r#"{"a":{"b":[]}}"#,
        "[null,{}]",
        "\"\"",
    ] {
        let payload = format!(
            r#"{{"iss":{odd},"sub":{odd},"aud":{odd},"azp":{odd},"scope":{odd},"jti":{odd},"amr":{odd},"cnf":{odd}}}"#
        );
        assert_eq!(of(&payload), Claims::default(), "{payload}");
    }
}

#[test]
fn identities() {
    let of = |payload| identity(&claims(payload).unwrap());
    assert_eq!(
        of(r#"{"iss":"i","client_id":"c"}"#).as_deref(),
        Some("jwt:iss=i,client=c")
    );
    assert_eq!(of(r#"{"sub":"s"}"#).as_deref(), Some("jwt:sub=s"));
    assert_eq!(of("{}"), None);
    // One value cannot pass for two.
    assert_eq!(
        of(r#"{"iss":"i,sub=admin","sub":"100%"}"#).as_deref(),
        Some("jwt:iss=i%2Csub=admin,sub=100%25")
    );
}

#[test]
fn bounds() {
    let fits = "x".repeat(MAX_CLAIM);
    let long = "x".repeat(MAX_CLAIM + 1);
    let of = |payload: String| claims(&payload).unwrap();
    assert_eq!(of(format!(r#"{{"sub":"{fits}"}}"#)).subject, text(&fits));
    // Cut short it could be somebody else's name.
    assert_eq!(of(format!(r#"{{"sub":"{long}"}}"#)).subject, None);
    let scopes = vec!["scope"; 100].join(" ");
    assert!(
        of(format!(r#"{{"scope":"{scopes}"}}"#))
            .scope
            .unwrap()
            .len()
            <= MAX_CLAIM
    );
    let list = vec!["\"a\""; 1000].join(",");
    assert_eq!(
        of(format!(r#"{{"aud":[{list}]}}"#)).audience.len(),
        MAX_LIST
    );
    // Too long to be read, but a JWT.
    assert_eq!(
        of(format!(r#"{{"sub":"s","x":"{}"}}"#, "x".repeat(MAX_PART))),
        Claims::default()
    );
}

#[test]
fn hostile() {
    let deep = format!("{}{}", r#"{"sub":"#, "[".repeat(7000));
    for (header, payload) in [
        ("{}", "{}"),
        (r#"{"alg":1.5}"#, "{}"),
        (r#"["alg"]"#, "{}"),
        ("alg", "{}"),
        (r#"{"alg":"none"}"#, "[]"),
        (r#"{"alg":"none"}"#, "null"),
        (r#"{"alg":"none"}"#, ""),
        (r#"{"alg":"none"}"#, r#"{"sub":"a"} x"#),
        (r#"{"alg":"none"}"#, r#"{"sub":"#),
        (r#"{"alg":"none"}"#, "{\"sub\":\"\u{0}\"}"),
        (r#"{"alg":"none"}"#, &deep),
    ] {
        let token = token(header, payload.as_bytes());
        assert_eq!(
            read(token.as_bytes(), &mut Vec::new()),
            None,
            "{header} {payload:.40}"
        );
    }
    let token = token(r#"{"alg":"none"}"#, b"{\"sub\":\"\xff\xfe\"}");
    assert_eq!(read(token.as_bytes(), &mut Vec::new()), None);
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJ.eyJ.",
        "=.=.=",
        "ey!.ey!.x",
        "eyJhbGciOiJub25lIn0.e30",
    ] {
        assert_eq!(read(text.as_bytes(), &mut Vec::new()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes(token in any::<Vec<u8>>(), header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let mut scratch = Vec::new();
        let _ = read(&token, &mut scratch);
        let parts =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&payload));
        let _ = read(parts.as_bytes(), &mut scratch);
        let sound = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"x"}"#), URL_SAFE_NO_PAD.encode(payload));
        let _ = read(sound.as_bytes(), &mut scratch);
        prop_assert!(scratch.is_empty());
    }

    #[test]
    fn any_json_like(payload in r#"\{("(iss|sub|aud|exp|cnf|scope)":("[a-z\\u0-9]{0,9}"|[0-9.eE-]{1,9}|[\[\]{}",:]{0,9}),?){0,5}\}"#) {
        let token = token(r#"{"alg":"x"}"#, payload.as_bytes());
        if let Some(claims) = read(token.as_bytes(), &mut Vec::new()) {
            let texts = [&claims.issuer, &claims.subject, &claims.scope];
            prop_assert!(texts.into_iter().flatten().all(|text| text.len() <= MAX_CLAIM));
        }
    }
}
