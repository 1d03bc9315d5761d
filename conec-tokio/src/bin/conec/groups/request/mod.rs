//! `conec request` and `conec reply`: one asks, a command at the other end answers.

mod ask;
mod command;
mod protocol;
mod reply;

pub(crate) use self::{ask::Args as Request, reply::Args as Reply};
