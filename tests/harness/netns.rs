//! Two hosts out of network namespaces, joined by a pair of virtual interfaces.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::unique;

/// A network namespace. Removed when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
    /// Its address towards the other one.
    pub address: String,
}

/// Two namespaces that reach each other over IPv4 and nothing else.
///
/// # Errors
/// When `ip` cannot make them.
pub fn pair() -> Result<(Netns, Netns)> {
    let make = |address: &str| -> Result<Netns> {
        let netns = Netns {
            name: unique("bw"),
            address: address.to_owned(),
        };
        ip(&["netns", "add", &netns.name])?;
        Ok(netns)
    };
    // TEST-NET-2 (RFC 5737): routed nowhere else.
    let (one, two) = (make("198.51.100.1")?, make("198.51.100.2")?);
    ip(&[
        "-n", &one.name, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", &two.name,
    ])?;
    for netns in [&one, &two] {
        ip(&[
            "-n",
            &netns.name,
            "addr",
            "add",
            &format!("{}/24", netns.address),
            "dev",
            "eth0",
        ])?;
        ip(&["-n", &netns.name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &netns.name, "link", "set", "lo", "up"])?;
    }
    Ok((one, two))
}

impl Netns {
    /// A command that will run in it; the process keeps its id.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/usr/sbin/ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Processes in it keep it alive; they are ended before it by the order of the test's variables.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("/usr/sbin/ip").args(args).output()?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
