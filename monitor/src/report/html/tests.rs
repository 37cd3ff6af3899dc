use super::*;
use crate::report::testing::{hostile, report_of};

/// Elements that may be there. None of them fetches or runs anything.
const ELEMENTS: [&str; 33] = [
    "html", "head", "meta", "title", "style", "body", "main", "header", "nav", "section", "footer",
    "h1", "h2", "h3", "p", "ul", "li", "a", "div", "span", "code", "table", "thead", "tbody", "tr",
    "th", "td", "svg", "rect", "polyline", "caption", "dl", "dd",
];
const ATTRIBUTES: [&str; 22] = [
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "id",
    "href",
    "role",
    "tabindex",
    "aria-label",
    "aria-labelledby",
    "aria-hidden",
    "scope",
    "viewBox",
    "preserveAspectRatio",
    "width",
    "height",
    "points",
    "title",
    "x",
    "y",
];

/// Walks the page as an XML parser would (which every HTML parser agrees with on such a page): elements are
/// balanced, attributes quoted, nothing is left open. Returns the text of all elements.
fn well_formed(page: &str) -> String {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut said = String::new();
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        if open.last().is_some_and(|name| name != "style") {
            check_text(text);
            said.push_str(text);
        }
        let end = tag.find('>').unwrap();
        let inner = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closes what is not open");
            continue;
        }
        let (inner, alone) = inner
            .strip_suffix('/')
            .map_or((inner, false), |inner| (inner, true));
        let (name, mut attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        assert!(ELEMENTS.contains(&name), "<{name}>");
        while !attributes.trim().is_empty() {
            let (key, value) = attributes.trim_start().split_once("=\"").unwrap();
            assert!(ATTRIBUTES.contains(&key), "{key} of <{name}>");
            let (value, after) = value.split_once('"').unwrap();
            check_text(value);
            if key == "href" {
                assert!(value.starts_with('#'), "{value}");
                assert!(page.contains(&format!("id=\"{}\"", &value[1..])), "{value}");
            }
            assert!(after.is_empty() || after.starts_with(' '), "{after}");
            attributes = after;
        }
        if !alone {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    said
}

/// No entity but our own, no stray sign.
fn check_text(text: &str) {
    for part in text.split('&').skip(1) {
        let entity = part.split(';').next().unwrap();
        assert!(
            ["amp", "lt", "gt", "quot", "#39"].contains(&entity),
            "&{entity}"
        );
    }
    assert!(!text.contains('>'), "{text}");
}

#[test]
fn the_shop_as_a_page() {
    let page = render(&report_of(|_| {}));
    well_formed(&page);
    insta::assert_snapshot!(page);
}

#[test]
fn what_came_from_elsewhere_stays_text() {
    let page = render(&hostile());
    let said = well_formed(&page);
    // It is shown, as text.
    assert!(
        said.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onclick=&#39;x&#39; &amp;amp;")
    );
    assert!(said.contains("\\u{202e}"));
    assert!(!page.contains("<script"));
    for c in ['\u{202e}', '\u{1b}', '\0', '\u{9b}', '\u{2028}'] {
        assert!(!page.contains(c), "{c:?}");
    }
}

#[test]
fn a_page_fetches_nothing_and_its_policy_lets_its_own_style_in() {
    let page = render(&report_of(|_| {}));
    for word in [
        "http://", "https://", "url(", "@import", " src=", "style=\"", " on", "<link",
    ] {
        let found = page.match_indices(word).find(|(at, _)| {
            // Words of a sentence begin with `on`, attributes have `=` behind them.
            word != " on"
                || page[at + 3..]
                    .split([' ', '<'])
                    .next()
                    .unwrap()
                    .contains('=')
        });
        assert_eq!(found, None, "{word}");
    }
    let style = page
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}';")));
}

#[test]
fn many_duties_are_listed_and_not_made_columns() {
    let mut report = report_of(|_| {});
    let row = report.identities.items[0].clone();
    report.identities.items[0].duties = (0..11)
        .map(|n| {
            let mut grant = row.duties[0].clone();
            grant.duty = format!("duty-{n}");
            grant
        })
        .collect();
    let page = render(&report);
    well_formed(&page);
    assert!(page.contains("<th scope=\"col\">Duty</th>"));
}
