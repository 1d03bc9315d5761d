//! This program, started again in a role in one of the namespaces.

use std::{
    env, fmt,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{lab::Side, result::Result};

/// What others have to know of a process to talk to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) address: SocketAddr,
    /// What proves who is there.
    pub(crate) pin: String,
}

/// What a process has received so far, and after which time of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) bytes: u64,
    pub(crate) nanos: u64,
    /// Why there comes no more, if so.
    pub(crate) end: Option<String>,
}

/// What is received, counted where it is and read elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    end: Mutex<Option<String>>,
}

impl Meter {
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// There comes no more, for a reason.
    pub(crate) fn end(&self, reason: String) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(crate) fn sample(&self, began: Instant) -> Sample {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        Sample {
            bytes: self.bytes.load(Ordering::Relaxed),
            nanos: began.elapsed().as_nanos() as u64,
            end: end.clone(),
        }
    }
}

/// A process, which ends when this is dropped.
pub(crate) struct Process {
    pub(crate) ready: Ready,
    child: Child,
    orders: Option<ChildStdin>,
    answers: mpsc::Receiver<String>,
}

impl Process {
    /// Starts a process and waits until it is ready for traffic.
    pub(crate) fn start(side: Side, role: &(impl Serialize + fmt::Debug)) -> Result<Self> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &side.namespace()])
            .arg(env::current_exe()?)
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
        let ready = answer(&answers).map_err(|error| format!("{role:?}: {error}"))?;
        Ok(Self {
            ready,
            child,
            orders,
            answers,
        })
    }

    pub(crate) fn sample(&mut self) -> Result<Sample> {
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        orders.write_all(b"\n")?;
        answer(&self.answers)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.orders = None;
        let _ = self.child.wait();
    }
}

fn answer<T: DeserializeOwned>(answers: &mpsc::Receiver<String>) -> Result<T> {
    let line = answers
        .recv_timeout(PATIENCE)
        .map_err(|error| format!("no answer: {error}"))?;
    Ok(serde_json::from_str(&line)?)
}

/// Tells the parent that this process is ready for traffic.
pub(crate) fn ready(address: SocketAddr, pin: String) -> Result<()> {
    say(&Ready { address, pin })
}

/// Tells the parent something, in one line.
pub(crate) fn say(answer: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

const PATIENCE: Duration = Duration::from_secs(60);
