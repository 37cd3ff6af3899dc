//! Manual pages of the sections that no command line describes, from this repository's own Markdown.

use std::fmt::Write;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What stands in a page's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Title<'a> {
    pub(crate) name: &'a str,
    pub(crate) section: u8,
    /// One line, without a full stop.
    pub(crate) summary: &'a str,
    /// ISO date.
    pub(crate) date: &'a str,
}

impl Title<'_> {
    /// The page's beginning up to the description.
    pub(crate) fn head(&self) -> String {
        format!(
            ".TH \"{}\" {} {} Bailiwick\n.nh\n.SH NAME\n{} \\- {}\n",
            escape(&self.name.to_uppercase()),
            self.section,
            self.date,
            escape(self.name),
            escape(self.summary),
        )
    }
}

/// Text that troff takes as it is.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// A paragraph's text: a line that begins like a request is none.
pub(crate) fn paragraph(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() {
            continue;
        }
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Lines that are shown as they are.
pub(crate) fn verbatim(text: &str) -> String {
    let mut out = ".PP\n.RS 4\n.nf\n".to_owned();
    for line in text.lines() {
        let _ = writeln!(out, "\\&{}", escape(line));
    }
    out + ".fi\n.RE\n"
}

/// A page from Markdown: its first heading is left out, the second level are sections.
pub(crate) fn page(title: Title<'_>, markdown: &str) -> String {
    let mut page = Page {
        out: title.head() + ".SH DESCRIPTION\n",
        ..Page::default()
    };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    text: String,
    /// Numbers of the lists that are open; `None` for bullets.
    lists: Vec<Option<u64>>,
    links: Vec<String>,
    /// Heads of a table, and the cells of the row that is read.
    heads: Vec<String>,
    cells: Vec<String>,
    in_heads: bool,
    code: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code => self.text.push_str(&text),
            Event::Text(text) => self.text.push_str(&escape(&text)),
            Event::Code(text) => {
                let _ = write!(self.text, "\\fB{}\\fR", escape(&text));
            }
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            // Comments and rules of the Markdown are not for readers.
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.flush("");
                self.code = true;
            }
            Tag::List(first) => {
                self.flush("");
                if !self.lists.is_empty() {
                    self.out.push_str(".RS 2\n");
                }
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush("");
                match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let _ = writeln!(self.out, ".IP {number}. 4");
                        *number += 1;
                    }
                    _ => self.out.push_str(".IP \\(bu 2\n"),
                }
            }
            Tag::Emphasis => self.text.push_str("\\fI"),
            Tag::Strong => self.text.push_str("\\fB"),
            Tag::Link { dest_url, .. } => self.links.push(dest_url.to_string()),
            Tag::TableHead => self.in_heads = true,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level as u8),
            TagEnd::Paragraph if self.lists.is_empty() => self.flush(".PP\n"),
            TagEnd::Paragraph | TagEnd::Item => self.flush(""),
            TagEnd::CodeBlock => {
                self.code = false;
                let code = std::mem::take(&mut self.text);
                self.out.push_str(&verbatim(&code));
            }
            TagEnd::List(_) => {
                self.flush("");
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.out.push_str(".RE\n");
                }
            }
            TagEnd::Emphasis | TagEnd::Strong => self.text.push_str("\\fR"),
            TagEnd::Link => {
                // A link to another file of the documentation is its text alone.
                if let Some(url) = self.links.pop()
                    && url.contains("://")
                {
                    let _ = write!(self.text, " ({})", escape(&url));
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.text).replace('\n', " ");
                if self.in_heads {
                    self.heads.push(cell);
                } else {
                    self.cells.push(cell);
                }
            }
            TagEnd::TableHead => self.in_heads = false,
            TagEnd::TableRow => self.row(),
            TagEnd::Table => self.heads.clear(),
            _ => {}
        }
    }

    fn heading(&mut self, level: u8) {
        let text = std::mem::take(&mut self.text).replace('\n', " ");
        let _ = match level {
            1 => Ok(()),
            2 => writeln!(
                self.out,
                ".SH \"{}\"",
                text.replace('"', "\\(dq").to_uppercase()
            ),
            _ => writeln!(self.out, ".SS \"{}\"", text.replace('"', "\\(dq")),
        };
    }

    /// A row is its first cell, and under it the others, each after its column's head.
    fn row(&mut self) {
        let cells = std::mem::take(&mut self.cells);
        let mut cells = cells.into_iter();
        let first = cells.next().unwrap_or_default();
        self.out.push_str(".TP\n");
        self.out
            .push_str(&paragraph(if first.is_empty() { "\\&" } else { &first }));
        let several = self.heads.len() > 2;
        let rest: Vec<String> = cells
            .zip(self.heads.iter().skip(1))
            .filter(|(cell, _)| !cell.is_empty())
            .map(|(cell, head)| match (several, head.is_empty()) {
                (true, false) => format!("{head}: {cell}"),
                _ => cell,
            })
            .collect();
        self.out.push_str(&paragraph(&if rest.is_empty() {
            "\\&".to_owned()
        } else {
            rest.join("; ")
        }));
    }

    fn flush(&mut self, before: &str) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        self.out.push_str(before);
        self.out.push_str(&paragraph(&text));
    }
}

