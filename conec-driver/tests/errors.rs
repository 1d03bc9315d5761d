//! What errors say: each says its own part, and leaves the rest to its source.

use std::{error::Error, io};

use conec_core::{CloseReason, ConfigError, OpenChannelError, SendEnd};
use conec_driver::{
    BindError, ConnectError, OpenError, OpenStreamError, SendError, TryError, resolved,
};

#[test]
fn no_error_repeats_its_source() {
    let io = || io::Error::other("the disk is on fire");
    let unresolved = || resolved("example.org", Ok([].into_iter())).map(drop);
    let all: Vec<Box<dyn Error>> = vec![
        BindError::Io(io()).into(),
        BindError::Config(ConfigError::Tls("no".into())).into(),
        ConnectError::Bind(BindError::Io(io())).into(),
        ConnectError::Address(conec_core::ConnectError::NoAddress).into(),
        ConnectError::Closed(CloseReason::TimedOut).into(),
        unresolved().expect_err("there is no port").into(),
        OpenError::Refused(OpenChannelError::NotConnected).into(),
        OpenError::Closed(CloseReason::TimedOut).into(),
        SendError::Ended(SendEnd::Reset).into(),
        TryError::Failed(OpenStreamError::Closed).into(),
        TryError::Failed(SendError::Ended(SendEnd::Closed(CloseReason::TimedOut))).into(),
    ];
    let mut sources = 0;
    for error in &all {
        let mut above: &dyn Error = &**error;
        while let Some(source) = above.source() {
            let (says, below) = (above.to_string(), source.to_string());
            assert!(!says.contains(&below), "{says:?} repeats {below:?}");
            above = source;
            sources += 1;
        }
    }
    assert_eq!(sources, 5, "{all:?}");
}
