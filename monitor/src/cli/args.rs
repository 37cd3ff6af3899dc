//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::recorded_args::{EvalArgs, ReplayArgs};
use crate::config::LogLevel;
use crate::judge::FindingKind;
use crate::serve::filter::{Field, Term};

const FILTERS: &str = "Filters: flags of one kind are alternatives, different kinds must all match, and none of \
the --not-… may. Names are patterns: * stands for any run of characters, ? for one. --where takes any condition, \
as in --where 'status >= 500 and client.unit == \"ci.service\"' (docs/filter.md); all must match.";

const EXIT_CODES: &str = "Exit codes: 0 success, 1 something was found, 64 usage, 65 not there, \
69 unavailable (no daemon, or the kernel lacks something), 70 a bug, 77 no permission, 78 configuration.";

const DRILL: &str = "The drill starts a monitor of its own, with a configuration, policy and state of its own, and \
attacks it from processes of its own, in a network namespace; it needs root and leaves nothing behind. Another \
monitor on this host sees the requests too: their hosts end in drill.example. Exit 1: something was missed, or \
a benign twin raised an alert.";

/// Watches every API credential used on this host, and says so when one leaves its bailiwick
#[derive(Clone, Debug, Parser)]
#[command(name = "bailiwick", version, after_help = EXIT_CODES, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// Configuration file [default: /etc/bailiwick/bailiwick.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket of the daemon [default: control.sock in the configured runtime_dir]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// When to use colour; never when NO_COLOR is set, unless asked for here
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Form of the output: lines for people, one JSON object a line, SARIF (of `check` and `scan`), or a page
    /// of HTML (of `report`)
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        default_value = "compact"
    )]
    pub output: Form,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    Compact,
    /// NDJSON.
    Json,
    /// SARIF 2.1.0, one document; not of every command.
    Sarif,
    /// One page of HTML that needs nothing else; of `report`.
    Html,
}

/// Commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the monitor
    Run(RunArgs),
    /// Show accesses: the last ones, then new ones as they come
    Tail(Box<TailArgs>),
    /// Show alerts
    Alerts(AlertsArgs),
    /// Show deliveries that were given up, or queue them again
    DeadLetters(DeadLettersArgs),
    /// Show the identities that were seen
    Identities(IdentitiesArgs),
    /// Show how the traffic of each workload was understood, what was not and why, and what is probed
    Coverage,
    /// Show what the daemon does, sees and loses
    Status,
    /// Check configuration and policy, and lint it: exit 0 good, 1 warnings or findings, 78 errors
    Check(CheckArgs),
    /// Show what this kernel and these privileges allow, and what to do
    Doctor(DoctorArgs),
    /// Send a test to one webhook, or to each
    SendTest(SendTestArgs),
    /// Print a completion script
    Completions(CompletionsArgs),
    /// Print a manual page
    Man(ManArgs),
    /// Attack this host's monitor for real, with scratch credentials, and show what it saw
    #[command(after_help = DRILL)]
    Drill(DrillArgs),
    /// A process of the drill
    #[command(hide = true)]
    DrillPeer(DrillPeerArgs),
    /// Show what containment did, or undo it (root only)
    Contain(ContainArgs),
    /// Report what is granted and what is used of it, how that is separated, and a score
    Report(ReportArgs),
    /// Tell one alert as a story: what happened, who it was, what it means, what to do
    Explain(ExplainArgs),
    /// Write the duties as a role lock for a gateway
    Export(ExportArgs),
    /// Propose a policy that grants what was seen, or compare what was seen with a policy
    Learn(LearnArgs),
    /// Find hard-coded credentials, and say which are in use: exit 0 none, 1 found
    Scan(ScanArgs),
    /// Say that an alert is known: it is told again only when it gets worse, and what was unusual is usual
    Ack(AckArgs),
    /// Do not tell of an alert for a while, unless it gets worse
    Mute(MuteArgs),
    /// Take acknowledgement and muting of an alert back
    Unmark(UnmarkArgs),
    /// Show it all live, in a terminal: health, alerts, accesses, identities, coverage; ? there explains the keys
    Top,
    /// Judge recorded accesses, or another program's log: exit 0 no alert, 1 alerts
    Replay(ReplayArgs),
    /// Measure what is found in labelled accesses, beside two simple rules
    Eval(EvalArgs),
    /// Print the address of the live view, for a browser (it holds a secret: who has it sees what you see)
    Page,
    /// Read the audit log, and check that nobody changed it: exit 0 whole, 1 not
    Audit(AuditArgs),
}

