//! The picture as a frame: what is known, in the size there is.

mod header;
mod ink;
mod lists;
mod texts;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Position;
use ratatui_core::style::{Modifier, Style};
use ratatui_core::terminal::Frame;
use ratatui_core::text::{Line, Span};

use super::prompt::{Ask, Prompt};
use super::state::State;
use crate::cli::out::Ink;
use crate::cli::quote;

/// Lines above the body.
pub(super) const HEADER: usize = 3;

/// Lines of what is in view, when it is text.
pub(super) fn text_lines(state: &State) -> usize {
    texts::lines(state, false).map_or(0, |lines| lines.len())
}

/// Draws the picture; in colour, or without.
pub fn draw(state: &State, color: bool, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    ink::put(buffer, 0, &header::health(state, color), 0);
    ink::put(buffer, 1, &header::lost(state, color), 0);
    ink::put(buffer, 2, &header::tabs(state, color), 0);
    body(state, color, buffer);
    let last = area.height.saturating_sub(1);
    match &state.prompt {
        None => ink::put(buffer, last, &header::footer(state, color), 0),
        Some(prompt) => {
            let at = typed(state, prompt, color, buffer);
            frame.set_cursor_position(at);
        }
    }
}

fn row(at: usize) -> u16 {
    u16::try_from(HEADER + at).unwrap_or(u16::MAX)
}

fn body(state: &State, color: bool, buffer: &mut Buffer) {
    let height = state.body_height();
    if let Some(lines) = texts::lines(state, color) {
        let first = state.scroll.min(lines.len().saturating_sub(1));
        let shown = lines.iter().skip(first).take(height);
        for (at, line) in shown.enumerate() {
            ink::put(buffer, row(at), line, state.shift);
        }
        return;
    }
    if let Some(words) = lists::empty(state) {
        let line = Line::from(ink::span(Some(Ink::Dim), words, color));
        ink::put(buffer, row(0), &line, 0);
        return;
    }
    let Some((lines, selected)) = lists::lines(state, height, color) else {
        return;
    };
    for (at, line) in lines.iter().take(height).enumerate() {
        ink::put(buffer, row(at), line, state.shift);
    }
    // Below the head. Reversed, so that it shows without colour, too.
    let at = row(selected + 1);
    if selected + 1 < lines.len().min(height) {
        for x in 0..buffer.area.width {
            if let Some(cell) = buffer.cell_mut((x, at)) {
                cell.set_style(Style::new().add_modifier(Modifier::REVERSED));
            }
        }
    }
}

/// The line that is typed, and above it what is wrong; where the cursor is.
fn typed(state: &State, prompt: &Prompt, color: bool, buffer: &mut Buffer) -> Position {
    let last = buffer.area.height.saturating_sub(1);
    let label = match &prompt.ask {
        Ask::Filter => format!("filter {} / ", state.pane.name()),
        Ask::Note(_) => "acknowledge, note (may be empty): ".to_owned(),
        Ask::Until(_) => "mute until (2h, 3d or a time): ".to_owned(),
    };
    for (at, line) in prompt.wrong.iter().rev().enumerate() {
        // The last is what is wrong; the filter and its caret stand above it.
        let ink = if at == 0 { Ink::Bad } else { Ink::Doubtful };
        let line = Line::from(ink::span(Some(ink), line.clone(), color));
        let y = last.saturating_sub(u16::try_from(at + 1).unwrap_or(1));
        ink::put(buffer, y, &line, 0);
    }
    let label = ink::span(Some(Ink::Bold), label, color);
    let before: String = prompt.text.chars().take(prompt.cursor).collect();
    let after: String = prompt.text.chars().skip(prompt.cursor).collect();
    let before = quote::text(&before).into_owned();
    let (start, left) = (label.width(), Span::raw(before.as_str()).width());
    let width = usize::from(buffer.area.width);
    // A long line is shown so that the cursor is in view.
    let shift = (start + left + 1).saturating_sub(width);
    let whole = format!("{before}{}", quote::text(&after));
    let line = Line::from(vec![label, Span::raw(whole)]);
    ink::put(buffer, last, &line, shift);
    let x = (start + left).saturating_sub(shift);
    Position::new(u16::try_from(x).unwrap_or(0), last)
}

#[cfg(test)]
mod tests;
