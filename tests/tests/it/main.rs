//! The scenarios: how conec behaves, told one behaviour at a time.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

mod channels;
mod closing;
mod connecting;
mod hostile;
mod limits;
mod model;
mod nat;
mod network;
mod streams;
mod world;
