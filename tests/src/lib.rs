//! What conec's tests have in common: a deterministic [simulator](sim) of networks with Coordinators and Clients in
//! them, driven only through the public [`Endpoint`](conec_core::Endpoint) trait.

#![forbid(unsafe_code)]

pub mod budget;
pub mod bystanders;
pub mod fuzz;
pub mod groups;
pub mod guards;
pub mod keys;
pub mod logs;
pub mod model;
pub mod outages;
pub mod raw;
pub mod sim;

/// The code in the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