/// `audit`
#[derive(Clone, Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: AuditAction,
}

/// What `audit` does. Without a directory, it is the configured log; no daemon needs to run.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditAction {
    /// Check every entry against the signed checkpoint: finds edits, deletions, truncation, and with --since a rollback
    Verify {
        /// The log
        #[arg(value_name = "DIR", conflicts_with = "proof")]
        dir: Option<PathBuf>,
        /// Its public key, as `bailiwick audit key` prints it, or a file with that [default: the daemon's own where it
        /// may be read, else what the log says of itself]
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// A checkpoint that was kept: the note itself, the body of a webhook's message, or its Bailiwick-Checkpoint
        #[arg(long, value_name = "FILE", conflicts_with = "proof")]
        since: Vec<PathBuf>,
        /// Check what `audit prove` wrote instead; nothing else is needed for it but the key
        #[arg(long, value_name = "FILE")]
        proof: Option<PathBuf>,
    },
    /// Print a proof that an entry is in the log
    Prove {
        /// An entry's index, or the id of an alert: its newest entry
        id: String,
        /// The log
        dir: Option<PathBuf>,
    },
    /// Show the last entries, then new ones as they come
    Tail {
        /// The log
        dir: Option<PathBuf>,
        /// How many of the last ones
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        last: u64,
        /// Go on with new ones
        #[arg(short, long)]
        follow: bool,
    },
    /// Print the public key
    Key {
        /// The log
        dir: Option<PathBuf>,
    },
    /// Print the newest checkpoint, to be kept where this host cannot change it
    Checkpoint {
        /// The log
        dir: Option<PathBuf>,
    },
}

/// `ack`
#[derive(Clone, Debug, Args)]
pub struct AckArgs {
    /// The alert's id, or the beginning of it
    pub id: String,
    /// Why: one line, kept with the alert
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// `mute`
#[derive(Clone, Debug, Args)]
pub struct MuteArgs {
    /// The alert's id, or the beginning of it
    pub id: String,
    /// How long (30m, 2h, 3d), or until when (RFC 3339); at most 90 days
    #[arg(long, value_name = "TIME")]
    pub until: String,
}

/// `unmark`
#[derive(Clone, Debug, Args)]
pub struct UnmarkArgs {
    /// The alert's id, or the beginning of it
    pub id: String,
}

/// `learn`
#[derive(Clone, Debug, Args)]
pub struct LearnArgs {
    /// Files that `bailiwick tail -o json` wrote, - for standard input; without any, the running daemon is
    /// asked for what it saw
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the policy into this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Do not propose: say what this policy (a file, or a directory of *.toml) grants that was never used, and
    /// what was used that it does not grant; exit 1 when there is any
    #[arg(long, value_name = "POLICY", conflicts_with = "out")]
    pub diff: Option<PathBuf>,
}

/// `report`
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// How many days to look back [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3660),
          conflicts_with = "since")]
    pub days: Option<u32>,
    /// Since when to look back: a date (2026-11-01, UTC) or a time (2026-11-01T08:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Write it into this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `explain`
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The alert's id, or the beginning of it
    pub id: String,
}

/// `doctor`
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Tell of each kernel program how much work the verifier had
    #[arg(long, hide = true)]
    pub programs: bool,
}

/// `run`
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Least level logged, instead of the configured one
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
}

/// `tail`
#[derive(Clone, Debug, Args)]
#[command(after_help = FILTERS)]
pub struct TailArgs {
    /// How many accesses of the past to show first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub last: usize,
    /// End after the past ones
    #[arg(long)]
    pub no_follow: bool,
    /// Which.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Filters of `tail`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Identity by name, or by the beginning of its fingerprint (bw1:…)
    #[arg(long, value_name = "NAME")]
    identity: Vec<String>,
    /// Not this identity
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    not_identity: Vec<String>,
    /// Executable, unit, container or user of either side; exe:, unit:, container: or user: in front
    /// looks at that alone
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Not this workload
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    not_workload: Vec<String>,
    /// Host asked for, with or without its port
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Not this host
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    not_host: Vec<String>,
    /// Method
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Not this method
    #[arg(long, value_name = "METHOD", hide_short_help = true)]
    not_method: Vec<String>,
    /// Status: 404, 4xx, 5+ (500 and above), 400-404, or none
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Not this status
    #[arg(long, value_name = "STATUS", hide_short_help = true)]
    not_status: Vec<String>,
    /// Only accesses with a finding of this kind; without a kind, with any finding
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "any",
          value_parser = finding_kinds())]
    finding: Vec<String>,
    /// Not with a finding of this kind; without a kind, with none
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "any",
          value_parser = finding_kinds(), hide_short_help = true)]
    not_finding: Vec<String>,
    /// Environment, or none
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Not this environment
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    not_env: Vec<String>,
    /// Only accesses for which this holds (docs/filter.md)
    #[arg(long = "where", value_name = "EXPR")]
    pub only: Option<String>,
}

