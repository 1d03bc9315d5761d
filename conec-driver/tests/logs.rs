//! What is logged says whom it is about. By itself: what is to be logged is known to a whole process.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

#[expect(dead_code, reason = "shared with the tests of handles")]
mod world;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use conec_core::CongestionControl;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use world::{World, ready};

/// One test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// What this filter lets through while Alice opens channels to Bob, one after the other. On each she chooses how it shares its path,
/// opens a stream, and lets all of it go.
fn logged(filter: &str) -> Story {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Log::default();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    let (mut channels, mut streams) = (Vec::new(), Vec::new());
    let (alice, bob) = tracing::subscriber::with_default(logs, || {
        let mut world = World::new();
        for _ in 0..2 {
            let (at_alice, at_bob) = world.channel();
            at_alice.set_congestion(CongestionControl::Background);
            let sender = ready(at_alice.open_uni("hello")).unwrap();
            channels.push(format!("{:?}", at_alice.id()));
            streams.push(format!("{:?}", sender.id()));
            drop((sender, at_alice, at_bob));
            world.run();
        }
        (world.alice().id(), world.bob().id())
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    Story {
        lines: text.lines().map(|line| line.trim().to_owned()).collect(),
        alice: format!("{alice:?}"),
        bob: format!("{bob:?}"),
        channels,
        streams,
    }
}

struct Story {
    lines: Vec<String>,
    alice: String,
    bob: String,
    /// As Alice knows them.
    channels: Vec<String>,
    streams: Vec<String>,
}

impl Story {
    #[track_caller]
    fn has(&self, begin: &str, end: &str) {
        let is_it = |line: &&String| line.starts_with(begin) && line.contains(end);
        let lines = &self.lines;
        assert!(
            lines.iter().any(|line| is_it(&line)),
            "{begin} {end}: {lines:#?}"
        );
    }
}

#[test]
fn what_happens_is_told_of_an_endpoint_a_channel_and_a_stream() {
    let story = logged("conec_core=trace");
    let Story { alice, bob, .. } = &story;
    for (channel, stream) in story.channels.iter().zip(&story.streams) {
        let channel = format!("client{{id={alice}}}:channel{{id={channel} peer={bob}}}:");
        story.has(&format!("TRACE {channel}stream{{id={stream}}}:"), "opened");
        let ended = "sending is over end=Reset";
        story.has(&format!("TRACE {channel}stream{{id={stream}}}:"), ended);
        let chosen = "another congestion control choice=Background";
        story.has(&format!("DEBUG {channel} "), chosen);
        story.has(&format!("DEBUG {channel} "), "channel closed");
    }
    story.has("DEBUG coordinator{address=127.0.0.1:", "client connected");
    for client in [alice, bob] {
        let is_it = |line: &&String| line.contains(&format!(" peer={client}}}: "));
        let mut lines = story
            .lines
            .iter()
            .filter(|it| it.contains("client connected"));
        assert!(lines.any(|line| is_it(&line)), "{:#?}", story.lines);
    }
    let twice = |line: &&String| line.matches("channel{").count() > 1;
    assert_eq!(story.lines.iter().find(twice), None);
}

#[test]
fn one_channel_can_be_followed_alone() {
    let story = logged("conec_core[channel{id=ch2}]=trace");
    assert_eq!(
        story
            .lines
            .iter()
            .find(|it| !it.contains("channel{id=ch2 ")),
        None
    );
    assert!(story.lines.iter().any(|it| it.starts_with("TRACE")));
}

#[derive(Default, Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
