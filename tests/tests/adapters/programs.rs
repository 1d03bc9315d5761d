//! Examples as programs in processes of their own.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use crate::LIMIT;

/// A running program, which is killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(name: &str, folder: &Path, args: &[&str]) -> Self {
        Self::start_with(name, folder, args, &[])
    }

    /// With these variables besides.
    pub(crate) fn start_with(
        name: &str,
        folder: &Path,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(example(name))
            .args(args)
            .env("TMPDIR", folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                if line.map(|line| said.send(line)).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Waits for a line with this beginning, and gives the rest of it.
    pub(crate) fn expect(&self, beginning: &str) -> String {
        let mut others = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else {
                panic!("no line {beginning:?}, but {others:?}");
            };
            match line.strip_prefix(beginning) {
                Some(rest) => return rest.to_owned(),
                None => others.push(line),
            }
        }
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Ends the input, and waits until the program has ended by itself.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds a package's examples before it runs its tests, and puts them beside them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let hint = "is missing: cargo build -p conec-tests --examples";
    assert!(program.exists(), "{} {hint}", program.display());
    program
}
