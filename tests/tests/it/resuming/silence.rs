//! Others who are gone without a word: how soon that is known, and to whom.

use conec_tests::sim::LinkConfig;

use super::*;

/// Whether the last that an end was told is that nothing is heard there.
fn told(story: &mut Story, at: At) -> Option<bool> {
    let mut latest = None;
    while let Some(silent) = story.world.take_event(at.node, |event| {
        let (channel, event) = event.channel()?;
        if channel != at.channel {
            return None;
        }
        let is_told = [ChannelEvent::Silent, ChannelEvent::Audible].contains(event);
        is_told.then_some(*event == ChannelEvent::Silent)
    }) {
        latest = Some(silent);
    }
    latest
}

fn is_silent(story: &mut Story, at: At) -> bool {
    let channel = story.world.channel(at.node, at.channel);
    channel.is_some_and(|channel| channel.is_silent())
}

#[test]
fn a_client_that_was_killed_is_missed_in_three_seconds_and_ends_when_it_is_started_anew() {
    for (seed, direct) in (60..80).map(|seed| (seed, seed % 2 == 0)) {
        let mut story = Story::new(seed, direct);
        let (bob, config) = story.clients[1].clone();
        story.flows.truncate(1);
        // Also where each message is sent before the former could be missed.
        let pace = [5, 50, 200][seed as usize % 3];
        story.flows[0].set_pace(&story.world, Duration::from_millis(pace));
        story.pass(1);
        let [at_alice, _] = story.ends;
        story.world.crash(bob);
        let begin = story.world.elapsed();
        story.wait("missed", |it| told(it, at_alice));
        let took = story.world.elapsed() - begin;
        assert!(took <= secs(3), "seed {seed}: {took:?}");
        assert!(is_silent(&mut story, at_alice));
        story.flows.clear();
        story.world.restart_client(bob, config);
        let begin = story.world.elapsed();
        story.world.start_connecting(bob, story.coordinator);
        let reason = story.closed(at_alice);
        assert_eq!(reason, CloseReason::Remote(ErrorCode::PeerGone));
        assert!(story.world.elapsed() <= begin + secs(1));
    }
}

#[test]
fn who_was_cut_off_for_a_while_is_heard_again_and_has_lost_nothing() {
    for (seed, direct) in [(81, false), (82, true)] {
        let mut story = Story::new(seed, direct);
        let [_, bob] = story.nodes();
        let [at_alice, at_bob] = story.ends;
        story.world.set_up(bob, false);
        story.pass(5);
        assert_eq!(told(&mut story, at_alice), Some(true));
        assert!(is_silent(&mut story, at_alice));
        story.world.set_up(bob, true);
        story.goes_on_within(secs(5));
        assert_eq!(told(&mut story, at_alice), Some(false));
        for end in [at_alice, at_bob] {
            assert!(!is_silent(&mut story, end));
        }
    }
}

#[test]
fn nobody_is_missed_who_has_nothing_to_say_or_whose_packets_are_lost_now_and_then() {
    for (seed, direct) in [(83, false), (84, true)] {
        let mut story = Story::new(seed, direct);
        story.world.network.set_all(&LinkConfig {
            loss: 0.1,
            ..LinkConfig::default()
        });
        story.pass(60);
        for flow in &mut story.flows {
            flow.drain(&mut story.world);
        }
        story.flows.clear();
        story.world.run_for(secs(200));
        for end in story.ends {
            assert_eq!(told(&mut story, end), None, "seed {seed}");
        }
    }
}

#[test]
fn a_coordinator_misses_a_client_that_owes_it_something() {
    let mut story = Story::new(85, false);
    let (alice, _) = story.clients[0];
    let id = story.world.client_id(alice);
    let client = story.world.coordinator(story.coordinator).find(id);
    let home = At {
        node: story.coordinator,
        channel: client.expect("it is connected"),
    };
    story.flows.clear();
    let stream = story.world.open_stream(home, b"news");
    story.world.crash(alice);
    let begin = story.world.elapsed();
    story.world.send(stream, "hello");
    story.wait("missed", |it| told(it, home));
    assert!(story.world.elapsed() <= begin + secs(3));
}

#[test]
fn direct_channels_do_not_notice_that_the_coordinator_is_away() {
    const OFTEN: Duration = Duration::from_millis(10);
    for seed in 86..96 {
        let mut story = Story::new(seed, true);
        for flow in &mut story.flows {
            flow.set_pace(&story.world, OFTEN);
        }
        story.pass(2);
        story.world.crash(story.coordinator);
        let begin = story.world.elapsed();
        story.pass(2);
        story.restart();
        story.pass(5);
        for flow in &story.flows {
            let pause = flow.longest_pause(begin);
            assert!(pause <= OFTEN + Duration::from_millis(50), "{pause:?}");
        }
        let [at_alice, at_bob] = story.ends;
        for end in [at_alice, at_bob] {
            assert_eq!(told(&mut story, end), None);
        }
    }
}
