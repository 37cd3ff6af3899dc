//! Running other programs, and stopping with a message and an exit code.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Something the person has to do first: a message and a code from sysexits.h.
#[derive(Debug)]
pub(crate) struct Stop {
    /// Exit code.
    pub(crate) code: u8,
    message: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Stop {}

/// A thing that is needed is not here and cannot be installed (69, `EX_UNAVAILABLE`).
pub(crate) fn unavailable(message: impl Into<String>) -> anyhow::Error {
    Stop {
        code: 69,
        message: message.into(),
    }
    .into()
}

/// Whether [`unavailable`] made it.
pub(crate) fn is_unavailable(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Stop>()
        .is_some_and(|stop| stop.code == 69)
}

/// Needs more rights than this user has (77, `EX_NOPERM`).
pub(crate) fn not_permitted(message: impl Into<String>) -> anyhow::Error {
    Stop {
        code: 77,
        message: message.into(),
    }
    .into()
}

/// Shows the command, runs it, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs silently and returns what it wrote to standard output; fails when it does.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` failed: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` did not write UTF-8"))
}

/// The command as a person would type it, without its environment.
pub(crate) fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        line.push(' ');
        if arg.is_empty() || arg.contains([' ', '"', '\'', '$', '*', ';', '\\']) {
            line.push('\'');
            line.push_str(&arg.replace('\'', r"'\''"));
            line.push('\'');
        } else {
            line.push_str(&arg);
        }
    }
    line
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Finds a program where distributions install them. Not PATH: version managers put shims there,
/// and the tests want the distribution's programs.
pub(crate) fn system_program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}

/// Finds a program in PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new("wrk");
        command.args(["-H", "Authorization: Bearer it's", "-d1s", ""]);
        assert_eq!(
            show(&command),
            r"wrk -H 'Authorization: Bearer it'\''s' -d1s ''"
        );
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.contains("`false x` failed"), "{error}");
        let error = capture(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(error.to_string().contains("cannot start"), "{error}");
    }
}
