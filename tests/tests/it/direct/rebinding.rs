//! What becomes of direct paths when something on the way changes: boxes that forget, Clients that move, packets that do
//! not fit any more.

use std::time::Duration;

use conec_core::{Endpoint, Path};
use conec_tests::sim::{Access, At, LinkConfig, NatConfig, NatId, Net, NodeId, World};

use super::{
    changes,
    flow::{Flow, run},
    is_direct, ms, path, secs, talk, truly_direct, until_direct,
};

/// Two Clients at home, with a direct path between them.
struct Scene {
    world: World,
    coordinator: NodeId,
    homes: [NatId; 2],
    ends: [At; 2],
    flows: [Flow; 2],
}

impl Scene {
    fn new(seed: u64, config: &NatConfig) -> Self {
        let mut world = World::new(seed);
        let coordinator = world.add_coordinator();
        let homes = ["one", "other"].map(|name| world.add_nat(name, config.clone()));
        let mut names = ["alice", "bob"].into_iter();
        let clients = homes.map(|home| {
            let client = world.add_client(names.next().unwrap());
            world.put(client, home);
            world.connect(client, coordinator);
            client
        });
        let ends = world.open_channel(clients[0], clients[1]).into();
        until_direct(&mut world, ends);
        let flows = [(0, 1), (1, 0)]
            .map(|(from, to)| Flow::paced(&mut world, ends[from], ends[to], 600, ms(20)));
        Self {
            world,
            coordinator,
            homes,
            ends,
            flows,
        }
    }

    /// The same, with losses on the Internet from now on.
    fn lossy(seed: u64, config: &NatConfig) -> Self {
        let mut scene = Self::new(seed, config);
        scene.world.network.set_all(&LinkConfig {
            loss: 0.05,
            jitter: ms(5),
            ..LinkConfig::default()
        });
        scene
    }

    fn run(&mut self, time: Duration) {
        run(&mut self.world, &mut self.flows, time);
    }

    /// From now on messages take several packets.
    fn send_large(&mut self) {
        let [one, other] = self.ends;
        self.flows = [(one, other), (other, one)]
            .map(|(from, to)| Flow::paced(&mut self.world, from, to, 5000, ms(20)));
    }

    /// What fits on the Internet between the homes.
    fn set_mtu(&mut self, mtu: usize) {
        let [one, other] = self.homes;
        self.world.link(one, other).mtu = mtu;
        self.world.link(other, one).mtu = mtu;
    }

    /// How long it takes until both ends send directly, for good.
    fn until_direct(&mut self) -> Duration {
        let start = self.world.elapsed();
        let mut since = start;
        while self.world.elapsed() < since + secs(10) {
            self.run(ms(100));
            if !self.ends.iter().all(|&at| is_direct(&mut self.world, at)) {
                since = self.world.elapsed();
            }
            assert!(since < start + secs(150), "no direct path");
        }
        since - start
    }

    /// The longest that either flow has paused since then.
    fn longest_pause(&self, since: Duration) -> Duration {
        let pauses = self.flows.iter().map(|flow| flow.longest_pause(since));
        pauses.max().unwrap()
    }

    /// All that was sent has arrived, and the path is what it is said to be.
    fn finish(mut self) {
        for flow in &mut self.flows {
            flow.drain(&mut self.world);
        }
        truly_direct(&mut self.world, self.coordinator, self.ends);
    }
}

#[test]
fn mappings_that_last_half_a_minute_are_kept_though_nothing_is_said() {
    let config = NatConfig {
        idle_expiry: secs(30),
        inbound_refreshes: false,
        ..NatConfig::port_restricted()
    };
    let mut scene = Scene::new(1, &config);
    scene.run(secs(1));
    for at in scene.ends {
        changes(&mut scene.world, at);
    }
    for _ in 0..10 {
        scene.world.run_for(secs(100));
        for at in scene.ends {
            assert_eq!(changes(&mut scene.world, at), []);
        }
        talk(&mut scene.world, scene.ends);
    }
    scene.finish();
}

