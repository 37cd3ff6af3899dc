//! What the package promises.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tools::{self, Receiver, access, must, output, property, records, request, wait};

type Check = fn(&mut Scene) -> Result<String>;

/// In this order: each stands on what those before left.
pub(super) const ALL: [(&str, Check); 17] = [
    (
        "`dpkg -i` installs, and neither enables nor starts",
        installs,
    ),
    (
        "manual pages, completions, changelog and copyright are there",
        pages,
    ),
    (
        "`systemctl start` returns when it is ready (Type=notify), as shipped",
        starts,
    ),
    ("it runs as its own user with four capabilities", privileges),
    (
        "`systemd-analyze security` is at most 2.5, with capture working",
        exposure,
    ),
    ("units of real services are named", units),
    ("a systemd-nspawn container is named", nspawn),
    ("a podman container has its id", podman),
    ("the journal has priorities and fields", journal),
    ("`systemctl reload` takes a good policy", good_reload),
    (
        "`systemctl reload` refuses a bad one, and the old stays",
        bad_reload,
    ),
    ("secrets come by LoadCredential", credentials),
    ("`kill -9`: started again, no alert lost", killed),
    ("a stuck daemon: the watchdog fires", stuck),
    (
        "an upgrade keeps configuration and alerts, and restarts",
        upgrade,
    ),
    ("`dpkg -r` keeps configuration and state", remove),
    (
        "`dpkg -P` takes both, and leaves what is not the package's",
        purge,
    ),
];

const STATE: &str = "/var/lib/bailiwick";
const POLICY: &str = "/etc/bailiwick/policy.d/60-own.toml";
const DROP_IN: &str = "/etc/systemd/system/bailiwick.service.d/own.conf";

/// HMAC-SHA256 (RFC 2104) of a file, as a webhook's signature: Debian's smallest Python has hashlib, but not hmac.
const HMAC: &str = "import hashlib,binascii
key=b'a secret of the webhook, 32 bytes'.ljust(64,b'\\0')
inner=hashlib.sha256(bytes(x^0x36 for x in key)+open('/run/signed','rb').read()).digest()
outer=hashlib.sha256(bytes(x^0x5c for x in key)+inner).digest()
print('v1,'+binascii.b2a_base64(outer,newline=False).decode())";

/// What is handed from check to check.
pub(super) struct Scene {
    dir: PathBuf,
    receiver: Option<Receiver>,
}

impl Scene {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            receiver: None,
        }
    }

    fn package(&self, number: u32) -> String {
        self.dir.join(format!("{number}.deb")).display().to_string()
    }
}

fn installs(scene: &mut Scene) -> Result<String> {
    must(&["dpkg", "-i", &scene.package(1)])?;
    let enabled = output(&["systemctl", "is-enabled", "bailiwick"])?;
    let enabled = String::from_utf8_lossy(&enabled.stdout).trim().to_owned();
    ensure!(enabled == "disabled", "it is {enabled}");
    let active = property("ActiveState")?;
    ensure!(active == "inactive", "it is {active}");
    let user = must(&["getent", "passwd", "bailiwick"])?;
    let meta = fs::metadata("/etc/bailiwick")?;
    let group = must(&["getent", "group", "bailiwick"])?;
    let gid: u32 = group.split(':').nth(2).context("no gid")?.trim().parse()?;
    ensure!(
        meta.uid() == 0 && meta.gid() == gid && meta.permissions().mode() & 0o7777 == 0o750,
        "/etc/bailiwick is {}:{} {:o}",
        meta.uid(),
        meta.gid(),
        meta.permissions().mode()
    );
    must(&[
        "bailiwick",
        "check",
        "--warnings-ok",
        "--config",
        "/etc/bailiwick/bailiwick.toml",
    ])?;
    Ok(format!("{enabled}, {active}; user {}", user.trim()))
}

