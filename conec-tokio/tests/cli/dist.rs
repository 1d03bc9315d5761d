//! What `dist` has for systemd and for containers, as far as that goes without either.

use std::{fs, os::unix::net::UnixDatagram, path::Path, process::Command};

use crate::{
    guide::network,
    support::{Home, LONG, Running, Terminal},
};

#[test]
fn systemd_understands_the_unit() {
    let has_it = Command::new("systemd-analyze").arg("--version").output();
    if !has_it.is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let home = Home::new();
    let unit = UNIT
        .replace("/usr/local/bin/conec", CONEC)
        // It would look for the manual page.
        .replace("Documentation=man:conec(1)\n", "");
    let path = home.path().join("conec-coordinator.service");
    fs::write(&path, unit).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Of other units it says what it likes.
    let of_ours = said.lines().filter(|line| line.contains("conec"));
    assert_eq!(of_ours.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(verified.status.success(), "{said}");
}

#[test]
fn what_the_unit_starts_is_ready_and_keeps_its_ticket() {
    let test = "dist::what_the_unit_starts_is_ready_and_keeps_its_ticket";
    network::in_its_own(test, || {
        let home = Home::new();
        let notify = home.path().join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let start = UNIT.lines().find_map(|it| it.strip_prefix("ExecStart="));
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/coordinator.toml");
        let line = start
            .unwrap()
            .replace("%S", home.path().to_str().unwrap())
            .replace("/etc/conec/coordinator.toml", config);
        let (program, args) = line.split_once(' ').unwrap();
        assert_eq!(program, "/usr/local/bin/conec");
        let args: Vec<_> = args.split(' ').collect();
        let running = Running::of(home.command(&args).env("NOTIFY_SOCKET", &notify));
        let mut told = [0; 4096];
        let len = socket.recv(&mut told).unwrap();
        let told = String::from_utf8_lossy(&told[..len]);
        assert!(told.contains("READY=1"), "{told}");
        assert_ticket(&home.path().join("conec/ticket"));
        drop(running);
    });
}

#[test]
fn what_the_container_starts_keeps_its_ticket_in_its_volume() {
    let test = "dist::what_the_container_starts_keeps_its_ticket_in_its_volume";
    network::in_its_own(test, || {
        let home = Home::new();
        let state = home.path().join("state");
        let entry = CONTAINER
            .lines()
            .find_map(|it| it.strip_prefix("ENTRYPOINT "));
        let mut words: Vec<String> = serde_json::from_str(entry.unwrap()).unwrap();
        words.extend(["--host".into(), "conec.example.org".into()]);
        assert_eq!(words.remove(0), "conec");
        assert!(CONTAINER.contains("ENV CONEC_STATE=/state\n"));
        let mut command = home.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("CONEC_STATE", &state);
        let mut running = Terminal::of(command);
        running.shows("listening at [::]:4433, and at UDP port 4434");
        assert_ticket(&state.join("ticket"));
        running.stop();
    });
}

fn assert_ticket(path: &Path) {
    let ticket = fs::read_to_string(path).unwrap();
    assert!(ticket.starts_with("conec1"), "{ticket}");
}

const CONEC: &str = env!("CARGO_BIN_EXE_conec");
const UNIT: &str = include_str!("../../dist/conec-coordinator.service");
const CONTAINER: &str = include_str!("../../dist/Containerfile");
