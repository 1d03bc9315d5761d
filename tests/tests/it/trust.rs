//! What `TRUST.md` says that nobody can do is tried by the tests that it names.

use std::{fs, path::Path};

use crate::guards::read;

#[test]
fn each_test_that_the_page_on_trust_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("conec-core/TRUST.md")).unwrap();
    let mut sources = String::new();
    for folder in ["conec-core/src", "tests/tests/it"] {
        read(&root.join(folder), &mut sources);
    }
    let quoted = page.split('`').skip(1).step_by(2);
    // Types begin with capitals.
    let is_test = |it: &&str| it.contains("::") && it.starts_with(char::is_lowercase);
    let mut count = 0;
    for test in quoted.filter(is_test) {
        let (_, name) = test.rsplit_once("::").unwrap();
        assert!(sources.contains(&format!("fn {name}(")), "{test}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}
