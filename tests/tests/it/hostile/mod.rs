//! Hostile peers: what strangers, Clients, peers and Coordinators can try, and what comes of it.
//!
//! In each story two honest Clients, the [`Bystanders`], keep talking on a channel of their own: before, during and
//! after what happens. The offender gets its code, its channel one end, and nobody else notices.
//!
//! The cases of `notes/reliability.md`, section 2, and where they are shown:
//!
//! | cases | shown by |
//! | --- | --- |
//! | 1 | [`handshake::spoofed_handshakes_get_retries_then_silence_and_never_more_than_three_times_their_bytes`], [`handshake::a_network_full_of_silent_clients_leaves_room_for_those_of_others`] |
//! | 2 | [`handshake::a_handshake_kept_alive_by_pings_is_ended_at_its_deadline`] |
//! | 3 | [`handshake::who_says_nothing_after_the_handshake_is_thrown_out`] |
//! | 4, 62 | [`handshake::nobody_gets_in_without_a_raw_key_of_its_own`], [`keys_of_two_kinds`], [`peers::another_key_than_the_one_asked_for_opens_nothing`], [`coordinator::home::only_the_pinned_key_is_a_coordinators`]. Expiry and chains are webpki's |
//! | 5 | [`handshake::a_client_whose_certificate_is_refused_is_never_connected`] |
//! | 6 | not ours: Clients have bare keys, and webpki matches the Coordinator's name |
//! | 7 | [`control::a_name_that_is_held_is_refused_and_its_holder_untouched`] |
//! | 8 | `names::the_same_identity_takes_its_session_over`, [`control::one_identity_with_many_connections_holds_one_session`] |
//! | 9 | another key is refused; the same key: [`control::one_identity_with_many_connections_holds_one_session`], `limits::two_machines_with_one_key_do_not_push_each_other_out_for_ever` |
//! | 10 | [`control::a_malformed_control_message_ends_that_client_alone`] |
//! | 11 | tickets, resumption and 0-RTT are off: there is nothing to replay |
//! | 12 | [`handshake::another_protocol_is_refused_as_such`], [`coordinator::home::another_protocol_is_told_as_such`], [`peers::a_home_channels_protocol_is_not_taken_for_a_peers`] |
//! | 13 | [`control::a_message_at_the_wrong_time_ends_that_client_alone`], [`coordinator::home::a_coordinator_that_breaks_the_protocol_is_left_with_its_code`] |
//! | 14 | [`control::a_malformed_control_message_ends_that_client_alone`], [`control::unknown_messages_that_may_be_skipped_are`], `damaged_messages_are_refused_or_understood_but_never_more` in both directions |
//! | 15 | [`control::requests_that_share_a_number_are_answered_each`], [`coordinator::channels::news_of_unknown_channels_are_no_news`], [`coordinator::channels::an_answer_that_does_not_fit_the_request_is_declined`] |
//! | 16 | `channels::a_request_that_is_given_up_leaves_nothing_behind` |
//! | 17 | [`control::answers_that_nobody_reads_do_not_pile_up`], [`deaf`], [`coordinator::home::answers_that_a_coordinator_does_not_read_do_not_pile_up`] |
//! | 18 | [`control::a_flood_of_control_messages_is_cut_off`], [`asks`], `pacing`, [`peers::a_control_stream_between_peers_must_neither_end_nor_flood`] |
//! | 19 | [`control::a_control_stream_that_ends_takes_the_session_with_it`], [`peers::a_control_stream_between_peers_must_neither_end_nor_flood`] |
//! | 20 | no message holds a time; counts: [`peers::a_peer_that_counts_wrongly_ends_by_patience_or_silence`]; codes: [`coordinator::home::refusals_are_told_by_their_codes`] |
//! | 21 | [`control::a_dripping_hello_is_as_late_as_none`], [`control::a_dripping_request_harms_nobody`] |
//! | 22 | [`streams::a_message_too_large_ends_its_stream_alone`]; longer lengths than needed are allowed: [`control::unknown_messages_that_may_be_skipped_are`] |
//! | 23 | [`streams::an_announced_message_that_never_comes_holds_up_nothing_else`]; that nothing is allocated: `memory_is_taken_as_bytes_arrive` in the core's `wire/frame.rs` |
//! | 24 | [`streams::empty_messages_arrive_each_however_many`] |
//! | 25 | [`streams::a_stream_that_ends_in_a_message_gives_no_part_of_it`], [`streams::a_stream_that_ends_in_its_preamble_is_never_announced`] |
//! | 26 | `every_cut_gives_the_same_messages` in the core's `wire/frame.rs`, [`streams::a_stream_in_single_bytes_gives_whole_messages`], [`streams::random_bytes_on_streams_give_messages_or_an_end`] |
//! | 27 | `a_small_message_does_not_keep_a_large_buffer` in the core's `wire/frame.rs` |
//! | 28, 30 | [`streams::streams_without_a_preamble_take_only_their_slots`] |
//! | 29 | [`streams::opening_and_resetting_ten_thousand_streams_disturbs_nobody`], `limits::streams_that_are_opened_too_fast_wait_their_turn` |
//! | 31 | [`streams::fragments_with_gaps_come_together`], [`streams::ten_thousand_gaps_are_no_end_but_of_patience`], [`streams::gaps_are_paid_for_by_who_makes_them`]; frames with gaps between packets that all arrive are the engine's to bound (RUSTSEC-2026-0185) |
//! | 32 | `channels::an_offer_that_nobody_answers_ends`, [`peers::a_client_that_never_starts_what_it_asked_for_is_given_up_in_time`] |
//! | 33 | `channels::unknown_clients_are_not_found`, `channels::a_client_has_a_channel_with_itself` |
//! | 34 | `channels::crossing_requests_give_two_channels`, and the model |
//! | 35 | there are no named channels; channels are bounded: [`control::a_client_may_not_have_more_channels_with_another_than_its_share`], [`coordinator::channels::a_flood_of_offers_takes_no_more_channels_than_one_may`], [`shares`] |
//! | 36 | [`groups::who_is_a_member_becomes_one_again_only_when_that_is_over`], [`groups::what_is_malformed_or_comes_at_the_wrong_time_ends_that_membership_alone`] |
//! | 37, 38 | [`groups::who_never_reads_holds_up_nobody`], `groups::slow` |
//! | 39 | [`groups::nothing_is_heard_of_a_message_whose_end_never_came`] |
//! | 40 | [`groups::who_comes_and_goes_without_end_leaves_no_gap`] |
//! | 41 | [`groups::a_flood_to_many_is_charged_to_who_publishes_it`], [`groups::who_leaves_and_comes_back_owes_what_it_owed`] |
//! | 42 | `groups::order`, `groups::random` |
//! | 55 | members do not say who they are: `groups::order::all_members_hear_what_one_publishes` |
//! | 43 | [`peers::a_peer_that_stops_reading_stops_its_own_streams_and_nothing_else`], `streams::a_reader_that_stops_reading_stops_the_sender_and_resuming_loses_nothing` |
//! | 44 | the engine's: `send_window` bounds what is not acknowledged, and it skips packet numbers against early acknowledgements |
//! | 45 | there is no deadline for slow readers |
//! | 46–49 | `streams::directions_end_independently`, `streams::a_reset_reaches_the_reader_with_its_code`, `streams::a_stop_reaches_the_sender_with_its_code`, [`streams::infrastructure_codes_on_a_stream_are_not_taken_for_the_applications`], and the model |
//! | 50 | the model: after the faults everything completes |
//! | 51 | [`streams::streams_that_nobody_reads_hold_up_only_their_own_channel`], [`streams::unread_streams_of_a_client_stop_it_and_not_the_others`] |
//! | 52 | cannot be said: control messages name Clients, and packets name routes. [`datagrams::a_route_serves_only_the_other_ends_confirmed_address`], [`control::somebody_elses_routes_are_out_of_reach`], [`control::a_new_address_is_used_only_after_the_right_echo`] |
//! | 53 | `channels::the_application_decides_who_may_reach_whom` |
//! | 54 | [`datagrams::a_hog_has_its_packets_dropped_and_counted`] |
//! | 67 | [`datagrams::garbage_is_dropped_whoever_it_seems_to_come_from`] |
//! | 68 | [`datagrams::every_datagram_flipped_cut_short_or_sent_again_changes_nothing`], [`coordinator::channels::packets_that_a_coordinator_makes_up_or_mixes_up_open_and_end_nothing`] |
//! | 69 | [`datagrams::a_batch_of_impossible_sizes_is_taken_for_what_it_can_be`] |
//! | 70 | [`datagrams::timers_may_come_early_late_twice_or_from_the_past`] |
//! | 71 | no wall clock is read but webpki's, for the Coordinator's certificate; the simulator has none |
//! | 72 | [`handshake::three_hundred_silent_clients_are_thrown_out_at_one_instant`] |
//! | 73–75 | `crashes::*` |
//! | 76–79 | `network::*`, `rebinding::*` |
//! | 80 | `crashes::a_crashed_peer_is_reported_once_and_readers_get_an_error`, `network::an_outage_in_either_direction_or_both_ends_the_connection_at_both_sides`, [`peers::a_peer_that_falls_silent_is_noticed_once`] |
//! | 81 | `memory/`: Clients at every limit take less than `worst_case_bytes()` |
//! | 82 | [`streams::who_takes_most_memory_goes_when_messages_take_too_much`]; newcomers to a full Coordinator: `connecting::a_full_coordinator_says_so` |
//! | 89 | `closing::both_sides_close_at_once`, `closing::closing_while_connecting_is_fine`, [`peers::a_peer_cannot_be_drained_before_it_closes_nor_close_twice`] |
//! | 90 | `closing::a_coordinator_does_not_wait_for_ever`, [`peers::a_peer_that_never_lets_go_is_left_when_patience_ends`] |
//! | 91 | [`control::a_coordinator_that_closes_does_not_wait_for_those_that_stall`] |
//!
//! Not in the catalogue: probes without end ([`probing`]), lies about which channel this is ([`peers`]) and about who is in
//! whose network ([`neighbours`]), a Coordinator that swaps keys, leads elsewhere or listens in ([`coordinator`]), claims to
//! what is somebody else's or over ([`claims`]), or that nobody meets ([`half_claims`]), and who introduces others to each
//! other without end ([`introductions`]). Random behaviour of one participant: `participant`.

