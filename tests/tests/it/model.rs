//! Random operations against a world and its reference model. What they find becomes a named test below.

use conec_tests::model::{Op, Run};
use proptest::{prelude::*, test_runner::RngSeed};

fn play(seed: u64, ops: &[Op]) {
    let mut run = Run::new(seed);
    for &op in ops {
        run.apply(op);
    }
    run.finish();
}

fn rng_seed() -> RngSeed {
    let seed = std::env::var("PROPTEST_RNG_SEED").map_or(1, |seed| seed.parse().unwrap());
    RngSeed::Fixed(seed)
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
        Op::Faults(65),
        Op::OpenChannel(63, 137),
        Op::Wait(90),
        Op::Leave(95),
        Op::Wait(30),
        Op::OpenChannel(0, 0),
    ];
    play(1652864457102267353, &ops);
}
