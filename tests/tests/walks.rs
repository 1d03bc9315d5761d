//! The walks through the code in `CONTRIBUTING.md` lead where they say.

use std::{fs, path::Path};

#[test]
fn every_step_of_a_walk_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let (_, walks) = text.split_once("## Three walks").unwrap();
    let (walks, _) = walks.split_once("\n## ").unwrap();
    let mut steps = 0;
    // A walk's title, between asterisks, names what an application calls.
    for step in walks.split("**").step_by(2) {
        let mut file = None;
        // Every other part is between backticks.
        for name in step.split('`').skip(1).step_by(2) {
            if name.contains('/') {
                let code = fs::read_to_string(root.join(name));
                file = Some((name, code.unwrap_or_else(|error| panic!("{name}: {error}"))));
            } else if let Some((path, code)) = &file
                && name.chars().all(|it| it.is_ascii_lowercase() || it == '_')
            {
                assert!(code.contains(&format!("fn {name}")), "{path}: {name}");
                steps += 1;
            }
        }
    }
    assert!(steps > 20, "{steps}");
}