mod asks;
mod claims;
mod control;
mod coordinator;
mod credentials;
mod datagrams;
mod deaf;
mod forwarding;
mod groups;
mod half_claims;
mod handshake;
mod introductions;
mod keys_of_two_kinds;
mod leftovers;
mod lobby;
mod neighbours;
mod peers;
mod places;
mod probing;
mod shares;
mod streams;
mod turns;
mod victims;

use std::time::Duration;

use conec_core::{
    ChannelEvent, ChannelId, ClientId, CloseReason, CoordinatorConfig, Direction, Endpoint, Target,
};
use conec_tests::{
    budget::{share_out, share_out_channels},
    bystanders::Bystanders,
    keys,
    raw::{Dial, End, Key, Raw, RawConn, message},
    sim::{At, Event, Half, NodeId, World},
};
use rand::{Rng, rngs::StdRng};

/// A Coordinator with bystanders, and somebody with bad intentions.
struct Scene {
    world: World,
    coordinator: NodeId,
    raw: Raw,
    mallory: NodeId,
    pair: Bystanders,
}

impl Scene {
    fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    fn with(seed: u64, change: impl FnOnce(&mut CoordinatorConfig)) -> Self {
        let mut world = World::new(seed);
        let mut config = CoordinatorConfig::new(keys::certificate());
        change(&mut config);
        let coordinator = world.add_coordinator_with(config);
        let pair = Bystanders::meet(&mut world, coordinator);
        let raw = Raw::new(seed);
        let mallory = world.add_stranger(raw.clone());
        Self {
            world,
            coordinator,
            raw,
            mallory,
            pair,
        }
    }

