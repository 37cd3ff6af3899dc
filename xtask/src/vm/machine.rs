//! One machine: QEMU without KVM, watched from its start to its end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::debian::{Debian, Kernel};
use super::record::{END, End};

/// How much longer than on a real machine the tests wait: emulated processors are 10 to 20 times slower, and
/// what they wait for mostly takes a small part of their time.
pub(super) const PATIENCE: u32 = 8;
const MEMORY: &str = "3G";
/// Characters of the console that a failure quotes.
const LAST_WORDS: usize = 2000;

/// What is booted, and how long it may take.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    pub(super) debian: &'a Debian,
    pub(super) kernel: &'a Kernel,
    pub(super) image: &'a Path,
    pub(super) root: Root<'a>,
    pub(super) most: Duration,
    pub(super) silence: Duration,
}

/// Where the machine's files come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'a> {
    /// This host, read-only through virtiofs. Process 1 runs the script at this path.
    Host(&'a Path),
    /// Disks, the root first. What is written to them is forgotten with the machine.
    Disks(&'a [PathBuf]),
}

/// A child that ends with its guard.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Errors mean that it ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that goes with its guard.
struct Sockets(PathBuf);

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Machine<'_> {
    /// Boots, hands over each line that the tests write, and says how it ended.
    ///
    /// # Errors
    /// When QEMU or virtiofsd cannot be started.
    pub(super) fn boot(&self, dir: &Path, line: &mut dyn FnMut(&str)) -> Result<End> {
        // Paths of sockets have to be short.
        let sockets =
            Sockets(std::env::temp_dir().join(format!("bailiwick-vm-{}", std::process::id())));
        fs::create_dir_all(&sockets.0)?;
        let socket = sockets.0.join("root");
        let log = dir.join(format!("files-{}.log", self.kernel.release));
        let _files = match self.root {
            Root::Host(_) => Some(self.files(&socket, &log)?),
            Root::Disks(_) => None,
        };
        let console = dir.join(format!("console-{}.log", self.kernel.release));
        fs::write(&console, "")?;
        let mut qemu = self.qemu(&socket, &console)?;
        let output = qemu.0.stdout.take().context("QEMU has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut input = BufReader::new(output);
            let mut bytes = Vec::new();
            while matches!(input.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
                if sender
                    .send(String::from_utf8_lossy(&bytes).trim().to_owned())
                    .is_err()
                {
                    break;
                }
                bytes.clear();
            }
        });
        let begun = Instant::now();
        let mut heard = Instant::now();
        let mut said = 0;
        let mut complete = false;
        loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(text) => {
                    heard = Instant::now();
                    complete |= text == END;
                    line(&text);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let length = fs::metadata(&console).map_or(0, |meta| meta.len());
            if length != said {
                (heard, said) = (Instant::now(), length);
            }
            let words = || last_words(&console);
            if heard.elapsed() > self.silence {
                let silence = self.silence.as_secs() / 60;
                return Ok(End::Broken(format!(
                    "silent for {silence} minutes; {}",
                    words()
                )));
            }
            if begun.elapsed() > self.most {
                let most = self.most.as_secs() / 60;
                return Ok(End::Broken(format!(
                    "not done after {most} minutes; {}",
                    words()
                )));
            }
        }
        if complete {
            return Ok(End::Complete);
        }
        Ok(End::Broken(format!(
            "the machine ended before its tests did; {}",
            last_words(&console)
        )))
    }

    /// Shows the host's files to the machine, read-only as it mounts them.
    fn files(&self, socket: &Path, log: &Path) -> Result<Guard> {
        let mut command = self.debian.command("usr/lib/qemu/virtiofsd");
        command
            .arg(format!("--socket-path={}", socket.display()))
            .args([
                "-o",
                "source=/",
                "-o",
                "sandbox=chroot",
                "-o",
                "cache=always",
            ])
            .args(["-o", "xattr", "--thread-pool-size=2"]);
        let file = File::create(log)?;
        let mut guard = start(command.stdout(file.try_clone()?).stderr(file), "virtiofsd")?;
        let begun = Instant::now();
        while !socket.exists() {
            if guard.0.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(20) {
                bail!(
                    "virtiofsd does not run: {}",
                    fs::read_to_string(log).unwrap_or_default().trim()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(guard)
    }

    fn qemu(&self, socket: &Path, console: &Path) -> Result<Guard> {
        let mut command = self.debian.command("usr/bin/qemu-system-x86_64");
        for firmware in self.debian.firmware() {
            command.arg("-L").arg(firmware);
        }
        let mut line =
            "console=ttyS0 quiet no_timer_check panic=-1 oops=panic init_on_alloc=0 mitigations=off"
                .to_owned();
        match self.root {
            Root::Host(script) => {
                line.push_str(&format!(" guest={}", script.display()));
                command
                    .arg("-chardev")
                    .arg(format!("socket,id=root,path={}", socket.display()))
                    .args(["-device", "vhost-user-fs-pci,chardev=root,tag=root"]);
            }
            Root::Disks(disks) => {
                line.push_str(" systemd.mask=serial-getty@ttyS0.service");
                for disk in disks {
                    command.arg("-drive").arg(format!(
                        "file={},format=raw,if=virtio,snapshot=on",
                        disk.display()
                    ));
                }
            }
        }
        command
            .args(["-M", "q35", "-cpu", "max", "-accel", "tcg,thread=multi"])
            .args(["-smp", "2", "-m", MEMORY])
            .arg("-object")
            .arg(format!(
                "memory-backend-memfd,id=mem,size={MEMORY},share=on"
            ))
            .args(["-numa", "node,memdev=mem"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.image)
            .args(["-append", &line])
            .args(["-display", "none", "-no-reboot", "-nodefaults"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-serial", "stdio"]);
        start(command.stdout(Stdio::piped()), "QEMU")
    }
}

fn start(command: &mut Command, name: &str) -> Result<Guard> {
    command
        .stdin(Stdio::null())
        .spawn()
        .map(Guard)
        .with_context(|| format!("cannot start {name}"))
}

fn last_words(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let skip = text.chars().count().saturating_sub(LAST_WORDS);
    let words: String = text.chars().skip(skip).collect();
    format!("its console: {}", words.trim())
}
