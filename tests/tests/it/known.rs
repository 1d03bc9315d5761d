//! Names that a Client remembers with their keys: nobody else is taken for who bears one.

use std::time::Duration;

use conec_core::{
    ClientConfig, ClientEvent, ClientId, CloseReason, Endpoint, ErrorCode, KeyChange, KnownClients,
    Name, Target,
};
use conec_tests::{
    bystanders::Bystanders,
    keys,
    sim::{At, Event, NodeId, World},
};

const SECOND: Duration = Duration::from_secs(1);

/// An honest Coordinator, Alice, who remembers names, and bystanders.
struct Scene {
    world: World,
    coordinator: NodeId,
    alice: NodeId,
    bystanders: Bystanders,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    fn with(seed: u64, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut world = World::new(seed);
        let coordinator = world.add_coordinator();
        let bystanders = Bystanders::meet(&mut world, coordinator);
        let mut config = world.client_config("alice");
        config.known = Some(KnownClients::new());
        config.reconnect = true;
        config.auto_accept = false;
        change(&mut config);
        let alice = world.add_client_with(config);
        world.connect(alice, coordinator);
        Self {
            world,
            coordinator,
            alice,
            bystanders,
        }
    }

    /// Somebody with this name, and a key of its own.
    fn client(&mut self, name: &str) -> NodeId {
        let client = self.world.add_client(name);
        self.world.connect(client, self.coordinator);
        client
    }

    /// Somebody with this name and this key.
    fn client_as(&mut self, name: &str, key: u16) -> NodeId {
        let mut config = self.world.client_config(name);
        config.identity = keys::identity(key);
        let client = self.world.add_client_with(config);
        self.world.connect(client, self.coordinator);
        client
    }

    /// It goes, and its name is free.
    fn leave(&mut self, client: NodeId) {
        let now = self.world.now();
        self.world.client(client).close(now, SECOND);
        self.world.run_for(2 * SECOND);
    }

    /// Alice asks for who bears a name.
    fn ask(&mut self, for_: &str) -> At {
        let target = Target::Name(name(for_));
        self.world.request_channel(self.alice, target)
    }

    /// Alice asks for who bears a name, and it is opened.
    fn open(&mut self, for_: &str, other: NodeId) -> (At, At) {
        let at = self.ask(for_);
        assert_eq!(self.world.opened(self.alice), at);
        (at, self.world.opened(other))
    }

    /// Somebody asks for Alice, whose application takes it.
    fn be_called(&mut self, by: NodeId) -> At {
        let id = self.world.client_id(self.alice);
        self.world.request_channel(by, id.into());
        let alice = self.alice;
        let channel = self.world.wait_for("an offer", 10 * SECOND, |world| {
            world.take_event(alice, |event| match event {
                Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
                Event::Client(_) | Event::Coordinator(_) => None,
            })
        });
        let now = self.world.now();
        self.world.client(alice).accept(now, channel).unwrap();
        self.world.opened(alice)
    }

    /// What Alice has been told of names since she was asked last.
    fn told(&mut self) -> Vec<ClientEvent> {
        let mut told = Vec::new();
        while let Some(event) = self.world.take_event(self.alice, |event| match event {
            Event::Client(
                event @ (ClientEvent::Learned { .. }
                | ClientEvent::NotLearned { .. }
                | ClientEvent::KeyChanged { .. }),
            ) => Some(event.clone()),
            Event::Client(_) | Event::Coordinator(_) => None,
        }) {
            told.push(event);
        }
        told
    }

    fn known(&mut self) -> &mut KnownClients {
        self.world.client(self.alice).known_mut().unwrap()
    }

