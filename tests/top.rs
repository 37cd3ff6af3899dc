//! `bailiwick top` on a pseudo-terminal, with a real daemon.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::http::{Answerer, request};
use e2e::trial::{plain, root};
use e2e::{Daemon, Process, Setup, daemon::binary, wait_for};
use libtest_mimic::Trial;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        root("top::shows_what_happens", shows_what_happens),
        root("top::comes_back_with_the_daemon", comes_back),
        root("top::gives_the_terminal_back", gives_back),
        plain("top::refuses_what_is_no_terminal", refuses),
    ]
}

/// How a terminal is left: cursor shown, the ordinary screen.
const LEFT: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal with `top` in it.
struct Terminal {
    top: Process,
    master: File,
    slave: File,
    before: Termios,
    /// Everything that was written to it.
    written: Arc<Mutex<Vec<u8>>>,
    size: (u16, u16),
}

impl Terminal {
    fn start(daemon: &Daemon, environment: &[(&str, &str)]) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = File::from(open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?);
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(binary()?)
            .args(["top", "--socket"])
            .arg(daemon.socket())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("LD_LIBRARY_PATH")
            .envs(environment.iter().copied())
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave.try_clone()?);
        let before = tcgetattr(&slave)?;
        let master = File::from(master);
        resize(&master, (80, 24))?;
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut from, into) = (master.try_clone()?, written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
                into.extend_from_slice(&bytes[..count]);
            }
        });
        Ok(Self {
            top: Process::adopt(command.spawn().context("setsid")?, "top"),
            master,
            slave,
            before,
            written,
            size: (80, 24),
        })
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    fn resize(&mut self, size: (u16, u16)) -> Result<()> {
        self.size = size;
        resize(&self.master, size)
    }

    fn text(&self) -> String {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).into_owned()
    }

    fn shows(&self, words: &str) -> Result<Vec<String>> {
        let shown = wait_for(words, || {
            let lines = screen(&self.text(), self.size);
            Ok(lines
                .iter()
                .any(|line| line.contains(words))
                .then_some(lines))
        });
        shown.with_context(|| screen(&self.text(), self.size).join("\n"))
    }

    /// It ended well, and the terminal is as it was.
    fn ended(mut self) -> Result<()> {
        let status = self.top.wait(Duration::from_secs(10))?;
        ensure!(status.code() == Some(0), "{status}: {}", self.text());
        wait_for("the terminal to be left", || {
            Ok(self.text().contains(LEFT).then_some(()))
        })?;
        let after = tcgetattr(&self.slave)?;
        ensure!(after.local_modes == self.before.local_modes, "{after:?}");
        ensure!(after.input_modes == self.before.input_modes, "{after:?}");
        ensure!(after.output_modes == self.before.output_modes, "{after:?}");
        Ok(())
    }
}

fn resize(terminal: &File, (columns, rows): (u16, u16)) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// What a terminal shows to which this was written: cursor movements and clearing are followed, colours are not.
fn screen(written: &str, (columns, rows): (u16, u16)) -> Vec<String> {
    let (columns, rows) = (usize::from(columns), usize::from(rows));
    let mut grid = vec![vec![' '; columns]; rows];
    let (mut x, mut y) = (0, 0);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            if let Some(cell) = grid.get_mut(y).and_then(|row| row.get_mut(x)) {
                *cell = c;
            }
            x += 1;
            continue;
        }
        if chars.next() != Some('[') {
            continue;
        }
        let mut parameters = String::new();
        let end = loop {
            match chars.next() {
                Some(c @ '@'..='~') => break c,
                Some(c) => parameters.push(c),
                None => break ' ',
            }
        };
        let mut numbers = parameters
            .split(';')
            .map(|text| text.parse::<usize>().unwrap_or(1));
        match end {
            'H' => {
                y = numbers.next().unwrap_or(1).saturating_sub(1);
                x = numbers.next().unwrap_or(1).saturating_sub(1);
            }
            'J' => grid.iter_mut().for_each(|row| row.fill(' ')),
            _ => {}
        }
    }
    let lines = grid
        .into_iter()
        .map(|row| row.into_iter().collect::<String>());
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// A daemon whose policy has an identity that is for another environment, and the secret of that.
fn watched() -> Result<(Daemon, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let token = dir.path().join("token");
    std::fs::write(&token, "top-key-0123456789")?;
    let daemon = Setup::default()
        .policy(&format!(
            "[environments]\nprod = [\"api.top.example\"]\ndev = [\"*.dev.example\"]\n\
             [identities.top-bot]\nowner = \"team-top\"\ncredentials = [\"file:{}\"]\n\
             duties = [\"read\"]\nenvironments = [\"dev\"]\n[duties]\nread = [\"GET */**\"]\n",
            token.display()
        ))
        .config("[checks]\ncleartext = \"off\"\n")
        .start()?;
    Ok((daemon, dir))
}

