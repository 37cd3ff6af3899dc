//! Exit codes, and what ends a command early.

use std::io;
use std::process::ExitCode;

use crate::config::LoadError;
use crate::serve::protocol::ErrorCode;

/// Exit codes: 0, 1 and those of sysexits(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything went well; also when the reader of a pipe had enough.
    Success = 0,
    /// Something was found: `check` has warnings, a test delivery failed.
    Found = 1,
    /// The command line is wrong.
    Usage = 64,
    /// What was asked for is not there.
    Data = 65,
    /// The daemon, or something of the kernel, is not there.
    Unavailable = 69,
    /// A bug.
    Software = 70,
    /// A permission is missing.
    NoPermission = 77,
    /// Configuration or policy is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early: shown on standard error unless the message is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// What, where, why. Quoted when it is printed.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Ends without a word: all was said.
    #[must_use]
    pub fn quiet(exit: Exit) -> Self {
        Self::new(exit, "")
    }
}

impl From<io::Error> for Failure {
    /// Errors of standard output. A reader that had enough (`| head`) is a success.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::quiet(Exit::Success);
        }
        Self::new(Exit::Unavailable, format!("standard output: {error}"))
            .hint("is the disk full, or the terminal gone?")
    }
}

impl From<&LoadError> for Exit {
    fn from(error: &LoadError) -> Self {
        if error.is_permission() {
            Self::NoPermission
        } else {
            Self::Config
        }
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Request => Self::Usage,
            ErrorCode::NotFound => Self::Data,
            ErrorCode::Version | ErrorCode::Busy | ErrorCode::Stopping => Self::Unavailable,
            ErrorCode::Internal => Self::Software,
            ErrorCode::Denied => Self::NoPermission,
        }
    }
}