    fn names(&mut self) -> Vec<(Name, ClientId)> {
        let known = self.known().iter();
        known.map(|(name, id)| (name.clone(), id)).collect()
    }
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn learned(of: &str, id: ClientId) -> ClientEvent {
    ClientEvent::Learned { name: name(of), id }
}

fn changed(at: Option<At>, of: &str, known: ClientId, found: ClientId) -> ClientEvent {
    ClientEvent::KeyChanged {
        channel: at.map(|at| at.channel),
        change: KeyChange::new(name(of), known, found),
    }
}

#[test]
fn a_name_is_learned_when_it_is_first_asked_for_and_then_kept() {
    let mut scene = Scene::new(1);
    let bob = scene.client_as("bob", 900);
    let id = scene.world.client_id(bob);
    for round in 0..2 {
        let (at, _) = scene.open("bob", bob);
        let expected = (round == 0).then(|| learned("bob", id));
        assert_eq!(scene.told(), Vec::from_iter(expected));
        assert_eq!(scene.known().get(&name("bob")), Some(id));
        let peer = scene.world.client(scene.alice).peer(at.channel).unwrap();
        assert_eq!(peer.name, Some(name("bob")));
        let stream = scene.world.open_stream(at, b"");
        scene.world.send(stream, "hello");
    }
    // Bob was started anew, with his key.
    scene.leave(bob);
    let again = scene.client_as("bob", 900);
    scene.open("bob", again);
    assert_eq!(scene.told(), []);
}

#[test]
fn nothing_is_learned_of_what_did_not_open() {
    let mut scene = Scene::new(2);
    let mut config = scene.world.client_config("bob");
    config.auto_accept = false;
    let bob = scene.world.add_client_with(config);
    scene.world.connect(bob, scene.coordinator);
    let at = scene.ask("bob");
    let channel = scene.world.wait_for("an offer", 10 * SECOND, |world| {
        world.take_event(bob, |event| match event {
            Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
            Event::Client(_) | Event::Coordinator(_) => None,
        })
    });
    assert!(scene.known().is_empty());
    let now = scene.world.now();
    let code = conec_core::Code(5);
    scene.world.client(bob).reject(now, channel, code).unwrap();
    assert_eq!(scene.world.closed(at), CloseReason::Application(code));
    assert!(scene.known().is_empty() && scene.told().is_empty());
}

#[test]
fn who_comes_under_a_known_name_with_another_key_is_not_talked_to() {
    let mut scene = Scene::new(3);
    let bob = scene.client("bob");
    let bobs = scene.world.client_id(bob);
    scene.open("bob", bob);
    scene.leave(bob);
    // The directory gives the name to who wants it, and the impostor takes any channel.
    let mallory = scene.client("bob");
    let mallorys = scene.world.client_id(mallory);
    assert_eq!(scene.told(), [learned("bob", bobs)]);
    for _ in 0..3 {
        let at = scene.ask("bob");
        assert_eq!(scene.world.closed(at), CloseReason::KeyChanged);
        assert!(CloseReason::KeyChanged.is_permanent());
        assert_eq!(
            scene.told(),
            [changed(Some(at), "bob", bobs, mallorys)],
            "once for each"
        );
        // It was accepted there at once, and has come to nothing.
        scene.world.run_for(SECOND);
        let end = scene.world.take_event(mallory, |event| {
            let (channel, event) = event.channel()?;
            (channel != conec_core::ChannelId::HOME).then(|| event.clone())
        });
        let reason = CloseReason::Remote(ErrorCode::KeyChanged);
        assert_eq!(end, Some(conec_core::ChannelEvent::Closed { reason }));
    }
    assert_eq!(scene.known().get(&name("bob")), Some(bobs));
    scene.bystanders.are_well(&mut scene.world);
}

#[test]
fn who_calls_under_a_known_name_with_another_key_is_rejected() {
    let mut scene = Scene::new(4);
    let bobs = keys::identity(900).id();
    scene.known().insert(name("bob"), bobs);
    let mallory = scene.client("bob");
    let mallorys = scene.world.client_id(mallory);
    let alices = scene.world.client_id(scene.alice);
    for _ in 0..3 {
        let at = scene.world.request_channel(mallory, alices.into());
        let reason = CloseReason::Remote(ErrorCode::KeyChanged);
        assert_eq!(scene.world.closed(at), reason);
    }
    // The application has heard of each, and seen no offer.
    let each = [(); 3].map(|()| changed(None, "bob", bobs, mallorys));
    assert_eq!(scene.told(), each);
    let offered = scene.world.take_event(scene.alice, |event| {
        matches!(event, Event::Client(ClientEvent::Offered { .. })).then_some(())
    });
    assert_eq!(offered, None);
    // By its key it can be talked to, and not under that name.
    let at = scene.world.request_channel(scene.alice, mallorys.into());
    assert_eq!(scene.world.opened(scene.alice), at);
    let peer = scene.world.client(scene.alice).peer(at.channel).unwrap();
    assert_eq!((peer.id, peer.name), (mallorys, None));
    assert_eq!(scene.told(), [changed(None, "bob", bobs, mallorys)]);
    assert_eq!(scene.names(), [(name("bob"), bobs)]);
    scene.bystanders.are_well(&mut scene.world);
}

#[test]
fn who_was_accepted_is_learned_and_who_was_accepted_unasked_is_not() {
    let mut scene = Scene::new(5);
    let bob = scene.client("bob");
    let id = scene.world.client_id(bob);
    scene.be_called(bob);
    assert_eq!(scene.told(), [learned("bob", id)]);
    // By its key nobody is learned, either.
    let carol = scene.client("carol");
    let carols = scene.world.client_id(carol);
    scene.world.request_channel(scene.alice, carols.into());
    scene.world.opened(scene.alice);
    assert_eq!((scene.told(), scene.known().len()), (Vec::new(), 1));

    let mut scene = Scene::with(6, |config| config.auto_accept = true);
    for number in 0..20 {
        let caller = scene.client(&format!("caller-{number}"));
        let alices = scene.world.client_id(scene.alice);
        scene.world.request_channel(caller, alices.into());
        scene.world.opened(scene.alice);
    }
    assert!(scene.known().is_empty() && scene.told().is_empty());
    // What is known is looked at all the same.
    let bobs = keys::identity(900).id();
    scene.known().insert(name("bob"), bobs);
    let mallory = scene.client("bob");
    let alices = scene.world.client_id(scene.alice);
    let at = scene.world.request_channel(mallory, alices.into());
    let reason = CloseReason::Remote(ErrorCode::KeyChanged);
    assert_eq!(scene.world.closed(at), reason);
}

#[test]
fn no_more_names_are_learned_than_may_be_and_none_is_forgotten_for_them() {
    let mut scene = Scene::with(7, |config| config.limits.known_names = 2);
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| scene.client(name));
    let [bobs, carols, daves] = [bob, carol, dave].map(|it| scene.world.client_id(it));
    for (name, client) in [("bob", bob), ("carol", carol), ("dave", dave)] {
        scene.open(name, client);
    }
    let full = ClientEvent::NotLearned { name: name("dave") };
    let expected = [learned("bob", bobs), learned("carol", carols), full];
    let mut told = scene.told();
    told.sort_by_key(|event| matches!(event, ClientEvent::NotLearned { .. }));
    assert_eq!(told, expected);
    let both = [(name("bob"), bobs), (name("carol"), carols)];
    assert_eq!(scene.names(), both);
    // Who is not known can be anybody, as without all this.
    scene.leave(dave);
    let other = scene.client("dave");
    scene.open("dave", other);
    scene.known().forget(&name("bob"));
    scene.open("dave", other);
    assert_ne!(scene.known().get(&name("dave")), Some(daves));
    assert_eq!(scene.known().len(), 2);
}

