//! Random blows against a world and its reference model. What they find becomes a named test below.

use conec_core::Direction;
use conec_tests::outages::{Op, play};
use proptest::prelude::*;

use crate::model::cases;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Op::from_bytes), 1..30)
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn channels_outlive_whatever_befalls_coordinators_and_networks(
        seed in 0..u64::MAX,
        ops in ops(),
    ) {
        play(seed, &ops);
    }
}

/// Who had closed a channel gracefully aborted it when that was over at its own end. The other end heard of the former, as it had to;
/// the model thought that the latter counts.
#[test]
fn who_aborts_what_has_ended_gracefully_comes_too_late() {
    let ops = [
        Op::OpenStream(103, 6, Direction::Uni),
        Op::Restart(93),
        Op::Send(0, 20, 0),
        Op::Close(71, 215, 18),
        Op::Finish(0, 156),
        Op::Wait(3),
        Op::Abort(73, 187, 0),
    ];
    play(3_408_007_588_900_173_038, &ops);
}

/// Both the Coordinator that Clients were sent to and the one that had sent them were killed, and the latter was started anew. They
/// looked for the former alone, for as long as connecting may take. And the link to the latter had the number of the one that had
/// ended, with which it was forgotten.
#[test]
fn who_loses_the_coordinator_that_has_sent_it_away_looks_everywhere() {
    let ops = [
        Op::Drain(0, 0),
        Op::Stop(240),
        Op::Settle,
        Op::Drain(0, 192),
        Op::TakeOver,
        Op::OpenStream(0, 0, Direction::Bi),
    ];
    play(5_634_433_841_516_625_548, &ops);
}

/// Clients connected through a Coordinator that stood still, and took its pause for the length of the way: so the next outage was
/// noticed late.
#[test]
fn who_has_connected_late_is_not_far_away() {
    let ops = [
        Op::TakeOver,
        Op::Stop(219),
        Op::Settle,
        Op::TakeOver,
        Op::Move(31),
        Op::OpenChannel(0, 0),
    ];
    play(2_908_718_865_698_248_705, &ops);
}

/// The Coordinator that the Clients were sent to was killed before they came, and so was the one that had sent them. They gave up for
/// good, as that which they had left was not missed yet. And they knew no place any more but the one they had been told last.
#[test]
fn who_is_sent_to_a_coordinator_that_dies_looks_where_it_was_before() {
    play(0, &[Op::Drain(0, 0), Op::TakeOver]);
}

/// A Coordinator that was drained stayed, and was the first that a Client tried, each time: it was refused again and again.
#[test]
fn who_is_refused_by_one_coordinator_goes_to_the_next() {
    play(0, &[Op::Drain(0, 0), Op::Drain(0, 192)]);
}

/// The same, where both had refused it.
#[test]
fn who_is_refused_by_all_coordinators_begins_with_the_first_again() {
    let ops = [
        Op::Drain(27, 0),
        Op::TakeOver,
        Op::Drain(0, 44),
        Op::Restart(46),
        Op::Wait(53),
        Op::Drain(0, 192),
    ];
    play(2_082_661_319_972_309_745, &ops);
}

/// A Client was let in just before the Coordinator was drained. What it claimed there was refused for good, and not left to the next
/// one.
#[test]
fn what_is_claimed_where_it_is_too_late_is_claimed_at_the_next_coordinator() {
    let ops = [
        Op::Settle,
        Op::Drain(99, 0),
        Op::OpenStream(155, 0, Direction::Bi),
        Op::TakeOver,
        Op::TakeOver,
        Op::Wait(82),
        Op::Wait(37),
        Op::Drain(0, 9),
    ];
    play(2_315_335_021_570_596_237, &ops);
}

/// A Client's network was back, and before it had heard of that it looked for its Coordinator anew, and was not there for another. The
/// model thought that all was well.
#[test]
fn who_may_yet_look_for_its_coordinator_has_not_recovered() {
    let ops = [
        Op::Cut(170, 70),
        Op::Settle,
        Op::OpenChannel(0, 44),
        Op::Wait(5),
    ];
    play(4_276_753_931_443_004_482, &ops);
}

/// One Coordinator refused a Client, and the other one was killed before it could. The Client was in no hurry to try the first again.
#[test]
fn who_is_refused_by_one_coordinator_and_loses_the_next_tries_both() {
    let ops = [
        Op::Drain(0, 0),
        Op::Drain(0, 15),
        Op::Wait(18),
        Op::Restart(0),
        Op::TakeOver,
    ];
    play(14_650_108_231_461_775_713, &ops);
}

/// Two timers of an idle home channel fired one after the other, and neither for want of an answer. The Client took that for a silence,
/// looked for its Coordinator anew, and was not there for another.
#[test]
fn who_has_nothing_to_hear_misses_nobody() {
    play(
        13_214_001_124_494_115_114,
        &[Op::OpenChannel(45, 53), Op::Wait(54)],
    );
}

/// A Coordinator that had slept heard at once what two Clients had said to it before, and that they were back. Each had claimed their channel,
/// and was to claim it again; as neither had yet, it was over for the one when the other came.
#[test]
fn two_that_are_back_at_once_may_both_claim_again() {
    let ops = [
        Op::Drain(0, 83),
        Op::Wait(5),
        Op::Stop(85),
        Op::Move(69),
        Op::Wait(27),
        Op::Wait(157),
    ];
    play(162_901_864_444_450_724, &ops);
}
