//! A report as one HTML page that fetches nothing and runs nothing: no script, a strict
//! `Content-Security-Policy` that lets its own style sheet in by its hash.

mod markup;
mod sections;
mod style;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::model::Report;
use super::words;
use markup::{Html, escape};

/// The page.
#[must_use]
pub fn render(report: &Report) -> String {
    let style = style::sheet();
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let environment = report
        .environment
        .as_ref()
        .map(|name| format!(" in {name}"))
        .unwrap_or_default();
    let title = format!(
        "Bailiwick report of {}{environment}",
        words::short(&report.made)
    );
    let sections = sections::all(report);
    let mut index = Html::default();
    let mut body = Html::default();
    for (id, heading, content) in &sections {
        let link = Html(format!("<a href=\"#{id}\">{}</a>", escape(heading)));
        index.push(&Html::element("li", "", &link));
        body.push(&Html(format!(
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{}</h2>{}</section>\n",
            escape(heading),
            content.0
        )));
    }
    let mut head = Html::of("h1", "", &title);
    for line in words::sources(report) {
        head.paragraph("dim", &line);
    }
    head.push(&sections::score_card(report));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"referrer\" content=\"no-referrer\"/>\n\
         <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n<header>{}\
         <nav aria-label=\"Sections\"><ul>{}</ul></nav></header>\n{}\
         <footer><p>Made by bailiwick {}. Counts are since an identity was first seen where a row says so; \
         docs/report.md explains every number.</p></footer>\n</main>\n</body>\n</html>\n",
        escape(&title),
        head.0,
        index.0,
        body.0,
        escape(env!("CARGO_PKG_VERSION")),
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
