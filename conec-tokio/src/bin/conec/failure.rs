//! Why a command has failed: what happened, what to do about it, and the exit code.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::{self, Write as _},
    process::ExitCode,
};

/// Why a command has failed. There is always something to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    help: String,
}

/// The exit codes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// For another reason than the others.
    Other = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The Coordinator cannot be reached, or is not who it should be.
    Unreachable = 3,
    /// Refused, by the Coordinator or by the other end.
    Refused = 4,
    /// Nobody is there by that name, or nobody who serves that.
    NotThere = 5,
    /// Lost or cut off on the way.
    Lost = 6,
    /// By a signal.
    Interrupted = 130,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            help: help.into(),
        }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, help)
    }

    /// Something that the system did not do.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Exit::Other, format!("{what}: {error}"), advice_on(error))
    }

    /// Something that cannot be, unless conec itself is wrong.
    pub(crate) fn mistake(what: impl Into<String>) -> Self {
        Self::new(
            Exit::Other,
            what,
            "this is a mistake in conec: please report it, with what `conec doctor --bundle FILE` writes",
        )
    }

    /// By a signal.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "run it again")
    }

    /// With other advice than for most who meet with it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With what was being done before what happened.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> &str {
        &self.help
    }

    /// Tells people, on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        if self.exit != Exit::Interrupted {
            // Where that is closed, nobody listens.
            let _ = writeln!(io::stderr(), "{self}");
        }
        ExitCode::from(self.exit as u8)
    }

    /// Tells programs that read logs.
    pub(crate) fn log(&self) -> ExitCode {
        let (what, help) = (&self.what, &self.help);
        tracing::error!(help, "{what}");
        ExitCode::from(self.exit as u8)
    }
}

/// As it is shown.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhelp: {}", self.what, self.help)
    }
}

/// What to do where the system says this.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "systems have many errors, and may have more: about most there is nothing to say"
)]
pub(crate) fn advice_on(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check how it is written",
        io::ErrorKind::PermissionDenied => "do it as somebody who may, or change the rights",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there",
        io::ErrorKind::ReadOnlyFilesystem => "choose a place that can be written to",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "move away what is in its place"
        }
        io::ErrorKind::IsADirectory => "name a file: that is a directory",
        io::ErrorKind::InvalidData => "look into it: it is damaged, or something else",
        io::ErrorKind::AddrInUse => "choose another port, or end the process that has this one",
        io::ErrorKind::AddrNotAvailable => "choose an address that this machine has",
        io::ErrorKind::ConnectionRefused => "check that something listens there",
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::TimedOut => "check the network, and that the other machine runs",
        io::ErrorKind::BrokenPipe => "keep what reads this running until all is written",
        io::ErrorKind::OutOfMemory => "end other programs, or give this one more memory",
        _ => "try again with -vv, which shows more of what goes on",
    }
}

/// An error, and what it comes from.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        // To a string it cannot fail.
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    text
}
