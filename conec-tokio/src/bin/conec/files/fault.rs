//! Why a transfer ends early: what is said here, and by which code the other end learns of it.

use conec_tokio::{Channel, Code};

use crate::{
    codes,
    failure::{Exit, Failure},
};

/// Why a transfer ends early.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) code: Code,
}

impl Fault {
    /// With another code than [`FAILED`](codes::FAILED).
    pub(super) fn new(code: Code, failure: Failure) -> Self {
        Self { failure, code }
    }

    /// The other end says what cannot be.
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        let failure = Failure::new(Exit::Other, what, "have the same version at both ends");
        Self::new(
            codes::MALFORMED,
            failure.during("the other end does not keep to the protocol"),
        )
    }

    /// Ends the channel, so that the other end knows why.
    pub(super) fn tell(self, channel: &Channel) -> Failure {
        channel.abort(self.code);
        self.failure
    }
}

impl<T: Into<Failure>> From<T> for Fault {
    fn from(failure: T) -> Self {
        Self::new(codes::FAILED, failure.into())
    }
}