fn pages(_: &mut Scene) -> Result<String> {
    const FILES: [&str; 9] = [
        "/usr/share/man/man1/bailiwick.1.gz",
        "/usr/share/man/man1/bailiwick-tail.1.gz",
        "/usr/share/man/man5/bailiwick.toml.5.gz",
        "/usr/share/man/man5/bailiwick-policy.5.gz",
        "/usr/share/man/man8/bailiwick.service.8.gz",
        "/usr/share/bash-completion/completions/bailiwick",
        "/usr/share/zsh/vendor-completions/_bailiwick",
        "/usr/share/fish/vendor_completions.d/bailiwick.fish",
        "/usr/share/doc/bailiwick/copyright",
    ];
    let listed = must(&["dpkg", "-L", "bailiwick"])?;
    let listed: BTreeSet<&str> = listed.lines().collect();
    for file in FILES {
        ensure!(listed.contains(file), "{file} is not in the package");
    }
    let commands = listed
        .iter()
        .filter(|path| path.starts_with("/usr/share/man/man1/"))
        .count();
    Ok(format!(
        "{commands} pages of commands, two of files, one of the service; three shells"
    ))
}

fn starts(_: &mut Scene) -> Result<String> {
    let begun = Instant::now();
    must(&["systemctl", "start", "bailiwick"])?;
    let took = begun.elapsed();
    let state = (property("ActiveState")?, property("StatusText")?);
    ensure!(state.0 == "active" && state.1 == "watching", "{state:?}");
    // What began after `start` returned is seen.
    request("first", "alice:first", "dev.localhost", "/first")?;
    let seen = access("/first")?;
    ensure!(seen["identity"] == "alice", "{seen}");
    Ok(format!(
        "ready after {:.1} s; the first request after it was seen",
        took.as_secs_f64()
    ))
}

fn privileges(_: &mut Scene) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", property("MainPID")?))?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|text| text.trim().to_owned())
            .with_context(|| format!("no {name}"))
    };
    let uid = field("Uid")?;
    ensure!(!uid.starts_with('0'), "it runs as root: {uid}");
    let bound = u64::from_str_radix(&field("CapBnd")?, 16)?;
    ensure!(bound.count_ones() == 4, "bounding set {bound:x}");
    ensure!(field("NoNewPrivs")? == "1", "new privileges can be had");
    ensure!(field("Seccomp")? == "2", "no filter of system calls");
    let probes = records(&["doctor"])?;
    let given_up = probes
        .iter()
        .find(|probe| probe["name"] == "given up by the daemon")
        .context("doctor says nothing of what was given up")?;
    ensure!(given_up["outcome"] == "ok", "{given_up}");
    Ok(format!(
        "bounding set {bound:#x}, no new privileges; {}",
        given_up["detail"].as_str().unwrap_or_default()
    ))
}

fn exposure(_: &mut Scene) -> Result<String> {
    let text = must(&["systemd-analyze", "security", "--no-pager", "bailiwick"])?;
    let score: f64 = text
        .lines()
        .find_map(|line| {
            line.split_once("Overall exposure level")?
                .1
                .split_once(": ")
        })
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .context("no score")?;
    ensure!(score <= 2.5, "{score}");
    request("exposed", "alice:exposed", "dev.localhost", "/exposed")?;
    access("/exposed")?;
    Ok(score.to_string())
}

fn units(_: &mut Scene) -> Result<String> {
    fs::write(
        "/etc/systemd/system/shop.service",
        format!(
            "[Service]\nType=oneshot\nUser=daemon\nExecStart=/usr/bin/curl --silent --fail --user alice:shop \
             http://dev.localhost:{}/shop\n",
            tools::PORT
        ),
    )?;
    must(&["systemctl", "daemon-reload"])?;
    must(&["systemctl", "start", "shop.service"])?;
    let seen = access("/shop")?;
    let (client, server) = (&seen["client"], &seen["server"]);
    ensure!(
        client["unit"] == "shop.service"
            && client["user"] == "daemon"
            && client["exe"] == "/usr/bin/curl",
        "client {client}"
    );
    ensure!(server["unit"] == "check.service", "server {server}");
    Ok("client shop.service (user daemon, /usr/bin/curl), server check.service".to_owned())
}

