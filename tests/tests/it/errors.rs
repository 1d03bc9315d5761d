//! What errors say: each says its own part, so that a program can print an error with all its sources and repeat nothing.

use std::{error::Error, io};

use conec_core::{
    CloseReason, Code, ConfigError, ErrorCode, InvalidName, KeyChange, NoRandomness,
    OpenChannelError, RecvEnd, SendEnd, Unreachable, Violation,
};
use conec_driver::{
    BindError, ConnectError, KnownError, KnownLineError, OpenError, OpenStreamError, RecvError,
    SendError, TryOpenStreamError, TryRecvError, TrySendError,
};
use conec_tests::keys;

#[test]
fn an_error_does_not_repeat_its_source() {
    let errors = all();
    let with_source = errors.iter().filter(|error| error.source().is_some());
    assert!(with_source.count() >= 10, "or this shows little");
    for error in &errors {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        for (at, outer) in chain.iter().enumerate() {
            let repeated = chain[at + 1..].iter().find(|inner| outer.contains(*inner));
            assert_eq!(repeated, None, "{error:?}: {chain:?}");
        }
    }
}

#[test]
fn the_code_of_the_application_at_the_other_side_is_told() {
    let reason = CloseReason::Application(Code(4711));
    assert!(reason.to_string().contains("4711"), "{reason}");
}

/// What has no source says by itself what has happened within.
#[test]
fn what_was_the_matter_is_told_once_in_each_chain() {
    let why = ErrorCode::NameInUse.to_string();
    for error in all() {
        let named = format!("{error:?}").contains("NameInUse");
        let mut told = 0;
        let mut next: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(error) = next {
            told += usize::from(error.to_string().contains(&why));
            next = error.source();
        }
        assert_eq!(told, usize::from(named), "{error:?}");
    }
}

/// All errors that hold another, with each kind that these hold.
fn all() -> Vec<Box<dyn Error>> {
    let reasons = [
        CloseReason::Application(Code(7)),
        CloseReason::Remote(ErrorCode::NameInUse),
        CloseReason::Violation(Violation::Flood),
        CloseReason::Unreachable(Unreachable::Port),
        CloseReason::TimedOut,
        CloseReason::KeyChanged,
    ];
    let mut errors: Vec<Box<dyn Error>> = Vec::new();
    for reason in reasons {
        let (sent, received) = (SendEnd::Closed(reason), RecvEnd::Closed(reason));
        errors.push(Box::new(reason));
        errors.push(Box::new(sent));
        errors.push(Box::new(received));
        errors.push(Box::new(SendError::Ended(sent)));
        errors.push(Box::new(TrySendError::Failed(SendError::Ended(sent))));
        errors.push(Box::new(RecvError::Ended(received)));
        errors.push(Box::new(TryRecvError::Failed(received.into())));
        errors.push(Box::new(ConnectError::Closed(reason)));
        errors.push(Box::new(OpenError::Closed(reason)));
    }
    for code in [ErrorCode::NameInUse, ErrorCode::Dropped] {
        let (sent, received) = (SendEnd::Refused(code), RecvEnd::Refused(code));
        errors.push(Box::new(SendError::Ended(sent)));
        errors.push(Box::new(RecvError::Ended(received)));
        errors.push(Box::new(TryRecvError::Failed(received.into())));
    }
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no such thing");
    let config = ConfigError::OutOfRange("token", "short");
    let tls = ConfigError::Tls("no roots".into());
    let host = "nowhere:1".to_owned();
    let closed = OpenStreamError::Closed;
    errors.push(Box::new(BindError::Io(missing())));
    errors.push(Box::new(BindError::Config(config)));
    errors.push(Box::new(BindError::Randomness(NoRandomness)));
    errors.push(Box::new(ConnectError::Bind(BindError::Io(missing()))));
    errors.push(Box::new(ConnectError::Bind(BindError::Config(tls))));
    errors.push(Box::new(ConnectError::Resolve {
        host,
        error: missing(),
    }));
    let address = conec_core::ConnectError::NoAddress;
    errors.push(Box::new(ConnectError::Address(address)));
    let refused = OpenChannelError::NotConnected;
    errors.push(Box::new(OpenError::Refused(refused)));
    errors.push(Box::new(TryOpenStreamError::Failed(closed)));
    let [known, found] = [1, 2].map(|number| keys::identity(number).id());
    let change = KeyChange::new("bob".parse().unwrap(), known, found);
    errors.push(Box::new(OpenError::KeyChanged(change)));
    let path = || "known_clients".into();
    errors.push(Box::new(KnownError::Io {
        path: path(),
        error: missing(),
    }));
    for error in [KnownLineError::Words, KnownLineError::Name(InvalidName)] {
        let (path, line) = (path(), 3);
        errors.push(Box::new(KnownError::Line { path, line, error }));
    }
    errors
}
