//! Coordinators in processes of their own, all with the same certificate.

use std::{fs, net::SocketAddr, time::Duration};

use conec_tokio::{Certificate, Coordinator, CoordinatorConfig, Drain, KeyPin};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    process::{Process, ready, say},
    result::Result,
};

/// What it takes to start Coordinators that take each other's place.
pub(crate) struct Coordinators {
    certificate: Certificate,
    clients: usize,
}

/// A Coordinator's process.
pub(crate) struct Running(Process);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    certificate: String,
    address: SocketAddr,
    clients: usize,
    memory: usize,
}

impl Coordinators {
    /// For so many Clients.
    pub(crate) fn new(clients: usize) -> Result<Self> {
        Ok(Self {
            certificate: Certificate::self_signed(["localhost"])?,
            clients,
        })
    }

    pub(crate) fn pin(&self) -> KeyPin {
        self.certificate.pin()
    }

    pub(crate) fn memory(&self) -> usize {
        // What the default budget is for 1024.
        (512 << 20) * self.clients.div_ceil(1024)
    }

    pub(crate) fn start(&self, address: Option<SocketAddr>) -> Result<Running> {
        let role = Role {
            certificate: String::from_utf8(self.certificate.to_pem().as_ref().to_vec())?,
            address: address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
            clients: self.clients,
            memory: self.memory(),
        };
        Process::start("coordinator", &crate::Role::Coordinator(role)).map(Running)
    }
}

impl std::ops::Deref for Running {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl Running {
    pub(crate) fn kill(self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    pub(crate) fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Has it send its Clients to another one, which takes as long as it takes.
    pub(crate) fn drain(&mut self, to: SocketAddr) -> Result<()> {
        self.0.order(&serde_json::to_string(&Order::Drain(to))?)?;
        self.0.answer::<usize>().map(drop)
    }

    /// How many Clients it has.
    pub(crate) fn clients(&mut self) -> Result<usize> {
        self.0.order(&serde_json::to_string(&Order::Count)?)?;
        self.0.answer()
    }

    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("no peak of memory")?.parse::<u64>()? << 10)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.0.id().try_into()?);
        Ok(kill(pid, signal)?)
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Drain(SocketAddr),
    Count,
}

/// The Coordinator's process.
pub(crate) fn run(role: Role) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let certificate = Certificate::from_pem(role.certificate.as_bytes())?;
        let mut config = CoordinatorConfig::new(certificate);
        config.memory = role.memory;
        config.limits.clients = role.clients.max(1024);
        config.limits.clients_per_network = Some(config.limits.clients);
        config.limits.handshakes_per_network = config.limits.handshakes;
        let coordinator = Coordinator::bind(&role.address.to_string(), config).await?;
        ready(coordinator.local_addr(), Vec::new())?;
        let mut orders = BufReader::new(tokio::io::stdin()).lines();
        while let Some(order) = orders.next_line().await? {
            if let Order::Drain(to) = serde_json::from_str(&order)? {
                let mut drain = Drain::default();
                drain.spread = Duration::from_millis(200);
                drain.alternatives = vec![("localhost".into(), to)];
                coordinator.drain(&drain);
            }
            say(&coordinator.clients())?;
        }
        Ok(())
    })
}
