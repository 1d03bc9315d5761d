//! Pages with command lines in them, and machines that run these.

use std::{collections::VecDeque, env, fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::support::{Home, Running, Terminal};

/// The command lines of a page that were not run yet, in their order.
pub(crate) struct Page(VecDeque<String>);

impl Page {
    /// A page on which all that is in blocks of `sh` is to be run.
    pub(crate) fn of(text: &'static str) -> Self {
        let blocks = text.split("\n```sh\n").skip(1);
        let blocks = blocks.filter_map(|block| block.split("\n```").next());
        let lines = blocks.flat_map(str::lines);
        let lines = lines.filter(|line| !line.starts_with('#'));
        Self(lines.map(str::to_owned).collect())
    }

    /// One on which it is what comes after `machine$ `.
    pub(crate) fn of_prompts(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| {
            let prompt = line.split_once("$ ").map(|(machine, _)| machine);
            prompt.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase()))
        });
        Self(lines.map(str::to_owned).collect())
    }

    /// The examples in the help of all commands.
    pub(crate) fn of_help() -> Self {
        let home = Home::new();
        let mut lines = VecDeque::new();
        for command in home.commands() {
            let mut help = home.command(&[&command, "--help"]);
            // So wide that no example goes on in the next line.
            let help = Running::of(help.env("COLUMNS", "500")).ended();
            let help = help.succeeded();
            let (_, examples) = help.split_once("\nExample").unwrap();
            let examples = examples.lines().filter_map(|line| line.strip_prefix("  "));
            // Up to a comment.
            let examples = examples.map(|it| it.split_once(" (").map_or(it, |(line, _)| line));
            lines.extend(examples.map(|line| line.trim_end().to_owned()));
        }
        Self(lines)
    }

    /// The next one, which has to be this, without a comment.
    pub(crate) fn next(&mut self, line: &'static str) -> &'static str {
        let next = self.0.pop_front().unwrap_or_default();
        let (next, _) = next.split_once(" #").unwrap_or((&next, ""));
        assert_eq!(next.trim_end(), line);
        line
    }

    /// One of them, wherever and however often it is there.
    pub(crate) fn has(&mut self, line: &'static str) -> &'static str {
        let before = self.0.len();
        self.0.retain(|it| it != line);
        assert!(self.0.len() < before, "{line} is not among {:?}", self.0);
        line
    }

    pub(crate) fn ends(self) {
        assert!(self.0.is_empty(), "never run: {:?}", self.0);
    }
}

/// Somebody's machine: a home directory, and the tool.
pub(crate) struct Machine(TempDir);

impl Machine {
    pub(crate) fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let bin = machine.home().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_conec"), bin.join("conec")).unwrap();
        machine
    }

    pub(crate) fn home(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, content: &str) {
        fs::write(self.home().join(file), content).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.home().join(file)).unwrap()
    }

    /// Types a command line into a terminal.
    pub(crate) fn runs(&self, line: &str) -> Terminal {
        let path = env::var("PATH").unwrap();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", line])
            .env_clear()
            .env("PATH", format!("{}/bin:{path}", self.home().display()))
            .env("HOME", self.home())
            .current_dir(self.home());
        Terminal::of(shell)
    }
}

/// The ticket that a Coordinator shows.
pub(crate) fn ticket(coordinator: &mut Terminal) -> String {
    let screen = coordinator.shows("others join by the ticket");
    let mut words = screen.split_whitespace();
    words
        .find(|word| word.starts_with("conec1"))
        .unwrap()
        .into()
}
