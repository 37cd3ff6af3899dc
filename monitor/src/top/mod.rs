//! `bailiwick top`: the daemon's picture, live in a terminal.
//!
//! [`state`] is what is shown and how events ([`state::Event`]) and keys ([`input`]) change it; [`view`] draws it in
//! the size there is. Both do no I/O and read no clock. `feed` asks the daemon, `screen` has the terminal.

mod feed;
mod input;
pub mod list;
pub mod prompt;
mod screen;
pub mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod view;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use ratatui_crossterm::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep_until};

use crate::cli::client::{Connection, is_absence, unreachable};
use crate::cli::exit::{Exit, Failure};
use crate::serve::protocol::Command;
use feed::Feed;
use screen::Screen;
use state::{Effect, Event, State};

/// Least time between two frames.
const FRAME: Duration = Duration::from_millis(50);
/// Events that may wait; then the daemon does, and says what it had to leave out.
const WAITING: usize = 4096;
/// Most events looked at between two frames.
const AT_ONCE: usize = 2000;

/// Whether there is a terminal that can show it.
///
/// # Errors
/// There is none (64), and what to do instead.
pub fn terminal(term: Option<&str>, is_terminal: bool) -> Result<(), Failure> {
    let hint = "`bailiwick status`, `bailiwick alerts` and `bailiwick tail` print lines";
    match term {
        _ if !is_terminal => {
            Err(Failure::new(Exit::Usage, "top needs a terminal, and this is none").hint(hint))
        }
        Some("dumb") | Some("") | None => Err(Failure::new(
            Exit::Usage,
            "top needs a terminal that can move its cursor; TERM says that this one cannot",
        )
        .hint(hint)),
        Some(_) => Ok(()),
    }
}

/// Shows the picture until somebody has seen enough.
///
/// # Errors
/// There is no terminal (64), or no daemon (69, 77).
pub async fn run(socket: &Path, color: bool) -> Result<(), Failure> {
    let term = std::env::var("TERM").ok();
    terminal(
        term.as_deref(),
        io::stdin().is_terminal() && io::stdout().is_terminal(),
    )?;
    // Told on the ordinary screen; later absences are waited for.
    Connection::open(socket, &Command::Status)
        .await
        .map_err(|error| unreachable(socket, &error))?;
    screen::give_back_on_panic();
    let screen = Screen::enter(&io::stdin(), &io::stdout()).map_err(broken)?;
    let result = show(socket, color).await;
    drop(screen);
    match result {
        // The terminal is gone: nobody is there to be told.
        Err(error) if is_absence(&error) => Ok(()),
        result => result.map_err(broken),
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::new(Exit::Unavailable, format!("the terminal: {error}"))
}

async fn show(socket: &Path, color: bool) -> io::Result<()> {
    let (send_keys, mut keys) = mpsc::channel(64);
    // Reading the terminal blocks, so it has a thread; that ends with the process.
    std::thread::spawn(move || {
        while let Ok(input) = event::read() {
            if send_keys.blocking_send(input).is_err() {
                return;
            }
        }
    });
    let (send_events, mut events) = mpsc::channel(WAITING);
    let mut state = State::default();
    let (pane, watched) = watch::channel(state.pane);
    let feed = Feed::start(socket, send_events, watched);
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut ends = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    let mut ticks = interval(Duration::from_secs(1));
    let mut dirty = true;
    let mut drawn = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = ends.0.recv() => return Ok(()),
            _ = ends.1.recv() => return Ok(()),
            input = keys.recv() => {
                let Some(input) = input else { return Ok(()) };
                match key(&mut state, input) {
                    Some(Effect::Quit) => return Ok(()),
                    Some(effect) => feed.act(effect),
                    None => {}
                }
                pane.send_if_modified(|pane| std::mem::replace(pane, state.pane) != state.pane);
                dirty = true;
            }
            _ = ticks.tick() => {
                state.apply(Event::Tick(jiff::Timestamp::now().as_microsecond()));
                dirty = true;
            }
            () = sleep_until(drawn + FRAME), if dirty => {
                // Asked for each time: the event that tells of another size can be missed.
                let size = terminal.size()?;
                state.apply(Event::Size(size.width, size.height));
                terminal.draw(|frame| view::draw(&state, color, frame))?;
                (dirty, drawn) = (false, Instant::now());
            }
            event = events.recv() => {
                let mut next = event;
                for _ in 0..AT_ONCE {
                    let Some(event) = next else { break };
                    state.apply(event);
                    next = events.try_recv().ok();
                }
                if let Some(event) = next {
                    state.apply(event);
                }
                dirty = true;
            }
        }
    }
}

/// What was typed or pasted. Another size shows when the next frame is drawn.
fn key(state: &mut State, input: Input) -> Option<Effect> {
    match input {
        Input::Key(key) => state.key(key),
        // Only into a line that is typed: pasted text is no command.
        Input::Paste(text) if state.prompt.is_some() => {
            for c in text.chars().filter(|c| !c.is_control()) {
                let key = KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE);
                _ = state.key(key);
            }
            None
        }
        _ => None,
    }
}
