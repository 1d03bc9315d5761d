//! `conec coordinator`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use conec_tokio::{Ca, Client, ClientConfig, Identity, Invitation, load_or_create_identity};
use nix::sys::signal::Signal;

use crate::support::{Coordinator, Home, Running};

#[test]
fn what_lasts_is_the_same_at_the_next_start() {
    let first = Coordinator::start();
    let home = Home::joined(&first);
    let (address, url, ticket) = (first.address(), first.url.clone(), first.ticket.clone());
    first.running.signal(Signal::SIGTERM);
    first.running.ended().succeeded();
    let second = Coordinator::start_in(first.home, &address, &[]);
    assert_eq!((&second.url, &second.ticket), (&url, &ticket));
    // Who has joined is let in.
    home.run(&["ping", "nobody"]).failed(5, &[]);
}

#[test]
fn nobody_else_can_read_what_lasts() {
    let coordinator = Coordinator::start();
    let state = coordinator.home.path().join("coordinator");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.clone()), 0o700);
    for file in fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(path.clone()), 0o600, "{path:?}");
    }
    let ticket = fs::read_to_string(state.join("ticket")).unwrap();
    assert_eq!(ticket.trim(), coordinator.ticket);
}

#[test]
fn the_first_host_is_in_the_url_and_the_ticket_can_be_kept_back() {
    let home = Home::new();
    let args = [
        "coordinator",
        "--listen",
        "127.0.0.1:0",
        "--host",
        "conec.example.org",
        "--no-ticket",
    ];
    let running = home.start(&args);
    let url = running.line();
    assert!(url.contains("@conec.example.org:"), "{url}");
    running.says("listening at 127.0.0.1:");
    running.signal(Signal::SIGINT);
    assert_eq!(running.ended().succeeded(), "");
}

#[test]
fn wrong_usage_is_said() {
    let home = Home::new();
    home.run(&["coordinator", "--listen", "nowhere"])
        .failed(2, &["nowhere"]);
    home.run(&[
        "coordinator",
        "--listen",
        "127.0.0.1:0",
        "--host",
        "no host",
    ])
    .failed(2, &["no host"]);
    // An address that this machine does not have (RFC 5737).
    home.run(&["coordinator", "--listen", "192.0.2.1:4433"])
        .failed(1, &["cannot listen at 192.0.2.1:4433", "help: "]);
}

#[test]
fn two_do_not_share_a_state() {
    let coordinator = Coordinator::start();
    let second = coordinator
        .home
        .run(&["coordinator", "--listen", "127.0.0.1:0"]);
    second.failed(2, &["another Coordinator uses", "help: "]);
}

#[test]
fn what_is_damaged_is_said_and_left_alone() {
    for (file, said) in [
        ("token", "token is damaged"),
        ("certificate.pem", "certificate"),
        ("forbidden", "forbidden line 1 is no id"),
    ] {
        let home = Home::new();
        let path = home.path().join("coordinator").join(file);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "abc").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        home.run(&["coordinator", "--listen", "127.0.0.1:0"])
            .failed(2, &[said, "help: "]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
    }
}

#[test]
fn a_state_that_cannot_be_is_said() {
    let home = Home::new();
    fs::write(home.path().join("coordinator"), "a file").unwrap();
    home.run(&["coordinator", "--listen", "127.0.0.1:0"])
        .failed(1, &["error: cannot make", "help: "]);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let coordinator = Coordinator::start_with(&["--config", &drain_for_an_hour()]);
    let ticket: Invitation = coordinator.ticket.parse().unwrap();
    let trust = ticket.coordinator.trust().unwrap();
    let mut config = ClientConfig::new(Identity::generate().unwrap(), trust);
    // It does not go over to another one.
    config.reconnect = false;
    config.token = ticket.token;
    let _client = Client::connect(&coordinator.address(), config)
        .await
        .unwrap();
    let mut running = coordinator.running;
    running.signal(Signal::SIGTERM);
    running.says("another signal ends at once");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!running.has_ended());
    running.signal(Signal::SIGTERM);
    running.ended().succeeded();
}

