//! ssh through `conec connect`.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::support::{Coordinator, Home, LONG, Running};

#[test]
fn ssh_goes_through_a_pipe() {
    let Some(server) = Server::start() else {
        eprintln!("skipped: sshd is not installed, or this is not root");
        return;
    };
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let place = format!("127.0.0.1:{}", server.port);
    let listening = home.start(&["listen", "--name", "office", "--tcp", &place]);
    listening.says("here as office");
    let ssh = |command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
        ])
        .args([
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
        ])
        .arg(format!(
            "ProxyCommand={} connect %h",
            env!("CARGO_BIN_EXE_conec")
        ))
        .arg("-i")
        .arg(server.home.path().join("key"))
        .args(["office", command])
        .env("CONEC_HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
        Running::of(&mut ssh).ended()
    };
    let said = ssh("echo hello; exit 3");
    assert_eq!(said.status().code(), Some(3), "{}", said.stderr());
    assert_eq!(said.stdout(), "hello\n");
    let said = ssh("head -c 5000000 /dev/zero | tr '\\0' x");
    assert_eq!(said.succeeded().len(), 5_000_000);
    // ssh hangs up when it is done, which is no error.
    thread::sleep(Duration::from_millis(500));
    listening.signal(Signal::SIGTERM);
    let said = listening.ended();
    assert!(!said.stderr().contains("error"), "{}", said.stderr());
}

/// An sshd for this test only, which runs as long as this is there.
struct Server {
    home: Home,
    port: u16,
    _running: Running,
}

impl Server {
    fn start() -> Option<Self> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() || !nix::unistd::Uid::effective().is_root() {
            return None;
        }
        let home = Home::new();
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        for name in ["host", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)])
                .status();
            assert!(made.unwrap().success());
        }
        fs::copy(path("key.pub"), path("authorized")).unwrap();
        // sshd wants it where it gives up its privileges.
        fs::create_dir_all("/run/sshd").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(sshd);
        command
            .args([
                "-D",
                "-e",
                "-f",
                "/dev/null",
                "-o",
                "ListenAddress=127.0.0.1",
            ])
            .args([
                "-o",
                "StrictModes=no",
                "-o",
                "PidFile=none",
                "-o",
                "UsePAM=no",
            ])
            .args([
                "-o",
                "PermitRootLogin=prohibit-password",
                "-p",
                &port.to_string(),
            ])
            .args(["-h", &path("host"), "-o"])
            .arg(format!("AuthorizedKeysFile={}", path("authorized")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let running = Running::of(&mut command);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < LONG, "sshd does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            home,
            port,
            _running: running,
        })
    }
}
