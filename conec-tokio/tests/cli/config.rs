//! The configuration file of a Coordinator.

use std::{collections::BTreeSet, fs, path::PathBuf};

use nix::sys::signal::Signal;

use crate::support::{Coordinator, Ended, Home};

/// The file that explains all keys.
const EXAMPLE: &str = include_str!("../../dist/coordinator.toml");

#[test]
fn the_example_is_right_and_says_the_defaults() {
    let home = Home::new();
    check(&home, EXAMPLE).succeeded();
    // The same with what it has in comments, but for the files that it names.
    let files = [
        "certificate",
        "key",
        "authorities",
        "revoked",
        "ticket_key",
        "reset_key",
    ];
    let with = |left_out: &[&str]| {
        let mut text = String::new();
        let mut rules = false;
        for line in EXAMPLE.lines() {
            let said = line
                .strip_prefix('#')
                .filter(|it| !it.is_empty() && !it.starts_with(' '));
            let key = said
                .and_then(|it| it.split_once(" = "))
                .map_or("", |it| it.0);
            rules |= key == "rules";
            let is_out = left_out.contains(&key)
                || files.contains(&key)
                || (rules && left_out.contains(&"rules"));
            rules &= said != Some("\"\"\"");
            match said {
                Some(said) if !is_out => text.push_str(said),
                Some(_) => {}
                None => text.push_str(line),
            }
            text.push('\n');
        }
        text
    };
    check(&home, &with(&["rules"])).succeeded();
    check(&home, &with(&["open", "channels", "groups"])).succeeded();
    check(&home, &with(&[])).failed(2, &["channels", "rules"]);
}

#[test]
fn the_example_has_every_key() {
    let home = Home::new();
    for (section, begin) in [
        ("", ""),
        ("limits", "[limits]\n"),
        ("home", "[home]\n"),
        ("group", "[group]\n"),
    ] {
        let refused = check(&home, &format!("{begin}no_such_key = 1\n"));
        refused.failed(2, &["unknown field `no_such_key`", "help: "]);
        let (_, keys) = refused.stderr().split_once("expected one of ").unwrap();
        let keys: BTreeSet<_> = keys.split('`').skip(1).step_by(2).collect();
        let (_, part) = EXAMPLE.split_once(begin).unwrap();
        let part = part.split("\n[").next().unwrap();
        let explained: BTreeSet<_> = part
            .lines()
            .filter_map(|line| Some(line.strip_prefix('#')?.split_once(" = ")?.0))
            .filter(|key| !key.contains(' '))
            .collect();
        let keys: BTreeSet<_> = keys
            .into_iter()
            .filter(|key| !key.contains(' ') && !["limits", "home", "group"].contains(key))
            .collect();
        // The values of commented lines are in the same form.
        assert!(
            keys.is_subset(&explained),
            "[{section}] {:?}",
            keys.difference(&explained)
        );
    }
}

#[test]
fn what_is_wrong_is_said_with_line_and_key() {
    let home = Home::new();
    for (text, said) in [
        ("open = true\nopne = true\n", &["line 2", "opne"][..]),
        ("open = 1\n", &["line 1", "open"]),
        ("\nlisten = \"nowhere\"\n", &["line 2", "listen"]),
        ("admins = [\"nobody\"]\n", &["line 1", "nobody"]),
        (
            "[limits]\nclients = 0\n",
            &["line 2", "clients", "at least 1"],
        ),
        ("[limits]\nclients = -1\n", &["line 2", "clients"]),
        (
            "[limits]\nanswer_timeout = \"30\"\n",
            &["line 2", "answer_timeout", "\"30\" is no time"],
        ),
        (
            "[home]\n\nidle_timeout = \"1ms\"\n",
            &["line 3", "idle_timeout", "1 second"],
        ),
        (
            "[home]\nmax_message_size = 1024\n[group]\nmax_message_size = 9000000\n",
            &["line 4", "max_message_size"],
        ),
        ("memory = 1\n", &["line 1", "memory"]),
        (
            "rules = \"connect perhaps any\"\n",
            &["line 1", "rules", "perhaps"],
        ),
        (
            "rules = \"reach ask any to any\"\n",
            &["line 1", "rules", "only connect may ask"],
        ),
        (
            "open = true\nrules = \"connect allow any\"\n",
            &["line 1", "open", "rules"],
        ),
        (
            "certificate = \"a.pem\"\n",
            &["line 1", "certificate", "key"],
        ),
        (
            "authorities = \"no such file\"\n",
            &["line 1", "authorities", "no such file"],
        ),
        ("revoked = [\"a\"]\n", &["line 1", "revoked", "authorities"]),
        ("ticket_key = \"no such file\"\n", &["no such file"]),
        ("hosts = [\"no host\"]\n", &["line 1", "hosts"]),
        ("listen =\n", &["line 1"]),
    ] {
        let refused = check(&home, text);
        refused.failed(2, said);
        refused.failed(2, &["error: ", "help: "]);
    }
    home.run(&["coordinator", "--check", "--config", "no such file"])
        .failed(2, &["cannot read no such file"]);
}

#[test]
fn an_open_coordinator_needs_no_token() {
    let home = Home::new();
    let config = file(&home, "open = true\n");
    let coordinator = Coordinator::start_in(home, "127.0.0.1:0", &["--config", &config]);
    let user = Home::new();
    user.run(&["ping", "nobody", "--coordinator", &coordinator.url])
        .failed(5, &[]);
}

#[test]
fn it_is_read_again_and_a_bad_one_changes_nothing() {
    let home = Home::new();
    let config = file(&home, "open = true\n");
    let coordinator = Coordinator::start_in(home, "127.0.0.1:0", &["--config", &config]);
    let user = Home::new();
    let ping = ["ping", "nobody", "--coordinator", &coordinator.url];
    let reload = |text: &str| {
        fs::write(&config, text).unwrap();
        coordinator.running.signal(Signal::SIGHUP);
    };
    user.run(&ping).failed(5, &[]);

    reload("open = false\nunknown = 1\n");
    let said = coordinator.running.says("unknown");
    assert!(!said.is_empty());
    coordinator.running.says("stays as it was");
    user.run(&ping).failed(5, &[]);

    reload("open = false\n");
    let said = coordinator.running.says("was read again");
    assert!(!said.contains("next start"), "{said}");
    user.run(&ping).failed(4, &["token"]);

    // What cannot be changed meanwhile is said to be so.
    reload("open = true\n[limits]\nclients = 5\n");
    coordinator.running.says("from the next start");
    user.run(&ping).failed(5, &[]);
}

#[test]
fn channels_are_denied_by_rules() {
    let home = Home::new();
    let config = file(&home, "channels = \"deny\"\n");
    let coordinator = Coordinator::start_in(home, "127.0.0.1:0", &["--config", &config]);
    let home = Home::joined(&coordinator);
    let there = home.start(&["ping", "--answer", "--name", "office"]);
    there.says("here as office");
    home.run(&["ping", "office", "-n", "1"]).failed(5, &[]);
    fs::write(&config, "").unwrap();
    coordinator.running.signal(Signal::SIGHUP);
    coordinator.running.says("was read again");
    home.run(&["ping", "office", "-n", "1"]).succeeded();
}

fn check(home: &Home, text: &str) -> Ended {
    let path = file(home, text);
    home.run(&["coordinator", "--check", "--config", &path])
}

fn file(home: &Home, text: &str) -> String {
    let path: PathBuf = home.path().join("coordinator.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}
