//! `conec id`, `conec join` and `conec context`.

use std::fs;

use serde_json::Value;

use crate::support::{Coordinator, Home, Running};

#[test]
fn the_id_lasts() {
    let home = Home::new();
    let id = home.run(&["id"]).succeeded().to_owned();
    assert_eq!(id.trim().len(), 56, "{id}");
    assert_eq!(home.run(&["id"]).succeeded(), id);
    assert_eq!(home.run(&["id", "--all"]).succeeded(), id);
    assert_ne!(Home::new().run(&["id"]).succeeded(), id);
}

#[test]
fn nobody_else_can_read_the_identity() {
    use std::os::unix::fs::PermissionsExt;
    let parent = Home::new();
    let deep = parent.path().join("a/b");
    let made = parent
        .command(&["id"])
        .env("CONEC_HOME", &deep)
        .output()
        .unwrap();
    assert!(made.status.success());
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(deep.clone()), 0o700);
    assert_eq!(mode(deep.join("identity")), 0o600);
    fs::set_permissions(deep.join("identity"), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = parent
        .command(&["id"])
        .env("CONEC_HOME", &deep)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("error: ") && said.contains("help: "),
        "{said}"
    );
}

#[test]
fn what_is_joined_is_listed_chosen_and_forgotten() {
    let coordinator = Coordinator::start();
    let home = Home::new();
    assert_eq!(home.run(&["context", "ls"]).succeeded(), "");
    // By an argument, by standard input, and by a file.
    home.run(&["join", &coordinator.ticket]).succeeded();
    home.run_with(
        &["join", "-", "--as", "second"],
        &format!("{}\n", coordinator.ticket),
    )
    .succeeded();
    let file = home.path().join("ticket");
    fs::write(&file, &coordinator.ticket).unwrap();
    home.run(&["join", "--file", file.to_str().unwrap(), "--as", "third"])
        .succeeded();
    let url = &coordinator.url;
    let listed = format!("  127.0.0.1  {url}\n  second  {url}\n* third  {url}\n");
    assert_eq!(home.run(&["context", "ls"]).succeeded(), listed);
    assert_eq!(home.run(&["context"]).succeeded(), listed);

    home.run(&["context", "use", "second"]).succeeded();
    home.run(&["context", "rm", "third"]).succeeded();
    home.run(&["context", "use", "third"])
        .failed(2, &["no context \"third\"", "help: "]);
    let listed = home
        .run(&["context", "ls", "--json"])
        .succeeded()
        .to_owned();
    let listed = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let current = listed
        .filter(|it| it["current"] == true)
        .collect::<Vec<_>>();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["name"], "second");
    assert_eq!(current[0]["url"], url.as_str());
    home.run(&["context", "rm", "second"]).succeeded();
    home.run(&["ping", "nobody"]).failed(2, &["context use"]);
    home.run(&["ping", "nobody", "--context", "127.0.0.1"])
        .failed(5, &[]);
    // Tokens are not shown, but kept for their owner only.
    let stored = fs::read_to_string(home.path().join("contexts.toml")).unwrap();
    assert!(stored.contains("token"));
}

#[test]
fn a_ticket_instead_of_a_url_joins_for_one_command() {
    let coordinator = Coordinator::start();
    let home = Home::new();
    let with = |place: &str| home.run(&["status", "--json", "--coordinator", place]);
    with(&coordinator.ticket).succeeded();
    // That was all: the URL by itself is not enough.
    with(&coordinator.url).failed(4, &["help: "]);
    assert_eq!(home.run(&["context", "ls"]).succeeded(), "");
    let mut command = home.command(&["status"]);
    command.env("CONEC_COORDINATOR", &coordinator.ticket);
    Running::of(&mut command).ended().succeeded();
    // Nobody reads it in the help or in an error.
    let mut command = home.command(&["status", "--help"]);
    command.env("CONEC_COORDINATOR", &coordinator.ticket);
    let help = Running::of(&mut command).ended();
    assert!(!help.succeeded().contains(&coordinator.ticket));
    let damaged = with(&coordinator.ticket[..80]);
    damaged.failed(2, &["that is no ticket", "help: "]);
    assert!(!damaged.stderr().contains(&coordinator.ticket[..40]));
}

#[test]
fn what_is_no_ticket_is_not_joined() {
    let coordinator = Coordinator::start();
    let home = Home::new();
    for wrong in ["", "conec1abc", &coordinator.url, &coordinator.ticket[..80]] {
        home.run_with(&["join"], wrong)
            .failed(2, &["error: that is no ticket", "help: "]);
    }
    home.run(&["join", "--file", "no such file"])
        .failed(2, &["no such file"]);
    assert_eq!(home.run(&["context", "ls"]).succeeded(), "");
}

#[test]
fn a_ticket_of_a_coordinator_that_is_away_is_not_saved_unless_offline() {
    let Coordinator {
        ticket, running, ..
    } = Coordinator::start();
    drop(running);
    let home = Home::new();
    home.run_with(&["join"], &ticket)
        .failed(3, &["error: ", "help: "]);
    assert_eq!(home.run(&["context", "ls"]).succeeded(), "");
    home.run_with(&["join", "--offline"], &ticket).succeeded();
    assert!(
        home.run(&["context", "ls"])
            .succeeded()
            .starts_with("* 127.0.0.1")
    );
}

#[test]
fn damaged_contexts_are_left_alone_and_said() {
    let home = Home::new();
    for damaged in ["current = 1", "unknown = true", "[contexts.a]\nurl = \"x\""] {
        fs::write(home.path().join("contexts.toml"), damaged).unwrap();
        home.run(&["context", "ls"])
            .failed(2, &["contexts.toml is damaged", "help: "]);
        assert_eq!(
            fs::read_to_string(home.path().join("contexts.toml")).unwrap(),
            damaged
        );
    }
}
