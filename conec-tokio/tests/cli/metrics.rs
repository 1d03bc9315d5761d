//! What a Coordinator shows by HTTP.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant, SystemTime},
};

use conec_tokio::{Client, ClientConfig, Identity, Invitation};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Coordinator, Home, LONG, Running};

/// A Coordinator that shows what happens, and where.
pub(crate) struct Scene {
    pub(crate) coordinator: Coordinator,
    pub(crate) at: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of(Coordinator::start_with(&["--metrics", "0"]))
    }

    fn of(coordinator: Coordinator) -> Self {
        let said = coordinator.running.says("status page");
        let (_, at) = said.split_once("http://").unwrap();
        let at = at.trim_end_matches('/').to_owned();
        Self { coordinator, at }
    }

    fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.at))
    }

    fn ask(&self, request: &str) -> Reply {
        Reply::to(self.connect(request))
    }

    fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.at).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").good().body).unwrap()
    }

    /// Once it is as it should be.
    fn status_when(&self, is_right: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            let status = self.status();
            if is_right(&status) {
                return status;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("it does not become so: {}", self.status());
    }

    fn watch(&self) -> Watching {
        let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", self.at);
        let mut reader = BufReader::new(self.connect(&request));
        let mut status = String::new();
        reader.read_line(&mut status).unwrap();
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        Watching { status, reader }
    }
}

/// Somebody who watches.
struct Watching {
    status: u16,
    reader: BufReader<TcpStream>,
}

impl Watching {
    /// What the next event tells. `None` after the last one.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

struct Reply {
    status: u16,
    /// In lower case.
    head: String,
    body: String,
}

impl Reply {
    /// The whole of it: such connections are for one request.
    fn to(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_lowercase(),
            body: body.into(),
        }
    }

    fn good(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.body);
        self
    }

    fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.starts_with(header))
    }
}

/// Somebody who answers pings.
pub(crate) fn office(coordinator: &Coordinator) -> (Home, Running) {
    let home = Home::joined(coordinator);
    let office = home.start(&["ping", "--answer", "--name", "office"]);
    office.says("here as office");
    (home, office)
}

#[test]
fn prometheus_is_told_what_was_counted() {
    let scene = Scene::new();
    let (_home, _office) = office(&scene.coordinator);
    scene.status_when(|it| it["totals"]["clients"] == 1);
    let reply = scene.get("/metrics").good();
    assert!(reply.has("content-type: text/plain; version=0.0.4"));
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    for line in reply.body.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", name, _, ..] => assert!(helped.insert(name), "{name} twice"),
            ["#", "TYPE", name, kind] => {
                assert!(typed.insert(name), "{name} twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            }
            [sample, value] => {
                let name = sample.split('{').next().unwrap();
                assert!(helped.contains(name) && typed.contains(name), "{line}");
                assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
                assert!(seen.insert(sample), "{sample} twice");
            }
            _ => panic!("{line}"),
        }
    }
    for sample in [
        "conec_channels{path=\"forwarded\"}",
        "conec_forwarded_bytes_total",
        "conec_forwards_dropped_total",
        "conec_handshakes_refused_total",
        "conec_groups",
    ] {
        assert!(seen.contains(sample), "{sample}");
    }
    assert!(reply.body.contains("\nconec_clients 1\n"));
    #[cfg(target_os = "linux")]
    assert!(seen.contains("process_resident_memory_bytes"));
}

