//! Why a command has failed: what happened, what to do about it, and the exit code.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library has many reasons, most of which are the same to users of the tool: their own words say the rest"
)]

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::{self, Write as _},
    process::ExitCode,
};

use conec_tokio::{
    BindError, CloseReason, Code, ConfigError, ConnectError, ErrorCode, OpenError, OpenStreamError,
    RecvEnd, RecvError, SendEnd, SendError, StoreError,
};

use crate::codes;

/// Why a command has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    help: Option<String>,
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
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            help: None,
        }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Something that the system did not do.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let failure = Self::new(Exit::Other, format!("{what}: {error}"));
        match error.kind() {
            io::ErrorKind::NotFound => failure.help("check how it is written"),
            io::ErrorKind::PermissionDenied => {
                failure.help("do it as somebody who may, or change the rights")
            }
            io::ErrorKind::StorageFull => failure.help("make room there"),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                failure.help("move away what is in its place")
            }
            _ => failure,
        }
    }

    /// By a signal.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// With what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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

    /// What to do about it, if that is known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.help.as_deref()
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
        let (what, help) = (&self.what, self.help.as_deref());
        tracing::error!(help, "{what}");
        ExitCode::from(self.exit as u8)
    }

    /// Why a channel that was asked for did not come about.
    fn not_opened(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Remote(ErrorCode::NotFound) => Self::new(
                Exit::NotThere,
                "nobody of that name or id is connected, or nobody whom this Client may reach",
            )
            .help("check the name, and that the other end runs and is connected to the same Coordinator"),
            CloseReason::Remote(ErrorCode::NoAnswer) => {
                Self::new(Exit::NotThere, "the other end did not answer in time")
                    .help("check that it still runs there")
            }
            CloseReason::Remote(ErrorCode::PeerGone) => {
                Self::new(Exit::NotThere, "the other end has just gone")
            }
            CloseReason::KeyChanged | CloseReason::Identity | CloseReason::Credential(_) => {
                Self::new(Exit::Refused, reason.to_string())
            }
            reason => reason.into(),
        }
    }

    fn by_code(code: Code) -> Self {
        let exit = match code {
            codes::NOT_SERVED => Exit::NotThere,
            codes::FAILED | codes::NO_ROOM => Exit::Other,
            _ => Exit::Refused,
        };
        match codes::meaning(code) {
            Some((what, help)) => Self::new(exit, format!("the other end says: {what}")).help(help),
            None => Self::new(exit, format!("the other end has ended it with {code}"))
                .help("have the same version at both ends"),
        }
    }

    /// Something that was there is no more.
    fn lost(what: impl Into<String>) -> Self {
        Self::new(Exit::Lost, what)
            .help("check the network, and that the other end still runs; then try again")
    }
}

/// As it is shown.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// Why the Coordinator is not there for this Client.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Closed(reason) => not_connected(reason),
            ConnectError::Resolve { .. } => Self::new(Exit::Unreachable, chain(&error))
                .help("check the host name of the Coordinator, and this machine's network"),
            ConnectError::Address(_) => Self::usage(chain(&error)),
            ConnectError::Bind(error) => error.into(),
            _ => Self::new(Exit::Unreachable, chain(&error)),
        }
    }
}

