//! `conec listen` and `conec connect`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::support::{Coordinator, Home, LONG, Running, Writers};

#[test]
fn a_command_is_spoken_to_and_its_exit_code_passed_on() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let command = "cat; echo for $CONEC_PEER_ID; exit 7";
    let listening = there.start(&["listen", "--name", "calc", "--exec", command]);
    listening.says("here as calc");
    let id = here.run(&["id"]).succeeded().trim().to_owned();
    for _ in 0..2 {
        let connected = here.run_with(&["connect", "calc"], "hello\n");
        assert_eq!(connected.status().code(), Some(7));
        assert_eq!(connected.stdout(), format!("hello\nfor {id}\n"));
        assert_eq!(connected.stderr(), "");
        listening.says(&format!("{id} connects"));
    }
    listening.signal(Signal::SIGTERM);
    assert_eq!(listening.ended().status().code(), Some(130));
}

#[test]
fn a_signal_that_ends_the_command_is_passed_on_as_shells_do() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let listening = home.start(&["listen", "--name", "calc", "--once", "--exec", "kill -9 $$"]);
    listening.says("here as calc");
    let connected = home.run(&["connect", "calc"]);
    assert_eq!(connected.status().code(), Some(128 + 9));
    listening.ended().succeeded();
}

#[test]
fn standard_input_and_output_are_connected_once() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let mut listening = open(&there, &["listen", "--name", "inbox"]);
    let mut to_here = input(&mut listening);
    listening.says("here as inbox");
    let mut connected = open(&here, &["connect", "inbox"]);
    let mut to_there = input(&mut connected);
    writeln!(to_there, "ping").unwrap();
    assert_eq!(listening.line(), "ping");
    writeln!(to_here, "pong").unwrap();
    assert_eq!(connected.line(), "pong");
    here.run(&["connect", "inbox"])
        .failed(4, &["the other end says: it is busy", "help: "]);
    // One direction ends, and the other goes on.
    drop(to_there);
    writeln!(to_here, "still here").unwrap();
    assert_eq!(connected.line(), "still here");
    drop(to_here);
    listening.ended().succeeded();
    connected.ended().succeeded();
}

#[test]
fn the_end_of_what_the_command_says_is_seen_while_it_still_reads() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let file = there.path().join("received");
    let command = format!("echo first; exec >&-; cat > {}", file.display());
    let listening = there.start(&["listen", "--name", "store", "--once", "--exec", &command]);
    listening.says("here as store");
    let mut connected = here.command(&["connect", "store"]);
    let mut connected = connected.stdin(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = connected.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert_eq!(said, "first\n");
    assert!(connected.try_wait().unwrap().is_none());
    connected
        .stdin
        .take()
        .unwrap()
        .write_all(b"all of it")
        .unwrap();
    listening.ended().succeeded();
    assert!(connected.wait().unwrap().success());
    assert_eq!(fs::read_to_string(file).unwrap(), "all of it");
}

#[test]
fn a_reader_that_has_had_enough_stops_the_command() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let listening = home.start(&["listen", "--name", "endless", "--once", "--exec", "yes"]);
    listening.says("here as endless");
    let mut connected = home.command(&["connect", "endless"]).spawn().unwrap();
    connected
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0; 100])
        .unwrap();
    assert_eq!(connected.wait().unwrap().code(), Some(128 + 13));
    listening.ended().succeeded();
}

#[test]
fn many_are_connected_to_a_port_at_once() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = server.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in server.incoming() {
            thread::spawn(move || turn_around(stream.unwrap()));
        }
    });
    let listening = there.start(&["listen", "--name", "port", "--tcp", &place]);
    listening.says("here as port");
    let mut connected: Vec<_> = (0..8).map(|_| open(&here, &["connect", "port"])).collect();
    let inputs: Vec<_> = connected.iter_mut().map(input).collect();
    // All are there before the first is done.
    for _ in 0..8 {
        listening.says(" connects");
    }
    for (n, mut input) in inputs.into_iter().enumerate() {
        input
            .write_all(format!("{n} ").repeat(100_000).as_bytes())
            .unwrap();
    }
    for (n, connected) in connected.into_iter().enumerate() {
        assert_eq!(
            connected.ended().succeeded(),
            format!(" {n}").repeat(100_000)
        );
    }
}

#[test]
fn a_socket_in_the_file_system_is_reached() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let path = home.path().join("socket");
    let server = UnixListener::bind(&path).unwrap();
    thread::spawn(move || turn_around(server.accept().unwrap().0));
    let path = path.to_str().unwrap();
    let listening = home.start(&["listen", "--name", "socket", "--once", "--unix", path]);
    listening.says("here as socket");
    let connected = home.run_with(&["connect", "socket"], "abc");
    assert_eq!(connected.succeeded(), "cba");
    listening.ended().succeeded();
}

#[test]
fn what_does_not_work_there_is_said_here() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    // Nothing listens at the port of discard.
    let listening = home.start(&["listen", "--name", "nothing", "--tcp", "127.0.0.1:9"]);
    listening.says("here as nothing");
    home.run(&["connect", "nothing"])
        .failed(1, &["error: the other end says: 127.0.0.1:9: ", "help: "]);
    listening.says("error: cannot serve 127.0.0.1:9");
    home.run(&["connect", "nobody"])
        .failed(5, &["nobody", "help: "]);
    let pinged = home.start(&["ping", "--answer", "--name", "other"]);
    pinged.says("here as other");
    home.run(&["connect", "other"])
        .failed(5, &["it does not serve that", "help: "]);
}

