//! Bystanders' progress and the bounds on memory hold whatever one participant does. What random runs find becomes a named
//! test below.

use conec_tests::fuzz::control_stream::participant::run;
use proptest::prelude::*;

use crate::model::cases;

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn nobody_can_hurt_bystanders_or_exceed_what_may_be_kept(
        steps in prop::collection::vec(any::<u8>(), 1..600),
    ) {
        // It has said hello, and has asked Clients for channels.
        let mut input = BEGINNING.to_vec();
        input.extend(steps);
        run(&input);
    }
}

const BEGINNING: [u8; 11] = [20, 0, 11, 20, 0, 0, 60, 14, 0, 3, 0];

/// It changes its address again and again, and hears no more at the last than an acknowledgement: what had gone to the former one
/// must not be missed there. The engine panicked, in builds with debug assertions.
#[test]
fn who_flaps_and_hears_little_troubles_nobody() {
    run(include_bytes!(
        "../../../fuzz/corpus/participant/flaps_while_nothing_may_be_sent"
    ));
}
