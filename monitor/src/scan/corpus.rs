//! True and false examples for every rule. The tokens are made here, from parts and with the right checksums, so
//! that none stands in the source.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::checksum::{base62, crc32};
use super::gitleaks::ForeignRules;
use super::{Buffer, Scanner};

/// A run of an alphabet that looks random and is the same each time.
pub(super) fn random(alphabet: &str, len: usize, seed: u64) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            // xorshift64* (Marsaglia).
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let number = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
            letters[number as usize % letters.len()]
        })
        .collect()
}

pub(super) const ALNUM: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const URL_SAFE: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token with GitHub's checksum.
pub(super) fn summed(prefix: &str, seed: u64) -> String {
    let body = random(ALNUM, 30, seed);
    let sum = base62(crc32(body.as_bytes()));
    format!("{prefix}{body}{}", String::from_utf8_lossy(&sum))
}

pub(super) fn jwt(seed: u64) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"),
        part("{\"iss\":\"https://idp.internal\",\"sub\":\"ci-bot\"}"),
        random(URL_SAFE, 43, seed)
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let dashes = "-----";
    format!(
        "{dashes}BEGIN {label}{dashes}\n{}\n{dashes}END {label}{dashes}",
        lines.join("\n")
    )
}

fn der(len: u8) -> Vec<u8> {
    let mut der = vec![0x30, 0x81, len, 0x02, 0x01, 0x00];
    der.extend(random(ALNUM, usize::from(len) - 3, 5).bytes());
    der
}

fn openssh(cipher: &str) -> Vec<u8> {
    let mut key = b"openssh-key-v1\0".to_vec();
    for text in [cipher, cipher] {
        key.extend_from_slice(&(text.len() as u32).to_be_bytes());
        key.extend_from_slice(text.as_bytes());
    }
    key.extend(random(ALNUM, 200, 8).bytes());
    key
}

/// Rule, file, text, and the secret as it should be found.
pub(super) struct Example {
    pub(super) rule: &'static str,
    pub(super) file: &'static str,
    pub(super) text: String,
    pub(super) secret: String,
}

fn yes(
    rule: &'static str,
    file: &'static str,
    before: &str,
    secret: &str,
    behind: &str,
) -> Example {
    Example {
        rule,
        file,
        text: format!("{before}{secret}{behind}"),
        secret: secret.to_owned(),
    }
}

