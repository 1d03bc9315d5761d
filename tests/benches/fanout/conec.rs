//! conec's groups, in event loops of the members' and the Coordinator's own.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conec_core::{
    Certificate, ClientConfig, ClientEvent, CoordinatorConfig, GroupEvent, GroupId, GroupItem,
    GroupKey, Identity, JoinConfig, Lossy, Name, PublishError, Trust,
};
use conec_mio::{Client, Coordinator};
use mio::{Events, Poll, Registry, Token, event::Event};
use serde::{Deserialize, Serialize};

use crate::{
    load::{Heard, Part},
    process::{Ready, ready},
    result::Result,
};

/// How the group is, and how much the Coordinator takes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Whether publishers wait for the slowest member.
    pub(crate) pushes_back: bool,
    /// How many bytes of messages the group keeps, if that is not as by default.
    pub(crate) history: Option<usize>,
    pub(crate) clients: usize,
    pub(crate) mtu: u16,
}

pub(crate) fn coordinate(settings: Settings) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    config.group.push_back = settings.pushes_back.then_some(Duration::from_secs(10));
    if let Some(bytes) = settings.history {
        config.group.history = Lossy::new(bytes, bytes);
    }
    config.home.max_mtu = settings.mtu;
    config.limits.clients = settings.clients.max(1024);
    config.limits.clients_per_network = Some(config.limits.clients);
    config.limits.handshakes_per_network = config.limits.handshakes;
    // What the default budget is for 1024.
    config.memory = (512 << 20) * config.limits.clients.div_ceil(1024);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut coordinator = Coordinator::bind(address, config, poll.registry(), Token(0))?;
    let pin = coordinator.endpoint().pin().to_string();
    ready(coordinator.local_addr()?, pin.into())?;
    let mut events = Events::with_capacity(16);
    loop {
        let deadline = coordinator.deadline();
        let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, wait)?;
        events.iter().for_each(|event| coordinator.ready(event));
        coordinator.turn(Instant::now());
        while coordinator.poll_event().is_some() {}
    }
}

pub(crate) struct Member {
    client: Client,
    part: Part,
    key: Option<GroupKey>,
    reads: bool,
    group: Option<GroupId>,
    joined: bool,
    /// It waits until something can be published again.
    blocked: bool,
}

impl Member {
    pub(crate) fn connect(
        to: &Ready,
        mtu: u16,
        (part, (key, window, reads)): (Part, (Option<GroupKey>, Option<u32>, bool)),
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let pin = std::str::from_utf8(&to.trust)?.parse()?;
        let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
        config.home.max_mtu = mtu;
        if let Some(window) = window {
            config.home.receive_window = window;
        }
        Ok(Self {
            client: Client::connect("localhost", &[to.address], config, registry, token)?,
            part,
            key,
            reads,
            group: None,
            joined: false,
            blocked: false,
        })
    }

    fn join(&mut self, now: Instant) -> Result<GroupId> {
        let mut join = match self.key.take() {
            Some(key) => JoinConfig::sealed(key),
            None => JoinConfig::default(),
        };
        join.publish = self.part == Part::Publisher;
        join.hear = self.part == Part::Subscriber;
        let group: Name = "fanout".parse()?;
        Ok(self.client.endpoint_mut().join(now, group, join)?)
    }
}

impl crate::load::Member for Member {
    fn ready(&mut self, event: &Event) {
        self.client.ready(event);
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.client.deadline()
    }

    fn turn(&mut self, now: Instant, heard: &mut Heard<'_>) -> Result<()> {
        self.client.turn(now);
        while let Some(event) = self.client.poll_event() {
            if let ClientEvent::Connected { .. } = event {
                // It joins again by itself.
                if self.group.is_none() {
                    self.group = Some(self.join(now)?);
                }
            } else if let ClientEvent::Group {
                event: GroupEvent::Writable,
                ..
            } = event
            {
                self.blocked = false;
            } else if let ClientEvent::Group {
                event: GroupEvent::Ended(end),
                ..
            } = event
            {
                return Err(format!("a member is one no more: {end}").into());
            }
        }
        let Some(group) = self.group.filter(|_| self.reads || !self.joined) else {
            return Ok(());
        };
        let mut group = self.client.endpoint_mut().group(group);
        while let Some(item) = group.recv() {
            if let GroupItem::Message(message) = item {
                heard.message(&message.payload);
            } else if let GroupItem::Lagged(count) = item {
                heard.missed(count);
            } else if let GroupItem::Joined(_) = item {
                self.joined = true;
            } else if let GroupItem::Unopened { problem, .. } = item {
                return Err(format!("a message does not open: {problem}").into());
            }
        }
        Ok(())
    }

    fn is_there(&self) -> bool {
        self.joined
    }

    fn publish(&mut self, message: &[u8]) -> Result<bool> {
        let group = self.group.ok_or("it has not joined")?;
        // To ask in vain would have its client look for something to do, again and again.
        if self.blocked {
            return Ok(false);
        }
        match self.client.endpoint_mut().group(group).publish(message) {
            Err(PublishError::Blocked) => self.blocked = true,
            published => published?,
        }
        Ok(!self.blocked)
    }
}
