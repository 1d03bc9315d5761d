//! Standard input and output over a channel: `conec listen` at one end, `conec connect` at the other.

pub(crate) mod connect;
mod exec;
pub(crate) mod listen;
mod protocol;
mod stdio;
