//! What a Coordinator shows by HTTP: metrics for Prometheus, its status as JSON, and a page that shows that as it happens.
//!
//! Nothing is computed while nobody asks. Whoever asks, and however often, one [`Look`](look::Look) a second is taken at most, and shared.

mod address;
mod answers;
mod hosts;
mod look;
mod looks;
mod page;
mod process;
mod prometheus;
mod rows;
mod server;
mod view;
mod watch;

pub(super) use self::{address::Address, server::Server};
