//! Random operations against a world and its reference model. What they find becomes a named test below.

use conec_core::Direction;
use conec_tests::model::{Op, play};
use proptest::{prelude::*, test_runner::RngSeed};

pub(crate) fn rng_seed() -> RngSeed {
    let seed = std::env::var("PROPTEST_RNG_SEED").map_or(1, |seed| seed.parse().unwrap());
    RngSeed::Fixed(seed)
}

/// So many cases, unless `PROPTEST_CASES` asks for others; the same ones each time, unless `PROPTEST_RNG_SEED` does.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES");
    ProptestConfig {
        failure_persistence: None,
        cases: asked.map_or(usual, |cases| cases.parse().unwrap()),
        rng_seed: rng_seed(),
        ..ProptestConfig::default()
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Op::from_bytes), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        // The ordinary run is the same each time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for others.
        rng_seed: rng_seed(),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_model_holds_whatever_is_done(seed in 0..u64::MAX, ops in ops()) {
        play(seed, &ops);
    }
}

/// The acceptor closed in the same breath in which the initiator's handshake was complete.
#[test]
fn a_channel_that_is_closed_as_it_connects_never_opens() {
    let ops = [
        Op::OpenChannel(0, 2),
        Op::Wait(2),
        Op::Wait(5),
        Op::Leave(3, 10),
        Op::Wait(60),
    ];
    play(0, &ops);
}

/// An application that lagged behind accepted an offer that was over, and what was made for it stayed.
#[test]
fn an_offer_that_is_over_is_not_accepted_by_an_application_that_lags_behind() {
    let ops = [
        Op::OpenChannel(0, 1),
        Op::Wait(1),
        Op::Wait(1),
        Op::OpenChannel(0, 0),
        Op::Lag(2, true),
        Op::Close(0, 0, 0),
        Op::Wait(2),
        Op::Answer(1, None),
    ];
    play(0, &ops);
}

/// The Coordinator closed right after it had admitted a Client, which took it for one that breaks the protocol.
#[test]
fn a_client_that_is_welcomed_and_sent_away_at_once_finds_no_fault_with_it() {
    let ops = [
        Op::Faults(1),
        Op::Datagram(0, 0, 0),
        Op::OpenStream(2, 1, Direction::Bi),
        Op::Send(0, 0, 128),
        Op::Restart(1),
        Op::Wait(18),
        Op::OpenChannel(0, 0),
        Op::Leave(0, 1),
    ];
    play(10488194853933412387, &ops);
}

/// A home channel that was lost, and closed once more, ended before the channels that need it.
#[test]
fn a_home_channel_that_is_ended_twice_ends_last() {
    let ops = [
        Op::OpenChannel(1, 0),
        Op::OpenChannel(0, 0),
        Op::OpenChannel(0, 0),
        Op::Lag(2, true),
        Op::Abort(1, 0, 0),
        Op::Wait(17),
        Op::Close(1, 0, 0),
    ];
    play(0, &ops);
}

/// A Client aborted and was started anew, and before the Coordinator had heard of either it arranged a channel with what
/// was no more. The channel ended with the code of the abort, which the model did not expect.
#[test]
fn a_channel_with_an_earlier_life_of_a_client_ends_as_that_did() {
    let ops = [
        Op::OpenChannel(0, 0),
        Op::Abort(32, 92, 0),
        Op::Restart(25),
        Op::Connect(165, 43),
    ];
    play(44_042_113_833_501, &ops);
}

/// A Client was started while the Coordinator's network was down. It gave up, as it should; the model thought that only
/// those could who had been there before.
#[test]
fn a_client_that_starts_while_the_coordinator_is_cut_off_may_give_up() {
    let ops = [
        Op::Cut(84, true),
        Op::OpenChannel(0, 0),
        Op::Restart(17),
        Op::Wait(182),
        Op::Wait(240),
        Op::Wait(244),
        Op::Wait(234),
    ];
    play(0, &ops);
}

/// A Client's address changed, and its first packet from there was too small to be answered: the engine let the timer of
/// the old path's packets go off where none was under way, which its assertions do not allow.
#[test]
fn what_was_sent_to_a_former_address_troubles_nobody_at_the_new_one() {
    let ops = [
        Op::OpenChannel(0, 0),
        Op::OpenStream(128, 74, Direction::Bi),
        Op::Send(0, 12, 184),
        Op::Send(0, 156, 128),
        Op::OpenChannel(0, 0),
        Op::Faults(76),
        Op::Rebind(42),
        Op::OpenChannel(0, 0),
        Op::Wait(21),
        Op::Wait(11),
    ];
    play(36_308_995_952_235, &ops);
}

/// Some flights of a handshake were lost, and the Client, which was through with it before the Coordinator was, did not
/// wait long enough for its welcome.
#[test]
fn a_client_waits_for_the_coordinators_part_of_the_handshake() {
    let ops = [
        Op::OpenStream(53, 0, Direction::Bi),
        Op::Close(32, 29, 4),
        Op::OpenStream(33, 0, Direction::Bi),
        Op::Finish(116, 162),
        Op::Send(0, 0, 0),
        Op::OpenStream(0, 0, Direction::Bi),
        Op::Close(63, 50, 4),
        Op::Wait(1),
        Op::OpenChannel(32, 0),
        Op::OpenStream(232, 0, Direction::Bi),
        Op::Wait(4),
        Op::Send(180, 43, 0),
        Op::Faults(48),
        Op::Wait(15),
        Op::Recv(56, 49, 0),
        Op::Finish(4, 43),
        Op::Restart(85),
        Op::Faults(38),
        Op::Wait(64),
    ];
    play(16_175_731_316_671_756_775, &ops);
}

/// A Client was started anew twice, and what the life in between had sent was overtaken by what the last one sent. The
/// Coordinator let both in, in the order in which they had introduced themselves: the dead one last.
#[test]
fn a_life_that_is_over_does_not_push_out_the_one_that_goes_on() {
    let ops = [
        Op::Faults(214),
        Op::Restart(19),
        Op::Faults(6),
        Op::Wait(18),
        Op::Faults(7),
        Op::Restart(143),
    ];
    play(93_274_862_290_978_600, &ops);
}

/// A Client was started while packets were lost in bursts. The first four of its handshake were lost, and it gave up, as
/// it should; the model thought that loss only takes time. When the network is sound again it has to connect.
#[test]
fn a_client_whose_handshake_is_lost_may_give_up_but_connects_later() {
    let ops = [
        Op::OpenStream(44, 44, Direction::Bi),
        Op::Stop(0, 91, 0),
        Op::Recv(0, 0, 0),
        Op::Faults(150),
        Op::Datagram(137, 19, 0),
        Op::Wait(19),
        Op::Connect(47, 68),
        Op::Abort(14, 127, 0),
        Op::OpenStream(0, 0, Direction::Bi),
        Op::Wait(78),
        Op::Restart(157),
        Op::Wait(14),
        Op::Wait(202),
        Op::Wait(196),
        Op::Wait(235),
        Op::Wait(140),
        Op::Wait(113),
    ];
    play(11_330_246_681_693_195_082, &ops);
}
