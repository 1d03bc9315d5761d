//! Groups.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use conec_core::{
    Client, GroupEnd, GroupId, GroupInfo, GroupItem, GroupKey, GroupMember, KeyNotUsed, Name,
};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    PublishError, TryHearError, TryPublishError,
    shared::{GroupHandle, Place, Shared, Stamina},
};

/// A [membership](crate::Client::join) of a group.
///
/// What members publish, the Coordinator brings into one order, and all hear it in that. When the Client has lost its Coordinator, it joins
/// again as soon as it has one: publishing waits until then, and what is heard next is a [`Joined`](GroupItem::Joined) that says what is
/// missing.
///
/// A cheap handle: clones are the same membership. They share what is heard, each item goes to one of them; so a task that hears
/// and one that publishes have a clone each. Every waiting call can be dropped at any time, and then has done nothing; what it
/// would have given goes to the next call.
///
/// As a [`Stream`] it gives what is heard, and ends after it has given the membership's end. As a [`Sink`] it publishes.
///
/// ```no_run
/// # async fn run(group: conec_driver::Group) -> Result<(), Box<dyn std::error::Error>> {
/// use conec_core::GroupItem;
///
/// group.publish("Who is there?").await?;
/// while let GroupItem::Message(message) = group.recv().await? {
///     println!("{:?} says {:?}", message.name, message.payload);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// When the last handle is dropped, the Client leaves the group, after what was published. Until then it keeps the Client from being
/// closed.
pub struct Group {
    handle: Arc<GroupHandle>,
    stamina: Stamina,
    /// As a [`Stream`], it has given the end.
    failed: bool,
    /// Where it waits as a [`Stream`], and as a [`Sink`].
    hears: Place,
    publishes: Place,
    /// Taken as a [`Sink`], when another handle had used up the room.
    taken: Option<Bytes>,
}

impl Group {
    pub(super) fn new(handle: Arc<GroupHandle>) -> Self {
        Self {
            handle,
            stamina: Stamina::default(),
            failed: false,
            hears: Place::default(),
            publishes: Place::default(),
            taken: None,
        }
    }

    /// The membership's id, which no other of the same Client ever has.
    pub fn id(&self) -> GroupId {
        self.handle.id
    }

    /// Publishes a message to all members, once there is room: while much waits to be sent, and while the Client looks for its
    /// Coordinator, this waits. Its place in the order it gets at the Coordinator.
    ///
    /// It is sent at most once: where the Client loses its Coordinator, some of what was published last
    /// [may be lost](conec_core::Joined::unsure). Where it never has to wait, every ten thousandth call lets other tasks have their turn
    /// first.
    pub async fn publish(&self, message: impl AsRef<[u8]>) -> Result<(), PublishError> {
        self.stamina.go_on().await;
        let (id, message) = (self.id(), message.as_ref());
        self.shared().wait(|state| state.publish(id, message)).await
    }

    /// Publishes a message if there is room now.
    pub fn try_publish(&self, message: impl AsRef<[u8]>) -> Result<(), TryPublishError> {
        let (id, message) = (self.id(), message.as_ref());
        let published = self.shared().with(|state| state.publish(id, message));
        Ok(published.map_err(|_| TryPublishError::Blocked)??)
    }

