//! One parameter of a box at a time, seen by bare sockets.

use std::net::{Ipv4Addr, SocketAddr};

use conec_tests::sim::{
    Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent},
    Hairpin, NatConfig, Net, Ports, Socket, World,
};

use super::{behind, secs, seen, seen_at, socket};

/// A socket at another port of the same host.
fn next_port(world: &mut World, socket: &Socket) {
    let mut address = world.address(socket.node);
    address.set_port(address.port() + 1);
    world.rebind(socket.node, address);
}

#[test]
fn a_translated_host_is_seen_at_the_boxs_address() {
    let mut world = World::new(1);
    let server = socket(&mut world, Net::Internet);
    let (nat, alice) = behind(&mut world, NatConfig::home());
    let seen = seen_at(&mut world, &alice, &server).unwrap();
    assert_eq!(Some(seen.ip()), world.outer_ip(nat));
    assert_ne!(world.address(alice.node).ip(), seen.ip());
    // Nobody outside reaches her where she is.
    let hers = world.address(alice.node);
    assert_eq!(super::seen(&mut world, &server, &alice, hers), None);
    assert!(super::seen(&mut world, &server, &alice, seen).is_some());
}

#[test]
fn mappings_depend_on_what_they_are_said_to() {
    for (mapping, per_port, per_address) in [
        (EndpointIndependent, false, false),
        (AddressDependent, false, true),
        (AddressAndPortDependent, true, true),
    ] {
        let mut world = World::new(2);
        let (one, other) = (
            socket(&mut world, Net::Internet),
            socket(&mut world, Net::Internet),
        );
        let (nat, alice) = behind(&mut world, NatConfig::new(mapping, EndpointIndependent));
        let first = seen_at(&mut world, &alice, &one).unwrap();
        assert_eq!(seen_at(&mut world, &alice, &one), Some(first));
        let by_other = seen_at(&mut world, &alice, &other).unwrap();
        next_port(&mut world, &one);
        let by_port = seen_at(&mut world, &alice, &one).unwrap();
        assert_eq!(first != by_other, per_address, "{mapping:?}");
        assert_eq!(first != by_port, per_port, "{mapping:?}");
        let expected = 1 + usize::from(per_address) + usize::from(per_port);
        assert_eq!(world.mappings(nat), expected);
    }
}

#[test]
fn filters_depend_on_what_they_are_said_to() {
    for (filtering, other_port, other_address) in [
        (EndpointIndependent, true, true),
        (AddressDependent, true, false),
        (AddressAndPortDependent, false, false),
    ] {
        let mut world = World::new(3);
        let (one, other) = (
            socket(&mut world, Net::Internet),
            socket(&mut world, Net::Internet),
        );
        let (_, alice) = behind(&mut world, NatConfig::new(EndpointIndependent, filtering));
        let at = seen_at(&mut world, &alice, &one).unwrap();
        let one_is = world.address(one.node);
        assert_eq!(seen(&mut world, &one, &alice, at), Some(one_is));
        let from_other = seen(&mut world, &other, &alice, at).is_some();
        assert_eq!(from_other, other_address, "{filtering:?}");
        next_port(&mut world, &one);
        let from_port = seen(&mut world, &one, &alice, at).is_some();
        assert_eq!(from_port, other_port, "{filtering:?}");
        // Who was written to since gets in.
        seen_at(&mut world, &alice, &other).unwrap();
        assert!(seen(&mut world, &other, &alice, at).is_some());
    }
}

#[test]
fn each_mapping_has_a_filter_of_its_own() {
    let mut world = World::new(4);
    let (one, other) = (
        socket(&mut world, Net::Internet),
        socket(&mut world, Net::Internet),
    );
    let (_, alice) = behind(&mut world, NatConfig::symmetric());
    let by_one = seen_at(&mut world, &alice, &one).unwrap();
    let by_other = seen_at(&mut world, &alice, &other).unwrap();
    assert!(seen(&mut world, &one, &alice, by_one).is_some());
    assert!(seen(&mut world, &other, &alice, by_other).is_some());
    assert_eq!(seen(&mut world, &one, &alice, by_other), None);
    assert_eq!(seen(&mut world, &other, &alice, by_one), None);
}