fn use_it(server: &Answerer, path: &str) -> Result<()> {
    let key = ("Authorization", "Bearer top-key-0123456789");
    let mut stream = std::net::TcpStream::connect(server.address())?;
    stream.write_all(&request(path, "api.top.example", &[key]))?;
    let mut reader = std::io::BufReader::new(stream);
    let head = e2e::http::read_answer(&mut reader)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(())
}

fn shows_what_happens() -> Result<()> {
    let (daemon, _dir) = watched()?;
    let server = Answerer::inet()?;
    let mut terminal = Terminal::start(&daemon, &[])?;
    terminal.shows("✓ connected")?;
    terminal.shows("[1 overview]")?;
    terminal.shows("pid ")?;
    // Colour is used, since nobody asked for none.
    wait_for("colour", || {
        Ok(terminal.text().contains("\x1b[38;5;2").then_some(()))
    })?;

    // Accesses as they come; others on this host are left out.
    terminal.press("3/host == \"api.top.example\"\r")?;
    terminal.shows("filter: host == ")?;
    use_it(&server, "/first")?;
    let lines = terminal.shows("api.top.example/first")?;
    ensure!(
        lines
            .iter()
            .any(|line| line.contains("top-bot") && line.contains('✗')),
        "{lines:#?}"
    );
    terminal.press("\r")?;
    terminal.shows("request.path")?;

    // The alert: in a row, as a story, acknowledged.
    terminal.press("\x1b")?;
    terminal.press("2/identity == \"top-bot\"\r")?;
    terminal.shows("[2 alerts")?;
    terminal.shows("environment  top-bot")?;
    terminal.press("\r")?;
    terminal.shows("What happened")?;
    terminal.press("aseen T-17\r")?;
    terminal.shows("known to root")?;
    let alerts = daemon.json(&["alerts", "--where", "acknowledged.note == \"seen T-17\""])?;
    ensure!(
        alerts.len() == 1 && alerts[0]["identity"] == "top-bot",
        "{alerts:#?}"
    );
    terminal.press("m3d\x15")?;
    terminal.shows("mute until")?;
    terminal.press("2h\r")?;
    terminal.shows("muted until")?;

    // A mistake is shown where it is.
    terminal.press("\x1b")?;
    terminal.shows("[2 alerts")?;
    terminal.press("/ and kidn == \"duty\"\r")?;
    let lines = terminal.shows("did you mean `kind`?")?;
    let at = lines
        .iter()
        .position(|line| line.contains("did you mean"))
        .unwrap_or(0);
    let place = lines[at - 2].find("kidn");
    ensure!(
        place.is_some() && lines[at - 1].find("^^^^") == place,
        "{lines:#?}"
    );
    terminal.press("\x1b")?;

    // Larger: what was cut is there.
    terminal.resize((200, 50))?;
    terminal.press("1")?;
    let lines = terminal.shows("[1 overview]")?;
    ensure!(lines.len() == 50, "{}", lines.len());
    terminal.shows("memory ")?;
    terminal.press("q")?;
    terminal.ended()
}

fn comes_back() -> Result<()> {
    let (mut daemon, _dir) = watched()?;
    let server = Answerer::inet()?;
    let mut terminal = Terminal::start(&daemon, &[("NO_COLOR", "1")])?;
    terminal.press("3/path startsWith \"/back\"\r")?;
    terminal.shows("filter: path")?;
    use_it(&server, "/back/1")?;
    terminal.shows("api.top.example/back/1")?;
    daemon.stop()?;
    terminal.shows("✗ no daemon for")?;
    // What was seen can still be read.
    terminal.shows("api.top.example/back/1")?;
    daemon.restart()?;
    terminal.shows("the daemon is back")?;
    use_it(&server, "/back/2")?;
    let lines = terminal.shows("api.top.example/back/2")?;
    for path in ["/back/1 ", "/back/2 "] {
        let count = lines.iter().filter(|line| line.contains(path)).count();
        ensure!(count == 1, "{path} {count} times: {lines:#?}");
    }
    // Without colour: weight and reversal only.
    ensure!(
        !terminal.text().contains("\x1b[38;"),
        "colour in spite of NO_COLOR"
    );
    terminal.press("\x03")?;
    terminal.ended()
}

fn gives_back() -> Result<()> {
    let daemon = Daemon::start()?;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = Terminal::start(&daemon, &[])?;
        terminal.shows("✓ connected")?;
        let raw = tcgetattr(&terminal.slave)?;
        ensure!(
            raw.local_modes != terminal.before.local_modes,
            "it takes no single keys"
        );
        terminal.top.signal(signal)?;
        terminal.ended().with_context(|| format!("{signal:?}"))?;
    }
    Ok(())
}

fn refuses() -> Result<()> {
    let output = Command::new(binary()?)
        .arg("top")
        .env("TERM", "xterm")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(64), "{said}");
    ensure!(
        said.contains("needs a terminal") && said.contains("bailiwick tail"),
        "{said}"
    );
    Ok(())
}
