//! One channel over one link: control stream, data streams of whole messages, datagrams, an orderly end.
//!
//! The same for home channels and peer channels, and at both sides of each. What only one kind of channel says on its
//! control stream goes to its owner, the client's or the coordinator's side of the core, as a [`Notice`].

mod batch;
mod core;
mod datagrams;
mod event;
mod handle;
mod incoming;
mod lossy;
mod memory;
mod state;
mod stats;
mod stream;
mod toll;

pub use self::{
    batch::Batch,
    event::{ChannelEvent, Path},
    handle::{Channel, Stream},
    lossy::Lossy,
    stats::{ChannelStats, DatagramStats, SendLimit},
};
pub(crate) use self::{
    core::{ChannelCore, Notice, Reading, StreamNotice},
    memory::MessageMemory,
    toll::Toll,
};