#[test]
fn ports_are_chosen_as_they_are_said_to_be() {
    let of_two_hosts = |ports| {
        let mut world = World::new(5);
        let server = socket(&mut world, Net::Internet);
        let config = NatConfig {
            ports,
            ..NatConfig::port_restricted()
        };
        let (nat, alice) = behind(&mut world, config);
        let bob = socket(&mut world, nat);
        let inner = world.address(alice.node).port();
        assert_eq!(world.address(bob.node).port(), inner);
        let [a, b] = [&alice, &bob].map(|host| seen_at(&mut world, host, &server).unwrap().port());
        (inner, a, b)
    };
    let (inner, a, b) = of_two_hosts(Ports::Preserve);
    assert_eq!((a, b), (inner, inner));
    let (inner, a, b) = of_two_hosts(Ports::PreserveUnlessConflict);
    assert_eq!(a, inner);
    assert_ne!(b, inner);
    let (_, a, b) = of_two_hosts(Ports::Sequential);
    assert_eq!(b, a + 1);
    let (inner, a, b) = of_two_hosts(Ports::Random);
    assert!(a != inner && b != inner && a.abs_diff(b) > 1);
}

#[test]
fn of_hosts_that_share_a_port_the_filter_tells_whose_a_packet_is() {
    let mut world = World::new(6);
    let (one, other) = (
        socket(&mut world, Net::Internet),
        socket(&mut world, Net::Internet),
    );
    let config = NatConfig {
        ports: Ports::Preserve,
        ..NatConfig::port_restricted()
    };
    let (nat, alice) = behind(&mut world, config);
    let bob = socket(&mut world, nat);
    let at = seen_at(&mut world, &alice, &one).unwrap();
    assert_eq!(seen_at(&mut world, &bob, &other), Some(at));
    assert!(seen(&mut world, &one, &alice, at).is_some());
    assert!(seen(&mut world, &other, &bob, at).is_some());
    // Of two who wrote to the same, the one who did so last.
    assert_eq!(seen_at(&mut world, &bob, &one), Some(at));
    assert!(seen(&mut world, &one, &bob, at).is_some());
    assert_eq!(world.next_received(&alice), None);
}

#[test]
fn of_hosts_that_share_a_port_an_open_box_prefers_who_wrote_to_the_sender() {
    let mut world = World::new(28);
    let servers = [(); 3].map(|()| socket(&mut world, Net::Internet));
    let config = NatConfig {
        ports: Ports::Preserve,
        ..NatConfig::full_cone()
    };
    let (nat, alice) = behind(&mut world, config);
    let bob = socket(&mut world, nat);
    let at = seen_at(&mut world, &alice, &servers[0]).unwrap();
    assert_eq!(seen_at(&mut world, &bob, &servers[1]), Some(at));
    assert!(seen(&mut world, &servers[0], &alice, at).is_some());
    assert!(seen(&mut world, &servers[1], &bob, at).is_some());
    // Who wrote to nobody gets through to the last one that was in use.
    assert!(seen(&mut world, &servers[2], &bob, at).is_some());
}

#[test]
fn boxes_with_many_mappings_may_keep_ports_too() {
    for mapping in [AddressDependent, AddressAndPortDependent] {
        let mut world = World::new(7);
        let (one, other) = (
            socket(&mut world, Net::Internet),
            socket(&mut world, Net::Internet),
        );
        let config = NatConfig {
            ports: Ports::PreserveUnlessConflict,
            ..NatConfig::new(mapping, AddressAndPortDependent)
        };
        let (nat, alice) = behind(&mut world, config);
        // One port for two mappings, which the remote endpoints tell apart.
        let at = seen_at(&mut world, &alice, &one).unwrap();
        assert_eq!(at.port(), world.address(alice.node).port());
        assert_eq!(seen_at(&mut world, &alice, &other), Some(at));
        assert_eq!(world.mappings(nat), 2);
        // But not for two hosts that write to the same.
        let bob = socket(&mut world, nat);
        assert_ne!(seen_at(&mut world, &bob, &one), Some(at));
    }
}

