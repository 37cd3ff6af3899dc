//! Arguments of the commands that read recorded accesses.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `replay`
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Files in the order of their time, - for standard input; gzip is recognised
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What the files are
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: RecordedFormat,
    /// TLS secrets for captures, as programs write them to SSLKEYLOGFILE; may be repeated
    #[arg(long, value_name = "FILE")]
    pub keylog: Vec<PathBuf>,
    /// Judge by this policy (a file, or a directory of *.toml), not by the configured one
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PathBuf>,
}

/// `eval`
#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// Accesses as `bailiwick tail -o json` writes them, with "label" and "attack" where they are part of one; -
    /// for standard input
    #[arg(value_name = "LABELLED", required = true)]
    pub files: Vec<PathBuf>,
    /// Judge by this policy (a file, or a directory of *.toml), not by the configured one
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<PathBuf>,
    /// The moment that parts the recording into before and after (RFC 3339) [default: its middle]
    #[arg(long, value_name = "TIME")]
    pub split: Option<String>,
}

/// Formats of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordedFormat {
    /// Found out for each file.
    Auto,
    /// What `bailiwick tail -o json` writes.
    Accesses,
    /// AWS CloudTrail.
    Cloudtrail,
    /// The common or combined log of nginx and Apache.
    Combined,
    /// Envoy's access log as JSON.
    Envoy,
    /// Captured packets: pcap or pcapng.
    Pcap,
}
