//! What went wrong in the library, for people, and what to do about it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has words of its own in one place comes first: all else has those of `advice` and `advice_by`, which name every reason"
)]

use conec_tokio::{
    BindError, CloseReason, Code, ConfigError, ConnectError, ErrorCode, NoRandomness,
    OpenChannelError, OpenError, OpenStreamError, RecvEnd, RecvError, SendEnd, SendError,
    StoreError,
};

use crate::{
    codes,
    failure::{Exit, Failure, advice_on, chain},
};

/// Why the Coordinator is not there for this Client.
impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Closed(reason) => not_connected(reason),
            ConnectError::Resolve { .. } => Self::new(
                Exit::Unreachable,
                chain(&error),
                "check the host name of the Coordinator, and this machine's network",
            ),
            ConnectError::Address(_) => Self::usage(
                chain(&error),
                "give the Coordinator's host and port, as the URL has them that it prints",
            ),
            ConnectError::Bind(error) => error.into(),
            _ => Self::new(Exit::Unreachable, chain(&error), LOOK),
        }
    }
}

/// Why nobody can be served any more.
pub(crate) fn ended(reason: CloseReason) -> Failure {
    match reason {
        CloseReason::Local => Failure::new(Exit::Other, "closed", AGAIN),
        reason => not_connected(reason),
    }
}

fn not_connected(reason: CloseReason) -> Failure {
    let (exit, what, help) = match reason {
        CloseReason::Application(codes::TOKEN) => (
            Exit::Refused,
            "the Coordinator lets nobody in without its token, and this one is not right".into(),
            "get its ticket from whoever runs it, and `conec join` with that",
        ),
        CloseReason::Application(code) => {
            let (why, help) = codes::meaning(code).unwrap_or((
                "it does not say why",
                "ask whoever runs it to let this Client in",
            ));
            let what = format!("refused by the Coordinator with {code}: {why}");
            (Exit::Refused, what, help)
        }
        CloseReason::Remote(code) => return not_let_in(code),
        CloseReason::Credential(_) => (
            Exit::Refused,
            format!("refused by the Coordinator: {reason}"),
            advice(reason),
        ),
        CloseReason::Identity => (
            Exit::Unreachable,
            "who answers there is not the Coordinator that is meant: it did not prove to have its key".into(),
            "it may have been set up anew: get its new ticket from whoever runs it, and `conec join` with that",
        ),
        CloseReason::TimedOut => (
            Exit::Unreachable,
            "the Coordinator does not answer".into(),
            "check that it runs, that host and port are right, and that no firewall stops UDP",
        ),
        CloseReason::Unreachable(why) => {
            let what = "the Coordinator cannot be reached";
            return Failure::new(Exit::Unreachable, what, why.to_string());
        }
        reason => (
            Exit::Unreachable,
            format!("not connected to the Coordinator: {reason}"),
            advice(reason),
        ),
    };
    Failure::new(exit, what, help)
}

fn not_let_in(code: ErrorCode) -> Failure {
    let exit = match code {
        ErrorCode::Superseded => Exit::Lost,
        ErrorCode::Shutdown => Exit::Unreachable,
        _ => Exit::Refused,
    };
    let what = match code {
        ErrorCode::NameInUse => "somebody else has that name".into(),
        ErrorCode::Refused | ErrorCode::Superseded | ErrorCode::Shutdown => {
            format!("not connected to the Coordinator: {code}")
        }
        code => format!("refused by the Coordinator: {code}"),
    };
    let help = match code {
        ErrorCode::Refused => {
            "ask whoever runs it to let this Client in: its id is what `conec id` prints"
        }
        code => advice_by(code),
    };
    Failure::new(exit, what, help)
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Closed(reason) => not_opened(reason),
            OpenError::KeyChanged(_) => Self::new(
                Exit::Refused,
                error.to_string(),
                advice(CloseReason::KeyChanged),
            ),
            OpenError::Refused(refused) => {
                let help = match refused {
                    OpenChannelError::NotConnected => "try again when the Coordinator is there",
                    OpenChannelError::TooMany => "end something that is under way here first",
                    OpenChannelError::TooFast => "try again when some have been answered",
                    OpenChannelError::LabelTooLong | _ => {
                        return Self::mistake(error.to_string());
                    }
                };
                Self::new(Exit::Lost, error.to_string(), help)
            }
            _ => Self::new(Exit::Other, chain(&error), LOOK),
        }
    }
}

