use std::{sync::Barrier, thread};

use conec_core::Identity;
use tempfile::TempDir;

use super::*;

fn id(number: u8) -> ClientId {
    Identity::from_seed([number; 32]).id()
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// A folder, and a file there with this text.
fn file(text: &str) -> (TempDir, KnownFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    replace(file.path(), text.as_bytes()).unwrap();
    (folder, file)
}

fn text(file: &KnownFile) -> String {
    fs::read_to_string(file.path()).unwrap()
}

#[test]
fn a_name_is_added_once_and_changed_only_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let file = KnownFile::new(folder.path().join("known_clients"));
    let bob = name("bob");
    assert!(file.load().unwrap().is_empty());
    assert_eq!(file.forget(&bob).unwrap(), None);
    assert!(!file.path().exists(), "nothing was to be written");
    assert_eq!(file.add(&bob, id(1)).unwrap(), id(1));
    assert_eq!(file.add(&bob, id(2)).unwrap(), id(1));
    assert_eq!(text(&file), format!("bob {}\n", id(1)));
    let known = file.load().unwrap();
    assert_eq!((known.get(&bob), known.len()), (Some(id(1)), 1));
    assert_eq!(known.file(), Some(file.path()));
    assert_eq!(file.set(&bob, id(2)).unwrap(), Some(id(1)));
    assert_eq!(file.load().unwrap().get(&bob), Some(id(2)));
    assert_eq!(file.forget(&bob).unwrap(), Some(id(2)));
    assert_eq!(text(&file), "");
    // But for the lock, nothing is left behind.
    let names = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["known_clients", "known_clients.lock"]);
}

#[test]
fn what_people_write_stays() {
    let [one, other] = [id(1), id(2)];
    let before = format!("# ours\r\n\n  bob\t{one} # on the roof\n#\u{e9}\nbob {one}\ncarol {one}");
    let (_folder, file) = file(&before);
    let known = file.load().unwrap();
    assert_eq!(known.len(), 2);
    file.add(&name("dave"), other).unwrap();
    assert_eq!(text(&file), format!("{before}\ndave {other}\n"));
    file.set(&name("bob"), other).unwrap();
    let after = format!("# ours\r\n\nbob {other}\n#\u{e9}\ncarol {one}\ndave {other}\n");
    assert_eq!(text(&file), after);
    file.forget(&name("carol")).unwrap();
    assert_eq!(text(&file), after.replace(&format!("carol {one}\n"), ""));
}

#[test]
fn what_is_malformed_is_told_with_its_line_and_left_alone() {
    let one = id(1).to_string();
    let typo = one.replacen(&one[..1], if one.starts_with('a') { "b" } else { "a" }, 1);
    let too_long = "b".repeat(65);
    for (line, expected) in [
        ("bob".into(), KnownLineError::Words),
        (format!("bob {one} {one}"), KnownLineError::Words),
        (format!("bob{one}"), KnownLineError::Words),
        (format!("Bob {one}"), KnownLineError::Name(InvalidName)),
        (
            format!("{too_long} {one}"),
            KnownLineError::Name(InvalidName),
        ),
        (
            format!("{one} bob"),
            KnownLineError::Id(TextError::Length { found: 3 }),
        ),
        (
            format!("bob {typo}"),
            KnownLineError::Id(TextError::Checksum),
        ),
        (
            format!("alice {}", id(2)),
            KnownLineError::Twice { first: 2 },
        ),
    ] {
        let before = format!("# names\nalice {one}\n{line}\n");
        let (_folder, file) = file(&before);
        let tries = [
            file.load().map(drop),
            file.add(&name("carol"), id(3)).map(drop),
            file.forget(&name("alice")).map(drop),
        ];
        for tried in tries {
            match tried {
                Err(KnownError::Line { line: 3, error, .. }) if error == expected => {}
                other => panic!("{line}: {other:?}"),
            }
        }
        assert_eq!(text(&file), before);
    }
    // Not even text.
    let (_folder, file) = file("");
    fs::write(file.path(), b"# \xff is a comment\n\xff \xfe\n").unwrap();
    let failed = file.load().unwrap_err();
    let KnownError::Line { line, error, .. } = &failed else {
        panic!("{failed}");
    };
    assert_eq!((*line, *error), (2, KnownLineError::Name(InvalidName)));
    assert!(
        failed
            .to_string()
            .ends_with("known_clients is wrong in line 2")
    );
}

#[test]
fn what_cannot_be_read_or_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = KnownFile::new(folder.path().join("no such folder/known_clients"));
    assert!(nowhere.load().unwrap().is_empty());
    let failed = nowhere.add(&name("bob"), id(1));
    assert!(matches!(failed, Err(KnownError::Io { .. })), "{failed:?}");
    let not_a_file = KnownFile::new(folder.path());
    let failed = not_a_file.load();
    assert!(matches!(failed, Err(KnownError::Io { .. })), "{failed:?}");
}

#[cfg(unix)]
#[test]
fn nobody_else_can_have_written_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, file) = file("");
    let place = file.path().to_owned();
    let mode = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o620, 0o602, 0o666] {
        mode(open);
        let refused = file.load();
        assert!(matches!(refused, Err(KnownError::NotPrivate { .. })));
        let refused = file.add(&name("bob"), id(1));
        assert!(matches!(refused, Err(KnownError::NotPrivate { .. })));
    }
    // What is read by all is no secret, and whatever was written is.
    mode(0o644);
    assert!(file.load().unwrap().is_empty());
    // By way of a link, which stays.
    let link = folder.path().join("link");
    symlink(&place, &link).unwrap();
    KnownFile::new(&link).add(&name("bob"), id(1)).unwrap();
    assert!(link.is_symlink());
    assert_eq!(file.load().unwrap().get(&name("bob")), Some(id(1)));
    for written in [place.clone(), folder.path().join("known_clients.lock")] {
        let mode = fs::metadata(written).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn many_that_write_at_the_same_time_lose_nothing() {
    let (_folder, file) = file("# beginning\n");
    let begin = Barrier::new(8);
    let given = thread::scope(|scope| {
        let writers = [0, 1, 2, 3, 4, 5, 6, 7].map(|writer| {
            let (file, begin) = (&file, &begin);
            scope.spawn(move || {
                begin.wait();
                for number in 0..10 {
                    let own = name(&format!("name-{writer}-{number}"));
                    assert_eq!(file.add(&own, id(writer)).unwrap(), id(writer));
                    // Whoever reads meanwhile reads all of it, or all of what was before.
                    file.load().unwrap();
                }
                // All want the same name: one gets it, and all know who.
                file.add(&name("shared"), id(writer)).unwrap()
            })
        });
        writers.map(|writer| writer.join().unwrap())
    });
    assert_eq!(given, [given[0]; 8]);
    let known = file.load().unwrap();
    assert_eq!(
        (known.len(), known.get(&name("shared"))),
        (81, Some(given[0]))
    );
    assert!(text(&file).starts_with("# beginning\n"));
}