fn nspawn(_: &mut Scene) -> Result<String> {
    let url = format!("http://dev.localhost:{}/nspawn", tools::PORT);
    must(&[
        "systemd-nspawn",
        "--quiet",
        "--directory=/",
        "--volatile=yes",
        "--machine=shop",
        "--pipe",
        "/usr/bin/curl",
        "--silent",
        "--fail",
        "--max-time",
        "60",
        "--user",
        "alice:nspawn",
        &url,
    ])?;
    let seen = access("/nspawn")?;
    let client = &seen["client"];
    ensure!(client["container"] == "shop", "client {client}");
    Ok("container shop".to_owned())
}

fn podman(_: &mut Scene) -> Result<String> {
    let url = format!("http://127.0.0.1:{}/podman", tools::PORT);
    must(&[
        "podman",
        "run",
        "--cidfile=/run/podman-id",
        "--network=host",
        "--log-driver=none",
        "--rootfs",
        "/opt/box",
        "/bin/busybox",
        "wget",
        "-q",
        "-O",
        "-",
        "--header",
        "Authorization: Basic YWxpY2U6cG9kbWFu",
        &url,
    ])?;
    let id = fs::read_to_string("/run/podman-id").context("podman left no id")?;
    let seen = access("/podman")?;
    let client = &seen["client"];
    ensure!(
        client["container"].as_str() == Some(id.trim()),
        "client {client}, but the container is {id}"
    );
    Ok("the id that podman gave".to_owned())
}

fn journal(_: &mut Scene) -> Result<String> {
    let text = must(&["journalctl", "--no-pager", "-u", "bailiwick", "-o", "json"])?;
    let entries: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let watching = entries
        .iter()
        .find(|entry| {
            entry["MESSAGE"]
                .as_str()
                .is_some_and(|text| text.contains("watching"))
        })
        .context("nothing says `watching`")?;
    ensure!(
        watching["PRIORITY"] == "6",
        "priority {}",
        watching["PRIORITY"]
    );
    ensure!(
        watching["BAILIWICK_SOCKET"] == "/run/bailiwick/control.sock"
            && watching["TARGET"] == "bailiwick::daemon",
        "fields of {watching}"
    );
    Ok("PRIORITY, TARGET and a field for each value (BAILIWICK_SOCKET …)".to_owned())
}

/// The policy's generation in force.
fn generation() -> Result<u64> {
    let status = records(&["status"])?;
    status
        .first()
        .and_then(|status| status["policy"]["generation"].as_u64())
        .context("status without a generation")
}

fn good_reload(_: &mut Scene) -> Result<String> {
    let before = generation()?;
    fs::write(
        POLICY,
        "[identities.dave]\nowner = \"dave\"\ncredentials = [\"basic:user=dave\"]\nduties = [\"status\"]\nenvironments = [\"dev\"]\n",
    )?;
    must(&["systemctl", "reload", "bailiwick"])?;
    let after = wait(20, "a new generation", || {
        Ok(Some(generation()?).filter(|now| *now > before))
    })?;
    request("good", "dave:good", "dev.localhost", "/status?good")?;
    let seen = access("/status")?;
    ensure!(seen["identity"] == "dave", "{seen}");
    Ok(format!(
        "generation {before}, then {after}; the new identity is known"
    ))
}