/// A page from a commented TOML file: comments describe the key, or the table, that follows them.
pub(crate) fn toml_page(title: Title<'_>, toml: &str) -> String {
    let mut out = title.head() + ".SH DESCRIPTION\n";
    let mut said = String::new();
    for line in toml.lines() {
        let plain = line.strip_prefix('#').unwrap_or(line);
        let comment = plain.strip_prefix('#').or_else(|| {
            let text = line.strip_prefix("# ")?;
            Some(text)
        });
        if line.is_empty() || line == "#" {
            out.push_str(&said_before(".PP\n", &mut said));
        } else if let Some(comment) = comment {
            said.push_str(&escape(comment.trim()));
            said.push('\n');
        } else if plain.starts_with('[') {
            let _ = writeln!(out, ".SS \"{}\"", escape(plain));
            out.push_str(&said_before("", &mut said));
        } else {
            let _ = writeln!(out, ".TP\n\\fB{}\\fR", escape(plain));
            let said = said_before("", &mut said);
            out.push_str(if said.is_empty() { "\\&\n" } else { &said });
        }
    }
    out + &said_before(".PP\n", &mut said)
}

fn said_before(before: &str, said: &mut String) -> String {
    let text = std::mem::take(said);
    if text.is_empty() {
        return String::new();
    }
    before.to_owned() + &paragraph(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: Title<'static> = Title {
        name: "x",
        section: 5,
        summary: "a page",
        date: "2026-11-24",
    };

    #[test]
    fn markdown_becomes_a_page() {
        let text = page(
            TITLE,
            "# X\n\nWhat *it* is: `a-b`.\n\n## Use\n\n.hidden [site](https://x.example) [page](y.md)\n\n    a \\ -b\n    .c\n\n\
             - one\n- two\n\n| key | default | what |\n|---|---|---|\n| `k` | | it |\n",
        );
        assert_eq!(
            text,
            ".TH \"X\" 5 2026-11-24 Bailiwick\n.nh\n.SH NAME\nx \\- a page\n.SH DESCRIPTION\n\
             .PP\nWhat \\fIit\\fR is: \\fBa\\-b\\fR.\n.SH \"USE\"\n\
             .PP\n\\&.hidden site (https://x.example) page\n\
             .PP\n.RS 4\n.nf\n\\&a \\e \\-b\n\\&.c\n.fi\n.RE\n\
             .IP \\(bu 2\none\n.IP \\(bu 2\ntwo\n.TP\n\\fBk\\fR\nwhat: it\n"
        );
    }

    #[test]
    fn a_commented_file_becomes_a_page() {
        let text = toml_page(
            TITLE,
            "# The file.\n\n# Where.\ndir = \"/x\"\n\n# Words.\n[log]\n# How much.\n#level = \"info\"\n\n# Hooks.\n#[[webhook]]\n\
             ## Its name.\n#name = \"soc\"\n",
        );
        assert_eq!(
            text.split_once("DESCRIPTION\n").unwrap().1,
            ".PP\nThe file.\n.TP\n\\fBdir = \"/x\"\\fR\nWhere.\n.SS \"[log]\"\nWords.\n.TP\n\\fBlevel = \"info\"\\fR\nHow much.\n\
             .SS \"[[webhook]]\"\nHooks.\n.TP\n\\fBname = \"soc\"\\fR\nIts name.\n"
        );
    }
}
