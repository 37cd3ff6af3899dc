//! What seeing through TLS costs: bare, with Bailiwick's keys, and with the classic way (entry and return
//! probes on `SSL_read` and `SSL_write`), in turn within each round.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::{Load, Monitor, Nginx, Target, wrk};
use super::process::Process;
use super::report::{Spread, date, losses, machine};
use super::{Options, per_request};
use crate::project::Project;
use crate::shell::capture;

/// Bytes of the download.
const DOWNLOAD: u64 = 1 << 30;
/// How long programs have to attach or to settle.
const SETTLE: Duration = Duration::from_millis(1500);

/// What every monitor of TLS known to us does, in the fewest words: it copies eight bytes and counts.
fn classic_script(library: &Path) -> String {
    let at = library.display();
    let mut script = String::new();
    for (function, map) in [("SSL_read", "r"), ("SSL_write", "w")] {
        let _ = write!(
            script,
            "uprobe:{at}:{function} {{ @{map}[tid] = arg1; }}\n\
             uretprobe:{at}:{function} /@{map}[tid]/ {{\n\
             @{map}bytes = sum(retval); @{map}head = *(uint64 *)@{map}[tid]; delete(@{map}[tid]); }}\n"
        );
    }
    script
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Bare,
    Keys,
    Classic,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Bare, Self::Keys, Self::Classic];
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Small answers over kept-alive connections.
    KeepAlive,
    /// A connection for each request.
    Connections,
    /// One large answer.
    Download,
}

impl Work {
    const ALL: [Self; 3] = [Self::KeepAlive, Self::Connections, Self::Download];