#[test]
fn only_who_is_allowed_is_let_in() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let id = here.run(&["id"]).succeeded().trim().to_owned();
    let stranger = Home::joined(&coordinator);
    let args = [
        "listen",
        "--name",
        "mine",
        "--exec",
        "echo hello",
        "--allow",
        &id,
        "--allow",
        "friend",
    ];
    let listening = there.start(&args);
    listening.says("here as mine");
    stranger
        .run(&["connect", "mine"])
        .failed(4, &["it does not allow that", "help: "]);
    listening.says("is not let in");
    assert_eq!(here.run(&["connect", "mine"]).succeeded(), "hello\n");
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["connect"]).failed(2, &["<WHO>"]);
    home.run(&["connect", "No Name"]).failed(2, &["No Name"]);
    home.run(&["listen", "--exec", "a", "--tcp", "b:1"])
        .failed(2, &["cannot be used with"]);
    for wrong in [
        "localhost",
        "localhost:",
        ":22",
        "localhost:0",
        "localhost:x",
    ] {
        home.run(&["listen", "--tcp", wrong])
            .failed(2, &["HOST:PORT"]);
    }
    home.run(&["listen", "--allow", "No Name"])
        .failed(2, &["No Name"]);
}

#[test]
fn a_command_is_told_when_who_connected_is_gone() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let file = there.path().join("told");
    let command = format!(
        "trap 'echo > {}; exit' TERM; echo ready; sleep 100 & wait",
        file.display()
    );
    let listening = in_the_background(&there, &["listen", "--name", "long", "--exec", &command]);
    listening.says("here as long");
    let connected = here.start(&["connect", "long"]);
    assert_eq!(connected.line(), "ready");
    connected.signal(Signal::SIGTERM);
    assert_eq!(connected.ended().status().code(), Some(130));
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < LONG);
        thread::sleep(Duration::from_millis(10));
    }
    // And when who listens is to end.
    fs::remove_file(&file).unwrap();
    let connected = here.start(&["connect", "long"]);
    assert_eq!(connected.line(), "ready");
    listening.signal(Signal::SIGTERM);
    assert_eq!(listening.ended().status().code(), Some(130));
    connected.ended().failed(6, &["error: ", "help: "]);
    assert!(file.exists());
}

/// As nohup starts it: hang-ups are ignored, and by what it starts as well.
fn in_the_background(home: &Home, args: &[&str]) -> Running {
    let wanted = home.command(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(wanted.get_program())
        .args(wanted.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in wanted.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::of(&mut command)
}

#[test]
fn what_a_command_has_begun_is_told_to_end_with_it() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let pipe = there.path().join("pipe");
    let begun = Writers::at(&pipe);
    // The shell ends at once: what it has begun has its standard output, and may print yet.
    let command = format!("sleep 1000 3> {} &", pipe.display());
    let listening = there.start(&["listen", "--name", "long", "--exec", &command]);
    listening.says("here as long");
    let connected = here.start(&["connect", "long"]);
    begun.told();
    connected.signal(Signal::SIGTERM);
    begun.told();
}

#[test]
fn who_vanishes_and_comes_back_has_cut_it_off() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let args = ["listen", "--name", "echo", "--exec", "cat"];
    let mut listening = there.start(&args);
    listening.says("here as echo");
    let mut connected = open(&here, &["connect", "echo"]);
    let mut to_there = input(&mut connected);
    writeln!(to_there, "one").unwrap();
    assert_eq!(connected.line(), "one");
    listening.child.kill().unwrap();
    listening.child.wait().unwrap();
    let again = there.start(&args);
    again.says("here as echo");
    connected.ended().failed(6, &["error: ", "help: "]);
    assert_eq!(
        here.run_with(&["connect", "echo"], "two").succeeded(),
        "two"
    );
}

#[test]
fn a_pipe_outlives_the_coordinator() {
    let coordinator = Coordinator::start();
    let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
    let listening = there.start(&[
        "listen", "--name", "echo", "--exec", "cat", "--path", "proxied",
    ]);
    listening.says("here as echo");
    let mut connected = open(&here, &["connect", "echo", "--path", "proxied"]);
    let mut to_there = input(&mut connected);
    writeln!(to_there, "before").unwrap();
    assert_eq!(connected.line(), "before");
    let writing = thread::spawn(move || {
        for n in 0..100_000 {
            writeln!(to_there, "{n}").unwrap();
        }
    });
    assert_eq!(connected.line(), "0");
    let _again = coordinator.killed_and_started();
    for n in 1..100_000 {
        assert_eq!(connected.line(), n.to_string());
    }
    writing.join().unwrap();
    connected.ended().succeeded();
    // Both have come back, and find each other.
    assert_eq!(
        here.run_with(&["connect", "echo"], "after").succeeded(),
        "after"
    );
}

/// Begins a command whose standard input stays open.
fn open(home: &Home, args: &[&str]) -> Running {
    Running::of(home.command(args).stdin(Stdio::piped()))
}

fn input(running: &mut Running) -> ChildStdin {
    running.child.stdin.take().unwrap()
}

/// Reads to the end, and sends it back from the end to the beginning.
fn turn_around(mut stream: impl Read + Write) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all.reverse();
    stream.write_all(&all).unwrap();
}
