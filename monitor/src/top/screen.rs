//! The terminal: taken over, and given back whatever happens.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Alternate screen, cursor hidden, pasted text marked as such.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h";
/// Back: colours as they were, pasting, cursor, screen.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// How the terminal was. Kept where a panic's hook finds it.
#[derive(Debug)]
struct Saved {
    input: OwnedFd,
    output: OwnedFd,
    mode: Termios,
}

static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

/// A terminal that is taken over; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Screen(());

impl Screen {
    /// Takes a terminal over: each key comes at once and is not shown, on a screen of its own.
    ///
    /// # Errors
    /// It is no terminal, or gone.
    pub(super) fn enter(input: &impl AsFd, output: &impl AsFd) -> io::Result<Self> {
        let saved = Saved {
            input: input.as_fd().try_clone_to_owned()?,
            output: output.as_fd().try_clone_to_owned()?,
            mode: tcgetattr(input)?,
        };
        let mut raw = saved.mode.clone();
        raw.make_raw();
        tcsetattr(input, OptionalActions::Now, &raw)?;
        let mut out = File::from(saved.output.try_clone()?);
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        let screen = Self(());
        out.write_all(ENTER)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, if it is taken. When it is gone there is nothing to give back.
pub(super) fn give_back() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = saved {
        _ = File::from(saved.output).write_all(LEAVE);
        _ = tcsetattr(&saved.input, OptionalActions::Flush, &saved.mode);
    }
}

/// A panic gives the terminal back before it is told of, else nobody could read it.
pub(super) fn give_back_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        tell(panic);
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// The mode of a terminal that a shell reads lines from, and what was written when it is given back.
    #[test]
    fn the_terminal_is_given_back_after_a_panic() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let mut read = File::from(master);
        let mut bytes = [0; 256];

        let screen = Screen::enter(&slave, &slave).unwrap();
        assert_ne!(tcgetattr(&slave).unwrap().local_modes, before.local_modes);
        let count = read.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], ENTER);

        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _screen = screen;
            panic!("a bug");
        }));
        assert!(result.is_err());
        let after = tcgetattr(&slave).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
        assert_eq!(after.input_modes, before.input_modes);
        assert_eq!(after.output_modes, before.output_modes);
        let count = read.read(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], LEAVE);

        // A second time there is nothing to give back.
        give_back();
        assert!(SAVED.lock().unwrap().is_none());
    }

    #[test]
    fn a_file_is_no_terminal() {
        let file = File::open("/dev/null").unwrap();
        assert!(Screen::enter(&file, &file).is_err());
    }
}
