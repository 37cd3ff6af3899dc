//! What holds for any request.

use proptest::prelude::*;

use super::*;

/// Everything that leaves the recogniser, as text.
fn shown(out: &Recognised) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n{}\n{:?}",
        out.path, out.route, out.host, out.method, out.found
    );
    for found in &out.found {
        text.push_str(&found.credential.default_identity);
    }
    text
}

/// Longer than any public beginning, and of one piece.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{20,60}",
        "[a-f0-9]{32}",
        "(ghp_|glpat-|xoxb-|sk-ant-api03-)[A-Za-z0-9]{20,40}[0-9][a-z]",
        "[a-z0-9]{15,30}:[A-Za-z0-9_-]{20,40}",
    ]
}

proptest! {
    #[test]
    fn any_request(
        method in "\\PC{0,40}",
        target in any::<Vec<u8>>(),
        names in prop::collection::vec(
            prop_oneof!["Authorization", "Cookie", "Host", "X-Api-Key", "[!-~]{0,70}"], 0..8),
        values in prop::collection::vec(
            prop_oneof![
                any::<Vec<u8>>(),
                "(Basic|Digest|Bearer|AWS4-HMAC-SHA256|OAuth|x) [ -~]{0,60}".prop_map(String::into_bytes),
            ], 8),
    ) {
        let headers: Vec<_> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| Header { name, value })
            .collect();
        let request = Request { method: &method, target: &target, headers };
        let mut recogniser = recogniser();
        let (mut one, mut two) = (Recognised::new(), Recognised::new());
        recogniser.recognise(&request.head(), &mut one);
        recogniser.recognise(&request.head(), &mut two);
        prop_assert_eq!(shown(&one), shown(&two));
        prop_assert!(one.path.len() <= 2048 && one.host.len() <= 255 && one.method.len() <= 32);
    }

    #[test]
    fn any_target(target in "(/|http://)?([a-z]{0,5}|[%;:@?#&=/.]|%2[Ff]|%3[Aa]|services|T1|B1|bot|token){0,24}") {
        let out = recognise(&target, &[]);
        prop_assert!(out.path.len() <= 2048);
    }

    #[test]
    fn planted_secrets_stay_inside(secret in secret()) {
        // Percent-encoded at random places too.
        let encoded: String = secret
            .bytes()
            .enumerate()
            .map(|(i, b)| if i % 5 == 2 { format!("%{b:02x}") } else { char::from(b).to_string() })
            .collect();
        let bearer = format!("Bearer {secret}");
        let basic = format!("Basic {}", STANDARD.encode(format!("alice:{secret}")));
        let lone = format!("Basic {}", STANDARD.encode(format!("{secret}:")));
        let other = format!("Custom {secret}");
        let token = format!("Token token=\"{secret}\"");
        let signed = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"x"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"sub":"s"}"#), secret.replace(':', "-"));
        let jwt = format!("Bearer {signed}");
        let cookie = format!("session={secret}");
        let fields = [
            ("Authorization", &bearer), ("Authorization", &basic), ("Authorization", &lone),
            ("Authorization", &other), ("Authorization", &token), ("Authorization", &jwt),
            ("X-Api-Key", &secret), ("Cookie", &cookie),
        ];
        let mut outs: Vec<_> =
            fields.iter().map(|(name, value)| recognise("/v1/x", &[(*name, value)])).collect();
        for target in [
            format!("/v1/x?api_key={secret}"),
            format!("/v1/x?other={secret}"),
            format!("/v1/x?api_key={encoded}"),
            format!("/v1/x#{secret}"),
            format!("/services/T1/B1/{secret}"),
            format!("/services/T1/B1/{encoded}"),
            format!("http://h/services/T1/B1/{secret}/"),
            format!("/v1/x;jsessionid={secret}/y"),
            format!("/v1/{signed}/y"),
            format!("http://alice:{secret}@h.example/x"),
            format!("http://{secret}@h.example/x"),
            format!("/proxy/http://alice:{secret}@h.example/x"),
            format!("alice:{secret}@h.example/x"),
            format!("/bot1234567:{}/getMe", secret.replace(':', "")),
        ] {
            outs.push(recognise(&target, &[]));
        }
        let bare = secret.replace(':', "");
        let signature = secret.replace(':', "-");
        for out in &outs {
            let shown = shown(out);
            for form in [&secret, &encoded, &bare, &signature] {
                prop_assert!(!shown.contains(&**form), "{form} in {shown}");
            }
        }
        for known in [4, 6, 7, 8] {
            prop_assert_eq!(outs[known].found.len(), 1);
        }
    }

    #[test]
    fn known_beginnings_are_taken_out_of_any_path(
        secret in "(ghp_|glpat-|xoxb-|sk-ant-api03-|AKIA)[A-Za-z0-9]{20,30}[0-9][a-z]",
        before in "(/[a-z]{0,6}){0,4}", after in "(/[a-z]{0,6}){0,4}",
    ) {
        let out = recognise(&format!("{before}/{secret}{after}"), &[]);
        prop_assert!(!out.path.contains(&secret) && !out.route.contains(&secret));
        prop_assert_eq!(out.path, format!("{before}/{{secret}}{after}"));
    }

    #[test]
    fn the_same_secret_has_the_same_fingerprint_everywhere(secret in "[A-Za-z0-9_-]{12,300}") {
        let print = recogniser().fingerprint(secret.as_bytes());
        let bearer = format!("Bearer {secret}");
        let cookie = format!("session={secret}");
        let key = format!("/services/T1/B1/{secret}");
        let query = format!("/x?api_key={secret}");
        for out in [
            recognise("/x", &[("Authorization", &bearer)]),
            recognise("/x", &[("Authorization", &secret)]),
            recognise("/x", &[("X-Api-Key", &secret)]),
            recognise("/x", &[("Cookie", &cookie)]),
            recognise(&query, &[]),
            recognise(&key, &[]),
        ] {
            prop_assert!(out.found.iter().any(|found| found.credential.fingerprint == print));
        }
    }
}
