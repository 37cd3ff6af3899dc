//! What tests hold accesses against; those of TLS and HTTP/2, one line for each request, whole.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use bailiwick::access::record::{AccessRecord, EndpointRecord};
use e2e::process::exe;
use e2e::tls::{Logged, log};
use e2e::{Daemon, Server};

/// A process at one end.
#[derive(Clone, Debug)]
pub(crate) struct End(String);

impl End {
    /// A process and its program.
    pub(crate) fn new(id: u32, program: &str) -> Result<Self> {
        Ok(Self(format!("{id}:{}", exe(program)?)))
    }

    pub(crate) fn of(server: &Server) -> Result<Self> {
        Ok(Self(format!("{}:{}", server.id()?, server.exe)))
    }

    fn seen(end: Option<&EndpointRecord>) -> String {
        end.map_or_else(|| "-".to_owned(), |end| format!("{}:{}", end.pid, end.exe))
    }
}

/// It was answered with 200.
pub(crate) fn answered(access: &AccessRecord) -> Result<()> {
    let response = access.response.as_ref();
    ensure!(
        response.is_some_and(|response| response.status == 200),
        "{access:#?}"
    );
    Ok(())
}

/// Process `id` asked.
pub(crate) fn asked_by(access: &AccessRecord, id: u32) -> Result<()> {
    let client = access.client.as_ref();
    ensure!(
        client.is_some_and(|client| client.pid == id),
        "client of {access:#?}"
    );
    Ok(())
}

/// Requests that must have been seen, each once, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    lines: Vec<String>,
    /// Clients by the first word of the path.
    clients: BTreeMap<String, End>,
}

/// Version, server name and protocol agreed upon, `-` for what there was not.
pub(crate) type Tls<'a> = [&'a str; 3];

/// Clear text.
pub(crate) const CLEAR: Tls<'static> = ["-", "-", "-"];

impl Wanted {
    /// Requests whose paths begin with this word come from this process.
    pub(crate) fn client(&mut self, word: &str, id: u32, program: &str) -> Result<()> {
        self.clients.insert(word.to_owned(), End::new(id, program)?);
        Ok(())
    }

    /// One request.
    pub(crate) fn request(
        &mut self,
        request: (&str, &str, u16),
        protocol: &str,
        tls: Tls<'_>,
        ends: [&End; 2],
    ) {
        let (method, path, status) = request;
        let [version, sni, alpn] = tls;
        let [client, server] = ends.map(|end| &end.0);
        self.lines.push(format!(
            "{method} {path} {status} {protocol} {version} {sni} {alpn} {client} {server}"
        ));
    }

    /// What nginx says of its requests, once they are so many.
    pub(crate) fn logged(
        &mut self,
        daemon: &Daemon,
        name: &str,
        server: &Server,
        count: usize,
    ) -> Result<()> {
        let end = End::of(server)?;
        for line in log(daemon.dir(), name, count)? {
            let Logged {
                method,
                path,
                status,
                protocol,
                tls,
            } = &line;
            let word = path.split('/').nth(1).unwrap_or_default();
            let client = self.clients.get(word).cloned();
            let client = client.with_context(|| format!("nobody was to ask for {path}"))?;
            let tls = [0, 1, 2].map(|index| tls[index].as_str());
            self.request((method, path, *status), protocol, tls, [&client, &end]);
        }
        Ok(())
    }

    /// Fails unless exactly these accesses were seen.
    pub(crate) fn same(mut self, daemon: &Daemon, accesses: &[AccessRecord]) -> Result<()> {
        let mut seen: Vec<String> = accesses.iter().map(line).collect();
        seen.sort();
        self.lines.sort();
        for access in accesses {
            hello(access)?;
        }
        if seen == self.lines {
            return Ok(());
        }
        let (missing, extra) = (without(&self.lines, &seen), without(&seen, &self.lines));
        let status = daemon.status()?;
        bail!(
            "{} requests wanted, {} seen; wanted and not seen\n{missing}\nseen and not wanted\n{extra}\n\
             losses {}\nanomalies {}\nuncovered {}",
            self.lines.len(),
            seen.len(),
            status["losses"],
            status["anomalies"],
            status["uncovered"],
        )
    }
}

/// Lines of one list, each as often as it has them more than the other; of many, the first.
fn without(these: &[String], those: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut more: BTreeMap<&str, i64> = BTreeMap::new();
    for line in these {
        *more.entry(line).or_default() += 1;
    }
    for line in those {
        *more.entry(line).or_default() -= 1;
    }
    let left = more.iter().filter(|(_, times)| **times > 0);
    let lines: Vec<String> = left
        .map(|(line, times)| format!("{times} × {line}"))
        .collect();
    let rest = lines.len().saturating_sub(SHOWN);
    let mut text = lines.into_iter().take(SHOWN).collect::<Vec<_>>().join("\n");
    if rest > 0 {
        text.push_str(&format!("\n… {rest} more"));
    }
    text
}

fn line(access: &AccessRecord) -> String {
    let tls = access.tls.as_ref();
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    format!(
        "{} {} {} {} {} {} {} {} {}",
        access.request.method,
        access.request.path,
        access
            .response
            .as_ref()
            .map_or(0, |response| response.status),
        access.protocol,
        text(tls.and_then(|tls| tls.version.as_deref())),
        text(tls.and_then(|tls| tls.sni.as_deref())),
        text(tls.and_then(|tls| tls.alpn.as_deref())),
        End::seen(access.client.as_ref()),
        End::seen(access.server.as_ref()),
    )
}

/// What must hold of every access over TLS.
fn hello(access: &AccessRecord) -> Result<()> {
    let Some(tls) = &access.tls else {
        return Ok(());
    };
    ensure!(tls.via == "keys", "via of {access:#?}");
    ensure!(access.findings != ["cleartext"], "findings of {access:#?}");
    // JA4 (a): transport, version offered, whether a server name, two counts, first protocol offered.
    let ja4 = tls.ja4.as_deref().unwrap_or_default();
    let (a, rest) = ja4
        .split_once('_')
        .with_context(|| format!("ja4 of {access:#?}"))?;
    let name = if tls.sni.is_some() { 'd' } else { 'i' };
    ensure!(
        ja4.len() == 36
            && a.len() == 10
            && rest.len() == 25
            && a.starts_with("t1")
            && a.chars().nth(3) == Some(name),
        "ja4 of {access:#?}"
    );
    ensure!(
        tls.alpn.is_none() || !a.ends_with("00"),
        "ja4 of {access:#?}"
    );
    Ok(())
}
