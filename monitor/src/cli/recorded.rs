//! Files of recorded accesses, piece by piece.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::exit::{Exit, Failure};
use super::recorded_args::RecordedFormat;
use crate::replay::capture::is_capture;
use crate::replay::input::{Lines, Objects, Piece};
use crate::replay::{Format, Refusal};

/// Bytes read at a time; as much is looked at to tell a format.
const BUFFER: usize = 1 << 16;
/// How a gzip member begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A piece, or why there is none.
pub(super) type Found<'a> = Result<(Format, &'a [u8]), Refusal>;

/// Takes what files hold.
pub(super) trait Take {
    /// Takes a piece, with the file's name and the line that it begins in.
    fn piece(&mut self, name: &str, line: u64, found: Found<'_>);

    /// Takes all of a capture; false: captures are not read here.
    fn capture(&mut self, _: &str, _: &mut dyn BufRead) -> Result<bool, Failure> {
        Ok(false)
    }
}

impl<F: FnMut(&str, u64, Found<'_>)> Take for F {
    fn piece(&mut self, name: &str, line: u64, found: Found<'_>) {
        self(name, line, found);
    }
}

/// Hands each piece of the files to `each`, with the file's name and the line that it begins in.
pub(super) fn read(
    files: &[PathBuf],
    format: RecordedFormat,
    each: impl FnMut(&str, u64, Found<'_>),
) -> Result<(), Failure> {
    read_to(files, format, &mut { each })
}

/// Hands all that the files hold to `to`.
pub(super) fn read_to(
    files: &[PathBuf],
    format: RecordedFormat,
    to: &mut impl Take,
) -> Result<(), Failure> {
    for path in files {
        let (name, from): (_, Box<dyn Read>) = if path.as_os_str() == "-" {
            ("standard input".into(), Box::new(io::stdin().lock()))
        } else {
            let file = File::open(path).map_err(|error| unread(path, &error))?;
            (path.to_string_lossy(), Box::new(file))
        };
        one(&name, from, format, to).map_err(|fault| match fault {
            Fault::Io(error) => unread(path, &error),
            Fault::Failed(failure) => failure,
            Fault::Format => Failure::new(Exit::Data, format!("{name}: of no format that is read"))
                .hint("name it with --format; docs/replay.md has the formats"),
        })?;
    }
    Ok(())
}

enum Fault {
    Io(io::Error),
    Format,
    Failed(Failure),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn one(
    name: &str,
    from: Box<dyn Read + '_>,
    format: RecordedFormat,
    to: &mut impl Take,
) -> Result<(), Fault> {
    let mut from = BufReader::with_capacity(BUFFER, from);
    let mut from: Box<dyn BufRead + '_> = if from.fill_buf()?.starts_with(&GZIP) {
        Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(from)))
    } else {
        Box::new(from)
    };
    let captured = match format {
        RecordedFormat::Pcap => true,
        RecordedFormat::Auto => is_capture(from.fill_buf()?),
        _ => false,
    };
    if captured {
        return match to.capture(name, &mut from).map_err(Fault::Failed)? {
            true => Ok(()),
            false => Err(Fault::Format),
        };
    }
    let format = match format {
        RecordedFormat::Accesses => Format::Accesses,
        RecordedFormat::Cloudtrail => Format::CloudTrail,
        RecordedFormat::Combined => Format::Combined,
        RecordedFormat::Envoy => Format::Envoy,
        RecordedFormat::Auto | RecordedFormat::Pcap => {
            let begin = from.fill_buf()?;
            if begin.is_empty() {
                return Ok(());
            }
            Format::guess(begin).ok_or(Fault::Format)?
        }
    };
    let mut told = |piece: Piece<'_>, line: u64| match piece {
        Piece::Whole(bytes) => to.piece(name, line, Ok((format, bytes))),
        Piece::TooLong => to.piece(name, line, Err(Refusal::TooLong)),
    };
    if format.in_objects() {
        let mut objects = Objects::new(from);
        while let Some((piece, line)) = objects.next_piece()? {
            told(piece, line);
        }
    } else {
        let mut lines = Lines::new(from);
        while let Some((piece, line)) = lines.next_piece()? {
            told(piece, line);
        }
    }
    Ok(())
}

/// A file that cannot be read.
pub(super) fn unread(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::Data,
    };
    Failure::new(exit, format!("{}: {error}", path.display()))
        .hint("name files that `bailiwick tail -o json` wrote, or - for standard input")
}
