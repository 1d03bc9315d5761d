//! What applications hold: handles to an endpoint, its channels and streams. They run on any executor.

mod bytewise;
mod channel;
mod client;
mod coordinator;
mod group;
mod offer;
mod receiver;
mod sender;
mod subscription;

pub use self::{
    bytewise::{ByteReader, ByteStream, ByteWriter},
    channel::{Channel, IncomingStream},
    client::Client,
    coordinator::Coordinator,
    group::Group,
    offer::Offer,
    receiver::Receiver,
    sender::Sender,
    subscription::Subscription,
};