    fn title(self) -> &'static str {
        match self {
            Self::KeepAlive => "requests/s, kept-alive connections",
            Self::Connections => "requests/s, a connection each",
            Self::Download => "MiB/s, one download of 1 GiB",
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    rate: f64,
    /// CPU of the server, µs per request.
    server: f64,
    /// CPU of the monitor, µs per request.
    agent: f64,
    /// Records that the monitor lost.
    lost: u64,
}

enum Watcher {
    Nobody,
    Monitor(Box<Monitor>),
    Classic { _process: Process },
}

/// Measures and returns Markdown.
pub(crate) fn run(project: &Project, dir: &Path, options: &Options) -> Result<String> {
    fs::create_dir_all(dir.join("www"))?;
    // Sparse: read from the page cache as zeros, like any file that is hot.
    fs::File::create(dir.join("www/gigabyte"))?.set_len(DOWNLOAD)?;
    let nginx = Nginx::start(dir)?;
    let library = libssl()?;
    wrk(&nginx.tls(), 1, options.connections, false)?;
    let mut text = format!(
        "## TLS 1.3: nginx and wrk, {}\n\n{}\n\n{} rounds of {} s a run, one nginx worker, one wrk thread, \
         {} connections; bare, with Bailiwick (keys taken at the handshake), and with a bpftrace script of entry \
         and return probes on SSL_read and SSL_write, in turn. `cargo xtask bench --tls --pairs {} --seconds {}`.\n",
        date(),
        machine(),
        options.pairs,
        options.seconds,
        options.connections,
        options.pairs,
        options.seconds
    );
    for work in Work::ALL {
        let mut rounds = Vec::new();
        for round in 0..options.pairs as usize {
            let mut done = [None; Mode::ALL.len()];
            for turn in 0..Mode::ALL.len() {
                let at = (turn + round) % Mode::ALL.len();
                let run = measure(project, dir, &nginx, &library, options, Mode::ALL[at], work)?;
                eprintln!(
                    "{work:?} {}/{} {:?}: {:.0}",
                    round + 1,
                    options.pairs,
                    Mode::ALL[at],
                    run.rate
                );
                done[at] = Some(run);
            }
            if let [Some(bare), Some(keys), Some(classic)] = done {
                rounds.push([bare, keys, classic]);
            }
        }
        table(&mut text, work, &rounds)?;
    }
    Ok(text)
}

fn measure(
    project: &Project,
    dir: &Path,
    nginx: &Nginx,
    library: &Path,
    options: &Options,
    mode: Mode,
    work: Work,
) -> Result<Run> {
    let watcher = match mode {
        Mode::Bare => Watcher::Nobody,
        Mode::Keys => Watcher::Monitor(Box::new(Monitor::start(&project.binary(), dir)?)),
        Mode::Classic => classic(dir, library)?,
    };
    std::thread::sleep(SETTLE);
    let agent_cpu = |watcher: &Watcher| match watcher {
        Watcher::Monitor(monitor) => monitor.cpu().map(Some),
        _ => Ok(None),
    };
    let before = (nginx.cpu()?, agent_cpu(&watcher)?);
    let load = match work {
        Work::KeepAlive => wrk(&nginx.tls(), options.seconds, options.connections, false)?,
        Work::Connections => wrk(&nginx.tls(), options.seconds, options.connections, true)?,
        Work::Download => download(&nginx.tls())?,
    };
    ensure!(
        !load.failed,
        "wrk reports failed requests; these figures mean nothing"
    );
    let server = per_request(nginx.cpu()? - before.0, load.requests);
    std::thread::sleep(Duration::from_millis(300));
    let agent = match (agent_cpu(&watcher)?, before.1) {
        (Some(after), Some(before)) => per_request(after - before, load.requests),
        _ => 0.0,
    };
    let lost = match &watcher {
        Watcher::Monitor(monitor) => {
            losses(&monitor.status()?).context("no losses in the status")?
        }
        _ => 0,
    };
    Ok(Run {
        rate: load.per_second,
        server,
        agent,
        lost,
    })
}

fn classic(dir: &Path, library: &Path) -> Result<Watcher> {
    let script = dir.join("classic.bt");
    fs::write(&script, classic_script(library))?;
    let log = dir.join("classic.log");
    let process = Process::start(
        Command::new("/usr/bin/bpftrace")
            .arg(&script)
            .stdout(fs::File::create(&log)?)
            .stderr(Stdio::null()),
    )?;
    let begin = Instant::now();
    while !fs::read_to_string(&log)?.contains("Attaching 4 probes") {
        ensure!(
            begin.elapsed() < Duration::from_secs(20),
            "bpftrace did not attach; see {}",
            log.display()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Watcher::Classic { _process: process })
}

/// Fetches the large file once; MiB a second.
fn download(target: &Target) -> Result<Load> {
    let text = capture(Command::new("/usr/bin/curl").args([
        "--silent",
        "--insecure",
        "--http1.1",
        "--output",
        "/dev/null",
        "--header",
        "Authorization: Bearer bench-token-0123456789abcdef",
        "--write-out",
        "%{http_code} %{size_download} %{speed_download}",
        &format!("{}/gigabyte", target.0),
    ]))?;
    let mut words = text.split_whitespace();
    let (code, size, speed) = (words.next(), words.next(), words.next());
    let speed: f64 = speed
        .and_then(|s| s.parse().ok())
        .context("curl told no speed")?;
    Ok(Load {
        requests: 1,
        per_second: speed / f64::from(1 << 20),
        failed: code != Some("200") || size != Some(&DOWNLOAD.to_string()),
    })
}

/// The library that nginx and curl use.
fn libssl() -> Result<PathBuf> {
    let text = capture(Command::new("/usr/bin/ldd").arg("/usr/sbin/nginx"))?;
    text.lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("libssl.so.3 => ")?
                .split(' ')
                .next()
        })
        .map(PathBuf::from)
        .context("nginx does not use libssl.so.3")
}

fn table(text: &mut String, work: Work, rounds: &[[Run; 3]]) -> Result<()> {
    writeln!(text, "### {}\n", work.title())?;
    writeln!(
        text,
        "| round | bare | keys | keys/bare | classic | classic/bare | lost |"
    )?;
    writeln!(text, "|---:|---:|---:|---:|---:|---:|---:|")?;
    for (number, [bare, keys, classic]) in rounds.iter().enumerate() {
        writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.3} | {:.0} | {:.3} | {} |",
            number + 1,
            bare.rate,
            keys.rate,
            keys.rate / bare.rate,
            classic.rate,
            classic.rate / bare.rate,
            keys.lost
        )?;
    }
    let of =
        |figure: &dyn Fn(&[Run; 3]) -> f64| Spread::of(rounds.iter().map(figure).collect()).median;
    writeln!(
        text,
        "\nMedians: keys/bare {:.3}, classic/bare {:.3}; server CPU bare {:.2} µs, with keys {:.2}, classic {:.2}; \
         agent {:.2} µs a request.\n",
        of(&|[bare, keys, _]| keys.rate / bare.rate),
        of(&|[bare, _, classic]| classic.rate / bare.rate),
        of(&|[bare, ..]| bare.server),
        of(&|[_, keys, _]| keys.server),
        of(&|[.., classic]| classic.server),
        of(&|[_, keys, _]| keys.agent)
    )?;
    Ok(())
}
