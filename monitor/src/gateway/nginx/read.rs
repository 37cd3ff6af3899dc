//! Reads configurations of nginx: a whole one, or what stands in its `http` or `server` block.

use std::io;

use super::super::gate::{Cond, Decision, Gate, Remarks};
use super::access::Inherited;
use super::map::Maps;
use super::tokens::{Directive, MOST_DIRECTIVES, SyntaxError, parse};
use super::{ALLOWED, server};

/// Most files that are included, and how deep.
const MOST_FILES: usize = 256;
const DEEPEST: usize = 8;

/// Included files as the file system has them: this module does no I/O.
pub trait Files {
    /// Names and texts of the files that `include PATTERN` in `file` means, sorted by name; `*` and `?` stand for
    /// any characters and for one. None is no error for a pattern with them.
    ///
    /// # Errors
    /// As the file system says.
    fn include(&self, file: &str, pattern: &str) -> io::Result<Vec<(String, String)>>;
}

/// No files at all.
#[derive(Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn include(&self, _: &str, _: &str) -> io::Result<Vec<(String, String)>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

struct Includer<'f> {
    files: &'f dyn Files,
    left: usize,
    directives: usize,
}

impl Includer<'_> {
    /// Puts included files into the place of `include`.
    fn expand(
        &mut self,
        inside: Vec<Directive>,
        depth: usize,
        remarks: &mut Remarks,
    ) -> Result<Vec<Directive>, SyntaxError> {
        let mut out = Vec::with_capacity(inside.len());
        for mut directive in inside {
            self.directives += 1;
            if self.directives > MOST_DIRECTIVES {
                return Err(SyntaxError {
                    file: directive.file.to_string(),
                    line: directive.line,
                    problem: "too many directives",
                });
            }
            // MIME types and the like say nothing of access, whatever they include.
            if directive.name != "include" {
                if let Some(block) = directive.block.take() {
                    directive.block = Some(self.expand(block, depth, remarks)?);
                }
                out.push(directive);
                continue;
            }
            let pattern = directive.word(0);
            if depth == 0 || self.left == 0 {
                remarks.add(directive.line, "include: too many files, or too deep");
                continue;
            }
            match self.files.include(&directive.file, pattern) {
                Ok(files) => {
                    for (name, text) in files {
                        let Some(left) = self.left.checked_sub(1) else {
                            remarks.add(directive.line, "include: too many files");
                            break;
                        };
                        self.left = left;
                        let parsed = parse(&name, &text)?;
                        out.extend(self.expand(parsed, depth - 1, remarks)?);
                    }
                }
                Err(error) => remarks.add(
                    directive.line,
                    format!("include {}: {error}", super::super::quote::comment(pattern)),
                ),
            }
        }
        Ok(out)
    }
}

/// Reads a configuration.
///
/// # Errors
/// When it is none of nginx.
pub(in super::super) fn read(
    text: &str,
    files: &dyn Files,
    mut remarks: Remarks,
) -> Result<Gate, SyntaxError> {
    let file = remarks.file.clone();
    let parsed = parse(&file, text)?;
    let mut includer = Includer {
        files,
        left: MOST_FILES,
        directives: 0,
    };
    let all = includer.expand(parsed, DEEPEST, &mut remarks)?;
    let https: Vec<&[Directive]> = all
        .iter()
        .filter(|d| d.name == "http")
        .map(Directive::children)
        .collect();
    // A part of a configuration has no `http`.
    let https = if https.is_empty() {
        vec![all.as_slice()]
    } else {
        https
    };
    let mut decisions = Vec::new();
    for http in https {
        decisions.push(self::http(http, &mut remarks));
    }
    Ok(remarks.into_gate(Decision::Some(decisions)))
}

fn http(inside: &[Directive], remarks: &mut Remarks) -> Decision {
    let mut maps = Maps::default();
    for map in inside.iter().filter(|directive| directive.name == "map") {
        maps.add(map);
    }
    let inherited = Inherited::default().enter(inside, remarks);
    if inside.iter().any(|directive| directive.name == "server") {
        super::access::unread(inside, remarks);
        return server::servers(inside, &inherited, &maps, remarks);
    }
    if inside
        .iter()
        .any(|directive| matches!(directive.name.as_str(), "location" | "return" | "if"))
    {
        return server::block(inside, 0, &Inherited::default(), &maps, remarks);
    }
    if maps.has(ALLOWED) {
        // An export, as it stands.
        let line = inside.first().map_or(0, |directive| directive.line);
        let gate = Directive {
            file: remarks.file.as_str().into(),
            line,
            name: "if".to_owned(),
            words: vec![format!("(${ALLOWED}"), "=".to_owned(), "1)".to_owned()],
            block: None,
        };
        let cond = maps.condition(&gate, remarks);
        let steps = vec![(cond, Decision::Verdict(Some(true), line))];
        return Decision::First(steps, Box::new(Decision::Verdict(Some(false), line)));
    }
    remarks.add(0, "no server");
    let unknown = vec![(Cond::Unknown, Decision::Verdict(None, 0))];
    Decision::First(unknown, Box::new(Decision::Verdict(None, 0)))
}
