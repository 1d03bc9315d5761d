//! The list of the core's guards, which the example `guards` takes away one after the other, is kept true.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

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

#[test]
fn each_guard_has_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for folder in ["conec-core/src", "conec-driver", "tests/tests"] {
        read(&root.join(folder), &mut sources);
    }
    for guard in GUARDS {
        let (_, name) = guard
            .noticed_by
            .rsplit_once("::")
            .unwrap_or(("", guard.noticed_by));
        assert!(
            sources.contains(&format!("fn {name}(")),
            "{}",
            guard.noticed_by
        );
    }
}

/// All that is written in Rust below a folder.
pub(crate) fn read(folder: &Path, sources: &mut String) {
    let entries = fs::read_dir(folder).unwrap();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    for path in paths {
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
