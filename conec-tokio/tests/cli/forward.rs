//! `conec forward` and `conec expose`.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    Coordinator, Home, LONG, Running,
    net::{asked, connect, echo_packets, echoed, packets_to, socks, try_to_ask, turn_around},
};

/// A Coordinator, one who forwards and one who exposes.
struct Scene {
    coordinator: Coordinator,
    here: Home,
    there: Home,
}

impl Scene {
    fn new() -> Self {
        let coordinator = Coordinator::start();
        let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
        Self {
            coordinator,
            here,
            there,
        }
    }

    fn expose(&self, args: &[&str]) -> Running {
        let exposing = self
            .there
            .start(&[&["expose", "--name", "office", "--path", "proxied"], args].concat());
        exposing.says("here as office");
        exposing
    }

    /// Forwards, and where it listens.
    fn forward(&self, args: &[&str]) -> (Running, SocketAddr) {
        let forwarding = self
            .here
            .start(&[&["forward", "--path", "proxied"], args].concat());
        let at = listening(&forwarding);
        (forwarding, at)
    }
}

#[test]
fn connections_are_forwarded_and_each_direction_ends_by_itself() {
    let scene = Scene::new();
    let place = turn_around("127.0.0.1:0").to_string();
    let exposing = scene.expose(&[&place]);
    let (_forwarding, at) = scene.forward(&["-L", &format!("0:office:{place}")]);
    exposing.says(" connects");
    // More at once than there usually are streams in a channel; each sends all, before anything comes back.
    let mut connections: Vec<_> = (0..200).map(|_| connect(at)).collect();
    for (n, connection) in connections.iter_mut().enumerate() {
        connection
            .write_all(format!("{n} ").repeat(2000).as_bytes())
            .unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
    }
    for (n, connection) in connections.iter_mut().enumerate() {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let back: String = format!("{n} ").repeat(2000).chars().rev().collect();
        assert!(answer == back, "{n}: {} bytes", answer.len());
    }
}

#[test]
fn nothing_is_reached_that_is_not_exposed() {
    let scene = Scene::new();
    let exposing = scene.expose(&["127.0.0.1:9"]);
    let (forwarding, at) = scene.forward(&["-L", "0:office:localhost:9"]);
    assert_cut_off(connect(at));
    forwarding.says("error: the other end says: to reach localhost:9 is not allowed there");
    forwarding.says("help: ");
    exposing.says("to reach localhost:9 is not allowed there");
    // Nothing listens at the port of discard.
    let (forwarding, at) = scene.forward(&["-L", "0:office:127.0.0.1:9"]);
    assert_cut_off(connect(at));
    forwarding.says("error: the other end says: 127.0.0.1:9: ");
    forwarding.says("help: ");
    scene
        .here
        .run(&["forward", "-R", "0:office:localhost:80"])
        .failed(
            4,
            &["to listen at 127.0.0.1:0 is not allowed there", "help: "],
        );
}

#[test]
fn a_connection_that_is_cut_off_there_is_cut_off_here() {
    let scene = Scene::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = server.local_addr().unwrap().to_string();
    let _exposing = scene.expose(&[&place]);
    let (_forwarding, at) = scene.forward(&["-L", &format!("0:office:{place}")]);
    let mut here = connect(at);
    here.write_all(b"question").unwrap();
    // What was not read makes it a reset.
    let (there, _) = server.accept().unwrap();
    there.peek(&mut [0]).unwrap();
    drop(there);
    assert_cut_off(here);
}

