//! The command line: parses, dispatches, and turns what happened into an exit code.
//!
//! What the daemon, the policy and the kernel side contribute comes in as [`Hooks`], so that this module
//! depends on none of them.

pub mod args;
mod audit;
mod audit_words;
mod captured;
mod check;
mod check_lint;
mod check_sarif;
pub(crate) mod client;
mod contain;
pub(crate) mod coverage;
pub mod doctor;
mod drill;
pub mod exit;
mod gateway;
mod journal;
mod learn;
pub mod log;
mod mark;
pub(crate) mod out;
mod page;
mod pages;
pub mod quote;
mod recorded;
pub mod recorded_args;
pub(crate) mod render;
mod replay;
mod report;
mod scan;
mod tail;

use std::any::Any;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::access::credential::{CredentialTable, Recogniser};
use crate::baseline;
use crate::census::IdentityRecord;
use crate::config::{self, Config};
use crate::explain::Story;
use crate::filter::{Filter, FilterError, Subject};
use crate::judge;
use crate::policy::Policy;
use crate::report::Report;
use crate::serve::filter::{BadFilter, Filter as TermFilter, Term};
use crate::serve::protocol::Command as Ask;
use crate::serve::records::{AlertQuery, DeadLetter, DeliveryResult, StatusRecord};
use args::{AlertsAction, AlertsArgs, Cli, Command, ContainAction, Form, RunArgs, TailArgs};
use out::{Out, complain, note, say};

pub use check::Validator;
pub use check_lint::Linter;
pub use doctor::Probe;
pub use exit::{Exit, Failure};
pub use gateway::PolicyLoader;

/// Makes a report of the time since then (microseconds since 1970), or of 30 days.
pub type StoredReport = dyn Fn(&Config, Option<i64>) -> Result<Report, Failure>;
/// Tells the alert of this id.
pub type StoredStory = dyn Fn(&Config, &str) -> Result<Story, Failure>;
/// Loads the policy of this file or directory.
pub type PolicyFile = dyn Fn(&Path) -> Result<Policy, Failure>;
/// What a configuration says about judging and baselines.
pub type RulesOf = dyn Fn(&Config) -> (judge::Settings, baseline::Settings);
/// Makes what finds credentials in requests, as a configuration asks for. True: it fingerprints with the host's key.
pub type RecogniserOf = dyn Fn(&Config) -> Result<(Recogniser, bool), Failure>;
/// Makes the table of credentials that a configuration asks for.
pub type TableOf = dyn Fn(&Config) -> Result<CredentialTable, String>;

/// What the other parts of the program do for the command line.
pub struct Hooks {
    /// Runs the daemon until it is stopped. Called with the log started.
    pub run: Box<dyn Fn(Config) -> Result<(), Failure>>,
    /// Finds what is wrong with the policy.
    pub validate: Box<Validator>,
    /// The table of credentials, for `scan`.
    pub credentials: Box<TableOf>,
    /// Further probes of `doctor`; with true also one for each kernel program.
    pub probes: Box<dyn Fn(bool) -> Vec<Probe>>,
    /// Finds what is wrong with a policy that can be used.
    pub lint: Box<Linter>,
    /// A report from the store, while no daemon is running: of the time since then, or of 30 days.
    pub stored_report: Box<StoredReport>,
    /// An alert's story from the store, while no daemon is running.
    pub stored_story: Box<StoredStory>,
    /// Loads the policy.
    pub policy: Box<PolicyLoader>,
    /// A policy that is not the configured one.
    pub policy_file: Box<PolicyFile>,
    /// What a configuration says about judging and baselines.
    pub rules: Box<RulesOf>,
    /// What finds credentials, for what was captured.
    pub recogniser: Box<RecogniserOf>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// The whole program: reads the process' arguments, returns its exit code.
#[must_use]
pub fn main(hooks: &Hooks) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        note(&format!(
            "bug at {place}: {}; please report it",
            panic_message(panic.payload())
        ));
    }));
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dispatch(arguments, hooks)));
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failure)) => {
            complain(&failure);
            failure.exit.into()
        }
        Err(_) => Exit::Software.into(),
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
}

