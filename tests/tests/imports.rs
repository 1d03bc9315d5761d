//! No file of a crate or of a benchmark imports, by way of others, itself: each can be read with only what it builds on.
//!
//! What a file imports are the files that its `use` declarations lead to, through re-exports. That a module contains and
//! re-exports others does not count.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for tree in TREES {
        let main = root.join(tree);
        assert!(main.exists(), "{tree}");
        let files = Files::read(&main);
        assert!(files.0.len() > 1, "{tree}");
        let circle = circle(&files.imports());
        assert!(circle.is_none(), "{tree}: {}", circle.unwrap().join(" -> "));
    }
}

#[test]
fn a_circle_is_found_and_a_re_export_is_none() {
    let files = |middle: &str| {
        let file = |text: &str| File::parse(text);
        Files(BTreeMap::from([
            (
                path("crate"),
                file("mod a; mod b; pub use self::a::{A, c::C as D};"),
            ),
            (
                path("crate::a"),
                file("mod c;\nuse crate::{b::{self, B}, E};"),
            ),
            (path("crate::a::c"), file(middle)),
            (
                path("crate::b"),
                file("use std::fmt;\npub(crate) use crate::D;"),
            ),
        ]))
    };
    for harmless in [
        "use std::fmt;",
        "use super::super::Other;",
        "// use super::A;",
    ] {
        assert_eq!(circle(&files(harmless).imports()), None, "{harmless}");
    }
    let found = circle(&files("#[cfg(test)]\nuse super::{A};").imports()).unwrap();
    assert_eq!(found, ["crate::a", "crate::b", "crate::a::c", "crate::a"]);
    let through_re_export = circle(&files("use crate::A;").imports());
    assert_eq!(through_re_export, Some(found));
}

/// The file of each module.
struct Files(BTreeMap<Vec<String>, File>);

/// What a file says of others.
#[derive(Default)]
struct File {
    /// Paths of declarations without `pub`, and with it: these may lead to where the item is, by the name it has here.
    uses: Vec<Vec<String>>,
    exports: Vec<(String, Vec<String>)>,
}

impl Files {
    /// All files below a `lib.rs` or `main.rs`.
    fn read(main: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut left = vec![(
            path("crate"),
            main.to_owned(),
            main.parent().unwrap().to_owned(),
        )];
        while let Some((module, file, folder)) = left.pop() {
            let text = fs::read_to_string(&file).unwrap();
            for (name, elsewhere) in modules(&text) {
                let inner = folder.join(name);
                let places = [folder.join(format!("{name}.rs")), inner.join("mod.rs")];
                let elsewhere = elsewhere.map(|path| folder.join(path));
                let mut places = elsewhere.into_iter().chain(places);
                let place = places.find(|place| place.exists()).unwrap();
                let folder = match place.ends_with("mod.rs") {
                    true => place.parent().unwrap().to_owned(),
                    false => inner,
                };
                left.push((join(&module, name), place, folder));
            }
            files.insert(module, File::parse(&text));
        }
        Self(files)
    }

    /// The files that each file imports something from.
    fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let imports = self.0.iter().map(|(module, file)| {
            let exports = file.exports.iter().map(|(_, path)| path);
            // What a module re-exports from above it is an import as well.
            let exports = exports.filter(|path| !self.target(module, path).starts_with(module));
            let targets = file.uses.iter().chain(exports);
            let targets = targets.map(|path| self.target(module, path).join("::"));
            let own = module.join("::");
            let others = targets.filter(|target| !target.is_empty() && *target != own);
            (own.clone(), others.collect())
        });
        imports.collect()
    }

    /// The module that defines what a path means within a module. Nothing if that is in another crate.
    fn target(&self, within: &[String], path: &[String]) -> Vec<String> {
        let mut module = match path[0].as_str() {
            "crate" => vec!["crate".to_owned()],
            "self" | "super" => within.to_vec(),
            first if self.0.contains_key(&join(within, first)) => join(within, first),
            _ => return Vec::new(),
        };
        if path[0] == "super" {
            module.pop();
        }
        for (at, name) in path.iter().enumerate().skip(1) {
            let exports = &self.0[&module].exports;
            if name == "super" {
                module.pop();
            } else if self.0.contains_key(&join(&module, name)) {
                module.push(name.clone());
            } else if let Some((_, to)) = exports.iter().find(|(as_, _)| as_ == name) {
                let mut to = to.clone();
                to.extend_from_slice(&path[at + 1..]);
                return self.target(&module, &to);
            } else {
                break;
            }
        }
        module
    }
}