fn bad_reload(_: &mut Scene) -> Result<String> {
    let before = generation()?;
    let good = fs::read_to_string(POLICY)?;
    fs::write(POLICY, "[identities.dave]\nowner = 7\n")?;
    let reload = output(&["systemctl", "reload", "bailiwick"])?;
    fs::write(POLICY, good)?;
    ensure!(!reload.status.success(), "systemctl says that all is well");
    let state = property("ActiveState")?;
    ensure!(state == "active", "it is {state}");
    ensure!(generation()? == before, "another policy is in force");
    request("bad", "dave:bad", "dev.localhost", "/bad")?;
    let seen = access("/bad")?;
    ensure!(seen["identity"] == "dave", "{seen}");
    let log = must(&[
        "journalctl",
        "--no-pager",
        "-u",
        "bailiwick",
        "-n",
        "50",
        "-o",
        "cat",
    ])?;
    ensure!(
        log.contains("60-own.toml"),
        "the journal does not name the file: {log}"
    );
    Ok("refused, the journal names the file; generation and identities as before".to_owned())
}

fn fingerprint(path: &str) -> Result<String> {
    let seen = access(path)?;
    seen["credential"]["fingerprint"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("no fingerprint: {seen}"))
}

fn credentials(scene: &mut Scene) -> Result<String> {
    let store = Path::new("/etc/credstore");
    fs::create_dir_all(store)?;
    let private = |name: &str, text: &str| -> Result<()> {
        let path = store.join(name);
        fs::write(&path, text)?;
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(0o600),
        )?)
    };
    request("before", "alice:same", "dev.localhost", "/before")?;
    let before = fingerprint("/before")?;
    private("bailiwick.soc", "a secret of the webhook, 32 bytes")?;
    private("bailiwick.fingerprint-key", &"5a".repeat(32))?;
    fs::create_dir_all("/etc/bailiwick/conf.d")?;
    fs::write(
        "/etc/bailiwick/conf.d/own.toml",
        format!(
            "fingerprint_key = \"credential:fingerprint-key\"\n[[webhook]]\nname = \"soc\"\n\
             url = \"http://127.0.0.1:{}/hook\"\nsecret = \"credential:soc\"\n",
            tools::RECEIVER
        ),
    )?;
    let receiver = Receiver::start()?;
    scene.receiver = Some(receiver.clone());
    must(&["systemctl", "restart", "bailiwick"])?;
    request("after", "alice:same", "dev.localhost", "/after")?;
    let after = fingerprint("/after")?;
    ensure!(before != after, "the key of fingerprints is the old one");
    // What alice did is in no duty of hers: an alert, and so a message.
    let message = wait(120, "a webhook", || Ok(receiver.all().into_iter().next()))?;
    let signed = format!("{}.{}.{}", message.id, message.time, message.body);
    fs::write("/run/signed", &signed)?;
    let expected = must(&["python3", "-c", HMAC])?;
    ensure!(
        message.signature == expected.trim(),
        "signed {}, not {expected}",
        message.signature
    );
    Ok("a webhook's secret (its signature was checked) and the key of fingerprints, of files for root alone".to_owned())
}

fn alerts() -> Result<BTreeSet<String>> {
    Ok(records(&["alerts"])?
        .iter()
        .filter_map(|alert| alert["id"].as_str().map(str::to_owned))
        .collect())
}

fn restarted(before: &str, seconds: u64) -> Result<Duration> {
    let begun = Instant::now();
    wait(seconds, "it runs again", || {
        let now = (property("NRestarts")?, property("ActiveState")?);
        Ok((now.0 != before && now.1 == "active").then_some(()))
    })?;
    Ok(begun.elapsed())
}

fn killed(_: &mut Scene) -> Result<String> {
    let count = alerts()?.len();
    request("crossing", "alice:crossing", "prod.localhost", "/crossing")?;
    let before = wait(60, "an alert", || {
        Ok(Some(alerts()?).filter(|all| all.len() > count))
    })?;
    let restarts = property("NRestarts")?;
    must(&["kill", "-9", &property("MainPID")?])?;
    let took = restarted(&restarts, 120)?;
    let after = alerts()?;
    let lost: Vec<&String> = before.difference(&after).collect();
    ensure!(lost.is_empty(), "lost {lost:?}");
    request("again", "alice:again", "dev.localhost", "/again")?;
    access("/again")?;
    Ok(format!(
        "again ready after {:.1} s; {} alerts before, all there after",
        took.as_secs_f64(),
        before.len()
    ))
}