fn finding_kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(
        FindingKind::ALL
            .map(FindingKind::name)
            .into_iter()
            .chain(["any"]),
    )
}

impl FilterArgs {
    /// The terms these flags mean.
    #[must_use]
    pub fn terms(&self) -> Vec<Term> {
        let all = [
            (Field::Identity, &self.identity, &self.not_identity),
            (Field::Workload, &self.workload, &self.not_workload),
            (Field::Host, &self.host, &self.not_host),
            (Field::Method, &self.method, &self.not_method),
            (Field::Status, &self.status, &self.not_status),
            (Field::Finding, &self.finding, &self.not_finding),
            (Field::Env, &self.env, &self.not_env),
        ];
        let term = |field, value: &String, not| Term {
            field,
            value: value.clone(),
            not,
        };
        all.into_iter()
            .flat_map(|(field, yes, no)| {
                let yes = yes.iter().map(move |value| term(field, value, false));
                yes.chain(no.iter().map(move |value| term(field, value, true)))
            })
            .collect()
    }
}

/// `alerts`
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AlertsArgs {
    /// One alert.
    #[command(subcommand)]
    pub action: Option<AlertsAction>,
    /// Go on with new and changed alerts as they come
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many, the newest
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// Only this identity; may be repeated
    #[arg(long, value_name = "NAME")]
    pub identity: Vec<String>,
    /// Only this kind; may be repeated
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(FindingKind::ALL.map(FindingKind::name)))]
    pub kind: Vec<String>,
    /// Only at least this bad
    #[arg(long, value_name = "SEVERITY", value_parser = ["low", "medium", "high", "critical"])]
    pub severity: Option<String>,
    /// Only alerts for which this holds, as in 'count > 10 and kind in ["duty", "hours"]' (docs/filter.md)
    #[arg(long = "where", value_name = "EXPR")]
    pub only: Option<String>,
}

/// `identities`
#[derive(Clone, Debug, Args)]
pub struct IdentitiesArgs {
    /// Only identities for which this holds, as in 'refused > 0 or not has(owner)' (docs/filter.md)
    #[arg(long = "where", value_name = "EXPR")]
    pub only: Option<String>,
}

/// `alerts show`
#[derive(Clone, Debug, Subcommand)]
pub enum AlertsAction {
    /// Show one alert with its evidence
    Show {
        /// Its id
        id: String,
    },
}

/// `dead-letters`
#[derive(Clone, Debug, Args)]
pub struct DeadLettersArgs {
    /// Queue the one with this id again; without an id, all
    #[arg(long, value_name = "ID", num_args = 0..=1)]
    pub replay: Option<Option<String>>,
}

/// `check`
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Exit 0 when there are warnings or findings but no errors (for ExecStartPre= and ExecReload=)
    #[arg(long)]
    pub warnings_ok: bool,
    /// Compare the duties with a gateway's configuration instead, and exit 1 when they differ; may be
    /// repeated
    #[arg(long, value_name = "FILE", conflicts_with = "warnings_ok")]
    pub gateway: Vec<PathBuf>,
    /// Format of the gateway's files [default: found out]
    #[arg(long, value_name = "FORMAT", requires = "gateway")]
    pub gateway_format: Option<GatewayFormat>,
    /// Roles of the gateway.
    #[command(flatten)]
    pub roles: RoleArgs,
}

/// Formats of gateways that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GatewayFormat {
    /// Envoy's RBAC filter, alone or in a bootstrap (YAML or JSON).
    EnvoyRbac,
    /// Istio's AuthorizationPolicy (YAML).
    Istio,
    /// nginx.
    Nginx,
}

/// Roles at a gateway.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Roles at the gateway")]
pub struct RoleArgs {
    /// What a role is
    #[arg(long, value_name = "WHAT", default_value = "identity")]
    pub role: RoleKind,
    /// Where the gateway has the verified role from: claim:NAME[.NAME…], spiffe:DOMAIN/PREFIX/,
    /// header:NAME or variable:NAME [default: claim:role; of nginx variable:bailiwick_role]
    #[arg(long, value_name = "SOURCE")]
    pub role_from: Option<String>,
}