fn dispatch(arguments: Vec<OsString>, hooks: &Hooks) -> Result<Exit, Failure> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            if asked {
                // Help goes to standard output, whose reader may have had enough.
                error.print()?;
                return Ok(Exit::Success);
            }
            // It may repeat what was typed; clap's own escapes are left out with it.
            let text = error.render().to_string();
            for line in text.trim_end().lines() {
                say(&quote::text(line));
            }
            return Ok(Exit::Usage);
        }
    };
    let mut out = Out::stdout(cli.color, cli.output);
    let result = command(&cli, hooks, &mut out);
    // What was printed before an error is printed.
    let flushed = out.flush();
    let exit = result?;
    flushed?;
    Ok(exit)
}

/// Refuses a form that a command does not write.
fn has_form(cli: &Cli) -> Result<(), Failure> {
    let (name, of, written) = match cli.output {
        Form::Compact | Form::Json => return Ok(()),
        Form::Sarif => (
            "SARIF",
            "check` or `scan",
            matches!(cli.command, Command::Check(_) | Command::Scan(_)),
        ),
        Form::Html => ("HTML", "report", matches!(cli.command, Command::Report(_))),
    };
    if written {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Usage, format!("this command has no {name} output")).hint(format!(
            "`{of}` has; for programs, `-o json` is of every command"
        )),
    )
}

fn command(cli: &Cli, hooks: &Hooks, out: &mut Out) -> Result<Exit, Failure> {
    has_form(cli)?;
    match &cli.command {
        Command::Run(args) => return run(cli, args, &*hooks.run),
        Command::Check(args) if !args.gateway.is_empty() => {
            return gateway::check(cli.config.as_deref(), args, &*hooks.policy, out);
        }
        Command::Export(args) => {
            return gateway::export(cli.config.as_deref(), args, &*hooks.policy, out);
        }
        Command::Check(args) => {
            return check::check(cli, args.warnings_ok, hooks, out);
        }
        Command::Doctor(args) => {
            let mut probes = doctor::probes(&doctor::Host::default(), &socket(cli)?);
            probes.extend((hooks.probes)(args.programs));
            return doctor::report(&probes, out);
        }
        Command::Scan(args) => return scan::run(cli, args, hooks, out),
        Command::Replay(args) => return replay::replay(cli, args, hooks, out),
        Command::Eval(args) => return replay::eval(cli, args, hooks, out),
        Command::Completions(args) => pages::completions(args.shell, out)?,
        Command::Man(args) => pages::man(args.command.as_deref(), args.dir.as_deref(), out)?,
        Command::Drill(args) => return drill::drill(args, out),
        Command::Audit(args) if !audit::follows(args) => return audit::run(cli, args, out),
        Command::DrillPeer(args) => return drill::peer(args),
        Command::Page => return page::address(cli.config.as_deref(), out),
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| {
                    Failure::new(Exit::Unavailable, format!("cannot start: {error}"))
                })?;
            return runtime.block_on(async {
                tokio::select! {
                    result = ask(cli, hooks, out) => result,
                    // Who looks on ends it when they have seen enough.
                    result = tokio::signal::ctrl_c() => {
                        result.map_err(|error| Failure::new(Exit::Unavailable, format!("signals: {error}")))?;
                        Ok(Exit::Success)
                    }
                }
            });
        }
    }
    Ok(Exit::Success)
}

/// The configuration; what is wrong with it is said at once.
fn configuration(file: Option<&Path>) -> Result<Config, Failure> {
    config::load(file).map_err(|error| {
        let exit = Exit::from(&error);
        told(&error.into_diagnostics(), exit)
    })
}

/// Says what is wrong; the failure has nothing to add.
fn told(diagnostics: &[config::Diagnostic], exit: Exit) -> Failure {
    for diagnostic in diagnostics {
        say(&diagnostic.to_string());
    }
    Failure::quiet(exit)
}

/// Loads the configuration, starts the log and hands over to the daemon.
///
/// # Errors
/// When the configuration is wrong (78) or may not be read (77), or what the daemon returns.
pub fn run(
    cli: &Cli,
    args: &RunArgs,
    daemon: &dyn Fn(Config) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut config = configuration(cli.config.as_deref())?;
    if let Some(level) = args.log_level {
        config.log.level = level;
    }
    if let Some(socket) = &cli.socket {
        let named = socket
            .file_name()
            .is_some_and(|name| name == config::SOCKET_NAME);
        match socket.parent() {
            Some(dir) if named => config.runtime_dir = dir.to_owned(),
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    "--socket: the daemon's socket is called control.sock",
                )
                .hint(
                    "with `run`, name DIR/control.sock, or set runtime_dir in the configuration",
                ));
            }
        }
    }
    log::init(config.log);
    match config.file() {
        Some(file) => {
            tracing::info!(file = %file.display(), drop_ins = config.files.len() - 1, "configuration read")
        }
        None => tracing::warn!(
            "no configuration file at {}: using the built-in defaults, without policy and webhooks",
            config::DEFAULT_FILE
        ),
    }
    daemon(config).map(|()| Exit::Success)
}

