//! Connections to ports, through channels: `conec forward` at one end, `conec expose` at the other.
//!
//! Somebody *enters* at one end, at a port that this process listens at ([`enter`], [`ingress`], [`socks`]), and *leaves* at the other, for a
//! place there ([`egress`]). Either end can be the one where people enter.

pub(crate) mod command;
mod egress;
mod enter;
pub(crate) mod expose;
mod flow;
mod ingress;
mod link;
mod protocol;
mod remote;
mod socks;
mod spec;
mod target;
mod via;
