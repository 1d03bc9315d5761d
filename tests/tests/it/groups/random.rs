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
