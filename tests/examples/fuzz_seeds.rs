//! Writes inputs to begin with into the corpora of the fuzz targets: real messages and packets, and steps that lead far.
//!
//! ```sh
//! cargo run -p conec-tests --example fuzz_seeds
//! ```
//!
//! Needed when the form of a target's input has changed. What a corpus holds already stays.

use std::{fs, io, path::Path};

use conec_core::{ClientId, Direction};
use conec_tests::{
    raw::message,
    sim::{Tap, World},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn main() -> io::Result<()> {
    let corpora: [(&str, Vec<Vec<u8>>); 13] = [
        ("claims", claims()),
        ("client_datagrams", datagrams()),
        ("control_stream", control_streams()),
        ("coordinator_datagrams", datagrams()),
        ("frame", frames()),
        ("group", groups()),
        ("message", messages()),
        ("participant", participants()),
        ("preamble", preambles()),
        ("reassembly", reassemblies()),
        ("route", packets()),
        ("sealed", sealed()),
        ("world", worlds()),
    ];
    for (target, seeds) in corpora {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        fs::create_dir_all(&corpus)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number:02}")), seed)?;
        }
        println!("{target}: {} seeds", seeds.len());
    }
    Ok(())
}

fn frames() -> Vec<Vec<u8>> {
    let setup = [17, 1, 2, 3, 5, 8, 13, 21, 34];
    let stream = [0, 1, 63, 64, 300, 2000].map(|len| message::frame(&vec![7; len]));
    let mut longer_length = setup.to_vec();
    longer_length.extend([0x40, 1, 9, 0x80, 0, 0, 1, 9]);
    vec![[&setup[..], &stream.concat()].concat(), longer_length]
}

/// Good claims to ends in some order, among which are others.
fn claims() -> Vec<Vec<u8>> {
    random(24, |rng| {
        let steps = (0..30).flat_map(|_| match rng.random_range(0..4) {
            0 => (0..12).map(|_| rng.random()).collect(),
            // A step of any kind, and a claim of this end by who has it, with a ticket that is good.
            1 => vec![rng.random_range(0..5), rng.random(), 0],
            _ => vec![15, rng.random(), rng.random(), 0, 0, 0, 0],
        });
        steps.collect()
    })
}

fn reassemblies() -> Vec<Vec<u8>> {
    // As many bytes from this place on, and then what is there.
    let came = |kind: u8, place: u16, len: u8| {
        let [high, low] = place.to_be_bytes();
        [kind, high, low, len]
    };
    let every_second: Vec<_> = (0..40).map(|step| came(1, 2 * step * 100, 100)).collect();
    let the_others: Vec<_> = (0..40)
        .map(|step| came(1, (2 * step + 1) * 100, 100))
        .collect();
    let backwards: Vec<_> = (0..200).rev().map(|place| came(1, place, 1)).collect();
    let overlapping: Vec<_> = (0..40).map(|step| came(0x81, 37 * step, 60)).collect();
    let passing: Vec<_> = (0..20).map(|_| came(0x42, 0, 200)).collect();
    let pops = [0; 8];
    let begin = |steps: &[[u8; 4]]| [&[7][..], &steps.concat(), &pops].concat();
    vec![
        begin(&[every_second.clone(), the_others.clone()].concat()),
        [begin(&every_second), begin(&passing), begin(&the_others)].concat(),
        begin(&backwards),
        begin(&overlapping),
        begin(&[passing, overlapping].concat()),
    ]
}