/// A configuration, in a directory that stays.
fn drain_for_an_hour() -> String {
    let path = tempfile::tempdir().unwrap().keep().join("coordinator.toml");
    fs::write(&path, "drain = \"1h\"").unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn a_certificate_from_elsewhere_is_shown() {
    let home = Home::new();
    let ca = Ca::generate().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = Duration::from_secs(3600);
    let made = ca
        .certify_coordinator(["localhost"], now - hour, 2 * hour)
        .unwrap()
        .to_pem();
    let (part_of_key, part_of_cert) = halves(str::from_utf8(made.as_ref()).unwrap());
    let root = ca.to_pem();
    let (_, root) = halves(str::from_utf8(root.as_ref()).unwrap());
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, roots) = (path("cert.pem"), path("key.pem"), path("root.pem"));
    for (file, text) in [(&cert, part_of_cert), (&key, part_of_key), (&roots, root)] {
        fs::write(file, text).unwrap();
    }
    // Its key is a secret.
    let args = ["--cert", &cert, "--key", &key, "--host", "localhost"];
    let all = [&["coordinator", "--listen", "127.0.0.1:0"][..], &args].concat();
    home.run(&all)
        .failed(2, &["everybody on this machine can read", "chmod"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    home.run(&["coordinator", "--cert", &cert])
        .failed(2, &["--key"]);
    let mixed = [
        "coordinator",
        "--listen",
        "127.0.0.1:0",
        "--cert",
        &key,
        "--key",
        &key,
    ];
    home.run(&mixed).failed(2, &["key.pem", "help: "]);

    let coordinator = Coordinator::start_in(Home::new(), "127.0.0.1:0", &args);
    assert!(
        !coordinator
            .home
            .path()
            .join("coordinator/certificate.pem")
            .exists()
    );
    // Without its pin, it is known by its name and by who vouches for it.
    let user = Home::new();
    let (_, address) = coordinator.url.rsplit_once('@').unwrap();
    let url = format!("conec://{address}");
    let token = coordinator.home.path().join("coordinator/token");
    let args = [
        "ping",
        "nobody",
        "--coordinator",
        &url,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let mut command = user.command(&args);
    Running::of(command.env("SSL_CERT_FILE", &roots))
        .ended()
        .failed(5, &[]);
    let mut command = user.command(&args);
    let nowhere = Home::new();
    let empty = nowhere.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    Running::of(
        command
            .env("SSL_CERT_FILE", &empty)
            .env("SSL_CERT_DIR", nowhere.path()),
    )
    .ended()
    .failed(3, &["help: "]);
}

/// The private key and the certificate, whichever comes first.
fn halves(pem: &str) -> (String, String) {
    let parts = pem.split_inclusive("-----END").collect::<Vec<_>>();
    assert_eq!(parts.len(), 3, "{pem}");
    let (begin, rest) = pem.split_at(pem.rfind("-----BEGIN").unwrap());
    match begin.contains("PRIVATE KEY") {
        true => (begin.into(), rest.into()),
        false => (rest.into(), begin.into()),
    }
}

#[test]
fn the_ticket_is_shown_as_a_code() {
    let coordinator = Coordinator::start_with(&["--qr"]);
    coordinator.running.says("▀");
}

#[test]
fn a_new_token_is_made_when_the_former_one_is_taken_away() {
    let coordinator = Coordinator::start();
    let state = coordinator.home.path().join("coordinator");
    let home = Home::joined(&coordinator);
    fs::remove_file(state.join("token")).unwrap();
    coordinator.running.signal(Signal::SIGHUP);
    coordinator.running.says("was read again");
    home.run(&["ping", "nobody"])
        .failed(4, &["token", "conec join"]);
    let ticket = fs::read_to_string(state.join("ticket")).unwrap();
    assert_ne!(ticket.trim(), coordinator.ticket);
    home.run_with(&["join"], &ticket).succeeded();
    home.run(&["ping", "nobody"]).failed(5, &[]);
}

#[test]
fn who_has_no_credential_is_not_let_in_where_one_is_wanted() {
    let (home, user) = (Home::new(), Home::new());
    let ca = Ca::generate().unwrap();
    let root = ca.to_pem();
    let (_, root) = halves(str::from_utf8(root.as_ref()).unwrap());
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("root.pem"), root).unwrap();
    fs::write(path("c.toml"), "authorities = \"root.pem\"\n").unwrap();
    let config = path("c.toml");
    let credential = path("credential.pem");
    user.run(&["id"]).succeeded();
    let identity = load_or_create_identity(user.path().join("identity")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = Duration::from_secs(3600);
    let name = "office".parse().unwrap();
    let issued = ca
        .certify(&identity.public_key(), &name, now - hour, 2 * hour)
        .unwrap();
    let mut text = String::new();
    for certificate in issued.chain() {
        let base64 = data_encoding::BASE64.encode(certificate);
        text.push_str(&format!(
            "-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"
        ));
    }
    fs::write(&credential, text).unwrap();

    let coordinator = Coordinator::start_in(home, "127.0.0.1:0", &["--config", &config]);
    user.run_with(&["join"], &coordinator.ticket)
        .failed(4, &["credential"]);
    user.run_with(&["join", "--offline"], &coordinator.ticket)
        .succeeded();
    let with = ["ping", "--answer", "--credential", &credential];
    let answerer = user.start(&with);
    answerer.says("here as office");
    // Another identity of the same machine has none.
    user.run(&with).failed(2, &["credential", "help: "]);
    user.run(&["ping", "a", "--credential", &config])
        .failed(2, &["is no credential", "help: "]);
}

#[test]
fn channels_outlive_a_coordinator_that_is_stopped_and_started_anew() {
    let first = Coordinator::start();
    let (here, there) = (Home::joined(&first), Home::joined(&first));
    let office = there.start(&["ping", "--answer", "--name", "office"]);
    office.says("here as office");
    let pinging = here.start(&[
        "ping",
        "office",
        "--path",
        "proxied",
        "--interval",
        "50ms",
        "--timeout",
        "50s",
    ]);
    pinging.line();
    let address = first.address();
    first.running.signal(Signal::SIGTERM);
    first.running.ended().succeeded();
    let _second = Coordinator::start_in(first.home, &address, &[]);
    pinging.says("the Coordinator is there again");
    for _ in 0..20 {
        pinging.line();
    }
}