#[test]
fn what_is_listened_at_there_leads_here() {
    let scene = Scene::new();
    let place = turn_around("127.0.0.1:0").to_string();
    let exposing = scene.expose(&["--listen", "0"]);
    let remote = format!("0:office:{place}");
    let (forwarding, at) = scene.forward(&["-R", &remote]);
    assert_eq!(asked(at, b"abc"), b"cba");
    // It is let go when it is not wanted any more, and found again by who comes back.
    drop(exposing);
    let _exposing = scene.expose(&["--listen", "0"]);
    forwarding.says("asking again");
    let at = listening(&forwarding);
    assert_eq!(asked(at, b"abc"), b"cba");
    // Only that port.
    let args = ["forward", "-R", &format!("{}:office:{place}", at.port())];
    scene.here.run(&args).failed(4, &["is not allowed there"]);
}

#[test]
fn who_exposes_may_come_back() {
    let scene = Scene::new();
    let place = turn_around("127.0.0.1:0").to_string();
    let exposing = scene.expose(&[&place]);
    let (_forwarding, at) = scene.forward(&["-L", &format!("0:office:{place}")]);
    assert_eq!(asked(at, b"abc"), b"cba");
    drop(exposing);
    let _exposing = scene.expose(&[&place]);
    // Who comes before that is known goes down with the former channel.
    let begun = Instant::now();
    while try_to_ask(at, b"def").is_none_or(|it| it != b"fed") {
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn connections_outlive_the_coordinator() {
    let scene = Scene::new();
    let place = turn_around("127.0.0.1:0").to_string();
    let _exposing = scene.expose(&[&place]);
    let (_forwarding, at) = scene.forward(&["-L", &format!("0:office:{place}")]);
    let mut connection = connect(at);
    connection.write_all(&[1; 1000]).unwrap();
    let mut writing = connection.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writing.write_all(&[2; 20_000_000]).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let _again = scene.coordinator.killed_and_started();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    writing.join().unwrap();
    assert_eq!(answer.len(), 20_001_000);
    assert!(answer.starts_with(&[2; 1000]) && answer.ends_with(&[1; 1000]));
    assert_eq!(asked(at, b"abc"), b"cba");
}

#[test]
fn packets_of_all_sizes_are_forwarded_and_idle_flows_end() {
    let scene = Scene::new();
    let place = echo_packets("127.0.0.1:0");
    let _exposing = scene.expose(&["--udp", &place.to_string(), "--udp-idle", "500ms"]);
    let args = [
        "-L",
        &format!("0:office:{place}/udp"),
        "--udp-idle",
        "500ms",
    ];
    let (_forwarding, at) = scene.forward(&args);
    let sockets: Vec<_> = (0..3).map(|_| packets_to(at)).collect();
    for len in [0, 1, 500, 1200, 5000, 60_000] {
        for (n, socket) in sockets.iter().enumerate() {
            let packet = vec![u8::try_from(n).unwrap(); len];
            assert_eq!(echoed(socket, &packet).0, packet);
        }
    }
    let (_, first) = echoed(&sockets[0], b"who");
    let (_, same) = echoed(&sockets[0], b"who");
    assert_eq!(first, same);
    let begun = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(800));
        if echoed(&sockets[0], b"who").1 != first {
            break;
        }
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn packets_that_come_there_are_led_here() {
    let scene = Scene::new();
    let place = echo_packets("127.0.0.1:0");
    let _exposing = scene.expose(&["--listen", "0"]);
    let (_forwarding, at) = scene.forward(&["-R", &format!("0:office:{place}/udp")]);
    for socket in [packets_to(at), packets_to(at)] {
        assert_eq!(echoed(&socket, b"packet").0, b"packet");
        assert_eq!(echoed(&socket, &[7; 9000]).0, [7; 9000]);
    }
}

#[test]
fn a_proxy_connects_to_what_it_is_asked_for() {
    let scene = Scene::new();
    let place = turn_around("127.0.0.1:0");
    let _exposing = scene.expose(&[&format!("localhost:{}", place.port()), "127.0.0.1:9"]);
    let (_forwarding, at) = scene.forward(&["-D", "0:office"]);
    let (code, mut connection) = socks(at, "localhost", place.port());
    assert_eq!(code, 0);
    connection.write_all(b"abc").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"cba");
    assert_eq!(socks(at, "127.0.0.1", place.port()).0, 2);
    assert_eq!(socks(at, "127.0.0.1", 9).0, 5);
    // What is no SOCKS is closed.
    let mut web = connect(at);
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // With what was not read, it may be a reset.
    let _ = web.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn a_proxy_carries_packets() {
    let scene = Scene::new();
    let place = echo_packets("127.0.0.1:0");
    let _exposing = scene.expose(&["--udp", "127.0.0.1:*"]);
    let (_forwarding, at) = scene.forward(&["-D", "0:office"]);
    let mut control = connect(at);
    control
        .write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0])
        .unwrap();
    let mut answer = [0; 12];
    control.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..6], [5, 0, 5, 0, 0, 1]);
    let port = u16::from_be_bytes([answer[10], answer[11]]);
    let socket = packets_to(([127, 0, 0, 1], port).into());
    let head = [&[0, 0, 0, 1, 127, 0, 0, 1][..], &place.port().to_be_bytes()].concat();
    for len in [1, 1000, 20_000] {
        let packet = [head.clone(), vec![3; len]].concat();
        assert_eq!(echoed(&socket, &packet).0, packet);
    }
}