/// What a role is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleKind {
    /// An identity, with all its duties.
    Identity,
    /// A duty.
    Duty,
}

/// `export`
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// For which gateway
    #[arg(long, value_name = "GATEWAY")]
    pub to: ExportTarget,
    /// Print the tests of what is exported instead (opa)
    #[arg(long)]
    pub tests: bool,
    /// Roles of the gateway.
    #[command(flatten)]
    pub roles: RoleArgs,
}

/// Gateways that can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportTarget {
    /// Envoy's RBAC filter.
    EnvoyRbac,
    /// Istio's AuthorizationPolicy.
    Istio,
    /// Rego for Open Policy Agent.
    Opa,
    /// nginx.
    Nginx,
}

impl ExportTarget {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnvoyRbac => "envoy-rbac",
            Self::Istio => "istio",
            Self::Opa => "opa",
            Self::Nginx => "nginx",
        }
    }
}

/// `send-test`
#[derive(Clone, Debug, Args)]
pub struct SendTestArgs {
    /// Name of the webhook; all when left away
    pub webhook: Option<String>,
}

/// `contain`
#[derive(Clone, Debug, Args)]
pub struct ContainArgs {
    /// What.
    #[command(subcommand)]
    pub action: ContainAction,
}

/// `contain list`, `contain undo`
#[derive(Clone, Debug, Subcommand)]
pub enum ContainAction {
    /// What was done, would have been done, or failed since the daemon started, oldest first
    List,
    /// Let connections through again, or a stopped process go on
    Undo {
        /// Its id
        id: String,
    },
}

/// `completions`
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// The page of this command; the main page when left away
    pub command: Option<String>,
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// `drill`
#[derive(Clone, Debug, Args)]
pub struct DrillArgs {
    /// Only these techniques
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Show the techniques and what each must lead to, without running any
    #[arg(long)]
    pub list: bool,
    /// Drill the clauses of this policy instead: what breaks them must be found, what keeps them must not.
    /// With scratch credentials and stand-ins for its workloads; its own secrets are not read
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    pub policy: Option<PathBuf>,
    /// How often each attack is made
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub times: u32,
}

/// `drill-peer`
#[derive(Clone, Debug, Args)]
pub struct DrillPeerArgs {
    /// Its part
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub part: Vec<String>,
}

/// `scan`
#[derive(Clone, Debug, Args)]
pub struct ScanArgs {
    /// Files, directories and archives (tar, gzip); - for standard input
    #[arg(value_name = "PATH", default_value = ".")]
    pub paths: Vec<PathBuf>,
    /// The history of these repositories instead: every blob that a branch or tag reaches, each once
    #[arg(long)]
    pub git: bool,
    /// More rules: a rule file of gitleaks
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// What may stay: lines of a rule's id (or *) and a path with * and **
    /// [default: .bailiwick-allow if it is there]
    #[arg(long, value_name = "FILE")]
    pub allow: Option<PathBuf>,
    /// Also what .gitignore leaves out
    #[arg(long)]
    pub no_ignore: bool,
    /// Do not compare what is found with the credentials in use
    #[arg(long)]
    pub no_join: bool,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroU8>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn filters_become_terms() {
        let line = "bailiwick tail --identity a --identity b --not-status 4xx --finding --env prod --not-finding duty";
        let Command::Tail(tail) = Cli::parse_from(line.split(' ')).command else {
            panic!("tail")
        };
        let terms: Vec<(Field, String, bool)> = tail
            .filter
            .terms()
            .into_iter()
            .map(|term| (term.field, term.value, term.not))
            .collect();
        let expected = [
            (Field::Identity, "a", false),
            (Field::Identity, "b", false),
            (Field::Status, "4xx", true),
            (Field::Finding, "any", false),
            (Field::Finding, "duty", true),
            (Field::Env, "prod", false),
        ];
        assert_eq!(
            terms,
            expected.map(|(field, value, not)| (field, value.to_owned(), not))
        );
    }

    #[test]
    fn every_field_has_a_flag_and_its_negation() {
        let cli = Cli::command();
        let tail = cli.find_subcommand("tail").unwrap();
        for field in Field::ALL {
            for flag in [field.name().to_owned(), format!("not-{}", field.name())] {
                assert!(
                    tail.get_arguments()
                        .any(|arg| arg.get_long() == Some(&flag)),
                    "--{flag}"
                );
            }
        }
    }
}