/// Why a channel that was asked for did not come about.
fn not_opened(reason: CloseReason) -> Failure {
    let (exit, what) = match reason {
        CloseReason::Remote(ErrorCode::NotFound) => (
            Exit::NotThere,
            "nobody of that name or id is connected, or nobody whom this Client may reach".into(),
        ),
        CloseReason::Remote(ErrorCode::NoAnswer) => (
            Exit::NotThere,
            "the other end did not answer in time".into(),
        ),
        CloseReason::Remote(ErrorCode::PeerGone) => {
            (Exit::NotThere, "the other end has just gone".into())
        }
        CloseReason::KeyChanged | CloseReason::Identity | CloseReason::Credential(_) => {
            (Exit::Refused, reason.to_string())
        }
        reason => return reason.into(),
    };
    Failure::new(exit, what, advice(reason))
}

/// Why a channel has ended.
impl From<CloseReason> for Failure {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Application(code) => by_code(code),
            CloseReason::Remote(
                code @ (ErrorCode::Refused | ErrorCode::Limit | ErrorCode::RateLimited),
            ) => Self::new(Exit::Refused, code.to_string(), advice_by(code)),
            reason => Self::new(
                Exit::Lost,
                format!("the channel has ended: {reason}"),
                advice(reason),
            ),
        }
    }
}

impl From<OpenStreamError> for Failure {
    fn from(error: OpenStreamError) -> Self {
        match error {
            OpenStreamError::LabelTooLong => Self::mistake(error.to_string()),
            OpenStreamError::Closed | _ => Self::new(Exit::Lost, error.to_string(), CHECK),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Ended(end) => end.into(),
            SendError::TooLarge { .. } => {
                Self::new(Exit::Other, error.to_string(), "send it in smaller parts")
            }
            SendError::Finished | _ => Self::mistake(error.to_string()),
        }
    }
}

impl From<SendEnd> for Failure {
    fn from(end: SendEnd) -> Self {
        let help = match end {
            SendEnd::Stopped(code) => return by_code(code),
            SendEnd::Closed(reason) => return reason.into(),
            SendEnd::Refused(code) => advice_by(code),
            SendEnd::Finished | SendEnd::Reset | _ => AGAIN,
        };
        Self::new(Exit::Lost, format!("the stream has ended: {end}"), help)
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Ended(end) => end.into(),
            RecvError::Lagged(_) | _ => Self::new(
                Exit::Other,
                error.to_string(),
                "have what comes read faster here, and try again",
            ),
        }
    }
}

impl From<RecvEnd> for Failure {
    fn from(end: RecvEnd) -> Self {
        let help = match end {
            RecvEnd::Reset(code) => return by_code(code),
            RecvEnd::Closed(reason) => return reason.into(),
            RecvEnd::Refused(code) => advice_by(code),
            RecvEnd::Truncated => "see what the other end says: it ended before all was sent",
            RecvEnd::TooLarge => SAME_VERSION,
            RecvEnd::Finished | RecvEnd::Stopped | _ => AGAIN,
        };
        Self::new(Exit::Lost, format!("the stream has ended: {end}"), help)
    }
}

fn by_code(code: Code) -> Failure {
    let exit = match code {
        codes::NOT_SERVED => Exit::NotThere,
        codes::FAILED | codes::NO_ROOM => Exit::Other,
        _ => Exit::Refused,
    };
    match codes::meaning(code) {
        Some((what, help)) => Failure::new(exit, format!("the other end says: {what}"), help),
        None => {
            let what = format!("the other end has ended it with {code}");
            Failure::new(exit, what, SAME_VERSION)
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = match &error {
            StoreError::Io { error, .. } => advice_on(error).into(),
            StoreError::NotPrivate { path } => format!(
                "`chmod 600 {0}` if nobody has read it; otherwise move it away, and another one is made",
                path.display()
            ),
            StoreError::Identity { path, .. } => {
                format!("move {} away to get a new identity", path.display())
            }
            StoreError::Certificate { path, .. } => format!(
                "if {} is damaged, move it away: another one is made, and all have to join again",
                path.display()
            ),
            StoreError::Randomness(_) => NO_RANDOMNESS.into(),
            StoreError::SelfSigned(_) => "correct what --host says: names or addresses".into(),
            _ => LOOK.into(),
        };
        Self::usage(chain(&error), help)
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let (exit, help) = match &error {
            BindError::Config(ConfigError::Credential(_)) => (
                Exit::Usage,
                "a credential is for one key, and when several commands run at once, only the first has this machine's: give the others homes of their own, by CONEC_HOME",
            ),
            BindError::Config(ConfigError::OutOfRange(..)) => (Exit::Usage, "correct that value"),
            BindError::Config(ConfigError::Tls(_) | _) => (
                Exit::Usage,
                "check that certificate and key belong together, and that the roots are not damaged",
            ),
            BindError::Io(error) => (Exit::Other, advice_on(error)),
            BindError::Randomness(_) => (Exit::Other, NO_RANDOMNESS),
            _ => (Exit::Other, LOOK),
        };
        Self::new(exit, chain(&error), help)
    }
}

/// The system gives no random numbers.
impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::new(Exit::Other, error.to_string(), NO_RANDOMNESS)
    }
}