fn messages() -> Vec<Vec<u8>> {
    let route = [0x80, 1, 2, 3, 4, 5];
    let id = ClientId::from_bytes([3; 32]);
    let addresses = ["192.0.2.1:7", "[2001:db8::1]:65535"].map(|it| it.parse().expect("valid"));
    let offer = message::Offer {
        request: Some(70),
        role: 1,
        own_route: route,
        peer_route: route,
        channel: 1 << 40,
        peer: id,
        peer_name: b"alice".to_vec(),
        label: b"files".to_vec(),
    };
    let unasked = message::Offer {
        request: None,
        ..offer.clone()
    };
    let of_clients = [
        message::hello(b"alice", b"secret"),
        message::credential(&[3, 1, 2, 3]),
        message::open_by_name(1, b"bob", b"files"),
        message::open_by_id(300, id, b"files"),
        message::accept(route),
        message::close_channel(route, (1 << 32) + 7),
        message::close_channel(route, 18),
        message::close_channel(route, 21),
        message::resume(&offer, &[7; 36]),
        message::address_echo(1 << 60),
        message::path_report(route, true),
        message::introduce(301, id, b"bob", b"files"),
    ];
    let of_coordinators = [
        message::welcome(b"alice", addresses[0]),
        message::offer(&offer),
        message::offer(&unasked),
        message::start(route),
        message::channel_closed(route, 9),
        message::ticket(route, &[7; 36]),
        message::resumed(route),
        message::draining(
            3000,
            &[("coordinator.test", addresses[0]), ("", addresses[1])],
        ),
        message::open_failed(1, 7),
        message::observed_address(1, addresses[1]),
        message::introduced(301),
        message::introducer(route, id),
    ];
    let of_peers = [
        message::bind(1, id, id, b"files"),
        message::peer_credential(&[3, 1, 2, 3]),
        message::bound(),
        // Ready for direct paths, and where to find the sender.
        vec![1, 1],
        [&[3, 5, 2, 4, 192, 0, 2, 1, 0, 7, 6][..], &[1; 16], &[0, 7]].concat(),
        message::closing(3, 400),
        message::drained(),
    ];
    let of_members = [
        message::join(7),
        message::join_from(15, 2, &[&[2][..], &[9; 8], &[70]].concat()),
        message::publish(b"hello"),
        message::proof(&[7; 64]),
    ];
    let of_groups = [
        message::joined(1 << 60, 70, 3, 1 << 16),
        message::published(70, Some(id), b"hello"),
        message::published(71, None, b""),
        message::own(1 << 40),
        message::lagged(3, 1, 75),
        message::counts(300, 2),
        message::arrived(id, 3),
        message::left(id),
        message::roll(),
        message::listed(),
    ];
    let from = |sender, messages: &[Vec<u8>]| {
        let with_sender = |message: &Vec<u8>| [&[sender][..], message].concat();
        messages.iter().map(with_sender).collect::<Vec<_>>()
    };
    let all = [
        from(0, &of_clients),
        from(1, &of_coordinators),
        from(2, &of_peers),
        from(3, &of_members),
        from(4, &of_groups),
    ];
    all.concat()
}

fn preambles() -> Vec<Vec<u8>> {
    let labels = [vec![], b"files".to_vec(), vec![9; 255]];
    labels
        .map(|label| [&[2][..], &message::preamble(&label), b"rest"].concat())
        .to_vec()
}

/// What two Clients and their Coordinator send each other, one kind of packet each, alone and in batches.
fn packets() -> Vec<Vec<u8>> {
    let mut world = World::new(1);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, _) = world.open_channel(alice, bob);
    let stream = world.open(at_alice, Direction::Uni, b"");
    world.send(stream, vec![0; 10_000]);
    let mut seen = Vec::new();
    let mut batches = Vec::new();
    for packet in (0..tap.len()).filter_map(|index| tap.get(index)) {
        let head = &packet.payload[..packet.payload.len().min(32)];
        let kind = (head[0] & 0xf0, packet.source, packet.destination);
        if !seen.contains(&kind) {
            seen.push(kind);
            batches.push([&[0, 32][..], head].concat());
            batches.push([&[0, 32][..], &head.repeat(3), &head[..9]].concat());
        }
    }
    batches
}