#[test]
fn an_idle_mapping_is_forgotten() {
    let mut world = World::new(8);
    let server = socket(&mut world, Net::Internet);
    let config = NatConfig {
        idle_expiry: secs(30),
        ..NatConfig::full_cone()
    };
    let (nat, alice) = behind(&mut world, config);
    let at = seen_at(&mut world, &alice, &server).unwrap();
    world.run_for(secs(28));
    assert_eq!(seen_at(&mut world, &alice, &server), Some(at));
    world.run_for(secs(28));
    assert!(seen(&mut world, &server, &alice, at).is_some());
    world.run_for(secs(31));
    assert_eq!(world.mappings(nat), 0);
    assert_eq!(seen(&mut world, &server, &alice, at), None);
    assert_ne!(seen_at(&mut world, &alice, &server), Some(at));
}

#[test]
fn what_comes_in_keeps_a_mapping_or_does_not() {
    for inbound_refreshes in [true, false] {
        let mut world = World::new(9);
        let server = socket(&mut world, Net::Internet);
        let config = NatConfig {
            idle_expiry: secs(30),
            inbound_refreshes,
            ..NatConfig::port_restricted()
        };
        let (_, alice) = behind(&mut world, config);
        let at = seen_at(&mut world, &alice, &server).unwrap();
        world.run_for(secs(20));
        assert!(seen(&mut world, &server, &alice, at).is_some());
        world.run_for(secs(20));
        let still = seen(&mut world, &server, &alice, at).is_some();
        assert_eq!(still, inbound_refreshes);
    }
}

#[test]
fn a_filter_forgets_whom_nothing_was_sent_to_for_long() {
    let mut world = World::new(10);
    let (one, other) = (
        socket(&mut world, Net::Internet),
        socket(&mut world, Net::Internet),
    );
    let config = NatConfig {
        idle_expiry: secs(30),
        ..NatConfig::port_restricted()
    };
    let (_, alice) = behind(&mut world, config);
    let at = seen_at(&mut world, &alice, &one).unwrap();
    for _ in 0..4 {
        assert_eq!(seen_at(&mut world, &alice, &other), Some(at));
        world.run_for(secs(10));
    }
    assert_eq!(seen(&mut world, &one, &alice, at), None);
    assert!(seen(&mut world, &other, &alice, at).is_some());
}

#[test]
fn a_mapping_may_have_a_longest_life() {
    let mut world = World::new(11);
    let server = socket(&mut world, Net::Internet);
    let config = NatConfig {
        lifetime: Some(secs(60)),
        ..NatConfig::full_cone()
    };
    let (_, alice) = behind(&mut world, config);
    let at = seen_at(&mut world, &alice, &server).unwrap();
    for _ in 0..5 {
        world.run_for(secs(10));
        assert_eq!(seen_at(&mut world, &alice, &server), Some(at));
    }
    world.run_for(secs(10));
    assert_eq!(seen(&mut world, &server, &alice, at), None);
    assert_ne!(seen_at(&mut world, &alice, &server), Some(at));
}

#[test]
fn a_box_turns_packets_around_or_does_not() {
    for hairpin in [
        Hairpin::None,
        Hairpin::InternalSource,
        Hairpin::ExternalSource,
    ] {
        let mut world = World::new(12);
        let server = socket(&mut world, Net::Internet);
        let config = NatConfig {
            hairpin,
            ..NatConfig::port_restricted()
        };
        let (nat, alice) = behind(&mut world, config);
        let bob = socket(&mut world, nat);
        let [alices, bobs] = [&alice, &bob].map(|host| seen_at(&mut world, host, &server).unwrap());
        // Filters hold for neighbours too.
        assert_eq!(seen(&mut world, &alice, &bob, bobs), None);
        let source = seen(&mut world, &bob, &alice, alices);
        let expected = match hairpin {
            Hairpin::None => None,
            Hairpin::InternalSource => Some(world.address(bob.node)),
            Hairpin::ExternalSource => Some(bobs),
        };
        assert_eq!(source, expected);
        let back = seen(&mut world, &alice, &bob, bobs);
        assert_eq!(back.is_some(), hairpin != Hairpin::None);
    }
}

