//! What operators do with a Coordinator that runs: over a stream of the home channel, after a proof that they are who they say.

pub(crate) mod drain;
pub(crate) mod kick;
pub(crate) mod ls;
mod operator;
mod proof;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod top;
