//! Small tools that know nothing of the protocol.

mod bucket;
mod deadlines;

pub(crate) use self::{bucket::Bucket, deadlines::Deadlines};