/// What to do where this is why something ended.
fn advice(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Local => AGAIN,
        CloseReason::Application(code) => codes::meaning(code).map_or(SAME_VERSION, |it| it.1),
        CloseReason::Remote(code) => advice_by(code),
        CloseReason::Violation(_) | CloseReason::Version => SAME_VERSION,
        CloseReason::Identity | CloseReason::KeyChanged => {
            "ask the other end, by another way, what `conec id` prints there, and give that id instead of the name"
        }
        CloseReason::Credential(_) => {
            "have an authority that is known here issue another credential for the other end"
        }
        CloseReason::Signer => "see the log why this machine's key did not sign: run it with -vv",
        CloseReason::TimedOut | CloseReason::Unreachable(_) => CHECK,
        CloseReason::Reset => "try again: the other end does not know any more what was before",
        CloseReason::Overloaded => "do less at once, or less with that other end",
        CloseReason::CoordinatorLost => {
            "check that the Coordinator runs, and this machine's network; then try again"
        }
        CloseReason::NoDirectPath => NO_PATH,
        CloseReason::Transport(_) | _ => LOOK,
    }
}

/// What to do where the other side, or the Coordinator, says this.
pub(crate) fn advice_by(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::None => AGAIN,
        ErrorCode::Protocol | ErrorCode::Binding => SAME_VERSION,
        ErrorCode::HelloTimeout | ErrorCode::NotResumed => CHECK,
        ErrorCode::NameInUse => "choose another name with --name",
        ErrorCode::Refused => {
            "ask whoever runs the Coordinator to allow it: this machine's id is what `conec id` prints"
        }
        ErrorCode::Superseded => {
            "another process has this identity: give each machine a home directory of its own"
        }
        ErrorCode::Shutdown => "it is being stopped: try again when it runs",
        ErrorCode::NotFound => {
            "check the name, and that the other end runs and is connected to the same Coordinator"
        }
        ErrorCode::PeerGone | ErrorCode::NoAnswer => "check that it still runs there",
        ErrorCode::Limit => {
            "end something that is under way first, or ask whoever runs the Coordinator for higher limits"
        }
        ErrorCode::RateLimited => "wait a little, then try again",
        ErrorCode::Dropped => "see what the other command says",
        ErrorCode::TooLarge => "send it in smaller parts",
        ErrorCode::NoDirectPath => NO_PATH,
        ErrorCode::Moved => {
            "see to which Coordinator the other end has gone, and `conec join` that one"
        }
        ErrorCode::Credential | ErrorCode::CredentialMissing | ErrorCode::CredentialExpired => {
            "have an authority that the Coordinator trusts issue one for what `conec id` prints, and give it by --credential"
        }
        ErrorCode::KeyChanged => {
            "tell the other end, by another way, what `conec id` prints here: it has to replace what it knows"
        }
        ErrorCode::TooSlow => "read faster, and begin again",
        ErrorCode::Unknown | _ => SAME_VERSION,
    }
}

const AGAIN: &str = "run it again";
const CHECK: &str = "check the network, and that the other end still runs; then try again";
const LOOK: &str = "try again; `conec doctor` looks for what is wrong here";
const NO_PATH: &str =
    "allow the path through the Coordinator (--path auto), or forward a UDP port to one of the two";
const NO_RANDOMNESS: &str =
    "try again when the system has started to its end, or see who forbids this process to ask it";
const SAME_VERSION: &str = "have the same version at both ends";

#[cfg(test)]
mod tests {
    use std::io;

    use conec_core::{Unreachable, Violation};
    use conec_tokio::{
        ClientId, CredentialError, GroupEnd, JoinError, KeyChange, PublishError, calls::CallError,
    };

    use super::*;

