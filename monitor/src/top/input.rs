//! What keys do.

use ratatui_crossterm::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::prompt::{Ask, Prompt};
use super::state::{Detail, Effect, Pane, State};
use crate::cli::quote;

/// Columns that one step to the side moves.
const SIDE: usize = 8;

impl State {
    /// Changes the picture by a key, and says what is to be done.
    pub fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Effect::Quit),
                KeyCode::Char('u') => {
                    if let Some(prompt) = &mut self.prompt {
                        prompt.clear();
                    }
                    None
                }
                _ => None,
            };
        }
        // Esc and a key right behind it arrive as one: to a terminal both are Alt and that key.
        if key.modifiers.contains(KeyModifiers::ALT) {
            self.key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE));
            return self.key(KeyEvent::new(key.code, key.modifiers - KeyModifiers::ALT));
        }
        if self.prompt.is_some() {
            return self.typed(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('?') => (self.help, self.scroll) = (!self.help, 0),
            KeyCode::Esc => self.back(),
            KeyCode::Char(digit @ '1'..='5') => {
                let at = usize::from(u8::try_from(digit).unwrap_or(b'1') - b'1');
                self.open(Pane::ALL.get(at).copied().unwrap_or(Pane::Overview));
            }
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(Pane::ALL.len() - 1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-self.page()),
            KeyCode::PageDown => self.step(self.page()),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN + 1),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            KeyCode::Left | KeyCode::Char('h') => self.shift = self.shift.saturating_sub(SIDE),
            KeyCode::Right | KeyCode::Char('l') => self.shift = (self.shift + SIDE).min(4096),
            KeyCode::Char(' ') => self.pause(),
            KeyCode::Char('f') => self.toggle_follow(),
            KeyCode::Char('/') => self.ask_filter(),
            KeyCode::Enter => return self.enter(),
            KeyCode::Char('a') => self.ask_about(Ask::Note, ""),
            KeyCode::Char('m') => self.ask_about(Ask::Until, "2h"),
            KeyCode::Char('u') => return self.alert_id().map(Effect::Unmark),
            _ => {}
        }
        None
    }

    fn page(&self) -> isize {
        isize::try_from(self.body_height().saturating_sub(2).max(1)).unwrap_or(1)
    }

    /// Closes what is on top.
    fn back(&mut self) {
        if self.help {
            self.help = false;
        } else {
            self.detail = None;
        }
        (self.scroll, self.shift) = (0, 0);
    }

    fn open(&mut self, pane: Pane) {
        (self.help, self.detail) = (false, None);
        (self.scroll, self.shift) = (0, 0);
        self.pane = pane;
    }

    fn turn(&mut self, by: usize) {
        let all = Pane::ALL;
        let at = all.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.open(all.get((at + by) % all.len()).copied().unwrap_or(self.pane));
    }

    fn step(&mut self, by: isize) {
        let height = self.body_height().saturating_sub(1);
        if self.help || self.detail.is_some() {
            self.scroll = self.scroll.saturating_add_signed(by).min(self.last_line());
            return;
        }
        match self.pane {
            Pane::Alerts => self.alerts.step(by, height),
            Pane::Accesses => self.accesses.step(by, height),
            Pane::Identities => self.identities.step(by, height),
            Pane::Overview | Pane::Coverage => {
                self.scroll = self.scroll.saturating_add_signed(by).min(self.last_line());
            }
        }
    }

    /// The last line that a text can begin with.
    fn last_line(&self) -> usize {
        super::view::text_lines(self).saturating_sub(self.body_height().max(1))
    }

    fn toggle_follow(&mut self) {
        fn toggle<T: crate::filter::Fields>(list: &mut super::list::List<T>) {
            if list.is_following() {
                list.stay();
            } else {
                list.follow();
            }
        }
        match self.pane {
            Pane::Alerts => toggle(&mut self.alerts),
            Pane::Accesses => toggle(&mut self.accesses),
            Pane::Identities => toggle(&mut self.identities),
            Pane::Overview | Pane::Coverage => self.scroll = 0,
        }
    }

    fn ask_filter(&mut self) {
        let text = match self.pane {
            Pane::Alerts => self.alerts.filter_text(),
            Pane::Accesses => self.accesses.filter_text(),
            Pane::Identities => self.identities.filter_text(),
            Pane::Overview | Pane::Coverage => {
                self.say("no list to filter here: 2, 3 and 4 are", true);
                return;
            }
        };
        self.prompt = Some(Prompt::new(Ask::Filter, text));
        (self.help, self.detail) = (false, None);
    }

    fn ask_about(&mut self, ask: fn(String) -> Ask, text: &str) {
        match self.alert_id() {
            Some(id) => self.prompt = Some(Prompt::new(ask(id), text)),
            None => self.say("no alert is selected: press 2, and choose one", true),
        }
    }

    fn enter(&mut self) -> Option<Effect> {
        if self.help || self.detail.is_some() {
            return None;
        }
        let mut effect = None;
        let detail = match self.pane {
            Pane::Alerts => self.alerts.selected().map(|alert| {
                effect = Some(Effect::Explain(alert.id.clone()));
                Detail::Alert(Box::new(alert.clone()), None)
            }),
            Pane::Accesses => self
                .accesses
                .selected()
                .map(|access| Detail::Access(Box::new(access.clone()))),
            Pane::Identities => self
                .identities
                .selected()
                .map(|identity| Detail::Identity(Box::new(identity.clone()))),
            Pane::Overview | Pane::Coverage => None,
        };
        if detail.is_some() {
            (self.detail, self.scroll, self.shift) = (detail, 0, 0);
        }
        effect
    }

    /// A key while a line is typed.
    fn typed(&mut self, code: KeyCode) -> Option<Effect> {
        let prompt = self.prompt.as_mut()?;
        match code {
            KeyCode::Esc => self.prompt = None,
            KeyCode::Enter => return self.entered(),
            KeyCode::Backspace => prompt.backspace(),
            KeyCode::Delete => prompt.delete(),
            KeyCode::Left => prompt.go(-1),
            KeyCode::Right => prompt.go(1),
            KeyCode::Home => prompt.go(isize::MIN + 1),
            KeyCode::End => prompt.go(isize::MAX),
            KeyCode::Char(c) => prompt.insert(c),
            _ => {}
        }
        None
    }

    /// The line is complete: it does what it is for, or stays with what is wrong.
    fn entered(&mut self) -> Option<Effect> {
        let mut prompt = self.prompt.take()?;
        match prompt.ask.clone() {
            Ask::Filter => {
                let set = match self.pane {
                    Pane::Alerts => self.alerts.set_filter(&prompt.text),
                    Pane::Accesses => self.accesses.set_filter(&prompt.text),
                    Pane::Identities => self.identities.set_filter(&prompt.text),
                    Pane::Overview | Pane::Coverage => Ok(()),
                };
                let error = set.err()?;
                let [shown, caret] = error.caret();
                prompt.wrong = vec![quote::text(&shown).into_owned(), caret];
                let hint = error.help().map(|hint| format!("; {hint}"));
                let words = format!("{}{}", error.message(), hint.unwrap_or_default());
                prompt.wrong.push(quote::text(&words).into_owned());
            }
            Ask::Note(id) => {
                let note = prompt.text.trim();
                let note = (!note.is_empty()).then(|| note.to_owned());
                return Some(Effect::Acknowledge { id, note });
            }
            Ask::Until(id) => match crate::cli::mute_until(prompt.text.trim(), self.now_us) {
                Ok(until) => return Some(Effect::Mute { id, until }),
                Err(why) => prompt.wrong = vec![quote::text(&why).into_owned()],
            },
        }
        self.prompt = Some(prompt);
        None
    }
}