fn not_connected(reason: CloseReason) -> Failure {
    let of = |exit, help: &str| {
        Failure::new(exit, format!("not connected to the Coordinator: {reason}")).help(help)
    };
    match reason {
        CloseReason::Application(codes::TOKEN) => Failure::new(
            Exit::Refused,
            "the Coordinator lets nobody in without its token, and this one is not right",
        )
        .help("get its ticket from whoever runs it, and `conec join` with that"),
        CloseReason::Application(code) => {
            let (what, help) = codes::meaning(code).unwrap_or((
                "it does not say why",
                "ask whoever runs it to let this Client in",
            ));
            let what = format!("refused by the Coordinator with {code}: {what}");
            Failure::new(Exit::Refused, what).help(help)
        }
        CloseReason::Remote(ErrorCode::NameInUse) => {
            Failure::new(Exit::Refused, "somebody else has that name")
                .help("choose another name with --name")
        }
        CloseReason::Remote(ErrorCode::Refused) => of(
            Exit::Refused,
            "ask whoever runs it to let this Client in: its id is what `conec id` prints",
        ),
        CloseReason::Remote(ErrorCode::Superseded) => of(
            Exit::Lost,
            "another process has this identity: give each machine a home directory of its own",
        ),
        CloseReason::Remote(ErrorCode::Shutdown) => of(
            Exit::Unreachable,
            "it is being stopped: try again when it runs",
        ),
        CloseReason::Remote(_) | CloseReason::Credential(_) => Failure::new(
            Exit::Refused,
            format!("refused by the Coordinator: {reason}"),
        ),
        CloseReason::Identity => Failure::new(
            Exit::Unreachable,
            "who answers there is not the Coordinator that is meant: it did not prove to have its key",
        )
        .help("it may have been set up anew: get its new ticket from whoever runs it, and `conec join` with that"),
        CloseReason::TimedOut => Failure::new(Exit::Unreachable, "the Coordinator does not answer")
            .help("check that it runs, that host and port are right, and that no firewall stops UDP"),
        CloseReason::Unreachable(why) => {
            Failure::new(Exit::Unreachable, "the Coordinator cannot be reached").help(why.to_string())
        }
        reason => Failure::new(
            Exit::Unreachable,
            format!("not connected to the Coordinator: {reason}"),
        ),
    }
}

/// Why nobody can be served any more.
pub(crate) fn ended(reason: CloseReason) -> Failure {
    match reason {
        CloseReason::Local => Failure::new(Exit::Other, "closed"),
        reason => not_connected(reason),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Closed(reason) => Self::not_opened(reason),
            OpenError::KeyChanged(_) => Self::new(Exit::Refused, error.to_string()),
            OpenError::Refused(_) => Self::new(Exit::Lost, error.to_string()),
            _ => Self::new(Exit::Other, chain(&error)),
        }
    }
}

/// Why a channel has ended.
impl From<CloseReason> for Failure {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Application(code) => Self::by_code(code),
            CloseReason::Remote(
                code @ (ErrorCode::Refused | ErrorCode::Limit | ErrorCode::RateLimited),
            ) => Self::new(Exit::Refused, code.to_string()),
            reason => Self::lost(format!("the channel has ended: {reason}")),
        }
    }
}

impl From<OpenStreamError> for Failure {
    fn from(error: OpenStreamError) -> Self {
        Self::lost(error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Ended(end) => end.into(),
            _ => Self::new(Exit::Other, error.to_string()),
        }
    }
}

impl From<SendEnd> for Failure {
    fn from(end: SendEnd) -> Self {
        match end {
            SendEnd::Stopped(code) => Self::by_code(code),
            SendEnd::Closed(reason) => reason.into(),
            end => Self::lost(format!("the stream has ended: {end}")),
        }
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Ended(end) => end.into(),
            _ => Self::new(Exit::Other, error.to_string()),
        }
    }
}

impl From<RecvEnd> for Failure {
    fn from(end: RecvEnd) -> Self {
        match end {
            RecvEnd::Reset(code) => Self::by_code(code),
            RecvEnd::Closed(reason) => reason.into(),
            end => Self::lost(format!("the stream has ended: {end}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Usage, chain(&error))
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Config(ConfigError::Credential(_)) => Self::new(Exit::Usage, chain(&error))
                .help("a credential is for one key, and when several commands run at once, only the first has this machine's: give the others homes of their own, by CONEC_HOME"),
            BindError::Config(_) => Self::new(Exit::Usage, chain(&error)),
            _ => Self::new(Exit::Other, chain(&error)),
        }
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
