//! The command lines of the guides, of README.md and of the commands' help, run as they are printed there.

mod help;
pub(crate) mod network;
mod operating;
mod operators;
mod pages;
mod readme;
mod scenes;
mod tool;