#[test]
fn a_full_table_takes_no_more_until_something_expires() {
    let mut world = World::new(13);
    let server = socket(&mut world, Net::Internet);
    let config = NatConfig {
        table_size: 2,
        idle_expiry: secs(30),
        ..NatConfig::home()
    };
    let (nat, alice) = behind(&mut world, config);
    let (bob, carol) = (socket(&mut world, nat), socket(&mut world, nat));
    assert!(seen_at(&mut world, &alice, &server).is_some());
    assert!(seen_at(&mut world, &bob, &server).is_some());
    assert_eq!(seen_at(&mut world, &carol, &server), None);
    world.run_for(secs(31));
    assert!(seen_at(&mut world, &carol, &server).is_some());
}

#[test]
fn a_quota_is_for_each_inner_address() {
    let mut world = World::new(14);
    let servers = [(); 3].map(|()| socket(&mut world, Net::Internet));
    let config = NatConfig {
        quota: 2,
        ..NatConfig::symmetric()
    };
    let (nat, alice) = behind(&mut world, config);
    let bob = socket(&mut world, nat);
    for host in [&alice, &bob] {
        assert!(seen_at(&mut world, host, &servers[0]).is_some());
        assert!(seen_at(&mut world, host, &servers[1]).is_some());
        assert_eq!(seen_at(&mut world, host, &servers[2]), None);
        assert!(seen_at(&mut world, host, &servers[0]).is_some());
    }
}

#[test]
fn a_reboot_forgets_everything_and_may_change_the_address() {
    let mut world = World::new(15);
    let server = socket(&mut world, Net::Internet);
    let (nat, alice) = behind(&mut world, NatConfig::full_cone());
    let first = seen_at(&mut world, &alice, &server).unwrap();
    world.reboot(nat);
    assert_eq!(seen(&mut world, &server, &alice, first), None);
    let second = seen_at(&mut world, &alice, &server).unwrap();
    assert_eq!(second.ip(), first.ip());
    assert_ne!(second.port(), first.port());
    world.renumber(nat);
    assert_eq!(seen(&mut world, &server, &alice, second), None);
    let third = seen_at(&mut world, &alice, &server).unwrap();
    assert_ne!(third.ip(), first.ip());
    assert!(seen(&mut world, &server, &alice, third).is_some());
}

#[test]
fn an_early_packet_spoils_its_way_for_a_time() {
    for spoils in [None, Some(secs(30))] {
        let mut world = World::new(16);
        let (one, other) = (
            socket(&mut world, Net::Internet),
            socket(&mut world, Net::Internet),
        );
        let config = NatConfig {
            early_inbound_spoils: spoils,
            ..NatConfig::home()
        };
        let (_, alice) = behind(&mut world, config);
        let at = seen_at(&mut world, &alice, &one).unwrap();
        assert_eq!(seen(&mut world, &other, &alice, at), None);
        let towards_other = seen_at(&mut world, &alice, &other).unwrap();
        assert_eq!(towards_other != at, spoils.is_some());
        // For that one alone.
        assert_eq!(seen_at(&mut world, &alice, &one), Some(at));
        assert_eq!(seen_at(&mut world, &alice, &other), Some(towards_other));
        assert!(seen(&mut world, &other, &alice, towards_other).is_some());
    }
    // Before the first packet goes out, the port that would have been kept is spoilt too, until time has passed.
    for wait in [1, 31] {
        let mut world = World::new(17);
        let server = socket(&mut world, Net::Internet);
        let config = NatConfig {
            early_inbound_spoils: Some(secs(30)),
            ..NatConfig::home()
        };
        let (nat, alice) = behind(&mut world, config);
        let inner = world.address(alice.node).port();
        let expected = SocketAddr::new(world.outer_ip(nat).unwrap(), inner);
        assert_eq!(seen(&mut world, &server, &alice, expected), None);
        world.run_for(secs(wait));
        let at = seen_at(&mut world, &alice, &server).unwrap();
        assert_eq!(at == expected, wait > 30);
    }
}

