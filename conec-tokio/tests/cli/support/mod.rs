//! Processes of the tool, with a home of their own, and bounded waits for all that they do.

pub(crate) mod net;
mod terminal;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tempfile::TempDir;

pub(crate) use self::terminal::Terminal;

/// Nothing takes longer, even where the machine has much else to do.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The exit code of who was asked to stop.
const INTERRUPTED: i32 = 130;

/// A home directory, for one user.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One that has joined a Coordinator.
    pub(crate) fn joined(coordinator: &Coordinator) -> Self {
        let home = Self::new();
        home.run_with(&["join"], &coordinator.ticket).succeeded();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A command, to which more can be added.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conec"));
        command
            .args(args)
            .env("CONEC_HOME", self.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for set in [
            "CONEC_COORDINATOR",
            "CONEC_CONTEXT",
            "CONEC_TOKEN_FILE",
            "CONEC_STATE",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "CONEC_LOG",
        ] {
            command.env_remove(set);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.start(args).ended()
    }

    /// Runs a command to its end, which reads this.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ended {
        let mut command = self.command(args);
        let mut running = Running::of(command.stdin(Stdio::piped()));
        let mut stdin = running.child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        running.ended()
    }

    /// The commands that the tool's help lists, but for the help itself.
    pub(crate) fn commands(&self) -> Vec<String> {
        let help = self.run(&["help"]);
        let lines = help.succeeded().lines();
        let lines = lines.skip_while(|line| *line != "Commands:").skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        // What goes on in the next line is further in.
        let lines = lines.filter(|line| !line.starts_with("   "));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        names
            .filter(|it| *it != "help")
            .map(str::to_owned)
            .collect()
    }

    /// Begins a command.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::of(&mut self.command(args))
    }
}

/// A command that runs. Dropped, it is killed.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// The next line on standard output.
    pub(crate) fn line(&self) -> String {
        let line = self.stdout.next();
        line.unwrap_or_else(|| panic!("it printed nothing more, but said {:?}", self.stderr.rest()))
    }

    /// The next line on standard error that has this in it.
    pub(crate) fn says(&self, text: &str) -> String {
        let mut others = String::new();
        while let Some(line) = self.stderr.next() {
            if line.contains(text) {
                return line;
            }
            others.push_str(&line);
            others.push('\n');
        }
        panic!("it did not say {text:?}, but {others:?}")
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Whether it has ended by now.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let status = self.wait();
        Ended(Output {
            status,
            stdout: self.stdout.rest().into_bytes(),
            stderr: self.stderr.rest().into_bytes(),
        })
    }

    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < LONG {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; it said {:?}", self.stderr.now());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that has ended.
pub(crate) struct Ended(Output);

impl Ended {
    pub(crate) fn stdout(&self) -> &str {
        str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        str::from_utf8(&self.0.stderr).unwrap()
    }

    /// Its exit code was 0. What it printed.
    pub(crate) fn succeeded(&self) -> &str {
        assert_eq!(
            self.0.status.code(),
            Some(0),
            "{}{}",
            self.stdout(),
            self.stderr()
        );
        self.stdout()
    }

    /// Its exit code was this, it printed nothing, and what it said had all of these in it, and what to do.
    pub(crate) fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(
            self.0.status.code(),
            Some(code),
            "{}{}",
            self.stdout(),
            self.stderr()
        );
        assert_eq!(self.stdout(), "");
        // As a line, a field in JSON, or an option.
        let is_helped = self.stderr().contains("help");
        assert!(is_helped || code == INTERRUPTED, "{:?}", self.stderr());
        for said in said {
            assert!(
                self.stderr().contains(said),
                "{said:?} is not in {:?}",
                self.stderr()
            );
        }
    }

    pub(crate) fn status(&self) -> ExitStatus {
        self.0.status
    }
}

/// A Coordinator at a port of the system's choice.
pub(crate) struct Coordinator {
    pub(crate) home: Home,
    pub(crate) running: Running,
    pub(crate) url: String,
    pub(crate) ticket: String,
}

impl Coordinator {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::start_in(Home::new(), "127.0.0.1:0", args)
    }

    /// With a state that is there already.
    pub(crate) fn start_in(home: Home, listen: &str, args: &[&str]) -> Self {
        let args = [&["coordinator", "--listen", listen], args].concat();
        let running = home.start(&args);
        let (url, ticket) = (running.line(), running.line());
        assert!(url.starts_with("conec://"), "{url}");
        assert!(ticket.starts_with("conec1"), "{ticket}");
        Self {
            home,
            running,
            url,
            ticket,
        }
    }

    /// Killed without warning, and started again with the same state at the same address.
    pub(crate) fn killed_and_started(self) -> Self {
        let address = self.address();
        let Self { home, running, .. } = self;
        drop(running);
        Self::start_in(home, &address, &[])
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.url.rsplit_once('@').unwrap().1.into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

/// A named pipe, which tells when the first process has it open to write, and when the last one that had it has ended.
pub(crate) struct Writers(Receiver<()>);

impl Writers {
    pub(crate) fn at(path: &Path) -> Self {
        mkfifo(path, Mode::S_IRWXU).unwrap();
        let (tell, told) = mpsc::channel();
        let path = path.to_owned();
        thread::spawn(move || {
            let mut pipe = File::open(path).unwrap();
            let _ = tell.send(());
            pipe.read_to_end(&mut Vec::new()).unwrap();
            let _ = tell.send(());
        });
        Self(told)
    }

    /// Waits for what comes next.
    pub(crate) fn told(&self) {
        self.0.recv_timeout(LONG).unwrap();
    }
}

/// What a process writes, line by line, as it comes.
struct Lines(Receiver<String>);

impl Lines {
    fn of(from: impl Read + Send + 'static) -> Self {
        let (lines, received) = mpsc::channel();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                if lines.send(text).is_err() {
                    return;
                }
            }
        });
        Self(received)
    }

    /// Without what ends it.
    fn next(&self) -> Option<String> {
        match self.0.recv_timeout(LONG) {
            Ok(line) => Some(line.trim_end_matches(['\r', '\n']).into()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was written for so long"),
        }
    }

    /// All until it is closed.
    fn rest(&self) -> String {
        let mut all = String::new();
        while let Ok(line) = self.0.recv_timeout(LONG) {
            all.push_str(&line);
        }
        all
    }

    /// What is there.
    fn now(&self) -> String {
        self.0.try_iter().collect()
    }
}
