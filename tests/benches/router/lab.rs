//! Two network namespaces, and between them devices whose packets a program carries.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::result::Result;

/// Namespaces of this process, gone when this is dropped.
pub(crate) struct Lab;

/// One end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Near,
    Far,
}

impl Lab {
    /// Why there can be none here, if so.
    pub(crate) fn obstacle() -> Option<&'static str> {
        if !run("ip", &["-Version"]) {
            return Some("iproute2 is missing");
        }
        if !Path::new("/dev/net/tun").exists() {
            return Some("the kernel has no TUN devices");
        }
        let probe = format!("{PREFIX}{}-probe", std::process::id());
        let may = run("ip", &["netns", "add", &probe]);
        run("ip", &["netns", "del", &probe]);
        (!may).then_some("it takes root, who may make network namespaces")
    }

    /// The namespaces, and their devices.
    pub(crate) fn build() -> Result<(Self, [SyncDevice; 2])> {
        remove_stale();
        let lab = Self;
        let near = lab.side(Side::Near)?;
        let far = lab.side(Side::Far)?;
        Ok((lab, [near, far]))
    }

    /// A device of this process, in a namespace.
    fn side(&self, side: Side) -> Result<SyncDevice> {
        let namespace = &side.namespace();
        let name = &side.device();
        let device = DeviceBuilder::new().name(name).mtu(MTU).build_sync()?;
        let address = &side.address().to_string();
        let peer = &side.other().address().to_string();
        ip(&["netns", "add", namespace])?;
        let inside = |command: &[&str]| ip(&[&["-n", namespace], command].concat());
        ip(&["link", "set", "dev", name, "netns", namespace])?;
        inside(&["link", "set", "dev", "lo", "up"])?;
        inside(&["addr", "add", address, "peer", peer, "dev", name])?;
        // Nothing is to be dropped but by the router.
        inside(&["link", "set", "dev", name, "txqueuelen", "10000", "up"])?;
        Ok(device)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for side in [Side::Near, Side::Far] {
            run("ip", &["netns", "del", &side.namespace()]);
        }
    }
}

impl Side {
    pub(crate) fn namespace(self) -> String {
        format!("{PREFIX}{}-{}", std::process::id(), self.name())
    }

    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 1 + self as u8)
    }

    /// The names of devices are short.
    fn device(self) -> String {
        format!("cr{}{}", std::process::id(), self as u8)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// What processes have left behind that were killed.
fn remove_stale() {
    let Ok(namespaces) = fs::read_dir("/run/netns") else {
        return;
    };
    for namespace in namespaces.flatten() {
        let name = namespace.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            run("ip", &["netns", "del", &name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ip {}: {error}", arguments.join(" ")).into());
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

const PREFIX: &str = "conec-router-";
const MTU: u16 = 1500;
