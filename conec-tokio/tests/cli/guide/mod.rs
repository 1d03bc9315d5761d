//! The command lines of the guides and of README.md, run as they are printed there, each in its turn.

pub(crate) mod network;
mod operating;
mod operators;
mod pages;
mod readme;
mod tool;
