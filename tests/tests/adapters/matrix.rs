//! Each kind of adapter with each other kind, in every role.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::{self, Builder},
    time::Duration,
};

use conec_core::{ClientConfig, ClientId, Nat};
use conec_driver::{Socket, Tap};
use conec_mio::blocking;

use crate::{
    Cable, KINDS, Kind, client_config, coordinator_config,
    coordinators::{Running, runtime},
    fragile_config, handles, scripts,
    scripts::Pause,
    within,
};

#[test]
fn everyone_talks_to_everyone_through_tokio() {
    talk(Kind::Tokio);
}

#[test]
fn everyone_talks_to_everyone_through_mio() {
    talk(Kind::Mio);
}

#[test]
fn everyone_talks_to_everyone_through_blocking_calls() {
    talk(Kind::Blocking);
}

#[test]
fn everyone_talks_to_everyone_through_a_custom_loop() {
    talk(Kind::Custom);
}

/// One kind with the next: the other matters at the handles only.
#[test]
fn everyone_finds_a_direct_path_to_the_next() {
    within(|| {
        thread::scope(|scope| {
            for (at, kind) in KINDS.into_iter().enumerate() {
                let next = KINDS[(at + 1) % KINDS.len()];
                scope.spawn(move || go_direct(kind, next));
            }
        });
    });
}

/// A Client that takes itself to be behind a NAT, which shows the same address to both ports.
#[test]
fn coordinators_listen_at_their_second_port() {
    struct Elsewhere;
    impl Tap for Elsewhere {
        fn host_addresses(&self) -> Option<Vec<SocketAddr>> {
            Some(vec![([192, 0, 2, 1], 7000).into()])
        }
    }
    within(|| {
        for kind in [Kind::Tokio, Kind::Mio, Kind::Blocking] {
            let mut config = coordinator_config();
            config.second_port = Some(0);
            let coordinator = Running::start_with(kind, config);
            let socket = Socket::any().unwrap().tapped(Arc::new(Elsewhere));
            let (to, config) = ([coordinator.address], client_config(coordinator.pin));
            let client = blocking::Client::connect_over(socket, "localhost", &to, config).unwrap();
            loop {
                match client.nat() {
                    Nat::PortIndependent => break,
                    Nat::Unknown | Nat::Unclassified => thread::sleep(Duration::from_millis(5)),
                    nat => panic!("{nat:?}"),
                }
            }
            coordinator.close();
        }
    });
}

#[test]
fn whoever_is_gone_is_missed_by_everyone() {
    within(|| {
        thread::scope(|scope| {
            for kind in KINDS {
                scope.spawn(move || lose(kind));
            }
        });
    });
}

fn talk(kind: Kind) {
    within(move || {
        let coordinator = Running::start(kind);
        let place = |coordinator: &Running| Place {
            coordinator: coordinator.address,
            config: client_config(coordinator.pin),
        };
        thread::scope(|scope| {
            for (alice, bob) in pairs() {
                let (tell, told) = mpsc::channel();
                let (at_alice, at_bob) = (place(&coordinator), place(&coordinator));
                let thread = name(bob, "bob");
                let run = move || play(bob, at_bob, Part::Bob { tell });
                thread.spawn_scoped(scope, run).unwrap();
                let thread = name(alice, "alice");
                let run = move || {
                    let bob = told.recv().unwrap();
                    play(alice, at_alice, Part::Alice { bob });
                };
                thread.spawn_scoped(scope, run).unwrap();
            }
        });
        coordinator.close();
    });
}

fn go_direct(alice: Kind, bob: Kind) {
    let coordinator = Running::start(alice);
    let place = || {
        let mut config = client_config(coordinator.pin);
        config.paths.loopback = true;
        Place {
            coordinator: coordinator.address,
            config,
        }
    };
    let (tell, told) = mpsc::channel();
    let (at_alice, at_bob) = (place(), place());
    thread::scope(|scope| {
        let run = move || play(bob, at_bob, Part::Near { tell });
        name(bob, "near").spawn_scoped(scope, run).unwrap();
        let run = move || {
            let bob = told.recv().unwrap();
            play(alice, at_alice, Part::Seeker { bob });
        };
        name(alice, "seeker").spawn_scoped(scope, run).unwrap();
    });
    coordinator.close();
}

