//! Whether somebody here wants what is sent.

use std::io::{self, BufRead, Write};

use conec_tokio::ClientId;
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
    /// Somebody at the terminal.
    Asked(Asked),
}

/// Somebody at the terminal, who is asked one thing at a time.
pub(super) struct Asked {
    answers: Mutex<mpsc::Receiver<String>>,
    /// What was said yes to, and is not complete: if it is cut off, it goes on unasked.
    agreed: Mutex<Vec<(ClientId, Summary)>>,
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
        Self::Asked(Asked {
            answers: Mutex::new(answers),
            agreed: Mutex::default(),
        })
    }

    /// Whether it is taken.
    pub(super) async fn to(&self, sender: ClientId, who: &str, summary: &Summary) -> bool {
        let offered = describe(who, summary);
        match self {
            Self::Asked(asked) if !asked.has_agreed(sender, summary).await => {
                asked.ask(&offered).await && asked.agree(sender, summary).await
            }
            Self::Given | Self::Asked(_) => {
                tell(offered);
                true
            }
        }
    }

    /// It is complete: when it is sent once more, that is something else.
    pub(super) async fn is_used(&self, sender: ClientId, summary: &Summary) {
        match self {
            Self::Given => {}
            Self::Asked(asked) => {
                let mut agreed = asked.agreed.lock().await;
                agreed.retain(|it| (it.0, &it.1) != (sender, summary));
            }
        }
    }
}

impl Asked {
    async fn ask(&self, offered: &str) -> bool {
        let mut answers = self.answers.lock().await;
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

    async fn has_agreed(&self, sender: ClientId, summary: &Summary) -> bool {
        let agreed = self.agreed.lock().await;
        agreed.iter().any(|it| (it.0, &it.1) == (sender, summary))
    }

    async fn agree(&self, sender: ClientId, summary: &Summary) -> bool {
        let mut agreed = self.agreed.lock().await;
        if agreed.len() == MOST {
            agreed.remove(0);
        }
        agreed.push((sender, summary.clone()));
        true
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

/// How much is remembered that was cut off.
const MOST: usize = 100;