#[test]
fn a_forwarded_port_lets_everybody_in() {
    for config in [NatConfig::home(), NatConfig::symmetric()] {
        let mut world = World::new(27);
        let server = socket(&mut world, Net::Internet);
        let (nat, alice) = behind(&mut world, config);
        let at = world.forward_port(nat, 7000, alice.node);
        let from = seen(&mut world, &server, &alice, at).unwrap();
        assert_eq!(from, world.address(server.node));
        // Answers come from there.
        assert_eq!(seen_at(&mut world, &alice, &server), Some(at));
        world.reboot(nat);
        assert!(seen(&mut world, &server, &alice, at).is_some());
    }
    // Nobody else gets it, not even who would keep it.
    let mut world = World::new(29);
    let server = socket(&mut world, Net::Internet);
    let (nat, alice) = behind(&mut world, NatConfig::home());
    let bob = socket(&mut world, nat);
    let port = world.address(bob.node).port();
    let at = world.forward_port(nat, port, alice.node);
    assert_ne!(seen_at(&mut world, &bob, &server), Some(at));
}

#[test]
fn a_firewall_filters_without_translating() {
    let mut world = World::new(18);
    let server = socket(&mut world, Net::Internet);
    let (_, alice) = behind(&mut world, NatConfig::firewall());
    assert_eq!(seen_at(&mut world, &server, &alice), None);
    let hers = world.address(alice.node);
    assert_eq!(seen_at(&mut world, &alice, &server), Some(hers));
    let theirs = world.address(server.node);
    assert_eq!(seen_at(&mut world, &server, &alice), Some(theirs));
}

#[test]
fn ipv6_passes_a_home_router_filtered_but_not_translated() {
    let mut world = World::new(19);
    let server = socket(&mut world, Net::Internet);
    let (_, alice) = behind(&mut world, NatConfig::home());
    for node in [server.node, alice.node] {
        world.add_ipv6(node);
    }
    let &[v4, v6] = world.host_addresses(alice.node) else {
        panic!("one of each family");
    };
    let (server_v4, server_v6) = match world.host_addresses(server.node) {
        &[v4, v6] => (v4, v6),
        other => panic!("one of each family, not {other:?}"),
    };
    assert!(v6.is_ipv6() && server_v6.is_ipv6());
    assert_eq!(seen(&mut world, &server, &alice, v6), None);
    assert_eq!(seen(&mut world, &alice, &server, server_v6), Some(v6));
    assert_eq!(seen(&mut world, &server, &alice, v6), Some(server_v6));
    assert_ne!(seen(&mut world, &alice, &server, server_v4), Some(v4));
    // Without IPv4 nothing is sent that way.
    world.drop_ipv4(alice.node);
    assert_eq!(seen(&mut world, &alice, &server, server_v4), None);
    assert_eq!(seen(&mut world, &alice, &server, server_v6), Some(v6));
}

#[test]
fn a_strict_network_lets_udp_out_to_one_address_alone() {
    let mut world = World::new(20);
    let (one, other) = (
        socket(&mut world, Net::Internet),
        socket(&mut world, Net::Internet),
    );
    let config = NatConfig::only_to(world.address(one.node).ip());
    let (_, alice) = behind(&mut world, config);
    let at = seen_at(&mut world, &alice, &one).unwrap();
    assert!(seen(&mut world, &one, &alice, at).is_some());
    assert_eq!(seen_at(&mut world, &alice, &other), None);
    assert_eq!(seen(&mut world, &other, &alice, at), None);
}

#[test]
fn boxes_may_stand_behind_boxes() {
    let mut world = World::new(21);
    let server = socket(&mut world, Net::Internet);
    let provider = world.add_nat("provider", NatConfig::carrier_grade());
    let home = world.add_nat_in("home", NatConfig::home(), provider);
    let alice = socket(&mut world, home);
    let at = seen_at(&mut world, &alice, &server).unwrap();
    assert_eq!(Some(at.ip()), world.outer_ip(provider));
    assert!(seen(&mut world, &server, &alice, at).is_some());
    // Each has its own mapping, and the way is gone when one is lost.
    assert_eq!((world.mappings(home), world.mappings(provider)), (1, 1));
    world.run_for(secs(60));
    assert_eq!((world.mappings(home), world.mappings(provider)), (1, 0));
    assert_eq!(seen(&mut world, &server, &alice, at), None);
    assert_ne!(seen_at(&mut world, &alice, &server), Some(at));
    // A firewall may stand in the way as well.
    let firewall = world.add_nat("firewall", NatConfig::firewall());
    let office = world.add_nat_in("office", NatConfig::full_cone(), firewall);
    let bob = socket(&mut world, office);
    let at = seen_at(&mut world, &bob, &server).unwrap();
    assert_eq!(Some(at.ip()), world.outer_ip(office));
    assert!(seen(&mut world, &server, &bob, at).is_some());
    assert_eq!(seen(&mut world, &alice, &bob, at), None);
}

