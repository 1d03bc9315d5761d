//! A network in which nobody else has the ports and the host names that guides speak of.

use std::{
    env, fs,
    process::{Command, Stdio},
};

/// Runs a story in a network of its own: the test, of which the full name is given, is run again there by itself. Where there is
/// not what that takes, the story is skipped.
pub(crate) fn in_its_own(test: &str, story: impl FnOnce()) {
    if env::var_os(THERE).is_some() {
        open();
        return story();
    }
    let apart = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount"]);
        command
    };
    let tried = apart()
        .args(["bash", "-c", TRIAL])
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a network of its own takes unshare, ip, and namespaces for users");
        return;
    }
    let told = apart()
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(THERE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&told.stdout);
    let complaints = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}{complaints}");
    assert!(said.contains("1 passed"), "{said}");
}

/// What [`open`] does, without an effect.
const TRIAL: &str = "ip link set lo up && mount --bind /etc/hosts /etc/hosts";

/// Says that this is the network.
const THERE: &str = "CONEC_TEST_NETWORK";

fn open() {
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let names = format!(
        "127.0.0.1 localhost\n::1 localhost\n{ADDRESS} conec.example.org b.example.org backup.example.org\n"
    );
    fs::write(hosts.path(), names).unwrap();
    let hosts = hosts.path().to_str().unwrap();
    for line in [
        "ip link set lo up",
        &format!("ip address add {ADDRESS}/32 dev lo"),
        &format!("mount --bind {hosts} /etc/hosts"),
    ] {
        let (program, args) = line.split_once(' ').unwrap();
        let done = Command::new(program).args(args.split(' ')).status();
        assert!(done.unwrap().success(), "{line}");
    }
}

/// All machines have it. Direct paths do not lead to 127.0.0.1.
const ADDRESS: &str = "10.4.3.1";