/// Loses half of the Clients, and then the Coordinator.
fn lose(kind: Kind) {
    let coordinator = Running::start(kind);
    let place = |coordinator: &Running| Place {
        coordinator: coordinator.address,
        config: fragile_config(coordinator.pin),
    };
    let (alone, are_alone) = mpsc::channel();
    thread::scope(|scope| {
        for (alice, bob) in pairs() {
            let (tell, told) = mpsc::channel();
            let (hear, heard) = mpsc::channel();
            let alone = alone.clone();
            let (at_alice, at_bob) = (place(&coordinator), place(&coordinator));
            let part = Part::Survivor { tell, hear, alone };
            let thread = name(bob, "survivor");
            let run = move || play(bob, at_bob, part);
            thread.spawn_scoped(scope, run).unwrap();
            let thread = name(alice, "victim");
            let run = move || {
                let bob = told.recv().unwrap();
                play(alice, at_alice, Part::Victim { bob, heard });
            };
            thread.spawn_scoped(scope, run).unwrap();
        }
        drop(alone);
        assert_eq!(
            are_alone.iter().take(pairs().count()).count(),
            pairs().count()
        );
        coordinator.crash();
    });
}

fn pairs() -> impl Iterator<Item = (Kind, Kind)> {
    KINDS
        .into_iter()
        .flat_map(|alice| KINDS.map(|bob| (alice, bob)))
}

/// A thread with a name that tells what has failed.
fn name(kind: Kind, part: &str) -> Builder {
    Builder::new().name(format!("{part} on {kind:?}"))
}

enum Part {
    Alice {
        bob: ClientId,
    },
    Bob {
        tell: mpsc::Sender<ClientId>,
    },
    Seeker {
        bob: ClientId,
    },
    Near {
        tell: mpsc::Sender<ClientId>,
    },
    Victim {
        bob: ClientId,
        heard: mpsc::Receiver<()>,
    },
    Survivor {
        tell: mpsc::Sender<ClientId>,
        hear: mpsc::Sender<()>,
        alone: mpsc::Sender<()>,
    },
}

/// Where the Coordinator is.
struct Place {
    coordinator: SocketAddr,
    config: ClientConfig,
}

macro_rules! play {
    ($part:expr, $client:expr, $script:ident, ($($run:tt)*), $pause:expr, $crash:expr) => {
        match $part {
            Part::Alice { bob } => $($run)*(scripts::$script::alice($client, bob)),
            Part::Bob { tell } => {
                tell.send($client.id()).unwrap();
                $($run)*(scripts::$script::bob($client));
            }
            Part::Seeker { bob } => $($run)*(scripts::$script::seek($client, bob)),
            Part::Near { tell } => {
                tell.send($client.id()).unwrap();
                $($run)*(scripts::$script::be_near($client));
            }
            Part::Victim { bob, heard } => {
                let kept = $($run)*(scripts::$script::begin(&$client, bob));
                while heard.try_recv().is_err() {
                    $pause;
                }
                // Before anything is dropped, which would be a goodbye.
                $crash;
                drop(kept);
            }
            Part::Survivor { tell, hear, alone } => {
                tell.send($client.id()).unwrap();
                let hear = || hear.send(()).unwrap();
                $($run)*(scripts::$script::survive(&$client, hear));
                alone.send(()).unwrap();
                $($run)*(scripts::$script::be_lonely(&$client));
            }
        }
    };
}

fn done<T>(done: T) -> T {
    done
}

fn play(
    kind: Kind,
    Place {
        coordinator,
        config,
    }: Place,
    part: Part,
) {
    const PAUSE: Duration = Duration::from_millis(5);
    let to = [coordinator];
    match kind {
        Kind::Tokio => {
            let runtime = runtime();
            let cable = Cable::default();
            let socket = Socket::any().unwrap().tapped(Arc::new(cable.clone()));
            let connecting = conec_tokio::Client::connect_over(socket, "localhost", &to, config);
            let client = runtime.block_on(connecting).unwrap();
            play!(
                part,
                client,
                awaited,
                (runtime.block_on),
                thread::sleep(PAUSE),
                cable.pull()
            );
        }
        Kind::Blocking => {
            let cable = Cable::default();
            let socket = Socket::any().unwrap().tapped(Arc::new(cable.clone()));
            let client = blocking::Client::connect_over(socket, "localhost", &to, config).unwrap();
            play!(
                part,
                client,
                blocking,
                (done),
                thread::sleep(PAUSE),
                cable.pull()
            );
        }
        Kind::Mio | Kind::Custom => {
            let client = match kind {
                Kind::Mio => handles::Client::connect(handles::Mio::new(coordinator, config)),
                _ => handles::Client::connect(handles::Custom::new(coordinator, config)),
            };
            play!(
                part,
                client,
                looped,
                (done),
                client.pause(PAUSE),
                drop(client)
            );
        }
    }
}