    /// Waits until the Coordinator has put all that this Client has published into the group's order, so that who hears can hear it.
    /// Where the Client has lost its Coordinator, it waits until it has joined again; how much may be lost by that,
    /// [`Joined`](GroupItem::Joined) tells, which is there to be received then. Fails if the membership ends before.
    ///
    /// ```no_run
    /// # async fn run(group: conec_driver::Group) -> Result<(), Box<dyn std::error::Error>> {
    /// group.publish("The last words").await?;
    /// group.confirmed().await?;
    /// group.leave();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn confirmed(&self) -> Result<(), GroupEnd> {
        let id = self.id();
        self.shared().wait(|state| state.confirmed(id)).await
    }

    /// The next that is heard, in the group's order. Fails once the membership is over, after all that was heard before.
    ///
    /// The first is that the Client has [`Joined`](GroupItem::Joined), which comes again whenever it joins again. A handle that is
    /// slow loses the oldest, or as [`JoinConfig::slow`](conec_core::JoinConfig::slow) says, and hears [how many](GroupItem::Lagged).
    /// Where it never has to wait, every ten thousandth call lets other tasks have their turn first.
    pub async fn recv(&self) -> Result<GroupItem, GroupEnd> {
        self.stamina.go_on().await;
        let id = self.id();
        self.shared().wait(|state| state.hear(id)).await
    }

    /// The next that is heard, if it is there.
    pub fn try_recv(&self) -> Result<GroupItem, TryHearError> {
        let heard = self.shared().with(|state| state.hear(self.id()));
        Ok(heard.map_err(|_| TryHearError::Blocked)??)
    }

    /// What [`recv`](Self::recv) gives, for who polls. The task is woken when there is something; only the last that has polled this
    /// handle is.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<GroupItem, GroupEnd>> {
        ready!(self.stamina.poll(cx));
        let Self { handle, hears, .. } = self;
        handle.shared.poll(cx, hears, |state| state.hear(handle.id))
    }

    /// The group's name.
    pub fn name(&self) -> &Name {
        &self.handle.name
    }

    /// What is known of the membership.
    pub fn info(&self) -> GroupInfo {
        let info = self.shared().with(|state| state.group_info(self.id()));
        info.expect("it is forgotten with the last handle")
    }

    /// Who is there, as far as the Coordinator has said. Nobody unless the Client [watches](conec_core::JoinConfig::watch), but for those
    /// who in a sealed group cannot understand, or be understood. How many are there [`info`](Self::info) tells in any case.
    pub fn members(&self) -> Vec<GroupMember> {
        self.core(|group| group.members())
    }

    /// From now on, seals with this key. What others seal with a former one still opens, until that is to be
    /// [forgotten](Self::forget_former_keys).
    ///
    /// Fails where the group is not sealed, or by something that takes no such keys.
    pub fn set_key(&self, key: GroupKey) -> Result<(), KeyNotUsed> {
        self.core(|group| group.set_key(key))
    }

    /// From now on, what was sealed with a former key does not open any more.
    pub fn forget_former_keys(&self) {
        self.core(|group| group.forget_former_keys());
    }

    /// Leaves the group. What was published before is published still, and what was heard before can be received; then
    /// [`recv`](Self::recv) ends with [`Left`](GroupEnd::Left), at all handles.
    pub fn leave(&self) {
        self.core(|group| group.leave());
    }

    fn core<T>(&self, f: impl FnOnce(&mut conec_core::Group<'_>) -> T) -> T {
        let id = self.id();
        self.shared().command(|client, _| f(&mut client.group(id)))
    }

    fn shared(&self) -> &Shared<Client> {
        &self.handle.shared
    }

    /// Publishes what was taken as a [`Sink`].
    fn poll_taken(&mut self, cx: &Context<'_>) -> Poll<Result<(), PublishError>> {
        let Self {
            handle,
            publishes,
            taken,
            ..
        } = self;
        let Some(message) = taken else {
            return Poll::Ready(Ok(()));
        };
        let published = ready!(
            handle
                .shared
                .poll(cx, publishes, |state| state.publish(handle.id, message))
        );
        *taken = None;
        Poll::Ready(published)
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.handle))
    }
}

impl Stream for Group {
    type Item = Result<GroupItem, GroupEnd>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let heard = ready!(this.poll_recv(cx));
        this.failed = heard.is_err();
        Poll::Ready(Some(heard))
    }
}

/// Closing it does not leave the group: [`leave`](Self::leave) does, or dropping.
impl Sink<Bytes> for Group {
    type Error = PublishError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let this = self.get_mut();
        ready!(this.stamina.poll(cx));
        ready!(this.poll_taken(cx))?;
        let Self {
            handle, publishes, ..
        } = this;
        handle
            .shared
            .poll(cx, publishes, |state| state.may_publish(handle.id))
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> Result<(), PublishError> {
        let this = self.get_mut();
        match this.try_publish(&message) {
            Ok(()) => Ok(()),
            // Another handle was quicker, or the Coordinator was lost just now.
            Err(TryPublishError::Blocked) => {
                this.taken = Some(message);
                Ok(())
            }
            Err(TryPublishError::Failed(error)) => Err(error),
        }
    }

    /// Waits until all that was taken is on its way.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.get_mut().poll_taken(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        self.get_mut().poll_taken(cx)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        shared.leave(&mut self.hears);
        shared.leave(&mut self.publishes);
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({}, {:?})", self.name(), self.id())
    }
}
