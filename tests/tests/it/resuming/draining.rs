//! Coordinators that send their Clients to another one before they stop.

use conec_core::Drain;

use super::*;

impl Story {
    /// The Coordinator sends its Clients to another one, and stops when they have gone.
    fn hand_over(&mut self, spread: Duration) {
        let next = self.world.add_coordinator_with(self.config.clone());
        self.hand_over_to(next, spread);
    }

    fn hand_over_to(&mut self, next: NodeId, spread: Duration) {
        let former = std::mem::replace(&mut self.coordinator, next);
        let now = self.world.now();
        let mut drain = Drain::default();
        drain.spread = spread;
        drain.alternatives = vec![(keys::HOST.into(), self.world.address(self.coordinator))];
        self.world.coordinator(former).drain(now, &drain);
        self.wait("deserted", |it| {
            (it.world.coordinator(former).clients() == 0).then_some(())
        });
        let present = self.coordinator;
        self.wait("there", |it| {
            (it.world.coordinator(present).clients() == 2).then_some(())
        });
        self.pass(1);
        self.world.crash(former);
    }
}

#[test]
fn clients_go_over_without_a_pause() {
    for (seed, direct) in [(30, false), (31, true)] {
        let mut story = Story::new(seed, direct);
        let begin = story.world.elapsed();
        for _ in 0..20 {
            story.hand_over(secs(3));
        }
        for flow in &story.flows {
            let pause = flow.longest_pause(begin);
            assert!(pause < Duration::from_millis(500), "{pause:?}");
        }
        story.goes_on_within(secs(1));
    }
}

#[test]
fn who_does_not_go_is_sent_away_at_the_deadline_and_nobody_is_let_in() {
    let mut story = Story::new(32, false);
    let coordinator = story.coordinator;
    let idle = story.world.add_client("carol");
    story.world.connect(idle, coordinator);
    let now = story.world.now();
    let drain = Drain::default();
    story.world.coordinator(coordinator).drain(now, &drain);
    let late = story.world.add_client("dave");
    story.world.start_connecting(late, coordinator);
    for node in [late, idle] {
        let home = At {
            node,
            channel: story.world.client(node).home(),
        };
        let reason = story.closed(home);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::Shutdown));
    }
    assert!(story.world.now() - now >= drain.deadline);
    // The others look for it where they have found it, and it is not there. Their channel goes on as long as it can.
    let config = story.config.clone();
    story.world.crash(coordinator);
    story.world.restart_coordinator(coordinator, config);
    story.goes_on_within(secs(12));
}

#[test]
fn a_client_hears_that_its_coordinator_drains() {
    let mut story = Story::new(33, false);
    let [alice, _] = story.nodes();
    story.hand_over(secs(1));
    let heard = story.world.take_event(alice, |event| {
        matches!(event, Event::Client(ClientEvent::Draining)).then_some(())
    });
    assert!(heard.is_some());
    assert_eq!(story.state(alice), ClientState::Connected);
}

/// While the application was asked whether a channel may go on, one Client went over. The other one was told that it is gone.
#[test]
fn what_is_asked_about_is_kept_for_who_goes_over_meanwhile() {
    let mut story = Story::with(34, false, |config| config.channels = Policy::Ask);
    story.world.crash(story.coordinator);
    story.restart();
    story.asked();
    story.hand_over(secs(3));
    story.grant();
    story.goes_on_within(secs(3));
}

/// The next Coordinator is so far away that a Client would try others meanwhile: among them the one that has sent it there.
#[test]
fn who_is_told_where_to_go_does_not_come_back_on_the_way() {
    let mut story = Story::new(35, false);
    let former = story.coordinator;
    let next = story.world.add_coordinator_with(story.config.clone());
    for client in story.nodes() {
        for (from, to) in [(client, next), (next, client)] {
            story.world.link(from, to).delay = Duration::from_millis(200);
        }
    }
    story.hand_over_to(next, secs(1));
    let refused = story.world.coordinator(former).stats().clients_refused;
    assert_eq!(refused, 0);
    story.goes_on_within(secs(1));
}

/// It tries again within about a second, for as long as the present one lets it.
#[test]
fn who_does_not_find_where_it_is_sent_stays_and_goes_when_that_is_there() {
    let mut story = Story::new(36, false);
    let next = story.world.add_coordinator_with(story.config.clone());
    story.world.crash(next);
    let now = story.world.now();
    let mut drain = Drain::default();
    (drain.spread, drain.deadline) = (secs(1), secs(300));
    drain.alternatives = vec![(keys::HOST.into(), story.world.address(next))];
    let former = story.coordinator;
    story.world.coordinator(former).drain(now, &drain);
    story.pass(100);
    assert_eq!(story.world.coordinator(former).clients(), 2);
    let config = story.config.clone();
    story.world.restart_coordinator(next, config);
    story.pass(20);
    assert_eq!(story.world.coordinator(next).clients(), 2);
    assert_eq!(story.world.coordinator(former).clients(), 0);
    story.coordinator = next;
    story.goes_on_within(secs(1));
}
