//! The inputs that the fuzz targets have gathered, each run once.

use std::{fs, path::Path};

use conec_tests::fuzz::TARGETS;

fn replay(name: &str) {
    let (_, run) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = Path::new(CORPORA).join(name);
    let mut inputs: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|input| input.unwrap().path())
        .collect();
    assert!(!inputs.is_empty());
    inputs.sort();
    for input in inputs {
        // Shown if it fails.
        println!("{}", input.display());
        run(&fs::read(input).unwrap());
    }
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), replayed);
        }
    };
}

replay! {
    claims
    client_datagrams
    control_stream
    coordinator_datagrams
    frame
    group
    message
    participant
    preamble
    reassembly
    route
    sealed
    world
}

const CORPORA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