#[test]
fn neighbours_reach_each_other_by_their_private_addresses() {
    let mut world = World::new(22);
    let (nat, alice) = behind(&mut world, NatConfig::symmetric());
    let bob = socket(&mut world, nat);
    let hers = world.address(alice.node);
    assert_eq!(seen_at(&mut world, &alice, &bob), Some(hers));
    assert_eq!(world.mappings(nat), 0);
    // Unless the network keeps them apart.
    world.link(alice.node, bob.node).up = false;
    assert_eq!(seen_at(&mut world, &alice, &bob), None);
    assert!(seen_at(&mut world, &bob, &alice).is_some());
}

#[test]
fn private_addresses_mean_something_else_in_each_network() {
    let mut world = World::new(23);
    let config = NatConfig {
        lan: Some(Ipv4Addr::new(192, 168, 1, 0)),
        ..NatConfig::home()
    };
    let (home, alice) = behind(&mut world, config.clone());
    let neighbour = socket(&mut world, home);
    let (office, bob) = behind(&mut world, config);
    let colleague = socket(&mut world, office);
    assert_eq!(world.address(alice.node), world.address(bob.node));
    let address = world.address(colleague.node);
    assert_eq!(world.address(neighbour.node), address);
    assert!(seen(&mut world, &alice, &neighbour, address).is_some());
    assert_eq!(world.next_received(&colleague), None);
}

#[test]
fn a_small_mtu_is_as_silent_behind_a_box_as_before_it() {
    let mut world = World::new(24);
    let server = socket(&mut world, Net::Internet);
    let (nat, alice) = behind(&mut world, NatConfig::home());
    let to = world.address(server.node);
    let arrives = |world: &mut World, size| {
        alice.send(to, vec![0; size]);
        world.run_for(secs(1));
        world.next_received(&server).is_some()
    };
    assert!(arrives(&mut world, 1472));
    world.link(alice.node, nat).mtu = 1300;
    assert!(!arrives(&mut world, 1301));
    assert!(arrives(&mut world, 1300));
    world.link(nat, server.node).mtu = 1280;
    assert!(!arrives(&mut world, 1300));
    assert!(arrives(&mut world, 1280));
    // That is the same part of the way.
    assert_eq!(world.link(alice.node, server.node).mtu, 1280);
}

#[test]
fn a_host_that_moves_is_gone_from_where_it_was() {
    let mut world = World::new(25);
    let server = socket(&mut world, Net::Internet);
    let (_, alice) = behind(&mut world, NatConfig::full_cone());
    let mobile = world.add_nat("mobile", NatConfig::full_cone());
    world.add_ipv6(alice.node);
    let (private, at_home) = (
        world.address(alice.node),
        seen_at(&mut world, &alice, &server).unwrap(),
    );
    world.put(alice.node, mobile);
    assert_ne!(world.address(alice.node), private);
    assert_eq!(world.host_addresses(alice.node).len(), 2);
    assert_eq!(seen(&mut world, &server, &alice, at_home), None);
    let on_the_way = seen_at(&mut world, &alice, &server).unwrap();
    assert_ne!(on_the_way.ip(), at_home.ip());
    assert!(seen(&mut world, &server, &alice, on_the_way).is_some());
    world.put(alice.node, Net::Internet);
    let public = world.address(alice.node);
    assert_eq!(seen_at(&mut world, &alice, &server), Some(public));
}

#[test]
fn a_cut_box_cuts_off_those_behind_it() {
    let mut world = World::new(26);
    let server = socket(&mut world, Net::Internet);
    let (nat, alice) = behind(&mut world, NatConfig::home());
    let bob = socket(&mut world, nat);
    world.link(nat, server.node).up = false;
    assert_eq!(seen_at(&mut world, &alice, &server), None);
    assert!(seen_at(&mut world, &alice, &bob).is_some());
    world.link(nat, server.node).up = true;
    assert!(seen_at(&mut world, &alice, &server).is_some());
    world.set_up(nat, false);
    assert_eq!(seen_at(&mut world, &alice, &server), None);
}
