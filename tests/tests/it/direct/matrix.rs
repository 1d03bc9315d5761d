//! Every way of being connected with every other: who finds a direct path, and who must not believe that there is one.

use conec_tests::sim::{Access, At, LinkConfig, World};

use super::{changes, is_direct, ms, path, secs, until_direct};

/// Two Clients that are connected so, and a channel between them.
fn pair(seed: u64, one: Access, other: Access, lossy: bool) -> (World, [At; 2]) {
    let mut world = World::new(seed);
    if lossy {
        world.network.set_all(&LinkConfig {
            loss: 0.1,
            jitter: ms(10),
            ..LinkConfig::default()
        });
    }
    let coordinator = world.add_coordinator();
    let (alice, bob) = (world.add_client("alice"), world.add_client("bob"));
    world.put_behind(alice, one, coordinator);
    world.put_behind(bob, other, coordinator);
    world.connect(alice, coordinator);
    world.connect(bob, coordinator);
    let (at_alice, at_bob) = world.open_channel(alice, bob);
    (world, [at_alice, at_bob])
}

/// A message each way.
fn talk(world: &mut World, [one, other]: [At; 2]) {
    for (from, to) in [(one, other), (other, one)] {
        let ours = world.open_stream(from, b"talk");
        world.send(ours, "hello");
        let theirs = world.accept_stream(to);
        assert_eq!(world.recv(theirs), "hello");
    }
}

#[test]
fn those_talk_directly_who_can_and_the_others_through_the_coordinator() {
    let mut seed = 0;
    for one in Access::ALL {
        for other in Access::ALL {
            for lossy in [false, true] {
                seed += 1;
                let (mut world, ends) = pair(seed, one, other, lossy);
                talk(&mut world, ends);
                if one.can_meet(other) {
                    until_direct(&mut world, ends);
                    talk(&mut world, ends);
                } else {
                    for _ in 0..15 {
                        world.run_for(secs(5));
                        talk(&mut world, ends);
                        for at in ends {
                            let path = path(&mut world, at);
                            assert!(!is_direct(&mut world, at), "{one:?} {other:?} {path:?}");
                            assert_eq!(changes(&mut world, at), []);
                        }
                    }
                }
            }
        }
    }
}
