//! `bailiwick top` in a real tmux, with a server and a configuration of its own.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::Answerer;
use e2e::trial::root;
use e2e::{Daemon, Setup, daemon::binary, unique, wait_for};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("tmux::top_is_drawn_and_redrawn", drawn),
        root("tmux::top_without_colour", colourless),
    ]
}

/// A tmux server that nobody else talks to. Ends when dropped.
struct Tmux(String);

impl Tmux {
    /// With `top` in a window of 80 × 24.
    fn start(daemon: &Daemon, environment: &[&str]) -> Result<Self> {
        ensure!(
            Path::new("/usr/bin/tmux").exists(),
            "tmux is missing: `cargo xtask setup test` installs it"
        );
        let tmux = Self(unique("bailiwick-tmux"));
        let program = binary()?;
        let mut command = tmux.command();
        command.args(["new-session", "-d", "-x", "80", "-y", "24", "--"]);
        command
            .arg("env")
            .args(["-u", "NO_COLOR"])
            .args(environment);
        command
            .arg(program)
            .args(["top", "--socket"])
            .arg(daemon.socket());
        let output = command.output().context("tmux")?;
        ensure!(output.status.success(), "{}", words(&output.stderr));
        Ok(tmux)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/bin/tmux");
        // The C.UTF-8 locale is everywhere; tmux asks it whether the terminal draws more than ASCII.
        command.args(["-L", &self.0, "-f", "/dev/null"]);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        command
    }

    fn run(&self, args: &[&str]) -> Result<Output> {
        let output = self.command().args(args).output()?;
        ensure!(
            output.status.success(),
            "{args:?}: {}",
            words(&output.stderr)
        );
        Ok(output)
    }

    /// What the window shows; with `colours` also how.
    fn screen(&self, colours: bool) -> Result<String> {
        let more: &[&str] = if colours { &["-e"] } else { &[] };
        let output = self.run(&[&["capture-pane", "-p"], more].concat())?;
        Ok(words(&output.stdout))
    }

    fn shows(&self, what: &str) -> Result<String> {
        wait_for(what, || {
            let screen = self.screen(false)?;
            Ok(screen.contains(what).then_some(screen))
        })
        .with_context(|| self.screen(false).unwrap_or_default())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Gone already, if `top` ended.
        let _ = self.command().arg("kill-server").output();
    }
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn use_one(server: &Answerer, host: &str) -> Result<()> {
    crate::page::ask(server.address(), host, "/seen", "key-of-tmux-1")
}

fn drawn() -> Result<()> {
    let daemon = Setup::default().start()?;
    let server = Answerer::inet()?;
    let host = format!("{}.example", unique("tmux"));
    let tmux = Tmux::start(&daemon, &[])?;
    tmux.shows("✓ connected")?;
    tmux.run(&["send-keys", "3"])?;
    use_one(&server, &host)?;
    tmux.shows(&host)?;
    ensure!(
        tmux.screen(true)?.contains("\x1b["),
        "no colour in a terminal that has it"
    );
    // Wider, then narrow: no line is longer than the window, and nothing of the old frame stays.
    for (width, height) in [(120, 40), (60, 20), (80, 24)] {
        tmux.run(&[
            "resize-window",
            "-x",
            &width.to_string(),
            "-y",
            &height.to_string(),
        ])?;
        std::thread::sleep(Duration::from_millis(500));
        let screen = tmux.shows("connected")?;
        let lines: Vec<&str> = screen.lines().collect();
        ensure!(lines.len() <= height, "{screen}");
        let once = lines
            .iter()
            .filter(|line| line.contains("connected"))
            .count();
        ensure!(once == 1, "{once} headers at {width}:\n{screen}");
    }
    tmux.run(&["send-keys", "?"])?;
    tmux.shows("filter")?;
    tmux.run(&["send-keys", "Escape"])?;
    std::thread::sleep(Duration::from_millis(700));
    tmux.run(&["send-keys", "q"])?;
    wait_for("top to end", || {
        // Its server ends with its only window.
        let ended = !tmux.command().arg("has-session").output()?.status.success();
        Ok(ended.then_some(()))
    })
}

fn colourless() -> Result<()> {
    let daemon = Setup::default().start()?;
    let server = Answerer::inet()?;
    let host = format!("{}.example", unique("tmux"));
    let tmux = Tmux::start(&daemon, &["NO_COLOR=1"])?;
    tmux.shows("✓ connected")?;
    tmux.run(&["send-keys", "3"])?;
    use_one(&server, &host)?;
    tmux.shows(&host)?;
    let screen = tmux.screen(true)?;
    // SGR 30 to 48 and 90 to 107 are colours (ECMA-48 §8.3.117), but 39, the terminal's own; bold, dim and reverse are none.
    for part in screen.split("\x1b[").skip(1) {
        let (codes, _) = part.split_once('m').context("no SGR")?;
        for code in codes.split([';', ':']) {
            let code: u32 = code.parse().unwrap_or(0);
            ensure!(
                code == 39 || (!(30..=48).contains(&code) && !(90..=107).contains(&code)),
                "a colour, {code}, with NO_COLOR:\n{screen:?}"
            );
        }
    }
    Ok(())
}