/// Real and damaged packets, batches, time, traffic and moves, in some order.
fn datagrams() -> Vec<Vec<u8>> {
    random(16, |rng| {
        let mut steps: Vec<u8> = (0..120).map(|_| rng.random()).collect();
        steps[..6].copy_from_slice(&[13, 8, 2, 4, 0, 15]);
        steps
    })
}

/// The protocol's course as Client and as Coordinator, in which anything happens at some point.
fn control_streams() -> Vec<Vec<u8>> {
    random(32, |rng| {
        let mut steps = vec![rng.random_range(0..2), 0, 0, 30, 0, 11];
        for _ in 0..rng.random_range(2..10) {
            // Behave on the latest connection, and wait.
            let conn = rng.random_range(0..3);
            steps.extend([conn, 11, conn, 0, 30]);
        }
        // The honest side asks for a channel.
        steps.extend([0, 4, 0, 0, 0]);
        for _ in 0..10 {
            let conn = rng.random_range(0..3);
            steps.extend([conn, 11, conn, 0, 50]);
        }
        steps.extend((0..60).map(|_| rng.random::<u8>()));
        steps
    })
}

/// The protocol's course as a Client that has a channel with another, in which anything happens.
fn participants() -> Vec<Vec<u8>> {
    random(24, |rng| {
        // Behave on the first connection: Hello, then what comes of what the other asks for.
        let mut steps = vec![20, 0, 11, 20, 0, 0, 30, 14, 0, 20, rng.random()];
        for _ in 0..4 {
            steps.extend([20, 0, 0, 60, 20, 0, 11]);
        }
        steps.extend((0..200).map(|_| rng.random::<u8>()));
        steps
    })
}

/// Members that join, publish and leave, and groups that tell of it, with anything in between.
fn groups() -> Vec<Vec<u8>> {
    let of_members = random(12, |rng| {
        let steps = (0..25).flat_map(|_| match rng.random_range(0..6) {
            // A stream, and a join.
            0 => vec![4, 0, 0, 4, 1, rng.random()],
            1..4 => vec![4, 5, 3, rng.random(), rng.random(), rng.random()],
            4 => vec![2, rng.random()],
            _ => (0..6).map(|_| rng.random()).collect(),
        });
        [0].into_iter().chain(steps).collect()
    });
    let of_groups = random(12, |rng| {
        let mut next = 0;
        let steps = (0..25).flat_map(|_| {
            next += 1;
            match rng.random_range(0..8) {
                0 => {
                    next = 0;
                    vec![2, 7, 4, 0, 9, 0, 0]
                }
                1 => {
                    next += 1;
                    vec![4, 4, 2, 0, next]
                }
                2 => vec![4, rng.random(), rng.random(), rng.random(), rng.random(), 0],
                3 => (0..6).map(|_| rng.random()).collect(),
                _ => vec![4, 10, next - 1, 0, 0, 2, 1, 1],
            }
        });
        [1, 4, 0, 9, 0, 0].into_iter().chain(steps).collect()
    });
    [of_members, of_groups].concat()
}

/// Messages that are sealed and come, most of them in order, while anything happens to the others.
fn sealed() -> Vec<Vec<u8>> {
    random(16, |rng| {
        let steps = (0..150).flat_map(|_| match rng.random_range(0..4) {
            0 => vec![rng.random_range(0..3), rng.random(), 0],
            1 => vec![3, rng.random()],
            2 => vec![rng.random_range(7..16), rng.random(), rng.random()],
            _ => (0..3).map(|_| rng.random()).collect(),
        });
        steps.collect()
    })
}

fn worlds() -> Vec<Vec<u8>> {
    random(32, |rng| {
        let mut ops = vec![0, rng.random(), 0, 0, 1, 0, 60, 50, 0, 0, 5, 0, 0, 0];
        ops.extend((0..200).map(|_| rng.random::<u8>()));
        ops
    })
}

fn random(count: u64, make: impl Fn(&mut StdRng) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..count)
        .map(|seed| make(&mut StdRng::seed_from_u64(seed)))
        .collect()
}
