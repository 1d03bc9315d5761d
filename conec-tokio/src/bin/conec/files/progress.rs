//! How far a transfer is: as a bar where people see it, and as lines of JSON where they are asked for.

use std::{
    io::{self, IsTerminal},
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{
    failure::Failure,
    output::{Output, say},
};

/// How far a transfer is.
pub(super) struct Progress {
    output: Output,
    bar: ProgressBar,
    /// When the first byte was on its way, of those that were not there already.
    began: Instant,
    moved: u64,
    shown: Instant,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Begin {
        files: u64,
        folders: u64,
        bytes: u64,
    },
    /// So much is there, of so much.
    Progress {
        bytes: u64,
        total: u64,
        bytes_per_second: u64,
    },
    File {
        path: &'a str,
        bytes: u64,
        blake3: String,
        /// How many of them were there already.
        kept: u64,
    },
    Done {
        bytes: u64,
        /// How many of them had to be sent.
        moved: u64,
        seconds: f64,
    },
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            bar: ProgressBar::hidden(),
            began: Instant::now(),
            moved: 0,
            shown: Instant::now(),
        }
    }

    /// Whether anything was moved so far.
    pub(super) fn has_moved(&self) -> bool {
        self.moved > 0
    }

    /// It begins, or begins anew.
    pub(super) fn begin(&mut self, files: u64, folders: u64, bytes: u64) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        self.bar = BARS.add(ProgressBar::new(bytes).with_style(style()?));
        self.began = Instant::now();
        self.moved = 0;
        self.event(&Event::Begin {
            files,
            folders,
            bytes,
        })
    }

    /// This file is next.
    pub(super) fn file(&self, path: &Path) {
        let name = path.file_name().unwrap_or_default();
        self.bar.set_message(name.display().to_string());
    }

    /// So many bytes need not be moved.
    pub(super) fn keep(&self, bytes: u64) {
        if bytes > 0 {
            self.bar.inc(bytes);
            self.bar.reset_eta();
        }
    }

    /// So many bytes were moved.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Failure> {
        self.moved += bytes as u64;
        self.bar.inc(bytes as u64);
        if self.shown.elapsed() < EVERY {
            return Ok(());
        }
        self.shown = Instant::now();
        self.event(&Event::Progress {
            bytes: self.bar.position(),
            total: self.bar.length().unwrap_or(0),
            bytes_per_second: (self.moved as f64 / self.seconds()) as u64,
        })
    }

    /// A file is complete.
    pub(super) fn completed(
        &self,
        path: &str,
        bytes: u64,
        kept: u64,
        blake3: blake3::Hash,
    ) -> Result<(), Failure> {
        let blake3 = blake3.to_string();
        self.event(&Event::File {
            path,
            bytes,
            blake3,
            kept,
        })
    }

    /// All is complete.
    pub(super) fn done(&self) -> Result<(), Failure> {
        let bytes = self.bar.position();
        self.bar.finish_and_clear();
        let seconds = self.seconds();
        self.event(&Event::Done {
            bytes,
            moved: self.moved,
            seconds,
        })?;
        let rate = size((self.moved as f64 / seconds) as u64);
        let kept = match bytes - self.moved {
            0 => String::new(),
            kept => format!("; {} were there already", size(kept)),
        };
        let moved = size(self.moved);
        say(format_args!(
            "done: {moved} in {seconds:.1} s, {rate}/s{kept}"
        ));
        Ok(())
    }

    fn event(&self, event: &Event<'_>) -> Result<(), Failure> {
        match self.output.json {
            true => self.output.line(event, ""),
            false => Ok(()),
        }
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64().max(0.001)
    }
}

/// Nothing is left of it where it was not completed.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells people something, above the bars.
pub(super) fn tell(text: impl std::fmt::Display) {
    BARS.suspend(|| say(text));
}

/// Does something while no bars are shown.
pub(super) fn without_bars<T>(f: impl FnOnce() -> T) -> T {
    BARS.suspend(f)
}

/// A number of bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// So many of something, for people.
pub(super) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn style() -> Result<ProgressStyle, Failure> {
    ProgressStyle::with_template(TEMPLATE)
        .map_err(|error| Failure::mistake(format!("cannot show how far it is: {error}")))
}

/// All bars of the process. They are shown to people only.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    MultiProgress::with_draw_target(match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    })
});

/// In 80 columns there is room for a name.
const TEMPLATE: &str = "{wide_msg} {percent:>3}% {bar:12} {decimal_bytes:>9} of {decimal_total_bytes:9} {decimal_bytes_per_sec:>11} {eta:>4}";
/// How often a line of JSON is printed.
const EVERY: Duration = Duration::from_millis(200);
