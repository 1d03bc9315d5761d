//! What things cost in memory, counted by the allocator. One test, since the allocator counts for the whole process.

mod channels;
mod forwarding;
mod groups;
mod messages;
mod newcomers;
mod tables;
mod windows;

use std::time::Duration;

use conec_core::{ClientConfig, CoordinatorConfig};
use conec_tests::{
    raw::{Dial, Key, Raw, RawConn, message},
    sim::{NodeId, World},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn memory_is_spent_where_it_should_be() {
    let _profiler = dhat::Profiler::builder().testing().build();
    forwarding::forwarding_allocates_nothing_for_a_packet();
    forwarding::a_full_forwarding_queue_takes_no_more_than_it_may();
    channels::a_channel_leaves_nothing_behind();
    channels::channels_that_are_over_take_no_more_than_messages_may();
    newcomers::newcomers_take_no_more_than_is_reckoned();
    newcomers::those_who_are_refused_take_no_more_and_leave_nothing();
    channels::clients_at_every_limit_take_no_more_than_the_worst_case(|_| {});
    // Nor does it help to have streams with gaps.
    channels::clients_at_every_limit_take_no_more_than_the_worst_case(|raw| {
        let mut count = 0;
        raw.filter_outgoing(move |packet| {
            count += 1;
            count % 2 == 0 || packet.len() < 1000
        });
    });
    messages::whatever_waits_for_readers_or_senders_fills_what_messages_may_take();
    groups::what_groups_keep_fills_what_it_may_take();
    groups::memberships_take_what_is_reckoned();
    groups::what_members_do_not_acknowledge_fills_what_it_may_take();
    tables::pairs_take_what_is_reckoned();
    tables::events_take_what_is_reckoned();
    tables::what_a_deaf_client_is_told_is_reckoned_with_it();
    windows::full_of_packets_with_hardly_anything_they_take_what_is_reckoned();
    windows::those_of_peer_channels_too();
    windows::those_that_have_grown_take_what_is_shared_out();
}

/// What a Coordinator holds: what goes with it.
fn held(world: &mut World, coordinator: NodeId, config: CoordinatorConfig) -> usize {
    let before = dhat::HeapStats::get().curr_bytes;
    world.crash(coordinator);
    world.restart_coordinator(coordinator, config);
    before.saturating_sub(dhat::HeapStats::get().curr_bytes)
}

fn held_by_client(world: &mut World, client: NodeId, config: ClientConfig) -> usize {
    let before = dhat::HeapStats::get().curr_bytes;
    world.crash(client);
    world.restart_client(client, config);
    before.saturating_sub(dhat::HeapStats::get().curr_bytes)
}

/// A Client that may do anything, and has been let in, under the longest name.
fn log_in(world: &mut World, raw: &Raw, coordinator: NodeId, number: u16) -> RawConn {
    let (now, address) = (world.now(), world.address(coordinator));
    let dial = Dial {
        initial_window: 4 << 20,
        ..Dial::home(Key::Identity(number))
    };
    let conn = raw.connect(now, address, &dial);
    world.run_for(Duration::from_secs(1));
    let name = format!("{number:n>64}");
    conn.control(&message::hello(name.as_bytes(), b""));
    world.run_for(Duration::from_secs(1));
    conn
}

/// It is no more than was reckoned, and no less than half of it.
#[track_caller]
fn is_tight(what: &str, held: usize, reckoned: usize) {
    println!("{what}: {held} bytes of {reckoned}");
    assert!(held <= reckoned, "{what}: {held} bytes of {reckoned}");
    assert!(held >= reckoned / 2, "{what}: {held} bytes of {reckoned}");
}
