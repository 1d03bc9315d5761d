//! `conec request` and `conec reply`: one asks, a command at the other end answers.
//!
//! The protocol of `conec/request`: each bidirectional stream is a request. Its opener sends the body, in pieces, and finishes. The other
//! end answers with what the command prints, in pieces of which none is empty; then come an empty message, and how the command has ended,
//! as JSON ([`Outcome`]). Who has enough of the body stops the stream; who gives up resets it.

mod ask;
mod command;
mod pieces;
mod reply;

use conec_tokio::Code;
use serde::{Deserialize, Serialize};

pub(crate) use self::{ask::Args as Request, reply::Args as Reply};

const SERVICE: &str = "conec/request";
/// The label of the streams.
const REQUEST: &str = "request";

/// Who stops a stream with this does not need the rest of it: all is well.
const ENOUGH: Code = Code(0);

/// How a command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It took longer than it may there.
    TimedOut,
}
