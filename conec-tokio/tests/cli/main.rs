//! The command line tool, as its users run it: real processes, what they print, and how they end.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod admin;
mod config;
mod contexts;
mod coordinator;
mod manual;
mod metrics;
mod ping;
#[cfg(target_os = "linux")]
mod service;
mod support;
