//! Several Coordinators that know the same tickets, of which Clients know from the beginning.

use conec_core::Drain;

use super::*;

#[test]
fn another_coordinator_takes_over_in_three_seconds_when_one_is_gone_for_good() {
    let mut pauses = Vec::new();
    for seed in 100..140 {
        let mut story = Story::new(seed, false);
        let other = story.add_coordinator();
        story.pass(1);
        story
            .world
            .crash(std::mem::replace(&mut story.coordinator, other));
        let begin = story.world.elapsed();
        for node in story.nodes() {
            story.wait("known", |it| {
                let state = it.state(node);
                matches!(state, ClientState::Reconnecting { .. }).then_some(())
            });
        }
        let known = story.world.elapsed();
        assert!(known <= begin + secs(3), "seed {seed}");
        // The last that was proxied through the former one may have come after it was gone.
        story.goes_on_within(secs(3));
        let first = story.flows.iter().map(|flow| {
            let first = flow.arrivals.iter().find(|&&at| at > known);
            *first.expect("it goes on") - known
        });
        pauses.extend(first);
    }
    pauses.sort_unstable();
    println!(
        "goes on after {:?}, at most {:?}",
        pauses[pauses.len() / 2],
        pauses.last()
    );
}

#[test]
fn where_to_look_can_be_told_while_it_is_looked_for_in_vain() {
    let mut story = Story::new(150, false);
    let other = story.world.add_coordinator_with(story.config.clone());
    story
        .world
        .crash(std::mem::replace(&mut story.coordinator, other));
    // Attempts at the former one last for seconds each.
    story.pass(6);
    let address = story.world.address(other);
    story.tell_places(&[address]);
    story.goes_on_within(secs(2));
}

#[test]
fn who_was_sent_to_another_coordinator_finds_back_when_that_one_is_gone() {
    let mut story = Story::new(151, false);
    let other = story.add_coordinator();
    let alternative = (keys::HOST.into(), story.world.address(other));
    let now = story.world.now();
    let first = story.coordinator;
    let mut drain = Drain::default();
    drain.alternatives = vec![alternative];
    story.world.coordinator(first).drain(now, &drain);
    story.coordinator = other;
    story.goes_on_within(secs(35));
    // The first one is started anew under its former address, which the one that is drained has not named.
    story.world.crash(first);
    let config = story.config.clone();
    story.world.restart_coordinator(first, config);
    story
        .world
        .crash(std::mem::replace(&mut story.coordinator, first));
    story.goes_on_within(secs(5));
}