impl File {
    fn parse(text: &str) -> Self {
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        let code = code.collect::<Vec<_>>().join("\n");
        let mut file = Self::default();
        for declaration in code.split_inclusive(';') {
            let Some((before, tree)) = declaration
                .strip_suffix(';')
                .and_then(|it| it.rsplit_once("use "))
            else {
                continue;
            };
            let indented = before.rsplit('\n').next().unwrap();
            let line = indented.trim_start();
            let is_export = line.starts_with("pub");
            if !line.is_empty() && !is_export {
                continue;
            }
            let mut paths = Vec::new();
            expand(&[], tree, &mut paths);
            for (name, mut path) in paths {
                // Within a module that is written out in the file.
                if indented != line && path[0] == "super" {
                    path[0] = "self".to_owned();
                }
                match is_export {
                    true => file.exports.push((name, path)),
                    false => file.uses.push(path),
                }
            }
        }
        file
    }
}

/// The modules that a file declares, and where they are if that is said.
fn modules(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut elsewhere = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            elsewhere = path.strip_suffix("\"]");
        }
        let declared = line.strip_suffix(';').and_then(|it| it.rsplit_once("mod "));
        if let Some((before, name)) = declared
            && (before.is_empty() || before.starts_with("pub"))
        {
            found.push((name, elsewhere.take()));
        }
    }
    found
}

/// The paths of a tree of imports, each with the name that it gets.
fn expand(before: &[String], tree: &str, into: &mut Vec<(String, Vec<String>)>) {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{') {
        let head = head.split("::").map(str::trim).filter(|it| !it.is_empty());
        let before: Vec<_> = before.iter().cloned().chain(head.map(Into::into)).collect();
        let rest = rest.rsplit_once('}').unwrap().0;
        let mut depth = 0;
        let parts = rest.split(|letter| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            letter == ',' && depth == 0
        });
        for part in parts.filter(|part| !part.trim().is_empty()) {
            expand(&before, part, into);
        }
        return;
    }
    let (tree, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut full = before.to_vec();
    full.extend(tree.split("::").map(|part| part.trim().to_owned()));
    if full.len() > 1 && full.last().is_some_and(|last| last == "self") {
        full.pop();
    }
    let last = full.last().unwrap().clone();
    let name = if name.is_empty() {
        last
    } else {
        name.trim().into()
    };
    into.push((name, full));
}

/// The shortest way from a file back to itself.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    imports.keys().find_map(|start| {
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in &imports[*way.last().unwrap()] {
                if next == start {
                    let way = way.iter().chain([&start]).map(|it| (*it).clone());
                    return Some(way.collect());
                }
                if seen.insert(next) {
                    ways.push_back(way.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    })
}

fn path(path: &str) -> Vec<String> {
    path.split("::").map(Into::into).collect()
}

fn join(module: &[String], name: &str) -> Vec<String> {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

const TREES: [&str; 10] = [
    "conec-driver/src/lib.rs",
    "conec-mio/src/lib.rs",
    "conec-tokio/src/lib.rs",
    "conec-tokio/src/bin/conec/main.rs",
    "conec-tokio/benches/loopback/main.rs",
    "conec-core/benches/path/main.rs",
    "conec-core/benches/speed/main.rs",
    "tests/benches/attacks/main.rs",
    "tests/benches/router/main.rs",
    "conec-core/src/lib.rs",
];
