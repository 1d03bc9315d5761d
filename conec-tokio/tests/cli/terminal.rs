//! What is shown to people only: in a terminal, and nowhere else.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use nix::pty::{Winsize, openpty};

use crate::support::{Coordinator, Home, LONG};

/// A command in a terminal of its own. Dropped, it is killed.
struct Terminal {
    child: Child,
    keyboard: File,
    written: Receiver<Vec<u8>>,
    screen: Vec<u8>,
}

impl Terminal {
    /// With colours, unless the command's environment says otherwise.
    fn of(mut command: Command) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.env("TERM", "xterm-256color").spawn().unwrap();
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().unwrap();
        let (pieces, written) = mpsc::channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // It fails when no process has the terminal any more.
            while let Ok(length @ 1..) = output.read(&mut piece) {
                if pieces.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            written,
            screen: Vec::new(),
        }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown. All that was shown so far.
    fn shows(&mut self, text: &str) -> String {
        loop {
            let screen = String::from_utf8_lossy(&self.screen);
            if screen.contains(text) {
                return screen.into_owned();
            }
            match self.written.recv_timeout(LONG) {
                Ok(piece) => self.screen.extend(piece),
                Err(_) => panic!("{text:?} is not shown, but {screen:?}"),
            }
        }
    }

    /// Waits for its end, which is a good one. All that was shown.
    fn ended(mut self) -> String {
        while let Ok(piece) = self.written.recv_timeout(LONG) {
            self.screen.extend(piece);
        }
        let screen = String::from_utf8_lossy(&self.screen).into_owned();
        assert!(self.child.wait().unwrap().success(), "{screen:?}");
        screen
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    let piped = crate::support::Running::of(&mut command);
    assert!(!piped.says("listening at").contains(ESCAPE));
}

/// What a bar is made of.
const BAR: char = '█';
/// What all that is no text begins with.
const ESCAPE: char = '\u{1b}';
