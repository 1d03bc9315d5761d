//! The command line tool, as its users run it: real processes, what they print, and how they end.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod admin;
mod browser;
mod check;
mod config;
mod contexts;
mod coordinator;
#[cfg(target_os = "linux")]
mod dist;
mod files;
mod forward;
mod groups;
#[cfg(target_os = "linux")]
mod guide;
mod manual;
mod metrics;
#[cfg(target_os = "linux")]
mod nat;
mod ping;
mod pipe;
mod request;
mod restart;
#[cfg(target_os = "linux")]
mod service;
mod ssh;
mod support;
mod terminal;
