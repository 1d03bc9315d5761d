//! Coordinators that live on while their Clients are at another one.

use conec_tests::sim::Clock;

use super::*;

impl Story {
    /// The Clients are at this Coordinator, and their channel goes on there.
    fn moves_to(&mut self, coordinator: NodeId) {
        self.coordinator = coordinator;
        self.wait("there", |it| {
            (it.world.coordinator(coordinator).clients() == 2).then_some(())
        });
        self.pass(1);
    }
}

#[test]
fn a_coordinator_that_stood_still_while_its_clients_went_elsewhere_wakes_up_to_no_effect() {
    for seed in 40..44 {
        let mut story = Story::new(seed, false);
        let former = story.coordinator;
        let other = story.add_coordinator();
        story.world.sleep(former, Clock::Runs, ROOM);
        story.moves_to(other);
        // What has waited in its socket is forwarded now, long after it was sent again by another way.
        story.world.wake(former);
        story.goes_on_within(secs(1));
        // Nobody has said goodbye to it.
        story.world.run_for(secs(20));
        assert_eq!(story.world.coordinator(former).clients(), 0);
    }
}

#[test]
fn clients_come_back_to_a_coordinator_that_still_thinks_that_they_are_there() {
    for seed in 44..48 {
        let mut story = Story::new(seed, false);
        let first = story.coordinator;
        let other = story.add_coordinator();
        for _ in 0..3 {
            story.world.set_up(first, false);
            story.moves_to(other);
            story.world.set_up(first, true);
            story.world.set_up(other, false);
            story.moves_to(first);
            story.world.set_up(other, true);
        }
        story.goes_on_within(secs(1));
    }
}

/// What the system keeps for a process that stands still, in bytes.
const ROOM: usize = 200_000;
