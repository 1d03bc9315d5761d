//! The protocol of `conec/request`.
//!
//! It is that of [`calls`](conec_tokio::calls), under the label `run`: the question is what the command reads, and the answer how it has
//! ended, as JSON in one line ([`Outcome`]), and after that what it has printed.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

pub(super) const SERVICE: &str = "conec/request";
/// What is asked for.
pub(super) const RUN: &str = "run";

/// What a command has printed, and how it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) printed: Bytes,
}

/// How a command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It took longer than it may there.
    TimedOut,
}

impl Answer {
    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let mut encoded = serde_json::to_vec(&self.outcome)?;
        encoded.push(b'\n');
        let mut encoded = BytesMut::from(&*encoded);
        encoded.extend_from_slice(&self.printed);
        Ok(encoded.freeze())
    }

    /// `None` if that is none.
    pub(super) fn decode(encoded: &Bytes) -> Option<Self> {
        let line = encoded.iter().position(|it| *it == b'\n')?;
        Some(Self {
            outcome: serde_json::from_slice(&encoded[..line]).ok()?,
            printed: encoded.slice(line + 1..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let outcomes = [Outcome::Exited(3), Outcome::Killed(9), Outcome::TimedOut];
        for (outcome, printed) in outcomes.into_iter().zip(["", "\n\n", "{\"exited\":0}\n"]) {
            let printed = Bytes::from(printed);
            let answer = Answer { outcome, printed };
            assert_eq!(Answer::decode(&answer.encode().unwrap()), Some(answer));
        }
        for wrong in ["", "{}", "{}\n", "{\"exited\":3}", "exited\n"] {
            assert_eq!(Answer::decode(&wrong.into()), None, "{wrong}");
        }
    }
}
