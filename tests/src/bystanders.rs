//! Two honest Clients with a channel and a stream, who keep talking whatever others do.

use std::time::Duration;

use conec_core::{ChannelEvent, ClientConfig, PathPolicy};

use crate::sim::{At, Half, NodeId, World};

/// The two.
#[derive(Debug)]
pub struct Bystanders {
    /// Their channel, at both ends.
    pub ends: [At; 2],
    halves: [Half; 2],
    said: u32,
    /// How long a message and its answer took at first.
    baseline: Option<Duration>,
}

impl Bystanders {
    /// Connects the bystanders and lets them talk for the first time.
    pub fn meet(world: &mut World, coordinator: NodeId) -> Self {
        Self::meet_with(world, coordinator, |_| {})
    }

    /// The same, with changes to how they are configured.
    pub fn meet_with(
        world: &mut World,
        coordinator: NodeId,
        change: impl Fn(&mut ClientConfig),
    ) -> Self {
        // On a direct path they would not notice what happens to the Coordinator.
        let [ann, ben] = ["ann", "ben"].map(|name| {
            let mut config = world.client_config(name);
            config.paths.policy = PathPolicy::ProxiedOnly;
            change(&mut config);
            let client = world.add_client_with(config);
            world.connect(client, coordinator);
            client
        });
        let (at_ann, at_ben) = world.open_channel(ann, ben);
        let ours = world.open_stream(at_ann, b"small talk");
        let theirs = world.accept_stream(at_ben);
        let mut bystanders = Self {
            ends: [at_ann, at_ben],
            halves: [ours, theirs],
            said: 0,
            baseline: None,
        };
        bystanders.talk(world);
        bystanders
    }

    /// A message and its answer. How long that took.
    pub fn exchange(&mut self, world: &mut World) -> Duration {
        let begin = world.elapsed();
        for (from, to) in [(0, 1), (1, 0)] {
            self.said += 1;
            // All of the same size, so that what is kept for them is the same.
            let message = format!("number {:06}", self.said);
            world.send(self.halves[from], message.clone());
            assert_eq!(world.recv(self.halves[to]), message);
        }
        world.elapsed() - begin
    }

    /// A message and its answer, as fast as ever.
    pub fn talk(&mut self, world: &mut World) {
        let took = self.exchange(world);
        let baseline = *self.baseline.get_or_insert(took);
        assert!(
            took <= 2 * baseline,
            "bystanders need {took:?} instead of {baseline:?}"
        );
    }

    /// Nothing of theirs has ended.
    pub fn are_well(&mut self, world: &mut World) {
        self.talk(world);
        for at in self.ends {
            let ended = world.take_event(at.node, |event| match event.channel() {
                Some((_, ChannelEvent::Closed { reason })) => Some(*reason),
                Some(_) | None => None,
            });
            assert_eq!(ended, None, "a bystander lost a channel");
        }
    }
}
