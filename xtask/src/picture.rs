//! Pictures of real runs: what `bailiwick tail` showed of requests, as SVG, and the page in a browser.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::load::{Monitor, Nginx};
use crate::build;
use crate::project::Project;
use crate::setup::{self, Purpose};
use crate::shell::{is_root, not_permitted, run};

/// Claims of a token that nobody signed: `{"alg":"RS256"}`, `{"iss":"https://idp.example","sub":"ci-bot"}`.
const TOKEN: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwic3ViIjoiY2ktYm90In0.c2ln";

/// Who may do what, in the picture.
const POLICY: &str = r#"version = 1
[environments]
prod = ["api.pay.example"]
dev  = ["ci.example"]
[duties]
deploy = ["POST ci.example/deployments/{id}"]
[identities.ci-bot]
owner        = "team-ci"
credentials  = ["jwt:iss=https://idp.example,sub=ci-bot"]
duties       = ["deploy"]
environments = ["dev"]
"#;

/// Width of a character and height of a line, in pixels, at 13 px of a monospaced font.
const CELL: (f64, f64) = (7.8, 19.0);
/// Characters on a line.
const COLUMNS: usize = 106;

/// Makes `docs/tail.svg` and `docs/page-*.png` of real runs.
pub(crate) fn make(project: &Project) -> Result<()> {
    if !is_root() {
        return Err(not_permitted(
            "only root can watch the kernel, so there is nothing to show.\nhint: run this as root",
        ));
    }
    let toolchain = setup::ensure(project, Purpose::Bench)?;
    build::ebpf(project, &toolchain)?;
    build::binary(project)?;
    let dir = project.target().join("picture");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("policy.toml"), POLICY)?;
    let nginx = Nginx::start(&dir)?;
    let monitor = Monitor::start_with(&project.binary(), &dir, "policy = [\"policy.toml\"]")?;
    let port = nginx.tls_port();
    let asked = [
        ("POST", "ci.example", "/deployments/17"),
        ("POST", "api.pay.example", "/v1/refunds/17"),
    ];
    let mut lines = Vec::new();
    for (method, host, path) in asked {
        let took = curl(port, method, host, path)?;
        lines.push(format!(
            "$ curl -X {method} -H \"Authorization: Bearer $TOKEN\" https://{host}{path}   # lived {took} ms"
        ));
    }
    std::thread::sleep(Duration::from_millis(500));
    let shown = monitor.command(&["tail", "--no-follow", "--color", "always"])?;
    lines.push("$ bailiwick tail".to_owned());
    let port = format!(":{port}");
    let of_ours = shown.lines().filter(|line| line.contains("ci-bot"));
    lines.extend(of_ours.map(|line| line.replace(&port, "")));
    ensure!(
        lines.len() == 5,
        "the monitor showed something else:\n{shown}"
    );
    let file = project.root.join("docs/tail.svg");
    fs::write(&file, svg(&lines)).with_context(|| format!("cannot write {}", file.display()))?;
    println!("docs/tail.svg");
    // The browser's are made by the test that also checks what they show.
    setup::ensure(project, Purpose::Test)?;
    let mut cargo = project.cargo();
    cargo.args(["test", "--package", "e2e", "--", "page::pictures"]);
    cargo.env("BAILIWICK_BIN", project.binary());
    cargo.env("BAILIWICK_PICTURES", project.root.join("docs"));
    run(&mut cargo)?;
    println!("docs/page-*.png");
    Ok(())
}

/// One request from a process of its own; how long that lived, in ms.
fn curl(port: u16, method: &str, host: &str, path: &str) -> Result<u128> {
    let begin = std::time::Instant::now();
    let status = Command::new("/usr/bin/curl")
        .args(["--silent", "--insecure", "--request", method])
        .args(["--connect-to", &format!("::127.0.0.1:{port}")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .arg(format!("https://{host}{path}"))
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "curl ended with {status}");
    Ok(begin.elapsed().as_millis())
}

/// A run of characters in one style.
struct Run {
    text: String,
    class: &'static str,
}

/// Splits a line at its colours (SGR, ECMA-48 §8.3.117: those that `tail` uses).
fn runs(line: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut class = "";
    for part in line.split("\x1b[") {
        let (code, text) = match part.split_once('m') {
            Some((code, text)) if !runs.is_empty() || line.starts_with('\x1b') => (code, text),
            _ => ("", part),
        };
        class = match code {
            "0" | "" => "",
            "2" => "dim",
            "36" => "who",
            "32" => "good",
            "33" => "doubt",
            _ if code.contains("31") => "bad",
            _ => class,
        };
        if !text.is_empty() || runs.is_empty() {
            runs.push(Run {
                text: text.to_owned(),
                class,
            });
        }
    }
    runs
}

/// Lines as a picture, long ones folded.
fn svg(lines: &[String]) -> String {
    let mut rows: Vec<Vec<Run>> = Vec::new();
    for line in lines {
        let mut row = Vec::new();
        let mut column = 0;
        for run in runs(line) {
            for word in run.text.split_inclusive(' ') {
                let length = word.chars().count();
                if column > 0 && column + length > COLUMNS {
                    rows.push(std::mem::take(&mut row));
                    column = 4;
                    row.push(Run {
                        text: "\u{a0}\u{a0}\u{a0}\u{a0}".to_owned(),
                        class: "",
                    });
                }
                column += length;
                row.push(Run {
                    text: word.to_owned(),
                    class: run.class,
                });
            }
        }
        rows.push(row);
    }
    let (width, height) = (
        (COLUMNS as f64 + 4.0) * CELL.0,
        (rows.len() as f64 + 1.5) * CELL.1,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" xml:space=\"preserve\" \
         aria-label=\"Two requests by curl over TLS, and the two lines that bailiwick tail shows of them\">\n\
         <style>rect{{fill:#14171c}}text{{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d6dae0;\
         white-space:pre}}.dim{{fill:#8b93a0}}.who{{fill:#5fc6d4}}.good{{fill:#7fc77a}}.doubt{{fill:#e0b551}}\
         .bad{{fill:#ff7b72;font-weight:bold}}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\"/>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let y = (number as f64 + 1.4) * CELL.1;
        let _ = write!(out, "<text x=\"16\" y=\"{y:.0}\">");
        for run in row {
            let text = escape(&run.text);
            let _ = match run.class {
                "" => write!(out, "{text}"),
                class => write!(out, "<tspan class=\"{class}\">{text}</tspan>"),
            };
        }
        out.push_str("</text>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes() {
        let text = svg(&[
            "\x1b[2m12:00\x1b[0m \x1b[36mci-bot\x1b[0m a<b \x1b[1;31mfinding\x1b[0m".to_owned(),
        ]);
        assert!(
            text.contains("<tspan class=\"dim\">12:00</tspan>"),
            "{text}"
        );
        assert!(
            text.contains("<tspan class=\"who\">ci-bot</tspan>"),
            "{text}"
        );
        assert!(text.contains("a&lt;b"), "{text}");
        assert!(
            text.contains("<tspan class=\"bad\">finding</tspan>"),
            "{text}"
        );
    }

    #[test]
    fn long_lines_are_folded() {
        let text = svg(&["word ".repeat(60)]);
        assert!(text.matches("<text").count() > 2, "{text}");
    }
}
