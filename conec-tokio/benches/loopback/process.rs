//! Processes: this program, started again in a role.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{meter::Sample, result::Result};

/// What others have to know of a process to talk to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: SocketAddr,
    /// A certificate, or what else proves who is there.
    pub(crate) trust: Vec<u8>,
}

/// A process in a role, which ends when this is dropped.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) ready: Ready,
    child: Child,
    orders: Option<ChildStdin>,
    answers: mpsc::Receiver<String>,
}

impl Process {
    /// Starts a process and waits until it is ready for traffic.
    pub(crate) fn start(name: &'static str, role: &impl Serialize) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            // With the settings of this process.
            .args(env::args_os().skip(1))
            .args(["--role", &serde_json::to_string(role)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            lines
                .map_while(|line| line.ok())
                .try_for_each(|line| sender.send(line))
        });
        let ready = answer(name, &answers)?;
        Ok(Self {
            name,
            ready,
            child,
            orders,
            answers,
        })
    }

    /// Asks for a sample. The answer is to be taken by [`sample`](Self::sample).
    pub(crate) fn ask(&mut self) -> Result<()> {
        self.order("")
    }

    /// The same, and tells it something in one line.
    pub(crate) fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        Ok(orders.write_all(format!("{order}\n").as_bytes())?)
    }

    pub(crate) fn sample(&self) -> Result<Sample> {
        self.answer()
    }

    /// The answer to an order.
    pub(crate) fn answer<T: DeserializeOwned>(&self) -> Result<T> {
        answer(self.name, &self.answers)
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.orders = None;
        for _ in 0..50 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer<T: DeserializeOwned>(name: &str, answers: &mpsc::Receiver<String>) -> Result<T> {
    let line = answers
        .recv_timeout(PATIENCE)
        .map_err(|error| format!("the {name} does not answer: {error}"))?;
    Ok(serde_json::from_str(&line)?)
}

/// Tells the parent that this process is ready for traffic.
pub(crate) fn ready(address: SocketAddr, trust: Vec<u8>) -> Result<()> {
    say(&Ready { address, trust })
}

/// Tells the parent something, in one line.
pub(crate) fn say(answer: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

const PATIENCE: Duration = Duration::from_secs(20);
