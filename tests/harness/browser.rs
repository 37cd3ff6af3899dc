//! Debian's Chromium without a window, told what to do over a pipe (Chrome DevTools Protocol).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scaled;

const PROGRAM: &str = "/usr/bin/chromium";

/// A browser with one tab. Ends when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    next: u64,
    /// What the page complained of, as the browser's console has it.
    pub complaints: VecDeque<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start() -> Result<Self> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: `cargo xtask setup test` installs it"
        );
        let profile = tempfile::Builder::new()
            .prefix("bailiwick-browser-")
            .tempdir()?;
        // Commands come in on descriptor 3 and answers go out on 4: the shell puts our pipes there.
        let mut child = Command::new("/bin/sh")
            .args([
                "-c",
                "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec \"$@\"",
                "sh",
            ])
            .arg(PROGRAM)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let to = child.stdin.take().context("no pipe")?;
        let answers = child.stdout.take().context("no pipe")?;
        let (sender, from) = mpsc::channel();
        std::thread::spawn(move || {
            let mut answers = BufReader::new(answers);
            let mut message = Vec::new();
            while answers
                .read_until(0, &mut message)
                .is_ok_and(|count| count > 0)
            {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: String::new(),
            next: 0,
            complaints: VecDeque::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach)?;
        attached["sessionId"]
            .as_str()
            .context("no session")?
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        // In time of its processor: others may keep the machine busy.
        let ticks = json!({"timeDomain": "threadTicks"});
        browser.call("Performance.enable", ticks)?;
        Ok(browser)
    }

    /// One command, and its result.
    ///
    /// # Errors
    /// What the browser says is wrong, or when it does not answer.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut command = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let mut text = serde_json::to_vec(&command)?;
        text.push(0);
        self.to.write_all(&text)?;
        let until = Instant::now() + scaled(Duration::from_secs(60));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = match self.from.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => bail!("{method}: no answer"),
                Err(RecvTimeoutError::Disconnected) => bail!("{method}: the browser is gone"),
            };
            if message["id"] == id {
                let error = &message["error"];
                ensure!(error.is_null(), "{method}: {error}");
                return Ok(message["result"].clone());
            }
            self.overhear(&message);
        }
    }

    fn overhear(&mut self, message: &Value) {
        let params = &message["params"];
        let said = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => &params["exceptionDetails"],
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => &params["entry"],
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => &params["args"],
            _ => return,
        };
        self.complaints.push_back(said.to_string());
    }

    /// Size of the tab, and `light` or `dark`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn look(&mut self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media)?;
        Ok(())
    }

    /// Goes there, from a page without anything.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", json!({"url": "about:blank"}))?;
        let went = self.call("Page.navigate", json!({"url": url}))?;
        ensure!(went["errorText"].is_null(), "{}", went["errorText"]);
        Ok(())
    }

    /// The value of a script, or of what it promises.
    ///
    /// # Errors
    /// What it throws.
    pub fn run(&mut self, script: &str) -> Result<Value> {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params)?;
        let thrown = &result["exceptionDetails"];
        ensure!(thrown.is_null(), "{script}: {thrown}");
        Ok(result["result"]["value"].clone())
    }

    /// Waits until a script gives something that is neither false nor nothing.
    ///
    /// # Errors
    /// When it does not in time; the message has the page's text.
    pub fn until(&mut self, script: &str) -> Result<Value> {
        let until = Instant::now() + scaled(Duration::from_secs(30));
        loop {
            // What it looks at may not be there yet.
            let value = self.run(script);
            if let Ok(value) = &value
                && !matches!(value, Value::Null | Value::Bool(false))
                && value != ""
                && value != 0
            {
                return Ok(value.clone());
            }
            if Instant::now() > until {
                let text = self.run("document.body?.innerText")?;
                bail!("never: {script} ({value:?})\n{text}\n{:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Presses a key.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn press(&mut self, key: &str) -> Result<()> {
        let mut down = json!({"type": "keyDown", "key": key});
        if key.chars().count() == 1 {
            down["text"] = json!(key);
        }
        if key == "Enter" {
            down["text"] = json!("\r");
            down["windowsVirtualKeyCode"] = json!(13);
        }
        self.call("Input.dispatchKeyEvent", down)?;
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key}),
        )?;
        Ok(())
    }

    /// A figure of the tab's main thread: `JSHeapUsedSize` in bytes, `TaskDuration` in seconds of its processor …
    ///
    /// # Errors
    /// As [`Self::call`], or when there is no such figure.
    pub fn figure(&mut self, name: &str) -> Result<f64> {
        let metrics = self.call("Performance.getMetrics", json!({}))?;
        let all = metrics["metrics"].as_array().context("no figures")?;
        let found = all.iter().find(|one| one["name"] == name);
        found
            .and_then(|one| one["value"].as_f64())
            .with_context(|| format!("no {name}"))
    }

    /// Memory of the tab's process in bytes, counted as the browser's task manager does: anonymous pages and what is
    /// swapped out (`private_footprint_kb` of Chromium's memory instrumentation on Linux). The largest of its renderers:
    /// the others are spares.
    ///
    /// # Errors
    /// When there is none.
    pub fn footprint(&self) -> Result<u64> {
        let group = self.child.id();
        let mut most = None;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let dir = entry.path();
            // Processes end while they are looked at.
            let (Ok(command), Ok(stat), Ok(status)) = (
                std::fs::read_to_string(dir.join("cmdline")),
                std::fs::read_to_string(dir.join("stat")),
                std::fs::read_to_string(dir.join("status")),
            ) else {
                continue;
            };
            // proc_pid_stat(5): behind the name state, parent, group.
            let of_ours = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok())
                .is_some_and(|of: u32| of == group);
            if !of_ours || !command.contains("--type=renderer") {
                continue;
            }
            let kib = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                    .unwrap_or(0)
            };
            most = most.max(Some((kib("RssAnon:") + kib("VmSwap:")) * 1024));
        }
        most.context("the browser has no renderer")
    }

    /// What the tab shows, as PNG.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}))?;
        let data = shot["data"].as_str().context("no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(data)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers are in its process group; they must be gone before its profile is.
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
