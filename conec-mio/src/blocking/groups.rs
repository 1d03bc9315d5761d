//! Groups for threads.

use std::{future::poll_fn, ops::Deref, pin::Pin, time::Duration};

use conec_core::{GroupEnd, GroupItem};
use conec_driver::PublishError;
use futures_core::Stream;

use super::{
    TimedOut,
    wait::{derefs, wait, wait_timeout, waiting},
};

/// A membership of a group: [`conec_driver::Group`], whose waiting calls block.
///
/// A cheap handle: clones are the same membership. They share what is heard, each item goes to one of them; so a thread that hears and one
/// that publishes have a clone each. When the last is dropped, the Client leaves the group.
///
/// As an iterator over what is heard it ends after it has given the membership's end.
///
/// ```no_run
/// # fn run(client: conec_mio::blocking::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use conec_mio::blocking::*;
///
/// let group = client.join("lobby".parse()?, JoinConfig::default())?;
/// group.publish("Who is there?")?;
/// for item in group {
///     match item? {
///         GroupItem::Message(message) => println!("{:?}: {:?}", message.name, message.payload),
///         GroupItem::Lagged(missing) => println!("{missing} messages are missing here"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Group(pub(super) conec_driver::Group);

impl Group {
    waiting! { "Group":
        publish, publish_timeout [&self,] (message: impl AsRef<[u8]>) -> Result<(), PublishError> {
            self.0.publish(message)
        }

        confirmed, confirmed_timeout [&self,] () -> Result<(), GroupEnd> { self.0.confirmed() }

        recv, recv_timeout [&self,] () -> Result<GroupItem, GroupEnd> { self.0.recv() }
    }
}

impl Iterator for Group {
    type Item = Result<GroupItem, GroupEnd>;

    fn next(&mut self) -> Option<Self::Item> {
        wait(poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)))
    }
}

/// A subscription of the Coordinator's application to a group: [`conec_driver::Subscription`], whose waiting calls block.
///
/// An iterator over what is published there. When it is dropped, nothing is heard any more.
#[derive(Debug)]
pub struct Subscription(pub(super) conec_driver::Subscription);

impl Subscription {
    waiting! { "Subscription":
        recv, recv_timeout [&mut self,] () -> Option<GroupItem> { self.0.recv() }
    }
}

impl Iterator for Subscription {
    type Item = GroupItem;

    fn next(&mut self) -> Option<GroupItem> {
        self.recv()
    }
}

derefs!(Group, Subscription);
