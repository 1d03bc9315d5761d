//! A Coordinator that its Clients should not trust.

mod channels;
mod groups;
mod home;
mod leaving;
mod names;

use std::net::SocketAddr;

use conec_core::{ClientConfig, ClientEvent, Endpoint, ErrorCode, Nat, Violation};
use conec_tests::raw::{
    CONTROL,
    message::{Offer, Route},
    route_of,
};

use super::*;
use crate::connecting::home;

/// Clients of a raw Coordinator, while bystanders use an honest one.
pub(super) struct Den {
    pub(super) scene: Scene,
    /// How many Clients were tried: a world has room for two hundred.
    nodes: usize,
}

impl Den {
    pub(super) fn new(seed: u64) -> Self {
        Self::beside(Scene::new(seed))
    }

    /// The same, beside this honest one.
    fn beside(scene: Scene) -> Self {
        scene.raw.listen(&Dial::home(Key::Certificate(1)));
        Self { scene, nodes: 0 }
    }

    /// A Client that has said hello, and what it was told is still to be decided.
    fn arrive(&mut self, name: &str) -> (NodeId, RawConn) {
        self.arrive_with(name, |_| {})
    }

    fn arrive_with(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ClientConfig),
    ) -> (NodeId, RawConn) {
        let world = &mut self.scene.world;
        let mut config = world.client_config(name);
        change(&mut config);
        let client = world.add_client_with(config);
        world.start_connecting(client, self.scene.mallory);
        let raw = self.scene.raw.clone();
        let conn = self.scene.until("a client", || raw.accept());
        self.scene.until("hello", || conn.next_control());
        (client, conn)
    }

    /// A Client that believes itself connected.
    pub(super) fn welcome(&mut self, name: &str) -> (NodeId, RawConn) {
        self.welcome_with(name, |_| {})
    }

    pub(super) fn welcome_with(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ClientConfig),
    ) -> (NodeId, RawConn) {
        let (client, conn) = self.arrive_with(name, change);
        let address = self.scene.world.address(client);
        conn.control(&message::welcome(name.as_bytes(), address));
        self.scene.world.wait_for("connected", secs(5), |world| {
            world.take_event(client, |event| {
                matches!(event, Event::Client(ClientEvent::Connected { .. })).then_some(())
            })
        });
        (client, conn)
    }

    pub(super) fn id(&mut self, client: NodeId) -> ClientId {
        self.scene.world.client(client).id()
    }

    /// `client` asks for a channel to `to` by id; the number of the request is given.
    fn ask(&mut self, client: NodeId, conn: &RawConn, to: ClientId) -> (At, u64) {
        let at = self.scene.world.request_channel(client, to.into());
        let asked = self.scene.until("a request", || conn.next_of_kind(2));
        let (request, id, label) = message::read_open_by_id(&asked).unwrap();
        assert_eq!((id, &label[..]), (to, &b"test"[..]));
        (at, request)
    }

    /// Arranges a channel between two Clients as an honest Coordinator does, but for what it says about who is who.
    fn arrange(&mut self, channel: &Arranged<'_>) -> [bool; 2] {
        let [first, second] = channel.ends;
        for (conn, route) in [(first, channel.routes[0]), (second, channel.routes[1])] {
            self.scene.raw.forward(route, conn.remote());
        }
        let offer = |role: u8, request| Offer {
            request,
            role,
            own_route: channel.routes[usize::from(role)],
            peer_route: channel.routes[usize::from(1 - role)],
            channel: 7,
            peer: channel.peers[usize::from(role)],
            peer_name: Vec::new(),
            label: b"test".to_vec(),
        };
        first.control(&message::offer(&offer(0, Some(channel.request))));
        second.control(&message::offer(&offer(1, None)));
        self.scene.world.run_for(secs(1));
        let accepted = [first, second].map(|conn| conn.next_of_kind(4).is_some());
        if accepted == [true, true] {
            first.control(&message::start(channel.routes[0]));
        }
        accepted
    }

    /// The Client is rid of its Coordinator for this reason, and the Coordinator knows by this code.
    fn expect_end(&mut self, client: NodeId, conn: &RawConn, reason: CloseReason, end: End) {
        assert_eq!(self.scene.world.closed(home(client)), reason);
        self.scene.expect_end(conn, end);
    }
}

/// What the ends of a channel are told.
struct Arranged<'a> {
    ends: [&'a RawConn; 2],
    request: u64,
    routes: [Route; 2],
    /// Who each end is told that the other is.
    peers: [ClientId; 2],
}

const ROUTES: [Route; 2] = [[0x81, 2, 3, 4, 5, 6], [0x91, 2, 3, 4, 5, 6]];

fn stray_offer(number: u8, peer: ClientId) -> Offer {
    Offer {
        request: None,
        role: 1,
        own_route: [0x80, 0, 0, 0, number, 1],
        peer_route: [0x80, 0, 0, 0, number, 2],
        channel: 1,
        peer,
        peer_name: b"stranger".to_vec(),
        label: b"for you".to_vec(),
    }
}
