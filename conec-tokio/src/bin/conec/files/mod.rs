//! Files and folders from one machine to another: `conec send` and `conec receive`.

mod code;
mod fault;
mod hashing;
mod names;
mod progress;
mod protocol;
pub(crate) mod receive;
pub(crate) mod send;
