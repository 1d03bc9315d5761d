//! The chats of both adapters, as programs in processes of their own: a Coordinator and two Clients.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use crate::LIMIT;

/// The example programs, as this package builds them.
const TOKIO: &str = "tokio_chat_for_tests";
const MIO: &str = "mio_chat_for_tests";

#[test]
fn lines_arrive_both_ways_with_tokio() {
    chat("tokio", [TOKIO, TOKIO, TOKIO]);
}

#[test]
fn lines_arrive_both_ways_with_mio() {
    chat("mio", [MIO, MIO, MIO]);
}

#[test]
fn both_chats_understand_each_other() {
    chat("mixed", [MIO, TOKIO, MIO]);
}

fn chat(name: &str, [coordinator, alice, bob]: [&str; 3]) {
    // Where the Coordinator leaves its pin.
    let folder = std::env::temp_dir().join(format!("conec-chat-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let coordinator = Program::start(coordinator, &folder, &["coordinator", "127.0.0.1:0"]);
    let address = coordinator
        .expect("at ")
        .split(',')
        .next()
        .unwrap()
        .to_owned();
    let client = |program, name| Program::start(program, &folder, &["client", name, &address]);

    let mut alice = client(alice, "alice");
    alice.expect("connected as alice");
    let mut bob = client(bob, "bob");
    bob.expect("connected as bob");
    for name in ["alice", "bob"] {
        coordinator.expect(&format!("{name} has come"));
    }
    alice.expect("* bob is here");
    bob.expect("* alice is here");
    // Several at once, and something that is not ASCII.
    alice.type_in("hello, bob\n\nare you there? ✓\n");
    assert_eq!(bob.expect("alice: hello"), ", bob");
    bob.expect("alice: ");
    assert_eq!(bob.expect("alice: are you there?"), " ✓");
    // A line may come in pieces.
    bob.type_in("yes, I");
    bob.type_in(" am\n");
    assert_eq!(alice.expect("bob: "), "yes, I am");
    // Whoever's input ends goes, and the other stays.
    bob.end();
    alice.expect("* bob has gone");
    alice.end();
    drop(coordinator);
    fs::remove_dir_all(folder).unwrap();
}

/// A running program, which is killed when dropped.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    fn start(name: &str, folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(example(name))
            .args(args)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                if line.map(|line| said.send(line)).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Waits for a line with this beginning, and gives the rest of it.
    fn expect(&self, beginning: &str) -> String {
        let mut others = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else {
                panic!("no line {beginning:?}, but {others:?}");
            };
            match line.strip_prefix(beginning) {
                Some(rest) => return rest.to_owned(),
                None => others.push(line),
            }
        }
    }

    fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends the input, and waits until the program has ended by itself.
    fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds a package's examples before it runs its tests, and puts them beside them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let hint = "is missing: cargo build -p conec-tests --examples";
    assert!(program.exists(), "{} {hint}", program.display());
    program
}
