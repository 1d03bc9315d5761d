//! What is shown to people only: in a terminal, and nowhere else.

use crate::support::{Coordinator, Home, Running, Terminal};

#[test]
fn whoever_receives_is_asked_and_both_see_how_far_it_is() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let (file, to) = (here.path().join("large"), there.path().join("to"));
    std::fs::write(&file, vec![7; 10_000_000]).unwrap();
    let (file, to) = (file.to_str().unwrap(), to.to_str().unwrap());
    let receive = ["receive", to, "--name", "office", "--once"];
    let send = ["send", file, "office", "--limit", "10000000"];

    let mut receiving = Terminal::of(there.command(&receive));
    receiving.shows("here as office");
    let sending = here.start(&send);
    receiving.shows("1 file, 10.00 MB: large");
    receiving.shows("take it? [y/N] ");
    receiving.types("n\n");
    let refused = sending.ended();
    refused.failed(4, &["does not allow that", "help: "]);
    // Neither bars nor colours in a pipe.
    assert!(
        !refused.stderr().contains([BAR, ESCAPE]),
        "{}",
        refused.stderr()
    );

    drop(receiving);
    let mut receiving = Terminal::of(there.command(&receive));
    receiving.shows("here as office");
    let mut sending = Terminal::of(here.command(&send));
    receiving.shows("take it? [y/N] ");
    receiving.types("y\n");
    for terminal in [&mut sending, &mut receiving] {
        terminal.shows(&BAR.to_string());
    }
    for screen in [sending.ended(), receiving.ended()] {
        assert!(screen.contains("done: 10.00 MB"), "{screen:?}");
    }
}

#[test]
fn log_lines_have_colours_in_a_terminal_where_nobody_minds() {
    let coordinator = |no_color: &str| {
        let home = Home::new();
        let mut command = home.command(&["coordinator", "--listen", "127.0.0.1:0"]);
        command.env("NO_COLOR", no_color);
        (home, command)
    };
    let (_home, command) = coordinator("");
    assert!(Terminal::of(command).shows("listening at").contains(ESCAPE));
    let (_home, command) = coordinator("1");
    assert!(!Terminal::of(command).shows("listening at").contains(ESCAPE));
    let (_home, mut command) = coordinator("");
    let piped = Running::of(&mut command);
    assert!(!piped.says("listening at").contains(ESCAPE));
}

/// What a bar is made of.
const BAR: char = '█';
/// What all that is no text begins with.
const ESCAPE: char = '\u{1b}';