    /// Whatever goes wrong, people are told what to do about it, in a line.
    #[test]
    fn all_that_goes_wrong_is_said_with_what_to_do() {
        let said = all();
        assert!(said.len() > 150);
        for failure in said {
            let text = failure.to_string();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 2, "{text}");
            assert!(lines[0].len() > "error: ".len(), "{text}");
            let help = lines[1].strip_prefix("help: ").unwrap();
            assert!(help.contains(' '), "{text}");
        }
    }

    fn all() -> Vec<Failure> {
        let mut all: Vec<Failure> = Vec::new();
        for reason in reasons() {
            all.extend([
                reason.into(),
                ended(reason),
                not_opened(reason),
                ConnectError::Closed(reason).into(),
                OpenError::Closed(reason).into(),
                SendEnd::Closed(reason).into(),
                RecvEnd::Closed(reason).into(),
                GroupEnd::Closed(reason).into(),
            ]);
        }
        for code in codes() {
            all.extend([
                SendEnd::Refused(code).into(),
                RecvEnd::Refused(code).into(),
                GroupEnd::Refused(code).into(),
            ]);
        }
        for code in (0..600).map(Code) {
            all.extend([
                by_code(code),
                GroupEnd::Application(code).into(),
                CallError::Refused(code).into(),
            ]);
        }
        all.extend([SendEnd::Finished, SendEnd::Reset].map(|end| SendError::Ended(end).into()));
        let ends = [
            RecvEnd::Finished,
            RecvEnd::Stopped,
            RecvEnd::Truncated,
            RecvEnd::TooLarge,
        ];
        all.extend(ends.map(|end| RecvError::Ended(end).into()));
        let refused = [
            OpenChannelError::NotConnected,
            OpenChannelError::TooMany,
            OpenChannelError::TooFast,
            OpenChannelError::LabelTooLong,
        ];
        all.extend(refused.map(|error| OpenError::Refused(error).into()));
        let (name, id) = ("name".parse().unwrap(), ClientId::from_bytes([1; 32]));
        all.extend([
            OpenError::KeyChanged(KeyChange::new(name, id, id)).into(),
            OpenStreamError::LabelTooLong.into(),
            OpenStreamError::Closed.into(),
            SendError::TooLarge { max: 1 }.into(),
            SendError::Finished.into(),
            RecvError::Lagged(1).into(),
            JoinError::Ended(GroupEnd::TooSlow).into(),
            PublishError::TooLarge { max: 1 }.into(),
            PublishError::NotPublisher.into(),
            PublishError::Ended(GroupEnd::Left).into(),
            GroupEnd::Violation.into(),
            CallError::TooLarge { max: 1 }.into(),
            CallError::Dropped.into(),
            CallError::Malformed.into(),
            CallError::Open(OpenStreamError::Closed).into(),
            NoRandomness.into(),
            BindError::Randomness(NoRandomness).into(),
            BindError::Config(ConfigError::OutOfRange("a", "b")).into(),
            BindError::Config(ConfigError::Tls("a".into())).into(),
            BindError::Config(CredentialError::OtherKey.into()).into(),
            StoreError::NotPrivate { path: "a".into() }.into(),
            StoreError::Randomness(NoRandomness).into(),
            Failure::interrupted(),
            Failure::mistake("a"),
        ]);
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::AddrInUse,
            io::ErrorKind::Other,
        ] {
            let (path, host) = ("a".into(), "a".into());
            let error = || io::Error::from(kind);
            all.extend([
                Failure::io("a", &error()),
                BindError::Io(error()).into(),
                StoreError::Io {
                    path,
                    error: error(),
                }
                .into(),
                ConnectError::Resolve {
                    host,
                    error: error(),
                }
                .into(),
            ]);
        }
        all
    }

    fn reasons() -> Vec<CloseReason> {
        let mut reasons = vec![
            CloseReason::Local,
            CloseReason::Application(codes::TOKEN),
            CloseReason::Application(Code(1)),
            CloseReason::Violation(Violation::Malformed),
            CloseReason::Identity,
            CloseReason::Credential(CredentialError::Expired),
            CloseReason::KeyChanged,
            CloseReason::Signer,
            CloseReason::Version,
            CloseReason::TimedOut,
            CloseReason::Unreachable(Unreachable::Port),
            CloseReason::Reset,
            CloseReason::Overloaded,
            CloseReason::CoordinatorLost,
            CloseReason::NoDirectPath,
            CloseReason::Transport(1),
        ];
        reasons.extend(codes().map(CloseReason::Remote));
        reasons
    }

    fn codes() -> [ErrorCode; 24] {
        [
            ErrorCode::None,
            ErrorCode::Protocol,
            ErrorCode::HelloTimeout,
            ErrorCode::NameInUse,
            ErrorCode::Refused,
            ErrorCode::Superseded,
            ErrorCode::Shutdown,
            ErrorCode::NotFound,
            ErrorCode::PeerGone,
            ErrorCode::NoAnswer,
            ErrorCode::Limit,
            ErrorCode::RateLimited,
            ErrorCode::Binding,
            ErrorCode::Dropped,
            ErrorCode::TooLarge,
            ErrorCode::NoDirectPath,
            ErrorCode::NotResumed,
            ErrorCode::Moved,
            ErrorCode::Credential,
            ErrorCode::CredentialMissing,
            ErrorCode::CredentialExpired,
            ErrorCode::KeyChanged,
            ErrorCode::TooSlow,
            ErrorCode::Unknown,
        ]
    }
}
