//! `conec request` and `conec reply`: one asks, a command at the other end answers.
//!
//! The protocol of `conec/request` is that of [`calls`](conec_tokio::calls), under the label `run`: the question is what the command reads,
//! and the answer how it has ended, as JSON in one line ([`Outcome`]), and after that what it has printed.

mod answer;
mod ask;
mod command;
mod reply;

pub(crate) use self::{ask::Args as Request, reply::Args as Reply};

const SERVICE: &str = "conec/request";
/// What is asked for.
const RUN: &str = "run";
