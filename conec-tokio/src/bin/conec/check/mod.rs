//! Is it there, how far away is it, and what is between.

pub(crate) mod echo;
pub(crate) mod ping;
