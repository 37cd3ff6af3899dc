//! Elements of HTML, written so that nothing can leave its element: text and attributes are quoted as for a
//! terminal, and then escaped.

use crate::cli::quote;

/// Text or an attribute's value.
pub(super) fn escape(raw: &str) -> String {
    let quoted = quote::text(raw);
    let mut out = String::with_capacity(quoted.len() + 8);
    for c in quoted.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A piece of a document: escaped already.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(pub(super) String);

impl Html {
    pub(super) fn text(raw: &str) -> Self {
        Self(escape(raw))
    }

    /// `<name class="class">inner</name>`; no class when that is empty. Names and classes are our own.
    pub(super) fn element(name: &str, class: &str, inner: &Self) -> Self {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!(" class=\"{class}\"")
        };
        Self(format!("<{name}{class}>{}</{name}>", inner.0))
    }

    /// An element with text in it.
    pub(super) fn of(name: &str, class: &str, raw: &str) -> Self {
        Self::element(name, class, &Self::text(raw))
    }

    pub(super) fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// A paragraph.
    pub(super) fn paragraph(&mut self, class: &str, raw: &str) {
        self.push(&Self::of("p", class, raw));
    }

    /// A list of text.
    pub(super) fn list(&mut self, items: impl IntoIterator<Item = String>) {
        let mut inner = Self::default();
        for item in items {
            inner.push(&Self::of("li", "", &item));
        }
        self.push(&Self::element("ul", "", &inner));
    }
}

/// A table with a heading of each column; its first cell heads the row. Scrolls by itself on narrow screens.
#[derive(Debug)]
pub(super) struct Table {
    label: String,
    head: Html,
    body: Html,
}

impl Table {
    /// Headings that begin with `#` are over numbers.
    pub(super) fn new(label: &str, head: &[&str]) -> Self {
        let mut cells = Html::default();
        for name in head {
            let (class, name) = match name.strip_prefix('#') {
                Some(name) => (" class=\"n\"", name),
                None => ("", *name),
            };
            let name = escape(name);
            cells.push(&Html(format!("<th scope=\"col\"{class}>{name}</th>")));
        }
        Self {
            label: label.to_owned(),
            head: cells,
            body: Html::default(),
        }
    }

    /// One more column, called by a name from elsewhere.
    pub(super) fn column(&mut self, name: &str) {
        let name = escape(name);
        self.head
            .push(&Html(format!("<th scope=\"col\">{name}</th>")));
    }

    /// A row: classes and content of its cells.
    pub(super) fn row(&mut self, cells: &[(&str, Html)]) {
        let mut row = Html::default();
        for (at, (class, cell)) in cells.iter().enumerate() {
            if at == 0 {
                row.push(&Html(format!("<th scope=\"row\">{}</th>", cell.0)));
            } else {
                row.push(&Html::element("td", class, cell));
            }
        }
        self.body.push(&Html::element("tr", "", &row));
    }

    pub(super) fn html(&self) -> Html {
        // Focus lets a keyboard scroll it.
        Html(format!(
            "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table><thead><tr>{}</tr></thead>\
             <tbody>{}</tbody></table></div>",
            escape(&self.label),
            self.head.0,
            self.body.0
        ))
    }
}

/// A bar of a share, 0 to 1; the number stands beside it.
pub(super) fn bar(share: Option<f64>) -> Html {
    let filled = share.unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
    Html(format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"100\" height=\"8\"/><rect class=\"fill\" width=\"{filled:.1}\" \
         height=\"8\"/></svg>"
    ))
}

/// A line through the points, 0 to 100 each.
pub(super) fn line(points: &[u32]) -> Html {
    let last = points.len().saturating_sub(1).max(1);
    let path: Vec<String> = points
        .iter()
        .enumerate()
        .map(|(at, value)| {
            #[allow(clippy::cast_precision_loss, reason = "a dozen points")]
            let x = 4.0 + 232.0 * at as f64 / last as f64;
            let y = 44.0 - 0.4 * f64::from((*value).min(100));
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let spoken: Vec<String> = points.iter().map(u32::to_string).collect();
    Html(format!(
        "<svg class=\"line\" viewBox=\"0 0 240 48\" role=\"img\" aria-label=\"scores: {}\"><polyline \
         points=\"{}\"/></svg>",
        spoken.join(", "),
        path.join(" ")
    ))
}
