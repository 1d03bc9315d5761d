//! What the Coordinator's application hears of groups.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use conec_core::{Coordinator, GroupId, GroupItem, Name};
use futures_core::Stream;

use crate::shared::{EndpointHandle, Place, Shared, Stamina};

/// A [subscription](crate::Coordinator::subscribe) of the Coordinator's application to a group, and a [`Stream`] of what is published there.
///
/// It is no member: nobody is told that it is there, and it delays nobody, not even in a group that pushes back.
///
/// ```no_run
/// # fn run(coordinator: conec_driver::Coordinator) -> Result<(), Box<dyn std::error::Error>> {
/// use conec_core::{GroupConfig, GroupItem, Lossy};
///
/// let name: conec_core::Name = "measurements".parse()?;
/// coordinator.make_lasting_group(name.clone(), GroupConfig::default())?;
/// let mut subscription = coordinator.subscribe(&name, Lossy::default())?;
/// # async move {
/// while let Some(item) = subscription.recv().await {
///     match item {
///         GroupItem::Message(message) => println!("{:?}: {:?}", message.name, message.payload),
///         other => println!("{other:?}"),
///     }
/// }
/// # };
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// Then nothing is heard any more. A group without members that Clients have made is gone then. A `Subscription` keeps the Coordinator
/// from being closed.
pub struct Subscription {
    shared: Arc<Shared<Coordinator>>,
    /// Dropped after it has unsubscribed.
    _keeps_open: Arc<EndpointHandle>,
    group: Name,
    id: GroupId,
    stamina: Stamina,
    place: Place,
}

impl Subscription {
    pub(super) fn new(
        shared: Arc<Shared<Coordinator>>,
        _keeps_open: Arc<EndpointHandle>,
        group: Name,
        id: GroupId,
    ) -> Self {
        Self {
            shared,
            _keeps_open,
            group,
            id,
            stamina: Stamina::default(),
            place: Place::default(),
        }
    }

    /// The group's name.
    pub fn name(&self) -> &Name {
        &self.group
    }

    /// The next that was published: a [`Message`](GroupItem::Message), or how many were [left out](GroupItem::Lagged) as this was too slow.
    /// `None` once the group was ended, another subscription has replaced this, or the Coordinator has ended.
    ///
    /// Dropped before it is done, nothing was received.
    pub async fn recv(&mut self) -> Option<GroupItem> {
        self.stamina.go_on().await;
        let (group, id) = (&self.group, self.id);
        self.shared.wait(|state| state.subscribed(group, id)).await
    }
}

impl Stream for Subscription {
    type Item = GroupItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GroupItem>> {
        let Self {
            shared,
            group,
            id,
            stamina,
            place,
            ..
        } = self.get_mut();
        ready!(stamina.poll(cx));
        shared.poll(cx, place, |state| state.subscribed(group, *id))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.leave(&mut self.place);
        let (group, id) = (&self.group, self.id);
        self.shared.with(|state| state.unsubscribe(group, id));
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.group)
    }
}
