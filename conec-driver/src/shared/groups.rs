//! What the handles of groups do.

use std::{sync::Arc, task::Poll, time::Instant};

use conec_core::{
    Client, CloseReason, Coordinator, Endpoint, GroupEnd, GroupError, GroupEvent, GroupId,
    GroupInfo, GroupItem, JoinConfig, Lossy, Name,
};

use super::{EndpointHandle, Shared, State, waiters::Subject};
use crate::{JoinError, PublishError};

/// Keeps a membership, and by it its Client. Dropped with the last reference to it, the Client leaves the group.
pub(crate) struct GroupHandle {
    pub(crate) shared: Arc<Shared<Client>>,
    pub(crate) id: GroupId,
    pub(crate) name: Name,
    /// Dropped after the group was left.
    pub(crate) _keeps_open: Arc<EndpointHandle>,
}

impl Drop for GroupHandle {
    fn drop(&mut self) {
        self.shared
            .command(|client, _| client.group(self.id).forget());
    }
}

// What the handles call.
impl State<Client> {
    /// Asks to become a member. What comes of it is to be held by a [`GroupHandle`].
    pub(crate) fn join(
        &mut self,
        now: Instant,
        name: Name,
        config: JoinConfig,
    ) -> Result<GroupId, JoinError> {
        if self.ended {
            return Err(conec_core::JoinError::NotConnected.into());
        }
        Ok(self.command(|client| client.join(now, name, config))?)
    }

    /// Whether the Client has joined, or will not.
    pub(crate) fn joined(&mut self, id: GroupId) -> Result<Result<(), GroupEnd>, Subject> {
        let info = self.group_info(id);
        match info.and_then(|it| it.incarnation) {
            Some(_) => Ok(Ok(())),
            None => self.group_end(id).map(Err).ok_or(Subject::Hear(id)),
        }
    }

    /// Publishes a message, once there is room.
    pub(crate) fn publish(
        &mut self,
        id: GroupId,
        message: &[u8],
    ) -> Result<Result<(), PublishError>, Subject> {
        let published = match self.ended {
            true => Err(conec_core::PublishError::Ended),
            false => self.endpoint.group(id).publish(message),
        };
        self.publishing(id, published)
    }

    /// Whether a message can be published now.
    pub(crate) fn may_publish(&mut self, id: GroupId) -> Result<Result<(), PublishError>, Subject> {
        if self.ended {
            return self.publishing(id, Err(conec_core::PublishError::Ended));
        }
        let ready = self.endpoint.group(id).poll_ready();
        let ready = match ready {
            Poll::Ready(ready) => ready,
            Poll::Pending => Err(conec_core::PublishError::Blocked),
        };
        self.publishing(id, ready)
    }

    /// Whether of all that was published the number is known, or how much may be lost; or the membership is over.
    pub(crate) fn confirmed(&mut self, id: GroupId) -> Result<Result<(), GroupEnd>, Subject> {
        if let Some(end) = self.group_end(id) {
            return Ok(Err(end));
        }
        match self.endpoint.group(id).poll_confirmed() {
            Poll::Ready(()) => Ok(Ok(())),
            Poll::Pending => Err(Subject::Confirm(id)),
        }
    }

    fn publishing(
        &mut self,
        id: GroupId,
        done: Result<(), conec_core::PublishError>,
    ) -> Result<Result<(), PublishError>, Subject> {
        match done {
            Ok(()) => {
                self.waiters.wake_driver();
                Ok(Ok(()))
            }
            Err(conec_core::PublishError::Blocked) => Err(Subject::Publish(id)),
            Err(conec_core::PublishError::TooLarge { max }) => {
                Ok(Err(PublishError::TooLarge { max }))
            }
            Err(conec_core::PublishError::NotPublisher) => Ok(Err(PublishError::NotPublisher)),
            Err(conec_core::PublishError::Sealing(error)) => Ok(Err(PublishError::Sealing(error))),
            // What a later version adds is an end as well, as long as it is not known here.
            Err(conec_core::PublishError::Ended | _) => {
                let end = self.group_end(id).unwrap_or(GroupEnd::Left);
                Ok(Err(PublishError::Ended(end)))
            }
        }
    }

    /// The next that was heard; how the membership has ended, once nothing is left.
    pub(crate) fn hear(&mut self, id: GroupId) -> Result<Result<GroupItem, GroupEnd>, Subject> {
        let mut group = self.endpoint.group(id);
        // Taking something lets more come, of which the Coordinator has to know.
        let held_up = group.is_held_up();
        let item = group.recv();
        if held_up {
            self.waiters.wake_driver();
            self.settle();
        }
        match item {
            Some(item) => Ok(Ok(item)),
            None => self.group_end(id).map(Err).ok_or(Subject::Hear(id)),
        }
    }

    /// What is known of a membership that somebody holds.
    pub(crate) fn group_info(&mut self, id: GroupId) -> Option<GroupInfo> {
        self.endpoint.group(id).info()
    }

    fn group_end(&mut self, id: GroupId) -> Option<GroupEnd> {
        let end = self.endpoint.group(id).end();
        end.or_else(|| self.ended.then_some(GroupEnd::Closed(CloseReason::Local)))
    }
}

// What the Coordinator's handles call.
impl State<Coordinator> {
    /// Hears a group, instead of whoever of the application has before.
    pub(crate) fn subscribe(&mut self, name: &Name, queue: Lossy) -> Result<GroupId, GroupError> {
        let before = self.endpoint.subscription(name);
        let id = self.endpoint.subscribe(name, queue)?;
        self.subscription_over(before);
        Ok(id)
    }

    /// The next that was published. `None` once the subscription is over.
    pub(crate) fn subscribed(
        &mut self,
        name: &Name,
        id: GroupId,
    ) -> Result<Option<GroupItem>, Subject> {
        if self.endpoint.subscription(name) != Some(id) {
            return Ok(None);
        }
        match self.endpoint.group_recv(name) {
            Some(item) => Ok(Some(item)),
            None if self.ended => Ok(None),
            None => Err(Subject::Hear(id)),
        }
    }

    pub(crate) fn unsubscribe(&mut self, name: &Name, id: GroupId) {
        if self.endpoint.subscription(name) == Some(id) {
            self.endpoint.unsubscribe(name);
        }
    }

    pub(crate) fn end_group(&mut self, now: Instant, name: &Name) -> Result<(), GroupError> {
        let before = self.endpoint.subscription(name);
        let ended = self.command(|core| core.end_group(now, name));
        if ended.is_ok() {
            self.subscription_over(before);
        }
        ended
    }

    /// Who waits for something to hear by this subscription learns that there will be nothing.
    fn subscription_over(&mut self, subscription: Option<GroupId>) {
        if let Some(id) = subscription {
            self.waiters.wake(Subject::Hear(id));
        }
    }
}

// What the endpoint tells.
impl<E: Endpoint + ?Sized> State<E> {
    pub(super) fn handle_group_event(&mut self, id: GroupId, event: GroupEvent) {
        match event {
            GroupEvent::Readable => self.waiters.wake(Subject::Hear(id)),
            GroupEvent::Writable => self.waiters.wake(Subject::Publish(id)),
            GroupEvent::Confirmed => self.waiters.wake(Subject::Confirm(id)),
            // What a later version adds may concern all of them.
            GroupEvent::Ended(_) | _ => {
                self.waiters.wake(Subject::Hear(id));
                self.waiters.wake(Subject::Publish(id));
                self.waiters.wake(Subject::Confirm(id));
            }
        }
    }
}