/// What must be found.
pub(super) fn true_examples() -> Vec<Example> {
    let key = |seed| random(ALNUM, 32, seed);
    let password = format!("hV7!{}", random(ALNUM, 8, 99));
    let pair = STANDARD.encode(format!("deploy:{password}"));
    let aws_id = format!("AKIA{}", random(BASE32, 16, 3));
    let aws_secret = random(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/",
        40,
        4,
    );
    let service = pem("PRIVATE KEY", &der(200)).replace('\n', "\\n");
    let half = random(URL_SAFE, 58, 41);
    let mut macaroon = vec![2, 1, 8];
    macaroon.extend_from_slice(b"pypi.org");
    macaroon.extend_from_slice(&[2, 36]);
    macaroon.extend(random(ALNUM, 80, 12).bytes());
    let pypi = format!("pypi-{}", URL_SAFE_NO_PAD.encode(&macaroon));
    let azure_key = STANDARD.encode(random(ALNUM, 64, 13));
    let azure_secret = format!("aB{}8Q~{}", random(ALNUM, 1, 14), random(ALNUM, 34, 15));
    let account = format!(
        "{{\"type\": \"service_account\",\n \"private_key\": \"{service}\\n\",\n \"client_email\": \"x@y.iam.gserviceaccount.com\"}}"
    );
    let pem_key = pem("RSA PRIVATE KEY", &der(220));
    let ssh_key = pem("OPENSSH PRIVATE KEY", &openssh("none"));
    let trimmed = |pem: &str| {
        pem.rsplit_once("-----END")
            .map(|(body, _)| body.to_owned())
            .unwrap()
    };
    let account_secret = trimmed(&service);
    let mut all = vec![
        yes(
            "github-token",
            "a.py",
            "TOKEN = \"",
            &summed("ghp_", 1),
            "\"\n",
        ),
        yes("github-token", "a.yml", "token: ", &summed("ghs_", 2), "\n"),
        yes(
            "github-token",
            "b.sh",
            "git clone https://x:",
            &format!(
                "github_pat_{}_{}",
                random(ALNUM, 22, 6),
                random(ALNUM, 59, 7)
            ),
            "@github.com/x\n",
        ),
        yes(
            "npm-token",
            ".npmrc",
            "//registry.npmjs.org/:_authToken=",
            &summed("npm_", 8),
            "\n",
        ),
        yes("gitlab-token", "c.rb", "t = 'glp", "", ""),
        yes(
            "slack-token",
            "d.js",
            "const t = \"",
            &format!(
                "xoxb-{}-{}-{}",
                random("0123456789", 12, 9),
                random("0123456789", 12, 10),
                random(ALNUM, 24, 11)
            ),
            "\";\n",
        ),
        yes(
            "slack-webhook",
            "e.go",
            "url := \"https://",
            &format!(
                "hooks.slack.com/services/T{}/B{}/{}",
                random(BASE32, 8, 12),
                random(BASE32, 8, 13),
                random(ALNUM, 24, 14)
            ),
            "\"\n",
        ),
        yes(
            "stripe-key",
            "f.ts",
            "stripe('",
            &format!("sk_li{}ve_{}", "", random(ALNUM, 24, 15)),
            "')\n",
        ),
        yes(
            "aws-access-key",
            "credentials",
            "[default]\naws_access_key_id = ",
            &aws_id,
            &format!("\naws_secret_access_key = {aws_secret}\n"),
        ),
        yes(
            "google-api-key",
            "g.html",
            "key=",
            &format!("AIza{}", random(URL_SAFE, 35, 16)),
            "&x\n",
        ),
        yes(
            "google-oauth-secret",
            "h.json",
            "\"client_secret\":\"",
            &format!("GOCSPX-{}", random(URL_SAFE, 28, 17)),
            "\"\n",
        ),
        yes("pypi-token", ".pypirc", "password = ", &pypi, "\n"),
        yes(
            "azure-storage-key",
            "i.cs",
            "\"AccountName=x;AccountKey=",
            &azure_key,
            ";EndpointSuffix=core.windows.net\"\n",
        ),
        yes(
            "azure-client-secret",
            "j.tf",
            "value = \"",
            &azure_secret,
            "\"\n",
        ),
        yes(
            "anthropic-key",
            "k.py",
            "key=\"",
            &format!("sk-ant-api03-{}AA", random(URL_SAFE, 93, 18)),
            "\"\n",
        ),
        yes(
            "openai-key",
            "l.py",
            "key=\"",
            &format!("sk-proj-{half}T3BlbkFJ{}", random(URL_SAFE, 58, 42)),
            "\"\n",
        ),
        yes(
            "sendgrid-key",
            "m.env",
            "SENDGRID=",
            &format!(
                "SG.{}.{}",
                random(URL_SAFE, 22, 19),
                random(URL_SAFE, 43, 20)
            ),
            "\n",
        ),
        yes(
            "huggingface-token",
            "n.py",
            "login('",
            &format!("hf_{}", random(LETTERS, 34, 21)),
            "')\n",
        ),
        yes(
            "digitalocean-token",
            "o.tf",
            "token = \"",
            &format!("dop_v1_{}", random(HEX, 64, 22)),
            "\"\n",
        ),
        yes(
            "shopify-token",
            "p.rb",
            "x = '",
            &format!("shpat_{}", random(HEX, 32, 23)),
            "'\n",
        ),
        yes(
            "vault-token",
            "q.sh",
            "export VAULT_TOKEN=",
            &format!("hvs.{}", random(ALNUM, 24, 24)),
            "\n",
        ),
        yes("jwt", "r.js", "fetch(u, {t: '", &jwt(25), "'})\n"),
        yes("jwt", "r.md", "It is ", &jwt(26), ".\n"),
        yes(
            "netrc",
            ".netrc",
            "machine api.internal login deploy password ",
            &password,
            "\n",
        ),
        yes(
            "pgpass",
            ".pgpass",
            "db.internal:5432:pay:app:",
            &password,
            "\n",
        ),
        yes("npmrc", ".npmrc", "//npm.internal/:_auth=", &pair, "\n"),
        yes(
            "docker-config",
            "config.json",
            "{\"auths\":{\"r.internal\":{\"auth\":\"",
            &pair,
            "\"}}}\n",
        ),
        yes(
            "authorization-header",
            "s.py",
            "headers={\"Authorization\": \"Bearer ",
            &key(27),
            "\"}\n",
        ),
        yes(
            "authorization-header",
            "t.sh",
            "curl -H 'Authorization: Basic ",
            &pair,
            "' https://api.internal/\n",
        ),
        yes(
            "url-userinfo",
            "u.yml",
            "url: postgres://",
            &format!("app:{}", random(ALNUM, 14, 28)),
            "@db.internal/pay\n",
        ),
        yes("password", "v.py", "db_password = '", &password, "'\n"),
        yes("password", ".env", "DB_PASSWORD=", &password, "\n"),
        yes(
            "password",
            "v.rs",
            "const PASSWORD: &'static str = \"",
            &password,
            "\";\n",
        ),
        yes("api-key", "w.java", "String apiKey = \"", &key(29), "\";\n"),
        yes("api-key", "x.yaml", "  client_secret: ", &key(30), "\n"),
        yes(
            "api-key",
            "y.toml",
            "access_token = \"",
            &random(HEX, 40, 31),
            "\"\n",
        ),
    ];
    let glpat = format!("glpat-{}", random(URL_SAFE, 20, 32));
    all.retain(|example| !example.secret.is_empty());
    all.push(yes("gitlab-token", "c.rb", "t = '", &glpat, "'\n"));
    all.push(Example {
        rule: "gcp-service-account",
        file: "sa.json",
        secret: account_secret,
        text: account,
    });
    for (file, text) in [("id_rsa", pem_key), ("id_ed25519", ssh_key)] {
        all.push(Example {
            rule: "private-key",
            file,
            secret: trimmed(&text),
            text,
        });
    }
    all
}

