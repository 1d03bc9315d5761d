//! The command line tool, as its users run it: real processes, what they print, and how they end.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod contexts;
mod coordinator;
mod forward;
mod manual;
mod ping;
mod pipe;
mod ssh;
mod support;