    /// Waits until the stranger's side of the story is so.
    fn until<T>(&mut self, what: &str, done: impl Fn() -> Option<T>) -> T {
        self.world
            .wait_for(what, Duration::from_secs(120), |_| done())
    }

    fn dial(&self, dial: &Dial) -> RawConn {
        let (now, address) = (self.world.now(), self.world.address(self.coordinator));
        self.raw.connect(now, address, dial)
    }

    /// Mallory with a complete handshake, and no word said yet.
    fn shake_hands(&mut self) -> RawConn {
        self.shake_hands_with(&Dial::home(MALLORY))
    }

    fn shake_hands_with(&mut self, dial: &Dial) -> RawConn {
        let conn = self.dial(dial);
        self.until("connected", || conn.is_connected().then_some(()));
        conn
    }

    /// Mallory as a Client like any other.
    fn log_in(&mut self) -> RawConn {
        self.log_in_with(&Dial::home(MALLORY), b"mallory")
    }

    fn log_in_with(&mut self, dial: &Dial, name: &[u8]) -> RawConn {
        let conn = self.shake_hands_with(dial);
        conn.control(&message::hello(name, b""));
        self.until("welcome", || conn.next_of_kind(0));
        conn
    }

    /// Waits for the end of a connection, which the bystanders do not notice.
    fn expect_end(&mut self, conn: &RawConn, end: End) {
        self.pair.talk(&mut self.world);
        let found = self.until("the end", || conn.end());
        assert_eq!(found, end);
        self.pair.talk(&mut self.world);
    }

