//! `conec request` and `conec reply`.

use std::{fs, time::Duration};

use nix::sys::signal::Signal;

use crate::support::{Coordinator, Home, Running, Writers};

#[test]
fn a_command_answers_with_what_it_prints_and_its_exit_code() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let _office = reply(
        &home,
        "office",
        "read line; echo \"you: $line\"; exit 3",
        &[],
    );
    let asked = home.run(&["request", "office", "hello"]);
    assert_eq!(asked.status().code(), Some(3));
    assert_eq!((asked.stdout(), asked.stderr()), ("you: hello\n", ""));
    // Of which it reads one line.
    let long = "line\n".repeat(1_000_000);
    let asked = home.run_with(&["request", "office"], &long);
    assert_eq!((asked.stdout(), asked.stderr()), ("you: line\n", ""));
    let _killed = reply(&home, "killed", "kill -9 $$", &[]);
    assert_eq!(
        home.run(&["request", "killed", "x"]).status().code(),
        Some(137)
    );
}

#[test]
fn bodies_and_replies_may_be_long_and_the_asker_is_known() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let _echo = reply(&home, "echo", "cat", &[]);
    let body = (0..500_000).map(|it| format!("{it}\n")).collect::<String>();
    assert!(home.run_with(&["request", "echo"], &body).succeeded() == body);
    assert_eq!(home.run_with(&["request", "echo"], "").succeeded(), "");
    let too_long = "x".repeat((16 << 20) + 1);
    home.run_with(&["request", "echo"], &too_long)
        .failed(1, &["at most 16 MiB", "conec connect"]);
    let talker = reply(&home, "talker", "exec yes", &[]);
    home.run(&["request", "talker", ""])
        .failed(1, &["printed more than 16 MiB", "help: "]);
    talker.says("the command prints more than");
    let _who = reply(&home, "who", "echo $CONEC_PEER_ID", &[]);
    let asked = home.run(&["request", "who", ""]);
    assert!(asked.succeeded().trim().len() == 56);
}

#[test]
fn no_more_than_the_given_number_run_at_once() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let log = home.path().join("log");
    let command = format!(
        "echo begin >> {0}; sleep 0.3; echo end >> {0}",
        log.display()
    );
    let _slow = reply(&home, "slow", &command, &["--at-once", "1"]);
    let asking: Vec<_> = (0..3)
        .map(|_| home.start(&["request", "slow", ""]))
        .collect();
    for asking in asking {
        asking.ended().succeeded();
    }
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log, "begin\nend\n".repeat(3));
}

#[test]
fn whoever_is_not_there_or_answers_nothing_is_said() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    home.run(&["request", "nobody", "x"])
        .failed(5, &["nobody", "help: "]);
    home.run(&["request", "No Name", "x"])
        .failed(2, &["No Name"]);
    home.run(&["reply"]).failed(2, &["--exec"]);
    let pinged = home.start(&["ping", "--answer", "--name", "pinged"]);
    pinged.says("here as");
    home.run(&["request", "pinged", "x"])
        .failed(5, &["does not serve that", "help: "]);
    let _slow = reply(&home, "slow", "exec sleep 60", &[]);
    home.run(&["request", "slow", "x", "--timeout", "300ms"])
        .failed(6, &["no reply of slow within 300ms", "--timeout"]);
    let _bounded = reply(&home, "bounded", "exec sleep 60", &["--timeout", "100ms"]);
    home.run(&["request", "bounded", "x"])
        .failed(1, &["longer than it may", "--timeout"]);
}

#[test]
fn whoever_vanishes_takes_the_command_along_and_the_asker_learns_it() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let pid = home.path().join("pid");
    let command = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000",
        pid.display()
    );
    let replying = reply(&home, "slow", &command, &[]);
    let asking = home.start(&["request", "slow", "x"]);
    let command = process(&pid);
    asking.signal(Signal::SIGINT);
    assert_eq!(asking.ended().status().code(), Some(130));
    gone(command);

    fs::remove_file(&pid).unwrap();
    let asking = home.start(&["request", "slow", "x"]);
    process(&pid);
    replying.signal(Signal::SIGTERM);
    asking.ended().failed(6, &["error: "]);
}

#[test]
fn what_a_command_has_begun_is_killed_with_it() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    for (number, ends) in ["the time", "the asker", "who replies"].iter().enumerate() {
        let pipe = home.path().join(number.to_string());
        let begun = Writers::at(&pipe);
        // The shell ends at once: what it has begun has its standard output, and may print yet.
        let command = format!("sleep 1000 3> {} &", pipe.display());
        let timeout = if *ends == "the time" { "1s" } else { "1h" };
        let replying = reply(&home, "office", &command, &["--timeout", timeout]);
        let asking = home.start(&["request", "office", "x"]);
        begun.told();
        match *ends {
            "the time" => asking.ended().failed(1, &["longer than it may"]),
            "the asker" => asking.signal(Signal::SIGINT),
            _ => replying.signal(Signal::SIGTERM),
        }
        begun.told();
        replying.signal(Signal::SIGTERM);
        replying.ended();
    }
}

#[test]
fn a_request_outlives_the_coordinator() {
    let coordinator = Coordinator::start();
    let home = Home::joined(&coordinator);
    let (begun, go) = (home.path().join("begun"), home.path().join("go"));
    let command = format!(
        "touch {}; until test -e {}; do sleep 0.1; done; cat",
        begun.display(),
        go.display()
    );
    let replying = reply(&home, "slow", &command, &[]);
    let asking = home.start(&["request", "slow", "hello", "--path", "proxied"]);
    within(|| begun.exists().then_some(()));
    let _coordinator = coordinator.kill().start();
    asking.says("the Coordinator is there again");
    fs::write(go, "").unwrap();
    assert_eq!(asking.ended().succeeded(), "hello");
    // And so does who replies.
    replying.says("the Coordinator is there again");
    assert_eq!(home.run(&["request", "slow", "x"]).succeeded(), "x");
}

fn reply(home: &Home, name: &str, command: &str, args: &[&str]) -> Running {
    let args = [&["reply", "--exec", command, "--name", name], args].concat();
    let running = home.start(&args);
    running.says(&format!("here as {name}"));
    running
}

/// Of the command that has written its number there.
fn process(file: &std::path::Path) -> nix::unistd::Pid {
    let pid = || fs::read_to_string(file).ok();
    let pid = within(pid);
    nix::unistd::Pid::from_raw(pid.trim().parse().unwrap())
}

fn gone(process: nix::unistd::Pid) {
    within(|| nix::sys::signal::kill(process, None).is_err().then_some(()));
}

fn within<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it does not come to pass")
}