#[test]
fn mappings_that_last_seconds_cost_moments_after_each_silence() {
    // Keep-alives of the home channels hold the mapping, but nothing holds the way to the other end open.
    let config = NatConfig {
        idle_expiry: secs(12),
        ..NatConfig::port_restricted()
    };
    for seed in 0..2 {
        let mut scene = if seed == 0 {
            Scene::new(seed, &config)
        } else {
            Scene::lossy(seed, &config)
        };
        for _ in 0..5 {
            scene.world.run_for(secs(30));
            let start = scene.world.elapsed();
            talk(&mut scene.world, scene.ends);
            let took = scene.world.elapsed() - start;
            assert!(took < ms(2500), "{took:?}");
        }
        for flow in &mut scene.flows {
            flow.resume(&scene.world);
        }
        scene.until_direct();
        scene.finish();
    }
}

#[test]
fn mappings_that_die_of_age_cost_moments() {
    for seed in 0..2 {
        let config = NatConfig::carrier_grade();
        let mut scene = match seed % 2 {
            0 => Scene::new(seed, &config),
            _ => Scene::lossy(seed, &config),
        };
        let start = scene.world.elapsed();
        scene.run(secs(600));
        let pause = scene.longest_pause(start);
        let alice = scene.ends[0];
        let stats = scene.world.client(alice.node).path_stats(alice.channel);
        let stats = stats.unwrap();
        println!("seed {seed}: at most {pause:?} without a message, {stats:?}");
        // The way through the Coordinator is lost at the same time, and has to be confirmed anew.
        let patience = if seed == 0 { ms(2500) } else { secs(10) };
        assert!(pause <= patience, "{pause:?}");
        assert!(
            stats.direct.packets_sent > stats.proxied.packets_sent,
            "{stats:?}"
        );
        scene.until_direct();
        scene.finish();
    }
}

#[test]
fn a_box_that_forgets_or_moves_costs_a_moment() {
    for seed in 0..16 {
        let config = NatConfig::port_restricted();
        let mut scene = match seed & 1 {
            0 => Scene::new(seed, &config),
            _ => Scene::lossy(seed, &config),
        };
        let home = scene.homes[usize::from(seed & 2 != 0)];
        scene.run(secs(2));
        let start = scene.world.elapsed();
        match seed & 4 {
            0 => scene.world.reboot(home),
            _ => scene.world.renumber(home),
        }
        let took = scene.until_direct();
        let pause = scene.longest_pause(start);
        println!("seed {seed}: at most {pause:?} without a message, direct after {took:?}");
        // Until the Coordinator knows where the box is now, there is no way at all.
        let patience = if seed & 1 == 0 { ms(2500) } else { secs(10) };
        assert!(pause <= patience, "{pause:?}");
        assert!(took <= secs(15), "{took:?}");
        scene.finish();
    }
}

#[test]
fn who_roams_is_found_again_wherever_a_direct_path_leads() {
    for seed in 0..4 {
        let config = NatConfig::home();
        let mut scene = match seed & 1 {
            0 => Scene::new(seed, &config),
            _ => Scene::lossy(seed, &config),
        };
        let mover = usize::from(seed & 2 != 0);
        let node = scene.ends[mover].node;
        let mobile = scene
            .world
            .add_nat("mobile", NatConfig::address_restricted());
        for net in [mobile.into(), Net::Internet, scene.homes[mover].into()] {
            scene.run(secs(2));
            let start = scene.world.elapsed();
            scene.world.put(node, net);
            let took = scene.until_direct();
            let pause = scene.longest_pause(start);
            println!("seed {seed}: at most {pause:?} without a message, direct after {took:?}");
            // Losses may hit all that is said of the move, several times in a row.
            let patience = if seed & 1 == 0 { secs(2) } else { secs(10) };
            assert!(pause <= patience, "{pause:?}");
            assert!(took <= secs(40), "{took:?}");
            let outside = match net {
                Net::Internet => scene.world.address(node).ip(),
                Net::Behind(nat) => scene.world.outer_ip(nat).unwrap(),
            };
            let Path::Direct(address) = path(&mut scene.world, scene.ends[1 - mover]) else {
                panic!("a direct path");
            };
            assert_eq!(address.ip(), outside);
        }
        scene.finish();
    }
}

