//! What a member of a sealed group opens, and what it misses, whatever the Coordinator does. What random runs find becomes a named test
//! below.

use conec_tests::fuzz::sealed::run;
use proptest::prelude::*;

use crate::model::cases;

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn what_opens_and_what_is_missed_follows_from_what_was_opened_before(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        run(&steps.concat());
    }
}

/// Mostly what goes in order, as all is refused that comes after too much disorder.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let say = (0..3_u8, any::<u8>()).prop_map(|(kind, who)| vec![kind, who, 0]);
    let pass_on = any::<u8>().prop_map(|who| vec![3, who]);
    let other = prop::collection::vec(any::<u8>(), 3..7);
    prop_oneof![4 => say, 3 => pass_on, 2 => other]
}
