//! A sender that does not keep to the protocol.

use std::{fs, time::Duration};

use bytes::Bytes;
use conec_tokio::{
    Channel, Client, ClientConfig, CloseReason, Code, Identity, Invitation, Name, Receiver, Sender,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Pair, names};
use crate::support::{LONG, Running};

const MALFORMED: Code = Code(400);
const FAILED: Code = Code(500);
/// Nothing was refused.
const OVER: Code = Code(1);

/// Somebody who sends as it likes.
pub(super) struct Hostile {
    runtime: Runtime,
    client: Client,
}

/// What it sends on.
struct Lines {
    channel: Channel,
    entries: Sender,
    answers: Receiver,
    bytes: Sender,
}

impl Hostile {
    pub(super) fn new(pair: &Pair) -> Self {
        let runtime = Runtime::new().unwrap();
        let invitation: Invitation = pair.coordinator.ticket.parse().unwrap();
        let url = &invitation.coordinator;
        let mut config = ClientConfig::new(Identity::generate().unwrap(), url.trust().unwrap());
        config.token = invitation.token.clone();
        let authority = url.authority();
        let client = runtime
            .block_on(Client::connect(&authority, config))
            .unwrap();
        Self { runtime, client }
    }

    /// Opens a channel to whoever has this name, and goes without having said anything.
    pub(super) fn visit(&self, name: &str) {
        let name: Name = name.parse().unwrap();
        self.runtime.block_on(async {
            let channel = self.client.open(name, "conec/files").await.unwrap();
            channel.abort(OVER);
            tokio::time::sleep(Duration::from_millis(300)).await;
        });
    }

    /// Sends this, and gives the code by which it is refused.
    fn send(&self, summary: Value, lies: impl AsyncFnOnce(&mut Lines) -> Option<()>) -> Code {
        let to: Name = "office".parse().unwrap();
        let work = async {
            let channel = self.client.open(to, "conec/files").await.unwrap();
            let (mut entries, answers) = channel.open_bi("files").await.unwrap();
            say(&mut entries, &summary).await.unwrap();
            let bytes = channel.open_uni("bytes").await.unwrap();
            let mut lines = Lines {
                channel,
                entries,
                answers,
                bytes,
            };
            // It may be refused in the middle.
            let _ = lies(&mut lines).await;
            let reason = lines.channel.closed().await;
            if let CloseReason::Application(code) = reason {
                return code;
            }
            // It has ended it itself, which is to be heard.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(reason, CloseReason::Local);
            OVER
        };
        let within = async { tokio::time::timeout(LONG, work).await };
        self.runtime.block_on(within).unwrap()
    }
}

impl Lines {
    async fn entry(&mut self, entry: &Value) -> Option<()> {
        say(&mut self.entries, entry).await
    }

    /// A file, up to its answer.
    async fn file(&mut self, name: &str, size: u64) -> Option<()> {
        self.entry(&file(name, size)).await?;
        loop {
            let answer = self.answers.recv().await.ok()??;
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["is"] == "wanted" {
                return Some(());
            }
        }
    }

    async fn start(&mut self, from: u64) -> Option<()> {
        say(&mut self.bytes, &json!({ "from": from })).await
    }

    async fn bytes(&mut self, bytes: &'static [u8]) -> Option<()> {
        self.bytes.send(Bytes::from_static(bytes)).await.ok()
    }

    async fn stop(&mut self, of: &[u8]) -> Option<()> {
        let blake3 = blake3::hash(of).to_string();
        say(&mut self.bytes, &json!({ "blake3": blake3 })).await
    }

    /// The end, until it is heard that all is done.
    async fn end(&mut self) -> Option<()> {
        self.entry(&json!({ "is": "end" })).await?;
        while let Some(answer) = self.answers.recv().await.ok()? {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["is"] == "done" {
                self.channel.abort(OVER);
            }
        }
        None
    }
}

fn summary(files: u64, folders: u64, bytes: u64) -> Value {
    json!({ "version": 1, "names": ["a"], "files": files, "folders": folders, "bytes": bytes })
}

fn file(name: &str, size: u64) -> Value {
    json!({ "is": "file", "name": name, "mode": 0o644, "modified": 0, "size": size })
}

fn folder(name: &str) -> Value {
    json!({ "is": "folder", "name": name, "mode": 0o755, "modified": 0 })
}

async fn say(to: &mut Sender, what: &Value) -> Option<()> {
    to.send(Bytes::from(what.to_string())).await.ok()
}

fn setting() -> (Pair, Running, Hostile) {
    let pair = Pair::new();
    let receiving = pair.receive(&[]);
    let hostile = Hostile::new(&pair);
    (pair, receiving, hostile)
}