#[test]
fn several_are_forwarded_by_one_command() {
    let scene = Scene::new();
    let (one, other) = (
        turn_around("127.0.0.1:0").to_string(),
        echo_packets("127.0.0.1:0").to_string(),
    );
    let _exposing = scene.expose(&[&one, "--udp", &other]);
    let (tcp, udp) = (format!("0:office:{one}"), format!("0:office:{other}/udp"));
    let (forwarding, at) = scene.forward(&["-L", &tcp, "-L", &udp, "-D", "0:office"]);
    assert_eq!(asked(at, b"abc"), b"cba");
    assert_eq!(
        echoed(&packets_to(listening(&forwarding)), b"packet").0,
        b"packet"
    );
    let (code, _) = socks(listening(&forwarding), "127.0.0.1", 9);
    assert_eq!(code, 2);
    // A port is had once.
    let args = ["forward", "-L", &format!("{}:office:{one}", at.port())];
    scene
        .here
        .run(&args)
        .failed(1, &["error: cannot listen at 127.0.0.1:", "help: "]);
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["forward"]).failed(2, &["--local"]);
    home.run(&["expose"]).failed(2, &["--udp"]);
    for wrong in [
        "80",
        "80:office",
        "80:office:host",
        "80:office:host:x",
        "80:No Name:host:80",
    ] {
        home.run(&["forward", "-L", wrong]).failed(2, &["error: "]);
    }
    home.run(&["forward", "-D", "office"])
        .failed(2, &["[BIND:]PORT:NAME"]);
    for wrong in ["80", "host", "host:x", "host:9-8"] {
        home.run(&["expose", wrong]).failed(2, &["error: "]);
    }
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    home.run(&["forward", "-L", "0:nobody:localhost:80"])
        .failed(5, &["error: nobody: ", "help: "]);
}

#[test]
fn only_who_is_allowed_is_let_in() {
    let scene = Scene::new();
    let id = scene.here.run(&["id"]).succeeded().trim().to_owned();
    let _exposing = scene.expose(&["localhost:80", "--allow", &id]);
    let stranger = Home::joined(&scene.coordinator);
    stranger
        .run(&["forward", "-L", "0:office:localhost:80"])
        .failed(4, &["it does not allow that", "help: "]);
    scene.forward(&["-L", "0:office:localhost:80"]);
}

/// Where a command says next that it listens.
fn listening(running: &Running) -> SocketAddr {
    let line = running.says("listening at ");
    let at = line.split("listening at ").nth(1).unwrap();
    at.split(' ').next().unwrap().parse().unwrap()
}

/// It is reset, and not closed as if that was all.
fn assert_cut_off(mut stream: TcpStream) {
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