fn stuck(_: &mut Scene) -> Result<String> {
    let restarts = property("NRestarts")?;
    must(&["kill", "-STOP", &property("MainPID")?])?;
    let took = restarted(&restarts, 180)?;
    let log = must(&[
        "journalctl",
        "--no-pager",
        "-u",
        "bailiwick",
        "-n",
        "200",
        "-o",
        "cat",
    ])?;
    ensure!(
        log.to_lowercase().contains("watchdog"),
        "the journal does not speak of the watchdog"
    );
    request("unstuck", "alice:unstuck", "dev.localhost", "/unstuck")?;
    access("/unstuck")?;
    Ok(format!(
        "again ready {:.0} s after SIGSTOP",
        took.as_secs_f64()
    ))
}

fn upgrade(scene: &mut Scene) -> Result<String> {
    let path = "/etc/bailiwick/policy.toml";
    let own = fs::read_to_string(path)? + "\n# changed here\n";
    fs::write(path, &own)?;
    fs::create_dir_all(Path::new(DROP_IN).parent().context("no directory")?)?;
    fs::write(DROP_IN, "[Service]\nNice=-4\n")?;
    let (pid, before) = (property("MainPID")?, alerts()?);
    must(&["dpkg", "-i", &scene.package(2)])?;
    let state = property("ActiveState")?;
    ensure!(state == "active", "it is {state}");
    ensure!(property("MainPID")? != pid, "the old program still runs");
    ensure!(fs::read_to_string(path)? == own, "{path} was replaced");
    let after = alerts()?;
    ensure!(before.is_subset(&after), "alerts are lost");
    let version = must(&["dpkg-query", "-W", "-f", "${Version}", "bailiwick"])?;
    request("upgraded", "alice:upgraded", "dev.localhost", "/upgraded")?;
    access("/upgraded")?;
    Ok(format!(
        "{version} runs; the changed policy.toml and {} alerts are kept",
        after.len()
    ))
}

fn remove(_: &mut Scene) -> Result<String> {
    must(&["dpkg", "-r", "bailiwick"])?;
    ensure!(
        !Path::new("/usr/bin/bailiwick").exists(),
        "the program is still there"
    );
    let running = output(&["pgrep", "-x", "bailiwick"])?;
    ensure!(!running.status.success(), "it still runs");
    for kept in ["/etc/bailiwick/policy.toml", POLICY, STATE] {
        ensure!(Path::new(kept).exists(), "{kept} is gone");
    }
    Ok("stopped; /etc/bailiwick and /var/lib/bailiwick are there".to_owned())
}

fn purge(_: &mut Scene) -> Result<String> {
    must(&["dpkg", "-P", "bailiwick"])?;
    for gone in [
        STATE,
        "/run/bailiwick",
        "/etc/bailiwick/policy.toml",
        "/etc/bailiwick/bailiwick.toml",
    ] {
        ensure!(!Path::new(gone).exists(), "{gone} is still there");
    }
    for kept in [POLICY, DROP_IN, "/etc/credstore/bailiwick.soc"] {
        ensure!(
            Path::new(kept).exists(),
            "{kept} is gone: the administrator made it"
        );
    }
    must(&["getent", "passwd", "bailiwick"])?;
    let masked = Path::new("/etc/systemd/system/bailiwick.service").exists();
    ensure!(!masked, "the unit's name is still masked");
    let listed = must(&["dpkg", "-l", "bailiwick"]);
    ensure!(listed.is_err(), "dpkg still knows it: {listed:?}");
    Ok("own policy files, drop-ins, /etc/credstore and the user stay".to_owned())
}
