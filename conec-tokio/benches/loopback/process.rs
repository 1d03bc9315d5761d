//! Processes: this program, started again in a role.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Result, conec, forwarder,
    load::Load,
    meter::{Meter, Sample},
    mio, quinn,
};

/// What a process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    QuinnReceiver(Load),
    QuinnRelay {
        to: Ready,
    },
    QuinnSender {
        to: Ready,
        load: Load,
    },
    Forwarder {
        to: Ready,
    },
    /// Receives what comes on home channels, if there is a load.
    Coordinator(Option<Load>),
    ConecReceiver {
        coordinator: Ready,
        load: Load,
    },
    ConecSender {
        coordinator: Ready,
        load: Load,
        home: bool,
    },
    MioCoordinator,
    MioReceiver {
        coordinator: Ready,
        load: Load,
    },
    MioSender {
        coordinator: Ready,
        load: Load,
    },
}

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
    pub(crate) fn start(name: &'static str, role: &Role) -> Result<Self> {
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
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        Ok(orders.write_all(b"\n")?)
    }

    pub(crate) fn sample(&mut self) -> Result<Sample> {
        answer(self.name, &self.answers)
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

/// Does what a role does, until there is no more input.
pub(crate) fn run(role: Role, multi_thread: bool) -> Result<()> {
    let meter = Arc::new(Meter::new());
    let for_role = Arc::clone(&meter);
    let mut runtime = if multi_thread {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime.enable_all().build()?;
    thread::spawn(move || {
        // As a task, in a runtime of several threads: whatever is blocked on there runs on none of them.
        let done = match multi_thread {
            true => runtime.block_on(async { tokio::spawn(perform(role, for_role)).await? }),
            false => runtime.block_on(perform(role, for_role)),
        };
        if let Err(error) = done {
            eprintln!("{error}");
            std::process::exit(1);
        }
    });
    for line in std::io::stdin().lines() {
        line?;
        say(&meter.sample()?)?;
    }
    std::process::exit(0);
}

async fn perform(role: Role, meter: Arc<Meter>) -> Result<()> {
    match role {
        Role::QuinnReceiver(load) => quinn::receive(load, meter).await,
        Role::QuinnRelay { to } => quinn::relay(to).await,
        Role::QuinnSender { to, load } => quinn::send(to, load, meter).await,
        Role::Forwarder { to } => forwarder::forward(to).await,
        Role::Coordinator(load) => conec::coordinate(load, meter).await,
        Role::ConecReceiver { coordinator, load } => conec::receive(coordinator, load, meter).await,
        Role::ConecSender {
            coordinator,
            load,
            home,
        } => conec::send(coordinator, load, home, meter).await,
        // Event loops of their own, for which nothing else on this thread has to run.
        Role::MioCoordinator => mio::coordinate(),
        Role::MioReceiver { coordinator, load } => mio::receive(coordinator, load, meter),
        Role::MioSender { coordinator, load } => mio::send(coordinator, load, meter),
    }
}

/// Tells the parent that this process is ready for traffic.
pub(crate) fn ready(address: SocketAddr, trust: Vec<u8>) -> Result<()> {
    say(&Ready { address, trust })
}

fn say(answer: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

const PATIENCE: Duration = Duration::from_secs(20);
