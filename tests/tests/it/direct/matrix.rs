//! Every way of being connected with every other: who finds a direct path, and who must not believe that there is one.

use conec_tests::sim::{Access, At, LinkConfig, NodeId, World};

use super::{changes, is_direct, ms, path, secs, talk, truly_direct, until_direct};

/// Two Clients that are connected so, and a channel between them.
fn pair(seed: u64, one: Access, other: Access, lossy: bool) -> (World, NodeId, [At; 2]) {
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
    (world, coordinator, [at_alice, at_bob])
}

#[test]
fn those_talk_directly_who_can_and_the_others_through_the_coordinator() {
    let mut seed = 0;
    for one in Access::ALL {
        for other in Access::ALL {
            for lossy in [false, true] {
                seed += 1;
                let (mut world, coordinator, ends) = pair(seed, one, other, lossy);
                talk(&mut world, ends);
                if one.can_meet(other) {
                    until_direct(&mut world, ends);
                    truly_direct(&mut world, coordinator, ends);
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
