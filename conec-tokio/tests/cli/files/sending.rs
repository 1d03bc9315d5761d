//! What is sent arrives as it was, and what was there stays.

use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::{Duration, SystemTime},
};

use super::{Pair, events, names, noise, text};
use crate::support::{Coordinator, Home};

#[test]
fn files_and_folders_arrive_as_they_were() {
    let pair = Pair::new();
    let receiving = pair.receive(&["--once"]);
    let folder = pair.from("photos");
    fs::create_dir_all(folder.join("a/b")).unwrap();
    fs::create_dir(folder.join("nothing")).unwrap();
    fs::write(folder.join("a/b/empty"), "").unwrap();
    fs::write(folder.join("a/script"), "#!").unwrap();
    fs::write(folder.join("Ü ber.txt"), noise(3_000_000)).unwrap();
    fs::set_permissions(folder.join("a/script"), Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(folder.join("nothing"), Permissions::from_mode(0o550)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for aged in ["a/script", "a/b"] {
        let file = File::open(folder.join(aged)).unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
    }
    let file = pair.file("one", 70_000);
    let sent = pair
        .here
        .run(&["send", text(&folder), text(&file), "office"]);
    assert_eq!(sent.succeeded(), "");

    let to = pair.to();
    let received = receiving.ended();
    let printed = [to.join("photos"), to.join("one")].map(|it| format!("{}\n", it.display()));
    assert_eq!(received.succeeded(), printed.concat());
    assert!(
        received
            .stderr()
            .contains("4 files in 4 folders, 3.07 MB: photos, one"),
        "{}",
        received.stderr()
    );
    assert_eq!(names(&to), ["one", "photos"]);
    assert_eq!(names(&to.join("photos")), ["a", "nothing", "Ü ber.txt"]);
    for same in [
        "photos/a/b/empty",
        "photos/a/script",
        "photos/Ü ber.txt",
        "one",
    ] {
        let (sent, received) = (pair.from(same), to.join(same));
        assert!(
            fs::read(&sent).unwrap() == fs::read(&received).unwrap(),
            "{same}"
        );
    }
    for same in [
        "photos",
        "photos/a",
        "photos/a/b",
        "photos/a/script",
        "photos/nothing",
        "one",
    ] {
        let sent = fs::metadata(pair.from(same)).unwrap();
        let received = fs::metadata(to.join(same)).unwrap();
        assert_eq!(received.mode() & 0o7777, sent.mode() & 0o777, "{same}");
        assert_eq!(
            received.modified().unwrap(),
            sent.modified().unwrap(),
            "{same}"
        );
    }
    fs::set_permissions(folder.join("nothing"), Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn nothing_is_overwritten_unasked() {
    let pair = Pair::new();
    let to = pair.to();
    fs::create_dir_all(to.join("photos")).unwrap();
    fs::write(to.join("a.txt"), "mine").unwrap();
    fs::write(to.join("photos/b"), "mine").unwrap();
    let photos = pair.from("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("b"), "yours").unwrap();
    fs::write(photos.join(".hook"), "yours").unwrap();
    let file = pair.file("a.txt", 10);
    let receiving = pair.receive(&[]);
    let send = ["send", text(&file), text(&photos), "office"];
    pair.here.run(&send).succeeded();
    assert_eq!(receiving.line(), text(&to.join("a (1).txt")));
    assert_eq!(receiving.line(), text(&to.join("photos (1)")));
    assert_eq!(fs::read(to.join("a.txt")).unwrap(), b"mine");
    assert_eq!(names(&to.join("photos")), ["b"]);
    assert_eq!(names(&to.join("photos (1)")), [".hook", "b"]);
    // What is there already is not sent again.
    let again = pair.here.run(&["send", "--json", text(&file), "office"]);
    let again = events(again.succeeded(), "file");
    assert_eq!(again[0]["kept"], 10);
    assert_eq!(names(&to), ["a (1).txt", "a.txt", "photos", "photos (1)"]);
    drop(receiving);

    let receiving = pair.receive(&["--overwrite"]);
    pair.here.run(&send).succeeded();
    assert_eq!(receiving.line(), text(&to.join("a.txt")));
    assert_eq!(receiving.line(), text(&to.join("photos")));
    assert_eq!(fs::read(to.join("a.txt")).unwrap(), noise(10));
    assert_eq!(fs::read(to.join("photos/b")).unwrap(), b"yours");
    assert_eq!(names(&to.join("photos")), [".hook", "b"]);
}

#[test]
fn what_is_there_already_is_not_sent_again_unless_it_is_another() {
    let pair = Pair::new();
    let file = pair.file("a", 2_000_000);
    let receiving = pair.receive(&[]);
    let send = ["send", "--json", text(&file), "office"];
    assert_eq!(
        events(pair.here.run(&send).succeeded(), "file")[0]["kept"],
        0
    );
    assert_eq!(
        events(pair.here.run(&send).succeeded(), "file")[0]["kept"],
        2_000_000
    );
    assert_eq!(names(&pair.to()), ["a"]);
    // One of the same size and time.
    let there = pair.to().join("a");
    let times = FileTimes::new().set_modified(fs::metadata(&file).unwrap().modified().unwrap());
    fs::write(&there, vec![0; 2_000_000]).unwrap();
    let written = File::options().write(true).open(&there).unwrap();
    written.set_times(times).unwrap();
    assert_eq!(
        events(pair.here.run(&send).succeeded(), "file")[0]["kept"],
        0
    );
    assert_eq!(names(&pair.to()), ["a", "a (1)"]);
    assert!(fs::read(pair.to().join("a (1)")).unwrap() == noise(2_000_000));
    drop(receiving);
}

#[test]
fn links_are_not_followed_but_for_what_is_named() {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let folder = pair.from("folder");
    fs::create_dir(&folder).unwrap();
    symlink("/etc", folder.join("etc")).unwrap();
    fs::write(folder.join("a"), "a").unwrap();
    let named = pair.from("named");
    symlink(&folder, &named).unwrap();
    // And at the other end none leads out of the folder.
    let elsewhere = pair.there.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, pair.to().join("named")).unwrap();
    let sent = pair.here.run(&["send", text(&named), "office"]);
    sent.failed(1, &["etc: it is a link", "1 thing left out", "help: "]);
    receiving.line();
    assert_eq!(names(&pair.to()), ["named", "named (1)"]);
    assert_eq!(names(&pair.to().join("named (1)")), ["a"]);
    assert_eq!(names(&elsewhere), [""; 0]);
}

#[test]
fn only_those_may_send_who_are_named() {
    let pair = Pair::new();
    let file = pair.file("a", 10);
    let other = Home::joined(&pair.coordinator);
    let id = other.run(&["id"]).succeeded().trim().to_owned();
    let receiving = pair.receive(&["--from", "laptop", "--from", &id]);
    let send = ["send", text(&file), "office"];
    pair.here
        .run(&send)
        .failed(4, &["does not allow that", "help: "]);
    let named = [&send[..], &["--name", "laptop"]].concat();
    pair.here.run(&named).succeeded();
    other.run(&send).succeeded();
    receiving.line();
}

#[test]
fn who_is_not_there_or_does_not_receive_is_said() {
    let pair = Pair::new();
    let file = pair.file("a", 10);
    let send = ["send", text(&file), "office"];
    pair.here.run(&send).failed(5, &["nobody", "help: "]);
    let pinging = pair.there.start(&["ping", "--answer", "--name", "office"]);
    pinging.says("here as office");
    pair.here
        .run(&send)
        .failed(5, &["does not serve that", "help: "]);
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["send"]).failed(2, &["<FILE>"]);
    home.run(&["send", "office"])
        .failed(2, &["whom to send them to", "help: "]);
    home.run(&["send", "no such file", "office"])
        .failed(2, &["no such file", "help: "]);
    home.run(&["send", "/tmp", "No Name"])
        .failed(2, &["No Name", "help: "]);
    home.run(&["receive"]).failed(2, &["no terminal", "--yes"]);
    home.run(&["receive", "--code", "--yes"])
        .failed(2, &["--yes"]);
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    home.run(&["receive", "--yes", text(&file)])
        .failed(1, &["cannot use", "file"]);
}

#[test]
fn what_changes_while_it_is_sent_is_not_taken_for_whole() {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let file = pair.file("log", 60_000_000);
    let sending = pair.here.start(&[
        "send",
        "--json",
        "--limit",
        "20000000",
        text(&file),
        "office",
    ]);
    super::until(&sending, 1);
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .set_len(60_000_001)
        .unwrap();
    let sent = sending.ended();
    assert_eq!(sent.status().code(), Some(1));
    assert!(sent.stderr().contains("has changed"), "{}", sent.stderr());
    receiving.says("failed at the other end");
    assert!(!pair.to().join("log").exists());
    // Now it does not, and what is another version is not mistaken for this.
    pair.here.run(&["send", text(&file), "office"]).succeeded();
    assert!(fs::read(&file).unwrap() == fs::read(pair.to().join("log")).unwrap());
    assert_eq!(names(&pair.to()), ["log"]);
}

#[test]
fn what_there_is_no_room_for_is_refused_before_it_comes() {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let file = pair.from("large");
    File::create(&file).unwrap().set_len(1 << 43).unwrap();
    pair.here
        .run(&["send", text(&file), "office"])
        .failed(1, &["there is no room", "help: "]);
    receiving.says("there is room for");
    assert!(!pair.to().join("large").exists());
}

#[test]
fn a_receiver_that_is_interrupted_is_noticed() {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let file = pair.file("a", 60_000_000);
    let send = [
        "send",
        "--json",
        "--limit",
        "20000000",
        "--retry",
        "0s",
        text(&file),
        "office",
    ];
    let sending = pair.here.start(&send);
    super::until(&sending, 1);
    receiving.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(receiving.ended().status().code(), Some(130));
    let sent = sending.ended();
    assert_eq!(sent.status().code(), Some(6), "{}", sent.stderr());
    assert!(sent.stderr().contains("help: give the same command again"));
}

#[test]
fn a_coordinator_that_is_away_is_said() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    drop(coordinator);
    home.run(&["send", "/dev/null", "office"])
        .failed(3, &["error: ", "help: "]);
}
