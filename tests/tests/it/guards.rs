//! The list of the core's guards, which the example `guards` takes away one after the other, is kept true.

use std::{collections::BTreeSet, fs, path::Path};

use conec_tests::guards::GUARDS;

#[test]
fn each_guard_is_where_the_list_has_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut purposes = BTreeSet::new();
    for guard in GUARDS {
        let text = fs::read_to_string(root.join(guard.file)).unwrap();
        let count = text.matches(guard.text).count();
        assert_eq!(count, 1, "{}: {}", guard.file, guard.text);
        assert!(purposes.insert(guard.what), "twice: {}", guard.what);
    }
}
