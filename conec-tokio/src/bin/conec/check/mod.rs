//! Is it there, how far away is it, and what is between.

pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod echo;
mod nat;
pub(crate) mod ping;
pub(crate) mod status;
mod tally;
mod way;