#[test]
fn names_do_not_lead_elsewhere() {
    let (pair, receiving, hostile) = setting();
    let names_sent = [
        "../outside",
        "/etc/passwd",
        "..",
        "a\\b",
        "C:x",
        "NUL",
        "bell\u{7}\u{1b}[2J",
        ".profile",
        "",
        "x.conec-part",
    ];
    let count = names_sent.len() as u64;
    let code = hostile.send(summary(count, 0, count), async |lines| {
        for name in names_sent {
            lines.file(name, 1).await?;
            lines.start(0).await?;
            lines.bytes(b"x").await?;
            lines.stop(b"x").await?;
        }
        lines.end().await
    });
    assert_eq!(code, OVER);
    let mut expected = [
        "_.._outside",
        "_etc_passwd",
        "__",
        "a_b",
        "C_x",
        "_NUL",
        "bell__[2J",
        "_.profile",
        "_",
        "x.conec-part_",
    ];
    expected.sort_unstable();
    assert_eq!(names(&pair.to()), expected);
    for _ in names_sent {
        assert!(!receiving.line().contains(['\u{7}', '\u{1b}']));
    }
}

#[test]
fn the_same_name_twice_does_not_replace_the_first() {
    let (pair, _receiving, hostile) = setting();
    let code = hostile.send(summary(2, 0, 2), async |lines| {
        for content in [b"1", b"2"] {
            lines.file("a", 1).await?;
            lines.start(0).await?;
            lines.bytes(content).await?;
            lines.stop(content).await?;
        }
        lines.end().await
    });
    assert_eq!(code, OVER);
    assert_eq!(fs::read(pair.to().join("a")).unwrap(), b"1");
    assert_eq!(fs::read(pair.to().join("a (1)")).unwrap(), b"2");
}

#[test]
fn what_is_not_what_was_said_is_refused() {
    let (pair, receiving, hostile) = setting();
    let refused = |what: &str, code: Code, expected: Code| {
        assert_eq!(code, expected, "{what}");
        receiving.says("error: ");
        assert!(!pair.to().join("a").exists(), "{what}");
    };
    let code = hostile.send(json!({ "version": 2 }), async |_| None);
    refused("another version", code, MALFORMED);
    let code = hostile.send(summary(u64::MAX, 1, 0), async |_| None);
    refused("too many", code, MALFORMED);
    let code = hostile.send(json!({ "names": "x".repeat(70_000) }), async |_| None);
    refused("too long", code, MALFORMED);
    let code = hostile.send(summary(1, 0, 4), async |lines| lines.file("a", 5).await);
    refused("larger than said", code, MALFORMED);
    let code = hostile.send(summary(1, 0, 4), async |lines| {
        lines.file("a", 4).await?;
        lines.start(0).await?;
        lines.bytes(b"12345").await
    });
    refused("more bytes than said", code, MALFORMED);
    let code = hostile.send(summary(1, 0, 4), async |lines| {
        lines.file("a", 4).await?;
        lines.start(0).await?;
        loop {
            lines.bytes(b"").await?;
        }
    });
    refused("nothing, for ever", code, MALFORMED);
    let code = hostile.send(summary(1, 0, 4), async |lines| {
        lines.file("a", 4).await?;
        lines.start(4).await
    });
    refused("what is there was not there", code, MALFORMED);
    let code = hostile.send(summary(1, 0, 4), async |lines| {
        lines.file("a", 4).await?;
        lines.start(0).await?;
        lines.bytes(b"1234").await?;
        lines.stop(b"4321").await
    });
    refused("another hash", code, FAILED);
    assert_eq!(names(&pair.to()), [""; 0]);
    let code = hostile.send(summary(1, 0, 4), async |lines| {
        lines.entry(&json!({ "is": "leave" })).await
    });
    refused("out of the folder", code, MALFORMED);
    let code = hostile.send(summary(0, 1, 0), async |lines| {
        lines.entry(&folder("..")).await?;
        lines.end().await
    });
    refused("not left", code, MALFORMED);
    assert_eq!(
        names(pair.there.path())
            .iter()
            .filter(|it| it.starts_with(".."))
            .count(),
        0
    );
}

#[test]
fn a_million_files_are_not_more_than_was_said() {
    let (pair, receiving, hostile) = setting();
    let code = hostile.send(summary(10, 10, 0), async |lines| {
        for number in 0..1_000_000 {
            lines.entry(&file(&number.to_string(), 0)).await?;
        }
        None
    });
    assert_eq!(code, MALFORMED);
    receiving.says("it sends more than it said");
    let code = hostile.send(summary(0, 1_000_000, 0), async |lines| {
        for _ in 0..1_000_000 {
            lines.entry(&folder("a")).await?;
        }
        None
    });
    assert_eq!(code, FAILED);
    receiving.says("128 folders are in each other");
    // It is served all the same.
    let file = pair.file("good", 10);
    pair.here
        .run(&["send", super::text(&file), "office"])
        .succeeded();
}

#[test]
fn what_is_announced_and_does_not_come_holds_nobody_up() {
    let (pair, receiving, hostile) = setting();
    let waiting = std::thread::spawn(move || {
        hostile.send(summary(1000, 0, 1000), async |lines| {
            for number in 0..1000 {
                lines.entry(&file(&number.to_string(), 1)).await?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            lines.channel.abort(OVER);
            None
        })
    });
    let file = pair.file("good", 10);
    pair.here
        .run(&["send", super::text(&file), "office"])
        .succeeded();
    waiting.join().unwrap();
    receiving.says("error: ");
}