    /// How the next session at the Coordinator ended, if one has.
    fn session_end(&mut self) -> Option<CloseReason> {
        let coordinator = self.coordinator;
        self.world
            .take_event(coordinator, |event| match event.channel() {
                Some((_, ChannelEvent::Closed { reason })) => Some(*reason),
                Some(_) | None => None,
            })
    }

    /// The session's end is told once, and everything is as if the offender had never been there.
    fn all_is_well(&mut self, sessions_ended: &[CloseReason]) {
        self.world.run_for(Duration::from_secs(1));
        self.pair.are_well(&mut self.world);
        for &reason in sessions_ended {
            assert_eq!(self.session_end(), Some(reason));
        }
        assert_eq!(self.session_end(), None);
    }

    /// The Coordinator's end of Mallory's home channel.
    fn session(&mut self) -> At {
        let channel = self
            .world
            .coordinator(self.coordinator)
            .find(Target::Id(mallory_id()))
            .unwrap();
        At {
            node: self.coordinator,
            channel,
        }
    }

    /// An honest Client more.
    fn victim(&mut self) -> NodeId {
        let victim = self.world.add_client("victim");
        self.world.connect(victim, self.coordinator);
        victim
    }

    fn stats(&mut self) -> conec_core::EndpointStats {
        self.world.coordinator(self.coordinator).stats()
    }

    fn coordinator_address(&self) -> std::net::SocketAddr {
        self.world.address(self.coordinator)
    }
}

fn mallory_id() -> ClientId {
    keys::identity(666).id()
}

/// Waits for a peer channel to open at a Client; `None` if it ends instead.
fn opened_or_closed(world: &mut World, node: NodeId) -> Result<At, CloseReason> {
    world.wait_for("opened or closed", Duration::from_secs(120), |world| {
        world.take_event(node, |event| match event.channel() {
            Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => {
                Some(Ok(At { node, channel }))
            }
            Some((channel, ChannelEvent::Closed { reason })) if channel != ChannelId::HOME => {
                Some(Err(*reason))
            }
            Some(_) | None => None,
        })
    })
}

/// Whether a peer channel has opened at a Client.
fn has_opened(world: &mut World, node: NodeId) -> bool {
    let opened = world.take_event(node, |event| match event.channel() {
        Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => Some(()),
        Some(_) | None => None,
    });
    opened.is_some()
}

/// Whether an event of this kind has come for a stream.
fn count_events(world: &mut World, node: NodeId, wanted: impl Fn(&ChannelEvent) -> bool) -> usize {
    let mut count = 0;
    while world
        .take_event(node, |event: &Event| match event.channel() {
            Some((_, event)) if wanted(event) => Some(()),
            Some(_) | None => None,
        })
        .is_some()
    {
        count += 1;
    }
    count
}

/// A message in which bits are flipped, or that is cut short or goes on.
fn damage(rng: &mut StdRng, message: &[u8]) -> Vec<u8> {
    let mut damaged = message.to_vec();
    match rng.random_range(0..4) {
        0 => damaged.truncate(rng.random_range(0..message.len())),
        1 => damaged.extend((0..rng.random_range(1..20)).map(|_| rng.random::<u8>())),
        _ => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..damaged.len());
                damaged[at] ^= 1 << rng.random_range(0..8);
            }
        }
    }
    damaged
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MALLORY: Key = Key::Identity(666);
// What offenders are told (`PROTOCOL.md`, "Error codes").
const PROTOCOL: End = End::Application(1);
const HELLO_TIMEOUT: End = End::Application(2);
const NAME_IN_USE: End = End::Application(3);
const SUPERSEDED: End = End::Application(5);
const NO_ANSWER: End = End::Application(9);
const LIMIT: End = End::Application(10);
const RATE_LIMITED: End = End::Application(11);
const BINDING: End = End::Application(12);
