//! Colours, and lines that go into the terminal's cells.

use ratatui_core::buffer::Buffer;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::{Line, Span};

use crate::cli::out::Ink;

/// What a role looks like. Without colour only weight tells, and words and signs say it all anyhow.
pub(super) fn style(ink: Option<Ink>, color: bool) -> Style {
    let paint = |style: Style, hue: Color| if color { style.fg(hue) } else { style };
    let plain = Style::new();
    match ink {
        None => plain,
        Some(Ink::Identity) => paint(plain, Color::Cyan),
        Some(Ink::Good) => paint(plain, Color::Green),
        Some(Ink::Doubtful) => paint(plain, Color::Yellow),
        Some(Ink::Bad) => paint(plain.add_modifier(Modifier::BOLD), Color::Red),
        Some(Ink::Dim) => plain.add_modifier(Modifier::DIM),
        Some(Ink::Bold) => plain.add_modifier(Modifier::BOLD),
    }
}

/// A piece of text in a role. The text must be quoted already.
pub(super) fn span(ink: Option<Ink>, text: String, color: bool) -> Span<'static> {
    Span::styled(text, style(ink, color))
}

/// A line that [`crate::cli::out::Style`] painted, as spans: what it quoted holds no escape, so each is its own.
pub(super) fn painted(line: &str, color: bool) -> Line<'static> {
    let mut spans = Vec::new();
    let mut ink = None;
    for (at, part) in line.split('\u{1b}').enumerate() {
        let text = match part.split_once('m') {
            Some((code, rest)) if at > 0 => {
                ink = Ink::of_code(code.trim_start_matches('['));
                rest
            }
            _ => part,
        };
        if !text.is_empty() {
            spans.push(span(ink, text.to_owned(), color));
        }
    }
    Line::from(spans)
}

/// Writes a line without its first `shift` characters; `…` where it is cut.
pub(super) fn put(buffer: &mut Buffer, y: u16, line: &Line<'_>, shift: usize) {
    let width = buffer.area.width;
    if y >= buffer.area.height || width == 0 {
        return;
    }
    let rest;
    let line = if shift == 0 {
        line
    } else {
        let spans = line
            .styled_graphemes(Style::new())
            .skip(shift)
            .map(|one| Span::styled(one.symbol.to_owned(), one.style));
        rest = Line::from(spans.collect::<Vec<_>>());
        &rest
    };
    buffer.set_line(0, y, line, width);
    if line.width() > usize::from(width)
        && let Some(cell) = buffer.cell_mut((width - 1, y))
    {
        cell.set_symbol("…");
    }
}

/// Columns of cells, as wide as their widest, two spaces between them; the last one ragged.
pub(super) fn table(rows: Vec<Vec<(Option<Ink>, String)>>, color: bool) -> Vec<Line<'static>> {
    let lines: Vec<Vec<Span<'static>>> = rows
        .into_iter()
        .map(|row| {
            let cells = row.into_iter();
            cells.map(|(ink, text)| span(ink, text, color)).collect()
        })
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &lines {
        for (at, cell) in row.iter().enumerate() {
            match widths.get_mut(at) {
                Some(widest) => *widest = cell.width().max(*widest),
                None => widths.push(cell.width()),
            }
        }
    }
    let pad = |row: Vec<Span<'static>>| {
        let count = row.len();
        let mut spans = Vec::with_capacity(2 * count);
        for (at, (cell, width)) in row.into_iter().zip(&widths).enumerate() {
            let gap = width.saturating_sub(cell.width()) + 2;
            spans.push(cell);
            if at + 1 < count {
                spans.push(Span::raw(" ".repeat(gap)));
            }
        }
        Line::from(spans)
    };
    lines.into_iter().map(pad).collect()
}