/// What must not be found, with the rule that is tempted.
pub(super) fn false_examples() -> Vec<(&'static str, &'static str, String)> {
    let mut broken = summed("ghp_", 50);
    broken.replace_range(10..11, if &broken[10..11] == "a" { "b" } else { "a" });
    let aws_id = format!("AKIA{}", random(BASE32, 16, 3));
    let no_alg = format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode("{\"typ\":\"JWT\"}"),
        URL_SAFE_NO_PAD.encode("{\"sub\":\"x\"}"),
        random(URL_SAFE, 43, 51)
    );
    let pair = STANDARD.encode("user:password");
    vec![
        ("github-token", "a.py", format!("t = '{broken}'\n")),
        ("github-token", "a.py", format!("t = '{}x'\n", summed("ghp_", 52))),
        ("github-token", "a.py", format!("re = 'ghp_[A-Za-z0-9]{{36}}', 'x{}'\n", summed("ghp_", 53))),
        ("github-token", "a.md", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned()),
        ("npm-token", "a.md", format!("npm_{}\n", random(ALNUM, 36, 54))),
        ("npm-token", "a.sh", "npm_config_registry=https://registry.npmjs.org/\n".to_owned()),
        ("gitlab-token", "a.md", "glpat-xxxxxxxxxxxxxxxxxxxx\n".to_owned()),
        ("slack-token", "a.md", "xoxb-not-a-real-token-at-all-here\n".to_owned()),
        ("slack-webhook", "a.md", "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX\n".to_owned()),
        ("stripe-key", "a.md", "sk_test_short\n".to_owned()),
        ("aws-access-key", "a.md", format!("the key {aws_id} belongs to ci\n")),
        ("aws-access-key", "a.md", "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n".to_owned()),
        ("gcp-service-account", "a.json", "{\"type\": \"service_account\", \"private_key\": \"-----BEGIN PRIVATE KEY-----\\n...\", \"client_email\": \"\"}\n".to_owned()),
        ("google-api-key", "a.md", "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX\n".to_owned()),
        ("google-oauth-secret", "a.md", "GOCSPX-xxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned()),
        ("pypi-token", "a.md", format!("pypi-AgEI{}\n", random(ALNUM, 100, 55))),
        ("azure-storage-key", "a.md", "AccountKey=<your account key>;\n".to_owned()),
        ("azure-client-secret", "a.js", "var q = a8Q~b;\n".to_owned()),
        ("anthropic-key", "a.md", "sk-ant-api03-...\n".to_owned()),
        ("openai-key", "a.md", format!("sk-proj-{}\n", random(URL_SAFE, 100, 56))),
        ("sendgrid-key", "a.md", "msg.body.to\n".to_owned()),
        ("huggingface-token", "a.py", "hf_hub_download(repo_id='bert', filename='x')\n".to_owned()),
        ("digitalocean-token", "a.md", "dop_v1_0000000000000000000000000000000000000000000000000000000000000000\n".to_owned()),
        ("shopify-token", "a.md", "shpat_00000000000000000000000000000000\n".to_owned()),
        ("vault-token", "a.md", "hvs.xxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_owned()),
        ("jwt", "a.md", format!("{no_alg}\n")),
        ("jwt", "a.md", format!("{}\n", jwt(57).rsplit_once('.').unwrap().0)),
        ("private-key", "a.md", "-----BEGIN PRIVATE KEY-----\nMIIE...\n-----END PRIVATE KEY-----\n".to_owned()),
        ("private-key", "a.pem", pem("ENCRYPTED PRIVATE KEY", &der(200))),
        ("private-key", "b.pem", pem("PUBLIC KEY", &der(200))),
        ("private-key", "c.pem", pem("OPENSSH PRIVATE KEY", &openssh("aes256-ctr"))),
        ("private-key", "d.pem", pem("PRIVATE KEY", &random(ALNUM, 200, 58).into_bytes())),
        ("netrc", ".netrc", "machine api.internal login me\nmachine b.internal login you password ${PW}\n".to_owned()),
        ("pgpass", ".pgpass", "# host:port:db:user:hV7!something\nh:1:d:u:$PW\n".to_owned()),
        ("npmrc", ".npmrc", "//npm.internal/:_authToken=${NPM_TOKEN}\n".to_owned()),
        ("docker-config", "config.json", format!("{{\"auth\":\"{}\"}}\n", STANDARD.encode("u:pw"))),
        ("authorization-header", "a.py", "headers={\"Authorization\": f\"Bearer {token}\"}\n".to_owned()),
        ("authorization-header", "a.py", "headers={\"Authorization\": \"Bearer \" + token_value_of_config}\n".to_owned()),
        ("authorization-header", "a.md", "Authorization: Bearer <your-api-token-here>\n".to_owned()),
        ("authorization-header", "a.md", format!("Authorization: Basic {}\n", &pair[..4])),
        ("url-userinfo", "a.yml", "postgres://postgres:postgres@db.internal/x redis://u:${PW}@r.internal\n".to_owned()),
        ("url-userinfo", "a.yml", "amqp://guest:guest12@localhost:5672 https://user:password@db.internal\n".to_owned()),
        ("password", "a.py", "password = input('Password: ')\n".to_owned()),
        ("password", "a.js", "password: config.databasePassword1,\n".to_owned()),
        ("password", "a.js", "if (password == 'hV7!pq2Ls') {}\n".to_owned()),
        ("password", "a.html", "<label for=\"password\">Your password:</label>\n".to_owned()),
        ("password", "a.yml", "password: \"{{ vault.db_password }}\"\npassword_file: /run/secrets/db1\n".to_owned()),
        ("password", "a.yml", "password: changeme123!\n".to_owned()),
        ("api-key", "a.ts", "const apiKey: string = process.env.API_KEY1;\n".to_owned()),
        ("api-key", "a.ts", "const token = await getAccessToken1({ userId });\n".to_owned()),
        ("api-key", "a.yml", "token_type: Bearer1234567890abcdef\nsecret_name: prod-db-0a1b2c3d4e5f6a7b\n".to_owned()),
        ("api-key", "a.yml", "api_key: 123e4567-e89b-12d3-a456-426614174000\n".to_owned()),
        ("api-key", "a.py", "SECRET_KEY = \"your-secret-key-0a1b2c3d4e\"\n".to_owned()),
        ("api-key", "a.lock", "checksum = \"9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d659a2feaa0c55ad015\"\n".to_owned()),
    ]
}

fn found(scanner: &Scanner, file: &str, text: &[u8]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    scanner
        .scan(file.as_bytes(), text, &mut Buffer::default(), |hit| {
            all.push((
                scanner.id(hit.rule).to_owned(),
                String::from_utf8_lossy(hit.secret).into_owned(),
            ));
        })
        .unwrap();
    all
}

#[test]
#[allow(clippy::print_stdout, reason = "a table for people: --nocapture")]
fn precision_and_recall_are_whole_for_every_rule() {
    #[derive(Default)]
    struct Score {
        truths: u32,
        hits: u32,
        lies: u32,
        alarms: u32,
    }
    let scanner = Scanner::new(ForeignRules::default()).unwrap();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut wrong = Vec::new();
    for rule in scanner.rules() {
        scores.entry(scanner.id(rule).to_owned()).or_default();
    }
    for example in true_examples() {
        let score = scores.entry(example.rule.to_owned()).or_default();
        score.truths += 1;
        let found = found(&scanner, example.file, example.text.as_bytes());
        if found == [(example.rule.to_owned(), example.secret.clone())] {
            score.hits += 1;
        } else {
            wrong.push(format!(
                "{}: {:?} in {:?}",
                example.rule, found, example.text
            ));
        }
    }
    for (tempted, file, text) in false_examples() {
        let score = scores.entry(tempted.to_owned()).or_default();
        score.lies += 1;
        for (rule, secret) in found(&scanner, file, text.as_bytes()) {
            wrong.push(format!("{rule} was tempted by {text:?}: {secret}"));
            scores.entry(rule).or_default().alarms += 1;
        }
    }
    println!(
        "{:<24} {:>6} {:>6} {:>9} {:>6}",
        "rule", "true", "false", "precision", "recall"
    );
    for (rule, score) in &scores {
        let precision = f64::from(score.hits) / f64::from((score.hits + score.alarms).max(1));
        let recall = f64::from(score.hits) / f64::from(score.truths.max(1));
        println!(
            "{rule:<24} {:>6} {:>6} {precision:>9.2} {recall:>6.2}",
            score.truths, score.lies
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (rule, score) in &scores {
        assert!(score.truths > 0, "no true example for {rule}");
        assert_eq!(score.hits, score.truths, "recall of {rule}");
        assert_eq!(score.alarms, 0, "precision of {rule}");
    }
}
