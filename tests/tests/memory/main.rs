//! What things cost in memory, counted by the allocator. One test, since the allocator counts for the whole process.

mod channels;
mod forwarding;
mod newcomers;

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
    channels::clients_at_every_limit_take_no_more_than_the_worst_case(|_| {});
    // Nor does it help to have streams with gaps.
    channels::clients_at_every_limit_take_no_more_than_the_worst_case(|raw| {
        let mut count = 0;
        raw.filter_outgoing(move |packet| {
            count += 1;
            count % 2 == 0 || packet.len() < 1000
        });
    });
    channels::windows_full_of_packets_with_hardly_anything_take_no_more_than_is_reckoned();
}
