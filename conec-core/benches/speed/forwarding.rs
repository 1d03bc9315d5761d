//! How fast a Coordinator forwards, apart from the system calls.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use conec_core::{Datagram, Endpoint};

use crate::harness::{
    Node, SEGMENTS,
    conec::{self, World},
};

pub(crate) fn packets_per_second(batch: usize, time: Duration) -> f64 {
    let mut world = World::new();
    let (mut alice, mut bob) = (world.idle_client(), world.idle_client());
    let (channel, _) = world.channel(&mut alice, &mut bob);
    // A packet of Alice's for Bob.
    let stream = conec::open(&mut alice, channel);
    alice.send(stream, vec![0; 1000].into());
    let packet = loop {
        let transmit = alice
            .poll_transmit(world.network.now, SEGMENTS)
            .expect("a packet");
        if transmit.payload[0] & 0xc0 == 0x40 && transmit.payload[1] & 0x80 != 0 {
            let size = transmit.segment_size.unwrap_or(transmit.payload.len());
            break transmit.payload.slice(..size);
        }
    };
    let payload = packet.repeat(batch);
    let (mut packets, start, now) = (0, Instant::now(), world.network.now);
    let mut spent = Duration::ZERO;
    while start.elapsed() < time {
        // What the system does is not counted: to fill the buffers, and to send them.
        let batches = (0..100)
            .map(|_| BytesMut::from(&payload[..]))
            .collect::<Vec<_>>();
        let mut sent = Vec::with_capacity(batches.len());
        let coordinator = &mut world.coordinator.endpoint;
        let begin = Instant::now();
        for payload in batches {
            let datagram = Datagram {
                source: alice.address,
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: packet.len(),
                payload,
            };
            coordinator.handle_datagram(now, datagram);
            while let Some(transmit) = coordinator.poll_transmit(now, SEGMENTS) {
                sent.push(transmit);
            }
        }
        spent += begin.elapsed();
        let forwarded = sent
            .iter()
            .map(|transmit| transmit.payload.len())
            .sum::<usize>();
        assert_eq!(forwarded, 100 * payload.len(), "everything is forwarded");
        packets += 100 * batch;
    }
    packets as f64 / spent.as_secs_f64()
}
