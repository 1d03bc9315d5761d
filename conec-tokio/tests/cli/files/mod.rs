//! `conec send` and `conec receive`.

mod code;
mod hostile;
mod resuming;
mod sending;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Coordinator, Home, Running};

/// Two users who have joined the same Coordinator, one of whom receives as `office`.
struct Pair {
    coordinator: Coordinator,
    here: Home,
    there: Home,
}

impl Pair {
    fn new() -> Self {
        let coordinator = Coordinator::start();
        let (here, there) = (Home::joined(&coordinator), Home::joined(&coordinator));
        fs::create_dir(here.path().join("from")).unwrap();
        Self {
            coordinator,
            here,
            there,
        }
    }

    /// Begins to receive, without being asked.
    fn receive(&self, args: &[&str]) -> Running {
        let to = self.to();
        let receive = ["receive", text(&to), "--name", "office", "--yes"];
        let running = self.there.start(&[&receive[..], args].concat());
        running.says("here as office");
        running
    }

    /// Where it is sent from.
    fn from(&self, name: &str) -> PathBuf {
        self.here.path().join("from").join(name)
    }

    /// Where it is received.
    fn to(&self) -> PathBuf {
        self.there.path().join("to")
    }

    /// A file to send.
    fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.from(name);
        fs::write(&path, noise(size)).unwrap();
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Bytes that are all over the same the next time.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// What is in a folder, by name.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The events of this kind, of those that were printed.
fn events(printed: &str, kind: &str) -> Vec<Value> {
    let events = printed.lines().map(|it| serde_json::from_str(it).unwrap());
    events.filter(|it: &Value| it["event"] == kind).collect()
}

/// Waits until so many bytes are there by what it prints.
fn until(running: &Running, bytes: u64) {
    loop {
        let event: Value = serde_json::from_str(&running.line()).unwrap();
        assert_ne!(event["event"], "done", "it was too fast");
        if event["event"] == "progress" && event["bytes"].as_u64().unwrap() >= bytes {
            return;
        }
    }
}