#[test]
fn a_name_that_is_forgotten_is_learned_anew_and_one_can_be_given_another_key() {
    let mut scene = Scene::new(8);
    let bob = scene.client("bob");
    let bobs = scene.world.client_id(bob);
    let (old, _) = scene.open("bob", bob);
    assert_eq!(scene.known().forget(&name("bob")), Some(bobs));
    scene.open("bob", bob);
    let twice = [(); 2].map(|()| learned("bob", bobs));
    assert_eq!(scene.told(), twice);
    assert!(scene.world.channel(scene.alice, old.channel).is_some());
    scene.leave(bob);
    let again = scene.client("bob");
    let id = scene.world.client_id(again);
    let at = scene.ask("bob");
    assert_eq!(scene.world.closed(at), CloseReason::KeyChanged);
    let change = scene.known().key_change(&name("bob")).unwrap();
    assert_eq!((change.known, change.found), (bobs, id));
    scene.known().insert(change.name, change.found);
    scene.open("bob", again);
    assert_eq!(scene.known().get(&name("bob")), Some(id));
    assert_eq!(scene.known().key_change(&name("bob")), None);
}

#[test]
fn what_a_client_is_given_it_knows_from_the_beginning() {
    let bobs = keys::identity(900).id();
    let known = KnownClients::from_iter([(name("bob"), bobs)]);
    let mut scene = Scene::with(9, |config| {
        config.known = Some(known);
        config.limits.known_names = 0;
    });
    scene.client("bob");
    let at = scene.ask("bob");
    assert_eq!(scene.world.closed(at), CloseReason::KeyChanged);
    let carol = scene.client("carol");
    scene.open("carol", carol);
    assert_eq!(scene.names(), [(name("bob"), bobs)]);
}

#[test]
fn names_and_their_channels_outlive_the_coordinator() {
    let mut scene = Scene::new(10);
    let mut config = scene.world.client_config("bob");
    config.reconnect = true;
    let bob = scene.world.add_client_with(config);
    scene.world.connect(bob, scene.coordinator);
    let bobs = scene.world.client_id(bob);
    let (at, at_bob) = scene.open("bob", bob);
    scene.world.crash(scene.coordinator);
    scene.world.run_for(SECOND);
    let config = conec_core::CoordinatorConfig::new(keys::certificate());
    scene.world.restart_coordinator(scene.coordinator, config);
    let [alice, coordinator] = [scene.alice, scene.coordinator];
    scene.world.wait_for("connected again", 120 * SECOND, |it| {
        let both = [alice, bob].map(|client| it.client(client).is_connected());
        (both == [true; 2] && it.coordinator(coordinator).clients() == 2).then_some(())
    });
    scene.world.run_for(10 * SECOND);
    let stream = scene.world.open_stream(at, b"");
    scene.world.send(stream, "still there");
    let theirs = scene.world.accept_stream(at_bob);
    assert_eq!(scene.world.recv(theirs), "still there");
    assert_eq!(scene.told(), [learned("bob", bobs)]);
    // Nobody else is taken for Bob at the new one, either.
    scene.leave(bob);
    let mallory = scene.client("bob");
    let at = scene.ask("bob");
    assert_eq!(scene.world.closed(at), CloseReason::KeyChanged);
    let mallorys = scene.world.client_id(mallory);
    let expected = [changed(Some(at), "bob", bobs, mallorys)];
    assert_eq!(scene.told(), expected);
}
