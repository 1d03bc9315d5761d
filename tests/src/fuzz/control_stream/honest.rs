//! What honest applications do.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{Code, Direction, Name, Target};

use super::{Input, Scene, forge::LABEL, mallory_id};
use crate::sim::Half;

impl Scene {
    /// An honest application does something.
    pub(super) fn act(&mut self, input: &mut Input<'_>) {
        let now = self.world.now();
        let what = input.byte() % 16;
        let which = usize::from(input.byte());
        let at = self.channels[which % self.channels.len()];
        let half = match self.streams.len() {
            0 => None,
            len => Some(self.streams[which % len]),
        };
        match what {
            0..4 => {
                let target = match input.byte() % 4 {
                    0..2 => Target::Id(mallory_id()),
                    2 => "mallory".parse::<Name>().expect("a name").into(),
                    _ => Target::Id(self.world.client(self.victim).id()),
                };
                // Refused while it is not connected, or has as many as it may have.
                let client = self.world.client(self.victim);
                let _ = client.open_channel(now, target, LABEL);
            }
            4 => {
                if let Some(coordinator) = self.coordinator() {
                    let ids = [mallory_id(), self.world.client(self.victim).id()];
                    let [from, to] = [ids[which % 2], ids[1 - which % 2]];
                    let coordinator = self.world.coordinator(coordinator);
                    let _ = coordinator.connect(now, from, to, LABEL);
                }
            }
            5..8 => {
                let direction = [Direction::Bi, Direction::Uni][which % 2];
                if let Some(mut channel) = self.world.channel(at.node, at.channel)
                    && let Ok(stream) = channel.open(direction, LABEL)
                {
                    let node = at.node;
                    self.streams.push(Half { node, stream });
                }
            }
            8..10 => {
                if let Some(half) = half {
                    let message = vec![7; 300 * usize::from(input.byte())];
                    let _ = self.world.try_send(half, message.into());
                }
            }
            10..12 => {
                if let Some(half) = half {
                    while self.world.try_recv(half).is_ok() {}
                }
            }
            12 => {
                if let Some(half) = half
                    && let Some(mut channel) = self.world.channel(half.node, half.stream.channel())
                {
                    let mut stream = channel.stream(half.stream);
                    // Whatever has ended already stays as it is.
                    match input.byte() % 3 {
                        0 => drop(stream.finish()),
                        1 => drop(stream.reset(Code(1))),
                        _ => drop(stream.stop(Code(2))),
                    }
                }
            }
            13 => {
                if let Some(mut channel) = self.world.channel(at.node, at.channel) {
                    let _ = channel.send_datagram(Bytes::from_static(b"datagram"));
                    while channel.recv_datagram().is_some() {}
                }
            }
            14 => {
                if let Some(mut channel) = self.world.channel(at.node, at.channel) {
                    channel.close(now, Duration::from_secs(u64::from(input.byte()) % 20));
                }
            }
            _ => {
                if let Some(mut channel) = self.world.channel(at.node, at.channel) {
                    channel.abort(now, Code(3));
                }
            }
        }
    }
}