#[test]
fn who_comes_to_visit_is_met_at_its_own_address_until_it_leaves() {
    for (seed, mover) in [(0, 0), (1, 1)] {
        let mut scene = Scene::new(seed, &NatConfig::home());
        let node = scene.ends[mover].node;
        for net in [scene.homes[1 - mover], scene.homes[mover]] {
            scene.run(secs(2));
            let start = scene.world.elapsed();
            scene.world.put(node, net);
            let took = scene.until_direct();
            let pause = scene.longest_pause(start);
            println!("at most {pause:?} without a message, direct after {took:?}");
            assert!(pause <= secs(2), "{pause:?}");
            assert!(took <= secs(40), "{took:?}");
            let met_at = match net == scene.homes[mover] {
                true => scene.world.outer_ip(net).unwrap(),
                false => scene.world.address(node).ip(),
            };
            let Path::Direct(address) = path(&mut scene.world, scene.ends[1 - mover]) else {
                panic!("a direct path");
            };
            assert_eq!(address.ip(), met_at);
        }
        scene.finish();
    }
}

#[test]
fn who_roams_to_where_only_the_coordinator_is_reached_goes_on_through_it() {
    for mover in [0, 1] {
        let mut scene = Scene::new(1, &NatConfig::home());
        let node = scene.ends[mover].node;
        scene.run(secs(2));
        let start = scene.world.elapsed();
        scene
            .world
            .put_behind(node, Access::OnlyCoordinator, scene.coordinator);
        scene.run(secs(10));
        let pause = scene.longest_pause(start);
        assert!(pause <= ms(2500), "{pause:?}");
        for _ in 0..30 {
            scene.run(secs(4));
            for at in scene.ends {
                assert_eq!(path(&mut scene.world, at), Path::Proxied);
            }
        }
        scene.world.put(node, scene.homes[mover]);
        scene.until_direct();
        scene.finish();
    }
}

#[test]
fn a_direct_path_on_which_less_fits_than_before_is_used_with_smaller_packets() {
    for mtu in [1200, 1252] {
        let mut scene = Scene::new(1, &NatConfig::home());
        scene.send_large();
        scene.run(secs(5));
        let start = scene.world.elapsed();
        scene.set_mtu(mtu);
        scene.run(secs(10));
        let pause = scene.longest_pause(start);
        println!("{mtu}: at most {pause:?} without a message");
        assert!(pause <= ms(2500), "{pause:?}");
        scene.until_direct();
        let start = scene.world.elapsed();
        scene.run(secs(30));
        let pause = scene.longest_pause(start);
        assert!(pause <= ms(500), "{mtu}: {pause:?}");
        scene.finish();
    }
}

#[test]
fn a_direct_path_on_which_too_little_fits_is_left_though_small_pings_are_answered() {
    let mut scene = Scene::new(1, &NatConfig::home());
    scene.send_large();
    scene.run(secs(5));
    let start = scene.world.elapsed();
    scene.set_mtu(1199);
    scene.run(secs(15));
    let pause = scene.longest_pause(start);
    println!("at most {pause:?} without a message");
    // Longer than on a path that is dead: small packets go on being acknowledged.
    assert!(pause <= secs(6), "{pause:?}");
    for _ in 0..30 {
        scene.run(secs(4));
        for at in scene.ends {
            assert_eq!(path(&mut scene.world, at), Path::Proxied);
        }
    }
    scene.set_mtu(1200);
    scene.until_direct();
    scene.finish();
}
