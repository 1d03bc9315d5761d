//! What applications hold: handles to an endpoint, its channels and streams. They run on any executor.

mod channel;
mod client;
mod coordinator;
mod offer;
mod receiver;
mod sender;

pub use self::{
    channel::{Channel, IncomingStream},
    client::Client,
    coordinator::Coordinator,
    offer::Offer,
    receiver::Receiver,
    sender::Sender,
};
