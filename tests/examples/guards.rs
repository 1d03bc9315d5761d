//! Takes the guards away, one after the other, and sees that a test fails each time.
//!
//! ```sh
//! cargo run -p conec-tests --example guards            # all of them: about a minute each
//! cargo run -p conec-tests --example guards -- forward # those whose file or purpose has a word in it
//! ```
//!
//! It works on a copy below `target/guards`, which is built and tested there.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
};

use conec_tests::guards::{GUARDS, Guard};

fn main() -> io::Result<ExitCode> {
    let filters: Vec<String> = env::args().skip(1).collect();
    let chosen = |guard: &&Guard| {
        let hit = |it: &String| guard.what.contains(it) || guard.file.contains(it);
        filters.is_empty() || filters.iter().any(hit)
    };
    let copy = Copy::of(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").as_path())?;
    if let Outcome::Failed(tests) = copy.test()? {
        println!("with all guards, these fail already: {}", tests.join(", "));
        return Ok(ExitCode::FAILURE);
    }
    println!("| without the guard that | fail | of these, for example |");
    println!("| --- | --- | --- |");
    let mut missed = 0;
    for guard in GUARDS.iter().filter(chosen) {
        match copy.test_without(guard)? {
            Outcome::Failed(tests) => {
                let example = tests.first().map_or("", String::as_str);
                println!("| {} | {} | `{example}` |", guard.what, tests.len());
            }
            Outcome::Stuck => println!("| {} | the run does not end | |", guard.what),
            Outcome::Passed => {
                missed += 1;
                println!("| {} | **none** | |", guard.what);
            }
        }
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A copy of the repository, by its folder.
struct Copy(PathBuf);

enum Outcome {
    Passed,
    Failed(Vec<String>),
    Stuck,
}

impl Copy {
    fn of(origin: &Path) -> io::Result<Self> {
        let origin = origin.canonicalize()?;
        let folder = origin.join("target/guards/copy");
        let listed = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(&origin)
            .output()?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let to = folder.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(origin.join(name), to)?;
        }
        Ok(Self(folder))
    }

    fn test_without(&self, guard: &Guard) -> io::Result<Outcome> {
        let file = self.0.join(guard.file);
        let whole = fs::read_to_string(&file)?;
        fs::write(&file, whole.replacen(guard.text, guard.without, 1))?;
        let outcome = self.test()?;
        fs::write(&file, whole)?;
        Ok(outcome)
    }

    /// Runs the own tests of the core and of `conec-driver`, those of its handles, and the scenarios.
    fn test(&self) -> io::Result<Outcome> {
        let cargo = |last: &[&str]| {
            // Of coreutils: a run that does not end is ended with all its processes.
            let mut command = Command::new("timeout");
            command
                .args([PATIENCE, env!("CARGO"), "test", "--quiet"])
                .args(["--no-fail-fast", "-p", "conec-core", "-p", "conec-driver"])
                .args(["--lib", "-p", "conec-tests", "--test", "it"])
                .args(["--test", "handles"])
                .args(last)
                .current_dir(&self.0)
                .env("CARGO_TARGET_DIR", self.0.with_file_name("build"))
                // That a case fails is enough.
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .stderr(Stdio::null());
            command.output()
        };
        if !cargo(&["--no-run"])?.status.success() {
            return Err(io::Error::other("it does not compile"));
        }
        // The test of the list would miss the guard each time.
        let Output { status, stdout, .. } =
            cargo(&["--", "--format=pretty", "--skip", "guards::"])?;
        if status.code() == Some(TIMED_OUT) {
            return Ok(Outcome::Stuck);
        }
        if status.success() {
            return Ok(Outcome::Passed);
        }
        let failed = String::from_utf8_lossy(&stdout)
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
            .map(str::to_owned)
            .collect();
        Ok(Outcome::Failed(failed))
    }
}

/// How many seconds that may take.
const PATIENCE: &str = "600";
/// How coreutils' `timeout` says that it was longer.
const TIMED_OUT: i32 = 124;
