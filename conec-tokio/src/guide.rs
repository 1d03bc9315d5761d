//! What to read beside the reference.
//!
//! | page | for whom |
//! | --- | --- |
//! | [tool] | who wants to use it without writing a program |
//! | [architecture] | who wants to know how it works |
//! | [security] | who decides whom to trust with what |
//! | [operating] | who runs a Coordinator |
//! | [outages] | who wants to know what happens when the Coordinator goes away |
//! | [introductions] | whose programs bring others together |
//! | [tuning] | who wants more, or less, than the defaults |
//! | [driver] | who has an event loop of their own |
//! | [coming_from] | who knows quinn, iroh, NATS, or conec 0.2 |

#[doc = include_str!("../guide/tool.md")]
pub mod tool {}

#[doc = include_str!("../guide/architecture.md")]
pub mod architecture {}

#[doc = include_str!("../guide/security.md")]
pub mod security {}

#[doc = include_str!("../guide/operating.md")]
pub mod operating {}

#[doc = include_str!("../guide/outages.md")]
pub mod outages {}

#[doc = include_str!("../guide/introductions.md")]
pub mod introductions {}

#[doc = include_str!("../guide/tuning.md")]
pub mod tuning {}

#[doc = include_str!("../guide/driver.md")]
pub mod driver {}

#[doc = include_str!("../guide/coming_from.md")]
pub mod coming_from {}
