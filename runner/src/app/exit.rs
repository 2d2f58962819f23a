//! Exit codes, and the errors that end the program.

use packhorse_core::failure::{Class, Failure};
use std::fmt;

/// How the program ends. The numbers are a promise (design section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Succeeded.
    Succeeded = 0,
    /// The run failed, or what was asked about is bad.
    Failed = 1,
    /// Usage, invalid workflow or unreadable input before a run exists.
    Usage = 2,
    /// Cancelled.
    Cancelled = 3,
    /// No token, or one that does not allow it.
    Refused = 4,
    /// Timed out.
    TimedOut = 5,
    /// Paused for a person.
    Paused = 6,
    /// A service or port.
    Unavailable = 69,
    /// A bug of ours.
    Bug = 70,
    /// Interrupted by Ctrl-C; state kept.
    Interrupted = 130,
    /// Terminated; state kept.
    Terminated = 143,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends a command before or beside a run: what was tried, why it failed, what to do.
#[derive(Debug)]
pub struct Stop {
    /// With which code to exit.
    pub exit: Exit,
    /// What happened; for JSON as well.
    pub failure: Failure,
    /// Already laid out for people, where a list of problems is more than one sentence.
    pub rendered: Option<Box<str>>,
}

impl Stop {
    /// Wrong usage or input.
    pub fn usage(code: &str, message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, failure: Failure::new(code, Class::Permanent, message), rendered: None }
    }

    /// A service or port is not to be had.
    pub fn unavailable(code: &str, message: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, failure: Failure::new(code, Class::Operator, message), rendered: None }
    }

    /// The journal cannot be written or read: the process has to end, and its runs go on when that is mended.
    pub fn journal(message: impl Into<String>) -> Self {
        Self::unavailable("PH7013", message)
            .hint("make room, or mend the disk or the server that keeps the journal; then `packhorse resume`")
    }

    /// A bug of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { exit: Exit::Bug, failure: Failure::new("PH9001", Class::Bug, message), rendered: None }
    }

    /// The same with words on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rendered) = &self.rendered {
            return formatter.write_str(rendered.trim_end());
        }
        write!(formatter, "error[{}]: {}", self.failure.code, self.failure.message)?;
        match &self.failure.hint {
            Some(hint) => write!(formatter, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}
