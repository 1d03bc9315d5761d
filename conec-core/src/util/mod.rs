//! Small tools that know nothing of the protocol.

mod bucket;
mod clock;
mod deadlines;
mod network;
mod share;

pub(crate) use self::{
    bucket::Bucket,
    clock::WallClock,
    deadlines::Deadlines,
    network::{ByNetwork, Network, are_neighbours, is_private_v4},
    share::{may_take, share},
};
