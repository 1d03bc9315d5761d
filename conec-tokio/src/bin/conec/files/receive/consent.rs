//! Whether somebody here wants what is sent.

use std::io::{self, BufRead, Write};

use tokio::sync::{Mutex, mpsc};

use super::super::{
    names,
    progress::{counted, size, tell, without_bars},
    protocol::Summary,
};

/// Who says whether something is taken.
pub(super) enum Consent {
    /// It was said before.
    Given,
    /// Somebody at the terminal, who is asked one thing at a time.
    Asked(Mutex<mpsc::Receiver<String>>),
}

impl Consent {
    /// Asks at the terminal from now on.
    pub(super) fn ask() -> Self {
        let (lines, answers) = mpsc::channel(1);
        // A thread that waits for a line cannot be stopped: there is one for all questions.
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self::Asked(Mutex::new(answers))
    }

    /// Whether it is taken.
    pub(super) async fn to(&self, who: &str, summary: &Summary) -> bool {
        let offered = describe(who, summary);
        match self {
            Self::Given => {
                tell(offered);
                true
            }
            Self::Asked(answers) => {
                let mut answers = answers.lock().await;
                // What was typed before is no answer to this.
                while answers.try_recv().is_ok() {}
                without_bars(|| {
                    let mut err = io::stderr().lock();
                    // Where that is closed nobody can answer either.
                    let _ = write!(err, "{offered}\ntake it? [y/N] ").and_then(|()| err.flush());
                });
                let answer = answers.recv().await.unwrap_or_default();
                let answer = answer.trim();
                ["y", "yes"]
                    .iter()
                    .any(|it| it.eq_ignore_ascii_case(answer))
            }
        }
    }
}

fn describe(who: &str, summary: &Summary) -> String {
    let Summary {
        names,
        files,
        folders,
        bytes,
        ..
    } = summary;
    let files = counted(*files, "file");
    let folders = match folders {
        0 => String::new(),
        folders => format!(" in {}", counted(*folders, "folder")),
    };
    let names: Vec<_> = names.iter().map(|it| names::shown(it)).collect();
    let (names, bytes) = (names.join(", "), size(*bytes));
    format!("from {who}: {files}{folders}, {bytes}: {names}")
}
