//! Small tools that know nothing of the protocol.

mod bucket;
mod deadlines;
mod share;

pub(crate) use self::{bucket::Bucket, deadlines::Deadlines, share::may_take};