fn socket(cli: &Cli) -> Result<PathBuf, Failure> {
    match config::client_socket(cli.socket.as_deref(), cli.config.as_deref()) {
        Ok((socket, remark)) => {
            if let Some(remark) = remark {
                note(&remark);
            }
            Ok(socket)
        }
        Err(error) => {
            let exit = Exit::from(&error);
            for diagnostic in error.into_diagnostics() {
                say(&diagnostic.to_string());
            }
            Err(Failure::quiet(exit))
        }
    }
}

/// The commands that ask the daemon.
async fn ask(cli: &Cli, hooks: &Hooks, out: &mut Out) -> Result<Exit, Failure> {
    let style = out.style;
    match &cli.command {
        Command::Tail(args) => {
            let command = tail_command(args)?;
            tail::follow(&socket(cli)?, command, out).await?;
        }
        Command::Alerts(args) => return alerts(cli, args, out).await,
        Command::DeadLetters(args) => {
            if let Some(id) = &args.replay {
                return deliveries(cli, Ask::Replay { id: id.clone() }, "no dead letters", out)
                    .await;
            }
            let records = client::ask(&socket(cli)?, &Ask::DeadLetters).await?;
            for record in &records {
                match out.form {
                    Form::Json | Form::Sarif | Form::Html => out.line(&record.json())?,
                    Form::Compact => {
                        out.line(&render::dead_letter(&record.parse::<DeadLetter>()?, style))?;
                    }
                }
            }
            if records.is_empty() && out.form == Form::Compact {
                note("no dead letters");
            }
        }
        Command::Identities(args) => {
            let only = only(args.only.as_deref(), Subject::Identity)?;
            let records = client::ask(&socket(cli)?, &Ask::Identities).await?;
            return identities(&records, &only, out);
        }
        Command::Coverage => {
            let records = client::ask(&socket(cli)?, &Ask::Coverage).await?;
            coverage::show(&records, out)?;
        }
        Command::Status => {
            for record in client::ask(&socket(cli)?, &Ask::Status).await? {
                if out.form == Form::Json {
                    out.line(&record.json())?;
                    continue;
                }
                for line in render::status(&record.parse::<StatusRecord>()?, style) {
                    out.line(&line)?;
                }
            }
        }
        Command::SendTest(args) => {
            let command = Ask::SendTest {
                webhook: args.webhook.clone(),
            };
            return deliveries(cli, command, "no webhook", out).await;
        }
        Command::Contain(args) => {
            let command = match &args.action {
                ContainAction::List => Ask::Containments,
                ContainAction::Undo { id } => Ask::UndoContainment { id: id.clone() },
            };
            contain::show(&client::ask(&socket(cli)?, &command).await?, out)?;
        }
        Command::Top => {
            if out.form != Form::Compact {
                return Err(Failure::new(Exit::Usage, "top is for people, and has no JSON")
                    .hint("`bailiwick tail -o json`, `bailiwick alerts -f -o json` and `bailiwick status -o json` have"));
            }
            crate::top::run(&socket(cli)?, style.color).await?;
        }
        Command::Ack(args) => {
            let (id, note) = (args.id.clone(), args.note.clone());
            mark::run(cli, &Ask::Acknowledge { id, note }, out).await?;
        }
        Command::Mute(args) => {
            let until = mark::until(&args.until, jiff::Timestamp::now())?;
            let id = args.id.clone();
            mark::run(cli, &Ask::Mute { id, until }, out).await?;
        }
        Command::Unmark(args) => {
            let id = args.id.clone();
            mark::run(cli, &Ask::Unmark { id }, out).await?;
        }
        Command::Audit(args) => audit::follow(cli, args, out).await?,
        Command::Report(args) => return report::report(cli, args, hooks, out).await,
        Command::Explain(args) => return report::explain(cli, args, hooks, out).await,
        Command::Learn(args) => return learn::learn(cli, args, hooks, out).await,
        // The others do not ask the daemon.
        Command::Run(_)
        | Command::Check(_)
        | Command::Doctor(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Export(_)
        | Command::Drill(_)
        | Command::DrillPeer(_)
        | Command::Replay(_)
        | Command::Eval(_)
        | Command::Scan(_)
        | Command::Page => {}
    }
    Ok(Exit::Success)
}

fn tail_command(args: &TailArgs) -> Result<Ask, Failure> {
    let filter: Vec<Term> = args.filter.terms();
    // Found here, it needs no daemon to be said.
    TermFilter::with(&filter, args.filter.only.as_deref()).map_err(|error| match error {
        BadFilter::Where(error) => no_filter(&error),
        error => Failure::new(Exit::Usage, error.to_string())
            .hint("`bailiwick tail --help` explains the filters"),
    })?;
    Ok(Ask::Tail {
        last: args.last,
        follow: !args.no_follow,
        filter,
        r#where: args.filter.only.clone(),
    })
}

/// What `--where` says; everything without it.
fn only(text: Option<&str>, subject: Subject) -> Result<Filter, Failure> {
    let filter = text.map(|text| Filter::parse_for(subject, text));
    let filter = filter.transpose().map_err(|error| no_filter(&error))?;
    Ok(filter.unwrap_or_default())
}

fn no_filter(error: &FilterError) -> Failure {
    let [shown, caret] = error.caret();
    let message = format!("--where: {}\n{shown}\n{caret}", error.message());
    Failure::new(Exit::Usage, message).hint(
        error
            .help()
            .unwrap_or("docs/filter.md describes the language"),
    )
}

fn identities(records: &[client::Record], only: &Filter, out: &mut Out) -> Result<Exit, Failure> {
    let mut shown = Vec::new();
    for record in records {
        let parsed: IdentityRecord = record.parse()?;
        if only.matches(&parsed) {
            if out.form == Form::Json {
                out.line(&record.json())?;
            }
            shown.push(parsed);
        }
    }
    if out.form == Form::Json {
        return Ok(Exit::Success);
    }
    if shown.is_empty() {
        note(match records {
            [] => "no credential was seen yet",
            _ => "no identity matches",
        });
        return Ok(Exit::Success);
    }
    for line in render::identities(&mut shown, out.style) {
        out.line(&line)?;
    }
    Ok(Exit::Success)
}

async fn alerts(cli: &Cli, args: &AlertsArgs, out: &mut Out) -> Result<Exit, Failure> {
    let socket = socket(cli)?;
    if let Some(AlertsAction::Show { id }) = &args.action {
        let query = AlertQuery {
            id: Some(id.clone()),
            ..AlertQuery::default()
        };
        for record in client::ask(
            &socket,
            &Ask::Alerts {
                query,
                follow: false,
            },
        )
        .await?
        {
            if out.form == Form::Json {
                out.line(&record.json())?;
                continue;
            }
            for line in render::alert_in_full(&record.parse()?, out.style) {
                out.line(&line)?;
            }
        }
        return Ok(Exit::Success);
    }
    only(args.only.as_deref(), Subject::Alert)?;
    let name = |name: &str| serde_json::Value::String(name.to_owned());
    // The command line lets only names of kinds and severities through.
    let query = AlertQuery {
        id: None,
        kinds: args
            .kind
            .iter()
            .filter_map(|kind| serde_json::from_value(name(kind)).ok())
            .collect(),
        identities: args.identity.clone(),
        severity: args
            .severity
            .as_deref()
            .and_then(|least| serde_json::from_value(name(least)).ok()),
        last: args.last,
        r#where: args.only.clone(),
    };
    tail::follow(
        &socket,
        Ask::Alerts {
            query,
            follow: args.follow,
        },
        out,
    )
    .await?;
    Ok(Exit::Success)
}

/// Until when an alert is muted, as RFC 3339, from what was typed (`2h`, a time).
pub(crate) fn mute_until(text: &str, now_us: i64) -> Result<String, String> {
    let now = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    mark::until(text, now)
        .map_err(|_| format!("{text:?} is neither a duration (2h, 3d) nor a time"))
}

async fn deliveries(cli: &Cli, command: Ask, none: &str, out: &mut Out) -> Result<Exit, Failure> {
    let mut exit = Exit::Success;
    let records = client::ask(&socket(cli)?, &command).await?;
    for record in &records {
        let result: DeliveryResult = record.parse()?;
        if !result.ok {
            exit = Exit::Found;
        }
        match out.form {
            Form::Json | Form::Sarif | Form::Html => out.line(&record.json())?,
            Form::Compact => out.line(&render::delivery(&result, out.style))?,
        }
    }
    if records.is_empty() && out.form == Form::Compact {
        note(none);
    }
    Ok(exit)
}
