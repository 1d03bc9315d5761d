//! Connections to measure, as an application sees them: conec's channels, and bare quinn-proto's.

mod bare;
mod conec;

use std::{fmt, net::SocketAddr, time::Instant};

use bytes::Bytes;

use crate::{control::Control, harness::Node};

/// A connection between two ends, with streams in one direction each that are numbered as they are opened.
pub(crate) trait Connection {
    fn nodes(&mut self) -> Vec<&mut dyn Node>;

    /// What packets pass from the near end to the far one, both included.
    fn way(&self) -> Vec<SocketAddr>;

    /// Goes on with the setup, and notes what has happened. To be called in each turn.
    fn turn(&mut self, now: Instant);

    /// Whether streams can be opened at both ends.
    fn is_ready(&mut self) -> bool;

    /// Opens a stream. Those of higher priority go first, where the application can say so.
    fn open(&mut self, from: End, priority: i32) -> usize;

    /// Takes a whole message for sending, or nothing.
    fn send(&mut self, from: End, stream: usize, message: &Bytes) -> bool;

    /// Hands over what has arrived at an end, and the number of its stream.
    fn receive(&mut self, at: End, take: &mut dyn FnMut(usize, &[u8]));

    /// Why it has ended, if it has.
    fn end(&mut self) -> Option<String>;
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Near,
    Far,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// What kind of connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Engine {
    /// Bare quinn-proto with its defaults.
    Bare,
    /// Bare quinn-proto, whose flow control never holds it up.
    Unbounded,
    /// conec, from a Client to the Coordinator.
    ToCoordinator(Control),
    /// conec, from the Coordinator to a Client.
    FromCoordinator(Control),
    /// conec, from one Client to another through the Coordinator, which is half-way.
    BetweenClients(Control),
}

impl Engine {
    /// Begins to connect, as the world of this number in a network.
    pub(crate) fn connect(self, world: u8, now: Instant) -> Box<dyn Connection> {
        match self {
            Self::Bare => Box::new(bare::BareConnection::new(world, now, bare::defaults())),
            Self::Unbounded => Box::new(bare::BareConnection::new(world, now, bare::unbounded())),
            Self::ToCoordinator(control) => {
                Box::new(conec::Channel::to_coordinator(world, now, control))
            }
            Self::FromCoordinator(control) => {
                Box::new(conec::Channel::from_coordinator(world, now, control))
            }
            Self::BetweenClients(control) => {
                Box::new(conec::Channel::between_clients(world, now, control))
            }
        }
    }

    /// How many links its packets pass, each in both directions.
    pub(crate) fn hops(self) -> u32 {
        match self {
            Self::BetweenClients(_) => 2,
            Self::Bare | Self::Unbounded | Self::ToCoordinator(_) | Self::FromCoordinator(_) => 1,
        }
    }

    pub(crate) fn is_conec(self) -> bool {
        !matches!(self, Self::Bare | Self::Unbounded)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, control) = match self {
            Self::Bare => return f.write_str("bare quinn-proto"),
            Self::Unbounded => return f.write_str("bare quinn-proto, no bounds"),
            Self::ToCoordinator(control) => ("to the Coordinator", control),
            Self::FromCoordinator(control) => ("from the Coordinator", control),
            Self::BetweenClients(control) => ("between Clients", control),
        };
        f.write_str(name)?;
        if *control != Control::Default {
            write!(f, ", {control}")?;
        }
        Ok(())
    }
}
