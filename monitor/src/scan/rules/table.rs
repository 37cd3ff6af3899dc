//! The table.

use super::{Spot, Text, assignment, http, issued, pem, stores};

/// Looks around a keyword: the piece, and where the keyword begins and ends.
pub(in crate::scan) type Matcher = fn(&Text<'_>, usize, usize) -> Option<Spot>;

/// A rule.
pub(in crate::scan) struct RuleInfo {
    /// Stable id.
    pub(in crate::scan) id: &'static str,
    /// What it finds.
    pub(in crate::scan) text: &'static str,
    /// Without one of these nothing is looked at. Lower case; met in any case. None: looked at line by line,
    /// in files that the look knows by name.
    pub(in crate::scan) keywords: &'static [&'static str],
    /// The look.
    pub(in crate::scan) look: Matcher,
}

macro_rules! rule {
    ($id:literal, $text:literal, [$($keyword:literal),* $(,)?], $look:path) => {
        RuleInfo { id: $id, text: $text, keywords: &[$($keyword),*], look: $look }
    };
}

/// All rules, the most certain first: of two that found the same, the earlier one tells.
pub(in crate::scan) const ALL: &[RuleInfo] = &[
    rule!(
        "github-token",
        "A token of GitHub",
        ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        issued::github
    ),
    rule!("npm-token", "A token of npm", ["npm_"], issued::npm),
    rule!(
        "gitlab-token",
        "A token of GitLab",
        [
            "glpat-", "gldt-", "glrt-", "glptt-", "glsoat-", "glcbt-", "glft-", "glagent-"
        ],
        issued::gitlab
    ),
    rule!(
        "slack-token",
        "A token of Slack",
        [
            "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xapp-"
        ],
        issued::slack
    ),
    rule!(
        "slack-webhook",
        "A webhook of Slack, which is its own credential",
        ["hooks.slack.com/"],
        issued::slack_webhook
    ),
    rule!(
        "stripe-key",
        "A secret key of Stripe",
        ["sk_live_", "rk_live_", "sk_test_", "rk_test_"],
        issued::stripe
    ),
    rule!(
        "aws-access-key",
        "An access key of AWS with its secret",
        ["akia", "asia"],
        issued::aws
    ),
    rule!(
        "gcp-service-account",
        "The key of a Google service account",
        ["\"service_account\""],
        stores::service_account
    ),
    rule!(
        "google-api-key",
        "An API key of Google",
        ["aiza"],
        issued::google_key
    ),
    rule!(
        "google-oauth-secret",
        "A client secret of Google",
        ["gocspx-"],
        issued::google_secret
    ),
    rule!("pypi-token", "A token of PyPI", ["pypi-agei"], issued::pypi),
    rule!(
        "azure-storage-key",
        "The key of an Azure storage account",
        ["accountkey="],
        issued::azure_storage
    ),
    rule!(
        "azure-client-secret",
        "A client secret of Microsoft Entra",
        ["8q~", "7q~"],
        issued::azure_client
    ),
    rule!(
        "anthropic-key",
        "An API key of Anthropic",
        ["sk-ant-"],
        issued::anthropic
    ),
    rule!(
        "openai-key",
        "An API key of OpenAI",
        ["sk-proj-", "sk-svcacct-", "sk-admin-"],
        issued::openai
    ),
    rule!(
        "sendgrid-key",
        "An API key of SendGrid",
        ["sg."],
        issued::sendgrid
    ),
    rule!(
        "huggingface-token",
        "A token of Hugging Face",
        ["hf_"],
        issued::huggingface
    ),
    rule!(
        "digitalocean-token",
        "A token of DigitalOcean",
        ["dop_v1_", "doo_v1_", "dor_v1_"],
        issued::digitalocean
    ),
    rule!(
        "shopify-token",
        "A token of Shopify",
        ["shpat_", "shpca_", "shppa_", "shpss_"],
        issued::shopify
    ),
    rule!(
        "vault-token",
        "A token of HashiCorp Vault",
        ["hvs.", "hvb."],
        issued::vault
    ),
    rule!("jwt", "A JSON Web Token", ["eyj"], issued::jwt),
    rule!(
        "private-key",
        "A private key without a passphrase",
        ["-----begin "],
        pem::look
    ),
    rule!(
        "npmrc",
        "A credential of an npm registry",
        ["_authtoken", "_auth", "_password"],
        stores::npmrc
    ),
    rule!("netrc", "A login of .netrc", ["machine"], stores::netrc),
    // Without a keyword: every line of a file of that name is looked at.
    rule!("pgpass", "A password of .pgpass", [], stores::pgpass),
    rule!(
        "docker-config",
        "A login of a container registry",
        ["\"auth\""],
        stores::docker
    ),
    rule!(
        "authorization-header",
        "An Authorization header with its credential",
        ["authorization"],
        http::authorization
    ),
    rule!(
        "url-userinfo",
        "User and password in a URL",
        ["://"],
        http::userinfo
    ),
    rule!(
        "password",
        "A password in an assignment",
        ["password", "passwd", "passphrase", "pwd"],
        assignment::password
    ),
    rule!(
        "api-key",
        "A key, token or secret in an assignment",
        [
            "api_key",
            "apikey",
            "api-key",
            "secret",
            "token",
            "access_key",
            "accesskey",
            "access-key",
            "auth_key",
            "authkey",
            "signing_key",
            "signingkey",
            "encryption_key",
            "encryptionkey",
            "credential"
        ],
        assignment::key
    ),
];
