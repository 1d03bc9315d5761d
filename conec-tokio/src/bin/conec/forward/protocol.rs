//! What the two ends of a forward say to each other.
//!
//! Whoever wants something of the other end opens a bidirectional stream. The first message is an [`Ask`], in JSON, and the stream's label
//! names what it is; the first message back is an [`Answer`]. What follows are the bytes of the connection, each message some of them, and
//! the end of the stream is their end. Who asks need not wait for the answer with them.
//!
//! The packets of a UDP flow are datagrams of the channel, behind the flow's number (32 bits, big-endian); those that do not fit are messages of
//! the flow's stream, as are those that come before the answer. Flows that who asked for the channel begins have even numbers, others odd ones. The flow
//! ends with its stream.

use std::{fmt, io, net::SocketAddr};

use conec_tokio::{Receiver, Sender};
use serde::{Deserialize, Serialize};

use super::spec::{Kind, Place};
use crate::{
    failure::{Exit, Failure},
    json,
};

pub(super) const SERVICE: &str = "conec/forward";

/// What one end wants of the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Ask {
    /// A connection to this place; or if it has a number, a flow of packets.
    Connect { to: Place, flow: Option<u32> },
    /// To listen at this place, as long as the stream lasts, and to call who comes by this number.
    Listen {
        at: Place,
        kind: Kind,
        number: usize,
    },
    /// Somebody has come to what is listened at under this number.
    Come {
        number: usize,
        from: SocketAddr,
        flow: Option<u32>,
    },
}

/// What becomes of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    /// It is there; where the system has chosen a port, at this address.
    Ready { at: Option<SocketAddr> },
    /// It is not.
    Refused(Refusal),
}

/// Why something that was asked for is not there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) why: Why,
    pub(super) text: String,
}

/// What is told apart by who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It was not said there that this may be done.
    Denied,
    /// Nothing listens at that port.
    NobodyThere,
    /// There is no way to the host, or none of that name.
    Unreachable,
    TimedOut,
    Other,
}

impl Ask {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => CONNECT,
            Self::Listen { .. } => LISTEN,
            Self::Come { .. } => COME,
        }
    }
}

/// Sends that it is there.
pub(super) async fn ready(sender: &mut Sender, at: Option<SocketAddr>) -> Result<(), Failure> {
    json::send(sender, &Answer::Ready { at }).await
}

/// Sends that it is not there, and why.
pub(super) async fn refuse(mut sender: Sender, refusal: Refusal) -> Result<(), Failure> {
    json::send(&mut sender, &Answer::Refused(refusal)).await?;
    Ok(sender.finish()?)
}

/// Waits for the answer.
pub(super) async fn answer(
    receiver: &mut Receiver,
) -> Result<Result<Option<SocketAddr>, Refusal>, Failure> {
    Ok(match json::receive(receiver).await? {
        Answer::Ready { at } => Ok(at),
        Answer::Refused(refusal) => Err(refusal),
    })
}

/// Waits until it is there.
pub(super) async fn granted(receiver: &mut Receiver) -> Result<Option<SocketAddr>, Failure> {
    Ok(answer(receiver).await??)
}

impl Refusal {
    pub(super) fn denied(what: impl fmt::Display) -> Self {
        Self {
            why: Why::Denied,
            text: format!("{what} is not allowed there"),
        }
    }

    pub(super) fn of(what: impl fmt::Display, error: &io::Error) -> Self {
        Self {
            why: why(error),
            text: format!("{what}: {error}"),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.text.chars().filter(|it| !it.is_control());
        let what = format!("the other end says: {}", text.collect::<String>());
        match refusal.why {
            Why::Denied => Self::new(
                Exit::Refused,
                what,
                "what may be done is said where `conec expose` runs, nothing by default: `conec expose --help`",
            ),
            Why::NobodyThere | Why::Unreachable | Why::TimedOut | Why::Other => Self::new(
                Exit::Other,
                what,
                "check that it is there, seen from the other end",
            ),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "systems have many errors, of which few are told apart"
)]
fn why(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Why::NobodyThere,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Why::Unreachable,
        io::ErrorKind::TimedOut => Why::TimedOut,
        // What cannot be resolved has no kind of its own.
        _ if error.raw_os_error().is_none() => Why::Unreachable,
        _ => Why::Other,
    }
}

const CONNECT: &str = "connect";
const LISTEN: &str = "listen";
const COME: &str = "come";