#[test]
fn the_status_tells_who_is_there_and_what_passes() {
    let scene = Scene::new();
    let (home, _office) = office(&scene.coordinator);
    let id = home.run(&["id"]).succeeded().trim().to_owned();
    let _pinging = home.start(&["ping", "office", "--path", "proxied", "-i", "20ms"]);
    let is_right = |it: &Value| {
        it["channels"][0]["bytes_per_second"]
            .as_f64()
            .is_some_and(|it| it > 0.0)
    };
    let status = scene.status_when(is_right);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_seconds"].as_f64().unwrap() > 0.0);
    let totals = &status["totals"];
    assert_eq!(
        (&totals["clients"], &totals["channels"]),
        (&2.into(), &1.into())
    );
    assert_eq!(totals["paths"]["forwarded"], 1);
    assert!(totals["bytes_forwarded"].as_u64().unwrap() > 1000);
    let clients = status["clients"].as_array().unwrap();
    let office = clients.iter().find(|it| it["id"] == *id).unwrap();
    assert_eq!(office["names"][0], "office");
    assert!(
        office["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let since = humantime::parse_rfc3339(office["since"].as_str().unwrap()).unwrap();
    assert!(SystemTime::now().duration_since(since).unwrap() < LONG);
    assert_eq!(office["paths"]["forwarded"], 1);
    assert!(office["rtt_seconds"].as_f64().unwrap() > 0.0);
    let channel = &status["channels"][0];
    assert_eq!(
        (&channel["to"], &channel["label"]),
        (&id.into(), &"conec/ping".into())
    );
    assert_eq!(channel["names"][1], "office");

    let found = |query: &str| {
        let reply = scene.get(&format!("/status?{query}")).good();
        let status: Value = serde_json::from_str(&reply.body).unwrap();
        let found = &status["found"];
        let shown = status["clients"].as_array().unwrap().len();
        (found["clients"].as_u64(), found["channels"].as_u64(), shown)
    };
    assert_eq!(found("find=OFFICE"), (Some(1), Some(1), 1));
    assert_eq!(found("find=conec%2Fping"), (Some(0), Some(1), 0));
    assert_eq!(found("find=nobody"), (Some(0), Some(0), 0));
    assert_eq!(found("most=1"), (Some(2), Some(1), 1));
    for query in ["most=-1", "most=1000000", "most=x", "which=all"] {
        assert_eq!(
            scene.get(&format!("/status?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn the_page_has_all_that_it_needs() {
    let scene = Scene::new();
    let page = scene.get("/").good();
    assert!(page.has("content-type: text/html; charset=utf-8"));
    assert!(page.has("content-security-policy: default-src 'none'; script-src 'sha256-"));
    assert!(page.has("x-content-type-options: nosniff"));
    assert!(page.has("cache-control: no-store"));
    assert!(page.body.contains("width=device-width"));
    assert!(!page.body.contains("{SCRIPT}") && !page.body.contains("{STYLE}"));
    let of = |method: &str, path: &str| {
        let at = &scene.at;
        scene.ask(&format!("{method} {path} HTTP/1.1\r\nHost: {at}\r\n\r\n"))
    };
    for path in ["/", "/status", "/metrics", "/events"] {
        let head = of("HEAD", path).good();
        assert_eq!(head.body, "", "{path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let refused = of(method, path);
            assert_eq!(refused.status, 405, "{method} {path}");
            assert!(refused.has("allow: get, head"));
            assert!(refused.has("content-security-policy: "));
        }
    }
    assert_eq!(scene.get("/nothing").status, 404);
    assert_eq!(scene.get("/../../etc/passwd").status, 404);
    assert_eq!(scene.ask("nonsense\r\n\r\n").status, 400);
}

/// A web site whose name leads to this machine is not told what is here.
#[test]
fn only_who_asks_for_this_machine_is_answered() {
    let scene = Scene::new();
    let port = scene.at.rsplit_once(':').unwrap().1;
    let asked = |host: &str, path: &str| {
        scene
            .ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .status
    };
    for path in ["/", "/status", "/metrics", "/events", "/nothing"] {
        assert_eq!(asked("evil.example", path), 403);
        assert_eq!(asked(&format!("evil.example:{port}"), path), 403);
    }
    assert_eq!(scene.ask("GET / HTTP/1.0\r\n\r\n").status, 403);
    for host in ["localhost", "[::1]", "127.0.0.1"] {
        assert_eq!(asked(&format!("{host}:{port}"), "/status"), 200);
        assert_eq!(asked(host, "/status"), 200);
    }
}

#[test]
fn who_watches_sees_a_client_come() {
    let scene = Scene::new();
    let mut watching = scene.watch();
    assert_eq!(watching.status, 200);
    let first = watching.next().unwrap();
    assert_eq!(first["totals"]["clients"], 0);
    // As long as there was no look before, there are no rates.
    assert_eq!(first["totals"]["bytes_per_second"], Value::Null);
    let (_home, _office) = office(&scene.coordinator);
    let begun = Instant::now();
    loop {
        let event = watching.next().unwrap();
        assert!(event["totals"]["bytes_per_second"].is_f64());
        if event["totals"]["clients"] == 1 {
            assert_eq!(event["clients"][0]["names"][0], "office");
            break;
        }
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn so_many_can_watch_and_no_more() {
    let scene = Scene::new();
    let mut all: Vec<_> = (0..16).map(|_| scene.watch()).collect();
    for one in &mut all {
        assert_eq!(one.status, 200);
        one.next().unwrap();
    }
    assert_eq!(scene.watch().status, 503);
    // Scrapes are not kept out by them.
    scene.get("/metrics").good();
    let times: BTreeSet<_> = all
        .iter_mut()
        .map(|it| it.next().unwrap()["uptime_seconds"].to_string())
        .collect();
    // Computed for many at once.
    assert!(times.len() < 8, "{times:?}");
    all.pop();
    let begun = Instant::now();
    while scene.watch().status != 200 {
        assert!(begun.elapsed() < LONG);
        thread::sleep(Duration::from_millis(100));
    }
}

/// Who connects and says nothing, or little, is let go, and holds up others for so long only.
#[test]
fn who_says_nothing_is_let_go() {
    let scene = Scene::new();
    let silent: Vec<_> = (0..80)
        .map(|it| scene.connect(["", "GET / HT"][it % 2]))
        .collect();
    scene.get("/metrics").good();
    drop(silent);
    let endless = "x".repeat(1 << 20);
    let mut stream = scene.connect("GET / HTTP/1.1\r\nX: ");
    let refused = stream
        .write_all(endless.as_bytes())
        .and_then(|()| stream.read_to_string(&mut String::new()));
    // Told so, or cut off.
    assert!(refused.is_err() || refused.is_ok_and(|read| read > 0));
    scene.get("/metrics").good();
}

/// Labels are whatever Clients like.
#[tokio::test(flavor = "multi_thread")]
async fn labels_stay_text() {
    let scene = Scene::new();
    let ticket: Invitation = scene.coordinator.ticket.parse().unwrap();
    let address = scene.coordinator.address();
    let client = async |name: &str| {
        let trust = ticket.coordinator.trust().unwrap();
        let mut config = ClientConfig::new(Identity::generate().unwrap(), trust);
        config.token = ticket.token.clone();
        config.name = Some(name.parse().unwrap());
        Client::connect(&address, config).await.unwrap()
    };
    let (alice, bob) = (client("alice").await, client("bob").await);
    let label = "</script><img src=x onerror=alert(1)>\r\n\r\ndata: {}\n\nid: 7\u{202e}\u{0}";
    let accept = tokio::spawn({
        let bob = bob.clone();
        async move { bob.accept().await.unwrap().accept().await.unwrap() }
    });
    let open = tokio::time::timeout(LONG, alice.open(bob.id(), label));
    let _channels = (open.await.unwrap().unwrap(), accept.await.unwrap());
    let seen = tokio::task::spawn_blocking(move || {
        let mut watching = scene.watch();
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            // Each event is one line of JSON.
            let event = watching.next().unwrap();
            if let Some(channel) = event["channels"].get(0) {
                let label = channel["label"].as_str().unwrap().to_owned();
                return (
                    label,
                    scene.get("/metrics").good().body,
                    scene.get("/").good().body,
                );
            }
        }
        panic!("the channel does not show");
    });
    let (shown, metrics, page) = seen.await.unwrap();
    assert_eq!(shown, label);
    assert!(!metrics.contains("alert(1)") && !page.contains("alert(1)"));
}

#[test]
fn it_ends_with_the_coordinator() {
    let mut scene = Scene::new();
    let mut watching = scene.watch();
    watching.next().unwrap();
    scene.coordinator.running.signal(Signal::SIGTERM);
    let begun = Instant::now();
    while watching.next().is_some() {
        assert!(begun.elapsed() < LONG);
    }
    let ended = scene.coordinator.running.ended();
    assert_eq!(ended.status().code(), Some(0), "{}", ended.stderr());
    assert!(TcpStream::connect(&scene.at).is_err());
    // So that nothing of it is left.
    scene.at.clear();
}

#[test]
fn it_is_there_again_after_the_coordinator_was_killed() {
    let scene = Scene::new();
    let (_home, _office) = office(&scene.coordinator);
    scene.status_when(|it| it["totals"]["clients"] == 1);
    let mut watching = scene.watch();
    watching.next().unwrap();
    let address = scene.coordinator.address();
    let Coordinator {
        home, mut running, ..
    } = scene.coordinator;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let again = Coordinator::start_in(home, &address, &["--metrics", &scene.at]);
    let again = Scene::of(again);
    assert_eq!(again.at, scene.at);
    again.status_when(|it| it["clients"][0]["names"][0] == "office");
}

#[test]
fn an_address_that_cannot_be_had_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let home = Home::new();
    let run =
        |more: &[&str]| home.run(&[&["coordinator", "--listen", "127.0.0.1:0"], more].concat());
    let at = format!("127.0.0.1:{port}");
    run(&["--metrics", &port]).failed(1, &[&at, "in use", "help: ", "--metrics"]);
    for wrong in ["", "here", "99999", "127.0.0.1", "localhost:"] {
        run(&["--metrics", wrong]).failed(2, &["--metrics", "neither a port nor an address"]);
    }
}

#[test]
fn the_configuration_may_say_where() {
    let home = Home::new();
    let path = home.path().join("coordinator.toml");
    let path = path.to_str().unwrap();
    let check = |text: &str| {
        fs::write(path, text).unwrap();
        home.run(&["coordinator", "--check", "--config", path])
    };
    for right in ["9433", "\"9433\"", "\"[::1]:9433\"", "\"localhost:9433\""] {
        check(&format!("metrics = {right}\n")).succeeded();
    }
    for wrong in ["-1", "70000", "true", "\"here\""] {
        let said = check(&format!("open = true\nmetrics = {wrong}\n"));
        said.failed(2, &["line 2", "a port", "help: "]);
    }
    // An address that no machine has. What the command line says counts before it.
    fs::write(path, "metrics = \"203.0.113.1:9433\"\n").unwrap();
    let args = ["--config", path];
    home.run(&[&["coordinator", "--listen", "127.0.0.1:0"], &args[..]].concat())
        .failed(1, &["203.0.113.1:9433", "help: "]);
    let args = [&args[..], &["--metrics", "0"]].concat();
    let scene = Scene::of(Coordinator::start_in(home, "127.0.0.1:0", &args));
    assert!(scene.at.starts_with("127.0.0.1:"));
    scene.get("/").good();
}

/// Whoever shows it to others is told that, and is not asked for names.
#[test]
fn others_may_see_it_where_that_is_wanted() {
    let coordinator = Coordinator::start_with(&["--metrics", "0.0.0.0:0"]);
    let mut scene = Scene::of(coordinator);
    scene.coordinator.running.says("no password");
    scene.at = scene.at.replace("0.0.0.0", "127.0.0.1");
    let reply = scene.ask("GET /status HTTP/1.1\r\nHost: conec.example.org\r\n\r\n");
    assert_eq!(reply.status, 200);
}
