//! Random operations on groups, and blows against their members, in a world and its reference model at once. What they find becomes
//! a named test below.

use conec_tests::groups::{Op, play};
use proptest::prelude::*;

use crate::model::cases;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Op::from_bytes), 1..40)
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn groups_keep_their_order_whatever_befalls_their_members(
        seed in 0..u64::MAX,
        ops in ops(),
    ) {
        play(seed, &ops);
    }
}

/// The application was asked about the second membership before the first, which it had just granted, was over.
#[test]
fn who_leaves_before_it_is_let_in_may_join_again() {
    let ops = [
        Op::Join(26, 0, 0),
        Op::Leave(0),
        Op::Join(170, 0, 0),
        Op::Wait(10),
    ];
    play(3_223_389_099_482_021_964, &ops);
}

/// The last member was sent away while another was about to join, which had a new group then, with numbers of its own.
#[test]
fn a_group_may_come_to_its_end_before_who_joins_is_let_in() {
    let ops = [
        Op::Join(120, 0, 0),
        Op::Settle,
        Op::Join(169, 32, 0),
        Op::Remove(15, 88),
        Op::Publish(0, 0, 0),
    ];
    play(1_322_354_048_809_619_208, &ops);
}

/// The model took a membership of a former life for one of this life, which has the same id.
#[test]
fn who_has_begun_another_life_asks_nothing_about_the_former() {
    let ops = [
        Op::Join(180, 0, 0),
        Op::Rebirth(4, 0),
        Op::Wait(0),
        Op::Join(19, 0, 0),
        Op::Join(49, 0, 0),
        Op::Join(32, 0, 71),
        Op::Join(10, 0, 0),
        Op::Join(87, 0, 0),
        Op::Join(64, 0, 0),
        Op::Wait(15),
        Op::Publish(108, 0, 0),
        Op::Confirm(21),
    ];
    play(0, &ops);
}
