//! What `replay` reads: recorded accesses as they are, and captures by way of the decoder.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::exit::Failure;
use super::out::note;
use super::recorded::{self, Found, Take};
use super::replay::counts;
use crate::access::credential::Recogniser;
use crate::replay::capture::{Bounds, Capture, CaptureSummary, Packets};
use crate::replay::{Item, Reader, Refusals, Replay, Rules};

/// Bytes of a key log read at a time.
const BUFFER: usize = 1 << 16;

/// Judges what files hold. `F` makes what finds credentials, and says whether it has the host's key.
pub(super) struct Replayed<'a, F> {
    replay: Replay,
    reader: Reader,
    refusals: Refusals,
    captured: Option<(Capture, bool)>,
    recogniser: F,
    key_logs: &'a [PathBuf],
}

impl<'a, F: Fn() -> Result<(Recogniser, bool), Failure>> Replayed<'a, F> {
    pub(super) fn new(rules: &Rules, recogniser: F, key_logs: &'a [PathBuf]) -> Self {
        Self {
            replay: Replay::new(rules),
            reader: Reader::default(),
            refusals: Refusals::default(),
            captured: None,
            recogniser,
            key_logs,
        }
    }

    /// There are no more files.
    pub(super) fn end(mut self) -> (Replay, Refusals, Option<Box<CaptureSummary>>) {
        if self.captured.is_none() && !self.key_logs.is_empty() {
            note("--keylog: none of the files is a capture");
        }
        let summary = self.captured.as_mut().map(|(capture, host_key)| {
            for mut access in capture.end() {
                self.replay.take(&mut access);
            }
            Box::new(capture.summary(*host_key))
        });
        (self.replay, self.refusals, summary)
    }

    /// What takes packets; made when the first capture is met.
    fn begin(&mut self) -> Result<(Capture, bool), Failure> {
        if let Some(begun) = self.captured.take() {
            return Ok(begun);
        }
        let (recogniser, host_key) = (self.recogniser)()?;
        let mut capture = Capture::new(recogniser, Bounds::default());
        let mut buffer = Zeroizing::new(vec![0; BUFFER]);
        for path in self.key_logs {
            let unread = |error| recorded::unread(path, &error).hint("--keylog names a key log");
            let mut file = File::open(path).map_err(unread)?;
            loop {
                let read = file.read(&mut buffer).map_err(unread)?;
                capture.key_log(buffer.get(..read).unwrap_or_default());
                if read == 0 {
                    break;
                }
            }
        }
        Ok((capture, host_key))
    }
}

impl<F: Fn() -> Result<(Recogniser, bool), Failure>> Take for Replayed<'_, F> {
    fn piece(&mut self, name: &str, line: u64, found: Found<'_>) {
        match found.and_then(|(format, piece)| self.reader.read(format, piece)) {
            Ok(Item::Access(mut access)) => self.replay.take(&mut access),
            Ok(Item::Lost(count)) => self.replay.lose(count),
            Ok(Item::Nothing) => {}
            Err(why) => self.refusals.note(name, line, why),
        }
    }

    fn capture(&mut self, name: &str, from: &mut dyn BufRead) -> Result<bool, Failure> {
        let (mut capture, host_key) = self.begin()?;
        let read = Packets::new(from).and_then(|mut packets| {
            while let Some(item) = packets.next_item()? {
                capture.item(&item);
                for mut access in capture.take() {
                    self.replay.take(&mut access);
                }
            }
            Ok(())
        });
        if let Err(fault) = read {
            note(&format!(
                "{name}: {fault}: what is in front of that was read"
            ));
            capture.damaged(&fault);
        }
        self.captured = Some((capture, host_key));
        Ok(true)
    }
}

/// What captures held, for people: names of rows and what they say.
pub(super) fn rows(capture: &CaptureSummary) -> Vec<(&'static str, String)> {
    let mut rows = vec![(
        "captured",
        format!(
            "{} packets, {} of them TCP segments; {} connections, {} of them under TLS",
            capture.packets, capture.segments, capture.connections, capture.tls
        ),
    )];
    let some = |pairs: &[(u64, &str)]| {
        let some = pairs.iter().filter(|(count, _)| *count > 0);
        let some: Vec<String> = some
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        some.join(", ")
    };
    let by_cause = [
        ("packets not read", &capture.unread_packets),
        ("TLS not read", &capture.unread_tls),
        ("decoder", &capture.anomalies),
        ("files cut short", &capture.damaged),
    ];
    for (name, causes) in by_cause {
        if !causes.is_empty() {
            rows.push((name, counts(causes)));
        }
    }
    let connections = some(&[
        (capture.midway, "were open before the capture"),
        (capture.evicted, "given up for want of room"),
        (
            capture.undecided,
            "segments of which the client is not known",
        ),
        (
            capture.tls_lost,
            "directions of TLS not read on after a loss",
        ),
        (capture.unanswered, "requests without a response"),
        (
            capture.more_credentials,
            "credentials beyond those of a request that are told of",
        ),
    ]);
    let bytes = some(&[
        (capture.lost_bytes, "lost"),
        (capture.uncaptured_bytes, "cut off packets"),
        (capture.repeated_bytes, "repeated"),
    ]);
    let secrets = some(&[
        (capture.secrets, "read"),
        (capture.secrets_left_out, "without room"),
        (capture.secrets_malformed, "lines that are none"),
    ]);
    for (name, text) in [
        ("connections", connections),
        ("bytes", bytes),
        ("TLS secrets", secrets),
    ] {
        if !text.is_empty() {
            rows.push((name, text));
        }
    }
    if !capture.host_key {
        rows.push((
            "fingerprints",
            "compare within this output only: the host's key was not to be had".to_owned(),
        ));
    }
    rows
}
